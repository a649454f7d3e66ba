//! The straight way of a publish, on a topic of mailboxes alone that take everything, against the long way, which the same
//! topic takes with one deaf subscription more; and under load, in every mode and policy. And that of a `Publisher`'s calls,
//! on a topic of inline handlers alone that take everything.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use futures_lite::future::block_on;
use stasis_bus::{
    Bus, Delivery, Dispatch, Grow, Message, MessageType, Overflow, Publisher, Report, Stream, Subscription,
    Topic, Wait,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The same choices for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

fn policy(at: u64, kind: &MessageType<u64>) -> Overflow {
    let kind = kind.clone();
    match at {
        0 => Overflow::DropNewest,
        1 => Overflow::DropOldest,
        2 => Overflow::Block(Duration::ZERO),
        3 => Overflow::Disconnect,
        4 => Overflow::conflate(move |message| kind.read(message).map(|number| (number % 3).into())),
        5 => Overflow::Grow(Grow::limit(2)),
        _ => Overflow::default(),
    }
}

/// What one listener heard: a number and how many it missed before it; no number: its end, or a message of the bus itself.
type Heard = Log<(usize, Option<u64>, u64, bool)>;

/// Per listener what it heard, what was reported, the figures of each listener, and how many messages counted as published.
type Outcome = (Vec<(usize, Option<u64>, u64, bool)>, Vec<[u64; 6]>, Vec<(u64, u64, String)>, u64);

/// One of two buses on which the same is done.
struct Side {
    bus: Bus,
    topic: Topic,
    kind: MessageType<u64>,
    publisher: Publisher,
    listeners: Vec<Subscription>,
    streams: Vec<(usize, Stream)>,
    heard: Heard,
    kept: Vec<Message>,
    reports: Vec<[u64; 6]>,
}

impl Side {
    fn new(seed: u64, is_long: bool) -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let (topic, kind) = (bus.topic("topic").unwrap(), bus.message_type("number").unwrap());
        // Before the others, who would be told of it.
        if is_long {
            let deaf = topic.subscription("deaf").accept(&bus.message_type::<()>("other").unwrap());
            deaf.start(|_| {}).unwrap().detach();
        }
        let mut dice = Dice(seed);
        let (mut listeners, mut streams, heard) = (Vec::new(), Vec::new(), Heard::new());
        let many = if dice.below(8) == 0 { 100 } else { 8 };
        for at in 0..1 + dice.below(many) as usize {
            let mode = QUEUED_MODES[dice.below(4) as usize];
            let builder =
                topic.subscription("listener").dispatch(mode).overflow(policy(dice.below(8), &kind));
            let builder = builder.capacity(1 + dice.below(16) as usize);
            match mode {
                Dispatch::Stream => {
                    let stream = builder.stream().unwrap();
                    listeners.push(stream.handle());
                    streams.push((at, stream));
                }
                _ => listeners.push(builder.start(hears(at, &heard, &kind)).unwrap()),
            }
        }
        let publisher = topic.publisher();
        Self { bus, topic, kind, publisher, listeners, streams, heard, kept: Vec::new(), reports: Vec::new() }
    }

    /// The same steps for the same seed.
    fn run(&mut self, seed: u64) {
        let mut dice = Dice(seed ^ 0x9e37_79b9_7f4a_7c15);
        for number in (0..400).map(|step| step * 10) {
            match dice.below(12) {
                0..4 => self.one(number, |side, message| side.topic.publish(message)),
                4 | 5 => self.one(number, |side, message| side.publisher.publish(message)),
                6 => self.one(number, |side, message| block_on(side.topic.publish_async(message))),
                7 => self.one(number, |side, message| side.topic.republish(&message)),
                8 => self.batch(number, 2 + dice.below(7)),
                9 => self.read(1 + dice.below(8)),
                10 => _ = self.bus.run_until_idle(),
                _ if dice.below(8) == 0 => {
                    let at = dice.below(self.listeners.len() as u64) as usize;
                    self.listeners[at].unsubscribe();
                }
                _ => {}
            }
        }
        self.read(u64::MAX);
        self.listeners.iter().for_each(|listener| _ = listener.unsubscribe());
        self.bus.run_until_idle();
        self.read(u64::MAX);
    }

    fn one(&mut self, number: u64, publish: impl FnOnce(&mut Self, Message) -> Report) {
        let message = self.kind.message(number);
        self.kept.push(message.clone());
        let Report { accepted, over_capacity, dropped, closed, cached, .. } = publish(self, message);
        self.reports.push([
            number,
            accepted.into(),
            over_capacity.into(),
            dropped.into(),
            closed.into(),
            cached.into(),
        ]);
    }

    fn batch(&mut self, number: u64, many: u64) {
        let messages: Vec<_> = (number..number + many).map(|number| self.kind.message(number)).collect();
        self.kept.extend(messages.iter().cloned());
        let report = self.topic.publish_batch(messages);
        self.reports.push([number, report.messages, report.accepted, report.unreached, 0, 0]);
    }

    fn read(&mut self, most: u64) {
        for (at, stream) in &mut self.streams {
            for _ in 0..most {
                let Ok(received) = stream.try_recv() else { break };
                let number = self.kind.read(received.message()).copied();
                self.heard.push((*at, number, received.missed(), received.end().is_some()));
            }
        }
    }

    /// What came of it: per listener, in its order.
    fn outcome(&self) -> Outcome {
        let mut heard = self.heard.all();
        heard.sort_by_key(|(at, ..)| *at);
        let figures: Vec<_> = self.listeners.iter().map(Subscription::stats).collect();
        let figures: Vec<_> =
            figures.iter().map(|stats| (stats.accepted, stats.missed, stats.lost.to_string())).collect();
        (heard, self.reports.clone(), figures, self.topic.stats().published)
    }
}

