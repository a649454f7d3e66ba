//! `Publisher`: the same guarantees as `Topic::publish`, with lists kept in between.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Dispatch, MessageType, Overflow, Refusal, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

fn manual() -> (Bus, MessageType<u64>, Topic) {
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type("number").unwrap(), bus.topic("topic").unwrap());
    (bus, kind, topic)
}

#[test]
fn g1_publisher_reaches_every_mode_once_here_and_behind_forwards() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let [here, left, right, there] = ["here", "left", "right", "there"].map(|name| bus.topic(name).unwrap());
    let _diamond =
        [(&here, &left), (&here, &right), (&left, &there), (&right, &there), (&there, &here), (&here, &here)]
            .map(|(from, to)| from.forward_to(to).unwrap());
    let mut listeners = Vec::new();
    for topic in [&here, &there] {
        for mode in EVERY_MODE {
            listeners.push(note_numbers(topic.subscription(mode.name()).accept(&kind), mode, &kind));
        }
    }
    let mut publisher = here.publisher();
    for number in 0..500 {
        assert_eq!(publisher.publish(kind.message(number)).accepted, 10);
    }
    let expected: Vec<_> = (0..500).map(Some).chain([None]).collect();
    for (listener, log) in &listeners {
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(log.await_len(501), expected, "{}", listener.dispatch());
    }
    end(&bus);
}

#[test]
fn g1_publisher_sees_every_change_that_returned_before() {
    let _watched = watched();
    let (bus, kind, topic) = manual();
    let (next, far) = (bus.topic("next").unwrap(), bus.topic("far").unwrap());
    let mut publisher = topic.publisher();
    let mut publish = || publisher.publish(kind.message(1)).accepted;
    assert_eq!(publish(), 0);
    let listen = |topic: &Topic, mode| note_numbers(topic.subscription("s").accept(&kind), mode, &kind).0;
    let own = [Dispatch::Pool, Dispatch::Inline].map(|mode| listen(&topic, mode));
    assert_eq!(publish(), 2);
    let _behind = [Dispatch::Pool, Dispatch::Inline].map(|mode| listen(&far, mode));
    assert_eq!(publish(), 2);
    let first = topic.forward_to(&next).unwrap();
    let second = next.forward_to(&far).unwrap();
    assert_eq!(publish(), 4, "an edge two hops away");
    drop(second);
    assert_eq!(publish(), 2, "which is cancelled, on a topic that is not the publisher's own");
    let _second = next.forward_to(&far).unwrap();
    assert_eq!(publish(), 4);
    drop(first);
    assert_eq!(publish(), 2);
    own.iter().for_each(|listener| assert!(listener.unsubscribe()));
    assert_eq!(publish(), 0);
}

/// The publisher's thread hears that the edge is gone, or the subscription, only through a flag.
#[test]
fn g1_publisher_uses_no_list_that_was_replaced_before_another_threads_publish() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let calls = Arc::new(AtomicU64::new(0));
    for round in 0..300 {
        let counter = calls.clone();
        let count = move |_: &stasis_bus::Delivery<'_>| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let topic = if round % 2 == 0 { &here } else { &there };
        let subscription = topic.subscription("s").accept(&kind).inline(count).unwrap();
        let edge = here.forward_to(&there).unwrap();
        let (gone, seen) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut publisher = here.publisher();
                while !gone.load(Ordering::Acquire) {
                    publisher.publish(kind.message(1));
                    seen.store(true, Ordering::Release);
                }
                assert_eq!(publisher.publish(kind.message(2)).accepted, 0);
            });
            eventually(|| seen.load(Ordering::Acquire));
            if round % 4 < 2 {
                drop(edge);
                subscription.unsubscribe();
            } else {
                subscription.unsubscribe();
                drop(edge);
            }
            gone.store(true, Ordering::Release);
        });
    }
    assert!(calls.load(Ordering::Relaxed) > 0);
    end(&bus);
}

