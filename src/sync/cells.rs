//! Counts that many threads add to all the time: exact when nothing moves, at about a nanosecond each.
//!
//! A count that all threads share would cost more than what it counts. So each thread that counts has a *cell* of its own,
//! written by it alone (a load and a store on a line that no other thread writes). A reader adds the cells up.
//!
//! | who | step |
//! | --- | --- |
//! | a thread's first count | under the lock: takes a cell that nobody has, or makes one |
//! | every count | adds to its cell |
//! | a count where another one's cell has the place | adds to a count that all threads share |
//! | the [`PATIENCE`]th of those | the other one's cell goes back, and the place is ours; what was counted stays |
//! | who may take no lock | adds to the cell if it has the place, else to what all threads share; [takes](Cells::take) the place at another time |
//! | a thread that ends | gives its cells back |
//! | reader | under the lock: adds up |
//!
//! There are as many cells as threads ever counted at once. A thread remembers [`PLACES`] cells, by the place that the
//! caller names. Cells and the list hold no user code: a thread that keeps one keeps nothing of the bus.
//!
//! The lock and the shared counts are the standard library's, even in models: figures order nothing.

use super::{CachePadded, Tally};
use std::cell::RefCell;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard};

/// So many counts of others does a cell keep its place through: who alternates between two of one place takes no lock for
/// each count, and who turns from one to the other for good soon has a cell there. Measured, two caches read in turn: 47 ns a
/// read instead of 97, and 130 instead of 570 to 820 by two threads.
const PATIENCE: u8 = 64;
/// Cells that a thread remembers.
pub(crate) const PLACES: usize = 64 + TOPICS;
/// Of these, so many at the end are for topics.
pub(crate) const TOPICS: usize = 32;
/// Counts in a cell.
const COUNTS: usize = 3;

/// One thread's counts.
#[derive(Default)]
struct Cell {
    counts: [Tally; COUNTS],
    /// 1: some thread has it.
    taken: Tally,
}

/// Three counts that go together.
#[derive(Default)]
pub(crate) struct Cells {
    cells: Mutex<Vec<Arc<CachePadded<Cell>>>>,
    /// Counted where a thread has no cell: no more, or not yet.
    shared: CachePadded<Cell>,
}

/// A cell that the thread has, and whose it is.
struct Place {
    of: Arc<Cells>,
    cell: Arc<CachePadded<Cell>>,
    /// How often others wanted the place.
    wanted: u8,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Under the lock, so that the next thread to have it sees what this one counted.
        let _cells = self.of.lock();
        self.cell.taken.set(0);
    }
}

std::thread_local! {
    static PLACES_HERE: RefCell<[Option<Place>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
}

impl Cells {
    /// Adds to a count. The place is below [`PLACES`]; whoever counts much has one that few others have.
    #[inline]
    pub(crate) fn add(self: &Arc<Self>, place: usize, count: usize, more: u64) {
        let counted = PLACES_HERE.try_with(|places| {
            let mut places = places.borrow_mut();
            let place = &mut places[place];
            match place {
                Some(place) if ptr::eq(&*place.of, &**self) => place.cell.counts[count].bump(more),
                _ => self.add_beside(place, count, more),
            }
        });
        if counted.is_err() {
            self.shared.counts[count].add(more);
        }
    }

    /// Adds one, and takes no lock for it. Returns what was counted before where it is counted.
    #[inline]
    pub(crate) fn add_at_once(&self, place: usize, count: usize) -> u64 {
        let counted = PLACES_HERE.try_with(|places| {
            let places = places.borrow();
            let place = places[place].as_ref().filter(|place| ptr::eq(&*place.of, self))?;
            let before = place.cell.counts[count].get();
            place.cell.counts[count].set(before + 1);
            Some(before)
        });
        counted.ok().flatten().unwrap_or_else(|| self.shared.counts[count].add(1))
    }

    /// Gives the calling thread a cell here, at that place, whosever it was.
    #[cold]
    pub(crate) fn take(self: &Arc<Self>, place: usize) {
        let _ = PLACES_HERE.try_with(|places| {
            let place = &mut places.borrow_mut()[place];
            if place.as_ref().is_none_or(|place| !ptr::eq(&*place.of, &**self)) {
                *place = None;
                *place = Some(self.place());
            }
        });
    }

    /// The place is empty, or another one's.
    #[inline(never)]
    fn add_beside(self: &Arc<Self>, place: &mut Option<Place>, count: usize, more: u64) {
        if let Some(other) = place.as_mut().filter(|other| other.wanted < PATIENCE) {
            other.wanted += 1;
            self.shared.counts[count].add(more);
            return;
        }
        // The other one's cell goes back first: its lock is not held while ours is taken.
        *place = None;
        place.insert(self.place()).cell.counts[count].bump(more);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<CachePadded<Cell>>>> {
        self.cells.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    #[cold]
    fn place(self: &Arc<Self>) -> Place {
        let mut cells = self.lock();
        let free = cells.iter().find(|cell| cell.taken.get() == 0).cloned();
        let cell = free.unwrap_or_else(|| {
            cells.push(Arc::default());
            cells[cells.len() - 1].clone()
        });
        cell.taken.set(1);
        Place { of: self.clone(), cell, wanted: 0 }
    }

    /// The sums, that of `first` read before the others: what is counted there was counted elsewhere before.
    pub(crate) fn read(&self, first: usize) -> [u64; COUNTS] {
        let cells = self.lock();
        let sum = |count: usize| {
            let each = cells.iter().map(|cell| &***cell).chain([&*self.shared]);
            each.map(|cell| cell.counts[count].get()).sum()
        };
        let before = sum(first);
        std::array::from_fn(|count| if count == first { before } else { sum(count) })
    }

    #[cfg(all(test, not(bus_loom)))]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}