fn hears(
    at: usize,
    heard: &Heard,
    kind: &MessageType<u64>,
) -> impl Fn(&Delivery<'_>) + Send + Sync + 'static {
    let (heard, kind) = (heard.clone(), kind.clone());
    move |delivery| {
        let number = delivery.read(&kind).copied();
        if number.is_some() || delivery.is_final() {
            heard.push((at, number, delivery.missed(), delivery.is_final()));
        }
    }
}

#[test]
fn g7_the_straight_way_does_what_the_long_one_does() {
    let _watched = watched();
    for seed in 1..=150 {
        let outcomes = [false, true].map(|is_long| {
            let mut side = Side::new(seed, is_long);
            side.run(seed);
            assert!(side.kept.iter().all(|message| message.reference_count() == 1), "seed {seed}");
            side.outcome()
        });
        let [straight, long] = outcomes;
        assert_eq!(straight.2, long.2, "seed {seed}");
        assert_eq!(straight.1, long.1, "seed {seed}");
        let differ = straight.0.iter().zip(&long.0).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(straight.3, long.3, "seed {seed}");
    }
}

// ---- under load -----------------------------------------------------------------------------------------------------------

const PUBLISHERS: u64 = 2;
const EACH: u64 = 6_000;

struct Value {
    publisher: u64,
    number: u64,
    _alive: Alive,
}

/// What one listener has to account for.
#[derive(Default)]
struct Account {
    last: [AtomicU64; PUBLISHERS as usize],
    came: AtomicU64,
    missed: AtomicU64,
    finals: AtomicU64,
}

impl Account {
    fn hear(&self, heard: &common::Heard, kind: &MessageType<Value>) {
        assert_eq!(self.finals.load(Ordering::Relaxed), 0, "after the final one");
        self.missed.fetch_add(heard.missed, Ordering::Relaxed);
        self.finals.fetch_add(u64::from(heard.end.is_some()), Ordering::Relaxed);
        let Some(value) = kind.read(&heard.message) else { return };
        let last = self.last[value.publisher as usize].swap(value.number, Ordering::Relaxed);
        assert!(last < value.number, "{} of {} after {last}", value.number, value.publisher);
        self.came.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every way in turn, the most of them singly on the topic.
fn publish(topic: &Topic, kind: &MessageType<Value>, census: &Census, publisher: u64) {
    let mut kept = topic.publisher();
    let message = |number| kind.message(Value { publisher, number, _alive: census.born() });
    for number in (1..=EACH).step_by(8) {
        (number..number + 4).for_each(|number| _ = topic.publish(message(number)));
        topic.publish_batch((number + 4..number + 6).map(message).collect());
        kept.publish(message(number + 6));
        topic.republish(&message(number + 7));
    }
}

/// Mailboxes that take everything, of every mode: published on by two threads until nothing of it is left.
fn under_load(overflow: impl Fn() -> Overflow, capacity: usize) -> Vec<(Dispatch, u64, u64)> {
    let (bus, census) = (Bus::new().unwrap(), Census::new());
    let (topic, kind) = (bus.topic("topic").unwrap(), bus.message_type::<Value>("value").unwrap());
    let listeners: Vec<_> = QUEUED_MODES
        .into_iter()
        .map(|mode| {
            let account = Arc::new(Account::default());
            let (hears, kind) = (account.clone(), kind.clone());
            let builder = topic.subscription(mode.name()).capacity(capacity).overflow(overflow());
            (mode, listen(builder, mode, move |heard| hears.hear(&heard, &kind)), account)
        })
        .collect();
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (topic, kind, census) = (&topic, &kind, &census);
            scope.spawn(move || publish(topic, kind, census, publisher));
        }
    });
    let heard = listeners.iter().map(|(mode, listener, account)| {
        listener.unsubscribe();
        listener.join().unwrap();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        eventually(|| read(&account.finals) == 1);
        (*mode, read(&account.came), read(&account.missed))
    });
    let heard = heard.collect();
    assert_eq!(bus.stats().panics, 0);
    end(&bus);
    drop((topic, listeners));
    eventually(|| census.alive() == 0);
    heard
}

