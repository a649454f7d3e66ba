//! The public bus, in manual mode: publish against subscribe and unsubscribe, through the topic's snapshot.

use super::{Plain, Witness, explore};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::{Bus, Delivery, Dispatch, Filter, Formatters, MessageType, Subscription, Topic};
use loom::thread::spawn;

/// What one handler saw, in its order.
#[derive(Default)]
struct Seen {
    values: Vec<u8>,
    finals: u32,
}

impl Seen {
    fn note(&mut self, delivery: &Delivery<'_>, kind: &MessageType<u8>) {
        assert_eq!(self.finals, 0, "a call after the final one");
        self.finals += u32::from(delivery.is_final());
        self.values.extend(delivery.read(kind));
    }
}

type Shared = Arc<Plain<Seen>>;

struct Model {
    bus: Bus,
    topic: Topic,
    kind: MessageType<u8>,
}

impl Model {
    fn new() -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let (topic, kind) = (bus.topic("model").unwrap(), bus.message_type("model").unwrap());
        Self { bus, topic, kind }
    }

    fn mailbox(&self) -> (Subscription, Shared) {
        let (seen, kind) = (Shared::new(Plain::new(Seen::default())), self.kind.clone());
        let shown = seen.clone();
        let handler = move |delivery: &Delivery<'_>| shown.write(|seen| seen.note(delivery, &kind));
        let builder =
            self.topic.subscription("model").accept(&self.kind).capacity(2).dispatch(Dispatch::Pool);
        (builder.start(handler).unwrap(), seen)
    }

    fn inline(&self) -> (Subscription, Shared) {
        let (seen, kind) = (Shared::new(Plain::new(Seen::default())), self.kind.clone());
        let shown = seen.clone();
        let handler = move |delivery: &Delivery<'_>| shown.write(|seen| seen.note(delivery, &kind));
        (self.topic.subscription("model").accept(&self.kind).inline(handler).unwrap(), seen)
    }

    /// Publishes 1 on another thread, and then says so.
    fn publish(&self) -> (loom::thread::JoinHandle<bool>, Arc<AtomicBool>) {
        let (topic, kind, published) =
            (self.topic.clone(), self.kind.clone(), Arc::new(AtomicBool::new(false)));
        let told = published.clone();
        let publisher = spawn(move || {
            let report = topic.publish(kind.message(1));
            told.store(true, Ordering::Release);
            report.reached()
        });
        (publisher, published)
    }

    /// Unsubscribes while somebody publishes. What was published before is delivered, the final comes once and last,
    /// and the publisher was told the truth.
    fn unsubscribe(self, subscription: &Subscription, seen: &Shared) {
        let (publisher, published) = self.publish();
        let before = published.load(Ordering::Acquire);
        subscription.unsubscribe();
        self.bus.run_until_idle();
        let reached = publisher.join().unwrap();
        self.bus.run_until_idle();
        assert!(subscription.is_done());
        seen.read(|seen| {
            assert_eq!(seen.finals, 1);
            assert_eq!(seen.values.len(), usize::from(reached));
            assert!(reached || !before, "published before, and lost");
            if reached { &DELIVERED } else { &LATE }.see();
        });
    }
}

static DELIVERED: Witness = Witness::new();
static LATE: Witness = Witness::new();

#[test]
fn publish_against_unsubscribe_of_a_mailbox() {
    explore(5, || {
        let model = Model::new();
        let (subscription, seen) = model.mailbox();
        model.unsubscribe(&subscription, &seen);
    });
    assert!(DELIVERED.was_seen() && LATE.was_seen());
}

#[test]
fn publish_against_unsubscribe_of_an_inline_handler() {
    explore(5, || {
        let model = Model::new();
        let (subscription, seen) = model.inline();
        model.unsubscribe(&subscription, &seen);
    });
    assert!(DELIVERED.was_seen() && LATE.was_seen());
}