#[test]
fn g2_publishers_of_one_thread_and_plain_publishes_keep_their_order() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let [one, two, all] = ["one", "two", "all"].map(|name| bus.topic(name).unwrap());
    let _edges = [one.forward_to(&all).unwrap(), two.forward_to(&all).unwrap()];
    let logs = EVERY_MODE.map(|mode| {
        let builder = all.subscription(mode.name()).accept(&kind).capacity(8);
        note_numbers(builder.overflow(Overflow::default()), mode, &kind)
    });
    let mut publishers = [one.publisher(), two.publisher()];
    for number in 0..2_000 {
        let message = kind.message(number);
        let report = match number % 3 {
            0 => publishers[0].publish(message),
            1 => publishers[1].publish(message),
            _ => two.publish(message),
        };
        assert_eq!(report.accepted, 5);
    }
    let expected: Vec<_> = (0..2_000).map(Some).collect();
    for (listener, log) in &logs {
        assert_eq!(log.await_len(2_000), expected, "{}", listener.dispatch());
    }
    end(&bus);
}

#[test]
fn g6_idle_publisher_delays_no_ending_and_keeps_no_handler() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let _edge = here.forward_to(&there).unwrap();
    let census = Census::new();
    for topic in [&here, &there] {
        for mode in EVERY_MODE {
            let alive = census.born();
            let log = Log::new();
            let noted = log.clone();
            let listener = listen(topic.subscription("s").accept(&kind), mode, move |heard| {
                let _captured = &alive;
                noted.push(heard.end.is_some());
            });
            let mut publisher = here.publisher();
            assert_eq!(publisher.publish(kind.message(7)).accepted, 1);
            listener.unsubscribe();
            listener.join().unwrap();
            let heard = log.await_len(2);
            assert_eq!(heard, [false, true], "{mode}: its message, its final one");
            eventually(|| census.alive() == 0);
            assert_eq!(publisher.publish(kind.message(8)).accepted, 0);
            assert_eq!(log.len(), 2, "{mode}: nothing after the final one");
        }
    }
    end(&bus);
}

/// A publish on a list whose inline subscription has just gone loads the list anew.
#[test]
fn g6_publisher_against_subscribing_and_unsubscribing() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("topic").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..2)
        .map(|_| {
            let (topic, kind, stop) = (topic.clone(), kind.clone(), stop.clone());
            thread::spawn(move || {
                let mut publisher = topic.publisher();
                let mut accepted = 0;
                while !stop.load(Ordering::Acquire) {
                    accepted += u64::from(publisher.publish(kind.message(1)).accepted);
                }
                accepted
            })
        })
        .collect();
    let heard = Arc::new(AtomicU64::new(0));
    for round in 0..200 {
        let mode = EVERY_MODE[round % EVERY_MODE.len()];
        let over = Arc::new(AtomicBool::new(false));
        let (counter, ended) = (heard.clone(), over.clone());
        let listener = listen(topic.subscription("s").accept(&kind), mode, move |heard| {
            assert!(!ended.load(Ordering::Acquire), "a call after the final one");
            match heard.end {
                Some(_) => ended.store(true, Ordering::Release),
                None => _ = counter.fetch_add(1, Ordering::Relaxed),
            }
        });
        thread::sleep(Duration::from_micros(300));
        listener.unsubscribe();
        listener.join().unwrap();
        eventually(|| over.load(Ordering::Acquire));
    }
    stop.store(true, Ordering::Release);
    let accepted: u64 = publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum();
    assert_eq!(heard.load(Ordering::Relaxed), accepted);
    end(&bus);
}

#[test]
fn publishers_counts_are_in_the_figures_before_and_after_they_go() {
    let _watched = watched();
    let (_bus, kind, here) = manual();
    let [middle, there] = ["middle", "there"].map(|name| _bus.topic(name).unwrap());
    let _edge = middle.forward_to(&there).unwrap();
    let figures = |topic: &Topic| {
        let stats = topic.stats();
        (stats.published, stats.arrived, stats.reached, stats.unrouted)
    };
    let mut publishers = [here.publisher(), here.publisher(), middle.publisher()];
    publishers.iter_mut().for_each(|publisher| _ = publisher.publish(kind.message(1)));
    here.publish(kind.message(1));
    assert_eq!((figures(&here), figures(&middle)), ((3, 0, 3, 3), (1, 0, 1, 1)));
    let edge = here.forward_to(&middle).unwrap();
    for _ in 0..2 {
        publishers.iter_mut().for_each(|publisher| _ = publisher.publish(kind.message(1)));
    }
    let now = || [&here, &middle, &there].map(figures);
    let expected = [(7, 0, 7, 7), (3, 4, 7, 3), (0, 7, 7, 0)];
    assert_eq!(now(), expected);
    drop(edge);
    assert_eq!(now(), expected, "until the publishers notice");
    publishers.iter_mut().for_each(|publisher| _ = publisher.publish(kind.message(1)));
    let expected = [(9, 0, 9, 9), (4, 4, 8, 4), (0, 8, 8, 0)];
    assert_eq!(now(), expected, "which were reached no more");
    drop(publishers);
    assert_eq!(now(), expected, "and after they went");
    // Publishes that nobody wanted count where they were made, and arrive nowhere.
    middle.publisher().publish_with(&kind, || unreachable!("nobody wants it"));
    assert_eq!(now(), [(9, 0, 9, 9), (5, 4, 9, 5), (0, 8, 8, 0)]);
}

