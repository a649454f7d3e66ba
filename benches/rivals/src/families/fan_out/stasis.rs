//! The bus: one topic, and subscriptions of every kind.

mod publishing;
mod subscribing;

use super::credits::Credits;
use super::race::{Note, Race};
use crate::bench::Outcome;
use publishing::{How, publishers};
use stasis_bus::{Bus, BusBuilder, Dispatch, MessageType, Overflow, Topic, Wait};
use std::sync::Arc;
use std::time::Duration;
use subscribing::Kind;

/// Publishers wait for room as in a bounded channel; a minute, so that nothing is dropped instead.
const BLOCK: Overflow = Overflow::Block(Duration::from_secs(60));
const SPIN: Wait = Wait::SpinThenPark(Duration::from_micros(50));

/// One race of the bus.
struct Run<'a> {
    race: &'a Arc<Race>,
    bus: Bus,
    topic: Topic,
    note: MessageType<Note>,
    /// Instead of Block: publishers never wait inside the bus, and mailboxes never grow.
    credits: Option<Arc<Credits>>,
}

/// The contestant of the targets: pool subscriptions with Block, one worker that spins for 50 us, `Topic::publish`.
pub fn pool(race: &Arc<Race>) -> Outcome<Duration> {
    Run::new(race, one_worker().wait(SPIN))?.go(Kind::Handler(Dispatch::Pool), How::Topic)
}

/// The same, but a worker without work sleeps at once.
pub fn pool_parking(race: &Arc<Race>) -> Outcome<Duration> {
    Run::new(race, one_worker())?.go(Kind::Handler(Dispatch::Pool), How::Topic)
}

/// As `pool`, but with `Overflow::Grow` and [credits](super::credits).
pub fn pool_with_credits(race: &Arc<Race>) -> Outcome<Duration> {
    let credits = Some(Credits::new(race.load.subscribers));
    let run = Run { credits, ..Run::new(race, one_worker().wait(SPIN))? };
    run.go(Kind::Handler(Dispatch::Pool), How::Topic)
}

/// As `pool`, but every publishing thread has a `Publisher`, which keeps the lists it reaches and counts by itself.
pub fn pool_by_publishers(race: &Arc<Race>) -> Outcome<Duration> {
    Run::new(race, one_worker().wait(SPIN))?.go(Kind::Handler(Dispatch::Pool), How::Publisher)
}

/// As `pool`, with handlers of what is queued instead of handlers of one message.
pub fn pool_batch_handlers(race: &Arc<Race>) -> Outcome<Duration> {
    Run::new(race, one_worker().wait(SPIN))?.go(Kind::BatchHandler, How::Topic)
}

/// A thread for each subscription.
pub fn dedicated(race: &Arc<Race>) -> Outcome<Duration> {
    Run::new(race, Bus::builder())?.go(Kind::Handler(Dispatch::Dedicated), How::Topic)
}

/// Handlers are called by the publisher.
pub fn inline(race: &Arc<Race>) -> Outcome<Duration> {
    Run::new(race, Bus::builder())?.go(Kind::Inline, How::Topic)
}

/// Streams, all read by one thread in turn.
pub fn streams_one_thread(race: &Arc<Race>) -> Outcome<Duration> {
    Run::new(race, Bus::builder())?.go(Kind::Stream(super::drain::one_thread), How::Topic)
}

/// Streams, each read by a thread of its own.
pub fn streams_thread_each(race: &Arc<Race>) -> Outcome<Duration> {
    Run::new(race, Bus::builder())?.go(Kind::Stream(super::drain::thread_each), How::Topic)
}

fn one_worker() -> BusBuilder {
    Bus::builder().workers(1..=1)
}

impl<'a> Run<'a> {
    fn new(race: &'a Arc<Race>, builder: BusBuilder) -> Outcome<Self> {
        let bus = builder.build()?;
        let (topic, note) = (bus.topic("fan-out")?, bus.message_type("note")?);
        Ok(Self { race, bus, topic, note, credits: None })
    }

    fn go(self, kind: Kind, how: How) -> Outcome<Duration> {
        let subscribers = subscribing::start(&self, kind)?;
        let time = self.race.run(publishers(&self, how));
        subscribers.end()?;
        let report = self.bus.shutdown(Duration::from_secs(10))?;
        match report.is_clean() {
            true => Ok(time),
            false => Err(report.to_string().into()),
        }
    }
}
