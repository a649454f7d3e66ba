//! Batch handlers: what is queued, in one call (`start_batch`, `batch_max`, `Batch`).

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::{Census, Gate, Log, ON_PURPOSE, end, eventually, numbers, on_drop, watched};
use stasis_bus::{
    Batch, Bus, Dispatch, EndReason, Handled, MessageType, OnPanic, Overflow, SubscribeError, Subscription,
    SubscriptionBuilder, Topic, WaitError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const BATCH_MODES: [Dispatch; 3] = [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated];

/// One entry, as noted: its number (none: the final message), its place, what was missed before it.
type Entry = (Option<u64>, u64, u64);

/// Notes every batch as the list of its entries.
fn note_batches(
    builder: SubscriptionBuilder<'_>,
    kind: &MessageType<u64>,
) -> (Subscription, Log<Vec<Entry>>) {
    let (log, kind) = (Log::new(), kind.clone());
    let noted = log.clone();
    let handler = move |batch: &mut Batch<'_>| {
        noted.push(batch.map(|entry| (entry.read(&kind).copied(), entry.seq(), entry.missed())).collect());
    };
    (builder.start_batch(handler).unwrap(), log)
}

fn manual() -> (Bus, MessageType<u64>) {
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type("number").unwrap();
    (bus, kind)
}

fn publish(topic: &Topic, kind: &MessageType<u64>, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        topic.publish(kind.message(number));
    }
}

fn sizes(log: &Log<Vec<Entry>>) -> Vec<usize> {
    log.all().iter().map(Vec::len).collect()
}

fn missed(log: &Log<Vec<Entry>>) -> u64 {
    log.all().concat().iter().map(|(_, _, missed)| missed).sum()
}

#[test]
fn what_is_queued_comes_in_one_call_up_to_the_limit() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    for (most, expected) in [
        (1, vec![1; 100]),
        (3, [vec![3; 33], vec![1]].concat()),
        (16, [vec![16; 6], vec![4]].concat()),
        (64, vec![64, 36]),
        (100, vec![100]),
        (4096, vec![100]),
    ] {
        for mode in [Dispatch::Pool, Dispatch::Dedicated] {
            let builder = topic.subscription("b").accept(&kind).batch_max(most).dispatch(mode);
            let (batches, log) = note_batches(builder, &kind);
            publish(&topic, &kind, 0..100);
            bus.run_until_idle();
            assert_eq!(sizes(&log), expected, "{mode}, {most}");
            let entries = log.all().concat();
            assert!(
                entries.into_iter().eq((0..100).map(|number| (Some(number), number, 0))),
                "{mode}, {most}"
            );
            drop(batches);
        }
    }
}

#[test]
fn a_batch_is_an_iterator_that_knows_its_length() {
    let _watched = watched();
    let (bus, kind) = manual();
    let (topic, number, log) = (bus.topic("t").unwrap(), kind.clone(), Log::new());
    let noted = log.clone();
    let batches = topic.subscription("b").accept(&kind).start_batch(move |batch| {
        assert_eq!((batch.topic().name(), batch.is_empty()), ("t", false));
        assert_eq!(batch.iter().len(), batch.len());
        if batch.is_final() {
            assert_eq!((batch.len(), batch.end()), (1, Some(EndReason::Unsubscribed)));
            assert!(batch.iter().all(|entry| entry.is_final()));
            return noted.push(vec![]);
        }
        let all: Vec<_> = batch.iter().filter_map(|entry| entry.read(&number).copied()).collect();
        let first = batch.next().and_then(|entry| entry.read(&number).copied());
        assert_eq!((first, batch.len()), (all.first().copied(), all.len() - 1), "iter() takes nothing out");
        assert!(format!("{batch:?}").starts_with("Batch { left: 2"), "{batch:?}");
        assert_eq!(batch.by_ref().count(), 2);
        assert!(batch.is_empty() && batch.next().is_none());
        noted.push(all);
    });
    publish(&topic, &kind, 0..3);
    bus.run_until_idle();
    batches.unwrap().unsubscribe_and_join().unwrap();
    assert_eq!(log.all(), [vec![0, 1, 2], vec![]]);
}

