//! Holes that a reading of the engine found; each of these failed once.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::{eventually, watched};
use stasis_bus::{Bus, Change, Dispatch, Message, Subscription, WaitError, WeakBus};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(300);

/// Says when it goes.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A shutdown that finds the bus quiet does not end an inline subscription whose begin is being handled.
#[test]
fn g6_an_inline_handler_outlives_the_call_of_its_begin() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let topic = bus.topic("t").unwrap();
    let (dropped, bad) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (flag, seen, found) = (Flag(dropped.clone()), dropped.clone(), bad.clone());
    let (begun, begins) = mpsc::channel();
    let subscriber = thread::spawn(move || {
        let made = topic.subscription("in").inline(move |delivery| {
            let _held = &flag;
            if !delivery.is_final() {
                begun.send(()).unwrap();
                thread::sleep(SHORT * 3);
                found.fetch_or(seen.load(Ordering::SeqCst), Ordering::SeqCst);
            }
        });
        made.map(Subscription::detach)
    });
    begins.recv().unwrap();
    bus.shutdown(SHORT).unwrap();
    let _ = subscriber.join().unwrap();
    assert!(!bad.load(Ordering::SeqCst), "the handler was dropped while it ran");
    eventually(|| dropped.load(Ordering::SeqCst));
}

/// Parks in its first drop, and so eats a wake-up of the thread that drops it.
struct Parks(Arc<AtomicU32>);

impl Drop for Parks {
    fn drop(&mut self) {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            thread::park_timeout(SHORT * 3);
        }
    }
}

#[test]
fn g8_a_drop_that_parks_costs_a_dedicated_thread_no_wake_up() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let kind = bus.message_type::<Parks>("parks").unwrap();
    let topic = bus.topic("t").unwrap();
    let handled = Arc::new(AtomicU32::new(0));
    let count = handled.clone();
    let builder = topic.subscription("d").accept(&kind).dispatch(Dispatch::Dedicated);
    let _sub = builder
        .start(move |delivery| {
            count.fetch_add(u32::from(!delivery.is_final()), Ordering::SeqCst);
        })
        .unwrap();
    let drops = Arc::new(AtomicU32::new(0));
    topic.publish(kind.message(Parks(drops.clone())));
    eventually(|| drops.load(Ordering::SeqCst) == 1);
    topic.publish(kind.message(Parks(drops.clone())));
    eventually(|| handled.load(Ordering::SeqCst) == 2);
}

#[test]
fn g11_a_quiet_bus_holds_no_message_inside_a_dead_one() {
    struct Outer(#[expect(dead_code, reason = "dropped")] Message);
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let topic = bus.topic("t").unwrap();
    let inner = bus.message_type::<Flag>("inner").unwrap();
    let outer = bus.message_type::<Outer>("outer").unwrap();
    let dropped = Arc::new(AtomicBool::new(false));
    let _sub = topic.subscription("s").accept(&outer).start(|_| {}).unwrap();
    topic.publish(outer.message(Outer(inner.message(Flag(dropped.clone())))));
    eventually(|| dropped.load(Ordering::SeqCst));
}

type Answer = Arc<Mutex<Option<Result<(), WaitError>>>>;

#[test]
fn g10_who_is_told_of_an_end_cannot_wait_for_it() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let topic = bus.topic("t").unwrap();
    let ended = Arc::new(topic.subscribe("s", |_| {}).unwrap());
    let (id, own, answer) = (ended.id(), ended.clone(), Answer::default());
    let (noted, changes) = (answer.clone(), bus.subscription_changes().clone());
    let _told = topic
        .subscription("told")
        .inline(move |delivery| {
            if let Some(change) = delivery.read(&changes)
                && change.id == id
                && change.change != Change::Subscribe
            {
                *noted.lock().unwrap() = Some(own.join_timeout(LONG));
            }
        })
        .unwrap();
    ended.unsubscribe();
    assert_eq!(*answer.lock().unwrap(), Some(Err(WaitError::WouldDeadlock)));
}

#[test]
fn g10_a_final_cannot_wait_for_one_that_comes_after_it_on_the_same_thread() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let topic = bus.topic("t").unwrap();
    let kind = bus.message_type::<u8>("x").unwrap();
    let second = Arc::new(topic.subscription("second").inline(|_| {}).unwrap());
    let (later, answer) = (second.clone(), Answer::default());
    let noted = answer.clone();
    let first = topic.subscription("first").inline(move |delivery| {
        if delivery.is_final() {
            *noted.lock().unwrap() = Some(later.join_timeout(LONG));
        }
    });
    let first = Mutex::new(Some(first.unwrap()));
    let ends_both = topic.subscription("ends both").accept(&kind).inline(move |_| {
        if let Some(first) = first.lock().unwrap().take() {
            first.unsubscribe();
            second.unsubscribe();
        }
    });
    let _ends_both = ends_both.unwrap();
    topic.publish(kind.message(1));
    assert_eq!(*answer.lock().unwrap(), Some(Err(WaitError::WouldDeadlock)));
}

/// Publishes and waits when it is dropped.
struct Waits(Arc<OnceLock<Subscription>>, Message);

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(subscription) = self.0.get() {
            let _ = subscription.publish_sync(self.1.clone(), Some(LONG));
        }
    }
}

#[test]
fn g10_a_worker_whose_seat_was_taken_while_it_rested_leaves() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=2).idle_timeout(None).build().unwrap();
    let kind = bus.message_type::<Waits>("waits").unwrap();
    let plain = bus.message_type::<u8>("plain").unwrap();
    let (topic, other) = (bus.topic("t").unwrap(), bus.topic("o").unwrap());
    let handled = Arc::new(AtomicU32::new(0));
    let count = handled.clone();
    let target = other.subscription("o").accept(&plain).start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let cell = Arc::new(OnceLock::from(target.unwrap()));
    let _sub = topic.subscription("s").accept(&kind).start(|_| {}).unwrap();
    topic.publish(kind.message(Waits(cell.clone(), plain.message(1))));
    eventually(|| handled.load(Ordering::SeqCst) == 1);
    let report = bus.shutdown(Duration::from_secs(10)).unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Asks the bus for its figures when it is dropped.
struct Asks(WeakBus);

impl Drop for Asks {
    fn drop(&mut self) {
        thread::sleep(SHORT);
        if let Some(bus) = self.0.upgrade() {
            let _ = bus.stats();
        }
    }
}

#[test]
fn g8_values_may_ask_for_figures_while_threads_are_joined() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let topic = bus.topic("t").unwrap();
    let kind = bus.message_type::<Asks>("asks").unwrap();
    let slow = topic.subscribe("s", |delivery| {
        if !delivery.is_final() {
            thread::sleep(SHORT * 3);
        }
    });
    slow.unwrap().detach();
    topic.publish(kind.message(Asks(bus.downgrade())));
    bus.shutdown(Duration::ZERO).unwrap();
}

#[test]
fn g11_a_final_that_waits_for_a_later_one_does_not_hold_the_shutdown_up() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let topic = bus.topic("t").unwrap();
    let later: Arc<OnceLock<Subscription>> = Arc::default();
    let known = later.clone();
    let waits = topic.subscription("waits").inline(move |delivery| {
        if delivery.is_final() {
            let _ = known.get().map(Subscription::join);
        }
    });
    waits.unwrap().detach();
    assert!(later.set(topic.subscribe("later", |_| {}).unwrap()).is_ok());
    bus.shutdown(SHORT).unwrap();
}
