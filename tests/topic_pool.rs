//! Topic pools: members by either name, forwarded once, gone when nobody uses them, and never twice.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Dispatch, NameError, PoolError, Topic, TopicPool};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

fn names(pool: &TopicPool) -> Vec<String> {
    pool.members().iter().map(|member| member.name().to_owned()).collect()
}

#[test]
fn members_are_made_once_named_after_the_pool_and_forwarded_to_it() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let pool = bus.topic_pool("calls").unwrap();
    let (_all, log) = note_numbers(pool.topic().subscription("all").accept(&kind), Dispatch::Inline, &kind);
    let alice = pool.member("alice").unwrap();
    assert_eq!((pool.name(), alice.name()), ("calls", "calls/alice"));
    assert!(
        alice.is_same(&pool.member("alice").unwrap()) && alice.is_same(&bus.topic("calls/alice").unwrap())
    );
    let bob = pool.member("bob").unwrap();
    assert_eq!((alice.publish(kind.message(1)).accepted, bob.publish(kind.message(2)).accepted), (1, 1));
    assert_eq!(log.all(), [Some(1), Some(2)], "once each, however often the member was asked for");
    assert_eq!(alice.stats().forwards, 1);
    assert_eq!((pool.len(), pool.is_empty()), (2, false));
    assert_eq!(names(&pool), ["calls/alice", "calls/bob"]);
    end(&bus);
}

#[test]
fn two_pools_of_one_topic_are_one() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let (one, other) = (bus.topic_pool("calls").unwrap(), TopicPool::new(&bus.topic("calls").unwrap()));
    let alice = one.member("alice").unwrap();
    assert!(other.member("alice").unwrap().is_same(&alice) && other.exists("alice"));
    assert_eq!((alice.stats().forwards, other.len()), (1, 1));
    assert!(other.delete("alice") && !one.exists("alice"));
    assert_eq!(format!("{one:?}"), "TopicPool { name: \"calls\", members: 0 }");
}

#[test]
fn names_are_case_sensitive() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let pool = bus.topic_pool("calls").unwrap();
    let (upper, lower) = (pool.member("Alice").unwrap(), pool.member("alice").unwrap());
    assert!(!upper.is_same(&lower) && pool.len() == 2);
    assert!(pool.delete("alice") && pool.exists("Alice") && !pool.delete("ALICE"));
    assert!(!pool.exists("Calls/Alice"), "not this pool's name");
}

/// Its own name or its topic's, in every call; a name that merely begins like the pool's is a member's own.
#[test]
fn either_name_does_and_none_is_mistaken() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let pool = bus.topic_pool("call").unwrap();
    let held: Vec<_> =
        ["er", "caller", "call", "callxer", "1/2"].map(|name| pool.member(name).unwrap()).into();
    assert_eq!(names(&pool), ["call/1/2", "call/call", "call/caller", "call/callxer", "call/er"]);
    assert!(pool.member("call/er").unwrap().is_same(&held[0]));
    assert!(pool.delete("caller"), "not 'er', and not 'ller'");
    assert_eq!(names(&pool), ["call/1/2", "call/call", "call/callxer", "call/er"]);
    assert!(pool.delete("callxer") && pool.exists("er") && pool.exists("call/er"));
    assert!(pool.delete("call/er") && !pool.exists("er"));
    assert!(pool.delete("call") && pool.delete("call/1/2") && !pool.delete("call/1/2"));
    assert!(pool.is_empty());
    // A member whose own name is that of another's topic has its own topic, reached by that topic's name.
    let (plain, odd) = (pool.member("x").unwrap(), pool.member("call/call/x").unwrap());
    assert_eq!((plain.name(), odd.name()), ("call/x", "call/call/x"));
    assert!(pool.delete("call/call/x") && pool.exists("x") && pool.delete("call/x") && pool.is_empty());
}

