//! Two writers of one key of a cache, with the public bus in manual mode: the order of the swaps is the order of the
//! updates, and what has been told, or published, is found.

use super::{Plain, Witness, explore, explore_some};
use crate::sync::Arc;
use crate::{
    Bus, Cache, CacheUpdate, CachingTopic, Delivery, Dispatch, Message, MessageType, Subscription, Topic,
};
use loom::thread::spawn;
use std::sync::atomic::{AtomicBool, Ordering};

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
    fn new(aggregate: bool) -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let kind = bus.message_type::<u8>("model").unwrap();
        let builder = Cache::builder(&bus).id(|message| message.origin().map(|_| "one".into()));
        let cache = match aggregate {
            true => builder.aggregate(sum(&kind)).build().unwrap(),
            false => builder.build().unwrap(),
        };
        let topic = bus.topic("model").unwrap();
        let cached = topic.caching(&cache).unwrap();
        Self { bus, kind, cache, topic, cached }
    }

    /// Hears every update; `and_then` does more with each.
    fn told(
        &self,
        dispatch: Dispatch,
        and_then: impl Fn(&CacheUpdate) + Send + 'static,
    ) -> (Subscription, Updates) {
        let (seen, kind, updates) =
            (Updates::new(Plain::new(Vec::new())), self.kind.clone(), self.bus.cache_updates().clone());
        let shown = seen.clone();
        let handler = move |delivery: &Delivery<'_>| {
            let Some(update) = delivery.read(&updates) else { return };
            let read = |message: &Option<Message>| message.as_ref().and_then(|m| kind.read(m)).copied();
            shown.write(|seen| seen.push((read(&update.old), read(&update.new))));
            and_then(update);
        };
        let builder = self.cached.subscription("told").accept(self.bus.cache_updates());
        (builder.capacity(8).dispatch(dispatch).start(handler).unwrap(), seen)
    }

    fn publish(&self, number: u8) {
        self.topic.publish(self.kind.message(number));
    }

    fn number(&self) -> Option<u8> {
        self.cache.get(&self.kind, "one").and_then(|message| self.kind.read(&message).copied())
    }

    fn publisher(&self, number: u8) -> loom::thread::JoinHandle<()> {
        let (topic, kind) = (self.topic.clone(), self.kind.clone());
        spawn(move || _ = topic.publish(kind.message(number)))
    }
}

fn sum(kind: &MessageType<u8>) -> impl Fn(&crate::CacheEntry<'_>) -> Option<Message> + use<> {
    let kind = kind.clone();
    move |entry| {
        let states = entry.local().into_iter().chain(entry.remotes());
        let sum = states.filter_map(|message| kind.read(message)).sum();
        Some(kind.build(sum).aggregate().finish())
    }
}

/// Each follows the one before it, from nothing to what stands.
fn assert_chain(updates: &[(Option<u8>, Option<u8>)], stands: Option<u8>, due: usize) {
    let mut last = None;
    for (old, new) in updates {
        assert_eq!(*old, last, "a gap in {updates:?}");
        last = *new;
    }
    assert_eq!((last, updates.len()), (stands, due), "{updates:?}");
}

/// Of models of two whole publishes, of which there are too many executions to see them all.
const MOST: Option<usize> = Some(60_000);

static THEIRS_LAST: Witness = Witness::new();

#[test]
fn updates_come_in_the_order_of_the_swaps() {
    explore_some(1, MOST, || {
        let model = Model::new(false);
        let (_told, seen) = model.told(Dispatch::Pool, |_| {});
        let other = model.publisher(1);
        model.publish(2);
        // What was published stands, or what came after it.
        let stands = model.number();
        assert!(stands == Some(2) || stands == Some(1));
        other.join().unwrap();
        model.bus.run_until_idle();
        let last = model.number();
        if last == Some(1) {
            THEIRS_LAST.see();
        }
        assert!(stands == last || last == Some(1), "a write was undone");
        seen.read(|seen| assert_chain(seen, last, 2));
    });
    assert!(THEIRS_LAST.was_seen());
}

static NESTED_LAST: Witness = Witness::new();

/// A Serial handler publishes the same key while another thread does.
#[test]
fn updates_come_in_order_though_a_handler_publishes() {
    explore_some(1, MOST, || {
        let model = Model::new(false);
        let (topic, kind) = (model.topic.clone(), model.kind.clone());
        let (_told, seen) = model.told(Dispatch::Serial, move |update| {
            let new = update.new.as_ref().and_then(|message| kind.read(message)).copied();
            if new == Some(1) {
                topic.publish(kind.message(3));
            }
        });
        let other = model.publisher(1);
        model.publish(2);
        other.join().unwrap();
        let last = model.number();
        if last == Some(3) {
            NESTED_LAST.see();
        }
        seen.read(|seen| assert_chain(seen, last, 3));
    });
    assert!(NESTED_LAST.was_seen());
}

static TOLD_BEFORE_IT_RETURNED: Witness = Witness::new();

/// Whoever is told of an update finds it in the cache, though its publish has not returned.
#[test]
fn what_is_told_is_found() {
    explore(1, || {
        let model = Model::new(false);
        let (cache, kind) = (model.cache.clone(), model.kind.clone());
        let returned = Arc::new(AtomicBool::new(false));
        let has_returned = returned.clone();
        let (_told, seen) = model.told(Dispatch::Pool, move |update| {
            let told = update.new.as_ref().and_then(|message| kind.read(message)).copied();
            let found = cache.get(&kind, "one").and_then(|message| kind.read(&message).copied());
            assert!(found >= told, "told of {told:?}, found {found:?}");
            if !has_returned.load(Ordering::Relaxed) {
                TOLD_BEFORE_IT_RETURNED.see();
            }
        });
        let bus = model.bus.clone();
        let reader = spawn(move || _ = bus.run_until_idle());
        model.publish(1);
        returned.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        model.bus.run_until_idle();
        seen.read(|seen| assert_chain(seen, Some(1), 1));
    });
    assert!(TOLD_BEFORE_IT_RETURNED.was_seen());
}

static COMPUTED_BY_THEM: Witness = Witness::new();

/// Two origins of one object: whoever's publish has returned finds itself in the aggregate, and no aggregate that was
/// computed earlier takes the place of a later one.
#[test]
fn aggregates_do_not_go_stale() {
    explore(1, || {
        let model = Model::new(true);
        let aggregate = {
            let (cache, kind) = (model.cache.clone(), model.kind.clone());
            move || cache.get_aggregate(&kind, "one").and_then(|message| kind.read(&message).copied())
        };
        let (topic, kind, origin, theirs) =
            (model.topic.clone(), model.kind.clone(), model.bus.origin("other").unwrap(), aggregate.clone());
        let other = spawn(move || {
            topic.publish(kind.build(1).origin(origin).finish());
            let seen = theirs();
            assert!(matches!(seen, Some(1 | 3)), "{seen:?}");
        });
        model.publish(2);
        match aggregate() {
            Some(2) => {}
            Some(3) => COMPUTED_BY_THEM.see(),
            seen => panic!("{seen:?}"),
        }
        other.join().unwrap();
        assert_eq!(aggregate(), Some(3));
    });
    assert!(COMPUTED_BY_THEM.was_seen());
}
