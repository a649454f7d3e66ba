//! The straight way of a message that everybody on a list takes: no filters, nobody left out, nobody who waits for it.
//!
//! In nearly every mailbox there is room, as far as its producers' line tells, and nobody else is claiming: then the
//! message is in with one claim, and nothing of the mailbox but that line and a slot was touched. Whatever else there is
//! (no room, a mark to pass, a spill, a lane, the end, a claim that was lost) is left to the long way, with nothing done.

use super::subscribers::Route;
use super::walk::Fanout;
use crate::mailbox::{Moment, Patience};

/// So many mailboxes share one reading of the clock.
const SAME_MOMENT: usize = 64;

impl Fanout<'_> {
    #[inline]
    pub(super) fn offer_plain(&mut self, routes: &[Route], mut patience: Option<&mut Patience>) {
        let word = self.message.share();
        let mut accepted = 0;
        for routes in routes.chunks(SAME_MOMENT) {
            let mut moment = Moment::default();
            for route in routes {
                match route.mailbox.offer_straight(word, &mut moment) {
                    Some(turn) => {
                        accepted += 1;
                        if turn {
                            self.errands.turns.take(&route.mailbox);
                        }
                    }
                    None => {
                        self.offer_one(route, patience.as_deref_mut());
                        // That may have taken its time.
                        moment = Moment::default();
                    }
                }
            }
        }
        self.report.accepted += accepted;
        self.unshared -= accepted as usize;
    }
}
