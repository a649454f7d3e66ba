//! Routers, by the public interface in manual mode: changes of routes against publishes, calls, each other, and the end.

use super::{Plain, Witness, explore};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, let_replaced_go, thread};
use crate::{Bus, Filter, Formatters, MessageType, Router, Topic};
use loom::thread::spawn;

/// What routes were called with, in their order: the route and the value. Not ordered by anything but the router.
type Calls = Arc<Plain<Vec<(u8, u8)>>>;

struct Model {
    bus: Bus,
    topic: Topic,
    kind: MessageType<u8>,
    other: MessageType<u8>,
    router: Arc<Router>,
    calls: Calls,
}

impl Model {
    fn new() -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let topic = bus.topic("model").unwrap();
        Self {
            kind: bus.message_type("kind").unwrap(),
            other: bus.message_type("other").unwrap(),
            router: Arc::new(topic.router("model").capacity(2).start().unwrap()),
            calls: Calls::new(Plain::new(Vec::new())),
            topic,
            bus,
        }
    }

    /// A route that notes itself under that number.
    fn route(&self, number: u8) -> impl FnMut(&u8, &crate::Delivery<'_>) + Send + use<> {
        let calls = self.calls.clone();
        move |value, _| calls.write(|calls| calls.push((number, *value)))
    }

    fn publish(&self, kind: &MessageType<u8>, value: u8) -> bool {
        self.topic.publish(kind.message(value)).reached()
    }

    fn calls(&self) -> Vec<(u8, u8)> {
        self.calls.read(|calls| calls.clone())
    }

    fn end(&self) {
        self.router.unsubscribe();
        self.bus.run_until_idle();
        assert!(self.router.is_done());
    }
}

/// A route is added while somebody publishes: who publishes after it was added reaches it, and whatever was let through
/// is handled by it.
#[test]
fn add_against_publish() {
    static BEFORE: Witness = Witness::new();
    static AFTER: Witness = Witness::new();
    explore(4, || {
        let model = Model::new();
        let (topic, kind, is_added) =
            (model.topic.clone(), model.kind.clone(), Arc::new(AtomicBool::new(false)));
        let (told, bus) = (is_added.clone(), model.bus.clone());
        let publisher = spawn(move || {
            let must = told.load(Ordering::Acquire);
            let reached = topic.publish(kind.message(1)).reached();
            assert!(reached || !must, "added before, and filtered");
            if must { &AFTER } else { &BEFORE }.see();
            bus.run_until_idle();
            reached
        });
        model.router.add(&model.kind, model.route(7)).unwrap();
        is_added.store(true, Ordering::Release);
        let reached = publisher.join().unwrap();
        model.bus.run_until_idle();
        assert_eq!(model.calls(), if reached { vec![(7, 1)] } else { vec![] });
        assert_eq!(model.router.stats().unrouted, 0);
        model.end();
    });
    assert!(BEFORE.was_seen() && AFTER.was_seen());
}

