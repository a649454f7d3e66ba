//! State managers: who holds a state, what it keeps, and that what is delivered last is what is stored.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "state/coming_and_going.rs"]
mod coming_and_going;
mod common;
#[path = "state/model.rs"]
mod model;
#[path = "state/observers.rs"]
mod observers;

use common::*;
use stasis_bus::{
    Bus, Delivery, Dispatch, MessageType, NameError, Overflow, Refusal, StateError, StateManager,
    StateObserver, StateView, SubscribeError,
};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

/// A bus with numbers and a manager of states.
fn devices() -> (Bus, MessageType<u64>, StateManager) {
    let (bus, kind) = numbers();
    let manager = bus.state_manager("device").unwrap();
    (bus, kind, manager)
}

fn number(manager: &StateManager, kind: &MessageType<u64>, id: &str) -> Option<u64> {
    manager.last(id).and_then(|message| kind.read(&message).copied())
}

/// Notes the numbers published on a state, beginning with the one there is if that is wanted.
fn note(
    manager: &StateManager,
    id: &str,
    mode: Dispatch,
    kind: &MessageType<u64>,
    with_state: bool,
) -> (Box<dyn Send>, Log<u64>) {
    let (log, reads) = (Log::new(), kind.clone());
    let noted = log.clone();
    let heard = move |message: &stasis_bus::Message| {
        if let Some(number) = reads.read(message) {
            noted.push(*number);
        }
    };
    let accepted = kind.clone();
    let mut builder =
        manager.subscription(id, "note").configure(move |builder| builder.accept(&accepted).dispatch(mode));
    if with_state {
        builder = builder.with_state();
    }
    let handler = move |delivery: &Delivery<'_>| heard(delivery.message());
    let handle: Box<dyn Send> = match mode {
        Dispatch::Inline => {
            let handler = Mutex::new(handler);
            Box::new(builder.inline(move |delivery| (handler.lock().unwrap())(delivery)).unwrap())
        }
        Dispatch::Stream => {
            let (subscriber, mut stream) = builder.stream().unwrap();
            let reads = kind.clone();
            let noted = log.clone();
            let ends = stream.handle();
            let reader = thread::spawn(move || {
                while let Some(received) = stream.recv() {
                    if let Some(number) = reads.read(received.message()) {
                        noted.push(*number);
                    }
                }
            });
            let ender = on_drop(move || _ = ends.unsubscribe());
            Box::new((ender, reader, subscriber))
        }
        _ => Box::new(builder.start(handler).unwrap()),
    };
    (handle, log)
}

#[test]
fn g4_every_read_shows_what_was_published() {
    let _watched = watched();
    let (bus, kind, manager) = devices();
    let (one, other) = (manager.publisher("alice").unwrap(), manager.publisher("alice").unwrap());
    let watcher = manager.subscriber("alice").unwrap();
    assert!(watcher.last().is_none() && manager.exists("alice") && manager.len() == 1);
    for (n, publisher) in [&one, &other, &one].into_iter().enumerate() {
        let message = kind.message(n as u64);
        publisher.publish(message.clone());
        let reads = [watcher.last(), one.last(), other.last(), manager.last("alice")];
        assert!(reads.into_iter().all(|last| last.is_some_and(|last| last.is_same(&message))));
    }
    assert_eq!(
        (watcher.id(), watcher.topic().name(), one.topic().name()),
        ("alice", "device/alice", "device/alice")
    );
    assert_eq!((one.id(), one.manager().name(), manager.all_topic().name()), ("alice", "device", "device"));
    end(&bus);
}

