//! The walk gate (T1), with the topic's own lists and walks: unsubscribing inline handlers against publishes, by the topic
//! and by publishers. The light barrier is a fence here, as the heavy one: what is modelled is where they stand.

use super::{Plain, Witness, ending, explore, profile};
use crate::mailbox::{Arrival, Filter, Inline};
use crate::message::{EndReason, MessageType};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::topic::TopicCore;
use crate::topic::walk::Walk;
use crate::{Bus, Topic};
use loom::thread::spawn;

/// What a handler uses, and frees at its end: plain, so the final has to be ordered after every call.
struct Used {
    open: Plain<bool>,
    /// A place for loom to change threads at, inside a call.
    calls: AtomicUsize,
}

impl Used {
    fn new() -> Arc<Self> {
        Arc::new(Self { open: Plain::new(true), calls: AtomicUsize::new(0) })
    }

    fn call(&self, arrival: &Arrival<'_>) {
        if arrival.told.end.is_some() {
            self.open.write(|open| assert!(std::mem::replace(open, false), "a second final"));
        } else {
            self.open.read(|&open| {
                assert!(open, "a call after the final one");
                self.calls.fetch_add(1, Ordering::Relaxed);
            });
        }
    }

    /// To be asked when all threads are done.
    fn check_ended(&self) {
        assert!(!self.open.read(|&open| open), "no final");
    }
}

/// A topic with inline handlers, and what they use.
struct Model {
    topic: Topic,
    kind: MessageType<u8>,
    _bus: Bus,
}

impl Model {
    fn new() -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let (topic, kind) = (bus.topic("model").unwrap(), bus.message_type("model").unwrap());
        Self { topic, kind, _bus: bus }
    }

    fn subscribe(&self) -> (Arc<Inline>, Arc<Used>) {
        let used = Used::new();
        let handler = used.clone();
        let call = Box::new(move |arrival: &Arrival<'_>| handler.call(arrival));
        let inline = Arc::new(Inline::new(profile(), call, ending()));
        self.topic.core().add_inline(Filter::all(), inline.clone());
        (inline, used)
    }

    /// What a thread needs to publish.
    fn publisher(&self) -> impl Fn() + 'static {
        let (core, kind) = (self.topic.core().clone(), self.kind.clone());
        move || {
            let _ = Walk::from(&core).publish(kind.message(1));
        }
    }

    /// The same by a seat.
    fn seated_publisher(&self) -> impl FnMut() + 'static {
        let (mut publisher, message) = (self.topic.publisher(), self.kind.message(1));
        move || {
            let _ = publisher.republish(&message);
        }
    }
}

/// As a member's end does it.
fn unsubscribe(core: &TopicCore, inline: &Arc<Inline>) {
    inline.close(EndReason::Unsubscribed);
    if let Some(gate) = core.remove_inline(inline, || ()) {
        core.drain(gate);
    }
}

/// A walk is under way, about to begin, or over: the final comes after its calls, once.
#[test]
fn walk_against_unsubscribe() {
    static CALLED: Witness = Witness::new();
    static NOT_CALLED: Witness = Witness::new();
    explore(6, || {
        let model = Model::new();
        let (inline, used) = model.subscribe();
        let publish = model.publisher();
        let publisher = spawn(publish);
        unsubscribe(model.topic.core(), &inline);
        publisher.join().unwrap();
        used.check_ended();
        if used.calls.load(Ordering::Relaxed) > 0 { &CALLED } else { &NOT_CALLED }.see();
    });
    assert!(CALLED.was_seen() && NOT_CALLED.was_seen());
}

/// Two walks, one after the other, and one on another thread.
#[test]
fn walks_against_unsubscribe() {
    explore(3, || {
        let model = Model::new();
        let (inline, used) = model.subscribe();
        let (first, second) = (model.publisher(), model.publisher());
        let walkers = [spawn(move || (first(), first()).0), spawn(second)];
        unsubscribe(model.topic.core(), &inline);
        for walker in walkers {
            walker.join().unwrap();
        }
        used.check_ended();
    });
}

