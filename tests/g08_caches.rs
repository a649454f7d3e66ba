//! G8 and G9 of caches: the user's functions, and the drops of values, run under no lock of the cache and may call
//! anything on it; what panics in them is caught, counted and told, and the cache goes on.

mod common;
mod states;

use common::{Log, ON_PURPOSE, OnDrop, listen, watched};
use stasis_bus::{AnyType, Bus, Cache, Dispatch, Message, MessageType, PanicPlace, Topic};
use states::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What the functions of a cache use once it is there.
#[derive(Clone, Default)]
struct Reach(Arc<Mutex<Option<Parts>>>);

type Parts = (Bus, MessageType<State>, Cache, Topic);

impl Reach {
    fn set(&self, bus: &Bus, kind: &MessageType<State>, cache: &Cache, topic: &Topic) {
        *self.0.lock().unwrap() = Some((bus.clone(), kind.clone(), cache.clone(), topic.clone()));
    }

    /// A cache whose functions hold it would keep itself.
    fn let_go(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// Does everything that there is to do with the cache, to the very entry that is being written. Once: what it does
    /// leads here again.
    fn use_it(&self, done: &AtomicUsize) {
        let parts = self.0.lock().unwrap().clone();
        let Some((bus, kind, cache, topic)) = &parts else { return };
        if done.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        cache.get(kind, "alice");
        cache.get_aggregate(kind, "alice");
        cache.dump_all(AnyType);
        cache.for_each(AnyType, |message| _ = cache.get(kind, &kind.read(message).unwrap().id));
        topic.publish(kind.message(state("alice", 1_000)));
        topic.publish(kind.message(state("bob", 1_001)));
        topic.publish(bus.clear(&kind.message(state("bob", 0))));
        cache.clear(kind, "carol");
        cache.clear_origin(bus.origin("nobody").unwrap());
        let _again = topic.caching(cache).unwrap();
        let _told = cache.updates().subscribe("one more", |_| {}).unwrap();
        cache.stats();
    }
}

/// Publishes to a cache whose functions are made by `make`, from four threads, and lets them do what they want.
fn run(make: impl FnOnce(&Bus, &MessageType<State>, &Reach, &Arc<AtomicUsize>) -> Cache) {
    let (bus, kind) = states();
    let (reach, done) = (Reach::default(), Arc::new(AtomicUsize::new(0)));
    let (cache, topic) = (make(&bus, &kind, &reach, &done), bus.topic("states").unwrap());
    let _cached = topic.caching(&cache).unwrap();
    reach.set(&bus, &kind, &cache, &topic);
    let told = Log::new();
    let noted = told.clone();
    let builder = cache.updates().subscription("told").accept(bus.cache_updates());
    let _told = listen(builder, Dispatch::Pool, move |heard| noted.push(heard.message));
    std::thread::scope(|scope| {
        for by in 1..=4 {
            let (kind, topic) = (&kind, &topic);
            scope.spawn(move || {
                for n in 0..50 {
                    topic.publish(
                        kind.message(state(["alice", "bob", "carol"][n as usize % 3], by * 100 + n)),
                    );
                }
            });
        }
    });
    assert!(done.load(Ordering::Relaxed) >= 1, "the function was not called");
    assert_eq!(bus.stats().panics, 0);
    common::end(&bus);
    reach.let_go();
    for (_, chain) in chains(bus.cache_updates(), &told.all()) {
        assert_chain(&kind, &chain);
    }
}

#[test]
fn g8_an_id_function_may_use_the_cache() {
    let _watched = watched();
    run(|bus, kind, reach, done| {
        let (reach, done) = (reach.clone(), done.clone());
        let builder = Cache::builder(bus).id_of(kind, move |state: &State| {
            reach.use_it(&done);
            &state.id
        });
        builder.build().unwrap()
    });
}

#[test]
fn g8_an_aggregate_function_may_use_the_cache() {
    let _watched = watched();
    run(|bus, kind, reach, done| {
        let (reach, done, made) = (reach.clone(), done.clone(), kind.clone());
        builder(bus, kind)
            .aggregate(move |entry| {
                reach.use_it(&done);
                let local = made.read(entry.local()?)?;
                Some(made.build(local.clone()).aggregate().finish())
            })
            .build()
            .unwrap()
    });
}

#[test]
fn g8_an_announcement_may_use_the_cache() {
    let _watched = watched();
    run(|bus, kind, reach, done| {
        let (reach, done) = (reach.clone(), done.clone());
        let announce = move |topic: &Topic, aggregate: &Message| {
            reach.use_it(&done);
            topic.publish(aggregate.clone());
        };
        summing(bus, kind).announce(announce).build().unwrap()
    });
}

#[test]
fn g8_a_comparison_of_aggregates_may_use_the_cache() {
    let _watched = watched();
    run(|bus, kind, reach, done| {
        let (reach, done) = (reach.clone(), done.clone());
        let equal = move |a: &Message, b: &Message| {
            reach.use_it(&done);
            a.is_same(b)
        };
        summing(bus, kind).aggregate_eq(equal).build().unwrap()
    });
}

/// A value that uses the cache when it is compared, and when it is dropped.
struct Busy {
    id: &'static str,
    used: Arc<dyn Fn(&str) + Send + Sync>,
}

impl PartialEq for Busy {
    fn eq(&self, other: &Self) -> bool {
        (self.used)("compared");
        std::ptr::eq(self, other)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        (self.used)("dropped");
    }
}

#[test]
fn g8_comparisons_and_drops_of_states_may_use_the_cache() {
    let _watched = watched();
    let (bus, kind) = states();
    let busy = bus.message_type::<Busy>("busy").unwrap();
    let cache =
        builder(&bus, &kind).id_of(&busy, |busy: &Busy| busy.id).suppress_equal(&busy).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    let (compared, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let used: Arc<dyn Fn(&str) + Send + Sync> = {
        let (cache, topic, kind, busy) = (cache.clone(), topic.clone(), kind.clone(), busy.clone());
        let (compared, dropped) = (compared.clone(), dropped.clone());
        Arc::new(move |what| {
            let counted = if what == "compared" { &compared } else { &dropped };
            let before = counted.fetch_add(1, Ordering::Relaxed);
            cache.get(&busy, "alice");
            topic.publish(kind.message(state("alice", before as u64)));
            cache.clear(&kind, "alice");
        })
    };
    let made = |id| Busy { id, used: used.clone() };
    for n in 0..200 {
        topic.publish(busy.message(made(if n % 2 == 0 { "alice" } else { "bob" })));
        if n % 10 == 9 {
            cache.clear(&busy, "alice");
        }
    }
    common::eventually(|| dropped.load(Ordering::Relaxed) >= 198);
    assert!(compared.load(Ordering::Relaxed) >= 170);
    cache.clear(&busy, "bob");
    common::end(&bus);
    assert_eq!(bus.stats().panics, 0);
    // The closure holds what holds it.
    drop(used);
}

/// What a handler does to the entry it is told of.
#[test]
fn g8_handlers_of_updates_may_use_the_cache() {
    let _watched = watched();
    for mode in common::EVERY_MODE {
        let (bus, kind) = states();
        let (cache, topic) = (cache(&bus, &kind), bus.topic("states").unwrap());
        let _cached = topic.caching(&cache).unwrap();
        let (used, read, source, updates) =
            (cache.clone(), kind.clone(), topic.clone(), bus.cache_updates().clone());
        let builder = cache.updates().subscription("told").accept(bus.cache_updates());
        let _told = listen(builder, mode, move |heard| {
            let update = updates.read(&heard.message).filter(|_| heard.end.is_none());
            let Some(new) = update.and_then(|update| update.new.as_ref()) else { return };
            let told = read.read(new).unwrap();
            if told.number < 100 {
                source.publish(read.message(state(&told.id, told.number + 100)));
                used.clear(&read, &told.id);
                used.dump_all(AnyType);
            }
        });
        for n in 0..50 {
            topic.publish(kind.message(state("alice", n)));
        }
        common::end(&bus);
        assert_eq!(bus.stats().panics, 0);
    }
}

#[test]
fn g8_panics_are_caught_counted_and_told() {
    let _watched = watched();
    let told = Log::new();
    let noted = told.clone();
    let bus = Bus::builder()
        .manual()
        .on_panic(move |report| noted.push((report.name.to_owned(), report.place, report.message.to_owned())))
        .build()
        .unwrap();
    let kind = bus.message_type::<State>("state").unwrap();
    let panics_if = |when: bool| assert!(!when, "{ON_PURPOSE}");
    let (read, compared) = (kind.clone(), kind.clone());
    let cache = Cache::builder(&bus)
        .id_of(&kind, move |state: &State| {
            panics_if(state.number == 1);
            &state.id
        })
        .aggregate(move |entry| {
            let local = read.read(entry.local()?)?;
            panics_if(local.number == 2);
            // Not an aggregate at all: it has an origin.
            let own = (local.number == 3).then(|| entry.local().cloned());
            own.unwrap_or_else(|| Some(read.build(local.clone()).aggregate().finish()))
        })
        .aggregate_eq(move |_, new| {
            panics_if(number(&compared, new) == 5);
            false
        })
        .announce(move |_, _| panic!("{ON_PURPOSE}"))
        .name("names")
        .build()
        .unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    let publish = |number| topic.publish(kind.message(state("alice", number))).cached;
    let places =
        || told.take().into_iter().map(|(name, place, _)| (name == "names", place)).collect::<Vec<_>>();
    let aggregate = || number_of(&kind, cache.get_aggregate(&kind, "alice"));

    // Without an id it is not kept; others are.
    assert_eq!((publish(1), places()), (0, vec![(true, PanicPlace::CacheId)]));
    assert_eq!((publish(4), places()), (1, vec![(true, PanicPlace::Announce)]));
    // The aggregate stays as it was.
    assert_eq!((publish(2), places(), aggregate()), (1, vec![(true, PanicPlace::Aggregate)], Some(4)));
    assert_eq!(publish(3), 1);
    let (_, place, text) = told.take().remove(0);
    assert_eq!((place, aggregate()), (PanicPlace::Aggregate, Some(4)));
    assert!(text.contains("has no origin"), "{text}");
    // What cannot be compared is different.
    let both = vec![(true, PanicPlace::CacheEquality), (true, PanicPlace::Announce)];
    assert_eq!((publish(5), places(), aggregate()), (1, both, Some(5)));
    assert_eq!(bus.stats().panics, 6);
}

/// The aggregate of an object that is gone goes as well, though its function panics.
#[test]
fn g8_a_panic_leaves_no_aggregate_of_nothing() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let made = kind.clone();
    let cache = builder(&bus, &kind)
        .aggregate(move |entry| {
            let local = entry.local().and_then(|local| made.read(local)).expect(ON_PURPOSE);
            Some(made.build(local.clone()).aggregate().finish())
        })
        .build()
        .unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    topic.publish(kind.message(state("alice", 1)));
    assert!(cache.get_aggregate(&kind, "alice").is_some());
    cache.clear(&kind, "alice");
    assert!(cache.get_aggregate(&kind, "alice").is_none() && cache.is_empty());
    assert_eq!(bus.stats().panics, 1);
}

/// A panic in the drop of what the functions captured, too.
#[test]
fn g8_a_panic_in_the_drop_of_a_function_is_caught() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let captured = OnDrop(|| panic!("{ON_PURPOSE}"));
    let cache = builder(&bus, &kind)
        .aggregate(move |_| {
            let _ = &captured;
            None
        })
        .build()
        .unwrap();
    drop(cache);
}