#[test]
fn the_slower_the_consumer_the_larger_its_batches_and_none_waits() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (gate, inside, log) = (Gate::new(), Gate::new(), Log::new());
        let (gate2, inside2, noted) = (gate.clone(), inside.clone(), log.clone());
        let builder = topic.subscription("slow").accept(&kind).dispatch(mode);
        let slow = builder.start_batch(move |batch| {
            noted.push(batch.len());
            inside2.open();
            gate2.pass();
        });
        topic.publish(kind.message(0));
        inside.pass();
        assert_eq!(log.all(), [1], "{mode}: it waits for no second one");
        publish(&topic, &kind, 1..=40);
        gate.open();
        assert_eq!(log.await_len(2), [1, 40], "{mode}");
        slow.unwrap().unsubscribe_and_join().unwrap();
        assert_eq!(log.all(), [1, 40, 1], "{mode}");
    }
    end(&bus);
}

#[test]
fn what_batches_refuse() {
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    for value in [0, 4097, usize::MAX] {
        let error = topic.subscription("b").batch_max(value).start_batch(|_| {}).unwrap_err();
        assert_eq!(error, SubscribeError::BatchMax { value, allowed: 1..=4096 });
        assert_eq!(error.to_string(), format!("batch_max is {value}; allowed are 1 to 4096"));
    }
    let made = || topic.subscription("b").batch_max(2);
    for (error, call) in [
        (made().start(|_| {}).unwrap_err(), "start()"),
        (made().start_typed(&kind, |_, _| {}).unwrap_err(), "start_typed()"),
        (made().inline(|_| {}).unwrap_err(), "inline()"),
        (made().stream().unwrap_err(), "stream()"),
    ] {
        let text = error.to_string();
        assert!(text.starts_with("batch_max does not go with") && text.contains(call), "{text}");
    }
    for (mode, set) in [(Dispatch::Inline, "inline"), (Dispatch::Stream, "stream")] {
        let error = topic.subscription("b").dispatch(mode).start_batch(|_| {}).unwrap_err();
        assert_eq!(error, SubscribeError::Dispatch { set, call: "start_batch" });
    }
    assert_eq!(topic.stats().subscriptions, 0);
}

// ---- order, ending ----------------------------------------------------------------------------------------------------

#[test]
fn g2_batches_keep_the_order_of_every_publisher() {
    let _watched = watched();
    const EACH: u64 = 20_000;
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let listeners = BATCH_MODES.map(|mode| {
        let builder =
            topic.subscription(mode.name()).accept(&kind).dispatch(mode).batch_max(50).capacity(100);
        note_batches(builder, &kind)
    });
    thread::scope(|scope| {
        for publisher in 0..3 {
            let (topic, kind) = (&topic, &kind);
            scope.spawn(move || {
                publish(topic, kind, (0..EACH).map(|number| publisher << 32 | number));
            });
        }
    });
    for (listener, log) in &listeners {
        listener.unsubscribe();
        listener.join().unwrap();
        let (batches, mode) = (log.all(), listener.dispatch());
        assert!(batches.iter().all(|batch| (1..=50).contains(&batch.len())), "{mode}");
        assert_eq!(batches.last().unwrap(), &[(None, 3 * EACH, 0)], "{mode}: the final, by itself");
        let entries = batches.concat();
        assert_eq!(entries.len() as u64, 3 * EACH + 1, "{mode}");
        assert!(entries.iter().enumerate().all(|(at, (_, seq, missed))| (*seq, *missed) == (at as u64, 0)));
        for publisher in 0..3 {
            let numbers = entries.iter().filter_map(|(number, ..)| *number).filter(|n| n >> 32 == publisher);
            assert!(numbers.map(|number| number & 0xffff_ffff).eq(0..EACH), "{mode}, {publisher}");
        }
    }
    end(&bus);
}

