//! Topics: names, get-or-create, lookup, list, and that nothing is left of one that nobody uses.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Dispatch, Error, NameError, TypeError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

#[test]
fn the_same_name_is_the_same_topic_and_keeps_its_first_detail() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let first = bus.topic_with("calls", "all of them").unwrap();
    let again = bus.topic_with("calls", "something else").unwrap();
    let other = bus.topic("Calls").unwrap();
    assert!(first.is_same(&again) && !first.is_same(&other), "case-sensitive");
    assert_eq!((again.name(), again.detail(), other.detail()), ("calls", "all of them", ""));
    assert!(bus.find_topic("calls").unwrap().is_same(&first));
    assert!(bus.find_topic("unheard of").is_none());
    assert!(first.created() <= other.created() && first.created().as_nanos() > 0);
    let elsewhere = Bus::new().unwrap();
    assert!(elsewhere.find_topic("calls").is_none());
}

#[test]
fn names_are_checked() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    assert_eq!(bus.topic("").unwrap_err(), NameError::Empty);
    assert_eq!(bus.topic(&"é".repeat(128)).unwrap_err(), NameError::TooLong(256));
    assert_eq!(bus.topic("a\u{85}").unwrap_err(), NameError::ControlCharacter('\u{85}', 1));
    for name in ["x", "channel:PJSIP/älice-00000001", " ", &"x".repeat(255)] {
        assert_eq!(bus.topic(name).unwrap().name(), name);
    }
}

#[test]
fn the_list_is_of_those_that_live_by_name() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let [b, a, c] = ["b", "a", "c"].map(|name| bus.topic(name).unwrap());
    let names = || bus.topics().iter().map(|topic| topic.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(), ["a", "b", "c"]);
    drop(b);
    assert_eq!(names(), ["a", "c"]);
    drop((a, c));
    assert!(names().is_empty());
}

#[test]
fn a_topic_lives_while_anything_uses_it() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let lives = |name: &str| bus.find_topic(name).is_some();
    // Its handles.
    let handle = bus.topic("t").unwrap();
    let clone = handle.clone();
    drop(handle);
    assert!(lives("t"));
    drop(clone);
    assert!(!lives("t"));
    // Subscriptions of every mode, to the end of the final call.
    for mode in EVERY_MODE {
        let listener = listen(bus.topic("t").unwrap().subscription("s").accept(&kind), mode, |_| {});
        assert!(lives("t"), "{mode}");
        drop(listener);
        eventually(|| !lives("t"));
    }
    // Forwards, in either direction.
    let edge = bus.topic("from").unwrap().forward_to(&bus.topic("to").unwrap()).unwrap();
    assert!(lives("from") && lives("to"));
    edge.cancel();
    assert!(!lives("from") && !lives("to"));
    // A cycle goes with its handles.
    let (a, b) = (bus.topic("a").unwrap(), bus.topic("b").unwrap());
    let edges = [a.forward_to(&b).unwrap(), b.forward_to(&a).unwrap(), a.forward_to(&a).unwrap()];
    drop((a, b));
    assert!(lives("a") && lives("b"));
    drop(edges);
    assert!(!lives("a") && !lives("b"));
    end(&bus);
}

#[test]
fn a_name_that_was_free_gets_a_new_topic() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let old = bus.topic_with("call", "old").unwrap();
    old.publish(kind.message(1));
    drop(old);
    let new = bus.topic_with("call", "new").unwrap();
    assert_eq!((new.detail(), new.stats().published), ("new", 0));
}

/// One thread drops the last handle as others ask for the name: it stands for one topic at any moment.
#[test]
fn racing_for_a_dying_topic() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let topic = bus.topic("raced").unwrap();
                    let found = bus.find_topic("raced").expect("held by this very thread");
                    assert!(found.is_same(&topic) && bus.topic("raced").unwrap().is_same(&topic));
                }
            });
        }
    });
    assert!(bus.topics().is_empty());
}

