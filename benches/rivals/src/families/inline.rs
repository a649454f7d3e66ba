//! Handlers that the publisher calls itself: what the bus adds to a loop of calls. And subscriptions that want none of it.

use super::kit::{SPIN, SPIN_NAME, Sink, each, total};
use crate::bench::{Contestant, Effort, Outcome, Sample, Scenario, Tally};
use arc_swap::ArcSwap;
use stasis_bus::{Bus, MessageType, Subscription, Topic};
use std::hint::black_box;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

const FAMILY: &str = "inline";
const NO_QUEUE: &str = "no queue";
/// Calls in a full repetition.
const CALLS: u64 = 20_000_000;
const FILTERED: usize = 64;

/// What is published, again and again.
struct Note {
    number: u64,
}

const NUMBER: u64 = 7;

type Call = Box<dyn Fn(&Note) + Send + Sync>;

pub fn all() -> Vec<Scenario> {
    vec![calls(1), calls(64), filtered()]
}

fn calls(width: usize) -> Scenario {
    let about = format!(
        "ns per message through {width} handlers that its publisher calls; one message again and again"
    );
    let row = |rival, name: &str, run: fn(usize, Effort) -> Outcome<Sample>| {
        Contestant::new(rival, name, NO_QUEUE, move |effort| run(width, effort))
    };
    let contestants = vec![
        row("stasis", "stasis publish", by_topic),
        row("stasis", "stasis publisher", by_publisher),
        row("vec", "vec", by_vec),
        row("rwlock", "rwlock of vec", by_rwlock),
        row("arc-swap", "arc-swap of vec", by_arc_swap),
    ];
    Scenario::timed(FAMILY, format!("inline-{width}"), about, contestants)
}

fn messages(width: usize, effort: Effort) -> u64 {
    effort.of(CALLS / (width as u64 + 4))
}

/// Times `publish`, which calls every sink.
fn time(width: usize, effort: Effort, sinks: &[Arc<Sink>], mut publish: impl FnMut()) -> Outcome<Sample> {
    let (messages, warm_up) = (messages(width, effort), messages(width, effort) / 10);
    (0..warm_up).for_each(|_| publish());
    let start = Instant::now();
    (0..messages).for_each(|_| publish());
    let time = start.elapsed();
    let one = Tally { count: 1, sum: NUMBER };
    let wanted = one.times((messages + warm_up) * width as u64);
    Ok(Sample::new(total(sinks), wanted).with("time_per_message", "ns", each(time, messages)))
}

fn by_topic(width: usize, effort: Effort) -> Outcome<Sample> {
    let home = Home::new(width)?;
    let message = home.note.message(Note { number: NUMBER });
    time(width, effort, &home.sinks, || {
        black_box(home.topic.republish(&message).accepted);
    })
}

fn by_publisher(width: usize, effort: Effort) -> Outcome<Sample> {
    let home = Home::new(width)?;
    let (message, mut publisher) = (home.note.message(Note { number: NUMBER }), home.topic.publisher());
    time(width, effort, &home.sinks, || {
        black_box(publisher.republish(&message).accepted);
    })
}

/// The bus with a topic and inline subscriptions.
struct Home {
    topic: Topic,
    note: MessageType<Note>,
    sinks: Vec<Arc<Sink>>,
    _subscriptions: Vec<Subscription>,
    _bus: Bus,
}

impl Home {
    fn new(width: usize) -> Outcome<Self> {
        let bus = Bus::new()?;
        let (topic, note, sinks) = (bus.topic("calls")?, bus.message_type("note")?, Sink::several(width));
        let subscribe = |sink: &Arc<Sink>| subscribe(&topic, &note, sink.clone());
        let subscriptions = sinks.iter().map(subscribe).collect::<Outcome<_>>()?;
        Ok(Self { topic, note, sinks, _subscriptions: subscriptions, _bus: bus })
    }
}

fn subscribe(topic: &Topic, note: &MessageType<Note>, sink: Arc<Sink>) -> Outcome<Subscription> {
    let note = note.clone();
    Ok(topic.subscription("call").inline(move |delivery| {
        if let Some(note) = delivery.read(&note) {
            sink.take(note.number);
        }
    })?)
}

fn handlers(sinks: &[Arc<Sink>]) -> Vec<Call> {
    let handler = |sink: &Arc<Sink>| -> Call {
        let sink = sink.clone();
        Box::new(move |note| sink.take(note.number))
    };
    black_box(sinks.iter().map(handler).collect())
}

