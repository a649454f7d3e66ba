//! The disruptor: one ring that all subscribers read. Its slots hold the shared message, so that a handler could keep
//! it, and the producer that comes round to a slot again drops it; or, as a floor, the message's bytes themselves.
//!
//! Both arrangements of its documentation: event pollers, all on one thread, and threads that the disruptor manages, one
//! for each subscriber, which spin and so need a processor each.

use super::drain::{self, Drain, Found, Source};
use super::load::{BATCH, CAPACITY};
use super::race::{Note, Parcels, Race, Sink, TEXT};
use crate::bench::Outcome;
use crossbeam_utils::Backoff;
use disruptor::wait_strategies::WaitStrategy;
use disruptor::{EventPoller, MultiProducerBarrier, Polling, Producer, SingleProducerBarrier};
use std::sync::Arc;
use std::time::Duration;

/// What stands in a place of the ring.
pub trait Slot: Default + Send + Sync + 'static {
    fn fill(&mut self, number: u64, parcels: &Parcels);
    fn read(&self, sink: &Sink);
}

/// The message, shared.
#[derive(Default)]
pub struct Shared(Option<Arc<Note>>);

impl Slot for Shared {
    #[inline]
    fn fill(&mut self, number: u64, parcels: &Parcels) {
        self.0 = Some(parcels.next(number));
    }

    #[inline]
    fn read(&self, sink: &Sink) {
        if let Some(note) = &self.0 {
            sink.take(note);
        }
    }
}

/// The message's bytes: nothing is allocated, and nobody can keep it.
#[derive(Default)]
pub struct Inline {
    number: u64,
    text: [u8; TEXT.len()],
}

impl Slot for Inline {
    #[inline]
    fn fill(&mut self, number: u64, _: &Parcels) {
        self.number = number;
        self.text.copy_from_slice(TEXT.as_bytes());
    }

    #[inline]
    fn read(&self, sink: &Sink) {
        sink.read(self.number, &self.text);
    }
}

/// The same for both kinds of producer, whose types have no trait in common.
macro_rules! disruptor {
    ($kind:ident, $build:ident, $barrier:ident, $producers:expr) => {
        pub mod $kind {
            use super::*;
            use disruptor::{BusySpin, $build};

            pub struct Poller<S>(EventPoller<S, $barrier>);

            impl<S: Slot> Source for Poller<S> {
                /// All that is there: at most the ring's worth.
                #[inline]
                fn look(&mut self, sink: &Sink) -> Found {
                    match self.0.poll() {
                        Ok(mut slots) => {
                            (&mut slots).for_each(|slot| slot.read(sink));
                            Found::Some
                        }
                        Err(Polling::NoEvents) => Found::Nothing,
                        Err(Polling::Shutdown) => Found::Closed,
                    }
                }

                fn serve(&mut self, sink: &Sink) -> Found {
                    self.look(sink)
                }

                fn wait(&mut self, sink: &Sink) -> bool {
                    self.look(sink) != Found::Closed
                }
            }

            /// Event pollers, on the threads that `drain` starts.
            pub fn polled<S: Slot>(race: &Arc<Race>, drain: Drain<Poller<S>>) -> Outcome<Duration> {
                let builder = $build(CAPACITY, S::default, BusySpin);
                if race.load.subscribers == 1 {
                    let (poller, builder) = builder.new_event_poller();
                    return run_polled(race, drain, vec![poller], $producers(builder.build(), race));
                }
                let (mut builder, mut pollers) = (builder.with_multi_consumer(), Vec::new());
                for _ in 0..race.load.subscribers {
                    let (poller, next) = builder.new_event_poller();
                    pollers.push(poller);
                    builder = next;
                }
                run_polled(race, drain, pollers, $producers(builder.build(), race))
            }

            fn run_polled<S: Slot, P: Producer<S> + Send + 'static>(
                race: &Arc<Race>,
                drain: Drain<Poller<S>>,
                pollers: Vec<EventPoller<S, $barrier>>,
                producers: Vec<P>,
            ) -> Outcome<Duration> {
                let threads = drain(pollers.into_iter().map(Poller).zip(race.sinks()).collect());
                let time = race.run(publishers(race, producers));
                drain::join(threads)?;
                Ok(time)
            }

            /// Its own threads.
            pub fn threads<S: Slot, W: WaitStrategy + 'static>(
                race: &Arc<Race>,
                wait: W,
            ) -> Outcome<Duration> {
                let mut builder = $build(CAPACITY, S::default, wait).with_multi_consumer();
                for sink in race.sinks() {
                    builder = builder.handle_events_with(move |slot: &S, _, _| slot.read(&sink));
                }
                // The last producer to go ends the threads, and waits for them.
                Ok(race.run(publishers(race, $producers(builder.build(), race))))
            }
        }
    };
}

disruptor!(multi, build_multi_producer, MultiProducerBarrier, |producer, race: &Race| {
    vec![producer; race.load.publishers]
});
disruptor!(single, build_single_producer, SingleProducerBarrier, |producer, race: &Race| {
    assert_eq!(race.load.publishers, 1);
    vec![producer]
});

fn publishers<S: Slot, P: Producer<S> + Send + 'static>(
    race: &Race,
    producers: Vec<P>,
) -> Vec<Box<dyn FnMut(u64) + Send>> {
    let publisher = |producer| match race.load.batches {
        false => Box::new(one_by_one(producer, race.parcels())) as Box<dyn FnMut(u64) + Send>,
        true => Box::new(in_batches(producer, race.parcels())),
    };
    producers.into_iter().map(publisher).collect()
}

/// While the ring is full it spins, then yields: there may be more threads than processors.
fn one_by_one<S: Slot, P: Producer<S> + Send>(mut producer: P, parcels: Parcels) -> impl FnMut(u64) + Send {
    move |number| {
        let backoff = Backoff::new();
        while producer.try_publish(|slot| slot.fill(number, &parcels)).is_err() {
            backoff.snooze();
        }
    }
}

fn in_batches<S: Slot, P: Producer<S> + Send>(mut producer: P, parcels: Parcels) -> impl FnMut(u64) + Send {
    let mut numbers = Vec::with_capacity(BATCH);
    move |number| {
        numbers.push(number);
        if numbers.len() < BATCH {
            return;
        }
        let backoff = Backoff::new();
        let fill = |(slot, number): (&mut S, &u64)| slot.fill(*number, &parcels);
        while producer.try_batch_publish(BATCH, |slots| slots.zip(&numbers).for_each(fill)).is_err() {
            backoff.snooze();
        }
        numbers.clear();
    }
}
