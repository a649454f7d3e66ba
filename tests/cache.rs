//! What a cache keeps, what it tells, and what reads show.

mod common;
mod states;

use common::{Log, OnDrop, on_drop, watched};
use stasis_bus::{
    AnyType, Bus, Cache, CacheError, CachingError, CachingTopic, Filter, Formatters, Message, MessageType,
    Origin, SubscriptionChange, Topic,
};
use states::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A topic kept in a cache, and what its caching topic says.
struct Kept {
    bus: Bus,
    kind: MessageType<State>,
    cache: Cache,
    topic: Topic,
    cached: CachingTopic,
    told: Log<Step>,
    raw: Log<u64>,
}

impl Kept {
    fn new(make: impl Fn(&Bus, &MessageType<State>) -> Cache) -> Self {
        let (bus, kind) = manual_states();
        let (cache, topic) = (make(&bus, &kind), bus.topic("states").unwrap());
        let cached = topic.caching(&cache).unwrap();
        let (told, raw) = (Log::new(), Log::new());
        let (noted, read) = (told.clone(), kind.clone());
        let updates = cached.subscription("told").dispatch(stasis_bus::Dispatch::Serial);
        updates
            .start_typed(bus.cache_updates(), move |update, _| noted.push(step(&read, update)))
            .unwrap()
            .detach();
        let noted = raw.clone();
        let states = topic.subscription("raw").dispatch(stasis_bus::Dispatch::Serial);
        states.start_typed(&kind, move |state, _| noted.push(state.number)).unwrap().detach();
        Self { bus, kind, cache, topic, cached, told, raw }
    }

    fn message(&self, id: &str, number: u64) -> Message {
        self.kind.message(state(id, number))
    }

    fn publish(&self, id: &str, number: u64) -> Message {
        let message = self.message(id, number);
        self.topic.publish(message.clone());
        message
    }

    fn remote(&self, node: &str, id: &str, number: u64) -> (Origin, Message) {
        let origin = self.bus.origin(node).unwrap();
        let message = self.kind.build(state(id, number)).origin(origin).finish();
        self.topic.publish(message.clone());
        (origin, message)
    }

    fn get(&self, id: &str) -> Option<u64> {
        number_of(&self.kind, self.cache.get(&self.kind, id))
    }

    /// What was told since the last look.
    #[track_caller]
    fn tells(&self, due: &[(Option<u64>, Option<u64>)]) {
        let due: Vec<Step> = due.iter().map(|&(old, new)| Step { old, new }).collect();
        assert_eq!(self.told.take(), due);
    }
}

#[test]
fn states_replace_each_other() {
    let _watched = watched();
    let kept = Kept::new(cache);
    kept.publish("alice", 1);
    kept.publish("alice", 2);
    kept.publish("bob", 3);
    kept.tells(&[(None, Some(1)), (Some(1), Some(2)), (None, Some(3))]);
    assert_eq!((kept.get("alice"), kept.get("bob"), kept.get("carol")), (Some(2), Some(3), None));
    assert_eq!((kept.cache.len(), kept.cache.is_empty()), (2, false));
    assert_eq!(kept.raw.all(), [1, 2, 3]);
}

#[test]
fn clears_take_out_and_are_told() {
    let _watched = watched();
    let kept = Kept::new(cache);
    let first = kept.publish("alice", 1);
    kept.publish("alice", 2);
    kept.told.take();
    // Any message of the entry names it.
    let report = kept.topic.publish(kept.bus.clear(&first));
    assert_eq!(report.cached, 1);
    kept.tells(&[(Some(2), None)]);
    assert!(kept.get("alice").is_none() && kept.cache.is_empty());

    // What is not there is not missed.
    let report = kept.topic.publish(kept.bus.clear(&first));
    assert_eq!(report.cached, 0);
    assert!(!kept.cache.clear(&kept.kind, "alice"));
    kept.tells(&[]);

    kept.publish("alice", 3);
    kept.tells(&[(None, Some(3))]);
    assert!(kept.cache.clear(&kept.kind, "alice"));
    kept.tells(&[(Some(3), None)]);
    let stats = kept.cache.stats();
    assert_eq!((stats.entries, stats.updates, stats.cleared), (0, 5, 2));
}