/// The floor: nobody joins, nobody leaves.
fn by_vec(width: usize, effort: Effort) -> Outcome<Sample> {
    let sinks = Sink::several(width);
    let (handlers, note) = (handlers(&sinks), Arc::new(Note { number: NUMBER }));
    time(width, effort, &sinks, || handlers.iter().for_each(|call| call(black_box(&note))))
}

fn by_rwlock(width: usize, effort: Effort) -> Outcome<Sample> {
    let sinks = Sink::several(width);
    let (handlers, note) = (RwLock::new(handlers(&sinks)), Arc::new(Note { number: NUMBER }));
    time(width, effort, &sinks, || {
        let handlers = handlers.read().expect("nobody panics");
        handlers.iter().for_each(|call| call(black_box(&note)));
    })
}

fn by_arc_swap(width: usize, effort: Effort) -> Outcome<Sample> {
    let sinks = Sink::several(width);
    let (handlers, note) = (ArcSwap::from_pointee(handlers(&sinks)), Arc::new(Note { number: NUMBER }));
    time(width, effort, &sinks, || handlers.load().iter().for_each(|call| call(black_box(&note))))
}

fn filtered() -> Scenario {
    let about = "ns per message that none of 64 subscriptions wants; one message again and again";
    let contestants = vec![
        Contestant::new("stasis", "stasis pool", SPIN_NAME, |effort| filtered_by_bus(effort, false)),
        Contestant::new("stasis", "stasis inline", NO_QUEUE, |effort| filtered_by_bus(effort, true)),
        Contestant::new("flags", "flags", NO_QUEUE, filtered_by_flags),
    ];
    Scenario::timed(FAMILY, "filtered-64", about, contestants)
}

/// At the end one message that everybody wants: they are there, and heard nothing before it.
fn time_filtered(
    effort: Effort,
    sinks: &[Arc<Sink>],
    mut unwanted: impl FnMut(),
    wanted: impl FnOnce() -> Outcome<()>,
) -> Outcome<Sample> {
    let (messages, one) = (messages(FILTERED, effort), Tally { count: 1, sum: NUMBER });
    (0..messages / 10).for_each(|_| unwanted());
    let start = Instant::now();
    (0..messages).for_each(|_| unwanted());
    let time = start.elapsed();
    wanted()?;
    let sample = Sample::new(total(sinks), one.times(FILTERED as u64));
    Ok(sample.with("time_per_message", "ns", each(time, messages)))
}

fn filtered_by_bus(effort: Effort, inline: bool) -> Outcome<Sample> {
    let bus = Bus::builder().workers(1..=1).wait(SPIN).build()?;
    let (topic, note) = (bus.topic("calls")?, bus.message_type::<Note>("note")?);
    let (other, sinks) = (bus.message_type::<Note>("other")?, Sink::several(FILTERED));
    let subscribe = |sink: &Arc<Sink>| -> Outcome<Subscription> {
        let (sink, read) = (sink.clone(), other.clone());
        let take = move |delivery: &stasis_bus::Delivery<'_>| {
            if let Some(note) = delivery.read(&read) {
                sink.take(note.number);
            }
        };
        let builder = topic.subscription("call").accept(&other);
        Ok(if inline { builder.inline(take)? } else { builder.start(take)? })
    };
    let _subscriptions: Vec<_> = sinks.iter().map(subscribe).collect::<Outcome<_>>()?;
    let message = note.message(Note { number: NUMBER });
    let unwanted = || {
        black_box(topic.publish(message.clone()));
    };
    time_filtered(effort, &sinks, unwanted, || {
        topic.publish(other.message(Note { number: NUMBER }));
        bus.shutdown(Duration::from_secs(10))?;
        Ok(())
    })
}

/// A list of subscribers, each with a flag beside it that says whether it wants such a message.
fn filtered_by_flags(effort: Effort) -> Outcome<Sample> {
    let sinks = Sink::several(FILTERED);
    let mut list: Vec<(bool, Call)> = handlers(&sinks).into_iter().map(|call| (false, call)).collect();
    let note = Arc::new(Note { number: NUMBER });
    let publish = |list: &[(bool, Call)]| {
        list.iter().filter(|(wants, _)| *wants).for_each(|(_, call)| call(&note));
    };
    let flags = std::cell::RefCell::new(&mut list);
    let unwanted = || publish(black_box(&flags.borrow()));
    time_filtered(effort, &sinks, unwanted, || {
        flags.borrow_mut().iter_mut().for_each(|(wants, _)| *wants = true);
        publish(&flags.borrow());
        Ok(())
    })
}
