//! Several items in one claim.

use super::Ring;
use super::ring::{back_off, waiting};
use super::slots::{LINE, prefetch, slot};
use super::word::State;
use crate::sync::atomic::Ordering;
use crate::sync::mutated;
use std::num::NonZeroUsize;

/// At most so many slots are claimed at once: until the last one is written, the owner may have to wait for us.
pub(crate) const CLAIM_MAX: usize = if cfg!(any(bus_loom, bus_shuttle)) { 2 } else { 64 };

/// How a push of several items ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum PushSeveral {
    /// So many of the first are in, from index `first` on. With `turn` the caller has the turn and passes it on.
    Accepted { turn: bool, first: u64, count: usize },
    /// There seems to be no room in the slots, or the next item passes a mark: [`push`](Ring::push) of one decides what that means.
    NoRoom,
    /// The ring was closed.
    Closed,
}

impl Ring {
    /// Puts as many of `items` in as there is room for, at most [`CLAIM_MAX`], in their order. Between the claim and the
    /// last write nothing runs but stores. Items go into slots only, and below the mark: what is full, or spilling, or makes
    /// the ring congested, is for a push of one.
    pub(crate) fn push_several(&self, items: &[NonZeroUsize]) -> PushSeveral {
        let producers = &*self.producers;
        let slots = self.slots();
        let wanted = items.len().min(CLAIM_MAX);
        let mut tries = 0;
        loop {
            let seen = producers.tail.read();
            if seen.is_closed() && !mutated!("ring.several_closed") {
                return PushSeveral::Closed;
            }
            let count = if seen.is_spilling() && !mutated!("ring.several_spill") {
                0
            } else {
                self.room_for(seen, wanted)
            };
            if count == 0 {
                return PushSeveral::NoRoom;
            }
            if producers.tail.claim_several(seen, if mutated!("ring.several_one") { 1 } else { count as u64 })
            {
                for (index, item) in (seen.index()..).zip(&items[..count]) {
                    // ORDERING(ring.slot): Release; pairs with the owner's Acquire, as in `push`. In order, so that the
                    // owner can take the first ones while we write the others.
                    slot(slots, index, producers.mask()).store(item.get(), Ordering::Release);
                }
                for line in (0..count as u64).step_by(LINE as usize) {
                    prefetch(slots, seen.index() + count as u64 + line, producers.mask());
                }
                return PushSeveral::Accepted { turn: seen.is_idle(), first: seen.index(), count };
            }
            back_off(&mut tries);
        }
    }

    /// How many of `wanted` items fit into the slots. The real head is read only if the cached one leaves too little.
    fn room_for(&self, seen: State, wanted: usize) -> usize {
        let bound = self.producers.bound(seen) as i64;
        // A stale tail has fewer waiting than none; then the claim fails.
        let room = |head: u64| (bound - waiting(seen, head)).clamp(0, bound) as usize;
        // ORDERING(ring.head): Acquire; pairs with the Release in `refresh_head`, as in `has_room`: our writes into the
        // slots come after the owner emptied them.
        let known = room(self.producers.cached_head.load(Ordering::Acquire));
        if known >= wanted || mutated!("ring.several_room") {
            wanted
        } else {
            room(self.refresh_head()).min(wanted)
        }
    }
}
