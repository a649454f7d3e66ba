//! One item, if nothing else is to be said than that it is in.

use super::Ring;
use super::ring::waiting;
use super::slots::{LINE, prefetch, slot};
use crate::sync::atomic::Ordering;
use std::num::NonZeroUsize;

impl Ring {
    /// Puts `item` in if there is room for it and nothing else to be said: whether the caller has the turn, and the index.
    /// `None`: nothing was done, and [`push`](Self::push) finds out why. Between the claim and the write nothing runs.
    #[inline(always)]
    pub(crate) fn push_at_once(&self, item: NonZeroUsize) -> Option<(bool, u64)> {
        let producers = &*self.producers;
        let slots = producers.slots.peek();
        let seen = producers.tail.read();
        // ORDERING(ring.head): Acquire, as in `has_room`.
        let head = producers.cached_head.load(Ordering::Acquire);
        let fits = seen.is_plain() && waiting(seen, head) < producers.calm as i64;
        if slots.is_null() || !fits || !producers.tail.claim(seen) {
            return None;
        }
        // ORDERING(ring.slot): Release; pairs with the owner's Acquire, as in `push`.
        slot(slots, seen.index(), producers.mask).store(item.get(), Ordering::Release);
        if seen.index().is_multiple_of(LINE) {
            prefetch(slots, seen.index() + LINE, producers.mask);
        }
        Some((seen.is_idle(), seen.index()))
    }
}