#[test]
fn g6_the_final_message_is_the_last_batch_by_itself_and_on_end_follows() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in BATCH_MODES {
        let (log, census) = (Log::new(), Census::new());
        let (in_handler, in_end, alive, changes) =
            (log.clone(), log.clone(), census.born(), bus.subscription_changes().clone());
        let builder = topic.subscription("b").accept(&kind).dispatch(mode);
        let builder = builder.on_end(move |last| in_end.push(("end", 1, last.end())));
        let batches = builder.start_batch(move |batch| {
            let _ = &alive;
            in_handler.push(("handler", batch.len(), batch.end()));
            assert!(!batch.is_final() || changes.read(batch.iter().next().unwrap().message()).is_some());
        });
        let batches = batches.unwrap();
        topic.publish(kind.message(1));
        batches.unsubscribe();
        batches.join().unwrap();
        let reason = Some(EndReason::Unsubscribed);
        assert_eq!(log.all(), [("handler", 1, None), ("handler", 1, reason), ("end", 1, reason)], "{mode}");
        assert_eq!(census.alive(), 0, "{mode}: the handler is gone");
    }
    end(&bus);
}

#[test]
fn g6_a_batch_handler_may_end_itself_and_gets_what_is_queued_first() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let own: Arc<std::sync::OnceLock<Subscription>> = Arc::default();
    let (log, inner) = (Log::new(), own.clone());
    let noted = log.clone();
    let batches = topic.subscription("b").accept(&kind).batch_max(2).start_batch(move |batch| {
        noted.push((batch.len(), batch.is_final()));
        if let Some(own) = inner.get() {
            own.unsubscribe();
            assert_eq!(own.join(), Err(WaitError::WouldDeadlock));
        }
    });
    own.set(batches.unwrap()).unwrap();
    publish(&topic, &kind, 0..5);
    bus.run_until_idle();
    assert_eq!(log.all(), [(2, false), (2, false), (1, false), (1, true)]);
    assert!(own.get().unwrap().is_done());
}

// ---- overload ---------------------------------------------------------------------------------------------------------

#[test]
fn g7_every_entry_tells_what_was_missed_before_it() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    // Drops the oldest: exactly where they were.
    let builder = topic.subscription("old").accept(&kind).capacity(4).overflow(Overflow::DropOldest);
    let (oldest, log) = note_batches(builder, &kind);
    publish(&topic, &kind, 0..10);
    bus.run_until_idle();
    let expected: Vec<_> = [(6, 6), (7, 0), (8, 0), (9, 0)].map(|(n, missed)| (Some(n), n, missed)).into();
    assert_eq!(log.all(), [expected]);
    oldest.unsubscribe_and_join().unwrap();
    assert_eq!(log.all()[1], [(None, 10, 0)]);
    // Refuses the newest: told with what comes next, in all exactly.
    let builder = topic.subscription("new").accept(&kind).capacity(4).overflow(Overflow::DropNewest);
    let (newest, log) = note_batches(builder, &kind);
    publish(&topic, &kind, 0..10);
    bus.run_until_idle();
    assert_eq!(missed(&log), 6);
    publish(&topic, &kind, 0..5);
    newest.unsubscribe_and_join().unwrap();
    assert_eq!(missed(&log), 7, "none twice");
}

/// What a key's latest message took the place of is told with it.
#[test]
fn g7_a_batch_has_the_latest_message_of_each_key() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let number = kind.clone();
    let by_last_digit =
        Overflow::conflate(move |message| number.read(message).map(|number| (number % 10).into()));
    let (batches, log) =
        note_batches(topic.subscription("latest").accept(&kind).capacity(4).overflow(by_last_digit), &kind);
    publish(&topic, &kind, [1, 2, 11, 3, 12, 21]);
    bus.run_until_idle();
    let told: Vec<_> = log.all().concat().into_iter().map(|(number, _, missed)| (number, missed)).collect();
    assert_eq!(told, [(Some(21), 2), (Some(12), 1), (Some(3), 0)]);
    assert_eq!(sizes(&log), [3]);
    batches.unsubscribe_and_join().unwrap();
    assert_eq!(missed(&log), 3);
}