#[test]
fn g2_all_come_in_order_on_the_straight_way() {
    let _watched = watched();
    for overflow in [Overflow::block_forever, Overflow::default] {
        for (mode, came, missed) in under_load(overflow, 64) {
            assert_eq!((came, missed), (PUBLISHERS * EACH, 0), "{mode}");
        }
    }
}

#[test]
fn g7_on_the_straight_way_what_does_not_come_is_told_of() {
    let _watched = watched();
    for overflow in [|| Overflow::DropOldest, || Overflow::DropNewest, || Overflow::Block(Duration::ZERO)] {
        let name = format!("{:?}", overflow());
        for (mode, came, missed) in under_load(overflow, 16) {
            // It may also have missed what told it who came after it.
            let due = PUBLISHERS * EACH;
            assert!(
                (due..due + 8).contains(&(came + missed)),
                "{name}, {mode}: {came} came, {missed} missed"
            );
        }
    }
}

/// A worker that sleeps is woken for each message, before and after the topic is a busy one.
#[test]
fn g3_who_sleeps_is_woken_on_the_straight_way() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).wait(Wait::Park).build().unwrap();
    let (topic, kind) = (bus.topic("topic").unwrap(), bus.message_type::<u64>("number").unwrap());
    let heard = Arc::new(AtomicU64::new(0));
    let listeners = [(); 3].map(|()| {
        let (heard, kind) = (heard.clone(), kind.clone());
        let count = move |delivery: &Delivery<'_>| {
            heard.fetch_add(delivery.read(&kind).map_or(0, |_| 1), Ordering::Release);
        };
        topic.subscription("listener").start(count).unwrap()
    });
    let mut published = 0;
    for burst in [200, 3_000, 200] {
        // One by one, with time to fall asleep in between; but for the burst that makes it a busy topic.
        for number in 0..burst {
            topic.publish(kind.message(number));
            published += 3;
            if burst == 200 {
                eventually(|| heard.load(Ordering::Acquire) == published);
                thread::sleep(Duration::from_micros(200));
            }
        }
        eventually(|| heard.load(Ordering::Acquire) == published);
    }
    listeners.iter().for_each(|listener| _ = listener.unsubscribe());
    end(&bus);
}

/// A bus without workers, and a topic that has `Publisher`s call without a walk: three handlers, told apart by number. They
/// take what the bus says of each other, too, and are silent about it.
fn called_straight(
    call: impl Fn(u64, &Delivery<'_>) + Clone + Send + Sync + 'static,
) -> (Bus, MessageType<u64>, Topic, Vec<Subscription>) {
    let bus = Bus::builder().manual().build().unwrap();
    let (topic, kind) = (bus.topic("topic").unwrap(), bus.message_type("number").unwrap());
    let subscribe = |which: u64| {
        let (call, kind) = (call.clone(), kind.clone());
        let heard = move |delivery: &Delivery<'_>| {
            if delivery.is_final() || delivery.read(&kind).is_some() {
                call(which, delivery);
            }
        };
        topic.subscription(format!("s{which}")).inline(heard).unwrap()
    };
    let subscriptions = (0..3).map(subscribe).collect();
    (bus, kind, topic, subscriptions)
}

