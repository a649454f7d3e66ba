//! Updates that somebody hears of: what was there, and what is there now, to 0, 1 and 16 subscribers.
//!
//! The bus publishes on a cached topic; its subscribers get `CacheUpdate`s. The rivals are what one would write by hand: a
//! map's insert, and the old and the new state sent through a channel to each subscriber.
//!
//! Who writes is pinned to one processor and who listens to the other, for everybody: left to themselves, both may be kept
//! on one for as long as the process lives, where nothing travels, and a process would show the one speed or the other. What
//! that is like is a scenario of its own.

use super::maps::{Dash, Map, Papaya};
use super::states::{Names, State};
use super::{FAMILY, size};
use crate::bench::{Contestant, Effort, Outcome, Sample, Scenario, Tally};
use crate::families::kit::{BLOCK, SPIN, SPIN_NAME, Sink, each, total};
use crate::pinning::{CONSUMER, PUBLISHER, on_this, pin_handlers_to, spawn_on};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use crossbeam_utils::Backoff;
use stasis_bus::{Bus, Cache, CacheUpdate, MessageType, Subscription};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const ENTRIES: usize = 10_000;
const UPDATES: u64 = 300_000;
const CAPACITY: usize = 1024;

pub fn all() -> Vec<Scenario> {
    let apart = [0, 1, 16].map(|subscribers| scenario(subscribers, CONSUMER));
    apart.into_iter().chain([scenario(1, PUBLISHER)]).collect()
}

/// `place`: the processor of those who listen.
fn scenario(subscribers: usize, place: usize) -> Scenario {
    let (suffix, where_) = match place {
        PUBLISHER => ("-together", "all on one processor"),
        _ => ("", "on another processor than the writer"),
    };
    let about = format!(
        "ns per update of 10000 objects until all {subscribers} subscribers have handled it, {where_}"
    );
    let row = |rival, name: &str, wait, run: Run| {
        Contestant::new(rival, name, wait, move |effort| {
            on_this(PUBLISHER, || run(&Plan::new(subscribers, place, effort)))
        })
    };
    let mut contestants = vec![
        row("stasis", "stasis pool", SPIN_NAME, by_bus),
        row("papaya", "papaya and crossbeam", "spins, yields", by_channels::<Papaya>),
        row("dashmap", "dashmap and crossbeam", "spins, yields", by_channels::<Dash>),
    ];
    if subscribers == 1 {
        contestants.push(row("papaya", "papaya and crossbeam, parking", "recv", by_parked_channel));
    }
    Scenario::timed(FAMILY, format!("cache-update-{subscribers}{suffix}"), about, contestants)
}

type Run = fn(&Plan) -> Outcome<Sample>;

/// Every object in turn, in an order that looks random; a round through all of them, and the next.
struct Plan {
    names: Arc<Names>,
    updates: u64,
    sinks: Vec<Arc<Sink>>,
    /// The processor of those who listen.
    place: usize,
}

impl Plan {
    fn new(subscribers: usize, place: usize, effort: Effort) -> Self {
        let full = UPDATES / (subscribers as u64 + 1);
        let updates = if effort == Effort::Quick { full / 4 } else { effort.of(full) };
        Self { names: Names::new(size(ENTRIES, effort)), updates, sinks: Sink::several(subscribers), place }
    }

    /// Each object once, before the clock starts: all that is made later takes the place of what was made.
    fn warm_up(&self) -> u64 {
        self.names.len() as u64
    }

    fn all(&self) -> u64 {
        self.warm_up() + self.updates
    }

    /// Of that update: which object, and how often it was written before.
    #[inline]
    fn update(&self, which: u64) -> (u64, u64) {
        let len = self.names.len() as u64;
        (self.names.at((which % len) as usize).0, 1 + which / len)
    }

    /// Times `put` of every update until all subscribers have heard of all.
    fn time(&self, mut put: impl FnMut(u64, u64)) -> Duration {
        let mut put_all = |updates: std::ops::Range<u64>| {
            let end = updates.end;
            for which in updates {
                let (number, round) = self.update(which);
                put(number, round);
            }
            self.sinks.iter().for_each(|sink| sink.wait_for(end));
        };
        put_all(0..self.warm_up());
        let start = Instant::now();
        put_all(self.warm_up()..self.all());
        start.elapsed()
    }

    /// Whether all of them heard everything, with what was there before; and whether the map has the last states.
    fn sample(&self, time: Duration, round_of: impl Fn(&str) -> Option<u64>) -> Outcome<Sample> {
        let update = |which| {
            let (number, round) = self.update(which);
            weigh(round - 1, number, round)
        };
        let (mut got, mut wanted) = (total(&self.sinks), Tally::default());
        wanted.merge((0..self.all()).map(update).collect::<Tally>().times(self.sinks.len() as u64));
        let len = self.names.len() as u64;
        for place in 0..len {
            let (number, name) = self.names.at(place as usize);
            let last = 1 + (self.all() - 1 - place) / len;
            wanted.add(weigh(0, number, last));
            got.add(weigh(0, number, round_of(name).unwrap_or(u64::MAX)));
        }
        Ok(Sample::new(got, wanted).with("time_per_update", "ns", each(time, self.updates)))
    }
}

/// What an update adds to a subscriber's sum.
#[inline]
fn weigh(round_before: u64, number: u64, round: u64) -> u64 {
    number ^ (round << 24) ^ (round_before << 44)
}

