//! Conflate: only the latest message of each key waits.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{
    Bus, Cache, Dispatch, EndReason, Handled, Key, Message, MessageType, Overflow, PanicPlace, Topic,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A key and a number that grows.
type State = (u64, u64);

fn by_key(kind: &MessageType<State>) -> Overflow {
    let kind = kind.clone();
    Overflow::conflate(move |message| kind.read(message).map(|(key, _)| Key::from(*key)))
}

fn quiet() -> (Bus, MessageType<State>, Topic) {
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type("state").unwrap(), bus.topic("t").unwrap());
    (bus, kind, topic)
}

fn publish(topic: &Topic, kind: &MessageType<State>, states: impl IntoIterator<Item = State>) {
    for state in states {
        assert_eq!(topic.publish(kind.message(state)).dropped, 0);
    }
}

/// What a stream has to read now: state and missed.
fn read_all(stream: &mut stasis_bus::Stream, kind: &MessageType<State>) -> Vec<(Option<State>, u64)> {
    std::iter::from_fn(|| stream.try_recv().ok()).map(|got| (got.read(kind).copied(), got.missed())).collect()
}

#[test]
fn g7_conflate_keeps_the_latest_at_the_place_of_the_first() {
    let (_bus, kind, topic) = quiet();
    let builder = topic.subscription("s").accept(&kind).capacity(4).overflow(by_key(&kind));
    let mut stream = builder.stream().unwrap();
    for state in [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3)] {
        let report = topic.publish(kind.message(state));
        assert_eq!((report.accepted, report.dropped), (1, 0));
    }
    let stats = stream.stats();
    assert_eq!((stats.depth, stats.accepted, stats.missed, stats.lost.conflated), (3, 5, 2, 2));
    let expected = [(Some((1, 3)), 2), (Some((2, 1)), 0), (Some((3, 1)), 0)];
    assert_eq!(read_all(&mut stream, &kind), expected);
    // A key that was handled begins anew, at the back.
    for state in [(2, 2), (1, 4), (2, 3)] {
        topic.publish(kind.message(state));
    }
    assert_eq!(read_all(&mut stream, &kind), [(Some((2, 3)), 1), (Some((1, 4)), 0)]);
}

#[test]
fn g7_conflate_evicts_the_key_that_waits_longest() {
    let (_bus, kind, topic) = quiet();
    let builder = topic.subscription("s").accept(&kind).capacity(2).overflow(by_key(&kind));
    let mut stream = builder.stream().unwrap();
    for state in [(1, 1), (1, 2), (2, 1), (3, 1), (2, 2), (4, 1)] {
        assert_eq!(topic.publish(kind.message(state)).accepted, 1);
    }
    // 1 went with what it had lost, then 2 likewise: told with the next delivery.
    let lost = stream.stats().lost;
    assert_eq!((lost.conflated, lost.evicted, lost.total()), (2, 2, 4));
    assert_eq!(read_all(&mut stream, &kind), [(Some((3, 1)), 4), (Some((4, 1)), 0)]);
    assert!(stream.unsubscribe());
    assert_eq!(read_all(&mut stream, &kind), [(None, 0)]);
}

#[test]
fn g7_conflate_leaves_messages_without_a_key_alone() {
    let (bus, kind, topic) = quiet();
    let changes = bus.subscription_changes().clone();
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    let never = Overflow::conflate(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        None
    });
    let builder = topic.subscription("s").accept(&kind).accept(&changes).capacity(16).overflow(never);
    let mut stream = builder.stream().unwrap();
    publish(&topic, &kind, (0..3).map(|number| (1, number)));
    let brief = topic.subscribe("brief", |_| {}).unwrap();
    assert!(brief.unsubscribe());
    assert_eq!(calls.load(Ordering::Relaxed), 3, "the bus's own messages are not asked about");
    assert_eq!(read_all(&mut stream, &kind).len(), 1 + 3 + 2);
    assert_eq!(stream.stats().missed, 0);
}