#[test]
fn g9_straight_calls_go_on_behind_a_panic() {
    let _watched = watched();
    let log = Log::new();
    let noted = log.clone();
    let (bus, kind, topic, handlers) = called_straight(move |which, delivery| {
        noted.push(which);
        assert!(which == 1 || delivery.is_final(), "{ON_PURPOSE}");
    });
    let mut publisher = topic.publisher();
    for number in 0..200 {
        let report = publisher.publish(kind.message(number));
        assert_eq!(report, topic.publish(kind.message(number)));
        assert_eq!(report.accepted, 3);
        assert_eq!(log.take(), [0, 1, 2, 0, 1, 2]);
    }
    assert_eq!(handlers.iter().map(|one| one.stats().panics).collect::<Vec<_>>(), [400, 0, 400]);
    assert_eq!((topic.stats().published, bus.stats().panics), (400, 800));
    end(&bus);
}

/// It hears its end once, behind the calls of the others, and is called no more.
#[test]
fn g6_a_handler_ends_itself_in_a_straight_call() {
    let _watched = watched();
    let (log, leaving) = (Log::new(), Arc::new(Mutex::new(None::<Subscription>)));
    let (noted, leaves) = (log.clone(), leaving.clone());
    let (bus, kind, topic, mut handlers) = called_straight(move |which, delivery| {
        noted.push((which, delivery.is_final()));
        if which == 1
            && let Some(own) = leaves.lock().unwrap().take()
        {
            assert!(own.join().is_err(), "it would wait for itself");
            own.unsubscribe();
        }
    });
    let mut publisher = topic.publisher();
    assert_eq!(publisher.republish(&kind.message(0)).accepted, 3);
    log.take();
    *leaving.lock().unwrap() = Some(handlers.remove(1));
    assert_eq!(publisher.republish(&kind.message(1)).accepted, 3);
    assert_eq!(log.take(), [(0, false), (1, false), (2, false), (1, true)]);
    assert_eq!(publisher.republish(&kind.message(2)).accepted, 2);
    assert_eq!(log.take(), [(0, false), (2, false)]);
    end(&bus);
}

/// And a handler that is added, a mailbox, a filter or a forward takes the messages off the straight way at once.
#[test]
fn g1_straight_calls_see_every_change_and_nest_no_deeper() {
    let _watched = watched();
    let (bus, kind, topic, handlers) = called_straight(|_, _| {});
    let (mut publisher, other) = (topic.publisher(), bus.message_type::<u8>("other").unwrap());
    let mut publish = || {
        let report = publisher.publish(kind.message(1));
        (report.accepted, report.filtered)
    };
    assert_eq!(publish(), (3, 0));
    let mailbox = topic.subscribe("mailbox", |_| {}).unwrap();
    assert_eq!(publish(), (4, 0));
    drop(mailbox);
    let filtered = topic.subscription("filtered").accept(&other).inline(|_| {}).unwrap();
    assert_eq!(publish(), (3, 1));
    drop(filtered);
    let next = bus.topic("next").unwrap();
    let (_forward, _behind) =
        (topic.forward_to(&next).unwrap(), next.subscription("behind").inline(|_| {}).unwrap());
    assert_eq!(publish(), (4, 0));
    let (again, made, deepest) = (next.clone(), kind.clone(), Arc::new(AtomicU64::new(0)));
    let deep = deepest.clone();
    let _endless = next.subscription("endless").inline(move |delivery| {
        if delivery.read(&made).is_some() {
            deep.fetch_add(1, Ordering::Relaxed);
            again.publisher().publish(made.message(1));
        }
    });
    assert_eq!(publish(), (5, 0));
    assert_eq!((deepest.load(Ordering::Relaxed), bus.stats().nested_too_deep), (64, 1));
    assert_eq!(publish(), (5, 0), "the thread is as before");
    drop(handlers);
    end(&bus);
}