/// Two unsubscribe while a walk goes on over a list that has both: the later gate waits for the earlier one.
#[test]
fn walk_against_two_unsubscribes() {
    explore(3, || {
        let model = Model::new();
        let ((x, x_used), (y, y_used)) = (model.subscribe(), model.subscribe());
        let walker = spawn(model.publisher());
        let core = model.topic.core().clone();
        let other = spawn(move || unsubscribe(&core, &x));
        unsubscribe(model.topic.core(), &y);
        other.join().unwrap();
        walker.join().unwrap();
        x_used.check_ended();
        y_used.check_ended();
    });
}

/// The same by one thread, with more preemptions: a walk of the first list holds the second gate as well.
#[test]
fn walk_against_two_unsubscribes_in_a_row() {
    explore(6, || {
        let model = Model::new();
        let ((x, x_used), (y, y_used)) = (model.subscribe(), model.subscribe());
        let walker = spawn(model.publisher());
        unsubscribe(model.topic.core(), &x);
        unsubscribe(model.topic.core(), &y);
        walker.join().unwrap();
        x_used.check_ended();
        y_used.check_ended();
    });
}

/// As `walk_against_unsubscribe`, by a publisher that has its list and its seat.
#[test]
fn publisher_against_unsubscribe() {
    static CALLED: Witness = Witness::new();
    static NOT_CALLED: Witness = Witness::new();
    explore(5, || {
        let model = Model::new();
        let (inline, used) = model.subscribe();
        let publisher = spawn(model.seated_publisher());
        unsubscribe(model.topic.core(), &inline);
        publisher.join().unwrap();
        used.check_ended();
        if used.calls.load(Ordering::Relaxed) > 0 { &CALLED } else { &NOT_CALLED }.see();
    });
    assert!(CALLED.was_seen() && NOT_CALLED.was_seen());
}

/// Two seats that are left at once: one of the two sees that the other is empty. One publishes twice: it may come back
/// when the gate is retired.
#[test]
fn two_publishers_against_unsubscribe() {
    explore(2, || {
        let model = Model::new();
        let (inline, used) = model.subscribe();
        let (mut first, second) = (model.seated_publisher(), model.seated_publisher());
        let walkers = [spawn(move || (first(), first()).0), spawn(second)];
        unsubscribe(model.topic.core(), &inline);
        for walker in walkers {
            walker.join().unwrap();
        }
        used.check_ended();
    });
}

/// A seat and a place in the count that are left at once.
#[test]
fn publisher_and_walk_against_unsubscribe() {
    explore(2, || {
        let model = Model::new();
        let (inline, used) = model.subscribe();
        let walkers = [spawn(model.publisher()), spawn(model.seated_publisher())];
        unsubscribe(model.topic.core(), &inline);
        for walker in walkers {
            walker.join().unwrap();
        }
        used.check_ended();
    });
}

/// A publisher whose seat comes into the ledger only meanwhile.
#[test]
fn new_publisher_against_unsubscribe() {
    explore(4, || {
        let model = Model::new();
        let (inline, used) = model.subscribe();
        let (topic, message) = (model.topic.clone(), model.kind.message(1));
        let publisher = spawn(move || {
            let _ = topic.publisher().republish(&message);
        });
        unsubscribe(model.topic.core(), &inline);
        publisher.join().unwrap();
        used.check_ended();
    });
}

/// A seat in the first gate holds the second as well.
#[test]
fn publisher_against_two_unsubscribes_in_a_row() {
    explore(3, || {
        let model = Model::new();
        let ((x, x_used), (y, y_used)) = (model.subscribe(), model.subscribe());
        let publisher = spawn(model.seated_publisher());
        unsubscribe(model.topic.core(), &x);
        unsubscribe(model.topic.core(), &y);
        publisher.join().unwrap();
        x_used.check_ended();
        y_used.check_ended();
    });
}