#[test]
fn a_state_is_there_while_anybody_holds_it_and_goes_with_its_message() {
    let _watched = watched();
    let (bus, census) = (Bus::new().unwrap(), Census::new());
    let kind = bus.message_type::<Alive>("value").unwrap();
    let manager = bus.state_manager("device").unwrap();
    let [here, there] = ["here", "there"].map(|node| bus.origin(node).unwrap());
    let gone = || {
        let left = (manager.exists("a"), manager.len(), census.alive(), bus.find_topic("device/a").is_some());
        left == (false, 0, 0, false)
    };
    let publisher = manager.publisher("a").unwrap();
    publisher.publish(kind.message(census.born()));
    publisher.publish(kind.message(census.born()));
    assert_eq!(census.alive(), 1, "the old one goes at once");
    let subscriber = manager.subscriber("a").unwrap();
    manager.publish_by_origin("a", here, kind.message(census.born())).unwrap();
    manager.publish_by_origin("a", there, kind.message(census.born())).unwrap();
    manager.publish_by_origin("a", here, kind.message(census.born())).unwrap();
    drop(publisher);
    drop(subscriber);
    assert!(manager.remove_origin("a", here, None).is_some(), "once, however often it published");
    assert!(manager.remove_origin("a", here, None).is_none());
    assert!(manager.exists("a") && census.alive() == 1);
    assert!(manager.remove_origin("a", there, None).is_some());
    assert!(gone());
    // Each alone.
    drop(manager.publisher("a").unwrap());
    assert!(gone());
    drop(manager.subscriber("a").unwrap());
    assert!(gone());
    for mode in EVERY_MODE {
        let publisher = manager.publisher("a").unwrap();
        publisher.publish(kind.message(census.born()));
        let subscription = manager.subscription("a", "s").configure(|builder| builder.dispatch(mode));
        let held: Box<dyn Send> = match mode {
            Dispatch::Inline => Box::new(subscription.inline(|_| {}).unwrap()),
            Dispatch::Stream => Box::new(subscription.stream().unwrap()),
            _ => Box::new(subscription.start(|_| {}).unwrap()),
        };
        drop(publisher);
        assert!(manager.exists("a") && census.alive() == 1, "{mode}");
        drop(held);
        assert!(!manager.exists("a") && census.alive() == 0, "{mode}");
        eventually(gone);
    }
    // Asking does not make it.
    assert!(manager.last("a").is_none() && manager.remove_origin("a", here, None).is_none() && gone());
    end(&bus);
}

#[test]
fn the_last_message_of_who_leaves_is_stored_for_who_stays() {
    let _watched = watched();
    let (bus, kind, manager) = devices();
    let node = bus.origin("node").unwrap();
    let (_all, log) =
        note_numbers(manager.all_topic().subscription("all").accept(&kind), Dispatch::Inline, &kind);
    manager.publish_by_origin("alice", node, kind.message(1)).unwrap();
    let watcher = manager.subscriber("alice").unwrap();
    let report = manager.remove_origin("alice", node, Some(kind.message(2))).unwrap();
    assert_eq!((report.accepted, number(&manager, &kind, "alice")), (1, Some(2)));
    assert_eq!(watcher.last().map(|last| *kind.read(&last).unwrap()), Some(2));
    // One that does not hold it publishes nothing by leaving.
    assert!(manager.remove_origin("alice", node, Some(kind.message(3))).is_none());
    let publisher = manager.publisher("alice").unwrap();
    publisher.finish(kind.message(4));
    assert_eq!(number(&manager, &kind, "alice"), Some(4));
    manager.publish_by_origin("alice", node, kind.message(5)).unwrap();
    assert_eq!(manager.remove_origin("alice", node, None).unwrap().accepted, 0);
    assert_eq!(number(&manager, &kind, "alice"), Some(5), "nothing was published in its place");
    // Without anybody who stays it is delivered, and goes.
    drop(watcher);
    manager.publish_by_origin("bob", node, kind.message(6)).unwrap();
    assert_eq!(manager.remove_origin("bob", node, Some(kind.message(7))).unwrap().accepted, 1);
    assert!(manager.is_empty());
    assert_eq!(log.all(), [1, 2, 4, 5, 6, 7].map(Some));
}

#[test]
fn a_node_that_is_gone_leaves_every_state() {
    let _watched = watched();
    let (bus, kind, manager) = devices();
    let [here, there] = ["here", "there"].map(|node| bus.origin(node).unwrap());
    for n in 0..200 {
        manager.publish_by_origin(&format!("d{n}"), here, kind.message(n)).unwrap();
        if n % 2 == 0 {
            manager.publish_by_origin(&format!("d{n}"), there, kind.message(n)).unwrap();
        }
    }
    assert_eq!(manager.remove_origin_everywhere(there), 100);
    assert_eq!((manager.remove_origin_everywhere(there), manager.len()), (0, 200));
    assert_eq!((manager.remove_origin_everywhere(here), manager.len()), (200, 0));
}

