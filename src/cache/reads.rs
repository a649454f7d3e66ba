//! How many reads of one object found something: counted by each thread for itself ([`Cells`]).

use super::{CacheCore, CachePin};
use crate::sync::Arc;
use crate::sync::cells::{Cells, PLACES};
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
        let place = FIRST_PLACE + cache as usize % (PLACES - FIRST_PLACE);
        Self { cells: Arc::default(), place }
    }

    #[inline]
    fn note(&self, hits: u64, misses: u64) {
        for (count, more) in [(HIT, hits), (MISS, misses)] {
            if more > 0 {
                self.cells.add(self.place, count, more);
            }
        }
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
        let hit = u64::from(found.is_some());
        self.reads.note(hit, 1 - hit);
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
        self.core.reads.note(self.seen.hits.get(), self.seen.misses.get());
    }
}
