//! What a bus says of itself in plain words: scripted on a clock that the test moves, and with threads that are stuck.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Dispatch, MessageType, Overflow, Severity, Trend, Trouble};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn manual() -> (Bus, MessageType<u64>) {
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type("number").unwrap();
    (bus, kind)
}

fn publish(bus: &Bus, kind: &MessageType<u64>, count: u64) {
    let topic = bus.topic("t").unwrap();
    (0..count).for_each(|number| {
        topic.publish(kind.message(number));
    });
}

#[test]
fn a_quiet_bus_is_well_and_shows_it() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let (_cdr, _) = note_numbers(topic.subscription("cdr").accept(&kind), Dispatch::Pool, &kind);
    publish(&bus, &kind, 1_500);
    bus.run_until_idle();
    let diagnosis = bus.diagnose();
    assert!(diagnosis.is_well() && diagnosis.findings.is_empty());
    assert_eq!(
        diagnosis.to_string(),
        "all is well: 1 subscription on 1 topic, 1,500 published, 0 lost, deepest queue 0, slowest handler cdr with 0 at p99"
    );
}

#[test]
fn a_queue_is_behind_rises_and_falls() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let (_cdr, _) = note_numbers(topic.subscription("cdr").accept(&kind), Dispatch::Pool, &kind);
    bus.advance(Duration::from_secs(100));
    publish(&bus, &kind, 4_000);
    bus.advance(Duration::from_secs(12));
    let first = |bus: &Bus| bus.diagnose().to_string().lines().next().unwrap().to_owned();
    assert_eq!(first(&bus), "subscription cdr: queue 4,000 and behind for 12 s", "known at the first look");
    publish(&bus, &kind, 812);
    bus.advance(Duration::from_secs(8));
    assert_eq!(first(&bus), "subscription cdr: queue 4,812 and rising for 20 s");
    bus.advance(Duration::from_secs(5));
    assert_eq!(first(&bus), "subscription cdr: queue 4,812 and no shorter for 5 s");
    bus.run_until_idle();
    assert!(bus.diagnose().is_well());
    publish(&bus, &kind, 10);
    assert!(bus.diagnose().is_well(), "ten messages that are new are no trouble");
    bus.advance(Duration::from_secs(2));
    let diagnosis = bus.diagnose();
    let Trouble::Behind { depth, trend, time } = diagnosis.findings[0].troubles[0] else {
        panic!("{diagnosis}")
    };
    assert_eq!((depth, trend, time), (10, Trend::Steady, Duration::from_secs(2)));
}

#[test]
fn a_slow_handler_explains_its_queue() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let clock = bus.downgrade();
    let _slow = topic
        .subscription("slow")
        .accept(&kind)
        .start(move |delivery| {
            if !delivery.is_final() {
                clock.upgrade().unwrap().advance(Duration::from_micros(3_100));
            }
        })
        .unwrap();
    publish(&bus, &kind, 20);
    bus.run_until_idle();
    assert!(bus.diagnose().is_well(), "slow, and nobody waits");
    publish(&bus, &kind, 600);
    bus.advance(Duration::from_secs(3));
    let text = bus.diagnose().to_string();
    assert!(
        text.starts_with(
            "subscription slow: queue 600 and rising for 3 s; its handler takes 3.1 ms at p99\n"
        ),
        "{text}"
    );
}

#[test]
fn losses_panics_and_streams_that_nobody_reads() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let small = topic.subscription("small").accept(&kind).capacity(4).overflow(Overflow::DropNewest);
    let (_small, _) = note_numbers(small, Dispatch::Pool, &kind);
    let _bad = topic.subscription("bad").accept(&kind).inline(|_| panic!("{ON_PURPOSE}")).unwrap();
    let _ui = topic.subscription("ui").accept(&kind).stream().unwrap();
    publish(&bus, &kind, 7);
    bus.advance(Duration::from_secs(8));
    bus.run_until_idle();
    let diagnosis = bus.diagnose();
    let lines: Vec<String> = diagnosis.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "subscription small: lost 3 messages (3 refused)",
            "subscription bad: its handler panicked 7 times, 7 in all",
            "subscription ui: nobody reads it, 7 messages wait, the oldest for 8 s",
        ]
    );
    assert_eq!(diagnosis.findings[0].severity, Severity::Critical);
    let again = bus.diagnose();
    assert_eq!(again.findings.len(), 1, "what was told is told once: {again}");
}

#[test]
fn a_stream_that_is_read_slowly_is_behind_and_not_unread() {
    let _watched = watched();
    let (bus, kind) = manual();
    let mut ui = bus.topic("t").unwrap().subscription("ui").accept(&kind).stream().unwrap();
    publish(&bus, &kind, 40);
    bus.advance(Duration::from_secs(3));
    assert!(bus.diagnose().to_string().starts_with("subscription ui: nobody reads it, 40 messages wait"));
    assert!(ui.try_recv().is_ok());
    bus.advance(Duration::from_secs(3));
    let words = bus.diagnose().to_string();
    assert!(words.starts_with("subscription ui: queue ") && words.contains("falling"), "{words}");
}

