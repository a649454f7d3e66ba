//! How long entries of a cache live: a lease that goes against a newer one that publishes; who watches, against who publishes
//! and against the end; a state that is written against the look for old ones. The public bus in manual mode.

use super::one_entry::{Model, assert_chain};
use super::{Witness, explore, go_one_way};
use crate::sync::Arc;
use crate::topic::exchange::Phase;
use crate::{Dispatch, MessageType, Watch};
use loom::future::block_on;
use loom::thread::spawn;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake};
use std::time::Duration;

/// A lease goes while its successor is made and publishes: what that one publishes stands, and goes with it.
#[test]
fn lease_that_goes_against_a_newer_one() {
    explore(2, || {
        let model = Model::new();
        let (told, seen) = model.told(Dispatch::Serial);
        let old = model.cached.lease(&model.kind, "one").unwrap();
        old.publish(1);
        let gone = spawn(move || drop(old));
        let new = model.cached.lease(&model.kind, "one").unwrap();
        new.publish(2);
        assert_eq!(model.number(), Some(2));
        gone.join().unwrap();
        go_one_way();
        assert_eq!(model.number(), Some(2));
        drop(new);
        assert_eq!(model.number(), None);
        assert_chain(&seen, None);
        drop(told);
    });
}

/// A lease goes while somebody publishes another way: what it takes out is the state that stood, in its place in the
/// chain, and what comes after it stays.
#[test]
fn lease_that_goes_against_an_update() {
    static CLEARED: Witness = Witness::new();
    static STAYED: Witness = Witness::new();
    explore(2, || {
        let model = Model::new();
        let (told, seen) = model.told(Dispatch::Pool);
        let lease = model.cached.lease(&model.kind, "one").unwrap();
        lease.publish(1);
        let (topic, kind) = (model.topic.clone(), model.kind.clone());
        let other = spawn(move || _ = topic.publish(kind.message(2)));
        drop(lease);
        other.join().unwrap();
        go_one_way();
        model.bus.run_until_idle();
        let stands = model.number();
        match stands {
            None => &CLEARED,
            Some(2) => &STAYED,
            other => panic!("{other:?} stands, which was replaced"),
        }
        .see();
        assert_chain(&seen, stands);
        drop(told);
    });
    assert!(CLEARED.was_seen() && STAYED.was_seen());
}

/// Waits for one change of the entry, and reads the number that it gives.
fn next(watch: &mut Watch, kind: &MessageType<u8>) -> Option<u8> {
    let changed = block_on(watch.changed()).expect("the bus stands");
    changed.and_then(|message| kind.read(&message).copied())
}

/// A task begins to wait while somebody publishes: a change that nobody is woken for would leave it there for ever.
#[test]
fn no_change_is_slept_through() {
    explore(2, || {
        let model = Model::new();
        let mut watch = model.cache.watch(&model.kind, "one").unwrap();
        let (topic, kind) = (model.topic.clone(), model.kind.clone());
        let publisher = spawn(move || _ = topic.publish(kind.message(1)));
        assert_eq!(next(&mut watch, &model.kind), Some(1));
        assert_eq!(model.number(), Some(1), "what was told is found");
        publisher.join().unwrap();
        go_one_way();
    });
}

/// Notes that it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One waits for an entry to change, and another begins to while somebody publishes: the change wakes both.
#[test]
fn one_change_wakes_all_who_watch() {
    explore(2, || {
        let model = Model::new();
        let watch = || model.cache.watch(&model.kind, "one").unwrap();
        let (mut ours, mut theirs, woken) = (watch(), watch(), Arc::new(Woken::default()));
        let waker = woken.clone().into();
        let mut waits = pin!(theirs.changed());
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let (topic, kind) = (model.topic.clone(), model.kind.clone());
        let publisher = spawn(move || _ = topic.publish(kind.message(1)));
        assert_eq!(next(&mut ours, &model.kind), Some(1));
        publisher.join().unwrap();
        go_one_way();
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    });
}

/// The only one who watches an entry leaves while another begins to: that one is told of the next change all the same.
#[test]
fn who_leaves_takes_no_other_watch_along() {
    explore(3, || {
        let model = Model::new();
        let leaves = model.cache.watch(&model.kind, "one").unwrap();
        let (cache, kind) = (model.cache.clone(), model.kind.clone());
        let comes = spawn(move || cache.watch(&kind, "one").unwrap());
        drop(leaves);
        let mut stays = comes.join().unwrap();
        model.publish(1);
        let now = stays.get().and_then(|message| model.kind.read(&message).copied());
        assert_eq!(now, Some(1), "it watches what is the entry's no more");
        assert_eq!(next(&mut stays, &model.kind), Some(1));
    });
}

/// The bus ends while a watch is made and a task begins to wait: it is told.
#[test]
fn end_reaches_who_watches() {
    explore(2, || {
        let model = Model::new();
        let exchange = model.bus.exchange().clone();
        let end = spawn(move || {
            exchange.enter_phase(Phase::Over);
            exchange.tell_of_end();
        });
        let mut watch = model.cache.watch(&model.kind, "one").unwrap();
        assert!(block_on(watch.changed()).is_err());
        end.join().unwrap();
    });
}

/// A worker looks for states whose time is over while one is written: that one expires in its own time, though the look may
/// have been past it, and its writer may have found the alarm set.
#[test]
fn state_written_during_the_look_expires() {
    static LATER: Witness = Witness::new();
    const TTL: Duration = Duration::from_millis(1);
    explore(2, || {
        let model = Model::with(|builder, _| builder.ttl(TTL));
        model.publish(1);
        model.bus.advance(TTL);
        let bus = model.bus.clone();
        let worker = spawn(move || bus.run_until_idle());
        model.publish(2);
        worker.join().unwrap();
        go_one_way();
        assert_eq!(model.number(), Some(2), "its time is not over");
        model.bus.advance(TTL);
        model.bus.run_until_idle();
        assert_eq!(model.number(), None, "it is forgotten");
        if model.cache.stats().expired == 2 {
            LATER.see();
        }
    });
    assert!(LATER.was_seen());
}
