//! Tracing: every event is told, once in a while, with its fields; spans link publishers and consumers.
#![cfg(feature = "tracing")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;
#[path = "tracing/foreign.rs"]
mod foreign;
#[path = "tracing/spans.rs"]
mod spans;
mod trace_checks;

use common::*;
use stasis_bus::trace::{Tracer, Tracing};
use stasis_bus::{
    Bus, Delivery, Dispatch, Grow, Handled, Key, MessageType, Overflow, PanicPlace, Report, Topic, TraceError,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use trace_checks::Kept;
use tracing::Level;

const PAUSE: Duration = Duration::from_secs(10);

/// A bus in manual mode with one topic, traced by hand.
struct Manual {
    bus: Bus,
    kind: MessageType<u64>,
    topic: Topic,
    kept: Kept,
    tracing: Tracing,
}

impl Manual {
    fn new() -> Self {
        Self::with(|tracer| tracer)
    }

    fn with(options: impl FnOnce(Tracer) -> Tracer) -> Self {
        Self::heard_by(Kept::new(), options)
    }

    fn heard_by(kept: Kept, options: impl FnOnce(Tracer) -> Tracer) -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let (kind, topic) = (bus.message_type("number").unwrap(), bus.topic("calls").unwrap());
        let tracing = options(Tracer::new(&bus).sample(0)).by_hand().unwrap();
        Self { bus, kind, topic, kept, tracing }
    }

    fn publish(&self, messages: u64) {
        self.kept.hears(|| {
            for number in 0..messages {
                sent(self.topic.publish(self.kind.message(number)));
            }
        });
    }

    fn run(&self) {
        self.kept.hears(|| self.bus.run_until_idle());
    }

    /// Looks, some time later.
    fn look_after(&self, time: Duration) {
        self.bus.advance(time);
        self.kept.hears(|| self.tracing.look());
    }

    fn look(&self) {
        self.look_after(Duration::from_millis(1));
    }
}

/// One of 64 messages is sampled: of so many in a row, exactly one.
const ROW: u64 = 64;

fn sampled() -> Manual {
    Manual::with(|tracer| tracer.sample(ROW))
}

fn sent(report: Report) {
    assert_eq!(report.refusal, None);
}

#[test]
fn a_slow_handler_is_told_with_its_calls_and_the_slowest() {
    let _watched = watched();
    let manual = Manual::with(|tracer| tracer.slow(Duration::from_millis(50)));
    let took = Arc::new(AtomicU64::new(40));
    let millis = took.clone();
    let slow = manual.topic.subscription("slow").accept(&manual.kind);
    let slow = slow.start(move |delivery| {
        if !delivery.is_final()
            && let Some(bus) = delivery.bus()
        {
            bus.advance(Duration::from_millis(millis.load(Ordering::Relaxed)));
        }
    });
    let slow = slow.unwrap();
    // The first one is watched, so that each after it is timed.
    (0..3).for_each(|_| {
        manual.publish(1);
        manual.run();
    });
    manual.look();
    assert!(manual.kept.take("stasis.slow_handler").is_empty(), "below the threshold");
    took.store(200, Ordering::Relaxed);
    manual.publish(2);
    manual.run();
    manual.look();
    let told = manual.kept.take("stasis.slow_handler");
    assert_eq!(told.len(), 1, "{told:?}");
    let fields = &told[0].fields;
    assert_eq!(told[0].level, Level::WARN);
    assert_eq!((fields.get("subscription"), fields.get("topic")), ("slow", "calls"));
    assert_eq!(fields.get("id"), slow.id().to_string());
    assert_eq!((fields.number("calls"), fields.number("threshold")), (2.0, 0.05));
    assert_eq!((fields.number("slowest"), fields.number("withheld")), (0.2, 0.0));
}

#[test]
fn what_is_told_again_within_the_pause_adds_up() {
    let _watched = watched();
    let manual = Manual::with(|tracer| tracer.slow(Duration::from_millis(50)).pause(PAUSE));
    let slow = manual.topic.subscription("slow").accept(&manual.kind);
    let slow = slow.start(|delivery| {
        if !delivery.is_final()
            && let Some(bus) = delivery.bus()
        {
            bus.advance(Duration::from_millis(100));
        }
    });
    let _slow = slow.unwrap();
    for _ in 0..4 {
        manual.publish(1);
        manual.run();
        manual.look();
    }
    let told = manual.kept.take("stasis.slow_handler");
    assert_eq!(told.len(), 1, "once within the pause: {told:?}");
    manual.look_after(PAUSE);
    let told = manual.kept.take("stasis.slow_handler");
    assert_eq!(told.len(), 1, "what was withheld is told: {told:?}");
    assert_eq!((told[0].fields.number("calls"), told[0].fields.number("withheld")), (3.0, 2.0));
    manual.look_after(PAUSE);
    assert!(manual.kept.take("stasis.slow_handler").is_empty(), "nothing new");
}