/// A group of tokens has left the ring while the handler is in the first message: the others can still be replaced.
#[test]
fn g7_conflate_replaces_until_the_handler_is_called() {
    let _watched = watched();
    for mode in [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated] {
        let bus = Bus::new().unwrap();
        let (kind, topic) = (bus.message_type::<State>("state").unwrap(), bus.topic("t").unwrap());
        let (log, own, again) = (Log::new(), kind.clone(), topic.clone());
        let (noted, blocked, gate) = (log.clone(), Gate::new(), Gate::new());
        let (blocked2, gate2) = (blocked.clone(), gate.clone());
        let builder = topic.subscription("s").accept(&kind).capacity(64).overflow(by_key(&kind));
        let listener = listen(builder, mode, move |heard| {
            let state = own.read(&heard.message).copied();
            noted.push((state, heard.missed));
            match state {
                Some((0, 0)) if mode == Dispatch::Serial => {
                    publish(&again, &own, (1..=8).map(|key| (key, 1)));
                }
                Some((0, 0)) => {
                    blocked2.open();
                    gate2.pass();
                }
                Some((1, _)) => publish(&again, &own, [(5, 2)]),
                _ => {}
            }
        });
        topic.publish(kind.message((0, 0)));
        if mode != Dispatch::Serial {
            blocked.pass();
            publish(&topic, &kind, (1..=8).map(|key| (key, 1)));
            gate.open();
        }
        log.await_len(9);
        listener.unsubscribe();
        listener.join().unwrap();
        let mut expected: Vec<_> = (0..=8).map(|key| (Some((key, u64::from(key > 0))), 0)).collect();
        expected[5] = (Some((5, 2)), 1);
        expected.push((None, 0));
        assert_eq!(log.all(), expected, "{mode}");
        end(&bus);
    }
}

/// Order per key, the last of every key, and the sums, under publishers that run all the time.
#[test]
fn g2_conflate_keeps_the_order_of_each_key() {
    let _watched = watched();
    const EACH: u64 = 4_000;
    for capacity in [8, 3] {
        for mode in QUEUED_MODES {
            let bus = Bus::new().unwrap();
            let (kind, topic) = (bus.message_type::<State>("state").unwrap(), bus.topic("t").unwrap());
            let latest: Arc<Mutex<BTreeMap<u64, u64>>> = Arc::default();
            let (delivered, missed, ended) =
                (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Gate::new());
            let (latest2, delivered2, missed2, ended2) =
                (latest.clone(), delivered.clone(), missed.clone(), ended.clone());
            let own = kind.clone();
            let builder = topic.subscription("s").accept(&kind).capacity(capacity).overflow(by_key(&kind));
            let listener = listen(builder, mode, move |heard| {
                missed2.fetch_add(heard.missed, Ordering::SeqCst);
                let Some(&(key, number)) = own.read(&heard.message) else { return ended2.open() };
                delivered2.fetch_add(1, Ordering::SeqCst);
                let before = latest2.lock().unwrap().insert(key, number);
                assert!(before.is_none_or(|before| before < number), "{key}: {number} after {before:?}");
            });
            let accepted: u64 = thread::scope(|scope| {
                let publishers: [_; 3] = std::array::from_fn(|publisher| {
                    let (topic, kind) = (&topic, &kind);
                    scope.spawn(move || {
                        let publish = |number: u64| {
                            let key = publisher as u64 * 2 + number % 2;
                            u64::from(topic.publish(kind.message((key, number))).accepted)
                        };
                        (0..EACH).map(publish).sum::<u64>()
                    })
                });
                publishers.map(|publisher| publisher.join().unwrap()).iter().sum()
            });
            assert_eq!(accepted, 3 * EACH, "every one is taken");
            listener.unsubscribe();
            listener.join().unwrap();
            ended.pass();
            let stats = listener.stats();
            let (delivered, missed) = (delivered.load(Ordering::SeqCst), missed.load(Ordering::SeqCst));
            assert_eq!(delivered + missed, 3 * EACH, "{mode}");
            assert_eq!((stats.missed, stats.lost.conflated + stats.lost.evicted), (missed, missed));
            assert_eq!(stats.accepted, 3 * EACH);
            if capacity >= 6 {
                let expected = (0..6).map(|key| (key, EACH - 2 + key % 2)).collect();
                assert_eq!(*latest.lock().unwrap(), expected, "the last of every key arrives: {mode}");
                assert_eq!(stats.lost.evicted, 0);
            }
            assert_eq!(stats.panics, 0);
            end(&bus);
        }
    }
}