/// Delivered and missed are what was published, under every policy, with publishers that do not wait for anybody.
#[test]
fn g7_nothing_is_lost_without_being_counted() {
    let _watched = watched();
    const EACH: u64 = 10_000;
    for overflow in
        [Overflow::DropOldest, Overflow::DropNewest, Overflow::block_forever(), Overflow::default()]
    {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let listeners = BATCH_MODES.map(|mode| {
            let (got, missed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let (got2, missed2) = (got.clone(), missed.clone());
            let builder = topic.subscription("b").accept(&kind).dispatch(mode).capacity(8).batch_max(5);
            let started = builder.overflow(overflow.clone()).start_batch(move |batch| {
                let of_entries: u64 = batch.iter().map(|entry| entry.missed()).sum();
                assert_eq!(of_entries, batch.missed());
                missed2.fetch_add(of_entries, Ordering::Relaxed);
                got2.fetch_add(if batch.is_final() { 0 } else { batch.len() as u64 }, Ordering::Relaxed);
            });
            (started.unwrap(), got, missed)
        });
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| publish(&topic, &kind, 0..EACH));
            }
        });
        for (listener, got, missed) in listeners {
            listener.unsubscribe();
            listener.join().unwrap();
            let (got, missed) = (got.load(Ordering::Relaxed), missed.load(Ordering::Relaxed));
            assert_eq!(got + missed, 2 * EACH, "{} {overflow:?}", listener.dispatch());
            assert_eq!(listener.stats().missed, missed, "{} {overflow:?}", listener.dispatch());
        }
        end(&bus);
    }
}

/// Room is told as groups leave the ring, so that a batch may be larger than the mailbox.
#[test]
fn g7_waiting_publishers_go_on_while_a_batch_is_collected() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let builder = topic.subscription("b").accept(&kind).dispatch(mode).capacity(4);
        let (batches, log) = note_batches(builder.overflow(Overflow::block_forever()).batch_max(4096), &kind);
        publish(&topic, &kind, 0..2_000);
        batches.unsubscribe();
        batches.join().unwrap();
        assert_eq!(log.all().concat().len(), 2_001, "{mode}");
        assert_eq!(batches.stats().missed, 0, "{mode}");
    }
    end(&bus);
}

// ---- foreign code -------------------------------------------------------------------------------------------------------

/// Values go after the call, outside its fence, and may do anything, to this very subscription as well.
#[test]
fn g8_values_of_a_batch_may_do_anything_when_they_are_dropped() {
    let _watched = watched();
    for mode in BATCH_MODES {
        let bus = Bus::new().unwrap();
        let topic = bus.topic("t").unwrap();
        let kind = bus.message_type::<common::DropAction>("acting").unwrap();
        let (finals, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = finals.clone();
        let batches = topic.subscription("b").accept(&kind).dispatch(mode).start_batch(move |batch| {
            counted.fetch_add(batch.is_final().into(), Ordering::Relaxed);
        });
        let batches = Arc::new(batches.unwrap());
        for number in 0..10 {
            let (own, inner, acting, counted) =
                (batches.clone(), topic.clone(), kind.clone(), dropped.clone());
            topic.publish(kind.message(on_drop(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                match number {
                    3 => {
                        inner.publish(acting.message(on_drop(|| {})));
                    }
                    5 => {
                        own.unsubscribe();
                    }
                    7 => panic!("{ON_PURPOSE}"),
                    _ => {}
                }
            })));
        }
        batches.unsubscribe();
        batches.join().unwrap();
        assert_eq!(batches.stats().panics, 0, "{mode}: a value's panic is not the handler's");
        drop(batches);
        end(&bus);
        assert_eq!((dropped.load(Ordering::Relaxed), finals.load(Ordering::Relaxed)), (10, 1), "{mode}");
    }
}

#[test]
fn g9_a_panic_counts_once_and_the_next_batch_goes_on() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (number, log) = (kind.clone(), Log::new());
        let noted = log.clone();
        let builder = topic.subscription("b").accept(&kind).batch_max(4).dispatch(mode);
        let batches = builder.start_batch(move |batch| {
            noted.push(batch.len());
            let first = batch.next().and_then(|entry| entry.read(&number).copied());
            assert_ne!(first, Some(4), "{ON_PURPOSE}");
        });
        let batches = batches.unwrap();
        publish(&topic, &kind, 0..10);
        bus.run_until_idle();
        assert_eq!(log.all(), [4, 4, 2], "{mode}: nothing comes again, nothing is left out");
        let stats = batches.stats();
        assert_eq!((stats.accepted, stats.panics, stats.missed, stats.depth), (10, 1, 0, 0), "{mode}");
    }
}

