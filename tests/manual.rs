//! Manual mode: no threads, a clock that the user moves, and every run on the calling thread.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Dispatch, EndReason, Handled, MessageType, Overflow, Timestamp, WaitError};
use std::thread;
use std::time::Duration;

fn manual() -> (Bus, MessageType<u64>) {
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type("number").unwrap();
    (bus, kind)
}

#[test]
fn nothing_runs_by_itself_and_everything_on_the_calling_thread() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let log = Log::new();
    let subs = [Dispatch::Pool, Dispatch::Dedicated].map(|mode| {
        let (noted, kind2) = (log.clone(), kind.clone());
        listen(topic.subscription(mode.name()).accept(&kind), mode, move |heard| {
            noted.push((mode, heard.number(&kind2), thread::current().id()));
        })
    });
    for number in 0..3 {
        topic.publish(kind.message(number));
    }
    thread::sleep(Duration::from_millis(5));
    assert!(log.all().is_empty());
    assert!(bus.run_until_idle() >= 2);
    assert_eq!(bus.run_until_idle(), 0);
    let own = thread::current().id();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let heard: Vec<_> = log.all().into_iter().filter(|entry| entry.0 == mode).collect();
        assert_eq!(heard, (0..3).map(|number| (mode, Some(number), own)).collect::<Vec<_>>());
    }
    drop(subs);
    assert_eq!(log.len(), 6);
    bus.run_until_idle();
    assert_eq!(log.len(), 8, "their final messages");
    assert_eq!(bus.stats().workers, 0);
}

#[test]
fn what_handlers_publish_is_run_too() {
    let _watched = watched();
    let (bus, kind) = manual();
    let (ping, pong) = (bus.topic("ping").unwrap(), bus.topic("pong").unwrap());
    let log = Log::new();
    let _subs = [(&ping, &pong), (&pong, &ping)].map(|(from, to)| {
        let (noted, kind2, to) = (log.clone(), kind.clone(), to.clone());
        listen(from.subscription("p").accept(&kind), Dispatch::Pool, move |heard| {
            if let Some(number) = heard.number(&kind2) {
                noted.push(number);
                if number > 0 {
                    to.publish(kind2.message(number - 1));
                }
            }
        })
    });
    ping.publish(kind.message(100));
    bus.run_until_idle();
    assert_eq!(log.all(), (0..=100).rev().collect::<Vec<_>>());
}

#[test]
fn the_same_input_gives_the_same_run() {
    let _watched = watched();
    let run = || {
        let (bus, kind) = manual();
        let topics = [0, 1, 2].map(|n| bus.topic(&format!("t{n}")).unwrap());
        let log = Log::new();
        let _subs: Vec<_> = (0..9)
            .map(|n| {
                let (noted, kind2, next) = (log.clone(), kind.clone(), topics[(n + 1) % 3].clone());
                let mode = HANDLER_MODES[n % 4];
                listen(topics[n % 3].subscription("s").accept(&kind), mode, move |heard| {
                    let number = heard.number(&kind2);
                    noted.push((n, number));
                    if let Some(number) = number.filter(|number| *number > 0) {
                        next.publish(kind2.message(number - 1));
                    }
                })
            })
            .collect();
        topics[0].publish(kind.message(4));
        bus.run_until_idle();
        log.all()
    };
    let first = run();
    assert!(first.len() > 100);
    assert_eq!(run(), first);
}

#[test]
fn the_clock_moves_only_by_hand() {
    let _watched = watched();
    let (bus, kind) = manual();
    let exact = bus.define::<u8>("exact").exact_time().declare().unwrap();
    assert_eq!(kind.message(1).timestamp(), Timestamp::from_nanos(0));
    thread::sleep(Duration::from_millis(2));
    assert_eq!(exact.message(1).timestamp(), Timestamp::from_nanos(0));
    bus.advance(Duration::from_millis(3));
    bus.advance(Duration::from_nanos(7));
    assert_eq!(kind.message(1).timestamp(), Timestamp::from_nanos(3_000_007));
    assert_eq!(exact.message(1).timestamp(), bus.topic("now").unwrap().created());
    // Delays are measured by it: message 0 of a mailbox is always sampled.
    let topic = bus.topic("t").unwrap();
    let (sub, _) = note_numbers(topic.subscription("s").accept(&kind), Dispatch::Pool, &kind);
    topic.publish(kind.message(1));
    bus.advance(Duration::from_secs(2));
    bus.run_until_idle();
    let delay = sub.stats().delay;
    assert_eq!(delay.samples, 1);
    assert!(delay.max.abs_diff(Duration::from_secs(2)) < Duration::from_micros(1), "{delay}");
}

