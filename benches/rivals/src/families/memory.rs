//! What things weigh that a bus has many of: bytes on the heap, as the allocator made them, for one of many.

use super::kit::Sink;
use crate::allocator::live_bytes;
use crate::bench::{Contestant, Effort, Outcome, Sample, Scenario, Tally};
use stasis_bus::{Bus, Cache, Forward, Message, MessageType, Overflow, Subscription, Topic};
use std::sync::Arc;

pub fn all() -> Vec<Scenario> {
    let row = |name: &str, run: fn(Effort) -> Outcome<Sample>| Contestant::new("stasis", name, "-", run);
    let contestants = vec![
        row("idle topic", |effort| topics(count(effort, 100_000), false)),
        row("idle topic, of 1000", |effort| topics(count(effort, 1_000), false)),
        row("idle topic and its forward", |effort| topics(count(effort, 100_000), true)),
        row("idle topic and its forward, of 1000", |effort| topics(count(effort, 1_000), true)),
        row("idle subscription", |effort| subscriptions(count(effort, 10_000))),
        row("queued message", queued),
        row("spilled message", |effort| spilled(count(effort, 100_000))),
        row("cache entry", |effort| entries(count(effort, 100_000))),
    ];
    vec![Scenario::weighed("memory", "memory", "bytes on the heap, for one of many", contestants)]
}

fn count(effort: Effort, full: usize) -> usize {
    if effort == Effort::Check { full.min(1_000) } else { full }
}

/// `made` things weigh so much, and each of them counted one.
fn sample(made: u64, grown: i64, got: Tally) -> Outcome<Sample> {
    let wanted = Tally { count: made, sum: 0 };
    Ok(Sample::new(got, wanted).with("weight", "bytes", grown as f64 / made as f64))
}

fn counted(count: usize) -> Tally {
    Tally { count: count as u64, sum: 0 }
}

/// Held by one handle each, with a name of 20 bytes. The vector of handles is not counted: it is the user's.
fn topics(count: usize, forwarded: bool) -> Outcome<Sample> {
    let bus = Bus::builder().manual().build()?;
    let all = bus.topic("all")?;
    let mut held: Vec<(Topic, Option<Forward>)> = Vec::with_capacity(count);
    let before = live_bytes();
    for number in 0..count {
        let topic = bus.topic(&format!("PJSIP/phone-{number:08}"))?;
        let forward = forwarded.then(|| topic.forward_to(&all)).transpose()?;
        held.push((topic, forward));
    }
    let grown = live_bytes() - before;
    let there = held.iter().filter(|(topic, _)| bus.find_topic(topic.name()).is_some());
    sample(count as u64, grown, counted(there.count()))
}

/// Pool subscriptions of one topic that have not had a message yet.
fn subscriptions(count: usize) -> Outcome<Sample> {
    let bus = Bus::builder().manual().build()?;
    let (topic, kind) = (bus.topic("all")?, bus.message_type::<u64>("number")?);
    let mut held: Vec<Subscription> = Vec::with_capacity(count);
    let before = live_bytes();
    for _ in 0..count {
        held.push(topic.subscription("idle").accept(&kind).start(|_| {})?);
    }
    let grown = live_bytes() - before;
    let there = held.iter().filter(|one| one.is_subscribed());
    sample(count as u64, grown, counted(there.count()))
}

/// A mailbox of 1024, full: beyond the message, which is one and the same.
fn queued(effort: Effort) -> Outcome<Sample> {
    const CAPACITY: usize = 1024;
    let mailboxes = count(effort, 1_000) / 10;
    in_mailboxes(mailboxes, CAPACITY, Overflow::DropNewest)
}

/// What a mailbox with `Overflow::Grow` has taken beyond its capacity, with what it has taken within it.
fn spilled(count: usize) -> Outcome<Sample> {
    in_mailboxes(1, count, Overflow::default())
}

fn in_mailboxes(mailboxes: usize, messages: usize, policy: Overflow) -> Outcome<Sample> {
    let bus = Bus::builder().manual().build()?;
    let (topic, kind) = (bus.topic("all")?, bus.message_type::<u64>("number")?);
    let sinks = Sink::several(mailboxes);
    let subscribe = |sink: &Arc<Sink>| -> Outcome<Subscription> {
        let (sink, kind) = (sink.clone(), kind.clone());
        let builder = topic.subscription("full").accept(&kind).overflow(policy.clone());
        Ok(builder
            .start(move |delivery| delivery.read(&kind).into_iter().for_each(|number| sink.take(*number)))?)
    };
    let _held: Vec<Subscription> = sinks.iter().map(subscribe).collect::<Outcome<_>>()?;
    let message = kind.message(0);
    let before = live_bytes();
    for _ in 0..messages {
        topic.publish(message.clone());
    }
    let grown = live_bytes() - before;
    bus.run_until_idle();
    sample((mailboxes * messages) as u64, grown, super::kit::total(&sinks))
}

/// A state with its name in it.
struct State {
    name: String,
}

fn state(kind: &MessageType<State>, number: usize) -> Message {
    kind.message(State { name: format!("PJSIP/phone-{number:08}") })
}

/// Over its message, with the name in it.
fn entries(count: usize) -> Outcome<Sample> {
    let bus = Bus::builder().manual().build()?;
    let (topic, kind) = (bus.topic("states")?, bus.message_type::<State>("state")?);
    let cache = Cache::builder(&bus).id_of(&kind, |state| &state.name).build()?;
    let _cached = topic.caching(&cache)?;
    let before = live_bytes();
    let mut alone: Vec<Message> = Vec::with_capacity(count);
    let vector = live_bytes() - before;
    alone.extend((0..count).map(|number| state(&kind, number)));
    let messages = live_bytes() - before - vector;
    drop(alone);
    let before = live_bytes();
    for number in 0..count {
        topic.publish(state(&kind, number));
    }
    bus.run_until_idle();
    let grown = live_bytes() - before - messages;
    sample(count as u64, grown, counted(cache.len()))
}