fn by_bus(plan: &Plan) -> Outcome<Sample> {
    let bus = pin_handlers_to(plan.place, Bus::builder().workers(1..=1).wait(SPIN)).build()?;
    let (topic, kind) = (bus.topic("states")?, bus.message_type::<State>("state")?);
    let cache = Cache::builder(&bus).id_of(&kind, |state| &state.name).build()?;
    let cached = topic.caching(&cache)?;
    (0..plan.names.len() as u64).for_each(|number| {
        topic.publish(kind.message(plan.names.state(number, 0)));
    });
    let subscribe = |sink: &Arc<Sink>| -> Outcome<Subscription> {
        let (sink, read) = (sink.clone(), kind.clone());
        let builder = cached.subscription("updates").capacity(CAPACITY).overflow(BLOCK);
        Ok(builder.start_typed(bus.cache_updates(), move |update, _| take_update(&sink, &read, update))?)
    };
    let subscriptions: Vec<_> = plan.sinks.iter().map(subscribe).collect::<Outcome<_>>()?;
    let mut publisher = topic.publisher();
    let time = plan.time(|number, round| {
        publisher.publish(kind.message(plan.names.state(number, round)));
    });
    let round_of = |name: &str| Some(kind.read(&cache.get(&kind, name)?)?.round);
    let sample = plan.sample(time, round_of);
    subscriptions.into_iter().try_for_each(Subscription::unsubscribe_and_join)?;
    bus.shutdown(Duration::from_secs(10))?;
    sample
}

#[inline]
fn take_update(sink: &Sink, kind: &MessageType<State>, update: &CacheUpdate) {
    let old = update.old.as_ref().and_then(|old| kind.read(old));
    let new = update.new.as_ref().and_then(|new| kind.read(new));
    if let (Some(old), Some(new)) = (old, new) {
        sink.take(weigh(old.round, new.number, new.round));
    }
}

/// What was there, and what is there now.
type Update = (Arc<State>, Arc<State>);

/// A map that gives back what it replaces.
trait Replaces: Map {
    fn replace(&self, number: u64, round: u64) -> Option<Update>;
}

impl Replaces for Papaya {
    #[inline]
    fn replace(&self, number: u64, round: u64) -> Option<Update> {
        let (name, new) = self.writer.pair(number, round);
        let old = self.map.pin().insert(name, new.clone()).cloned();
        Some((old?, new))
    }
}

impl Replaces for Dash {
    #[inline]
    fn replace(&self, number: u64, round: u64) -> Option<Update> {
        let (name, new) = self.writer.pair(number, round);
        let old = self.map.insert(name, new.clone());
        Some((old?, new))
    }
}

/// One thread serves all subscribers, and looks all the time.
fn by_channels<M: Replaces>(plan: &Plan) -> Outcome<Sample> {
    by_map::<M>(plan, |plan, receivers| {
        let subscribers = receivers.into_iter().zip(plan.sinks.iter().cloned()).collect();
        consumer(plan.place, subscribers)
    })
}

/// The subscriber is a thread that sleeps while there is nothing.
fn by_parked_channel(plan: &Plan) -> Outcome<Sample> {
    by_map::<Papaya>(plan, |plan, mut receivers| {
        let (receiver, sink) = (receivers.pop()?, plan.sinks[0].clone());
        Some(spawn_on(plan.place, move || receiver.iter().for_each(|update| take(&sink, update))))
    })
}

fn by_map<M: Replaces>(
    plan: &Plan,
    listen: impl FnOnce(&Plan, Vec<Receiver<Update>>) -> Option<JoinHandle<()>>,
) -> Outcome<Sample> {
    let map = M::new(&plan.names)?;
    let (senders, receivers): (Vec<Sender<Update>>, Vec<_>) =
        plan.sinks.iter().map(|_| bounded(CAPACITY)).unzip();
    let consumer = listen(plan, receivers);
    let time = match senders.as_slice() {
        [] => plan.time(|number, round| map.put(number, round)),
        all => plan.time(|number, round| {
            if let Some(update) = map.replace(number, round) {
                send(all, update);
            }
        }),
    };
    drop(senders);
    consumer.map_or(Ok(()), |thread| thread.join().map_err(|_| "the consumer panicked"))?;
    plan.sample(time, |name| map.get(name, |state| state.round))
}

/// The last channel gets the sender's own references.
fn send(senders: &[Sender<Update>], update: Update) {
    let Some((last, others)) = senders.split_last() else { return };
    others.iter().for_each(|sender| sender.send(update.clone()).expect("the channel is open"));
    last.send(update).expect("the channel is open");
}

fn consumer(place: usize, mut subscribers: Vec<(Receiver<Update>, Arc<Sink>)>) -> Option<JoinHandle<()>> {
    (!subscribers.is_empty()).then(|| {
        spawn_on(place, move || {
            let backoff = Backoff::new();
            while !subscribers.is_empty() {
                let mut found = false;
                subscribers.retain(|(receiver, sink)| serve(receiver, sink, &mut found));
                if found { backoff.reset() } else { backoff.snooze() }
            }
        })
    })
}

/// What is there, at most one queue's worth. False: there will be no more.
fn serve(receiver: &Receiver<Update>, sink: &Sink, found: &mut bool) -> bool {
    for _ in 0..CAPACITY {
        match receiver.try_recv() {
            Ok(update) => take(sink, update),
            Err(TryRecvError::Empty) => break,
            Err(TryRecvError::Disconnected) => return false,
        }
        *found = true;
    }
    true
}

#[inline]
fn take(sink: &Sink, (old, new): Update) {
    sink.take(weigh(old.round, new.number, new.round));
}
