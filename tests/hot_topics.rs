//! Topics that are published on all the time, whose lists threads read where they stand: everything that changes meanwhile is
//! seen by who publishes next, and figures are exact.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Filter, MessageType, Overflow, Topic};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// More than makes a topic one that is published on all the time.
const OFTEN: u64 = 2_000;

/// A topic with a subscription that stays, published on often by this thread.
fn hot() -> (Bus, MessageType<u64>, Topic) {
    let bus = Bus::builder().build().unwrap();
    let (kind, topic) = (bus.message_type("number").unwrap(), bus.topic("topic").unwrap());
    topic.subscription("stays").overflow(Overflow::DropOldest).start(|_| {}).unwrap().detach();
    publish(&topic, &kind, OFTEN);
    (bus, kind, topic)
}

fn publish(topic: &Topic, kind: &MessageType<u64>, messages: u64) {
    for number in 0..messages {
        reach(topic, kind, number);
    }
}

/// Publishes, and tells how many mailboxes it came to. One that is full and whose oldest message another publisher is just
/// moving drops this one: it came there.
fn reach(topic: &Topic, kind: &MessageType<u64>, number: u64) -> u32 {
    let report = topic.publish(kind.message(number));
    let reached = report.accepted + report.dropped;
    assert!(reached > 0, "{report:?}");
    reached
}

/// Runs `changes` while two other threads publish without a pause. Returns how many messages they published.
fn while_others_publish(topic: &Topic, kind: &MessageType<u64>, changes: impl FnOnce()) -> u64 {
    let (is_over, published) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    publish(topic, kind, 100);
                    published.fetch_add(100, Ordering::Relaxed);
                }
            });
        }
        let over = Finally(|| is_over.store(true, Ordering::Relaxed));
        changes();
        drop(over);
    });
    published.into_inner()
}

struct Finally<F: Fn()>(F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn g1_a_change_is_seen_by_the_next_publish_beside_others_at_full_speed() {
    let _watched = watched();
    let (bus, kind, topic) = hot();
    let elsewhere = bus.topic("elsewhere").unwrap();
    elsewhere.subscription("stays").overflow(Overflow::DropOldest).start(|_| {}).unwrap().detach();
    let reached = || reach(&topic, &kind, 0);
    while_others_publish(&topic, &kind, || {
        for _ in 0..150 {
            assert_eq!(reached(), 1);
            let plain = topic.subscription("comes").overflow(Overflow::DropOldest).start(|_| {}).unwrap();
            assert_eq!((reached(), reached()), (2, 2), "one more mailbox");
            let inline = topic.subscription("inline").inline(|_| {}).unwrap();
            assert_eq!((reached(), reached()), (3, 3), "an inline handler: not straight any more");
            inline.unsubscribe();
            assert_eq!((reached(), reached()), (2, 2));
            let forward = topic.forward_to(&elsewhere).unwrap();
            assert_eq!((reached(), reached()), (3, 3), "a forward");
            forward.cancel();
            assert_eq!((reached(), reached()), (2, 2));
            plain.unsubscribe();
            assert_eq!((reached(), reached()), (1, 1));
        }
    });
}

#[test]
fn figures_of_all_threads_are_exact() {
    let _watched = watched();
    let (_bus, kind, topic) = hot();
    let own = 500;
    let others = while_others_publish(&topic, &kind, || {
        publish(&topic, &kind, own);
        let gone = topic.subscription("goes").overflow(Overflow::DropOldest).start(|_| {}).unwrap();
        gone.unsubscribe_and_join().unwrap();
    });
    assert_eq!(topic.stats().published, OFTEN + own + others);
    let mut publisher = topic.publisher();
    assert!(publisher.publish(kind.message(0)).reached() && topic.publish(kind.message(0)).reached());
    assert_eq!(topic.stats().published, OFTEN + own + others + 2);
}

#[test]
fn handlers_that_run_inside_a_publish_may_publish_there_and_change_the_list() {
    let _watched = watched();
    let bus = Bus::builder().build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("topic").unwrap());
    let (inner, number) = (topic.clone(), kind.clone());
    let serial = topic.subscription("serial").dispatch(stasis_bus::Dispatch::Serial);
    let serial = serial.start(move |delivery| {
        if delivery.read(&number).is_some_and(|number| number % 10 == 0) {
            let passing = inner.subscription("passing").start(|_| {}).unwrap();
            assert_eq!(inner.publish(number.message(1)).accepted, 2);
            passing.unsubscribe();
        }
    });
    let serial = serial.unwrap();
    for number in 0..OFTEN {
        assert_eq!(topic.publish(kind.message(number)).accepted, 1);
    }
    serial.unsubscribe_and_join().unwrap();
    assert_eq!(bus.stats().panics, 0);
}