/// A clear speaks of the origin of the message in it, and of no other.
#[test]
fn one_origin_cleared_leaves_the_others() {
    let _watched = watched();
    let kept = Kept::new(cache);
    let own = kept.publish("alice", 1);
    let (two, at_two) = kept.remote("node-2", "alice", 2);
    let (three, _) = kept.remote("node-3", "alice", 3);
    kept.told.take();
    let (cache, kind) = (&kept.cache, &kept.kind);
    assert_eq!(sorted(kind, cache.get_all(kind, "alice")), [1, 2, 3]);

    kept.topic.publish(kept.bus.clear(&at_two));
    kept.tells(&[(Some(2), None)]);
    assert!(cache.get_by_origin(kind, "alice", two).is_none());
    assert_eq!(number_of(kind, cache.get_by_origin(kind, "alice", three)), Some(3));
    assert_eq!(kept.get("alice"), Some(1));

    kept.topic.publish(kept.bus.clear(&own));
    kept.tells(&[(Some(1), None)]);
    assert_eq!((kept.get("alice"), cache.len()), (None, 1));
    assert_eq!(sorted(kind, cache.get_all(kind, "alice")), [3]);
}

#[test]
fn a_gone_node_takes_all_of_its_states_along() {
    let _watched = watched();
    let kept = Kept::new(cache);
    kept.publish("alice", 1);
    let (two, _) = kept.remote("node-2", "alice", 2);
    kept.remote("node-2", "bob", 3);
    kept.remote("node-3", "bob", 4);
    kept.told.take();
    assert_eq!(kept.cache.clear_origin(two), 2);
    let mut told = kept.told.take();
    told.sort_unstable_by_key(|step| step.old);
    assert_eq!(told, [Step { old: Some(2), new: None }, Step { old: Some(3), new: None }]);
    assert_eq!(sorted(&kept.kind, kept.cache.dump_all(AnyType)), [1, 4]);
    assert_eq!(kept.cache.clear_origin(two), 0);
    kept.tells(&[]);
    // This node is an origin as well.
    let here = kept.message("", 0).origin().unwrap();
    assert_eq!(kept.cache.clear_origin(here), 1);
    kept.tells(&[(Some(1), None)]);
}

/// What comes after a clear goes on where the state was written last.
#[test]
fn a_clear_is_told_where_the_state_was_written() {
    let _watched = watched();
    let kept = Kept::new(cache);
    let other = kept.bus.topic("other").unwrap();
    let also = other.caching(&kept.cache).unwrap();
    let told = Log::new();
    let (noted, read) = (told.clone(), kept.kind.clone());
    let updates = also.subscription("told").dispatch(stasis_bus::Dispatch::Serial);
    let _told = updates
        .start_typed(kept.bus.cache_updates(), move |update, _| noted.push(step(&read, update)))
        .unwrap();

    kept.publish("alice", 1);
    other.publish(kept.message("alice", 2));
    kept.remote("node-2", "alice", 3);
    kept.tells(&[(None, Some(1)), (None, Some(3))]);
    assert_eq!(told.take(), [Step { old: Some(1), new: Some(2) }]);
    assert!(kept.cache.clear(&kept.kind, "alice"));
    assert_eq!(told.take(), [Step { old: Some(2), new: None }]);
    // The keeping ended, but its topic has a subscriber.
    other.publish(kept.message("bob", 4));
    also.unsubscribe();
    assert!(kept.cache.clear(&kept.kind, "bob"));
    assert_eq!(told.take(), [Step { old: None, new: Some(4) }, Step { old: Some(4), new: None }]);
    kept.tells(&[]);
}

#[test]
fn the_topic_of_the_cache_hears_what_nobody_else_does() {
    let _watched = watched();
    let kept = Kept::new(cache);
    let told = Log::new();
    let (noted, read) = (told.clone(), kept.kind.clone());
    let whole = kept.cache.updates().subscription("whole").dispatch(stasis_bus::Dispatch::Serial);
    let _whole = whole
        .start_typed(kept.bus.cache_updates(), move |update, _| noted.push(step(&read, update)))
        .unwrap();
    let other = kept.bus.topic("other").unwrap();
    let also = other.caching(&kept.cache).unwrap();
    other.publish(kept.message("alice", 1));
    drop((also, other));
    assert!(kept.cache.clear(&kept.kind, "alice"));
    assert_eq!(told.take(), [Step { old: None, new: Some(1) }, Step { old: Some(1), new: None }]);
    kept.tells(&[]);
}