#[test]
fn congestion_is_told_when_it_begins_and_when_it_ends() {
    let _watched = watched();
    let manual = Manual::new();
    let sub = manual.topic.subscription("deep").accept(&manual.kind).capacity(100).water_marks(10, 2);
    let _sub = sub.start(|_| {}).unwrap();
    manual.publish(9);
    manual.look();
    assert!(manual.kept.take("stasis.congested").is_empty());
    manual.publish(3);
    manual.look();
    let told = manual.kept.take("stasis.congested");
    assert_eq!(told.len(), 1, "{told:?}");
    let fields = &told[0].fields;
    assert_eq!((told[0].level, fields.get("subscription")), (Level::WARN, "deep"));
    assert_eq!((fields.number("depth"), fields.number("capacity")), (12.0, 100.0));
    assert!(fields.number("oldest") >= 0.001, "{fields:?}");
    manual.look();
    assert!(manual.kept.take("stasis.congested").is_empty(), "it is known");
    assert!(manual.kept.take("stasis.congestion_over").is_empty(), "it goes on");
    manual.run();
    manual.look();
    let over = manual.kept.take("stasis.congestion_over");
    assert_eq!(over.len(), 1, "{over:?}");
    assert_eq!((over[0].level, over[0].fields.number("crossings")), (Level::INFO, 1.0));
}

#[test]
fn congestion_that_comes_and_goes_is_told_once_within_the_pause_and_counted() {
    let _watched = watched();
    let manual = Manual::with(|tracer| tracer.pause(PAUSE));
    let sub = manual.topic.subscription("deep").accept(&manual.kind).capacity(100).water_marks(10, 2);
    let _sub = sub.start(|_| {}).unwrap();
    for _ in 0..5 {
        manual.publish(12);
        manual.run();
        manual.look();
    }
    assert_eq!(manual.kept.take("stasis.congested").len(), 1);
    assert_eq!(
        manual.kept.take("stasis.congestion_over").len(),
        1,
        "also what came and went between two looks"
    );
    manual.publish(12);
    manual.look_after(PAUSE);
    let told = manual.kept.take("stasis.congested");
    assert_eq!(told.len(), 1, "it still is so when it may be told");
    assert_eq!(told[0].fields.number("withheld"), 4.0);
}

#[test]
fn losses_are_told_when_they_begin_with_their_reasons_and_when_they_end() {
    let _watched = watched();
    let manual = Manual::new();
    let sub = manual.topic.subscription("full").accept(&manual.kind).capacity(2);
    let _sub = sub.overflow(Overflow::DropNewest).start(|_| {}).unwrap();
    manual.publish(5);
    manual.look();
    let told = manual.kept.take("stasis.losing");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].level, told[0].fields.get("subscription")), (Level::ERROR, "full"));
    assert_eq!((told[0].fields.number("messages"), told[0].fields.get("reasons")), (3.0, "3 refused"));
    manual.publish(4);
    manual.look();
    assert!(manual.kept.take("stasis.losing").is_empty(), "it goes on");
    assert!(manual.kept.take("stasis.losing_over").is_empty(), "it goes on");
    manual.look();
    let over = manual.kept.take("stasis.losing_over");
    assert_eq!(over.len(), 1, "{over:?}");
    assert_eq!((over[0].level, over[0].fields.get("reasons")), (Level::INFO, "7 refused"), "all of it");
}

#[test]
fn what_conflation_replaces_is_not_lost() {
    let _watched = watched();
    let manual = Manual::new();
    let overflow = Overflow::conflate(|_| Some(Key::from(7_u64)));
    let _sub =
        manual.topic.subscription("latest").accept(&manual.kind).overflow(overflow).start(|_| {}).unwrap();
    manual.publish(5);
    manual.look();
    assert!(manual.kept.take("stasis.losing").is_empty());
}

#[test]
fn a_panic_is_told_at_once_and_what_was_withheld_with_the_next() {
    let _watched = watched();
    let manual = Manual::with(|tracer| tracer.pause(PAUSE));
    let sub = manual.topic.subscription("weak").accept(&manual.kind);
    let _sub = sub.start(|delivery| assert!(delivery.is_final(), "{ON_PURPOSE}: too much")).unwrap();
    manual.publish(3);
    manual.run();
    let told = manual.kept.take("stasis.panic");
    assert_eq!(told.len(), 1, "without a look, once: {told:?}");
    let fields = &told[0].fields;
    assert_eq!((told[0].level, fields.get("of"), fields.get("place")), (Level::ERROR, "weak", "Handler"));
    assert_eq!((fields.get("panic"), fields.number("withheld")), ("on purpose: too much", 0.0));
    manual.bus.advance(PAUSE);
    manual.publish(1);
    manual.run();
    let told = manual.kept.take("stasis.panic");
    assert_eq!((told.len(), told[0].fields.number("withheld")), (1, 2.0));
}

