//! G2: what was published first is seen first, by everybody who gets both.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Dispatch, Grow, MessageType, Overflow, Refusal, Topic};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A listener in every mode, with a mailbox so small that it overflows all the time and loses nothing.
fn small_listeners(topic: &Topic, kind: &MessageType<u64>) -> Vec<(Listener, Log<Option<u64>>)> {
    let grow = EVERY_MODE.map(|mode| {
        let builder = topic.subscription("grow").accept(kind).capacity(4);
        note_numbers(builder.overflow(Overflow::Grow(Grow::unbounded())), mode, kind)
    });
    let block = [Dispatch::Pool, Dispatch::Dedicated].map(|mode| {
        let builder = topic.subscription("block").accept(kind).capacity(3);
        note_numbers(builder.overflow(Overflow::Block(Duration::from_secs(60))), mode, kind)
    });
    grow.into_iter().chain(block).collect()
}

fn finish(listeners: Vec<(Listener, Log<Option<u64>>)>, expected: u64) {
    for (listener, log) in listeners {
        listener.unsubscribe();
        listener.join().unwrap();
        let mut heard = log.await_len(expected as usize + 1);
        let mode = listener.dispatch();
        assert_eq!(heard.pop(), Some(None), "{mode}: the final message is last");
        let wrong = heard.iter().enumerate().find(|(at, number)| **number != Some(*at as u64));
        assert_eq!(wrong, None, "{mode}");
        assert_eq!(heard.len() as u64, expected, "{mode}");
    }
}

#[test]
fn g2_one_publisher_is_seen_in_order_across_topics_overflow_and_modes() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let all = bus.topic("all").unwrap();
    let sources = ["a", "b", "c"].map(|name| bus.topic(name).unwrap());
    let _edges = sources.each_ref().map(|source| source.forward_to(&all).unwrap());
    let listeners = small_listeners(&all, &kind);
    for number in 0..5_000 {
        let report = sources[number as usize % 3].publish(kind.message(number));
        assert_eq!((report.accepted, report.dropped), (7, 0));
    }
    finish(listeners, 5_000);
    end(&bus);
}

/// Four threads take turns: each publishes only after the other's publish has returned.
#[test]
fn g2_order_holds_by_any_happens_before() {
    let _watched = watched();
    const THREADS: usize = 4;
    const ROUNDS: u64 = 3_000;
    let (bus, kind) = numbers();
    let all = bus.topic("all").unwrap();
    let listeners = small_listeners(&all, &kind);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel::<u64>()).unzip();
    thread::scope(|scope| {
        for (n, turns) in receivers.into_iter().enumerate() {
            let next = senders[(n + 1) % THREADS].clone();
            let topic = bus.topic(&format!("source:{n}")).unwrap();
            let (kind, all) = (kind.clone(), all.clone());
            scope.spawn(move || {
                let _edge = topic.forward_to(&all).unwrap();
                for number in turns {
                    if number < ROUNDS {
                        topic.publish(kind.message(number));
                    }
                    let over = number >= ROUNDS;
                    let _ = next.send(number + 1);
                    if over {
                        return;
                    }
                }
            });
        }
        senders[0].send(0).unwrap();
    });
    finish(listeners, ROUNDS);
    end(&bus);
}

#[test]
fn g2_each_of_several_publishers_is_seen_in_its_own_order() {
    let _watched = watched();
    const EACH: u64 = 3_000;
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let listeners = small_listeners(&topic, &kind);
    thread::scope(|scope| {
        for publisher in 0..3 {
            let (topic, kind) = (&topic, &kind);
            scope.spawn(move || {
                for number in 0..EACH {
                    topic.publish(kind.message(publisher << 32 | number));
                }
            });
        }
    });
    for (listener, log) in listeners {
        listener.unsubscribe();
        listener.join().unwrap();
        let heard = log.await_len(3 * EACH as usize + 1);
        for publisher in 0..3 {
            let own = heard.iter().flatten().filter(|number| *number >> 32 == publisher);
            let own: Vec<u64> = own.map(|number| number & 0xffff_ffff).collect();
            assert_eq!(own.len() as u64, EACH, "{}", listener.dispatch());
            assert!(own.is_sorted(), "{}", listener.dispatch());
        }
    }
    end(&bus);
}

/// The cause is 1, its effect 2: published by an inline handler that is first in line, on the first topic.
#[test]
fn g2_mailboxes_see_the_cause_before_what_an_inline_handler_made_of_it() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (first, second) = (bus.topic("first").unwrap(), bus.topic("second").unwrap());
    let (kind2, echo) = (kind.clone(), first.clone());
    let _inline = first.subscription("echo").accept(&kind).inline(move |delivery| {
        if delivery.read(&kind2).is_some_and(|number| number % 2 == 0) {
            echo.publish(kind2.message(delivery.read(&kind2).unwrap() + 1));
        }
    });
    let _edge = first.forward_to(&second).unwrap();
    let mut listeners = Vec::new();
    for topic in [&first, &second] {
        for mode in QUEUED_MODES {
            listeners.push(note_numbers(topic.subscription(mode.name()).accept(&kind), mode, &kind));
        }
    }
    for number in 0..500 {
        first.publish(kind.message(2 * number));
    }
    finish(listeners, 1_000);
    end(&bus);
}