/// A handle that ends it, or a bus that does, against publishers: what was accepted is delivered or told.
#[test]
fn g6_conflate_accounts_for_what_it_accepted_at_its_end() {
    let _watched = watched();
    for mode in QUEUED_MODES {
        for round in 0..15 {
            let bus = Bus::new().unwrap();
            let (kind, topic) = (bus.message_type::<State>("state").unwrap(), bus.topic("t").unwrap());
            let (told, ended, own) = (Arc::new(AtomicU64::new(0)), Gate::new(), kind.clone());
            let (told2, ended2) = (told.clone(), ended.clone());
            let builder = topic.subscription("s").accept(&kind).capacity(2).overflow(by_key(&kind));
            let listener = listen(builder, mode, move |heard| {
                told2.fetch_add(heard.missed, Ordering::SeqCst);
                match own.read(&heard.message) {
                    Some(_) => drop(told2.fetch_add(1, Ordering::SeqCst)),
                    None => ended2.open(),
                }
            });
            let accepted: u64 = thread::scope(|scope| {
                let publishers: [_; 2] = std::array::from_fn(|publisher| {
                    let (topic, kind) = (&topic, &kind);
                    scope.spawn(move || {
                        let publish = |number| {
                            let state = (publisher as u64 + number % 3, number);
                            u64::from(topic.publish(kind.message(state)).accepted)
                        };
                        (0..300).map(publish).sum::<u64>()
                    })
                });
                thread::sleep(Duration::from_micros(40 * round));
                listener.unsubscribe();
                publishers.map(|publisher| publisher.join().unwrap()).iter().sum()
            });
            listener.join().unwrap();
            ended.pass();
            assert_eq!(told.load(Ordering::SeqCst), accepted, "{mode}");
            assert_eq!(listener.stats().accepted, accepted);
            end(&bus);
        }
    }
}

#[test]
fn g7_conflate_tells_of_a_queue_thrown_away() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let (kind, topic) = (bus.message_type::<State>("state").unwrap(), bus.topic("t").unwrap());
    let (entered, gate, log, own) = (Gate::new(), Gate::new(), Log::new(), kind.clone());
    let (entered2, gate2, noted) = (entered.clone(), gate.clone(), log.clone());
    let builder = topic.subscription("s").accept(&kind).capacity(2).overflow(by_key(&kind));
    let sub = builder.start(move |delivery| {
        noted.push((delivery.read(&own).copied(), delivery.missed(), delivery.end()));
        entered2.open();
        gate2.pass();
    });
    let sub = sub.unwrap();
    topic.publish(kind.message((0, 0)));
    entered.pass();
    for state in [(1, 1), (1, 2), (2, 1), (3, 1), (2, 2)] {
        topic.publish(kind.message(state));
    }
    assert_eq!(bus.shutdown(Duration::from_millis(20)).unwrap().stragglers.len(), 1);
    gate.open();
    assert_eq!(log.await_len(2)[1], (None, 5, Some(EndReason::ShutDown)));
    let lost = sub.stats().lost;
    assert_eq!((lost.conflated, lost.evicted, lost.discarded), (2, 1, 2));
}

/// Replaced and evicted values are dropped once, where they may call anything; so may key functions.
#[test]
fn g8_conflate_runs_foreign_code_under_no_lock() {
    let _watched = watched();
    for mode in QUEUED_MODES {
        let bus = Bus::new().unwrap();
        let kind = bus.message_type::<(u64, DropAction)>("dropping").unwrap();
        let (states, topic) = (bus.message_type::<State>("state").unwrap(), bus.topic("t").unwrap());
        let (weak, again, own, inner) = (bus.downgrade(), topic.clone(), kind.clone(), states.clone());
        let latest = Overflow::conflate(move |message: &Message| {
            assert!(weak.upgrade().unwrap().stats().topics.len() == 1);
            let (key, _) = own.read(message)?;
            // To the very mailbox that asks.
            assert_eq!(again.publish(inner.message((9, 9))).accepted, 1);
            Some((*key, "text").into())
        });
        let builder = topic.subscription("s").accept(&kind).accept(&states).capacity(8).overflow(latest);
        let listener = listen(builder, mode, |_| thread::sleep(Duration::from_micros(100)));
        let dropped = Arc::new(AtomicU64::new(0));
        for number in 0..100 {
            let (counted, side, inner) = (dropped.clone(), topic.clone(), states.clone());
            let action = on_drop(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                side.publish(inner.message((number, 0)));
                assert!(side.stats().subscriptions <= 2);
            });
            assert_eq!(topic.publish(kind.message((number % 3, action))).accepted, 1);
        }
        eventually(|| listener.stats().depth == 0);
        listener.unsubscribe();
        listener.join().unwrap();
        drop(listener);
        end(&bus);
        eventually(|| dropped.load(Ordering::SeqCst) == 100);
    }
}