#[test]
fn only_members_are_found() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let pool = bus.topic_pool("calls").unwrap();
    let stranger = bus.topic("calls/alice").unwrap();
    assert!(!pool.exists("alice") && pool.find("alice").is_none() && !pool.delete("alice"));
    assert!(pool.is_empty() && pool.members().is_empty());
    assert!(pool.member("alice").unwrap().is_same(&stranger), "now it is one");
    assert!(pool.find("calls/alice").unwrap().is_same(&stranger));
}

#[test]
fn errors_name_what_was_wrong() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let pool = bus.topic_pool("calls").unwrap();
    let text = |name: &str| pool.member(name).unwrap_err().to_string();
    assert_eq!(
        pool.member("").unwrap_err(),
        PoolError::Name { member: String::new(), why: NameError::Empty }
    );
    assert!(text("calls/").contains("empty"), "only the pool's");
    let wrong = text("a\nb");
    assert!(wrong.contains(r#""a\nb""#) && wrong.contains(r"'\n' at byte 1"), "{wrong}");
    assert!(pool.member(&"x".repeat(249)).is_ok());
    for bytes in [250, 300] {
        let wrong = text(&"x".repeat(bytes));
        let parts = ["\"calls\"", &bytes.to_string(), "1 to 249"];
        assert!(parts.iter().all(|part| wrong.contains(part)), "{wrong}");
    }
    let long = bus.topic_pool(&"p".repeat(254)).unwrap();
    assert!(long.member("x").unwrap_err().to_string().contains("254 bytes"));
    assert!(stasis_bus::Error::from(pool.member("").unwrap_err()).to_string().contains("member \"\""));
    assert_eq!(bus.topic_pool("").unwrap_err(), NameError::Empty);
    assert!(!pool.exists("") && !pool.delete("a\nb"));
}

/// A member lives while anything but the pool's forward uses it.
#[test]
fn members_go_with_their_last_user() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let pool = bus.topic_pool("calls").unwrap();
    let gone = || !pool.exists("m") && pool.is_empty() && bus.find_topic("calls/m").is_none();
    // Its handles.
    let member = pool.member("m").unwrap();
    let clone = member.clone();
    drop(member);
    assert!(!gone());
    drop(clone);
    assert!(gone());
    // Its subscriptions, to the end of the final call.
    for mode in EVERY_MODE {
        let listener = listen(pool.member("m").unwrap().subscription("s").accept(&kind), mode, |_| {});
        assert!(pool.exists("m") && pool.len() == 1, "{mode}");
        drop(listener);
        eventually(gone);
    }
    // Other forwards, in either direction, to the pool's topic too.
    let other = bus.topic("other").unwrap();
    for (from, to) in [("calls/m", "other"), ("other", "calls/m"), ("calls/m", "calls")] {
        let member = pool.member("m").unwrap();
        let edge = bus.topic(from).unwrap().forward_to(&bus.topic(to).unwrap()).unwrap();
        drop(member);
        assert!(pool.exists("m"), "{from} -> {to}");
        edge.cancel();
        assert!(gone(), "{from} -> {to}");
    }
    drop(other);
    // A member keeps its pool's topic.
    let member = pool.member("m").unwrap();
    drop(pool);
    assert!(bus.find_topic("calls").is_some());
    drop(member);
    assert!(bus.topics().is_empty());
    end(&bus);
}

/// The pool's forward and a user's between the same two topics are one edge, and each has its own end.
#[test]
fn g1_the_pools_forward_and_a_users_reach_once_and_end_apart() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let pool = bus.topic_pool("calls").unwrap();
    let (_all, log) = note_numbers(pool.topic().subscription("all").accept(&kind), Dispatch::Inline, &kind);
    let alice = pool.member("alice").unwrap();
    let edge = alice.forward_to(pool.topic()).unwrap();
    alice.publish(kind.message(1));
    drop(edge);
    alice.publish(kind.message(2));
    let edge = alice.forward_to(pool.topic()).unwrap();
    assert!(pool.delete("alice"));
    alice.publish(kind.message(3));
    drop(edge);
    alice.publish(kind.message(4));
    assert_eq!(log.all(), [Some(1), Some(2), Some(3)]);
    assert_eq!(alice.stats().forwards, 0);
}

