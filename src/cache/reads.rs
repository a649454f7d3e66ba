//! How many reads of one object found something: counted by each thread for itself ([`Cells`]).

use super::{CacheCore, CachePin};
use crate::sync::Arc;
use crate::sync::cells::{Cells, PLACES, TOPICS};
use std::cell::Cell;

/// Places of a thread from here on are for caches, by their numbers; those before are for message types.
const FIRST_PLACE: usize = 32;

const HIT: usize = 0;
const MISS: usize = 1;

/// The counts of one cache.
pub(super) struct Reads {
    cells: Arc<Cells>,
    place: usize,
}

impl Reads {
    /// For the cache of that number, counted from 0 in its bus.
    pub(super) fn new(cache: u64) -> Self {
        let place = FIRST_PLACE + cache as usize % (PLACES - TOPICS - FIRST_PLACE);
        Self { cells: Arc::default(), place }
    }

    #[inline]
    fn note(&self, count: usize, more: u64) {
        self.cells.add(self.place, count, more);
    }

    /// Hits and misses.
    pub(super) fn read(&self) -> (u64, u64) {
        let [hits, misses, _] = self.cells.read(HIT);
        (hits, misses)
    }
}

impl CacheCore {
    /// Somebody has looked for one object.
    #[inline]
    pub(super) fn note_read<T>(&self, found: Option<T>) -> Option<T> {
        self.reads.note(if found.is_some() { HIT } else { MISS }, 1);
        found
    }
}

/// What one pin has seen, counted when it is dropped.
#[derive(Default)]
pub(super) struct Seen {
    hits: Cell<u64>,
    misses: Cell<u64>,
}

impl CachePin<'_> {
    /// Somebody has looked for one object.
    #[inline]
    pub(super) fn note_read<T>(&self, found: Option<T>) -> Option<T> {
        let count = if found.is_some() { &self.seen.hits } else { &self.seen.misses };
        count.set(count.get() + 1);
        found
    }

    pub(super) fn tell_reads(&self) {
        for (count, seen) in [(HIT, &self.seen.hits), (MISS, &self.seen.misses)] {
            if seen.get() > 0 {
                self.core.reads.note(count, seen.get());
            }
        }
    }
}