/// A route is replaced while another thread calls it: once the new one was called the old one is not, every message is
/// handled by one of them, and what is published after the replacement by the new one.
#[test]
fn replace_against_running_calls() {
    static OLD: Witness = Witness::new();
    static BOTH: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    explore(3, || {
        let model = Model::new();
        model.router.add(&model.kind, model.route(1)).unwrap();
        assert!(model.publish(&model.kind, 1) && model.publish(&model.kind, 2));
        let bus = model.bus.clone();
        let worker = spawn(move || bus.run_until_idle());
        assert_eq!(model.router.replace(&model.kind, model.route(2)), Ok(true));
        assert!(model.publish(&model.kind, 3));
        worker.join().unwrap();
        model.bus.run_until_idle();
        let calls = model.calls();
        assert_eq!(calls.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(calls.is_sorted(), "the old route after the new one");
        match calls.iter().filter(|(route, _)| *route == 1).count() {
            0 => NEW.see(),
            1 => BOTH.see(),
            2 => OLD.see(),
            _ => panic!("published after the replacement, and handled by the old route"),
        }
        model.end();
    });
    assert!(OLD.was_seen() && BOTH.was_seen() && NEW.was_seen());
}

/// A route is removed while another thread calls it: what it was not called for is counted, and nothing more is let
/// through.
#[test]
fn remove_against_a_running_call() {
    static CALLED: Witness = Witness::new();
    static UNROUTED: Witness = Witness::new();
    explore(4, || {
        let model = Model::new();
        model.router.add(&model.kind, model.route(1)).unwrap();
        assert!(model.publish(&model.kind, 1));
        let bus = model.bus.clone();
        let worker = spawn(move || bus.run_until_idle());
        assert!(model.router.remove(&model.kind));
        assert!(!model.publish(&model.kind, 2), "removed, and let through");
        worker.join().unwrap();
        model.bus.run_until_idle();
        let called = model.calls().len() as u64;
        assert_eq!(called + model.router.stats().unrouted, 1);
        if called == 1 { &CALLED } else { &UNROUTED }.see();
        model.end();
    });
    assert!(CALLED.was_seen() && UNROUTED.was_seen());
}

/// A route is removed while it is called, by somebody who waits until it is gone: its closure has been dropped then. (The call
/// returns when somebody waits for it. What goes with a table that nobody reads any more has no edges here, so the table that
/// is read is let go by its reader.)
#[test]
fn remove_and_wait_against_a_running_call() {
    static WAITED: Witness = Witness::new();
    static NOT_CALLED: Witness = Witness::new();
    let_replaced_go();
    explore(3, || {
        let model = Model::new();
        let held = Held(Arc::new(Plain::new(true)));
        let (is_held, is_called) = (held.0.clone(), Arc::new(AtomicBool::new(false)));
        let (called, exchange) = (is_called.clone(), model.bus.exchange().clone());
        let route = move |_: &u8, _: &crate::Delivery<'_>| {
            held.0.read(|&held| assert!(held));
            called.store(true, Ordering::Relaxed);
            while exchange.counts.waits.get() == 0 {
                thread::yield_now();
            }
        };
        model.router.add(&model.kind, route).unwrap();
        assert!(model.publish(&model.kind, 1));
        let bus = model.bus.clone();
        let worker = spawn(move || _ = bus.run_until_idle());
        assert_eq!(model.router.remove_and_wait(&model.kind), Ok(true));
        is_held.read(|&held| assert!(!held, "its closure is still there"));
        worker.join().unwrap();
        if is_called.load(Ordering::Relaxed) { &WAITED } else { &NOT_CALLED }.see();
        model.end();
    });
    assert!(WAITED.was_seen() && NOT_CALLED.was_seen());
}

/// What a route has: true as long as it has it.
struct Held(Arc<Plain<bool>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.write(|held| *held = false);
    }
}

/// Two change routes at a time: when both have returned, the filter is that of the table.
#[test]
fn changes_against_each_other() {
    explore(4, || {
        let model = Model::new();
        model.router.add(&model.kind, model.route(1)).unwrap();
        let (router, other, route) = (model.router.clone(), model.other.clone(), model.route(2));
        let adder = spawn(move || router.add(&other, route).unwrap());
        assert!(model.router.remove(&model.kind));
        assert!(!model.topic.wants(&model.kind), "removed, and let through");
        adder.join().unwrap();
        let due = Filter::all().accept_formatters(Formatters::NONE).accept(&model.other);
        assert_eq!(model.router.filter(), Some(due));
        assert!(model.publish(&model.other, 1) && !model.publish(&model.kind, 2));
        model.bus.run_until_idle();
        assert_eq!(model.calls(), [(2, 1)]);
        model.end();
    });
}

/// A route is added while the router ends: it is dropped at the end with the others, or refused.
#[test]
fn add_against_the_end() {
    static ADDED: Witness = Witness::new();
    static REFUSED: Witness = Witness::new();
    explore(4, || {
        let model = Model::new();
        let (bus, router) = (model.bus.clone(), model.router.clone());
        let ender = spawn(move || {
            router.unsubscribe();
            bus.run_until_idle();
        });
        let (alive, route) = (Arc::new(()), model.route(1));
        let (held, mut route) = (alive.clone(), route);
        let added = model.router.add(&model.kind, move |value, delivery| {
            let _ = &held;
            route(value, delivery);
        });
        ender.join().unwrap();
        model.bus.run_until_idle();
        assert!(model.router.is_done());
        assert_eq!(Arc::strong_count(&alive), 1, "what a route held outlives the router");
        if added.is_ok() { &ADDED } else { &REFUSED }.see();
        assert!(model.calls().is_empty());
    });
    assert!(ADDED.was_seen() && REFUSED.was_seen());
}