#[test]
fn g2_inline_handlers_see_a_nested_publish_inside_its_cause() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let log = Log::new();
    let (noted, kind2, again) = (log.clone(), kind.clone(), topic.clone());
    let _nested = topic.subscription("nested").accept(&kind).inline(move |delivery| {
        let number = *delivery.read(&kind2).unwrap_or(&99);
        noted.push((number, "begins"));
        if number < 3 {
            again.publish(kind2.message(number + 1));
        }
        noted.push((number, "ends"));
    });
    topic.publish(kind.message(2));
    assert_eq!(log.all(), [(2, "begins"), (3, "begins"), (3, "ends"), (2, "ends")]);
}

/// A Serial handler's own publish is not nested: it waits until the running call has returned.
#[test]
fn g2_a_serial_handler_sees_its_own_publish_after_its_cause() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let log = Log::new();
    let (noted, kind2, again) = (log.clone(), kind.clone(), topic.clone());
    let _serial =
        topic.subscription("serial").accept(&kind).dispatch(Dispatch::Serial).start(move |delivery| {
            let Some(&number) = delivery.read(&kind2) else { return };
            noted.push((number, "begins"));
            if number < 1_000 {
                again.publish(kind2.message(number + 1));
            }
            noted.push((number, "ends"));
        });
    topic.publish(kind.message(0));
    let expected: Vec<_> = (0..=1_000).flat_map(|number| [(number, "begins"), (number, "ends")]).collect();
    assert_eq!(log.all(), expected);
}

#[test]
fn g2_what_drop_oldest_leaves_is_in_order_and_its_gaps_are_told() {
    let _watched = watched();
    const EACH: u64 = 20_000;
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in QUEUED_MODES {
        let (log, kind2) = (Log::new(), kind.clone());
        let noted = log.clone();
        let builder = topic.subscription("d").accept(&kind).capacity(8).overflow(Overflow::DropOldest);
        let listener = listen(builder, mode, move |heard| {
            noted.push((heard.number(&kind2), heard.missed, heard.seq, heard.end.is_some()));
        });
        (0..EACH).for_each(|number| {
            topic.publish(kind.message(number));
        });
        listener.unsubscribe();
        listener.join().unwrap();
        let heard = log.all();
        let (mut next, mut missed_in_all) = (0, 0);
        for (number, missed, seq, is_final) in heard {
            missed_in_all += missed;
            next += missed;
            assert_eq!(seq, next, "{mode}: the gap is where it is told");
            assert_eq!(number, (!is_final).then_some(next), "{mode}");
            next += 1;
        }
        assert_eq!(next, EACH + 1, "{mode}: every message was delivered or missed, then came the final one");
        assert_eq!(listener.stats().missed, missed_in_all, "{mode}");
    }
    end(&bus);
}

#[test]
fn g2_nesting_beyond_64_is_refused_counted_and_reported() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    let (calls, refused) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
    let (calls2, refused2, kind2, again) = (calls.clone(), refused.clone(), kind.clone(), topic.clone());
    let _endless = topic.subscription("endless").accept(&kind).inline(move |delivery| {
        if delivery.is_final() {
            return;
        }
        calls2.fetch_add(1, Ordering::Relaxed);
        let report = again.publish(kind2.message(0));
        if report.refusal == Some(Refusal::NestedTooDeep) {
            refused2.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert!(topic.publish(kind.message(0)).reached());
    assert_eq!(calls.load(Ordering::Relaxed), 64);
    assert_eq!(refused.load(Ordering::Relaxed), 1);
    assert_eq!(bus.stats().nested_too_deep, 1);
    assert!(topic.publish(kind.message(0)).reached(), "the thread is as before");
    assert_eq!(calls.load(Ordering::Relaxed), 128);
}

/// Subscribing inside an inline handler tells the topic, which calls the handler, which subscribes: the bus's own
/// messages reach mailboxes however deep they are, but no handler beyond the limit.
#[test]
fn g2_control_messages_do_not_nest_without_end_either() {
    let _watched = watched();
    let (bus, _) = numbers();
    let topic = bus.topic("t").unwrap();
    let changes = bus.subscription_changes().clone();
    let mut all = topic.subscription("all").accept(&changes).stream().unwrap();
    let (made, again, changes2) = (Log::new(), topic.clone(), changes.clone());
    let made2 = made.clone();
    let mirror = topic.subscription("mirror").accept(&changes).inline(move |delivery| {
        if !delivery.is_final() && made2.len() < 1_000 {
            made2.push(Arc::new(again.subscription("mirrored").accept(&changes2).stream().unwrap()));
        }
    });
    let mirror = mirror.unwrap();
    let _one_more = topic.subscription("one more").accept(&changes).stream().unwrap();
    let made = made.all();
    assert_eq!(made.len(), 1 + 64, "at its own begin, and nested");
    assert_eq!(bus.stats().nested_too_deep, 1);
    mirror.unsubscribe();
    let told = std::iter::from_fn(|| all.try_recv().ok()).count();
    assert_eq!(told, made.len() + 4, "the streams, its own, one more, and the mirror's begin and end");
}
