//! What a second look at caches found.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::{Gate, Log, end, eventually, watched};
use stasis_bus::{Bus, Cache, Handled, MessageType};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

fn id(state: &(String, u64)) -> &str {
    &state.0
}

fn states(bus: &Bus) -> MessageType<(String, u64)> {
    bus.message_type("state").unwrap()
}

/// The worker has handled the listener's own Subscribe, and sleeps. (Should it be awake still, the test shows less.)
fn fall_asleep<T: Clone>(bus: &Bus, handled: &Log<T>) {
    eventually(|| handled.len() == 1 && bus.worker_stats().iter().all(|worker| worker.running.is_none()));
    thread::sleep(Duration::from_millis(20));
}

/// A topic is kept in two caches, and the id function of the second one waits for who hears the first: he must have been
/// woken.
#[test]
fn g8_an_id_function_waits_for_who_heard_another_cache() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).idle_timeout(None).build().unwrap();
    let (state, topic) = (states(&bus), bus.topic("states").unwrap());
    let first = Cache::builder(&bus).id_of(&state, id).build().unwrap();
    let heard: Arc<OnceLock<stasis_bus::Subscription>> = Arc::default();
    let (listener, updates, results) = (heard.clone(), bus.cache_updates().clone(), Log::new());
    let (noted, question) = (results.clone(), bus.message_type::<()>("question").unwrap());
    let second = Cache::builder(&bus)
        .id_of(&state, move |state| {
            if let Some(listener) = listener.get() {
                noted.push(listener.publish_sync(question.message(()), None));
            }
            &state.0
        })
        .build()
        .unwrap();
    let (to_first, _to_second) = (topic.caching(&first).unwrap(), topic.caching(&second).unwrap());
    let handled = Log::new();
    let noted = handled.clone();
    let listener = to_first.subscription("listener").start(move |delivery| {
        noted.push(delivery.read(&updates).is_some());
    });
    heard.set(listener.unwrap()).unwrap();
    fall_asleep(&bus, &handled);
    topic.publish(state.message(("alice".to_owned(), 1)));
    assert_eq!(results.all(), [Ok(Handled::Yes)]);
    drop((to_first, heard));
    end(&bus);
}

/// The same, of messages of one batch.
#[test]
fn g8_an_id_function_waits_for_who_heard_of_an_earlier_message_of_the_batch() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).idle_timeout(None).build().unwrap();
    let (state, topic) = (states(&bus), bus.topic("states").unwrap());
    let heard: Arc<OnceLock<stasis_bus::Subscription>> = Arc::default();
    let (listener, results) = (heard.clone(), Log::new());
    let (noted, question) = (results.clone(), bus.message_type::<()>("question").unwrap());
    let cache = Cache::builder(&bus)
        .id_of(&state, move |state| {
            if let Some(listener) = listener.get().filter(|_| state.1 == 2) {
                noted.push(listener.publish_sync(question.message(()), None));
            }
            &state.0
        })
        .build()
        .unwrap();
    let caching = topic.caching(&cache).unwrap();
    let handled = Log::new();
    let noted = handled.clone();
    let listener = caching.subscription("listener").start(move |_| noted.push(()));
    heard.set(listener.unwrap()).unwrap();
    fall_asleep(&bus, &handled);
    topic.publish_batch((0..3).map(|number| state.message((format!("id {number}"), number))).collect());
    assert_eq!(results.all(), [Ok(Handled::Yes)]);
    drop((caching, heard));
    end(&bus);
}

/// A clear that finds nothing to clear, because another thread is about to have cleared it, returns when the aggregate
/// knows of it all the same.
#[test]
fn g4_the_second_of_two_clears_is_in_the_aggregate_when_it_returns() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let (state, topic) = (states(&bus), bus.topic("states").unwrap());
    let (entered, gate, is_first) = (Gate::new(), Gate::new(), Arc::new(AtomicBool::new(true)));
    let (inside, pass, made) = (entered.clone(), gate.clone(), state.clone());
    let cache = Cache::builder(&bus).id_of(&state, id).aggregate(move |entry| {
        if entry.local().is_none() && is_first.swap(false, Ordering::SeqCst) {
            inside.open();
            pass.pass();
        }
        let local = made.read(entry.local()?)?;
        Some(made.build(local.clone()).aggregate().finish())
    });
    let cache = cache.build().unwrap();
    let _caching = topic.caching(&cache).unwrap();
    let alice = state.message(("alice".to_owned(), 1));
    topic.publish(alice.clone());
    assert!(cache.get_aggregate(&state, "alice").is_some());
    thread::scope(|scope| {
        scope.spawn(|| topic.publish(bus.clear(&alice)));
        entered.pass();
        assert!(cache.get(&state, "alice").is_none());
        topic.publish(bus.clear(&alice));
        let aggregate = cache.get_aggregate(&state, "alice");
        gate.open();
        assert!(aggregate.is_none(), "cleared, and still in the aggregate: {aggregate:?}");
    });
    end(&bus);
}

