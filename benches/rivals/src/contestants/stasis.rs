//! The bus: one topic, pool subscriptions, the same topic handle for every publisher.

use super::credits::{Allowance, Credits, Progress};
use crate::race::{Note, Outcome, Race, Sink};
use crate::scenario::CAPACITY;
use stasis_bus::{Bus, BusBuilder, Delivery, MessageType, Overflow, Subscription, Topic, Wait};
use std::sync::Arc;
use std::time::Duration;

/// Publishers wait for room as in a bounded channel; a minute, so that nothing is dropped instead.
const BLOCK: Overflow = Overflow::Block(Duration::from_secs(60));

/// The bus at its defaults (a worker without work sleeps), with `Overflow::Block`.
pub fn parking(race: &Arc<Race>) -> Outcome<Duration> {
    run(race, Bus::builder(), None)
}

/// The same, but a worker looks for work for 50 us before it sleeps.
pub fn spinning(race: &Arc<Race>) -> Outcome<Duration> {
    run(race, Bus::builder().wait(Wait::SpinThenPark(Duration::from_micros(50))), None)
}

/// The bus at its defaults, with `Overflow::Grow` and [credits](super::credits): publishers never wait inside the
/// bus, and mailboxes never grow.
pub fn with_credits(race: &Arc<Race>) -> Outcome<Duration> {
    run(race, Bus::builder(), Some(&Credits::new(race.fanout.subscribers)))
}

fn run(race: &Arc<Race>, builder: BusBuilder, credits: Option<&Arc<Credits>>) -> Outcome<Duration> {
    let bus = builder.build()?;
    let kind = bus.message_type::<Note>("note")?;
    let topic = bus.topic("fan-out")?;
    let subscriptions = subscribe_all(race, &topic, &kind, credits)?;
    let publishers = (0..race.fanout.publishers).map(|_| publisher(race, &topic, &kind, credits));
    let time = race.run(publishers.collect());
    drop(subscriptions);
    let report = bus.shutdown(Duration::from_secs(10))?;
    match report.is_clean() {
        true => Ok(time),
        false => Err(report.to_string().into()),
    }
}

fn subscribe_all(
    race: &Arc<Race>,
    topic: &Topic,
    kind: &MessageType<Note>,
    credits: Option<&Arc<Credits>>,
) -> Outcome<Vec<Subscription>> {
    let policy = if credits.is_some() { Overflow::default() } else { BLOCK };
    let start = |(which, sink)| {
        let progress = credits.map(|credits| credits.progress(which));
        let subscription = topic.subscription("fan-out").capacity(CAPACITY).overflow(policy.clone());
        Ok(subscription.start(handler(race.clone(), kind.clone(), sink, progress))?)
    };
    race.sinks().into_iter().enumerate().map(start).collect()
}

fn handler(
    race: Arc<Race>,
    kind: MessageType<Note>,
    mut sink: Sink,
    mut progress: Option<Progress>,
) -> impl FnMut(&Delivery<'_>) + Send {
    move |delivery| {
        if let Some(note) = delivery.read(&kind) {
            sink.take(note);
            progress.as_mut().map(Progress::step);
        }
        if delivery.missed() > 0 {
            race.fail(format!("missed {}", delivery.missed()));
        }
    }
}

fn publisher(
    race: &Arc<Race>,
    topic: &Topic,
    kind: &MessageType<Note>,
    credits: Option<&Arc<Credits>>,
) -> impl FnMut(Note) + Send + use<> {
    let (topic, kind, race) = (topic.clone(), kind.clone(), race.clone());
    let mut allowance = credits.map(Credits::allowance);
    move |note| {
        allowance.as_mut().map(Allowance::spend);
        let report = topic.publish(kind.message(note));
        if report.accepted as usize != race.fanout.subscribers {
            race.fail(format!("{report:?}"));
        }
    }
}