#[test]
fn all_who_ask_for_a_manager_get_the_same_while_it_lives() {
    let _watched = watched();
    let (bus, kind, manager) = devices();
    let again = bus.state_manager("device").unwrap();
    let publisher = manager.publisher("alice").unwrap();
    publisher.publish(kind.message(1));
    assert_eq!(number(&again, &kind, "alice"), Some(1));
    drop((manager, again));
    let again = bus.state_manager("device").unwrap();
    assert_eq!(number(&again, &kind, "alice"), Some(1), "its publisher kept it");
    assert_eq!(format!("{again:?}"), "StateManager { name: \"device\", states: 1 }");
    again.publish_by_origin("bob", bus.origin("node").unwrap(), kind.message(2)).unwrap();
    drop((publisher, again));
    assert!(bus.state_manager("device").unwrap().is_empty(), "origins alone do not keep it");
    drop(bus.state_manager("other").unwrap());
    assert!(bus.topics().is_empty());
    assert_eq!(bus.state_manager("").unwrap_err(), NameError::Empty);
}

/// Reference 2.13: ids, and names of managers, may have slashes, and no two states share a topic.
#[test]
fn g1_names_with_slashes_are_not_mistaken() {
    let _watched = watched();
    let (_bus, kind) = numbers();
    let bus = &_bus;
    let managers = ["a", "a/b", "a%2Fb", "a/b/c"].map(|name| bus.state_manager(name).unwrap());
    let logs = managers.each_ref().map(|manager| {
        note_numbers(manager.all_topic().subscription("all").accept(&kind), Dispatch::Inline, &kind)
    });
    let ids = ["b/c/d", "c/d", "c/d", "d"];
    let publishers: Vec<_> =
        managers.iter().zip(ids).map(|(manager, id)| manager.publisher(id).unwrap()).collect();
    for (n, publisher) in publishers.iter().enumerate() {
        publisher.publish(kind.message(n as u64));
    }
    for (n, (manager, (_, log))) in managers.iter().zip(&logs).enumerate() {
        assert_eq!(number(manager, &kind, ids[n]), Some(n as u64));
        assert_eq!(log.all(), [Some(n as u64)], "{}", manager.name());
        assert_eq!(publishers[n].id(), ids[n]);
    }
    let topics: Vec<_> = publishers.iter().map(|publisher| publisher.topic().name().to_owned()).collect();
    assert_eq!(topics, ["a/b/c/d", "a%2Fb/c/d", "a%252Fb/c/d", "a%2Fb%2Fc/d"]);
}

