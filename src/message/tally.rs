//! How many messages of a type were made, and how many are gone: counted by each thread for itself ([`Cells`]).

use crate::sync::cells::{Cells, PLACES};
use crate::sync::{Arc, Tally};

/// Places of a thread that are for types, by their numbers; the others are for caches.
const TYPES: usize = 32;
const _: () = assert!(TYPES < PLACES);

/// The counts of one type.
#[derive(Default)]
pub(crate) struct Made {
    cells: Arc<Cells>,
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

impl Made {
    /// Counts one, for the type of that number.
    #[inline]
    pub(crate) fn count(&self, id: u32, what: Event) {
        self.cells.add(id as usize % TYPES, what as usize, 1);
    }

    /// A message was not made, or not published, because the type is declined. The cold way.
    pub(crate) fn count_declined(&self) {
        self.declined.add(1);
    }

    pub(crate) fn read(&self) -> Counted {
        // Gone before made: a message that goes meanwhile was made before, and none is gone that was not made.
        let [made, gone, unused] = self.cells.read(Event::Gone as usize);
        Counted { made, gone, unused, declined: self.declined.get() }
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
            assert!(made.cells.len() <= 4, "cells are used again");
        }
    }

    #[test]
    fn types_with_the_same_place_lose_nothing() {
        let (one, other): (Arc<Made>, Arc<Made>) = Default::default();
        for _ in 0..10 {
            one.count(1, Event::Made);
            other.count(1 + TYPES as u32, Event::Made);
            one.count(1, Event::Unused);
        }
        assert_eq!(one.read(), Counted { made: 10, unused: 10, ..Counted::default() });
        assert_eq!(other.read().made, 10);
        assert_eq!((one.cells.len(), other.cells.len()), (1, 0), "who has the place keeps it");
    }

    #[test]
    fn the_place_goes_to_who_counts_there_for_long() {
        let (one, other): (Arc<Made>, Arc<Made>) = Default::default();
        one.count(1, Event::Made);
        (0..1_000).for_each(|_| other.count(1, Event::Gone));
        assert_eq!((one.read().made, other.read().gone), (1, 1_000));
        assert_eq!(other.cells.len(), 1, "it has a cell of its own");
    }
}
