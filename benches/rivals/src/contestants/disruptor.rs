//! The disruptor with several producers. The slot holds the shared message, so that a handler could keep it; the
//! producer that comes round to the slot again drops it.
//!
//! Two arrangements, both from its documentation: event pollers, all on one thread, and threads that the disruptor
//! manages, one for each subscriber, which spin and so need a processor each.

use crate::race::{Note, Outcome, Race, Sink};
use crate::scenario::CAPACITY;
use disruptor::{
    BusySpin, EventPoller, MultiProducer, MultiProducerBarrier, Polling, Producer, build_multi_producer,
};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

type Slot = Option<Arc<Note>>;
type Poller = EventPoller<Slot, MultiProducerBarrier>;

/// So many empty rounds, then other threads may have the processor.
const SPINS: u32 = 1000;

pub fn one_thread(race: &Arc<Race>) -> Outcome<Duration> {
    let builder = build_multi_producer(CAPACITY, Slot::default, BusySpin);
    if race.fanout.subscribers == 1 {
        let (poller, builder) = builder.new_event_poller();
        return run_polled(race, vec![poller], builder.build());
    }
    let (mut builder, mut pollers) = (builder.with_multi_consumer(), Vec::new());
    for _ in 0..race.fanout.subscribers {
        let (poller, next) = builder.new_event_poller();
        pollers.push(poller);
        builder = next;
    }
    run_polled(race, pollers, builder.build())
}

pub fn thread_each(race: &Arc<Race>) -> Outcome<Duration> {
    let mut builder = build_multi_producer(CAPACITY, Slot::default, BusySpin).with_multi_consumer();
    for mut sink in race.sinks() {
        builder = builder.handle_events_with(move |slot: &Slot, _, _| {
            if let Some(note) = slot {
                sink.take(note);
            }
        });
    }
    // The last producer to go ends the threads, and waits for them.
    Ok(race.run(publishers(race, builder.build())))
}

fn run_polled<B>(
    race: &Arc<Race>,
    pollers: Vec<Poller>,
    producer: MultiProducer<Slot, B>,
) -> Outcome<Duration>
where
    MultiProducer<Slot, B>: Producer<Slot> + Clone + Send,
{
    let subscribers: Vec<_> = pollers.into_iter().zip(race.sinks()).collect();
    let consumer = thread::spawn(move || poll_in_turn(subscribers));
    let time = race.run(publishers(race, producer));
    consumer.join().map_err(|_| "the polling thread panicked")?;
    Ok(time)
}

fn publishers<P: Producer<Slot> + Clone + Send>(
    race: &Race,
    producer: P,
) -> Vec<impl FnMut(Note) + Send + use<P>> {
    vec![producer; race.fanout.publishers].into_iter().map(publisher).collect()
}

/// Yields while the ring is full: there may be more threads than processors.
fn publisher<P: Producer<Slot> + Send>(mut producer: P) -> impl FnMut(Note) + Send {
    move |note| {
        let mut parcel = Some(Arc::new(note));
        while producer.try_publish(|slot| *slot = parcel.take()).is_err() {
            thread::yield_now();
        }
    }
}

fn poll_in_turn(mut subscribers: Vec<(Poller, Sink)>) {
    let mut spins = 0;
    while !subscribers.is_empty() {
        let mut found = false;
        subscribers.retain_mut(|(poller, sink)| match poller.poll() {
            Ok(mut notes) => {
                (&mut notes).flatten().for_each(|note| sink.take(note));
                found = true;
                true
            }
            Err(polling) => polling == Polling::NoEvents,
        });
        spins = if found { 0 } else { spins + 1 };
        match spins < SPINS {
            true => std::hint::spin_loop(),
            false => thread::yield_now(),
        }
    }
}
