//! G7: congestion, and who hears of it.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{
    Bus, Crossing, Dispatch, Grow, MessageType, Overflow, PanicPlace, SubscribeError, SubscriptionBuilder,
    Topic, Wait,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Number, crossing, depth.
type Mark = (u64, Crossing, u64);

fn marking<'a>(builder: SubscriptionBuilder<'a>, log: &Log<Mark>) -> SubscriptionBuilder<'a> {
    let log = log.clone();
    builder.on_water_mark(move |mark| log.push((mark.number, mark.crossing, mark.depth)))
}

fn quiet() -> (Bus, MessageType<u64>, Topic) {
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type("number").unwrap(), bus.topic("t").unwrap());
    (bus, kind, topic)
}

fn publish(topic: &Topic, kind: &MessageType<u64>, messages: u64) {
    (0..messages).for_each(|number| {
        topic.publish(kind.message(number));
    });
}

#[test]
fn g7_marks_have_defaults_that_fit_the_capacity() {
    for (capacity, high, low) in
        [(1, 1, 0), (2, 1, 0), (10, 5, 4), (100, 50, 45), (1_000, 500, 450), (4_096, 500, 450)]
    {
        let (bus, kind, topic) = quiet();
        let log = Log::new();
        let builder = topic.subscription("s").accept(&kind).capacity(capacity).overflow(Overflow::DropNewest);
        let mut stream = marking(builder, &log).stream().unwrap();
        publish(&topic, &kind, high - 1);
        assert_eq!((log.len(), stream.stats().high_crossings), (0, 0), "{capacity}");
        publish(&topic, &kind, 1);
        assert_eq!(log.all(), [(1, Crossing::High, high)], "{capacity}");
        publish(&topic, &kind, capacity as u64);
        assert_eq!((log.len(), stream.stats().high_crossings, stream.stats().congested), (1, 1, true));
        while log.len() == 1 {
            assert!(stream.try_recv().is_ok());
        }
        let (number, crossing, depth) = log.all()[1];
        assert_eq!((number, crossing), (2, Crossing::Low));
        assert!(depth <= low && depth + 16 > low, "{capacity}: {depth}");
        assert_eq!((stream.stats().high_crossings, stream.stats().congested), (1, false));
        drop(bus);
    }
}

#[test]
fn g7_marks_out_of_range_are_refused_in_words() {
    let (_bus, _, topic) = quiet();
    let refused = |high, low, overflow: Overflow| {
        topic.subscription("s").capacity(8).overflow(overflow).water_marks(high, low).start(|_| {}).err()
    };
    let most = |most, high, low| Some(SubscribeError::WaterMarks { high, low, most });
    assert_eq!(refused(9, 1, Overflow::DropNewest), most(8, 9, 1));
    assert_eq!(refused(4, 4, Overflow::DropNewest), most(8, 4, 4));
    assert_eq!(refused(0, 0, Overflow::DropNewest), most(8, 0, 0));
    assert_eq!(refused(11, 0, Overflow::Grow(Grow::limit(2))), most(10, 11, 0));
    assert_eq!(refused(10, 9, Overflow::Grow(Grow::limit(2))), None);
    assert_eq!(refused(8, 0, Overflow::DropNewest), None);
    let words = refused(9, 1, Overflow::DropNewest).unwrap().to_string();
    assert_eq!(
        words,
        "water marks are 9 (high) and 1 (low); allowed are 1 to 8 for the high one and less than that for the low one"
    );
}

/// Beyond the capacity too, and again each time.
#[test]
fn g7_marks_are_told_each_time_they_are_passed() {
    let (bus, kind, topic) = quiet();
    for (overflow, high) in [(Overflow::default(), 20), (Overflow::DropOldest, 8), (Overflow::DropNewest, 6)]
    {
        let log = Log::new();
        let builder =
            topic.subscription("s").accept(&kind).capacity(8).overflow(overflow.clone()).water_marks(high, 3);
        let sub = marking(builder, &log).start(|_| {}).unwrap();
        for round in 0..5 {
            publish(&topic, &kind, high as u64 - 1);
            assert_eq!(log.len(), 2 * round, "{overflow:?}");
            publish(&topic, &kind, 3);
            assert_eq!(log.len(), 2 * round + 1);
            assert_eq!(log.all()[2 * round], (2 * round as u64 + 1, Crossing::High, high as u64));
            bus.run_until_idle();
            let (number, crossing, depth) = log.all()[2 * round + 1];
            assert_eq!((number, crossing), (2 * round as u64 + 2, Crossing::Low));
            assert!(depth <= 3);
        }
        assert_eq!(sub.stats().high_crossings, 5);
    }
}

/// Several slots claimed at once stop below the mark, so that one message passes it.
#[test]
fn g7_marks_are_told_of_a_batch() {
    let (bus, kind, topic) = quiet();
    let log = Log::new();
    let builder = topic.subscription("s").accept(&kind).capacity(64).water_marks(5, 2);
    let _sub = marking(builder, &log).start(|_| {}).unwrap();
    for round in 0..3 {
        topic.publish_batch((0..40).map(|number| kind.message(number)).collect());
        assert_eq!(log.all()[2 * round], (2 * round as u64 + 1, Crossing::High, 5));
        bus.run_until_idle();
        assert_eq!(log.len(), 2 * round + 2);
    }
}

