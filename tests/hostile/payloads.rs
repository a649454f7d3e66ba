//! Values of no size, of great size, of odd alignment; values whose drop publishes or panics; values in values.

use crate::common::*;
use stasis_bus::{Bus, Cache, Message, MessageType, Overflow};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Makes, publishes, reads and drops some of them in every mode.
fn travels<T: Send + Sync + 'static>(
    make: impl Fn() -> T,
    check: impl Fn(&T) -> bool + Send + Sync + Copy + 'static,
) {
    let bus = Bus::new().unwrap();
    let (kind, topic) = (bus.message_type::<T>("value").unwrap(), bus.topic("t").unwrap());
    let good = Arc::new(AtomicU64::new(0));
    let listeners = EVERY_MODE.map(|mode| {
        let (kind2, good) = (kind.clone(), good.clone());
        listen(topic.subscription("s").accept(&kind), mode, move |heard| {
            if kind2.read(&heard.message).is_some_and(check) {
                good.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for _ in 0..20 {
        topic.publish(kind.message(make()));
    }
    for listener in &listeners {
        listener.unsubscribe();
        listener.join().unwrap();
    }
    assert_eq!(good.load(Ordering::Relaxed), 100);
    drop(listeners);
    end(&bus);
    assert_eq!(bus.message_type_stats().iter().map(|stats| stats.alive).sum::<u64>(), 0);
}

#[test]
fn values_of_no_size() {
    let _watched = watched();
    struct Nothing;
    travels(|| (), |()| true);
    travels(|| Nothing, |_| true);
    travels(|| [0_u64; 0], |value| value.is_empty());
}

#[test]
fn values_of_great_size_and_odd_alignment() {
    let _watched = watched();
    #[repr(align(4096))]
    struct Page(u8);
    #[repr(align(128))]
    struct Line([u8; 129]);
    travels(|| Page(7), |page| page.0 == 7 && std::ptr::from_ref(page).addr().is_multiple_of(4096));
    travels(
        || Line([3; 129]),
        |line| line.0 == [3; 129] && std::ptr::from_ref(line).addr().is_multiple_of(128),
    );
    travels(|| [5_u8; 100_000], |value| value.iter().all(|byte| *byte == 5));
    travels(|| vec![1_u8; 8 << 20], |value| value.len() == 8 << 20);
}

/// A message in a message in a message. Their drops nest, as those of boxes in boxes do: what is deeper than the stack of
/// the thread that drops it ends the process, whoever holds it. A thousand are no matter.
#[test]
fn messages_nested_a_thousand_deep_can_be_dropped() {
    let _watched = watched();
    struct Shell(Option<Message>);
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<Shell>("shell").unwrap();
    let nested = || (0..1_000).fold(kind.message(Shell(None)), |inner, _| kind.message(Shell(Some(inner))));
    drop(nested());
    let topic = bus.topic("t").unwrap();
    let mut stream = topic.subscription("s").accept(&kind).stream().unwrap();
    topic.publish(nested());
    assert!(stream.try_recv().is_ok_and(|got| got.read(&kind).is_some_and(|shell| shell.0.is_some())));
    drop(stream);
    end(&bus);
}

/// What their drop does; panics are silent by their text.
struct Bomb(#[allow(dead_code)] DropAction);

fn panics() -> Bomb {
    Bomb(on_drop(|| panic!("{ON_PURPOSE}")))
}

/// Wherever a value is dropped (by a publish that nobody takes, by policies, by caches, by workers, at the end), its panic
/// is caught and counted, and everything goes on.
#[test]
fn values_whose_drop_panics_stop_nobody() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=2).on_panic(|_| {}).build().unwrap();
    let kind = bus.message_type::<Bomb>("bomb").unwrap();
    let (lonely, topic) = (bus.topic("lonely").unwrap(), bus.topic("t").unwrap());
    let cache = Cache::builder(&bus).id_of(&kind, |_| "one").build().unwrap();
    let _caching = topic.caching(&cache).unwrap();
    let policies = [Overflow::DropOldest, Overflow::DropNewest, Overflow::conflate(|_| Some(1_u64.into()))];
    let streams = policies.map(|policy| {
        topic.subscription("full").accept(&kind).capacity(1).overflow(policy).stream().unwrap()
    });
    let listeners = HANDLER_MODES.map(|mode| listen(topic.subscription("s").accept(&kind), mode, |_| {}));
    let made = 50;
    for _ in 0..made {
        lonely.publish(kind.message(panics()));
        drop(kind.message(panics()));
        topic.publish(kind.message(panics()));
        lonely.publish_batch(vec![kind.message(panics()), kind.message(panics())]);
    }
    drop(streams);
    for listener in &listeners {
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(listener.stats().accepted, made, "{}", listener.dispatch());
    }
    cache.clear(&kind, "one");
    drop((listeners, cache));
    end(&bus);
    let stats = bus.message_type_stats().iter().find(|stats| stats.name == "bomb").cloned().unwrap();
    assert_eq!((stats.made, stats.alive, stats.panics), (5 * made, 0, 5 * made));
}

/// Values that publish when they are dropped, into the very mailboxes from which they are dropped.
#[test]
fn values_whose_drop_publishes_lose_nothing_that_is_not_counted() {
    let _watched = watched();
    let policies = [
        Overflow::default(),
        Overflow::block(),
        Overflow::DropOldest,
        Overflow::DropNewest,
        Overflow::conflate(|_| Some(1_u64.into())),
        Overflow::Disconnect,
    ];
    for policy in policies {
        for mode in QUEUED_MODES {
            let bus = Bus::builder().workers(1..=1).build().unwrap();
            let (bombs, kind) =
                (bus.message_type::<Bomb>("bomb").unwrap(), bus.message_type::<u64>("n").unwrap());
            let topic = bus.topic("t").unwrap();
            let builder = topic.subscription("s").accept(&kind).accept(&bombs);
            let told = Arc::new(AtomicU64::new(0));
            let told2 = told.clone();
            let listener = listen(builder.capacity(2).overflow(policy.clone()), mode, move |heard| {
                told2.fetch_add(heard.missed, Ordering::Relaxed);
            });
            for _ in 0..50 {
                let (topic2, kind2) = (topic.clone(), kind.clone());
                let publishes = on_drop(move || _ = topic2.publish(kind2.message(1)));
                topic.publish(bombs.message(Bomb(publishes)));
            }
            listener.unsubscribe();
            listener.join().unwrap();
            let stats = listener.stats();
            let lost = stats.lost;
            let offered = stats.accepted + lost.refused + lost.timed_out + lost.disconnected;
            assert_eq!(stats.handled + stats.missed, offered, "{policy:?} {mode}: {stats}");
            // Who reads a stream notes its last message when it has it.
            eventually(|| told.load(Ordering::Relaxed) >= stats.missed);
            assert_eq!(told.load(Ordering::Relaxed), stats.missed, "{policy:?} {mode}: {stats}");
            drop(listener);
            end(&bus);
        }
    }
}

/// A value may hold the bus, its own topic and its own subscription: whoever takes them out of it ends the circle.
#[test]
fn values_may_hold_the_bus_and_their_own_subscription() {
    let _watched = watched();
    type Holder = Mutex<Option<(Bus, stasis_bus::Topic, Own)>>;
    let census = Census::new();
    for mode in EVERY_MODE {
        let bus = Bus::new().unwrap();
        let (kind, topic) = (bus.message_type::<Holder>("holder").unwrap(), bus.topic("t").unwrap());
        let (own, alive, kind2) = (Own::default(), census.born(), kind.clone());
        let listener = listen(topic.subscription("s").accept(&kind), mode, move |heard| {
            let _alive = &alive;
            if let Some(holder) = kind2.read(&heard.message) {
                drop(holder.lock().unwrap().take());
            }
        });
        assert!(own.set(listener).is_ok());
        topic.publish(kind.message(Mutex::new(Some((bus, topic.clone(), own)))));
        drop((kind, topic));
        eventually(|| census.alive() == 0);
    }
}

/// A panic that is under way: guards that publish, end and make things while the stack is unwound.
#[test]
fn a_thread_that_panics_may_use_the_bus_while_it_unwinds() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let (listener, log) = note_numbers(topic.subscription("s").accept(&kind), mode, &kind);
        let (topic2, kind2): (_, MessageType<u64>) = (topic.clone(), kind.clone());
        let panicked = thread::spawn(move || {
            let _guard = on_drop(move || {
                topic2.publish(kind2.message(1));
                drop(topic2.subscribe("brief", |_| {}).unwrap());
                topic2.publish_batch(vec![kind2.message(2), kind2.message(3)]);
                listener.unsubscribe();
            });
            panic!("{ON_PURPOSE}");
        });
        assert!(panicked.join().is_err());
        assert_eq!(log.await_len(4), [Some(1), Some(2), Some(3), None], "{mode}");
    }
    end(&bus);
}