#[test]
fn what_is_not_cacheable_passes_nothing() {
    let _watched = watched();
    let kept = Kept::new(|bus, kind| builder(bus, kind).id(|_| None).build().unwrap());
    let other = kept.bus.message_type::<State>("other").unwrap();
    let aggregate = kept.kind.build(state("alice", 1)).aggregate().finish();
    for message in [
        other.message(state("alice", 1)),
        kept.message("", 2),
        aggregate.clone(),
        kept.bus.clear(&aggregate),
        kept.bus.subscription_changes().message(change()),
        kept.bus.clear(&kept.bus.clear(&aggregate)),
    ] {
        assert_eq!(kept.topic.publish(message).cached, 0);
    }
    assert!(kept.cache.is_empty());
    kept.tells(&[]);
}

fn change() -> SubscriptionChange {
    let bus = Bus::builder().manual().build().unwrap();
    let topic = bus.topic("any").unwrap();
    let (seen, log) = (Log::new(), bus.subscription_changes().clone());
    let noted = seen.clone();
    let subscription = topic
        .subscription("self")
        .start(move |delivery| noted.push(log.read(delivery.message()).unwrap().clone()))
        .unwrap();
    bus.run_until_idle();
    drop(subscription);
    seen.all().remove(0)
}

/// Others' ids are of types of their own.
#[test]
fn two_types_share_an_id() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let other = bus.message_type::<State>("other").unwrap();
    let by_type = |bus: &Bus| builder(bus, &kind).id_of(&other, |state: &State| &state.id).build().unwrap();
    let cache = by_type(&bus);
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    topic.publish(kind.message(state("alice", 1)));
    topic.publish(other.message(state("alice", 2)));
    assert_eq!(cache.len(), 2);
    assert_eq!(number_of(&kind, cache.get(&kind, "alice")), Some(1));
    assert_eq!(number_of(&other, cache.get(&other, "alice")), Some(2));
    assert_eq!((cache.dump(&kind).len(), cache.dump(&other).len(), cache.dump(AnyType).len()), (1, 1, 2));
    assert!(cache.clear(&kind, "alice"));
    assert_eq!(number_of(&other, cache.get(&other, "alice")), Some(2));
}

/// The very same message changes nothing, whatever way it comes.
#[test]
fn the_same_message_again_is_not_told() {
    let _watched = watched();
    let kept = Kept::new(|bus, kind| summing(bus, kind).build().unwrap());
    let message = kept.publish("alice", 1);
    kept.tells(&[(None, Some(1)), (None, Some(1))]);
    kept.topic.publish(message);
    kept.tells(&[]);
    assert_eq!(kept.cache.stats().updates, 1);
}

#[test]
fn equal_states_are_left_out_if_asked_for() {
    let _watched = watched();
    let kept = Kept::new(|bus, kind| builder(bus, kind).suppress_equal(kind).build().unwrap());
    let first = kept.publish("alice", 1);
    assert_eq!(kept.topic.publish(kept.message("alice", 1)).cached, 0);
    kept.publish("alice", 2);
    kept.publish("alice", 2);
    kept.remote("node-2", "alice", 2);
    kept.tells(&[(None, Some(1)), (Some(1), Some(2)), (None, Some(2))]);
    kept.cache.clear(&kept.kind, "alice");
    kept.publish("alice", 2);
    kept.tells(&[(Some(2), None), (None, Some(2))]);
    let stats = kept.cache.stats();
    assert_eq!((stats.suppressed, stats.updates), (2, 5));
    assert!(first.reference_count() >= 1);
}