#[test]
fn g9_a_panic_drops_the_whole_batch() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (topic, census) = (bus.topic("t").unwrap(), Census::new());
    let kind = bus.message_type::<common::Alive>("living").unwrap();
    let batches = topic.subscription("b").accept(&kind).start_batch(|_| panic!("{ON_PURPOSE}")).unwrap();
    for _ in 0..10 {
        topic.publish(kind.message(census.born()));
    }
    bus.run_until_idle();
    batches.unsubscribe_and_join().unwrap();
    bus.shutdown(Duration::from_secs(5)).unwrap();
    assert_eq!(census.alive(), 0);
}

#[test]
fn g9_a_panic_ends_the_subscription_if_that_was_asked_for() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in BATCH_MODES {
        let log = Log::new();
        let noted = log.clone();
        let builder = topic.subscription("b").accept(&kind).dispatch(mode).on_panic(OnPanic::Disconnect);
        let batches = builder.start_batch(move |batch| {
            noted.push(batch.end());
            assert!(batch.is_final(), "{ON_PURPOSE}");
        });
        topic.publish(kind.message(1));
        batches.unwrap().join().unwrap();
        assert_eq!(log.all(), [None, Some(EndReason::Disconnected)], "{mode}");
    }
    end(&bus);
}

// ---- waiting ------------------------------------------------------------------------------------------------------------

#[test]
fn g10_publish_sync_returns_when_the_call_with_its_message_has() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in BATCH_MODES {
        let builder = topic.subscription("b").accept(&kind).dispatch(mode);
        let (batches, log) = note_batches(builder, &kind);
        for number in 0..50 {
            topic.publish(kind.message(2 * number));
            assert_eq!(batches.publish_sync(kind.message(2 * number + 1), None), Ok(Handled::Yes), "{mode}");
            assert_eq!(log.all().concat().len() as u64, 2 * number + 2, "{mode}");
        }
    }
    end(&bus);
}

#[test]
fn g10_all_who_wait_for_one_batch_go_on_after_it_even_if_it_panicked() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (gate, inside, number) = (Gate::new(), Gate::new(), kind.clone());
        let (gate2, inside2) = (gate.clone(), inside.clone());
        let builder = topic.subscription("b").accept(&kind).dispatch(mode);
        let batches = builder.start_batch(move |batch| {
            inside2.open();
            gate2.pass();
            assert!(batch.len() == 1, "{ON_PURPOSE}");
            let _ = &number;
        });
        let batches = batches.unwrap();
        topic.publish(kind.message(0));
        inside.pass();
        thread::scope(|scope| {
            let waiting = [1, 2, 3].map(|number| {
                let (batches, kind) = (&batches, &kind);
                scope.spawn(move || batches.publish_sync(kind.message(number), None))
            });
            eventually(|| batches.stats().depth == 3);
            gate.open();
            for waiter in waiting {
                assert_eq!(waiter.join().unwrap(), Ok(Handled::Yes), "{mode}");
            }
        });
        assert_eq!(batches.stats().panics, 1, "{mode}");
    }
    end(&bus);
}

/// A shutdown that does not wait throws the queue away; what was in the hands of the handler is not part of it.
#[test]
fn g11_a_batch_handler_that_is_stuck_is_named() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (gate, inside) = (Gate::new(), Gate::new());
    let (gate2, inside2) = (gate.clone(), inside.clone());
    let stuck = topic.subscription("stuck").accept(&kind).start_batch(move |_| {
        inside2.open();
        gate2.pass();
    });
    let stuck = stuck.unwrap();
    topic.publish(kind.message(0));
    inside.pass();
    publish(&topic, &kind, 1..=20);
    let report = bus.shutdown(Duration::from_millis(50)).unwrap();
    assert!(report.to_string().contains("stuck"), "{report}");
    gate.open();
    stuck.join().unwrap();
    assert_eq!(stuck.stats().missed, 20);
}
