//! G8: user code of every kind may call anything on the bus, from any thread, and runs under no lock of the bus.
//!
//! Each piece of user code here does a round of everything on a *second* thread and waits for it: a lock that was held
//! meanwhile would hang the test, whoever held it.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use futures_core::Stream as _;
use stasis_bus::{
    AmiEvent, Bus, Dispatch, Handled, MessageType, Overflow, SubscribeError, Subscription, Topic, WaitError,
    WeakBus,
};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::Duration;

/// Everything that user code may do, on a topic that others use at the same moment.
#[derive(Clone)]
struct Round {
    bus: WeakBus,
    topic: Topic,
    quiet: MessageType<()>,
    done: Arc<AtomicUsize>,
}

impl Round {
    fn new(bus: &Bus, topic: &Topic) -> Self {
        let quiet = bus.message_type("quiet").unwrap();
        Self { bus: bus.downgrade(), topic: topic.clone(), quiet, done: Arc::default() }
    }

    fn count(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// On another thread, waited for.
    fn elsewhere(&self) {
        thread::scope(|scope| {
            scope.spawn(|| self.everything());
        });
        self.done.fetch_add(1, Ordering::SeqCst);
    }

    /// On this thread and on another one.
    fn here_and_elsewhere(&self) {
        self.everything();
        self.elsewhere();
    }

    fn everything(&self) {
        let Some(bus) = self.bus.upgrade() else { return };
        let topic = &self.topic;
        let other = bus.topic_with("other", "made in user code").unwrap();
        drop(topic.forward_to(&other).unwrap());
        let stream = topic.subscription("brief").accept(&self.quiet).stream().unwrap();
        assert!(topic.wants(&self.quiet));
        topic.publish(self.quiet.message(()));
        drop(stream);
        let inline = topic.subscription("brief").accept(&self.quiet).inline(|_| {}).unwrap();
        assert!(inline.unsubscribe());
        let pool = topic.subscription("brief").accept(&self.quiet).start(|_| {}).unwrap();
        pool.unsubscribe();
        bus.message_type::<u16>("another").unwrap();
        assert!(bus.find_topic(topic.name()).is_some() && !bus.topics().is_empty());
        assert!(bus.message_types().len() > 1 && bus.origin("node").is_ok());
        drop((bus.stats().to_string(), format!("{bus:?} {topic:?}"), topic.stats()));
    }
}

fn setup() -> (Bus, MessageType<u64>, Topic, Round) {
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let round = Round::new(&bus, &topic);
    (bus, kind, topic, round)
}

#[test]
fn g8_handlers_may_do_anything() {
    let _watched = watched();
    let (bus, kind, topic, round) = setup();
    for mode in EVERY_MODE {
        let (round2, before) = (round.clone(), round.count());
        let listener =
            listen(topic.subscription("h").accept(&kind), mode, move |_| round2.here_and_elsewhere());
        topic.publish(kind.message(0));
        listener.unsubscribe();
        eventually(|| round.count() == before + 2);
        assert_eq!(listener.stats().panics, 0, "{mode}");
    }
    end(&bus);
}

#[test]
fn g8_drops_of_handlers_may_do_anything() {
    let _watched = watched();
    let (bus, kind, topic, round) = setup();
    for mode in HANDLER_MODES {
        let (round2, before) = (round.clone(), round.count());
        let dropped = on_drop(move || round2.here_and_elsewhere());
        let listener = listen(topic.subscription("h").accept(&kind), mode, move |_| {
            let _ = &dropped;
        });
        topic.publish(kind.message(0));
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(round.count(), before + 1, "{mode}");
    }
    end(&bus);
}

#[test]
fn g8_drops_of_values_may_do_anything() {
    let _watched = watched();
    let (bus, _, topic, round) = setup();
    let values = bus.message_type::<DropAction>("values").unwrap();
    let value = || {
        let round = round.clone();
        values.message(on_drop(move || round.here_and_elsewhere()))
    };
    let mut expected = 0;
    let mut dropped_one_more = |what: &str| {
        expected += 1;
        eventually(|| round.count() >= expected);
        assert_eq!(round.count(), expected, "{what}");
    };
    topic.publish(value());
    dropped_one_more("nobody took it");
    for mode in EVERY_MODE {
        let listener = listen(topic.subscription("h").accept(&values), mode, |_| {});
        topic.publish(value());
        dropped_one_more("handled");
        drop(listener);
    }
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(Duration::from_millis(1))] {
        let builder = topic.subscription("full").accept(&values).capacity(1).overflow(overflow);
        let stream = builder.stream().unwrap();
        topic.publish(value());
        topic.publish(value());
        dropped_one_more("dropped for want of room");
        drop(stream);
        dropped_one_more("thrown away with its stream");
    }
    let stream = topic.subscription("late").accept(&values).stream().unwrap();
    stream.unsubscribe();
    topic.publish(value());
    dropped_one_more("came too late");
    drop(stream);
    topic.publish_with(&values, || unreachable!());
    end(&bus);
}