#[test]
fn aggregates_follow_the_states() {
    let _watched = watched();
    let announced = Log::new();
    let told = announced.clone();
    let kept = Kept::new(move |bus, kind| {
        let (told, read) = (told.clone(), kind.clone());
        let announce = move |topic: &Topic, aggregate: &Message| {
            told.push((topic.name().to_owned(), number(&read, aggregate)));
            // As it is meant: those who listen to states hear of it, and the cache does not keep it.
            topic.publish(aggregate.clone());
        };
        summing(bus, kind).announce(announce).build().unwrap()
    });
    let aggregate = || number_of(&kept.kind, kept.cache.get_aggregate(&kept.kind, "alice"));
    kept.publish("alice", 1);
    kept.tells(&[(None, Some(1)), (None, Some(1))]);
    let (two, at_two) = kept.remote("node-2", "alice", 10);
    kept.tells(&[(None, Some(10)), (Some(1), Some(11))]);
    assert_eq!(aggregate(), Some(11));
    assert_eq!(sorted(&kept.kind, kept.cache.dump_by_origin(&kept.kind, None)), [11]);
    assert_eq!(sorted(&kept.kind, kept.cache.dump_all(&kept.kind)), [1, 10]);
    kept.publish("alice", 2);
    kept.tells(&[(Some(1), Some(2)), (Some(11), Some(12))]);

    // The last state takes the aggregate along.
    kept.cache.clear(&kept.kind, "alice");
    kept.tells(&[(Some(2), None), (Some(12), Some(10))]);
    kept.topic.publish(kept.bus.clear(&at_two));
    kept.tells(&[(Some(10), None), (Some(10), None)]);
    assert_eq!((aggregate(), kept.cache.len()), (None, 0));
    assert!(kept.cache.get_by_origin(&kept.kind, "alice", two).is_none());

    let names: Vec<_> =
        announced.all().into_iter().map(|(topic, number)| (topic == "states", number)).collect();
    assert_eq!(names, [(true, 1), (true, 11), (true, 12), (true, 10)]);
    assert_eq!(kept.raw.all(), [1, 1, 10, 11, 2, 12, 10]);
    assert_eq!(kept.cache.stats().aggregates, 5);
}

/// Unchanged: the very same message, or an equal one if that is asked for.
#[test]
fn unchanged_aggregates_are_not_told() {
    let _watched = watched();
    let parity = |bus: &Bus, kind: &MessageType<State>| {
        let read = kind.clone();
        builder(bus, kind).aggregate(move |entry| {
            let odd = number(&read, entry.local()?) % 2;
            let same = entry.aggregate().filter(|aggregate| number(&read, aggregate) == odd);
            let made = || read.build(state(entry.id(), odd)).aggregate().finish();
            Some(same.cloned().unwrap_or_else(made))
        })
    };
    let kept = Kept::new(|bus, kind| parity(bus, kind).build().unwrap());
    for number in [1, 3, 4, 6] {
        kept.publish("alice", number);
    }
    let states = [
        (None, Some(1)),
        (None, Some(1)),
        (Some(1), Some(3)),
        (Some(3), Some(4)),
        (Some(1), Some(0)),
        (Some(4), Some(6)),
    ];
    kept.tells(&states);

    let always_new = |bus: &Bus, kind: &MessageType<State>| {
        let read = kind.clone();
        builder(bus, kind).aggregate(move |entry| {
            Some(read.build(state(entry.id(), number(&read, entry.local()?) % 2)).aggregate().finish())
        })
    };
    let by_type =
        Kept::new(|bus, kind| always_new(bus, kind).suppress_equal_aggregates(kind).build().unwrap());
    let by_rule = Kept::new(|bus, kind| {
        let read = kind.clone();
        always_new(bus, kind).aggregate_eq(move |a, b| read.read(a) == read.read(b)).build().unwrap()
    });
    for kept in [by_type, by_rule] {
        for number in [1, 3, 4, 6] {
            kept.publish("alice", number);
        }
        kept.tells(&states);
    }
}

