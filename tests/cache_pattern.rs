//! The cache pattern: who gets what, once, and the update before the message it tells of.

mod common;
mod states;

use common::*;
use stasis_bus::{
    Bus, Cache, CacheError, CachePattern, CacheSingle, CachingError, Dispatch, Error, Filter, Message,
    MessageType, NameError, Topic,
};
use states::*;
use std::thread;

struct World {
    bus: Bus,
    kind: MessageType<State>,
    all: CachePattern,
}

/// A message, or an update, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Raw(u64),
    Update(Step),
}
use Got::{Raw, Update};

impl World {
    fn new() -> Self {
        let (bus, kind) = states();
        let all = CachePattern::new(&bus, "all", builder(&bus, &kind)).unwrap();
        Self { bus, kind, all }
    }

    fn message(&self, id: &str, number: u64) -> Message {
        self.kind.message(state(id, number))
    }

    /// Everything on `topic`.
    fn messages(&self, topic: &Topic, mode: Dispatch) -> (Listener, Log<Message>) {
        let log = Log::new();
        let noted = log.clone();
        let builder = topic.subscription("listener").accept(&self.kind).accept(self.bus.cache_updates());
        (listen(builder, mode, move |heard| noted.push(heard.message)), log)
    }

    fn got(&self, log: &Log<Message>) -> Vec<Got> {
        log.all()
            .iter()
            .filter_map(|message| match self.bus.cache_updates().read(message) {
                Some(update) => Some(Update(step(&self.kind, update))),
                None => self.kind.read(message).map(|state| Raw(state.number)),
            })
            .collect()
    }

    fn kept(&self, id: &str) -> Option<u64> {
        number_of(&self.kind, self.all.cache().get(&self.kind, id))
    }
}

fn update(old: Option<u64>, new: Option<u64>) -> Got {
    Update(Step { old, new })
}

/// The four places, in every mode.
#[test]
fn g1_a_single_feeds_its_own_two_topics_and_those_of_all() {
    let _watched = watched();
    for mode in EVERY_MODE {
        let world = World::new();
        let single = world.all.single("one").unwrap();
        let topics = [single.topic(), single.cached(), world.all.topic(), world.all.cached()];
        let listeners = topics.map(|topic| world.messages(topic, mode));
        single.topic().publish(world.message("x", 1));
        single.topic().publish(world.message("x", 2));
        single.topic().publish(world.bus.clear(&world.message("x", 0)));
        let updates = [update(None, Some(1)), update(Some(1), Some(2)), update(Some(2), None)];
        let expected = [
            vec![Raw(1), Raw(2)],
            updates.to_vec(),
            vec![Raw(1), Raw(2)],
            vec![updates[0], Raw(1), updates[1], Raw(2), updates[2]],
        ];
        for ((listener, log), expected) in listeners.iter().zip(expected) {
            log.await_len(expected.len());
            assert_eq!(world.got(log), expected, "{mode}, on {}", listener.topic().name());
        }
        assert_eq!(world.kept("x"), None);
        drop(listeners);
        end(&world.bus);
    }
}

#[test]
fn what_is_published_on_the_topic_of_all_is_not_kept() {
    let _watched = watched();
    let world = World::new();
    let _single = world.all.single("one").unwrap();
    let (_all, log) = world.messages(world.all.cached(), Dispatch::Inline);
    assert_eq!(world.all.topic().publish(world.message("x", 1)).cached, 0);
    assert_eq!((world.got(&log), world.kept("x")), (vec![Raw(1)], None));
}

#[test]
fn a_sink_keeps_and_tells_only_its_own() {
    let _watched = watched();
    let world = World::new();
    let sink = world.all.sink("tech").unwrap();
    let (_all, all) = world.messages(world.all.cached(), Dispatch::Inline);
    let (_raw, raw) = world.messages(sink.topic(), Dispatch::Inline);
    let (_own, own) = world.messages(sink.cached(), Dispatch::Inline);
    assert_eq!(sink.topic().publish(world.message("x", 1)).cached, 1);
    assert_eq!(world.kept("x"), Some(1));
    assert_eq!(world.got(&own), [update(None, Some(1))]);
    assert_eq!((world.got(&raw), world.got(&all)), (vec![Raw(1)], vec![]));
    assert!(sink.is_sink() && !world.all.single("one").unwrap().is_sink());
    assert_eq!((sink.topic().stats().forwards, sink.cached().stats().forwards), (0, 0));
}