/// What an eviction drops may wait for a subscription that has its message from the very publish that evicts.
#[test]
fn g8_the_drop_of_an_evicted_value_may_wait_for_those_who_were_served_before() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream, Dispatch::Serial, Dispatch::Inline] {
        let bus = Bus::new().unwrap();
        let values = bus.message_type::<Option<DropAction>>("values").unwrap();
        let topic = bus.topic("t").unwrap();
        let first: Own = Own::default();
        assert!(first.set(listen(topic.subscription("first").accept(&values), mode, |_| {})).is_ok());
        let builder = topic.subscription("second").accept(&values).capacity(1).overflow(Overflow::DropOldest);
        let full = builder.stream().unwrap();
        let (log, first2, values2) = (Log::new(), first.clone(), values.clone());
        let noted = log.clone();
        let waits = on_drop(move || {
            noted.push(first2.wait().publish_sync(values2.message(None), None));
        });
        topic.publish(values.message(Some(waits)));
        // The first one has gone to sleep by now, so that only this publish can wake it.
        eventually(|| first.wait().stats().depth == 0);
        thread::sleep(Duration::from_millis(20));
        topic.publish(values.message(None));
        assert_eq!(log.await_len(1), [Ok(Handled::Yes)], "{mode}");
        drop(full);
        end(&bus);
    }
}

#[test]
fn g8_drops_of_a_published_value_may_wait_for_a_serial_subscription() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let values = bus.message_type::<Option<DropAction>>("values").unwrap();
    let other = bus.message_type::<u8>("other").unwrap();
    let topic = bus.topic("t").unwrap();
    let serial: Own = Own::default();
    assert!(serial.set(listen(topic.subscription("s").accept(&other), Dispatch::Serial, |_| {})).is_ok());
    let (log, serial2, other2) = (Log::new(), serial.clone(), other.clone());
    let noted = log.clone();
    topic.publish(values.message(Some(on_drop(move || {
        noted.push(serial2.wait().publish_sync(other2.message(1), None));
    }))));
    assert_eq!(log.all(), [Ok::<_, WaitError>(Handled::Yes)]);
    end(&bus);
}

#[test]
fn g8_the_panic_hook_may_do_anything_and_panic() {
    let _watched = watched();
    let place: Arc<std::sync::OnceLock<Round>> = Arc::default();
    let place2 = place.clone();
    let bus = Bus::builder()
        .on_panic(move |_| {
            place2.wait().here_and_elsewhere();
            panic!("{ON_PURPOSE}: in the hook");
        })
        .build()
        .unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    let round = Round::new(&bus, &topic);
    assert!(place.set(round.clone()).is_ok());
    for (n, mode) in HANDLER_MODES.into_iter().enumerate() {
        let listener = listen(topic.subscription("p").accept(&kind), mode, |heard| {
            assert!(heard.end.is_some(), "{ON_PURPOSE}");
        });
        topic.publish(kind.message(0));
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(round.count(), n + 1, "{mode}");
    }
    assert_eq!(bus.stats().panics, 4);
    end(&bus);
}

#[test]
fn g8_formatters_may_do_anything() {
    let _watched = watched();
    let (bus, _, topic, round) = setup();
    let round2 = round.clone();
    let kind = bus
        .define::<u8>("formatted")
        .ami(move |_, _| {
            round2.here_and_elsewhere();
            Some(AmiEvent::new("X"))
        })
        .declare()
        .unwrap();
    let _reader = topic.subscription("f").accept_formatters(kind.formatters()).inline(|delivery| {
        if !delivery.is_final() {
            assert!(delivery.message().to_ami().is_some());
        }
    });
    topic.publish(kind.message(1));
    assert_eq!(round.count(), 1);
}

// ---- wakers ---------------------------------------------------------------------------------------------------------

/// Wakes by doing a round, and does another when it is dropped.
struct Rounds(Round);

impl Wake for Rounds {
    fn wake(self: Arc<Self>) {
        self.0.elsewhere();
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.0.elsewhere();
    }
}

fn poll(stream: &mut stasis_bus::Stream, waker: &Waker) -> bool {
    Pin::new(stream).poll_next(&mut Context::from_waker(waker)).is_ready()
}

#[test]
fn g8_wakers_may_do_anything_when_woken_and_dropped() {
    let _watched = watched();
    let (bus, kind, topic, round) = setup();
    let mut stream = topic.subscription("s").accept(&kind).stream().unwrap();
    assert!(!poll(&mut stream, &Waker::from(Arc::new(Rounds(round.clone())))));
    assert!(!poll(&mut stream, &Waker::from(Arc::new(Rounds(round.clone())))), "the first is replaced");
    assert_eq!(round.count(), 1, "and dropped");
    topic.publish(kind.message(0));
    assert_eq!(round.count(), 3, "woken and dropped");
    assert!(poll(&mut stream, Waker::noop()));
    assert!(!poll(&mut stream, &Waker::from(Arc::new(Rounds(round.clone())))));
    stream.unsubscribe();
    assert_eq!(round.count(), 5, "woken by the end");
    end_with_streams(&bus);
}

