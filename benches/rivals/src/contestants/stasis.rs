//! The bus: one topic, pool subscriptions; every publisher uses the same topic, or a `Publisher` of its own.

use super::credits::{Allowance, Credits, Progress};
use crate::race::{Note, Outcome, Race, Sink};
use crate::scenario::CAPACITY;
use stasis_bus::{Bus, BusBuilder, Delivery, MessageType, Overflow, Report, Subscription, Topic, Wait};
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

/// The bus at its defaults, with `Overflow::Block`; every publisher publishes by a `Publisher`, which keeps the lists it
/// reaches and counts by itself.
pub fn by_publishers(race: &Arc<Race>) -> Outcome<Duration> {
    run_by(race, Bus::builder(), None, |topic, kind| {
        let (mut publisher, kind) = (topic.publisher(), kind.clone());
        move |note| publisher.publish(kind.message(note))
    })
}

fn run(race: &Arc<Race>, builder: BusBuilder, credits: Option<&Arc<Credits>>) -> Outcome<Duration> {
    run_by(race, builder, credits, |topic, kind| {
        let (topic, kind) = (topic.clone(), kind.clone());
        move |note| topic.publish(kind.message(note))
    })
}

/// With a publisher made for each thread that publishes.
fn run_by<P: FnMut(Note) -> Report + Send>(
    race: &Arc<Race>,
    builder: BusBuilder,
    credits: Option<&Arc<Credits>>,
    publish_by: impl Fn(&Topic, &MessageType<Note>) -> P,
) -> Outcome<Duration> {
    let bus = builder.build()?;
    let kind = bus.message_type::<Note>("note")?;
    let topic = bus.topic("fan-out")?;
    let subscriptions = subscribe_all(race, &topic, &kind, credits)?;
    let publishers = (0..race.fanout.publishers).map(|_| publisher(race, publish_by(&topic, &kind), credits));
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

fn publisher<P: FnMut(Note) -> Report + Send>(
    race: &Arc<Race>,
    mut publish: P,
    credits: Option<&Arc<Credits>>,
) -> impl FnMut(Note) + Send + use<P> {
    let race = race.clone();
    let mut allowance = credits.map(Credits::allowance);
    move |note| {
        allowance.as_mut().map(Allowance::spend);
        let report = publish(note);
        if report.accepted as usize != race.fanout.subscribers {
            race.fail(format!("{report:?}"));
        }
    }
}
