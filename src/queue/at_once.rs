//! One item, if nothing else is to be said than that it is in.

use super::Ring;
use super::slots::{LINE, prefetch, slot};
use crate::sync::atomic::Ordering;
use crate::sync::mutated;
use std::num::NonZeroUsize;

impl Ring {
    /// Puts `item` in if there is room for it and nothing else to be said: whether the caller has the turn, and the index.
    /// `None`: nothing was done, and [`push`](Self::push) finds out why. Between the claim and the write nothing runs.
    #[inline(always)]
    pub(crate) fn push_at_once(&self, item: NonZeroUsize) -> Option<(bool, u64)> {
        let producers = &*self.producers;
        let slots = producers.slots.peek();
        let seen = producers.tail.read();
        let is_plain = seen.is_plain() || mutated!("ring.at_once_plain");
        let has_room = || mutated!("ring.at_once_room") || self.has_room(seen);
        if slots.is_null() || !is_plain || !has_room() || !producers.tail.claim(seen) {
            return None;
        }
        // ORDERING(ring.slot): Release; pairs with the owner's Acquire, as in `push`.
        slot(slots, seen.index(), producers.mask()).store(item.get(), Ordering::Release);
        if seen.index().is_multiple_of(LINE) {
            prefetch(slots, seen.index() + LINE, producers.mask());
        }
        Some((seen.is_idle(), seen.index()))
    }
}