/// Reference 2.9: who still listens on a deleted member hears what is published on the next one of that name.
#[test]
fn g1_a_member_made_again_is_never_a_dead_twin() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let pool = bus.topic_pool("mwi").unwrap();
    let (_all, all) = note_numbers(pool.topic().subscription("all").accept(&kind), Dispatch::Inline, &kind);
    for mode in EVERY_MODE {
        let before = all.len();
        let (listener, log) =
            note_numbers(pool.member("alice").unwrap().subscription("s").accept(&kind), mode, &kind);
        assert!(pool.delete("alice") && !pool.exists("alice") && !pool.delete("alice"));
        let deleted = bus.find_topic("mwi/alice").expect("the subscription keeps it");
        deleted.publish(kind.message(1));
        let again = pool.member("alice").unwrap();
        assert!(again.is_same(&deleted));
        // The one of the mode before may still be going.
        eventually(|| pool.len() == 1);
        again.publish(kind.message(2));
        assert_eq!(log.await_len(2), [Some(1), Some(2)], "{mode}");
        assert_eq!(all.all()[before..], [Some(2)], "{mode}: forwarded again, and not while it was deleted");
        drop((deleted, again, listener));
        eventually(|| !pool.exists("alice"));
    }
}

/// All who ask for one name at the same moment get one topic, whose publishes all arrive once.
#[test]
fn g1_concurrent_creation_gives_one_topic_to_all() {
    const THREADS: usize = 4;
    let _watched = watched();
    let (bus, kind) = numbers();
    let pool = bus.topic_pool("calls").unwrap();
    let heard = Arc::new(AtomicU64::new(0));
    let counter = heard.clone();
    let _all = pool.topic().subscription("all").accept(&kind).inline(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    for round in 0..500 {
        let (name, start) = (format!("call-{round}"), Barrier::new(THREADS));
        let topics: Vec<Topic> = thread::scope(|scope| {
            let ask = || {
                start.wait();
                let topic = pool.member(&name).unwrap();
                topic.publish(kind.message(round));
                topic
            };
            let asking: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(topics.iter().all(|topic| topic.is_same(&topics[0])));
        assert_eq!((topics[0].stats().forwards, pool.len()), (1, 1));
        assert_eq!(heard.swap(0, Ordering::Relaxed), THREADS as u64, "each arrived once");
    }
}

/// Members are asked for, used, deleted and dropped by all threads at once. Whoever holds one holds the only one of
/// that name; nothing is left at the end.
#[test]
fn g1_creation_against_delete_and_last_drop() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let pool = bus.topic_pool("calls").unwrap();
    thread::scope(|scope| {
        for thread in 0..3 {
            let (bus, pool) = (&bus, &pool);
            scope.spawn(move || {
                for round in 0..10_000 {
                    let name = ["a", "b"][round % 2];
                    let member = pool.member(name).unwrap();
                    let again = pool.member(name).unwrap();
                    assert!(again.is_same(&member), "a twin");
                    assert!(bus.find_topic(member.name()).expect("held by this thread").is_same(&member));
                    if (round + thread) % 3 == 0 {
                        pool.delete(name);
                    }
                    // Each thread has one in hand or is just dropping it; that one counts to its end.
                    assert!(member.stats().forwards <= 1 && pool.len() <= 3);
                }
            });
        }
    });
    assert_eq!((pool.len(), bus.topics().len()), (0, 1));
}

/// While nobody deletes it, a member that is held is forwarded, whoever makes and drops it at the same time.
#[test]
fn g1_a_member_in_hand_is_forwarded() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let pool = bus.topic_pool("calls").unwrap();
    let _all = pool.topic().subscription("all").accept(&kind).inline(|_| {}).unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    assert!(pool.member("raced").unwrap().publish(kind.message(1)).reached());
                }
            });
        }
    });
    assert!(pool.is_empty());
}
