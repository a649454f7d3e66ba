//! The publisher's side for messages of a batch: as many as there is room for in one claim.

use super::Mailbox;
use crate::queue::PushSeveral;
use std::num::NonZeroUsize;

/// What became of several offered messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Several {
    /// So many of the first are in. With `turn` the caller sees to it that the mailbox is run.
    In { turn: bool, count: usize },
    /// None is: what becomes of the first one is for the policy to say, so it is offered by itself.
    OneByOne,
    /// The subscription has ended. The references are the caller's again.
    Closed,
}

impl Mailbox {
    /// Offers one reference each of several messages, in their order.
    pub(crate) fn offer_several(&self, words: &[NonZeroUsize]) -> Several {
        if self.lane.is_some() {
            return Several::OneByOne;
        }
        match self.ring.push_several(words) {
            PushSeveral::Accepted { turn, first, count } => {
                self.note_accepted_several(first, count);
                Several::In { turn, count }
            }
            PushSeveral::NoRoom => Several::OneByOne,
            PushSeveral::Closed => {
                self.losses.count_late(words.len() as u64);
                Several::Closed
            }
        }
    }
}