/// A mailbox becomes visible while somebody publishes: it gets the message or does not, as the publisher was told.
#[test]
fn publish_against_subscribe_of_a_mailbox() {
    explore(5, || {
        let model = Model::new();
        let (publisher, published) = model.publish();
        let (subscription, seen) = model.mailbox();
        let after = !published.load(Ordering::Acquire);
        let late = (!after).then(|| model.topic.publish(model.kind.message(2)).accepted);
        let reached = publisher.join().unwrap();
        model.bus.run_until_idle();
        seen.read(|seen| {
            assert_eq!(seen.values.contains(&1), reached);
            assert_eq!(seen.values.contains(&2), late == Some(1));
            assert!(seen.values.is_sorted());
        });
        subscription.unsubscribe();
        model.bus.run_until_idle();
        assert_eq!(seen.read(|seen| seen.finals), 1);
    });
}

/// An inline handler becomes visible and goes again while somebody publishes.
#[test]
fn publish_against_subscribe_and_unsubscribe_of_an_inline_handler() {
    explore(5, || {
        let model = Model::new();
        let (publisher, _) = model.publish();
        let (subscription, seen) = model.inline();
        subscription.unsubscribe();
        let reached = publisher.join().unwrap();
        assert!(subscription.is_done());
        seen.read(|seen| assert_eq!((seen.values.len(), seen.finals), (usize::from(reached), 1)));
    });
}

static KEPT: Witness = Witness::new();
static KEPT_LATE: Witness = Witness::new();

/// Publishes by a kept list while the subscription goes: a publish that begins after the end has returned, as its thread
/// hears from a flag, reaches nobody; one before it reaches, and is delivered.
fn kept_list(subscribe: impl FnOnce(&Model) -> (Subscription, Shared)) {
    let model = Model::new();
    let (subscription, seen) = subscribe(&model);
    let mut publisher = model.topic.publisher();
    let (kind, gone) = (model.kind.clone(), Arc::new(AtomicBool::new(false)));
    let told = gone.clone();
    let thread = spawn(move || {
        let over = told.load(Ordering::Acquire);
        let report = publisher.publish(kind.message(1));
        assert!(!(over && report.reached()), "an old list, after its end had returned");
        if over { &KEPT_LATE } else { &KEPT }.see();
        (report.reached(), publisher)
    });
    subscription.unsubscribe();
    gone.store(true, Ordering::Release);
    let (reached, publisher) = thread.join().unwrap();
    model.bus.run_until_idle();
    assert!(subscription.is_done(), "an idle publisher delays no ending");
    seen.read(|seen| assert_eq!((seen.values.len(), seen.finals), (usize::from(reached), 1)));
    assert_eq!(model.topic.stats().published, 1);
    drop(publisher);
    assert_eq!(model.topic.stats().published, 1);
}

#[test]
fn kept_list_against_unsubscribe_of_a_mailbox() {
    explore(5, || kept_list(Model::mailbox));
    assert!(KEPT.was_seen() && KEPT_LATE.was_seen());
}

#[test]
fn kept_list_against_unsubscribe_of_an_inline_handler() {
    explore(5, || kept_list(Model::inline));
    assert!(KEPT.was_seen() && KEPT_LATE.was_seen());
}

/// A subscription appears while a list is kept: a publish that begins after that has returned reaches it.
#[test]
fn kept_list_against_subscribe() {
    static BEFORE: Witness = Witness::new();
    static AFTER: Witness = Witness::new();
    explore(5, || {
        let model = Model::new();
        let mut publisher = model.topic.publisher();
        let (kind, stands) = (model.kind.clone(), Arc::new(AtomicBool::new(false)));
        let told = stands.clone();
        let thread = spawn(move || {
            let must = told.load(Ordering::Acquire);
            let reached = publisher.publish(kind.message(1)).reached();
            assert!(reached || !must, "a new list, and not used");
            if must { &AFTER } else { &BEFORE }.see();
            (reached, publisher)
        });
        let (subscription, seen) = model.mailbox();
        stands.store(true, Ordering::Release);
        let (reached, _publisher) = thread.join().unwrap();
        model.bus.run_until_idle();
        seen.read(|seen| assert_eq!(seen.values.len(), usize::from(reached)));
        subscription.unsubscribe();
        model.bus.run_until_idle();
        assert!(subscription.is_done());
    });
    assert!(BEFORE.was_seen() && AFTER.was_seen());
}