/// An endpoint that also goes by its technology, however that is wired: everybody gets everything once (P12).
#[test]
fn g1_diamonds_deliver_once() {
    let _watched = watched();
    let world = World::new();
    let endpoint = world.all.single("endpoint").unwrap();
    for (tech, expected) in [(world.all.sink("sink").unwrap(), 1), (world.all.single("single").unwrap(), 2)] {
        let _up = endpoint.topic().forward_to(tech.topic()).unwrap();
        let (_all, all) = world.messages(world.all.cached(), Dispatch::Pool);
        let (_plain, plain) = world.messages(world.all.topic(), Dispatch::Pool);
        let (_tech, told) = world.messages(tech.cached(), Dispatch::Pool);
        let before = world.kept("x");
        endpoint.topic().publish(world.message("x", expected));
        endpoint.topic().publish(world.message("y", 0));
        all.await_len(4);
        told.await_len(2);
        plain.await_len(2);
        let first = update(before, Some(expected));
        assert_eq!(world.got(&all)[..2], [first, Raw(expected)]);
        assert_eq!(world.got(&told)[0], first);
        assert_eq!((all.len(), told.len()), (4, 2));
        assert_eq!(world.got(&plain), [Raw(expected), Raw(0)]);
    }
}

#[test]
fn two_handles_of_one_object_are_one_and_end_apart() {
    let _watched = watched();
    let world = World::new();
    let (one, other) = (world.all.single("one").unwrap(), world.all.single("one").unwrap());
    assert!(one.topic().is_same(other.topic()));
    let (_all, all) = world.messages(world.all.cached(), Dispatch::Inline);
    one.topic().publish(world.message("x", 1));
    drop(one);
    other.topic().publish(world.message("x", 2));
    assert_eq!(world.got(&all), [update(None, Some(1)), Raw(1), update(Some(1), Some(2)), Raw(2)]);
}

/// Forwards and keeping go, entries stay; nothing of the object is left.
#[test]
fn dropping_a_single_takes_its_wires_away_and_leaves_its_entries() {
    let _watched = watched();
    let world = World::new();
    let before = world.bus.topics().len();
    let single = world.all.single("one").unwrap();
    let (topic, cached) = (single.topic().clone(), single.cached().clone());
    let (_all, all) = world.messages(world.all.cached(), Dispatch::Inline);
    topic.publish(world.message("x", 1));
    drop(single);
    assert_eq!((topic.stats().forwards, cached.stats().forwards), (0, 0));
    let report = topic.publish(world.message("x", 2));
    assert_eq!((report.reached(), world.kept("x")), (false, Some(1)));
    assert_eq!(all.len(), 2);
    drop((topic, cached));
    assert_eq!(world.bus.topics().len(), before);
    // Another object's topic clears it.
    let other = world.all.single("two").unwrap();
    other.topic().publish(world.bus.clear(&world.message("x", 0)));
    assert_eq!(world.kept("x"), None);
    assert_eq!(world.got(&all)[2..], [update(Some(1), None)]);
    // The pattern goes with its last single.
    let World { bus, kind, all, .. } = world;
    let (name, cache) = (all.cached().name().to_owned(), all.cache().clone());
    drop((all, _all));
    assert!(bus.find_topic(&name).is_some() && other.all().cache().get(&kind, "x").is_none());
    drop(other);
    eventually(|| bus.find_topic(&name).is_none() && bus.find_topic("all").is_none());
    drop(cache);
}

#[test]
fn g11_a_detached_single_stays_to_the_end_of_the_bus_and_no_longer() {
    let _watched = watched();
    let (bus, census) = (Bus::new().unwrap(), Census::new());
    let kind = bus.message_type::<Alive>("value").unwrap();
    let read = kind.clone();
    let cache = Cache::builder(&bus).id(move |message| read.read(message).map(|_| "x".into()));
    let all = CachePattern::new(&bus, "all", cache).unwrap();
    let (single, cache) = (all.single("one").unwrap(), all.cache().clone());
    let topic = single.topic().clone();
    single.detach();
    all.single("two").unwrap().unsubscribe();
    drop(all);
    topic.publish(kind.message(census.born()));
    assert_eq!((cache.len(), census.alive()), (1, 1));
    drop((topic, cache));
    assert!(bus.find_topic("all").is_some() && census.alive() == 1);
    end(&bus);
    drop((bus, kind));
    eventually(|| census.alive() == 0);
}