#[test]
fn a_pool_that_grows_is_told() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=3).build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let (kept, tracing) = (Kept::new(), Tracer::new(&bus).by_hand().unwrap());
    let (gate, waiting) = mpsc::channel::<()>();
    let waiting = Mutex::new(waiting);
    let stuck = topic.subscription("stuck").accept(&kind);
    let stuck = stuck.start(move |delivery| {
        if !delivery.is_final() {
            let _ = waiting.lock().unwrap().recv();
        }
    });
    let (_stuck, handled) = (stuck.unwrap(), Log::new());
    let log = handled.clone();
    let _other = topic.subscription("other").accept(&kind).start(move |_| log.push(())).unwrap();
    topic.publish(kind.message(1));
    handled.await_len(1);
    eventually(|| bus.stats().pool.grown > 0);
    kept.hears(|| tracing.look());
    let told = kept.take("stasis.pool_grown");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].fields.number("workers") >= 2.0 && told[0].fields.number("max") == 3.0, "{told:?}");
    kept.hears(|| tracing.look());
    assert!(kept.take("stasis.pool_grown").is_empty());
    drop(gate);
}

#[test]
fn stragglers_of_a_shutdown_are_told_and_what_happened_right_before_it() {
    let _watched = watched();
    let manual = Manual::new();
    let stream = manual.topic.subscription("unread").accept(&manual.kind).capacity(2);
    let _stream = stream.overflow(Overflow::DropOldest).stream().unwrap();
    manual.publish(5);
    let report = manual.kept.hears(|| manual.bus.shutdown(Duration::ZERO)).unwrap();
    assert_eq!(report.stragglers.len(), 1);
    let told = manual.kept.take("stasis.straggler");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].level, told[0].fields.get("subscription")), (Level::WARN, "unread"));
    assert_eq!((told[0].fields.number("queued"), told[0].fields.get("ended")), (2.0, "true"));
    let losing = manual.kept.take("stasis.losing");
    assert_eq!(losing.len(), 1, "by one more look");
}

#[test]
fn a_thread_left_behind_is_told() {
    let _watched = watched();
    let bus = Bus::builder().build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let (kept, _tracing) = (Kept::new(), Tracer::new(&bus).by_hand().unwrap());
    let (gate, waiting) = mpsc::channel::<()>();
    let (entered, is_in) = mpsc::channel();
    let waiting = Mutex::new(waiting);
    let stuck = topic.subscription("stuck").accept(&kind).dispatch(Dispatch::Dedicated);
    let stuck = stuck.start(move |delivery| {
        if !delivery.is_final() {
            entered.send(()).unwrap();
            let _ = waiting.lock().unwrap().recv();
        }
    });
    let _stuck = stuck.unwrap();
    topic.publish(kind.message(1));
    is_in.recv().unwrap();
    kept.hears(|| bus.shutdown(Duration::ZERO)).unwrap();
    assert_eq!(kept.take("stasis.straggler")[0].fields.get("ended"), "false");
    assert_eq!(kept.take("stasis.threads_left")[0].fields.get("threads"), "stuck");
    drop(gate);
}

#[test]
fn findings_are_told_when_they_come_and_when_they_go() {
    let _watched = watched();
    let manual = Manual::new();
    let sub = manual.topic.subscription("deep").accept(&manual.kind).start(|_| {}).unwrap();
    manual.publish(3);
    manual.look_after(Duration::from_secs(2));
    let told = manual.kept.take("stasis.finding");
    assert_eq!(told.len(), 1, "{told:?}");
    let fields = &told[0].fields;
    assert_eq!(
        (told[0].level, fields.get("kind"), fields.get("severity")),
        (Level::WARN, "behind", "warning")
    );
    assert_eq!((fields.get("subscription"), fields.get("id")), ("deep", sub.id().to_string().as_str()));
    assert!(fields.get("message").starts_with("queue 3 and "), "{fields:?}");
    assert!(!fields.get("advice").is_empty());
    manual.look();
    assert!(manual.kept.take("stasis.finding").is_empty(), "it is known");
    manual.run();
    manual.look();
    let gone = manual.kept.take("stasis.finding_gone");
    assert_eq!((gone.len(), gone[0].fields.get("kind")), (1, "behind"), "{gone:?}");
    // What is about the bus names no subscription.
    let _ = manual.bus.topic("nobody").unwrap().publish(manual.kind.message(1));
    manual.look();
    let told = manual.kept.take("stasis.finding");
    assert_eq!((told[0].fields.get("kind"), told[0].fields.get("subscription")), ("unrouted", ""));
}