/// Two types, two objects, two origins, and an aggregate: every way to read.
#[test]
fn reads_show_what_they_say() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let other = bus.message_type::<State>("other").unwrap();
    let cache = summing(&bus, &kind).id_of(&other, |state: &State| &state.id).build().unwrap();
    let topic = bus.topic("states").unwrap();
    topic.caching(&cache).unwrap().detach();
    let two = bus.origin("node-2").unwrap();
    topic.publish(kind.message(state("alice", 1)));
    topic.publish(kind.build(state("alice", 10)).origin(two).finish());
    topic.publish(kind.build(state("bob", 20)).origin(two).finish());
    let here = cache.get(&kind, "alice").unwrap().origin().unwrap();

    assert_eq!(sorted(&kind, cache.dump(&kind)), [1]);
    assert_eq!(sorted(&kind, cache.dump_by_origin(&kind, here)), [1]);
    assert_eq!(sorted(&kind, cache.dump_by_origin(AnyType, two)), [10, 20]);
    assert_eq!(sorted(&kind, cache.dump_by_origin(AnyType, None)), [11, 20]);
    assert_eq!(sorted(&kind, cache.dump_all(AnyType)), [1, 10, 20]);
    assert_eq!(cache.dump_all(&other).len(), 0);
    assert_eq!(sorted(&kind, cache.get_all(&kind, "alice")), [1, 10]);
    assert_eq!(cache.get_all(&kind, "nobody").len(), 0);
    assert_eq!(number_of(&kind, cache.get_by_origin(&kind, "bob", None)), Some(20));
    assert!(cache.get(&kind, "bob").is_none() && cache.get(&other, "alice").is_none());
    let mut visited = Vec::new();
    cache.for_each(&kind, |message| visited.push(number(&kind, message)));
    assert_eq!(visited, [1]);

    let pin = cache.pin();
    let numbers = |messages: &mut dyn Iterator<Item = &Message>| {
        let mut numbers: Vec<u64> = messages.map(|message| number(&kind, message)).collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(numbers(&mut pin.iter(&kind)), [1]);
    assert_eq!(numbers(&mut pin.iter_by_origin(AnyType, two)), [10, 20]);
    assert_eq!(numbers(&mut pin.iter_by_origin(AnyType, None)), [11, 20]);
    assert_eq!(numbers(&mut pin.iter_all(&kind)), [1, 10, 20]);
    assert_eq!(numbers(&mut pin.get_all(&kind, "alice")), [1, 10]);
    assert_eq!(pin.get(&kind, "alice").map(|message| number(&kind, message)), Some(1));
    assert_eq!(pin.get_by_origin(&kind, "bob", two).map(|message| number(&kind, message)), Some(20));
    assert_eq!(pin.get_aggregate(&kind, "alice").map(|message| number(&kind, message)), Some(11));
    // What was found stays while it is held.
    let alice = pin.get(&kind, "alice").unwrap();
    cache.clear(&kind, "alice");
    assert_eq!((number(&kind, alice), pin.get(&kind, "alice").is_none()), (1, true));

    // A type of another bus is in no cache of this one.
    let (_bus, foreign) = manual_states();
    assert!(cache.get_by_origin(&foreign, "bob", None).is_none() && cache.dump_all(&foreign).is_empty());
    assert!(!cache.clear(&foreign, "bob"));
}

#[test]
fn a_filter_says_what_is_kept_and_clears_are_always_heard() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let other = bus.message_type::<State>("other").unwrap();
    let cache = builder(&bus, &kind).id_of(&other, |state: &State| &state.id).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let cached = topic.caching_with(&cache, Filter::all().accept(&kind)).unwrap();
    let message = kind.message(state("alice", 1));
    topic.publish(message.clone());
    topic.publish(other.message(state("alice", 2)));
    assert_eq!(cache.len(), 1);
    topic.publish(bus.clear(&message));
    assert!(cache.is_empty());
    drop(cached);
}

/// The cache is read as long as anybody has it, whatever becomes of its caching topics and of the bus.
#[test]
fn the_cache_outlives_its_caching_topics_and_its_bus() {
    let _watched = watched();
    let kept = Kept::new(cache);
    assert_eq!(kept.cached.topic().name().split_once('/').map(|(_, original)| original), Some("states"));
    assert!(kept.cached.topic().name().starts_with("cache:") && kept.cached.cache().is_same(&kept.cache));
    kept.publish("alice", 1);
    let Kept { bus, kind, cache, topic, cached, told, .. } = kept;
    cached.unsubscribe();
    assert_eq!(topic.publish(kind.message(state("alice", 2))).cached, 0);
    assert_eq!(told.len(), 1);
    assert_eq!(number_of(&kind, cache.get(&kind, "alice")), Some(1));
    // Taken up again, it goes on from there.
    let again = topic.caching(&cache).unwrap();
    topic.publish(kind.message(state("alice", 3)));
    assert_eq!(number_of(&kind, cache.get(&kind, "alice")), Some(3));
    common::end(&bus);
    assert!(topic.publish(kind.message(state("alice", 4))).is_closed());
    drop((again, topic, bus));
    assert_eq!(number_of(&kind, cache.get(&kind, "alice")), Some(3));
    assert!(cache.clear(&kind, "alice") && cache.is_empty());
}