#[test]
fn publishes_that_reach_nobody_are_worth_a_note() {
    let _watched = watched();
    let bus = Bus::builder().manual().decline("unwanted").build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let declined = bus.message_type::<u8>("unwanted").unwrap();
    publish(&bus, &kind, 3);
    bus.topic("t").unwrap().publish(declined.message(1));
    let diagnosis = bus.diagnose();
    assert!(diagnosis.is_well());
    let note = "\nbus: publishes refused: 1 of a declined type; 3 publishes reached nobody";
    assert!(diagnosis.to_string().ends_with(note), "{diagnosis}");
    let types = bus.message_type_stats();
    assert_eq!((types[0].made, types[0].unused, types[1].declined), (3, 3, 1));
}

#[test]
fn g9_a_stuck_worker_is_named_with_its_time() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=2).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    let gate = Gate::new();
    let stuck: Vec<_> = ["one", "two", "three"]
        .map(|name| {
            let gate = gate.clone();
            let handler = move |_: &stasis_bus::Delivery<'_>| gate.pass();
            topic.subscription(name).accept(&kind).start(handler).unwrap()
        })
        .into();
    publish(&bus, &kind, 3);
    let stuck_in = |bus: &Bus| {
        let troubles = bus.diagnose().findings.into_iter().flat_map(|finding| finding.troubles);
        troubles.filter(|trouble| matches!(trouble, Trouble::Stuck { workers: Some(2), .. })).count()
    };
    eventually(|| stuck_in(&bus) == 2);
    let text = bus.diagnose().to_string();
    assert!(text.contains("1 of 2 workers is stuck in it since "), "{text}");
    let free =
        "bus: 2 workers are all in long handlers, which is the maximum, and 1 subscription waits for one";
    assert!(text.contains(free), "{text}");
    gate.open();
    stuck.into_iter().for_each(|sub| sub.unsubscribe_and_join().unwrap());
    end(&bus);
}

#[test]
fn g7_a_publisher_that_waits_for_room_is_seen() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let gate = Gate::new();
    let held = gate.clone();
    let full = topic.subscription("full").accept(&kind).capacity(4).overflow(Overflow::block_forever());
    let full = full.start(move |_| held.pass()).unwrap();
    let publisher = thread::spawn({
        let bus = bus.clone();
        let kind = kind.clone();
        move || publish(&bus, &kind, 20)
    });
    eventually(|| full.stats().blocked.now == 1);
    let text = bus.diagnose().to_string();
    assert!(text.contains("1 publisher waits for room since "), "{text}");
    gate.open();
    publisher.join().unwrap();
    let blocked = full.stats().blocked;
    assert_eq!((blocked.now, blocked.waiting), (0, None));
    assert!(blocked.times > 0 && blocked.total >= blocked.longest);
    full.unsubscribe_and_join().unwrap();
    end(&bus);
}

/// One call of a thousand is slow, and not one of those that are timed by turns.
#[test]
fn g9_a_slow_call_is_never_missed() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        for pause in [Duration::ZERO, Duration::from_micros(300)] {
            let numbers = kind.clone();
            let sub = listen(topic.subscription(mode.name()).accept(&kind), mode, move |heard| {
                if heard.number(&numbers) == Some(517) {
                    thread::sleep(Duration::from_millis(60));
                }
            });
            for number in 0..1_000 {
                topic.publish(kind.message(number));
                if !pause.is_zero() && (500..530).contains(&number) {
                    thread::sleep(pause);
                }
            }
            eventually(|| sub.stats().depth == 0);
            eventually(|| sub.stats().slow > 0);
            assert!(sub.stats().handler.max >= Duration::from_millis(40), "{mode}: {}", sub.stats().handler);
            sub.unsubscribe();
            sub.join().unwrap();
        }
    }
    end(&bus);
}

/// Each call speaks of what has happened since another one, and that may even have looked later.
#[test]
fn any_number_of_monitors_may_look_at_once() {
    let _watched = watched();
    let ((bus, _), (other, foreign)) = (manual(), manual());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                publish(&bus, &foreign, 100);
            }
        });
        let look = || (0..3_000).flat_map(|_| bus.diagnose().findings).collect::<Vec<_>>();
        let monitors = [(); 3].map(|()| scope.spawn(look));
        let findings = monitors.map(|monitor| monitor.join());
        over.store(true, Ordering::Relaxed);
        let findings = findings.into_iter().flat_map(|found| found.expect("a monitor panicked"));
        let troubles = findings.flat_map(|finding| finding.troubles);
        let refused = bus.stats().totals.refused.foreign_type;
        for trouble in troubles {
            assert!(matches!(trouble, Trouble::Refused(new) if new.foreign_type <= refused), "{trouble:?}");
        }
    });
    drop(other);
}
