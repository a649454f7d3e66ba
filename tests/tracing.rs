//! Tracing: every event is told, once in a while, with its fields; spans link publishers and consumers.
#![cfg(feature = "tracing")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;
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

// ---- spans -------------------------------------------------------------------------------------------------------

/// One of 64 messages is sampled: of so many in a row, exactly one.
const ROW: u64 = 64;

fn sampled() -> Manual {
    Manual::with(|tracer| tracer.sample(ROW))
}

#[test]
fn spans_link_a_publish_with_every_handler_of_its_message() {
    let _watched = watched();
    for dispatch in HANDLER_MODES {
        let manual = sampled();
        let (kept, seen) = (manual.kept.clone(), Log::new());
        let log = seen.clone();
        let handler = move |delivery: &Delivery<'_>| {
            if !delivery.is_final() {
                kept.hears(|| tracing::info!(target: "test", "handled"));
                log.push(());
            }
        };
        let sub = manual.topic.subscription("log").accept(&manual.kind);
        let sub = match dispatch {
            Dispatch::Inline => sub.inline(handler),
            _ => sub.dispatch(dispatch).start(handler),
        };
        let sub = sub.unwrap();
        let other = manual.topic.subscription("other").accept(&manual.kind).start(|_| {}).unwrap();
        manual.publish(ROW);
        manual.run();
        seen.await_len(ROW as usize);
        let (publishes, handles) = (manual.kept.spans("stasis.publish"), manual.kept.spans("stasis.handle"));
        assert_eq!((publishes.len(), handles.len()), (1, 2), "{dispatch:?}: {handles:?}");
        let publish = &publishes[0];
        let fields = &publish.fields;
        assert_eq!((fields.get("topic"), fields.get("message_type")), ("calls", "number"));
        assert_eq!((fields.number("accepted"), fields.number("dropped")), (2.0, 0.0), "{dispatch:?}");
        assert_eq!((publish.entered.len(), publish.exits), (1, 1));
        assert!(publish.is_closed(), "{dispatch:?}: all have handled it");
        for handle in &handles {
            assert_eq!((&handle.follows, handle.parent), (&vec![publish.id], None), "{dispatch:?}");
            assert_eq!((handle.entered.len(), handle.exits), (1, 1), "{dispatch:?}");
            assert!(handle.is_closed() && handle.fields.number("waited") >= 0.0);
            assert_eq!((handle.fields.get("topic"), handle.fields.get("message_type")), ("calls", "number"));
        }
        let ids: Vec<_> = handles.iter().map(|handle| handle.fields.get("id").to_owned()).collect();
        assert!(ids.contains(&sub.id().to_string()) && ids.contains(&other.id().to_string()), "{ids:?}");
        let handle = handles.iter().find(|handle| handle.fields.get("subscription") == "log").unwrap();
        assert!(manual.kept.is_orderly(), "{dispatch:?}");
        let events = manual.kept.events();
        let own = events.iter().filter(|event| event.inside == Some(handle.id)).count();
        assert_eq!(own, 1, "{dispatch:?}: what the handler tells is inside its span");
    }
}

#[test]
fn a_publish_is_below_the_span_it_is_made_in() {
    let _watched = watched();
    let manual = sampled();
    let _sub = manual.topic.subscription("log").accept(&manual.kind).start(|_| {}).unwrap();
    manual.kept.hears(|| {
        let request = tracing::info_span!(target: "test", "request");
        let _entered = request.enter();
        (0..ROW).for_each(|number| sent(manual.topic.publish(manual.kind.message(number))));
    });
    let request = manual.kept.spans("request")[0].id;
    assert_eq!(manual.kept.spans("stasis.publish")[0].parent, Some(request));
    assert!(!manual.kept.spans("stasis.publish")[0].is_closed(), "it is not handled yet");
}

#[test]
fn a_reader_and_a_batch_have_spans_that_nobody_is_inside_of() {
    let _watched = watched();
    let manual = sampled();
    let mut stream = manual.topic.subscription("stream").accept(&manual.kind).stream().unwrap();
    let batch = manual.topic.subscription("batch").accept(&manual.kind);
    let _batch = batch.start_batch(|batch| assert!(batch.len() <= ROW as usize)).unwrap();
    manual.publish(ROW);
    manual.run();
    manual.kept.hears(|| (0..ROW).for_each(|_| drop(stream.try_recv().unwrap())));
    let publish = &manual.kept.spans("stasis.publish")[0];
    let handles = manual.kept.spans("stasis.handle");
    let names: Vec<_> = handles.iter().map(|handle| handle.fields.get("subscription")).collect();
    assert_eq!(names, ["batch", "stream"]);
    for handle in &handles {
        assert_eq!((&handle.follows, handle.entered.len()), (&vec![publish.id], 0));
        assert!(handle.is_closed());
    }
}

