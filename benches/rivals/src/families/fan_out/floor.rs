//! The floor under every ring per subscriber: one store for each delivery, and nothing else. Rings of words, one
//! producer, one consumer for all of them, no endings, no policies, no counts, and a message that nobody frees.

use super::drain::{self, Found, Source};
use super::load::CAPACITY;
use super::race::{Note, Race, Sink};
use crate::bench::Outcome;
use crossbeam_utils::{Backoff, CachePadded};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

/// Null in a place: nothing is there.
struct Ring {
    places: Box<[AtomicPtr<Note>]>,
    /// How many were taken: said after each round of the consumer.
    taken: CachePadded<AtomicU64>,
    closed: CachePadded<AtomicU64>,
}

/// The producer's end.
struct Filler {
    ring: Arc<Ring>,
    next: u64,
    /// As it was last looked up: so far there is room.
    room_until: u64,
}

/// The consumer's end.
struct Reader {
    ring: Arc<Ring>,
    next: u64,
}

impl Ring {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            places: (0..CAPACITY).map(|_| AtomicPtr::default()).collect(),
            taken: CachePadded::default(),
            closed: CachePadded::default(),
        })
    }

    #[inline]
    fn place(&self, index: u64) -> &AtomicPtr<Note> {
        &self.places[index as usize % CAPACITY]
    }
}

impl Filler {
    #[inline]
    fn push(&mut self, note: *mut Note) {
        if self.next == self.room_until {
            self.wait_for_room();
        }
        self.ring.place(self.next).store(note, Ordering::Release);
        self.next += 1;
    }

    #[cold]
    fn wait_for_room(&mut self) {
        let backoff = Backoff::new();
        while self.next == self.room_until {
            self.room_until = self.ring.taken.load(Ordering::Acquire) + CAPACITY as u64;
            if self.next == self.room_until {
                backoff.snooze();
            }
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.ring.closed.store(1, Ordering::Release);
    }
}

impl Source for Reader {
    #[inline]
    fn look(&mut self, sink: &Sink) -> Found {
        let place = self.ring.place(self.next);
        let note = place.load(Ordering::Acquire);
        // SAFETY: the one message, which `run` keeps until the consumer has ended.
        let Some(note) = (unsafe { note.as_ref() }) else { return self.nothing() };
        place.store(std::ptr::null_mut(), Ordering::Relaxed);
        self.next += 1;
        sink.take(note);
        Found::Some
    }

    fn wait(&mut self, sink: &Sink) -> bool {
        self.look(sink) != Found::Closed
    }
}

impl Reader {
    /// Says how far it is; closed if there is nothing after the end was said, either.
    fn nothing(&self) -> Found {
        self.ring.taken.store(self.next, Ordering::Release);
        let closed = self.ring.closed.load(Ordering::Acquire) == 1;
        match closed && self.ring.place(self.next).load(Ordering::Acquire).is_null() {
            true => Found::Closed,
            false => Found::Nothing,
        }
    }
}

/// One message again and again, by one publisher.
pub fn store_per_delivery(race: &Arc<Race>) -> Outcome<Duration> {
    let rings: Vec<_> = race.sinks().into_iter().map(|sink| (Ring::new(), sink)).collect();
    let filler = |(ring, _): &(Arc<Ring>, Sink)| Filler { ring: ring.clone(), next: 0, room_until: 0 };
    let mut fillers: Vec<_> = rings.iter().map(filler).collect();
    let threads =
        drain::one_thread(rings.into_iter().map(|(ring, sink)| (Reader { ring, next: 0 }, sink)).collect());
    let note = race.parcels().next(0);
    let kept = AtomicPtr::new(Arc::as_ptr(&note).cast_mut());
    let time = race.run(vec![move |_| {
        let note = kept.load(Ordering::Relaxed);
        fillers.iter_mut().for_each(|filler| filler.push(note));
    }]);
    drain::join(threads)?;
    Ok(time)
}