#[test]
fn nothing_of_a_topic_stays_when_nobody_uses_it() {
    let _watched = watched();
    let (bus, kind, topic) = hot();
    let lasting = bus.topic("lasting").unwrap();
    lasting.subscription("stays").overflow(Overflow::DropOldest).start(|_| {}).unwrap().detach();
    publish(&lasting, &kind, OFTEN);
    let topics = bus.stats().topics.len();
    for _ in 0..20 {
        let passing = bus.topic("passing").unwrap();
        let forward = lasting.forward_to(&passing).unwrap();
        publish(&lasting, &kind, 200);
        let goes = passing.subscription("goes").start(|_| {}).unwrap();
        publish(&passing, &kind, OFTEN);
        forward.cancel();
        goes.unsubscribe_and_join().unwrap();
        drop(passing);
        assert_eq!(bus.stats().topics.len(), topics, "a list that is not read any more keeps no topic");
    }
    drop(topic);
    bus.shutdown(Duration::from_secs(60)).unwrap();
}

/// The system takes up to ten milliseconds and more to answer where other threads run: whoever builds the first bus waits for
/// that, and no publish. In a process of its own, as every bus of this one has asked.
#[cfg(target_os = "linux")]
#[test]
fn the_system_is_asked_for_its_fence_when_the_first_bus_is_built() {
    let _watched = watched();
    use rustix::thread::{MembarrierCommand, membarrier, membarrier_query};
    const CHILD: &str = "STASIS_TEST_FENCE";
    if std::env::var_os(CHILD).is_none() {
        let own = "the_system_is_asked_for_its_fence_when_the_first_bus_is_built";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let child = child.args(["--exact", own, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && text.contains("1 passed"), "{text}{child:?}");
        return;
    }
    let fence = || membarrier(MembarrierCommand::PrivateExpedited);
    if membarrier_query().contains_command(MembarrierCommand::PrivateExpedited) {
        assert!(fence().is_err(), "nobody has asked yet");
        let _bus = Bus::builder().manual().build().unwrap();
        assert_eq!(fence(), Ok(()));
    }
}

/// Straight or not, by a topic or its `Publisher`: a message comes to those whose filters take it, and to no others.
#[test]
fn g1_filters_of_a_busy_topic_are_asked_of_every_type() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let topic = bus.topic("topic").unwrap();
    // More than a look at a filter knows by itself.
    let kinds: Vec<_> = (0..70).map(|n| bus.message_type::<u64>(&format!("type {n}")).unwrap()).collect();
    let [both, first, last] = [0, 1, 69].map(|n| &kinds[n]);
    let listen = |name: &str, filter: Filter| {
        topic.subscription(name).overflow(Overflow::DropOldest).filter(filter).start(|_| {}).unwrap()
    };
    let subs = [
        listen("a", Filter::all().accept(both).accept(first)),
        listen("b", Filter::all().accept(both).accept(last)),
    ];
    let mut publisher = topic.publisher();
    let mut check = |due: &dyn Fn(usize) -> u32, listeners: u32| {
        publish(&topic, both, OFTEN);
        for (n, kind) in kinds.iter().enumerate() {
            let kept = kind.message(0);
            let reports = [
                topic.publish(kind.message(0)),
                publisher.publish(kind.message(0)),
                topic.republish(&kept),
                publisher.republish(&kept),
            ];
            for report in reports {
                assert_eq!((report.accepted, report.filtered), (due(n), listeners - due(n)), "type {n}");
            }
        }
    };
    let of_two = |n| [2, 1].get(n).copied().unwrap_or(u32::from(n == 69));
    check(&of_two, 2);
    subs[1].set_filter(&Filter::all().accept(both)).unwrap();
    check(&|n| [2, 1].get(n).copied().unwrap_or(0), 2);
    subs[1].set_filter(&Filter::all()).unwrap();
    check(&|n| 1 + u32::from(n < 2), 2);
    subs[0].set_filter(&Filter::all()).unwrap();
    check(&|_| 2, 2);
    // It looks at more than the type.
    let picky = listen("c", Filter::all().id_prefix("x"));
    check(&|_| 3, 3);
    picky.set_filter(&Filter::all().accept(last)).unwrap();
    check(&|n| 2 + u32::from(n == 69), 3);
    bus.run_until_idle();
    // Both have heard of the third one's coming, too.
    let came = subs.each_ref().map(|sub| sub.stats().handled + sub.stats().missed - 1);
    assert_eq!(came, [3 * 2 + 3 * 70, 2 + 1 + 4 * 70].map(|types| 6 * OFTEN + 4 * types));
}
