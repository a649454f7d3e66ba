//! The straight way of a message that everybody on a list takes: no filters or such as name its type, nobody left out, nobody
//! who waits for it.
//!
//! In nearly every mailbox there is room, as far as its producers' line tells, and nobody else is claiming: then the
//! message is in with one claim, and nothing of the mailbox but that line and a slot was touched. Whatever else there is
//! (no room, a mark to pass, a spill, a lane, the end, a claim that was lost) is left to the long way, with nothing done.

use super::Report;
use super::collect::Reached;
use super::subscribers::{Route, Subscribers};
use super::turns::{Queued, Turns};
use super::walk::{Fanout, Walk};
use crate::mailbox::{Consumer, Moment, Patience};
use crate::message::Message;
use crate::message::kind::Kind;
use crate::sync::mutated;
use crate::sync::stands::Standing;

/// So many mailboxes share one reading of the clock.
const SAME_MOMENT: usize = 64;

impl Walk<'_> {
    /// Whether what was collected is one list of nothing but mailboxes that take messages of that type.
    #[inline]
    pub(super) fn goes_straight<'r>(&self, reached: &'r [Reached], kind: &Kind) -> Option<&'r Subscribers> {
        let [Reached { list, .. }] = reached else { return None };
        (list.is_straight_for(kind) && !self.control && self.around.is_none()).then_some(list)
    }

    /// The list that the topic shows, if messages of some types are handed out straight there.
    #[inline]
    pub(super) fn stand(&self) -> Option<Standing<'_, Subscribers>> {
        match self.control || self.timed.get().is_some() || self.around.is_some() {
            true => None,
            false => self.topic.stand(),
        }
    }

    /// To a list of nothing but mailboxes that take it. `ours` is [`deliver`](Walk::deliver)'s.
    ///
    /// Inlined as far as the report that is returned: one that was just written field by field is copied by wider loads,
    /// which wait until those stores have left the store buffer. That was a tenth of a publish to one mailbox.
    #[inline(always)]
    pub(super) fn hand_out_straight(&self, list: &Subscribers, message: &Message, ours: usize) -> Report {
        let mut stopped = Stopped::default();
        match self.claim_each(list.routes(), message, ours, &mut stopped) {
            Some(accepted) => Report { accepted, ..Report::default() },
            None => self.hand_out_rest(list, message, stopped),
        }
    }

    /// A claim for each, and as long as that is all there is to it, nothing is prepared for anything else. How many there
    /// were; `None`: it stopped there. By itself, so that the loop has all registers.
    #[inline(never)]
    fn claim_each(
        &self,
        routes: &[Route],
        message: &Message,
        ours: usize,
        stopped: &mut Stopped,
    ) -> Option<u32> {
        if routes.len() > ours {
            message.add_references(routes.len() - ours);
        }
        let (word, mut queued) = (message.share(), Queued::default());
        let mut at = 0;
        for same in routes.chunks(SAME_MOMENT) {
            let mut moment = Moment::default();
            for route in same {
                match (route.mailbox.offer_straight(word, &mut moment), route.mailbox.consumer()) {
                    (Some(false), _) => {}
                    (Some(true), Consumer::Pool(_)) => queued.take(&route.mailbox),
                    (taken, _) => {
                        *stopped = Stopped { at, taken: taken.is_some(), queued };
                        return None;
                    }
                }
                at += 1;
            }
        }
        if !mutated!("straight.flush") {
            queued.flush(&self.topic.exchange);
        }
        Some(at as u32)
    }

    /// The rest, from the mailbox on at which it stopped.
    #[inline(never)]
    fn hand_out_rest(&self, list: &Subscribers, message: &Message, stopped: Stopped) -> Report {
        let Stopped { mut at, taken, queued } = stopped;
        let routes = list.routes();
        // Of the references that were counted, one for each, so many are not handed out.
        let mut rest = Fanout::new(self, message, routes.len() - at);
        rest.errands.turns =
            Turns::after(if mutated!("straight.queued") { Queued::default() } else { queued });
        if taken {
            if !mutated!("straight.turn") {
                rest.errands.turns.take(&routes[at].mailbox);
            }
            rest.unshared -= 1;
            at += 1;
        }
        rest.report.accepted = at as u32;
        let prompt = list.prompt().len();
        if at < prompt {
            rest.offer_plain(&routes[at..prompt], None);
        }
        if prompt < routes.len() {
            rest.offer_plain(&routes[at.max(prompt)..], Some(&mut self.patience()));
        }
        rest.errands.flush(&self.topic.exchange);
        rest.finish()
    }
}

/// Where the straight way ended: at a mailbox that has not taken the message straight; or has, and who runs it is woken
/// later.
#[derive(Default)]
struct Stopped {
    at: usize,
    taken: bool,
    queued: Queued,
}

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
