//! How long entries of a cache live: a lease that goes against a newer one that publishes; who watches, against who publishes
//! and against the end; a state that is written against the look for old ones. The public bus in manual mode.

use super::{Plain, Witness, explore};
use crate::sync::Arc;
use crate::topic::exchange::Phase;
use crate::{
    Bus, Cache, CacheBuilder, CachingTopic, Delivery, Dispatch, Lease, Message, MessageType, Subscription,
    Topic, Watch,
};
use loom::future::block_on;
use loom::thread::spawn;
use std::time::Duration;

type Updates = Arc<Plain<Vec<(Option<u8>, Option<u8>)>>>;

/// A cache of one entry, and a topic that is kept in it.
struct Model {
    bus: Bus,
    kind: MessageType<u8>,
    cache: Cache,
    topic: Topic,
    cached: CachingTopic,
}

impl Model {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(options: impl Fn(CacheBuilder) -> CacheBuilder) -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let kind = bus.message_type::<u8>("model").unwrap();
        let cache = options(Cache::builder(&bus).id(|_| Some("one".into()))).build().unwrap();
        let topic = bus.topic("model").unwrap();
        let cached = topic.caching(&cache).unwrap();
        Self { bus, kind, cache, topic, cached }
    }

    fn told(&self, dispatch: Dispatch) -> (Subscription, Updates) {
        let (seen, kind) = (Updates::new(Plain::new(Vec::new())), self.kind.clone());
        let (shown, updates) = (seen.clone(), self.bus.cache_updates().clone());
        let handler = move |delivery: &Delivery<'_>| {
            let Some(update) = delivery.read(&updates) else { return };
            let read = |message: &Option<Message>| message.as_ref().and_then(|m| kind.read(m)).copied();
            shown.write(|seen| seen.push((read(&update.old), read(&update.new))));
        };
        let builder = self.cached.subscription("told").accept(self.bus.cache_updates());
        (builder.capacity(8).dispatch(dispatch).start(handler).unwrap(), seen)
    }

    fn lease(&self) -> Lease<u8> {
        self.cached.lease(&self.kind, "one").unwrap()
    }

    fn publish(&self, number: u8) {
        self.topic.publish(self.kind.message(number));
    }

    fn number(&self) -> Option<u8> {
        self.cache.get(&self.kind, "one").and_then(|message| self.kind.read(&message).copied())
    }
}

/// Each follows the one before it, from nothing to what stands.
fn assert_chain(updates: &[(Option<u8>, Option<u8>)], stands: Option<u8>) {
    let mut last = None;
    for &(old, new) in updates {
        assert_eq!(old, last, "in {updates:?}");
        last = new;
    }
    assert_eq!(last, stands, "after {updates:?}");
}

/// A lease goes while its successor is made and publishes: what that one publishes stands, and goes with it.
#[test]
fn lease_that_goes_against_a_newer_one() {
    explore(1, || {
        let model = Model::new();
        let (told, seen) = model.told(Dispatch::Serial);
        let old = model.lease();
        old.publish(1);
        let gone = spawn(move || drop(old));
        let new = model.lease();
        new.publish(2);
        assert_eq!(model.number(), Some(2));
        gone.join().unwrap();
        assert_eq!(model.number(), Some(2));
        drop(new);
        assert_eq!(model.number(), None);
        seen.read(|updates| assert_chain(updates, None));
        drop(told);
    });
}

/// A lease goes while somebody publishes another way: what it takes out is the state that stood, in its place in the
/// chain, and what comes after it stays.
#[test]
fn lease_that_goes_against_an_update() {
    static CLEARED: Witness = Witness::new();
    static STAYED: Witness = Witness::new();
    explore(1, || {
        let model = Model::new();
        let (told, seen) = model.told(Dispatch::Pool);
        let lease = model.lease();
        lease.publish(1);
        let (topic, kind) = (model.topic.clone(), model.kind.clone());
        let other = spawn(move || _ = topic.publish(kind.message(2)));
        drop(lease);
        other.join().unwrap();
        model.bus.run_until_idle();
        let stands = model.number();
        match stands {
            None => &CLEARED,
            Some(2) => &STAYED,
            other => panic!("{other:?} stands, which was replaced"),
        }
        .see();
        seen.read(|updates| assert_chain(updates, stands));
        drop(told);
    });
    assert!(CLEARED.was_seen() && STAYED.was_seen());
}

/// Waits for one change of the entry, and reads the number that it gives.
fn next(watch: &mut Watch, kind: &MessageType<u8>) -> Option<u8> {
    let changed = block_on(watch.changed()).expect("the bus stands");
    changed.and_then(|message| kind.read(&message).copied())
}

/// A task begins to wait while somebody publishes: a change that nobody is woken for would leave it there for ever.
#[test]
fn no_change_is_slept_through() {
    explore(1, || {
        let model = Model::new();
        let mut watch = model.cache.watch(&model.kind, "one").unwrap();
        let (topic, kind) = (model.topic.clone(), model.kind.clone());
        let publisher = spawn(move || _ = topic.publish(kind.message(1)));
        assert_eq!(next(&mut watch, &model.kind), Some(1));
        assert_eq!(model.number(), Some(1), "what was told is found");
        publisher.join().unwrap();
    });
}

/// The bus ends while a watch is made and a task begins to wait: it is told.
#[test]
fn end_reaches_who_watches() {
    explore(1, || {
        let model = Model::new();
        let exchange = model.bus.exchange().clone();
        let end = spawn(move || {
            exchange.enter_phase(Phase::Over);
            exchange.tell_of_end();
        });
        let mut watch = model.cache.watch(&model.kind, "one").unwrap();
        assert!(block_on(watch.changed()).is_err());
        end.join().unwrap();
    });
}

/// A worker looks for states whose time is over while one is written: that one expires in its own time, though the look may
/// have been past it, and its writer may have found the alarm set.
#[test]
fn state_written_during_the_look_expires() {
    static LATER: Witness = Witness::new();
    const TTL: Duration = Duration::from_millis(1);
    explore(1, || {
        let model = Model::with(|builder| builder.ttl(TTL));
        model.publish(1);
        model.bus.advance(TTL);
        let bus = model.bus.clone();
        let worker = spawn(move || bus.run_until_idle());
        model.publish(2);
        worker.join().unwrap();
        assert_eq!(model.number(), Some(2), "its time is not over");
        model.bus.advance(TTL);
        model.bus.run_until_idle();
        assert_eq!(model.number(), None, "it is forgotten");
        if model.cache.stats().expired == 2 {
            LATER.see();
        }
    });
    assert!(LATER.was_seen());
}
