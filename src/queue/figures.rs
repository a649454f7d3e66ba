//! What a ring shows to those who only look. Read while others move, these are of one moment each.

use super::ring::Ring;
use crate::sync::Tally;
use crate::sync::atomic::Ordering;

impl Ring {
    /// How many items wait. Exact when nothing moves.
    pub(crate) fn depth(&self) -> u64 {
        self.accepted_and_depth().1
    }

    /// How many items were ever accepted, and how many wait, by one look at the tail: the difference was taken out.
    pub(crate) fn accepted_and_depth(&self) -> (u64, u64) {
        // In this order it is never more than what waited at the first look.
        let accepted = self.accepted();
        (accepted, accepted.saturating_sub(self.consumer.head.read()))
    }

    /// How many items producers ever took out to make room. What is out by the [`head`](Self::head) that was read before is
    /// counted.
    pub(crate) fn evicted(&self) -> u64 {
        self.consumer.evicted.get()
    }

    /// The deepest the ring was seen by its owner, or is now.
    pub(crate) fn high_water(&self) -> u64 {
        self.consumer.deepest.load(Ordering::Relaxed).max(self.depth())
    }

    /// Whether so many items wait, or waited a short while ago, that the high mark was passed.
    pub(crate) fn is_congested(&self) -> bool {
        self.producers.tail.read().is_high()
    }

    /// How many items were ever accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.producers.tail.read().index()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.producers.tail.read().is_idle()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.producers.tail.read().is_closed()
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.producers.capacity()
    }

    /// How far items have been taken out.
    pub(crate) fn head(&self) -> u64 {
        self.consumer.head.read()
    }

    /// When the turn was last taken away from an idle ring, noted by who has it.
    pub(crate) fn woken_at(&self) -> &Tally {
        &self.producers.woken_at
    }
}