/// A stream that nobody reads is no reason to wait.
fn end_with_streams(bus: &Bus) {
    bus.shutdown(Duration::from_millis(10)).unwrap();
}

#[test]
fn g8_wakers_may_do_anything_when_cloned() {
    let _watched = watched();
    unsafe fn clone(data: *const ()) -> RawWaker {
        // SAFETY: `data` is the test's round, which outlives the waker.
        unsafe { &*data.cast::<Round>() }.here_and_elsewhere();
        RawWaker::new(data, &TABLE)
    }
    unsafe fn nothing(_: *const ()) {}
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
    let (_bus, kind, topic, round) = setup();
    let mut stream = topic.subscription("s").accept(&kind).stream().unwrap();
    // SAFETY: the table does nothing but read the round, which lives to the end of this function.
    let waker = unsafe { Waker::from_raw(RawWaker::new((&raw const round).cast(), &TABLE)) };
    assert!(!poll(&mut stream, &waker));
    assert!(round.count() > 0);
    drop(stream);
}

/// The last reference to a topic, a subscription or a forward may go anywhere.
#[test]
fn g8_handles_inside_values_and_handlers() {
    let _watched = watched();
    type Handles = (Topic, stasis_bus::Forward, Option<stasis_bus::Subscription>);
    let bus = Bus::new().unwrap();
    let kind = bus.message_type::<Handles>("handles").unwrap();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let listener = listen(topic.subscription("h").accept(&kind), mode, |_| {});
        for n in 0..50 {
            let inner = bus.topic(&format!("inner:{n}")).unwrap();
            let edge = inner.forward_to(&topic).unwrap();
            let sub = (n % 2 == 0).then(|| inner.subscribe("in a value", |_| {}).unwrap());
            topic.publish(kind.message((inner, edge, sub)));
        }
        listener.unsubscribe();
        eventually(|| bus.topics().len() == 1);
        drop(listener);
    }
    end(&bus);
}

/// Publishing while the thread's own variables are being torn down works, or says that it does not.
#[test]
fn g8_publishing_from_the_destructor_of_a_thread_local() {
    let _watched = watched();
    thread_local! {
        static LAST: std::cell::RefCell<Option<DropAction>> = const { std::cell::RefCell::new(None) };
    }
    let (bus, kind, topic, _) = setup();
    let edge_to = bus.topic("behind").unwrap();
    let _edge = topic.forward_to(&edge_to).unwrap();
    let listeners =
        HANDLER_MODES.map(|mode| note_numbers(edge_to.subscription("l").accept(&kind), mode, &kind));
    for first_use in [false, true] {
        let (topic2, kind2) = (topic.clone(), kind.clone());
        let thread = thread::spawn(move || {
            let (topic3, kind3) = (topic2.clone(), kind2.clone());
            if first_use {
                topic2.publish(kind2.message(1));
            }
            LAST.set(Some(on_drop(move || {
                topic3.publish(kind3.message(2));
            })));
            if !first_use {
                topic2.publish(kind2.message(1));
            }
        });
        thread.join().unwrap();
    }
    for (listener, log) in &listeners {
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(log.all(), [Some(1), Some(2), Some(1), Some(2), None], "{}", listener.dispatch());
    }
    end(&bus);
}

/// A handler that subscribes itself anew in its own begin, called on the thread that subscribes: refused at the depth at
/// which publishes are, instead of using up the stack.
#[test]
fn g8_subscribing_in_ones_own_begin_ends_at_the_limit() {
    fn again(topic: &Topic, mode: Dispatch, refused: &Log<SubscribeError>) -> Result<(), SubscribeError> {
        let (its, log) = (topic.clone(), refused.clone());
        let handler = move |_: &stasis_bus::Delivery<'_>| {
            if log.len() == 0
                && let Err(error) = again(&its, mode, &log)
            {
                log.push(error);
            }
        };
        let builder = topic.subscription("again").dispatch(mode);
        let subscription =
            if mode == Dispatch::Inline { builder.inline(handler) } else { builder.start(handler) };
        subscription.map(Subscription::detach)
    }
    let _watched = watched();
    for mode in [Dispatch::Inline, Dispatch::Serial] {
        let (bus, _) = numbers();
        let (topic, refused) = (bus.topic("t").unwrap(), Log::new());
        again(&topic, mode, &refused).unwrap();
        assert_eq!(refused.all().first(), Some(&SubscribeError::NestedTooDeep), "{mode}");
        assert!(bus.stats().nested_too_deep >= 1);
        assert!(topic.stats().subscriptions <= 65);
        end(&bus);
    }
}