#[test]
fn inline_calls_behind_a_publisher_are_counted_exactly() {
    let _watched = watched();
    let (bus, kind, topic) = manual();
    let all = bus.topic("all").unwrap();
    let _edge = topic.forward_to(&all).unwrap();
    let mut publisher = topic.publisher();
    publisher.publish(kind.message(1));
    let counts = [&topic, &all].map(|topic| {
        let calls = Arc::new(AtomicU64::new(0));
        let counter = calls.clone();
        let handler = move |_: &stasis_bus::Delivery<'_>| _ = counter.fetch_add(1, Ordering::Relaxed);
        (topic.subscription("s").inline(handler).unwrap(), calls)
    });
    (0..5).for_each(|number| _ = publisher.publish(kind.message(number)));
    let check = || {
        for (subscription, calls) in &counts {
            assert!(calls.load(Ordering::Relaxed) > 5, "those and its begin");
            assert_eq!(subscription.stats().accepted, calls.load(Ordering::Relaxed));
        }
    };
    check();
    drop(publisher);
    check();
}

#[test]
fn publisher_refuses_what_a_topic_refuses() {
    let _watched = watched();
    let bus = Bus::builder().decline("declined").build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("topic").unwrap());
    let declined = bus.message_type::<u64>("declined").unwrap();
    let (_other, foreign) = numbers();
    let mut publisher = topic.publisher();
    assert_eq!(publisher.publish(declined.message(1)).refusal, Some(Refusal::Declined));
    assert_eq!(publisher.publish_with(&declined, || unreachable!()).refusal, Some(Refusal::Declined));
    assert_eq!(publisher.publish(foreign.message(1)).refusal, Some(Refusal::ForeignType));
    assert_eq!(publisher.publish_with(&foreign, || unreachable!()).refusal, Some(Refusal::ForeignType));
    assert_eq!(topic.stats().published, 0);
    end(&bus);
    assert_eq!(publisher.publish(kind.message(1)).refusal, Some(Refusal::Closed));
    assert_eq!(publisher.publish_with(&kind, || unreachable!()).refusal, Some(Refusal::Closed));
}

/// A publisher that outlives everything else: topics it reached go with it.
#[test]
fn g11_publisher_may_go_last() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let edge = here.forward_to(&there).unwrap();
    let mut publisher = here.publisher();
    publisher.publish(kind.message(1));
    drop((edge, here, there));
    assert!(bus.find_topic("here").is_some());
    publisher.publish(kind.message(1));
    assert!(bus.find_topic("there").is_none(), "the next publish has let it go");
    drop(publisher);
    assert!(bus.find_topic("here").is_none());
    let last = bus.topic("last").unwrap().publisher();
    end(&bus);
    drop((bus, kind));
    drop(last);
}

/// A message that is lent reaches the same subscriptions as one that is given away, and no reference is left over.
#[test]
fn g1_a_republished_message_reaches_everybody_and_stays_the_callers() {
    let _watched = watched();
    let (bus, kind, topic) = manual();
    let (next, other) = (bus.topic("next").unwrap(), bus.message_type::<String>("other").unwrap());
    let _forward = topic.forward_to(&next).unwrap();
    let message = kind.message(7);
    let mut publisher = topic.publisher();
    let mut compare = |what: &str| {
        let given = topic.publish(message.clone());
        assert_eq!((topic.republish(&message), publisher.republish(&message)), (given, given), "{what}");
        bus.run_until_idle();
        assert_eq!(message.reference_count(), 1, "{what}");
    };
    compare("nobody");
    let listen = |topic: &Topic, mode| note_numbers(topic.subscription("s").accept(&kind), mode, &kind);
    let inline = [listen(&topic, Dispatch::Inline), listen(&next, Dispatch::Inline)];
    compare("inline handlers alone");
    let _uninterested = topic.subscription("none").accept(&other).inline(|_| {}).unwrap();
    compare("and one that wants something else");
    let _filtered = next.subscription("none").accept(&other).start(|_| {}).unwrap();
    compare("and a mailbox that does");
    let pool = listen(&next, Dispatch::Pool);
    compare("and one that takes it");
    let serial = listen(&topic, Dispatch::Serial);
    compare("and a Serial one");
    for ((_, log), count) in inline.iter().zip([15, 15]).chain([(&pool, 6), (&serial, 3)]) {
        assert_eq!(log.await_len(count), vec![Some(7); count]);
    }
    end(&bus);
    let closed = topic.republish(&message);
    assert_eq!((closed.refusal, message.reference_count()), (Some(Refusal::Closed), 1));
}