/// A pin held what was retired up until the bus was over. The values hold the bus's own topics, and so what they wait in.
#[test]
fn g11_what_a_pin_held_up_beyond_the_end_goes_with_the_pin() {
    let _watched = watched();
    let census = common::Census::new();
    let bus = Bus::new().unwrap();
    let kind = bus.message_type::<(String, stasis_bus::Topic, common::Alive)>("with topic").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, |(id, ..)| id).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let cached = topic.caching(&cache).unwrap();
    for id in ["alice", "bob"] {
        topic.publish(kind.message((id.to_owned(), topic.clone(), census.born())));
    }
    let pin = cache.pin();
    assert!(pin.get(&kind, "alice").is_some());
    assert!(cache.clear(&kind, "alice"));
    end(&bus);
    assert_eq!(census.alive(), 2, "one stands, one is pinned");
    drop(pin);
    assert_eq!(census.alive(), 1, "one stands");
    drop((cached, topic, kind, bus));
    drop(cache);
    assert_eq!(census.alive(), 0);
}

/// What a snapshot brings has not come by the topic: it does not make up for what the filter keeps away.
#[test]
fn figures_of_who_catches_up_say_what_was_filtered() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (state, topic) = (states(&bus), bus.topic("states").unwrap());
    let cache = Cache::builder(&bus).id_of(&state, id).build().unwrap();
    let cached = topic.caching(&cache).unwrap();
    let publish = |who: &str, n: u64| topic.publish(state.message((format!("{who}-{n}"), n)));
    (0..10).for_each(|n| _ = publish("a", n));
    for wants_changes in [false, true] {
        let mut builder = cached.snapshot_subscription("late").accept_update_of(&state).id_prefix("a-");
        if wants_changes {
            builder = builder.accept(bus.subscription_changes());
        }
        let late = builder.start(|_| {}).unwrap();
        let before = late.stats();
        // Its own Subscribe is delivered, or filtered.
        assert_eq!(before.filtered, u64::from(!wants_changes), "{before}");
        (0..5).for_each(|n| _ = publish("b", 100 + n));
        (0..3).for_each(|n| _ = publish("a", 100 + n));
        let after = late.stats();
        assert_eq!(after.accepted, before.accepted + 3);
        assert_eq!(after.filtered, before.filtered + 5, "{after}");
        bus.run_until_idle();
        assert_eq!(late.stats().filtered, after.filtered);
        assert_eq!((0..13).filter(|n| cache.clear(&state, &format!("a-{}", 100 + n))).count(), 3);
        assert_eq!((0..5).filter(|n| cache.clear(&state, &format!("b-{}", 100 + n))).count(), 5);
    }
}

/// Two caches that hear each other's updates keep what the other says of states, and that is the end of it.
#[test]
fn two_caches_that_keep_each_others_updates_come_to_rest() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (state, topic) = (states(&bus), bus.topic("states").unwrap());
    let updates = bus.cache_updates();
    let cache =
        || Cache::builder(&bus).id_of(&state, id).id_of(updates, |update| update.id()).build().unwrap();
    let (one, two) = (cache(), cache());
    let filter = || stasis_bus::Filter::all().accept(&state).accept(updates);
    let cached = topic.caching_with(&one, filter()).unwrap();
    let again = cached.topic().caching_with(&two, filter()).unwrap();
    let _back = again.topic().forward_to(&topic).unwrap();
    topic.publish(state.message(("alice".to_owned(), 1)));
    assert_eq!((one.len(), two.len()), (1, 1));
    assert!(two.get(updates, "alice").is_some());
}

/// A cache does not keep its own updates, by whatever way they come back to it.
#[test]
fn a_cache_does_not_keep_its_own_updates() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (state, topic) = (states(&bus), bus.topic("states").unwrap());
    let calls = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (counted, updates) = (calls.clone(), bus.cache_updates().clone());
    let cache = Cache::builder(&bus)
        .id_of(&state, id)
        .id_of(&updates, move |update| {
            assert!(counted.fetch_add(1, Ordering::Relaxed) < 100, "{}", common::ON_PURPOSE);
            update.id()
        })
        .build()
        .unwrap();
    let filter = stasis_bus::Filter::all().accept(&state).accept(bus.cache_updates());
    let cached = topic.caching_with(&cache, filter).unwrap();
    let _back = cached.topic().forward_to(&topic).unwrap();
    topic.publish(state.message(("alice".to_owned(), 1)));
    assert_eq!((calls.load(Ordering::Relaxed), cache.len()), (0, 1));
}
