//! Topics that come and go, and subscriptions that come and go, on a bus that has many topics already.

use super::aggregate::upstream;
use super::kit::{BLOCK, Kept, SPIN, SPIN_NAME, Sink, each, total};
use crate::bench::{Contestant, Effort, Outcome, Sample, Scenario, Tally};
use stasis_bus::{Bus, Delivery, Forward, MessageType, Subscription, Topic};
use std::sync::Arc;
use std::time::Instant;

const SUBSCRIBERS: usize = 4;
const LIVES: u64 = 50_000;
/// Messages in a life.
const MESSAGES: u64 = 3;
const PAIRS: u64 = 50_000;

pub fn all() -> Vec<Scenario> {
    let mut all =
        Vec::from([("churn-10", 10), ("churn-100k", 100_000)].map(|(name, others)| lives(name, others)));
    all.extend([("subscribe-0", 0), ("subscribe-100k", 100_000)].map(|(name, others)| pairs(name, others)));
    all
}

/// What is there before anything comes: topics that are forwarded to one, which stands for all.
struct Town {
    all: Topic,
    number: MessageType<u64>,
    _others: Vec<(Topic, Forward)>,
    subscriptions: Vec<Subscription>,
    sinks: Vec<Arc<Sink>>,
    /// Lives so far.
    lived: u64,
    bus: Bus,
}

impl Town {
    fn new(others: usize, effort: Effort) -> Outcome<Self> {
        let others = if effort == Effort::Check { others.min(1_000) } else { others };
        let bus = Bus::builder().workers(1..=1).wait(SPIN).build()?;
        let (all, number) = (bus.topic("all")?, bus.message_type("number")?);
        let others = upstream(&bus, &all, others)?;
        Ok(Self { all, number, _others: others, subscriptions: Vec::new(), sinks: Vec::new(), lived: 0, bus })
    }

    fn subscribed(mut self, inline: bool) -> Outcome<Self> {
        self.sinks = Sink::several(SUBSCRIBERS);
        self.subscriptions =
            self.sinks.iter().map(|sink| self.subscribe(sink, inline)).collect::<Outcome<_>>()?;
        Ok(self)
    }

    fn subscribe(&self, sink: &Arc<Sink>, inline: bool) -> Outcome<Subscription> {
        let (sink, number) = (sink.clone(), self.number.clone());
        let take = move |delivery: &Delivery<'_>| {
            if let Some(number) = delivery.read(&number) {
                sink.take(*number);
            }
        };
        let builder = self.all.subscription("all").accept(&self.number);
        Ok(if inline { builder.inline(take)? } else { builder.overflow(BLOCK).start(take)? })
    }

    /// A topic is made, forwarded, published on three times, and gone.
    fn live(&mut self) -> Outcome<()> {
        self.lived += 1;
        let topic = self.bus.topic(&format!("call:{:08}", self.lived))?;
        let _forward = topic.forward_to(&self.all)?;
        for _ in 0..MESSAGES {
            topic.publish(self.number.message(self.lived));
        }
        Ok(())
    }

    fn time_lives(&mut self, effort: Effort) -> Outcome<Sample> {
        let (lives, first) = (effort.of(LIVES), self.lived + 1);
        let before = total(&self.sinks);
        let start = Instant::now();
        for _ in 0..lives {
            self.live()?;
        }
        self.sinks.iter().for_each(|sink| sink.wait_for(self.lived * MESSAGES));
        let time = start.elapsed();
        let mut wanted: Tally = (first..=self.lived).collect();
        wanted = wanted.times(MESSAGES * SUBSCRIBERS as u64);
        wanted.merge(before);
        Ok(Sample::new(total(&self.sinks), wanted).with("time_per_life", "ns", each(time, lives)))
    }

    /// A subscription is made, and ended; until all have had their final message.
    fn time_pairs(&mut self, inline: bool, effort: Effort) -> Outcome<Sample> {
        let (pairs, sink) = (effort.of(PAIRS), Arc::new(Sink::default()));
        let start = Instant::now();
        for _ in 0..pairs {
            let sink = sink.clone();
            // Several endings may run at once where publishers run them, but nobody publishes.
            let take = move |delivery: &Delivery<'_>| sink.take(u64::from(delivery.is_final()));
            let builder = self.all.subscription("guest").accept(&self.number);
            let guest = if inline { builder.inline(take)? } else { builder.start(take)? };
            guest.unsubscribe();
        }
        sink.wait_for(pairs);
        let time = start.elapsed();
        let wanted = Tally { count: pairs, sum: pairs };
        Ok(Sample::new(sink.tally(), wanted).with("time_per_pair", "ns", each(time, pairs)))
    }
}

fn lives(name: &str, others: usize) -> Scenario {
    let about = format!(
        "ns for a topic's life: made, forwarded to one with 4 subscribers, 3 messages, gone; beside {others} others"
    );
    let row = |name: &str, wait, inline: bool| {
        let kept: Kept<Town> = Kept::new();
        Contestant::new("stasis", name, wait, move |effort| {
            kept.with(|| Town::new(others, effort)?.subscribed(inline), |town| town.time_lives(effort))
        })
    };
    let contestants = vec![row("stasis pool", SPIN_NAME, false), row("stasis inline", "no queue", true)];
    Scenario::timed("churn", name, about, contestants)
}

fn pairs(name: &str, others: usize) -> Scenario {
    let about = format!(
        "ns for a subscription that begins and ends, on a topic that {others} others are forwarded to"
    );
    let row = |name: &str, wait, inline: bool| {
        let kept: Kept<Town> = Kept::new();
        Contestant::new("stasis", name, wait, move |effort| {
            kept.with(|| Town::new(others, effort), |town| town.time_pairs(inline, effort))
        })
    };
    let contestants = vec![row("stasis pool", SPIN_NAME, false), row("stasis inline", "no queue", true)];
    Scenario::timed("churn", name, about, contestants)
}