/// Publishers and consumer pass them all the time, in every mode: each is told once, in order, one at a time.
#[test]
fn g7_marks_alternate_under_load() {
    let _watched = watched();
    for overflow in
        [Overflow::DropNewest, Overflow::DropOldest, Overflow::default(), Overflow::block_forever()]
    {
        for mode in QUEUED_MODES {
            let (bus, kind) = numbers();
            let topic = bus.topic("t").unwrap();
            let (told, inside) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
            let told2 = told.clone();
            let builder = topic
                .subscription("s")
                .accept(&kind)
                .capacity(8)
                .overflow(overflow.clone())
                .water_marks(2, 0);
            let builder = builder.on_water_mark(move |mark| {
                assert!(!inside.swap(true, Ordering::SeqCst), "two at once");
                assert_eq!(mark.number, told2.load(Ordering::SeqCst) + 1);
                assert_eq!(mark.crossing == Crossing::High, mark.number % 2 == 1);
                told2.store(mark.number, Ordering::SeqCst);
                inside.store(false, Ordering::SeqCst);
            });
            let listener = listen(builder, mode, |_| {});
            thread::scope(|scope| {
                (0..3).for_each(|_| drop(scope.spawn(|| publish(&topic, &kind, 3_000))));
            });
            eventually(|| listener.stats().depth == 0 && !listener.stats().congested);
            eventually(|| told.load(Ordering::SeqCst) == 2 * listener.stats().high_crossings);
            assert_eq!(listener.stats().panics, 0);
            end(&bus);
        }
    }
}

/// A thread that never sleeps does not look at the word that says so; it finds itself calm all the same.
#[test]
fn g7_a_thread_that_spins_is_not_congested_when_nothing_waits() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let builder = topic.subscription("s").accept(&kind).capacity(64).water_marks(3, 0);
    let spins = builder.dispatch(Dispatch::Dedicated).wait(Wait::BusySpin).start(|_| {}).unwrap();
    for _ in 0..1_500 {
        thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(|| publish(&topic, &kind, 20)))));
        eventually(|| spins.stats().depth == 0 && !spins.stats().congested);
    }
    end(&bus);
}

/// A callback may do anything on the bus, on either side; it waits for no room, and its panics are counted.
#[test]
fn g8_callbacks_of_marks_may_call_the_bus() {
    let _watched = watched();
    for mode in QUEUED_MODES {
        let reports = Log::new();
        let heard = reports.clone();
        let bus = Bus::builder()
            .on_panic(move |report| heard.push((report.name.to_owned(), report.place)))
            .build()
            .unwrap();
        let kind = bus.message_type::<u64>("number").unwrap();
        let (topic, side) = (bus.topic("t").unwrap(), bus.topic("side").unwrap());
        let builder = side.subscription("full").accept(&kind).capacity(1).overflow(Overflow::block_forever());
        let full = builder.stream().unwrap();
        let (weak, again, own) = (bus.downgrade(), topic.clone(), kind.clone());
        let count = Arc::new(AtomicU64::new(0));
        let counted = count.clone();
        let builder =
            topic.subscription("s").accept(&kind).capacity(8).water_marks(1, 0).on_water_mark(move |mark| {
                counted.fetch_add(1, Ordering::SeqCst);
                assert!(weak.upgrade().unwrap().stats().subscriptions.len() >= 2);
                // Would wait for ever outside a callback.
                assert_eq!(side.publish(own.message(1)).accepted, 1);
                let sub = again.subscribe("brief", |_| {}).unwrap();
                assert!(sub.unsubscribe());
                if mark.number == 1 {
                    // Passes the mark again, from inside.
                    again.publish(own.message(0));
                    panic!("{ON_PURPOSE}");
                }
            });
        let listener = listen(builder, mode, |_| {});
        publish(&topic, &kind, 3);
        eventually(|| listener.stats().depth == 0 && !listener.stats().congested);
        eventually(|| count.load(Ordering::SeqCst) == 2 * listener.stats().high_crossings);
        eventually(|| listener.stats().panics == 1);
        assert_eq!(reports.all(), [("s".to_owned(), PanicPlace::WaterMark)], "{mode}");
        drop(full);
        end(&bus);
    }
}

/// The callback goes with the subscription, by whatever end, and may hold the bus's own things until then.
#[test]
fn g6_callbacks_of_marks_are_dropped_at_the_end() {
    let _watched = watched();
    for mode in QUEUED_MODES {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let dropped = Gate::new();
        let (opened, held) = (dropped.clone(), topic.clone());
        let guard = Mutex::new(on_drop(move || {
            held.stats();
            opened.open();
        }));
        let builder = topic.subscription("s").accept(&kind).on_water_mark(move |_| drop(guard.lock()));
        let listener = listen(builder, mode, |_| {});
        publish(&topic, &kind, 10);
        assert!(!dropped.is_open());
        listener.unsubscribe();
        listener.join().unwrap();
        assert!(dropped.is_open(), "{mode}");
        end(&bus);
    }
}

/// The high mark is told when the message is in the other mailboxes, and their consumers are awake.
#[test]
fn g7_a_callback_holds_up_no_other_mailbox() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream] {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let handled = Gate::new();
        let opens = handled.clone();
        let marked = topic.subscription("marked").accept(&kind).water_marks(1, 0);
        let marked = marked.on_water_mark(move |mark| {
            if mark.number == 1 {
                handled.pass();
            }
        });
        let marked = marked.stream().unwrap();
        let own = kind.clone();
        let _other = listen(topic.subscription("other").accept(&kind), mode, move |heard| {
            if heard.number(&own).is_some() {
                opens.open();
            }
        });
        thread::sleep(Duration::from_millis(5));
        publish(&topic, &kind, 1);
        drop(marked);
        end(&bus);
    }
}