/// What a reader has had is its own: nothing of a followed message waits until it comes again.
#[test]
fn a_message_that_is_followed_is_held_by_nobody_but_its_reader() {
    let _watched = watched();
    let manual = sampled();
    let mut stream = manual.topic.subscription("stream").accept(&manual.kind).stream().unwrap();
    let message = manual.kind.message(0);
    let publish = || (0..ROW).for_each(|_| sent(manual.topic.publish(message.clone())));
    manual.kept.hears(publish);
    for left in (0..ROW as usize).rev() {
        drop(manual.kept.hears(|| stream.try_recv().unwrap()));
        assert_eq!(message.reference_count(), 1 + left);
    }
    assert_eq!(manual.kept.spans("stasis.handle").len(), 1);
}

#[test]
fn a_message_that_is_lost_closes_its_span() {
    let _watched = watched();
    let policies = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Grow(Grow::limit(1))];
    for overflow in policies {
        let (manual, shown) = (sampled(), format!("{overflow:?}"));
        let sub = manual.topic.subscription("full").accept(&manual.kind).capacity(1).overflow(overflow);
        let sub = sub.start(|_| {}).unwrap();
        // In the end it has others, or refuses all: the sampled one is not the last of a row and a half for each topic.
        manual.publish(2 * ROW);
        let spans = manual.kept.spans("stasis.publish");
        assert_eq!(spans.len(), 2, "{shown}");
        assert!(spans.iter().any(|span| span.is_closed()), "{shown}");
        sub.unsubscribe();
        manual.run();
        assert!(manual.kept.spans("stasis.publish").iter().all(|span| span.is_closed()), "{shown}");
    }
}

#[test]
fn handlers_on_other_threads_are_told_to_the_publishers_subscriber() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let (kept, _tracing) = (Kept::new(), Tracer::new(&bus).sample(ROW).by_hand().unwrap());
    let handled = Log::new();
    let log = handled.clone();
    let sub = topic.subscription("log").accept(&kind);
    let sub = sub.start(move |delivery| log.push((thread::current().id(), delivery.is_final()))).unwrap();
    kept.hears(|| (0..ROW).for_each(|number| sent(topic.publish(kind.message(number)))));
    sub.unsubscribe_and_join().unwrap();
    let (publish, handle) = (&kept.spans("stasis.publish")[0], &kept.spans("stasis.handle")[0]);
    assert_eq!(handle.follows, [publish.id]);
    assert_eq!(publish.entered, [thread::current().id()]);
    assert_eq!(handle.entered, [handled.take()[0].0]);
    assert!(publish.is_closed() && handle.is_closed());
}

#[test]
fn a_panic_is_told_inside_the_span_of_its_message() {
    let _watched = watched();
    let manual = Manual::with(|tracer| tracer.sample(ROW).pause(Duration::ZERO));
    let sub = manual.topic.subscription("weak").accept(&manual.kind);
    let _sub = sub.start(|delivery| assert!(delivery.is_final(), "{ON_PURPOSE}")).unwrap();
    manual.publish(ROW);
    manual.run();
    let panics = manual.kept.take("stasis.panic");
    assert_eq!(panics.len(), ROW as usize, "a pause of zero withholds nothing");
    let handle = &manual.kept.spans("stasis.handle")[0];
    assert_eq!(panics.iter().filter(|panic| panic.inside == Some(handle.id)).count(), 1);
    assert!(handle.is_closed() && handle.exits == 1);
}

#[test]
fn one_in_so_many_messages_is_sampled() {
    let _watched = watched();
    for (one_in, due) in [(0, 0), (1, 8), (64, 8), (65, 4), (128, 4), (512, 1)] {
        let manual = Manual::with(|tracer| tracer.sample(one_in));
        let _sub = manual.topic.subscription("log").accept(&manual.kind).start(|_| {}).unwrap();
        manual.publish(8 * ROW);
        assert_eq!(manual.kept.spans("stasis.publish").len(), due, "1 in {one_in}");
    }
}

#[test]
fn publishers_and_waiting_publishes_are_sampled_too() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let (kept, _tracing) = (Kept::new(), Tracer::new(&bus).sample(ROW).by_hand().unwrap());
    let sub = topic.subscription("log").accept(&kind).start(|_| {}).unwrap();
    kept.hears(|| {
        let mut publisher = topic.publisher();
        (0..ROW).for_each(|number| sent(publisher.publish(kind.message(number))));
        drop(publisher);
        for number in 0..ROW {
            assert_eq!(sub.publish_sync(kind.message(number), None).unwrap(), Handled::Yes);
        }
    });
    sub.unsubscribe_and_join().unwrap();
    let (publishes, handles) = (kept.spans("stasis.publish"), kept.spans("stasis.handle"));
    assert_eq!((publishes.len(), handles.len()), (2, 2));
    assert!(publishes.iter().zip(&handles).all(|(publish, handle)| handle.follows == [publish.id]));
}