/// A forward is cancelled while a list with it is kept: a publish that begins after that has returned does not use it.
#[test]
fn kept_list_against_cancel() {
    static USED: Witness = Witness::new();
    static CANCELLED: Witness = Witness::new();
    explore(5, || {
        let model = Model::new();
        let (subscription, seen) = model.inline();
        let from = model.bus.topic("from").unwrap();
        let edge = from.forward_to(&model.topic).unwrap();
        let mut publisher = from.publisher();
        let (kind, gone) = (model.kind.clone(), Arc::new(AtomicBool::new(false)));
        let told = gone.clone();
        let thread = spawn(move || {
            let over = told.load(Ordering::Acquire);
            let reached = publisher.publish(kind.message(1)).reached();
            assert!(!(over && reached), "an edge that was cancelled before");
            if reached { &USED } else { &CANCELLED }.see();
            (reached, publisher)
        });
        edge.cancel();
        gone.store(true, Ordering::Release);
        let (reached, _publisher) = thread.join().unwrap();
        seen.read(|seen| assert_eq!(seen.values.len(), usize::from(reached)));
        assert_eq!(model.topic.stats().arrived, u64::from(reached));
        subscription.unsubscribe();
    });
    assert!(USED.was_seen() && CANCELLED.was_seen());
}

fn nothing() -> Filter {
    Filter::all().accept_formatters(Formatters::NONE)
}

/// A filter changes while somebody publishes: he goes by the old one or the new one, as he is told; who publishes after
/// the change goes by the new one.
fn publish_against_filter_change(model: &Model, subscription: &Subscription, seen: &Shared) {
    let (publisher, published) = model.publish();
    let before = published.load(Ordering::Acquire);
    subscription.set_filter(&nothing()).unwrap();
    assert_eq!(model.topic.publish(model.kind.message(2)).filtered, 1);
    let reached = publisher.join().unwrap();
    model.bus.run_until_idle();
    seen.read(|seen| assert_eq!(seen.values, if reached { vec![1] } else { vec![] }));
    assert!(reached || !before, "published before the change, and filtered");
    if reached { &OLD_FILTER } else { &NEW_FILTER }.see();
    subscription.unsubscribe();
    model.bus.run_until_idle();
    assert_eq!(seen.read(|seen| seen.finals), 1);
}

static OLD_FILTER: Witness = Witness::new();
static NEW_FILTER: Witness = Witness::new();

#[test]
fn publish_against_filter_change_of_a_mailbox() {
    explore(4, || {
        let model = Model::new();
        let (subscription, seen) = model.mailbox();
        publish_against_filter_change(&model, &subscription, &seen);
    });
    assert!(OLD_FILTER.was_seen() && NEW_FILTER.was_seen());
}

#[test]
fn publish_against_filter_change_of_an_inline_handler() {
    explore(4, || {
        let model = Model::new();
        let (subscription, seen) = model.inline();
        publish_against_filter_change(&model, &subscription, &seen);
    });
    assert!(OLD_FILTER.was_seen() && NEW_FILTER.was_seen());
}

/// Two change the list of one topic at a time: both changes stand.
#[test]
fn filter_change_against_filter_change() {
    explore(4, || {
        let model = Model::new();
        let ((first, _), (second, _)) = (model.mailbox(), model.inline());
        let changer = spawn(move || {
            first.set_filter(&nothing()).unwrap();
            first
        });
        second.set_filter(&nothing()).unwrap();
        let first = changer.join().unwrap();
        assert_eq!((first.filter(), second.filter()), (Some(nothing()), Some(nothing())));
        assert_eq!(model.topic.publish(model.kind.message(1)).filtered, 2);
        first.unsubscribe();
        second.unsubscribe();
        model.bus.run_until_idle();
    });
}
