//! How many messages of a type were made, and how many are gone: exact when nothing moves, at about a nanosecond each.
//!
//! A count that all threads share would cost more than the message. So each thread that makes or frees messages of a
//! type has a *cell* of its own, written by it alone (a load and a store on a line that no other thread writes). A
//! reader adds the cells up.
//!
//! | who | step |
//! | --- | --- |
//! | a thread's first message of a type | under the type's lock: takes a cell that nobody has, or makes one |
//! | every message | adds one to its cell |
//! | a thread that ends, or turns to another type with the same place | gives its cell back; what it counted stays |
//! | reader | under the lock: adds up |
//!
//! There are as many cells as threads ever used the type at once. A thread remembers 32 types, by their numbers.
//! Cells and the list belong to [`Made`], which holds no user code: a thread that keeps one keeps nothing of the bus.
//!
//! The lock and the shared count are the standard library's, even in models: figures order nothing.
#![allow(clippy::disallowed_types)]

use crate::sync::{Arc, CachePadded, Tally};
use std::cell::RefCell;
use std::ptr;
use std::sync::Mutex;

/// Types whose cells a thread remembers.
const PLACES: usize = 32;

/// One thread's counts of one type.
#[derive(Default)]
struct Cell {
    made: Tally,
    gone: Tally,
    unused: Tally,
    /// 1: some thread has it.
    taken: Tally,
}

/// The counts of one type.
#[derive(Default)]
pub(crate) struct Made {
    cells: Mutex<Vec<Arc<CachePadded<Cell>>>>,
    /// Counted where a thread has no cells any more.
    late: Cell,
    declined: Tally,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) made: u64,
    pub(crate) gone: u64,
    pub(crate) unused: u64,
    pub(crate) declined: u64,
}

/// One thing to count.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// A message was made.
    Made,
    /// The last reference to one is gone.
    Gone,
    /// One was published and nobody took it.
    Unused,
}

impl Cell {
    fn count(&self, what: Event) -> &Tally {
        match what {
            Event::Made => &self.made,
            Event::Gone => &self.gone,
            Event::Unused => &self.unused,
        }
    }
}

/// A cell that the thread has, and whose it is.
struct Place {
    of: Arc<Made>,
    cell: Arc<CachePadded<Cell>>,
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

impl Made {
    /// Counts one, for the type of that number.
    #[inline]
    pub(crate) fn count(self: &Arc<Self>, id: u32, what: Event) {
        let counted = PLACES_HERE.try_with(|places| {
            let mut places = places.borrow_mut();
            let place = &mut places[id as usize % PLACES];
            match place {
                Some(place) if ptr::eq(&*place.of, &**self) => place.cell.count(what).bump(1),
                _ => {
                    // Another type's cell goes back first: its lock is not held while ours is taken.
                    *place = None;
                    place.insert(self.place()).cell.count(what).bump(1);
                }
            }
        });
        if counted.is_err() {
            self.late.count(what).add(1);
        }
    }

    /// A message was not made, or not published, because the type is declined. The cold way.
    pub(crate) fn count_declined(&self) {
        self.declined.add(1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<CachePadded<Cell>>>> {
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
        Place { of: self.clone(), cell }
    }

    pub(crate) fn read(&self) -> Counted {
        let cells = self.lock();
        let all = || cells.iter().map(|cell| &***cell).chain([&self.late]);
        // Gone before made: a message that goes meanwhile was made before, and none is gone that was not made.
        let gone = all().map(|cell| cell.gone.get()).sum();
        Counted {
            gone,
            made: all().map(|cell| cell.made.get()).sum(),
            unused: all().map(|cell| cell.unused.get()).sum(),
            declined: self.declined.get(),
        }
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn threads_count_alone_and_leave_their_cells_to_others() {
        let made: Arc<Made> = Arc::default();
        for round in 1..=3 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        (0..1_000).for_each(|_| made.count(7, Event::Made));
                        (0..400).for_each(|_| made.count(7, Event::Gone));
                    });
                }
            });
            let read = made.read();
            assert_eq!((read.made, read.gone), (round * 4_000, round * 1_600));
            assert!(made.lock().len() <= 4, "cells are used again");
        }
    }

    #[test]
    fn types_with_the_same_place_lose_nothing() {
        let (one, other): (Arc<Made>, Arc<Made>) = Default::default();
        for _ in 0..10 {
            one.count(1, Event::Made);
            other.count(1 + PLACES as u32, Event::Made);
            one.count(1, Event::Unused);
        }
        assert_eq!(one.read(), Counted { made: 10, unused: 10, ..Counted::default() });
        assert_eq!(other.read().made, 10);
        assert_eq!((one.lock().len(), other.lock().len()), (1, 1));
    }
}