#[test]
fn errors_name_what_was_wrong() {
    let _watched = watched();
    let (bus, kind, manager) = devices();
    assert_eq!(
        manager.publisher("").unwrap_err(),
        StateError::Id { id: String::new(), why: NameError::Empty }
    );
    let wrong = manager.subscriber("a\nb").unwrap_err().to_string();
    assert!(wrong.contains(r#""a\nb""#) && wrong.contains(r"'\n' at byte 1"), "{wrong}");
    assert!(manager.publisher(&"x".repeat(248)).is_ok());
    let wrong = manager.publisher(&"x".repeat(249)).unwrap_err().to_string();
    assert!(["\"device\"", "249 bytes", "1 to 248"].iter().all(|part| wrong.contains(part)), "{wrong}");
    let node = bus.origin("node").unwrap();
    assert!(manager.publish_by_origin("", node, kind.message(1)).is_err());
    let refused = manager.subscription("a", "s").configure(|builder| builder.capacity(0)).start(|_| {});
    assert!(matches!(refused, Err(StateError::Subscribe(SubscribeError::Capacity { value: 0, .. }))));
    assert!(stasis_bus::Error::from(refused.unwrap_err()).to_string().contains("capacity is 0"));
    assert!(manager.is_empty(), "nothing is left of what was refused");
}

/// What is refused is neither delivered nor stored, and nobody holds the state by it.
#[test]
fn what_is_refused_is_not_stored() {
    let _watched = watched();
    let bus = Bus::builder().decline("declined").build().unwrap();
    let elsewhere = Bus::new().unwrap();
    let (kind, declined) =
        (bus.message_type::<u64>("n").unwrap(), bus.message_type::<u64>("declined").unwrap());
    let foreign = elsewhere.message_type::<u64>("n").unwrap();
    let (manager, node) = (bus.state_manager("device").unwrap(), bus.origin("node").unwrap());
    let publisher = manager.publisher("alice").unwrap();
    publisher.publish(kind.message(1));
    assert_eq!(publisher.publish(declined.message(2)).refusal, Some(Refusal::Declined));
    assert_eq!(publisher.publish(foreign.message(3)).refusal, Some(Refusal::ForeignType));
    let report = manager.publish_by_origin("bob", node, foreign.message(4)).unwrap();
    assert_eq!((report.refusal, manager.exists("bob")), (Some(Refusal::ForeignType), false));
    manager.publish_by_origin("alice", node, kind.message(5)).unwrap();
    end(&bus);
    assert_eq!(publisher.publish(kind.message(6)).refusal, Some(Refusal::Closed));
    let report = manager.remove_origin("alice", node, Some(kind.message(7))).unwrap();
    assert!(report.is_closed() && manager.remove_origin("alice", node, None).is_none());
    assert_eq!(number(&manager, &kind, "alice"), Some(5));
}

/// Reference 2.13: in every mailbox the messages come as they were stored, so that the last one delivered is the state.
#[test]
fn g5_the_last_delivered_is_the_stored_whoever_publishes() {
    const EACH: u64 = 3_000;
    let _watched = watched();
    let (bus, kind, manager) = devices();
    let node = bus.origin("node").unwrap();
    let noted: Vec<_> =
        QUEUED_MODES.iter().map(|&mode| note(&manager, "alice", mode, &kind, false)).collect();
    let of_all: Vec<_> = QUEUED_MODES
        .iter()
        .map(|&mode| note_numbers(manager.all_topic().subscription("all").accept(&kind), mode, &kind))
        .collect();
    let conflated = Log::new();
    let (last, reads) = (conflated.clone(), kind.clone());
    let conflating = manager.all_topic().subscription("conflating").accept(&kind);
    let _conflating = conflating
        .overflow(Overflow::conflate(|_| unreachable!("the state is the key")))
        .start(move |delivery| last.push(delivery.read(&reads).copied()));
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (manager, kind, start) = (&manager, &kind, &start);
            scope.spawn(move || {
                let publisher = manager.publisher("alice").unwrap();
                start.wait();
                for n in 0..EACH {
                    let message = kind.message(thread * EACH + n);
                    match n % 3 {
                        0 => _ = manager.publish_by_origin("alice", node, message).unwrap(),
                        _ => _ = publisher.publish(message),
                    }
                }
            });
        }
    });
    let stored = number(&manager, &kind, "alice").unwrap();
    let total = (4 * EACH) as usize;
    let order = noted[0].1.await_len(total);
    assert_eq!((order.len(), order.last()), (total, Some(&stored)));
    for (_, log) in &noted {
        assert!(log.await_len(total) == order, "another order than the first one's");
    }
    for (_, log) in &of_all {
        assert!(log.await_len(total).into_iter().flatten().eq(order.iter().copied()));
    }
    eventually(|| conflated.all().last() == Some(&Some(stored)));
    drop((noted, of_all));
}

/// A publish from inside a handler of the same state comes after its cause for every mailbox.
#[test]
fn g2_a_publish_in_a_handler_comes_after_its_cause() {
    let _watched = watched();
    let (_bus, kind, manager) = devices();
    let publisher = manager.publisher("alice").unwrap();
    let (queued, log) = note(&manager, "alice", Dispatch::Pool, &kind, false);
    let (echo, reads) = (manager.publisher("alice").unwrap(), kind.clone());
    let answers = manager.subscription("alice", "echo").inline(move |delivery| {
        if let Some(n) = delivery.read(&reads).filter(|&&n| n < 100) {
            echo.publish(reads.message(n + 100));
            assert_eq!(number(&echo.manager(), &reads, "alice"), Some(n + 100));
        }
    });
    for n in 0..50 {
        publisher.publish(kind.message(n));
        assert_eq!(number(&manager, &kind, "alice"), Some(n + 100));
    }
    let expected: Vec<_> = (0..50).flat_map(|n| [n, n + 100]).collect();
    assert_eq!(log.await_len(100), expected);
    drop((answers, queued));
}