// ---- the subscriber is foreign code ------------------------------------------------------------------------------

#[test]
fn a_subscriber_that_panics_is_caught_counted_and_told_to_the_hook_alone() {
    let _watched = watched();
    let reports = Log::new();
    let log = reports.clone();
    let bus =
        Bus::builder().manual().on_panic(move |report| log.push((report.place, report.name.to_owned())));
    let bus = bus.build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let tracing = Tracer::new(&bus).sample(ROW).by_hand().unwrap();
    let kept = Kept::calling(|name| assert!(!name.starts_with("stasis"), "{ON_PURPOSE}: {name}"));
    let handled = Log::new();
    let log = handled.clone();
    let sub = topic.subscription("full").accept(&kind).capacity(100).overflow(Overflow::DropNewest);
    let sub = sub.start(move |delivery| log.push(delivery.is_final())).unwrap();
    kept.hears(|| {
        (0..2 * ROW).for_each(|number| sent(topic.publish(kind.message(number))));
        bus.advance(Duration::from_secs(2));
        tracing.look();
        bus.run_until_idle();
        sub.unsubscribe();
        bus.run_until_idle();
    });
    assert_eq!(handled.take().len(), 101, "all that it accepted, and the end");
    let reports = reports.take();
    assert!(reports.len() >= 3, "spans and events: {reports:?}");
    let due = (PanicPlace::TraceSubscriber, "tracing".to_owned());
    assert!(reports.iter().all(|report| *report == due), "{reports:?}");
    assert_eq!(bus.stats().panics, reports.len() as u64);
    assert!(kept.events().is_empty());
}

#[test]
fn a_subscriber_that_panics_when_a_span_is_entered_left_or_closed_harms_nothing() {
    let _watched = watched();
    for at in 1..8 {
        let calls = AtomicU64::new(0);
        let panics = move |name: &str| {
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(call != at, "{ON_PURPOSE}: {name}");
        };
        let manual = Manual::heard_by(Kept::calling(panics), |tracer| tracer.sample(ROW));
        let handled = Log::new();
        let log = handled.clone();
        let sub = manual.topic.subscription("log").accept(&manual.kind);
        let _sub = sub.start(move |_| log.push(())).unwrap();
        manual.publish(ROW);
        manual.run();
        assert_eq!((handled.take().len(), manual.bus.stats().panics), (64, 1), "call {at}");
    }
}

#[test]
fn g8_a_subscriber_may_call_anything_on_the_bus() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let tracing = Tracer::new(&bus).sample(ROW).pause(Duration::ZERO).by_hand().unwrap();
    let (weak, told) = (bus.downgrade(), Log::new());
    let log = told.clone();
    let kept = Kept::calling(move |name| {
        let Some(bus) = weak.upgrade() else { return };
        log.push(name.to_owned());
        let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("told").unwrap());
        let sub = topic.subscription("own").accept(&kind).start(|_| {}).unwrap();
        let _ = topic.publish(kind.message(1));
        assert!(!bus.stats().subscriptions.is_empty() && !bus.diagnose().summary.is_empty());
        sub.unsubscribe();
    });
    let mut stream = topic.subscription("stream").accept(&kind).stream().unwrap();
    let full = topic.subscription("full").accept(&kind).capacity(1).overflow(Overflow::DropOldest);
    let _full = full.start(|delivery| assert!(delivery.is_final(), "{ON_PURPOSE}")).unwrap();
    kept.hears(|| {
        (0..ROW).for_each(|number| sent(topic.publish(kind.message(number))));
        bus.advance(Duration::from_secs(2));
        tracing.look();
        bus.run_until_idle();
        (0..ROW).for_each(|_| drop(stream.try_recv().unwrap()));
        assert!(bus.shutdown(Duration::ZERO).is_ok());
    });
    let told = told.take();
    for name in ["stasis.publish", "stasis.handle", "stasis.losing", "stasis.panic", "stasis.finding"] {
        assert!(told.iter().any(|told| told == name), "{name} of {told:?}");
    }
}

#[test]
fn a_subscriber_that_shuts_the_bus_down_while_it_hears_of_that_does_not_wait_for_itself() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("calls").unwrap());
    let _tracing = Tracer::new(&bus).by_hand().unwrap();
    let (weak, refused) = (bus.downgrade(), Log::new());
    let log = refused.clone();
    let kept = Kept::calling(move |name| {
        if name == "stasis.straggler"
            && let Some(bus) = weak.upgrade()
        {
            log.push(bus.shutdown(Duration::ZERO).is_err());
        }
    });
    let _stream = topic.subscription("unread").accept(&kind).stream().unwrap();
    let _ = topic.publish(kind.message(1));
    kept.hears(|| bus.shutdown(Duration::ZERO)).unwrap();
    assert_eq!(refused.take(), [true], "from inside, it does not wait");
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
