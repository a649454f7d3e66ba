//! What an owner that waits awake asks, and others ask about it: nothing here takes the producers' line away from them
//! while nothing comes.

use super::Ring;
use super::slots::slot;
use crate::sync::atomic::Ordering;

impl Ring {
    /// Whether the owner, having found nothing, would find something now: in its slot, or in the spill. Reads no line that
    /// producers write before there is something. A hint: [`take`](Self::take) tells.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(crate) unsafe fn has_more(&self) -> bool {
        // SAFETY: the caller has the turn.
        let (next, in_spill) = self.consumer.position.with(|at| unsafe { ((*at).next, (*at).in_spill) });
        // Producers that take the oldest out move the head past our position, and may leave an empty slot there.
        let next = if self.producers.evicting { self.consumer.head.read() } else { next };
        let slots = self.producers.slots.peek();
        // ORDERING(ring.spill): Relaxed, a hint; `look_closer` reads it again, with Acquire, against the Release in
        // `spill_at`.
        in_spill
            || (!slots.is_null() && slot(slots, next, self.producers.mask).load(Ordering::Relaxed) != 0)
            || self.spill_from.load(Ordering::Relaxed) == next
    }

    /// The next index to take.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(crate) unsafe fn position(&self) -> u64 {
        // SAFETY: the caller has the turn.
        self.consumer.position.with(|at| unsafe { (*at).next })
    }

    /// Open, and nothing was accepted at `index` or after it.
    pub(crate) fn is_open_at(&self, index: u64) -> bool {
        let seen = self.producers.tail.read();
        !seen.is_closed() && seen.index() == index
    }
}