#[test]
fn singles_keep_what_their_filter_wants() {
    let _watched = watched();
    let world = World::new();
    let other = world.bus.message_type::<u8>("other").unwrap();
    let single = world.all.single_with("one", Filter::all().accept(&other)).unwrap();
    let (_all, all) = world.messages(world.all.cached(), Dispatch::Inline);
    single.topic().publish(world.message("x", 1));
    assert_eq!((world.got(&all), world.kept("x")), (vec![Raw(1)], None));
    let sink = world.all.sink_with("two", Filter::all().accept(&world.kind)).unwrap();
    sink.topic().publish(world.message("x", 2));
    assert_eq!(world.kept("x"), Some(2));
    assert!(sink.all().cache().len() == 1 && sink.caching().topic().is_same(sink.cached()));
}

/// Four publishers write the same keys through two objects. On `all.cached` each update comes before the message it tells
/// of, everything comes once, and the updates of a key make one chain.
#[test]
fn g5_updates_come_first_and_in_one_chain_with_four_publishers() {
    const EACH: u64 = 400;
    let _watched = watched();
    for mode in EVERY_MODE {
        let world = World::new();
        let singles = ["one", "two"].map(|name| world.all.single(name).unwrap());
        let (listener, log) = world.messages(world.all.cached(), mode);
        thread::scope(|scope| {
            for thread in 0..4 {
                let (world, single): (_, &CacheSingle) = (&world, &singles[thread as usize % 2]);
                scope.spawn(move || {
                    for n in 0..EACH {
                        let number = thread * EACH + n + 1;
                        single.topic().publish(world.message(["x", "y"][n as usize % 2], number));
                    }
                });
            }
        });
        let total = 4 * EACH as usize;
        let seen = log.await_len(2 * total);
        assert_eq!(seen.len(), 2 * total, "{mode}");
        let mut told = std::collections::HashSet::new();
        for got in world.got(&log) {
            match got {
                Update(step) => assert!(told.insert(step.new.unwrap()), "{mode}: told twice"),
                Raw(number) => assert!(told.contains(&number), "{mode}: {number} before its update"),
            }
        }
        assert_eq!(told.len(), total);
        for chain in chains(world.bus.cache_updates(), &seen).values() {
            let last = match mode {
                Dispatch::Inline => assert_chain_in_some_order(&world.kind, chain),
                _ => assert_chain(&world.kind, chain),
            };
            assert_eq!(last.len(), total / 2);
        }
        drop(listener);
        end(&world.bus);
    }
}

#[test]
fn errors_name_what_was_wrong() {
    let _watched = watched();
    let world = World::new();
    let World { bus, kind, all } = &world;
    assert_eq!(CachePattern::new(bus, "", builder(bus, kind)).unwrap_err(), Error::Name(NameError::Empty));
    assert_eq!(CachePattern::new(bus, "x", Cache::builder(bus)).unwrap_err(), Error::Cache(CacheError::NoId));
    let elsewhere = Bus::new().unwrap();
    let other = CachePattern::new(&elsewhere, "x", builder(bus, kind)).unwrap_err();
    assert_eq!(other, Error::Caching(CachingError::OtherBus));
    assert_eq!(CachePattern::of(all.cache().updates(), all.cache()).unwrap_err(), CachingError::OwnUpdates);
    assert_eq!(all.single("a\u{0}b").unwrap_err(), Error::Name(NameError::ControlCharacter('\0', 1)));
    let own = all.sink(all.cache().updates().name()).unwrap_err();
    assert_eq!(own, Error::Caching(CachingError::OwnUpdates));
    let foreign = elsewhere.message_type::<u8>("foreign").unwrap();
    let refused = all.single_with("one", Filter::all().accept(&foreign)).unwrap_err().to_string();
    assert!(refused.contains("\"foreign\""), "{refused}");
    assert!(bus.find_topic("one").is_none(), "nothing is left of what was refused");
}
