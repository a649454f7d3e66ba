//! The public bus, in manual mode: publish against subscribe and unsubscribe, through the topic's snapshot.

use super::{Plain, Witness, explore};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::{Bus, Delivery, Dispatch, MessageType, Subscription, Topic};
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