#[test]
fn block_never_waits() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let builder = topic.subscription("b").accept(&kind).capacity(2).overflow(Overflow::Block(Duration::MAX));
    let (sub, log) = note_numbers(builder, Dispatch::Pool, &kind);
    let over: u32 = (0..10).map(|number| topic.publish(kind.message(number)).over_capacity).sum();
    assert_eq!((over, sub.stats().over_capacity), (8, 8));
    bus.run_until_idle();
    assert_eq!(log.all(), (0..10).map(Some).collect::<Vec<_>>());
}

#[test]
fn waiting_runs_the_one_that_is_waited_for_and_no_other() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let (target, target_log) =
        note_numbers(topic.subscription("target").accept(&kind), Dispatch::Pool, &kind);
    let (other, other_log) =
        note_numbers(topic.subscription("other").accept(&kind), Dispatch::Dedicated, &kind);
    topic.publish(kind.message(0));
    assert_eq!(target.publish_sync(kind.message(1), None), Ok(Handled::Yes));
    assert_eq!(target_log.all(), [Some(0), Some(1)]);
    assert!(other_log.all().is_empty());
    target.unsubscribe();
    target.join().unwrap();
    assert_eq!(target_log.all(), [Some(0), Some(1), None]);
    assert!(other_log.all().is_empty());
    bus.run_until_idle();
    assert_eq!(other_log.all(), [Some(0), Some(1)]);
    drop(other);
}

#[test]
fn circles_are_refused_here_as_well() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let own: Own = Own::default();
    let (log, own2, kind2) = (Log::new(), own.clone(), kind.clone());
    let noted = log.clone();
    let listener = listen(topic.subscription("own").accept(&kind), Dispatch::Pool, move |heard| {
        if heard.end.is_none() {
            noted.push(own2.wait().publish_sync(kind2.message(1), None));
        }
    });
    assert!(own.set(listener).is_ok());
    topic.publish(kind.message(0));
    bus.run_until_idle();
    assert_eq!(log.all(), [Err(WaitError::WouldDeadlock)]);
}

#[test]
fn shutdown_runs_what_is_left() {
    let _watched = watched();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let (log, kind2) = (Log::new(), kind.clone());
    let noted = log.clone();
    let _sub = listen(topic.subscription("s").accept(&kind), Dispatch::Pool, move |heard| {
        noted.push((heard.number(&kind2), heard.end));
    });
    let mut unread = topic.subscription("unread").accept(&kind).stream().unwrap();
    topic.publish(kind.message(1));
    let report = bus.shutdown(Duration::from_secs(1_000)).unwrap();
    assert_eq!(log.all(), [(Some(1), None), (None, Some(EndReason::ShutDown))]);
    assert_eq!((report.ended, report.stragglers.len()), (2, 1), "the stream could not be waited for");
    assert_eq!(report.stragglers[0].name, "unread");
    assert_eq!(unread.try_recv().unwrap().missed(), 1);
    assert!(topic.publish(kind.message(2)).is_closed());
}

#[test]
fn dropping_the_bus_runs_the_end() {
    let _watched = watched();
    let census = Census::new();
    let (bus, kind) = manual();
    let topic = bus.topic("t").unwrap();
    let (alive, log) = (census.born(), Log::new());
    let noted = log.clone();
    let sub = topic.subscription("s").accept(&kind).start(move |delivery| {
        let _ = &alive;
        noted.push(delivery.end());
    });
    sub.unwrap().detach();
    drop(bus);
    assert_eq!(log.all(), [Some(EndReason::ShutDown)]);
    assert_eq!(census.alive(), 0);
}

#[test]
fn without_manual_mode_the_calls_do_nothing() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let before = kind.message(1).timestamp();
    bus.advance(Duration::from_secs(1_000_000));
    assert_eq!(bus.run_until_idle(), 0);
    let moved = kind.message(1).timestamp().as_nanos() - before.as_nanos();
    assert!(moved < 1_000_000_000_000_000);
}