#[test]
fn a_cache_of_updates_follows_another_cache() {
    let _watched = watched();
    let kept = Kept::new(cache);
    let updates = kept.bus.cache_updates();
    let second = Cache::builder(&kept.bus).id_of(updates, |update| update.id()).build().unwrap();
    // Unasked, a caching topic does not hear updates.
    let unasked = kept.cached.topic().caching(&second).unwrap();
    kept.publish("alice", 1);
    assert!(second.is_empty());
    drop(unasked);
    // Nor if only a formatter was named that updates happen to have.
    let json = Filter::all().accept_formatters(Formatters::JSON);
    let unasked = kept.cached.topic().caching_with(&second, json).unwrap();
    kept.publish("alice", 1);
    assert!(second.is_empty());
    drop(unasked);
    let _asked = kept.cached.topic().caching_with(&second, Filter::all().accept(updates)).unwrap();
    kept.publish("alice", 2);
    kept.publish("alice", 3);
    let last = second.get(updates, "alice").unwrap();
    assert_eq!(step(&kept.kind, updates.read(&last).unwrap()), Step { old: Some(2), new: Some(3) });
}

#[test]
fn what_is_refused_says_why() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let (other_bus, foreign) = manual_states();
    let (cache, topic) = (cache(&bus, &kind), bus.topic("states").unwrap());
    assert_eq!(Cache::builder(&bus).build().unwrap_err(), CacheError::NoId);
    assert_eq!(builder(&bus, &foreign).build().unwrap_err(), CacheError::ForeignType("state".to_owned()));
    assert!(matches!(builder(&bus, &kind).name("a\nb").build(), Err(CacheError::Name(_))));
    assert_eq!(other_bus.topic("any").unwrap().caching(&cache).unwrap_err(), CachingError::OtherBus);
    assert_eq!(cache.updates().caching(&cache).unwrap_err(), CachingError::OwnUpdates);
    let filter = Filter::all().accept(&foreign);
    let refused = topic.caching_with(&cache, filter).unwrap_err();
    assert_eq!(refused, CachingError::ForeignType("state".to_owned()));
    assert!(refused.to_string().contains("state"));
}

/// Nothing of a cache is left when its last handles go, in any order, and values are dropped before that when the bus is
/// at rest.
#[test]
fn nothing_is_left_of_what_is_gone() {
    let _watched = watched();
    struct Owned(String, #[allow(dead_code)] common::DropAction);
    let dropped = Arc::new(AtomicUsize::new(0));
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<Owned>("owned").unwrap();
    let gone = dropped.clone();
    let captured = OnDrop(move || _ = gone.fetch_add(1_000, Ordering::Relaxed));
    let cache = Cache::builder(&bus)
        .id_of(&kind, move |owned| {
            let _ = &captured;
            &owned.0
        })
        .build()
        .unwrap();
    let topic = bus.topic("owned").unwrap();
    let cached = topic.caching(&cache).unwrap();
    let publish = |id: &str| {
        let gone = dropped.clone();
        let owned = Owned(id.to_owned(), on_drop(move || _ = gone.fetch_add(1, Ordering::Relaxed)));
        topic.publish(kind.message(owned));
    };
    for n in 0..100 {
        publish(&format!("one-{}", n % 10));
    }
    bus.run_until_idle();
    assert_eq!(dropped.load(Ordering::Relaxed), 90);
    assert_eq!(cache.stats().garbage, 0);
    drop((topic, bus));
    drop(cache);
    assert_eq!(dropped.load(Ordering::Relaxed), 90);
    drop(cached);
    assert_eq!(dropped.load(Ordering::Relaxed), 1_100);
}