/// It has a seat instead of a place in the count: unsubscribing must see it, whoever publishes how.
#[test]
fn g6_publishers_on_many_threads_call_nobody_after_its_end() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, next) = (bus.topic("topic").unwrap(), bus.topic("next").unwrap());
    let _forward = topic.forward_to(&next).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..3)
        .map(|way| {
            let (topic, kind, stop) = (topic.clone(), kind.clone(), stop.clone());
            thread::spawn(move || {
                let mut publisher = topic.publisher();
                let message = kind.message(1);
                while !stop.load(Ordering::Relaxed) {
                    match way {
                        0 => drop(topic.republish(&message)),
                        _ => drop(publisher.republish(&message)),
                    }
                }
            })
        })
        .collect();
    for round in 0..400 {
        let (ended, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let handler = {
            let (ended, calls) = (ended.clone(), calls.clone());
            move |delivery: &stasis_bus::Delivery<'_>| {
                assert!(!ended.load(Ordering::Relaxed), "a call after the final one");
                calls.fetch_add(1, Ordering::Relaxed);
                ended.store(delivery.is_final(), Ordering::Relaxed);
            }
        };
        let topic = if round % 2 == 0 { &topic } else { &next };
        let inline = topic.subscription("inline").accept(&kind).inline(handler).unwrap();
        let before = calls.load(Ordering::Relaxed);
        while calls.load(Ordering::Relaxed) < before + 2 {
            thread::yield_now();
        }
        inline.unsubscribe();
        inline.join().unwrap();
        assert!(ended.load(Ordering::Relaxed));
    }
    assert_eq!(bus.stats().panics, 0);
    stop.store(true, Ordering::Relaxed);
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    end(&bus);
}

/// More than are timed in one publish: each has its turn.
#[test]
fn of_many_inline_handlers_every_one_is_timed() {
    let _watched = watched();
    let (bus, kind, topic) = manual();
    let inline = |_| topic.subscription("inline").inline(|_| {}).unwrap();
    let handlers: Vec<_> = (0..20).map(inline).collect();
    let mut publisher = topic.publisher();
    (0..5 * 64).for_each(|number| assert_eq!(publisher.publish(kind.message(number)).accepted, 20));
    // By a publish of 64, and eight in a row, which go on at the front: so two of five meet each.
    for handler in &handlers {
        let times = handler.stats().handler;
        assert!(times.samples >= 2 && times.count >= 2, "{times:?}");
    }
    end(&bus);
}

/// It looks once for whoever wants it, and then for nobody else: the topics in between count it all the same.
#[test]
fn publish_with_counts_on_its_way_like_publish() {
    let _watched = watched();
    let (bus, kind, topic) = manual();
    let [next, last] = ["next", "last"].map(|name| bus.topic(name).unwrap());
    let _forwards = [topic.forward_to(&next).unwrap(), next.forward_to(&last).unwrap()];
    assert!(!topic.publish_with(&kind, || unreachable!("nobody listens")).reached());
    assert_eq!((topic.stats().published, topic.stats().unrouted, next.stats().arrived), (1, 1, 0));
    let (_inline, log) = note_numbers(last.subscription("inline").accept(&kind), Dispatch::Inline, &kind);
    let before = last.stats().arrived;
    // What is made may publish, too.
    let nested = || topic.publish_with(&kind, || 1).accepted.into();
    assert_eq!(topic.publish_with(&kind, nested), topic.publish(kind.message(3)));
    assert_eq!(log.await_len(3), [Some(1), Some(1), Some(3)]);
    assert_eq!((topic.stats().published, last.stats().arrived - before), (4, 3));
    end(&bus);
}