/// A topic per call, as a telephone system makes them: made, forwarded, subscribed to, published on, dropped.
#[test]
fn a_hundred_thousand_topics_leave_nothing_behind() {
    let _watched = watched();
    let census = Census::new();
    let bus = Bus::new().unwrap();
    let kind = bus.message_type::<Alive>("value").unwrap();
    let all = bus.topic("channel:all").unwrap();
    let heard = Arc::new(AtomicU64::new(0));
    let counter = heard.clone();
    let sub = all.subscription("cdr").accept(&kind).dispatch(Dispatch::Serial).start(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let mut alive = std::collections::VecDeque::new();
    for n in 0..100_000 {
        let topic = bus.topic(&format!("channel:{n}")).unwrap();
        let up = topic.forward_to(&all).unwrap();
        let own = (n % 100 == 0).then(|| topic.subscription("own").accept(&kind).inline(|_| {}).unwrap());
        assert!(topic.publish(kind.message(census.born())).reached());
        alive.push_back((topic, up, own));
        if alive.len() > 500 {
            alive.pop_front();
        }
    }
    assert_eq!(bus.topics().len(), 501);
    drop(alive);
    assert_eq!(heard.load(Ordering::Relaxed), 100_000);
    assert_eq!(bus.topics().len(), 1);
    let stats = bus.stats();
    assert_eq!((stats.topics.len(), stats.subscriptions.len()), (1, 1));
    assert_eq!((stats.topics[0].subscriptions, stats.topics[0].forwards), (1, 0));
    drop(sub);
    assert_eq!(census.alive(), 0);
}

#[test]
fn a_hundred_thousand_topics_at_once_and_then_none() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let all = bus.topic("all").unwrap();
    let topics: Vec<_> = (0..100_000)
        .map(|n| {
            let topic = bus.topic(&format!("t{n}")).unwrap();
            let edge = topic.forward_to(&all).unwrap();
            (topic, edge)
        })
        .collect();
    let (_listener, log) = note_numbers(all.subscription("l").accept(&kind), Dispatch::Inline, &kind);
    for n in (0..100_000).step_by(9_999) {
        topics[n].0.publish(kind.message(n as u64));
    }
    assert_eq!(log.len(), 11);
    drop(topics);
    assert_eq!(bus.topics().len(), 1);
}

#[test]
fn wants_and_publish_with_build_nothing_that_no_one_wants() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let other = bus.message_type::<u8>("other").unwrap();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let _edge = here.forward_to(&there).unwrap();
    assert!(!here.wants(&kind));
    assert!(!here.publish_with(&kind, || unreachable!("no one is there")).reached());
    for mode in EVERY_MODE {
        let listener = listen(there.subscription("l").accept(&kind), mode, |_| {});
        assert!(here.wants(&kind) && there.wants(&kind) && !here.wants(&other), "{mode}");
        assert_eq!(here.publish_with(&kind, || 1).accepted, 1);
        assert!(!here.publish_with(&other, || unreachable!("not accepted")).reached());
        listener.unsubscribe();
        assert!(!here.wants(&kind));
    }
    let _everything = there.subscribe("everything", |_| {}).unwrap();
    assert!(here.wants(&kind) && here.wants(&other));
    assert_eq!(here.stats().published, 1 + 5 * 2, "counted all the same");
}

#[test]
fn topic_of_takes_and_gives_values() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let orders = bus.topic_of::<u64>("orders").unwrap();
    assert_eq!((orders.topic().name(), orders.kind().name()), ("orders", "orders"));
    assert!(orders.topic().is_same(&bus.topic("orders").unwrap()));
    assert_eq!(bus.message_type::<u64>("orders").unwrap(), *orders.kind());
    let log = Log::new();
    let (noted, ends) = (log.clone(), log.clone());
    let subscription = orders
        .subscription("log")
        .on_end(move |_| ends.push(0))
        .start_typed(orders.kind(), move |value, delivery| noted.push(*value + 10 * delivery.seq()));
    let other = bus.message_type::<String>("other").unwrap();
    assert!(orders.publish(1).reached());
    assert!(!orders.topic().publish(other.message(String::new())).reached());
    assert!(bus.topic_of::<u64>("orders").unwrap().publish_with(|| 2).reached());
    drop(subscription.unwrap());
    bus.run_until_idle();
    assert_eq!(log.all(), [1, 12, 0]);
    assert!(!orders.clone().publish_with(|| unreachable!("nobody listens")).reached());
    drop(orders);
    assert!(bus.find_topic("orders").is_none());
}

#[test]
fn topic_of_refuses_another_type_and_a_bad_name() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let _orders = bus.topic_of::<u64>("orders").unwrap();
    let refused = bus.topic_of::<u32>("orders").unwrap_err();
    assert_eq!(refused, Error::Type(TypeError::OtherType("orders".to_owned())));
    assert!(matches!(bus.topic_of::<u32>("").unwrap_err(), Error::Type(TypeError::Name(_))));
}