#[test]
fn g9_a_panic_of_a_key_function_refuses_the_message() {
    let _watched = watched();
    let reports = Log::new();
    let heard = reports.clone();
    let bus = Bus::builder()
        .on_panic(move |report| heard.push((report.name.to_owned(), report.place)))
        .build()
        .unwrap();
    let (kind, topic) = (bus.message_type::<State>("state").unwrap(), bus.topic("t").unwrap());
    let own = kind.clone();
    let odd = Overflow::conflate(move |message| match own.read(message) {
        Some((13, _)) => panic!("{ON_PURPOSE}"),
        state => state.map(|(key, _)| (*key).into()),
    });
    let mut stream = topic.subscription("s").accept(&kind).overflow(odd).stream().unwrap();
    topic.publish(kind.message((1, 1)));
    let report = topic.publish(kind.message((13, 1)));
    assert_eq!((report.accepted, report.dropped), (0, 1));
    assert_eq!(reports.all(), [("s".to_owned(), PanicPlace::Key)]);
    let stats = stream.stats();
    assert_eq!((stats.panics, stats.lost.refused, stats.missed), (1, 1, 1));
    assert_eq!(read_all(&mut stream, &kind), [(Some((1, 1)), 1)]);
}

#[test]
fn g10_publish_sync_hears_that_its_message_was_replaced() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let (kind, topic) = (bus.message_type::<State>("state").unwrap(), bus.topic("t").unwrap());
    let mut stream = topic.subscription("s").accept(&kind).overflow(by_key(&kind)).stream().unwrap();
    let handle = stream.handle();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| handle.publish_sync(kind.message((1, 1)), None));
        eventually(|| stream.stats().depth == 1);
        topic.publish(kind.message((1, 2)));
        assert_eq!(waiting.join().unwrap(), Ok(Handled::Dropped));
        let waiting = scope.spawn(|| handle.publish_sync(kind.message((1, 3)), None));
        eventually(|| stream.stats().lost.conflated == 2);
        assert_eq!(stream.recv().unwrap().read(&kind), Some(&(1, 3)));
        assert!(stream.try_recv().is_err());
        assert_eq!(waiting.join().unwrap(), Ok(Handled::Yes));
    });
}

/// A batch, and a Block mailbox that is full: the others have the message before anybody waits.
#[test]
fn g7_conflate_takes_batches_and_waits_for_nobody() {
    let (_bus, kind, topic) = quiet();
    let block = topic.subscription("block").accept(&kind).capacity(1).overflow(Overflow::block_forever());
    let _block = block.stream().unwrap();
    let mut stream = topic.subscription("s").accept(&kind).overflow(by_key(&kind)).stream().unwrap();
    let report = topic.publish_batch((0..100).map(|number| kind.message((number % 2, number))).collect());
    assert_eq!(report.accepted, 200);
    assert_eq!(read_all(&mut stream, &kind), [(Some((0, 98)), 49), (Some((1, 99)), 49)]);
}

/// A state whose drop may publish others.
struct Phone {
    id: &'static str,
    _last_act: Option<DropAction>,
}

fn phone(id: &'static str) -> Phone {
    Phone { id, _last_act: None }
}

/// Messages are made when the batch is put together, and what is evicted meanwhile is told with the next one made.
#[test]
fn g7_conflate_tells_a_batch_of_what_was_evicted_while_it_was_put_together() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type::<Phone>("phone").unwrap(), bus.topic("phones").unwrap());
    let cache = Cache::builder(&bus).id_of(&kind, |phone: &Phone| phone.id).build().unwrap();
    let cached = topic.caching(&cache).unwrap();
    let (told, updates) = (Log::new(), bus.cache_updates().clone());
    let noted = told.clone();
    let latest =
        cached.subscription("s").accept(&updates).capacity(8).overflow(Overflow::conflate_by_entry());
    let _batches = latest.start_batch(move |batch| {
        for delivery in batch.iter() {
            let id = delivery.read(&updates).map(|update| update.id().to_owned());
            noted.push((id, delivery.missed()));
        }
    });

    let (topic2, kind2) = (topic.clone(), kind.clone());
    let evicts = on_drop(move || {
        for id in ["i", "j"] {
            topic2.publish(kind2.message(phone(id)));
        }
    });
    let first = kind.message(Phone { _last_act: Some(evicts), ..phone("a") });
    topic.publish(first.clone());
    for id in ["b", "c", "d", "e", "f", "g", "h"] {
        topic.publish(kind.message(phone(id)));
    }
    // Until the cache lets go of that state: then its update has it, and we.
    let mut replaced = 0;
    while first.reference_count() > 2 {
        topic.publish(kind.message(phone("a")));
        replaced += 1;
    }
    drop(first);
    bus.run_until_idle();
    let due = [("a", replaced + 1), ("c", 0), ("d", 0)].map(|(id, missed)| (Some(id.to_owned()), missed));
    assert_eq!(
        told.all()[..3],
        due,
        "b was evicted when the message of a was made, and before the handler had it"
    );
}
