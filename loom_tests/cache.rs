//! Two writers of one key of a cache, with the public bus in manual mode: the order of the swaps is the order of the
//! updates, and what has been told, or published, is found.

use super::one_entry::{Model, Updates, assert_chain};
use super::{Plain, Witness, explore, go_one_way};
use crate::sync::Arc;
use crate::{Dispatch, Message, MessageType, Overflow, Subscription};
use loom::thread::spawn;
use std::sync::atomic::{AtomicBool, Ordering};

fn sum(kind: &MessageType<u8>) -> impl Fn(&crate::CacheEntry<'_>) -> Option<Message> + use<> {
    let kind = kind.clone();
    move |entry| {
        let states = entry.local().into_iter().chain(entry.remotes());
        let sum = states.filter_map(|message| kind.read(message)).sum();
        Some(kind.build(sum).aggregate().finish())
    }
}

/// Two publish the same key: the updates are in the order of the swaps.
#[test]
fn updates_come_in_the_order_of_the_swaps() {
    static OURS_LAST: Witness = Witness::new();
    static THEIRS_LAST: Witness = Witness::new();
    explore(2, || {
        let model = Model::new();
        let (_told, seen) = model.told(Dispatch::Pool);
        // It is ready to run, and is not run before the end: to tell it more takes a push and no waking.
        model.publish(1);
        let (theirs, topic) = (model.kind.message(2), model.topic.clone());
        let published = theirs.clone();
        let other = spawn(move || _ = topic.publish(published));
        model.publish(3);
        let stands = model.number();
        other.join().unwrap();
        go_one_way();
        drop(theirs);
        model.bus.run_until_idle();
        let last = model.number();
        if last == Some(3) { &OURS_LAST } else { &THEIRS_LAST }.see();
        assert!(stands == Some(3) || stands == last, "a write was undone");
        assert_eq!(assert_chain(&seen, last), 3);
    });
    assert!(OURS_LAST.was_seen() && THEIRS_LAST.was_seen());
}

/// A Serial handler that is told of a key publishes it, while another thread does.
#[test]
fn updates_come_in_order_though_a_handler_publishes() {
    static NESTED_LAST: Witness = Witness::new();
    static THEIRS_LAST: Witness = Witness::new();
    explore(2, || {
        let model = Model::new();
        let (topic, ours, theirs) = (model.topic.clone(), model.kind.message(2), model.kind.message(3));
        let published = theirs.clone();
        let mut states = Some((ours, published));
        let (_told, seen) = model.told_and(Dispatch::Serial, move |_, _| {
            let Some((ours, theirs)) = states.take() else { return };
            let other = {
                let topic = topic.clone();
                spawn(move || _ = topic.publish(theirs))
            };
            topic.publish(ours);
            other.join().unwrap();
        });
        model.publish(1);
        drop(theirs);
        let last = model.number();
        if last == Some(2) { &NESTED_LAST } else { &THEIRS_LAST }.see();
        assert_eq!(assert_chain(&seen, last), 3);
    });
    assert!(NESTED_LAST.was_seen() && THEIRS_LAST.was_seen());
}

/// Who is told of a key and keeps only the latest, and what it is told that it missed.
fn conflated(model: &Model) -> (Subscription, Updates, Arc<Plain<u64>>) {
    let missed = Arc::new(Plain::new(0));
    let counts = missed.clone();
    let (told, seen) = model.told_by(
        |listens| listens.overflow(Overflow::conflate_by_entry()),
        move |delivery, _| counts.write(|missed| *missed += delivery.missed()),
    );
    (told, seen, missed)
}

