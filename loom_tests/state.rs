//! State managers, by the public interface, in manual mode: who holds a state, and the order in which it is stored and
//! delivered.

use super::{Plain, Witness, explore};
use crate::sync::Arc;
use crate::{Bus, Delivery, Dispatch, MessageType, StateManager, Subscription};
use loom::thread::spawn;

struct Model {
    bus: Bus,
    kind: MessageType<u8>,
    states: StateManager,
}

type Seen = Arc<Plain<Vec<u8>>>;

impl Model {
    fn new() -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let (kind, states) = (bus.message_type("model").unwrap(), bus.state_manager("model").unwrap());
        Self { bus, kind, states }
    }

    fn noting(&self) -> (impl FnMut(&Delivery<'_>) + Send + 'static, Seen) {
        let (seen, kind) = (Seen::new(Plain::new(Vec::new())), self.kind.clone());
        let shown = seen.clone();
        (move |delivery: &Delivery<'_>| shown.write(|seen| seen.extend(delivery.read(&kind))), seen)
    }

    /// Everything that is published on any state.
    fn listen(&self) -> (Subscription, Seen) {
        let (handler, seen) = self.noting();
        let builder = self.states.all_topic().subscription("all").accept(&self.kind).capacity(4);
        (builder.dispatch(Dispatch::Pool).start(handler).unwrap(), seen)
    }

    fn last(&self) -> Option<u8> {
        self.states.last("s").and_then(|message| self.kind.read(&message).copied())
    }

    fn seen(&self, seen: &Seen) -> Vec<u8> {
        self.bus.run_until_idle();
        seen.read(Vec::clone)
    }
}

static STAYED: Witness = Witness::new();
static MADE_AGAIN: Witness = Witness::new();

/// The last holder leaves as another comes: either the state stays, with its message, or it is a new one; what is
/// published by then is found.
#[test]
fn last_holder_leaves_as_another_comes() {
    explore(3, || {
        let model = Model::new();
        let (_all, seen) = model.listen();
        let old = model.states.publisher("s").unwrap();
        old.publish(model.kind.message(1));
        let leaving = spawn(move || drop(old));
        let new = model.states.publisher("s").unwrap();
        match new.last() {
            Some(_) => STAYED.see(),
            None => MADE_AGAIN.see(),
        }
        new.publish(model.kind.message(2));
        assert_eq!(model.last(), Some(2), "a twin");
        leaving.join().unwrap();
        assert_eq!((model.last(), model.states.len()), (Some(2), 1));
        assert_eq!(model.seen(&seen), [1, 2]);
        drop(new);
        assert!(model.states.is_empty());
    });
    assert!(STAYED.was_seen() && MADE_AGAIN.was_seen());
}

/// Two new holders of one name have one state.
#[test]
fn two_holders_come_at_once() {
    explore(3, || {
        let model = Model::new();
        let states = model.states.clone();
        let coming = spawn(move || states.publisher("s").unwrap());
        let here = model.states.subscriber("s").unwrap();
        let publisher = coming.join().unwrap();
        publisher.publish(model.kind.message(1));
        assert!(here.last().is_some(), "a twin");
        drop(publisher);
        assert_eq!(model.last(), Some(1));
        drop(here);
        assert!(model.states.is_empty());
    });
}

static FIRST: Witness = Witness::new();
static SECOND: Witness = Witness::new();

/// Two publishers of one state: the last one delivered is the one stored.
#[test]
fn stored_is_what_is_delivered_last() {
    explore(3, || {
        let model = Model::new();
        let (_all, seen) = model.listen();
        let (one, other) = (model.states.publisher("s").unwrap(), model.states.publisher("s").unwrap());
        let kind = model.kind.clone();
        let publishing = spawn(move || {
            one.publish(kind.message(1));
            one
        });
        other.publish(model.kind.message(2));
        let one = publishing.join().unwrap();
        let last = model.last();
        if last == Some(1) { &FIRST } else { &SECOND }.see();
        let seen = model.seen(&seen);
        assert_eq!((seen.len(), seen.last().copied()), (2, last));
        drop((one, other));
    });
    assert!(FIRST.was_seen() && SECOND.was_seen());
}

static BEFORE: Witness = Witness::new();
static AFTER: Witness = Witness::new();

/// A subscription begins with the state as another one is published: it sees that one once, and the old one only
/// before it.
#[test]
fn subscription_begins_as_another_is_published() {
    explore(3, || {
        let model = Model::new();
        let publisher = model.states.publisher("s").unwrap();
        publisher.publish(model.kind.message(1));
        let kind = model.kind.clone();
        let publishing = spawn(move || {
            publisher.publish(kind.message(2));
            publisher
        });
        let (handler, seen) = model.noting();
        let accepted = model.kind.clone();
        let builder = model.states.subscription("s", "late").with_state();
        let late = builder.configure(move |builder| builder.accept(&accepted).capacity(2)).start(handler);
        let publisher = publishing.join().unwrap();
        let seen = model.seen(&seen);
        assert!(seen == [1, 2] || seen == [2], "{seen:?}");
        if seen.len() == 2 { &BEFORE } else { &AFTER }.see();
        drop((publisher, late));
    });
    assert!(BEFORE.was_seen() && AFTER.was_seen());
}

static KEPT: Witness = Witness::new();
static REMOVED: Witness = Witness::new();

/// An origin is removed as it publishes: what comes last decides whether the state is there, and what was delivered
/// last is what is stored in it.
#[test]
fn origin_is_removed_as_it_publishes() {
    explore(3, || {
        let model = Model::new();
        let (_all, seen) = model.listen();
        let node = model.bus.origin("node").unwrap();
        model.states.publish_by_origin("s", node, model.kind.message(1)).unwrap();
        let (states, kind) = (model.states.clone(), model.kind.clone());
        let publishing = spawn(move || states.publish_by_origin("s", node, kind.message(2)).unwrap());
        assert!(model.states.remove_origin("s", node, Some(model.kind.message(3))).is_some());
        publishing.join().unwrap();
        let seen = model.seen(&seen);
        match model.states.exists("s") {
            true => {
                KEPT.see();
                assert_eq!((seen, model.last()), (vec![1, 3, 2], Some(2)));
                assert!(model.states.remove_origin("s", node, None).is_some());
            }
            false => {
                REMOVED.see();
                assert_eq!(seen, [1, 2, 3]);
            }
        }
        assert!(model.states.is_empty());
    });
    assert!(KEPT.was_seen() && REMOVED.was_seen());
}