#[test]
fn what_was_before_the_tracing_is_not_told_but_what_still_is() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let sub = topic.subscription("full").accept(&kind).capacity(4).overflow(Overflow::DropNewest);
    let _sub = sub.water_marks(3, 1).start(|_| {}).unwrap();
    (0..9).for_each(|number| sent(topic.publish(kind.message(number))));
    let (kept, tracing) = (Kept::new(), Tracer::new(&bus).by_hand().unwrap());
    kept.hears(|| tracing.look());
    let names = kept.take_names();
    assert!(names.contains(&"stasis.congested".to_owned()), "{names:?}");
    assert!(!names.contains(&"stasis.losing".to_owned()), "{names:?}");
}

#[test]
fn an_incident_of_many_is_told_a_hundred_at_a_look() {
    let _watched = watched();
    let manual = Manual::new();
    let sub = |n: usize| manual.topic.subscription(format!("full-{n}")).accept(&manual.kind).capacity(1);
    let subs: Vec<_> =
        (0..250).map(|n| sub(n).overflow(Overflow::DropNewest).start(|_| {}).unwrap()).collect();
    manual.publish(2);
    let mut told = Vec::new();
    for _ in 0..10 {
        manual.look();
        let names = manual.kept.take_names();
        assert!(names.len() <= 100, "{}", names.len());
        told.extend(names);
    }
    let losing = told.iter().filter(|name| *name == "stasis.losing").count();
    assert_eq!(losing, subs.len(), "the rest at later looks");
}

// ---- who traces --------------------------------------------------------------------------------------------------

#[test]
fn one_at_a_time_traces_a_bus() {
    let _watched = watched();
    let manual = Manual::new();
    assert_eq!(Tracer::new(&manual.bus).by_hand().unwrap_err(), TraceError::Traced);
    let Manual { bus, tracing, .. } = manual;
    tracing.stop();
    let again = Tracer::new(&bus).by_hand().unwrap();
    bus.shutdown(Duration::ZERO).unwrap();
    drop(again);
    assert_eq!(Tracer::new(&bus).by_hand().unwrap_err(), TraceError::Closed);
}

#[test]
fn tracing_that_has_ended_tells_nothing() {
    let _watched = watched();
    let Manual { bus, kind, topic, kept, tracing } = sampled();
    let sub = topic.subscription("weak").accept(&kind);
    let _sub = sub.start(|delivery| assert!(delivery.is_final(), "{ON_PURPOSE}")).unwrap();
    drop(tracing);
    kept.hears(|| {
        (0..ROW).for_each(|number| sent(topic.publish(kind.message(number))));
        bus.run_until_idle();
        bus.shutdown(Duration::ZERO).unwrap();
    });
    assert!(kept.events().is_empty() && kept.spans("stasis.publish").is_empty());
}

#[test]
fn times_out_of_range_are_errors_that_say_so() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let tracer = Tracer::new(&bus);
    let error = tracer.clone().every(Duration::from_millis(9)).unwrap_err();
    assert_eq!(error.to_string(), "tracing: interval is 9ms; allowed are 10ms to 86400s");
    let error = tracer.clone().slow(Duration::ZERO).by_hand().unwrap_err();
    assert_eq!(error.to_string(), "tracing: slow is 0ns; allowed are 1µs to 86400s");
    let error = tracer.pause(Duration::from_secs(86_401)).by_hand().unwrap_err();
    assert_eq!(error.to_string(), "tracing: pause is 86401s; allowed are 0ns to 86400s");
}

/// The process's subscriber: only this test, as the thread that looks has no other.
#[test]
fn a_thread_looks_at_an_interval_and_ends_with_the_bus() {
    let _watched = watched();
    let kept = Kept::new();
    tracing::subscriber::set_global_default(kept.clone()).unwrap();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("every").unwrap(), bus.topic("every").unwrap());
    let tracing = Tracer::new(&bus).every(Duration::from_millis(10)).unwrap();
    let stream = topic.subscription("every").accept(&kind).capacity(1).overflow(Overflow::DropNewest);
    let _stream = stream.stream().unwrap();
    (0..3).for_each(|number| sent(topic.publish(kind.message(number))));
    let told = |name: &str| {
        kept.events().iter().any(|event| event.name == name && event.fields.get("subscription") == "every")
    };
    eventually(|| told("stasis.losing") && told("stasis.losing_over"));
    let threads: Vec<_> = kept.take("stasis.losing").iter().map(|event| event.thread).collect();
    assert!(threads.iter().all(|thread| *thread != thread::current().id()));
    drop((topic, kind));
    let weak = bus.downgrade();
    drop(bus);
    eventually(|| weak.upgrade().is_none());
    tracing.stop();
}