/// Two publish the same key, of which nobody takes what waits: one update, from nothing to what stands.
#[test]
fn conflated_updates_of_two_publishers_are_one() {
    static OURS_LAST: Witness = Witness::new();
    static THEIRS_LAST: Witness = Witness::new();
    explore(2, || {
        let model = Model::new();
        let (_told, seen, missed) = conflated(&model);
        model.publish(1);
        let (theirs, topic) = (model.kind.message(2), model.topic.clone());
        let published = theirs.clone();
        let other = spawn(move || _ = topic.publish(published));
        model.publish(3);
        other.join().unwrap();
        go_one_way();
        drop(theirs);
        model.bus.run_until_idle();
        let last = model.number();
        if last == Some(3) { &OURS_LAST } else { &THEIRS_LAST }.see();
        assert_eq!(assert_chain(&seen, last), 1);
        missed.read(|missed| assert_eq!(*missed, 2));
    });
    assert!(OURS_LAST.was_seen() && THEIRS_LAST.was_seen());
}

/// A publish replaces an update of its key while another thread takes it: it is in the one taken, or in another one after
/// it. The chain has no gap either way, and what was replaced is told.
#[test]
fn conflated_updates_are_a_chain() {
    static ONE: Witness = Witness::new();
    static TWO: Witness = Witness::new();
    explore(3, || {
        let model = Model::new();
        let (_told, seen, missed) = conflated(&model);
        model.publish(1);
        model.publish(2);
        let exchange = model.bus.exchange().clone();
        let owner = spawn(move || _ = exchange.pool.run_until_idle());
        model.publish(3);
        owner.join().unwrap();
        go_one_way();
        model.bus.run_until_idle();
        let calls = assert_chain(&seen, Some(3));
        if calls == 1 { &ONE } else { &TWO }.see();
        missed.read(|missed| assert_eq!(calls as u64 + missed, 3));
    });
    assert!(ONE.was_seen() && TWO.was_seen());
}

static TOLD_BEFORE_IT_RETURNED: Witness = Witness::new();

/// Whoever is told of an update finds it in the cache, though its publish has not returned.
#[test]
fn what_is_told_is_found() {
    explore(2, || {
        let model = Model::new();
        let (cache, kind) = (model.cache.clone(), model.kind.clone());
        let returned = Arc::new(AtomicBool::new(false));
        let has_returned = returned.clone();
        let (_told, seen) = model.told_and(Dispatch::Pool, move |_, told| {
            let found = cache.get(&kind, "one").and_then(|message| kind.read(&message).copied());
            assert!(found >= told, "told of {told:?}, found {found:?}");
            if !has_returned.load(Ordering::Relaxed) {
                TOLD_BEFORE_IT_RETURNED.see();
            }
        });
        let bus = model.bus.clone();
        let reader = spawn(move || _ = bus.run_until_idle());
        model.publish(1);
        returned.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        go_one_way();
        model.bus.run_until_idle();
        assert_eq!(assert_chain(&seen, Some(1)), 1);
    });
    assert!(TOLD_BEFORE_IT_RETURNED.was_seen());
}

static COMPUTED_BY_THEM: Witness = Witness::new();

/// Two origins of one object: whoever's publish has returned finds itself in the aggregate, and no aggregate that was
/// computed earlier takes the place of a later one.
#[test]
fn aggregates_do_not_go_stale() {
    explore(1, || {
        let model = Model::with(|builder, kind| builder.aggregate(sum(kind)));
        let aggregate = {
            let (cache, kind) = (model.cache.clone(), model.kind.clone());
            move || cache.get_aggregate(&kind, "one").and_then(|message| kind.read(&message).copied())
        };
        let (topic, kind, origin, theirs) =
            (model.topic.clone(), model.kind.clone(), model.bus.origin("other").unwrap(), aggregate.clone());
        let other = spawn(move || {
            topic.publish(kind.build(1).origin(origin).finish());
            let seen = theirs();
            assert!(matches!(seen, Some(1 | 3)), "{seen:?}");
        });
        model.publish(2);
        match aggregate() {
            Some(2) => {}
            Some(3) => COMPUTED_BY_THEM.see(),
            seen => panic!("{seen:?}"),
        }
        other.join().unwrap();
        go_one_way();
        assert_eq!(aggregate(), Some(3));
    });
    assert!(COMPUTED_BY_THEM.was_seen());
}
