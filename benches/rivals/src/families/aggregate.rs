//! A topic for each call, forwarded to one for all, which has 4 subscribers: whether many topics cost more than few.

use super::fan_out::load::Load;
use super::fan_out::race::{Note, Race, Sink};
use super::kit::{BLOCK, SPIN, SPIN_NAME};
use crate::bench::{Contestant, Effort, Outcome, Sample, Scenario};
use stasis_bus::{Bus, Delivery, Forward, MessageType, Subscription, Topic};
use std::sync::Arc;
use std::time::Duration;

const SUBSCRIBERS: usize = 4;
const NAMES: [(&str, usize); 3] =
    [("aggregate-10", 10), ("aggregate-1k", 1_000), ("aggregate-100k", 100_000)];

pub fn all() -> Vec<Scenario> {
    NAMES.map(|(name, topics)| scenario(name, topics)).into()
}

fn scenario(name: &str, topics: usize) -> Scenario {
    let about =
        format!("ns per message until all 4 have it; {topics} topics in turn, forwarded to theirs; fresh");
    Scenario::timed("aggregate", name, about, contestants(topics))
}

pub fn contestants(topics: usize) -> Vec<Contestant> {
    let row = |name: &str, wait, inline: bool| {
        Contestant::new("stasis", name, wait, move |effort| run(topics, inline, effort))
    };
    vec![row("stasis pool", SPIN_NAME, false), row("stasis inline", "no queue", true)]
}

/// Every topic at least once while it is measured, unless only the answer is asked for.
fn load(topics: usize, effort: Effort) -> (usize, Load) {
    let topics = if effort == Effort::Check { topics.min(1_000) } else { topics };
    let messages = effort.of(300_000).max(topics as u64);
    (topics, Load { messages, warm_up: messages, ..Load::new(format!("aggregate-{topics}"), SUBSCRIBERS) })
}

fn run(topics: usize, inline: bool, effort: Effort) -> Outcome<Sample> {
    let (topics, load) = load(topics, effort);
    let race = Race::new(load);
    let bus = Bus::builder().workers(1..=1).wait(SPIN).build()?;
    let (all, note) = (bus.topic("all")?, bus.message_type("note")?);
    let subscribe = |sink| subscribe(&all, &note, sink, inline);
    let subscriptions: Vec<_> = race.sinks().into_iter().map(subscribe).collect::<Outcome<_>>()?;
    let upstream = upstream(&bus, &all, topics)?;
    let time = race.run(vec![publisher(&race, upstream, note)]);
    drop(subscriptions);
    bus.shutdown(Duration::from_secs(30))?;
    drop(bus);
    race.sample(time)
}

fn subscribe(all: &Topic, note: &MessageType<Note>, sink: Sink, inline: bool) -> Outcome<Subscription> {
    let note = note.clone();
    let take = move |delivery: &Delivery<'_>| {
        if let Some(note) = delivery.read(&note) {
            sink.take(note);
        }
    };
    let builder = all.subscription("all");
    Ok(if inline { builder.inline(take)? } else { builder.overflow(BLOCK).start(take)? })
}

/// Topics that are forwarded to `all`.
pub fn upstream(bus: &Bus, all: &Topic, topics: usize) -> Outcome<Vec<(Topic, Forward)>> {
    let one = |number| {
        let topic = bus.topic(&format!("channel:PJSIP/phone-{number:08}"))?;
        let forward = topic.forward_to(all)?;
        Ok((topic, forward))
    };
    (0..topics).map(one).collect()
}

fn publisher(
    race: &Arc<Race>,
    upstream: Vec<(Topic, Forward)>,
    note: MessageType<Note>,
) -> impl FnMut(u64) + Send + use<> {
    let (race, mut next) = (race.clone(), 0);
    move |number| {
        let report = upstream[next].0.publish(note.message(Note::new(number)));
        next = if next + 1 == upstream.len() { 0 } else { next + 1 };
        if report.accepted as usize != SUBSCRIBERS {
            race.fail(format!("{report:?}"));
        }
    }
}