/// Block never waits here: the publisher holds the state's lock.
#[test]
fn g7_a_full_mailbox_holds_up_nobody() {
    let _watched = watched();
    let (_bus, kind, manager) = devices();
    let (gate, passes) = (Gate::new(), Gate::new());
    let (closed, entered) = (gate.clone(), passes.clone());
    let reads = kind.clone();
    let slow = manager.subscription("alice", "slow").configure(|builder| {
        builder.accept(&reads).capacity(1).overflow(Overflow::Block(Duration::from_secs(3600)))
    });
    let _slow = slow.start(move |_| {
        entered.open();
        closed.pass();
    });
    let publisher = manager.publisher("alice").unwrap();
    publisher.publish(kind.message(0));
    passes.pass();
    let reports: Vec<_> = (1..10).map(|n| publisher.publish(kind.message(n))).collect();
    assert!(reports.iter().all(|report| report.accepted == 1));
    assert_eq!(reports.iter().map(|report| report.over_capacity).sum::<u32>(), 8);
    gate.open();
}

// ---- beginning with the state ---------------------------------------------------------------------------------------

#[test]
fn g12_a_subscription_begins_with_the_state_in_every_mode() {
    let _watched = watched();
    let (_bus, kind, manager) = devices();
    let publisher = manager.publisher("alice").unwrap();
    for mode in EVERY_MODE {
        publisher.publish(kind.message(1));
        publisher.publish(kind.message(2));
        let (handle, log) = note(&manager, "alice", mode, &kind, true);
        publisher.publish(kind.message(3));
        assert_eq!(log.await_len(2), [2, 3], "{mode}");
        drop(handle);
    }
    let (handle, log) = note(&manager, "bob", Dispatch::Serial, &kind, true);
    assert_eq!(log.len(), 0, "there is no state");
    drop(handle);
}

/// After its own `Subscribe`; not if its filter does not want it; in a mailbox of one.
#[test]
fn g12_the_state_comes_after_subscribe_and_obeys_the_filter() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, other) = (bus.message_type::<u64>("n").unwrap(), bus.message_type::<u64>("other").unwrap());
    let manager = bus.state_manager("device").unwrap();
    let publisher = manager.publisher("alice").unwrap();
    publisher.publish(kind.message(7));
    let log = Log::new();
    let noted = log.clone();
    let note = move |delivery: &Delivery<'_>| {
        noted.push((delivery.message().type_name().to_owned(), delivery.seq()))
    };
    let all = manager.subscription("alice", "all").with_state().start(note.clone()).unwrap();
    let none =
        manager.subscription("alice", "other").with_state().configure(|builder| builder.accept(&other));
    let none = none.start(note).unwrap();
    bus.run_until_idle();
    let change = bus.subscription_changes().name().to_owned();
    let seen = log.all();
    assert_eq!(seen[..2], [(change.clone(), 0), ("n".to_owned(), 1)]);
    assert!(seen[2..].iter().all(|(name, _)| *name == change));
    assert_eq!((all.handle().stats().accepted, none.handle().stats().accepted), (3, 0));
    drop((all, none));
}

/// Subscriptions begin while publishers are at it: each sees the state it found, and then exactly what one that was
/// there from the start saw.
#[test]
fn g12_none_missed_and_none_twice_while_others_publish() {
    let _watched = watched();
    let (_bus, kind, manager) = devices();
    let (first, reference) = note(&manager, "alice", Dispatch::Dedicated, &kind, false);
    let (begun, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let noted = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let publisher = manager.publisher("alice").unwrap();
                while !begun.load(Ordering::Relaxed) {
                    publisher.publish(kind.message(next.fetch_add(1, Ordering::Relaxed)));
                    thread::yield_now();
                }
            });
        }
        let begin = |round| {
            let before = next.load(Ordering::Relaxed);
            eventually(|| next.load(Ordering::Relaxed) > before);
            let mode = EVERY_MODE[round % EVERY_MODE.len()];
            (mode, note(&manager, "alice", mode, &kind, true))
        };
        let noted: Vec<_> = (0..30).map(begin).collect();
        begun.store(true, Ordering::Relaxed);
        noted
    });
    let whole = reference.await_len(next.load(Ordering::Relaxed) as usize);
    for (mode, (_, log)) in &noted {
        eventually(|| log.all().last() == whole.last());
        let seen = log.all();
        assert!(whole.ends_with(&seen), "{mode}: not the end of what the first one saw: {seen:?}");
    }
    drop((noted, first));
}
