//! What an owner that waits awake asks, and others ask about it: nothing here takes the producers' line away from them
//! while nothing comes.

use super::Ring;
use crate::sync::atomic::Ordering;
use crate::sync::{hint, mutated};
use std::ptr;

impl Ring {
    /// Whether the owner, having found nothing, would find something now: in its slot, or in the spill. Reads no line that
    /// producers write before there is something. A hint: [`take`](Self::take) tells.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(crate) unsafe fn has_more(&self) -> bool {
        // SAFETY: the caller has the turn.
        self.consumer.position.with(|at| unsafe {
            let at = &*at;
            // Producers that take the oldest out move the head past our position, and may leave an empty slot there.
            let next =
                if at.evicting && !mutated!("ring.rest_head") { self.consumer.head.read() } else { at.next };
            // ORDERING(ring.spill): Relaxed, a hint; `look_closer` reads it again, with Acquire, against the Release in
            // `spill_at`.
            let item = at.item(self.slots_of(at), next);
            if item != 0 {
                // As a rule an address, of what the owner needs first, and writes to when it is done.
                hint::prefetch_write(ptr::without_provenance::<u8>(item));
            }
            at.in_spill || item != 0 || self.between.spill_from.load(Ordering::Relaxed) == next
        })
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
