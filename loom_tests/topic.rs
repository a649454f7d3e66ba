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
        // It looks at more than the type, so that nothing goes straight.
        let filter = Filter::all().accept(&self.kind).id_prefix("");
        let builder = self.topic.subscription("model").filter(filter).capacity(2).dispatch(Dispatch::Pool);
        (builder.start(handler).unwrap(), seen)
    }

    /// One without a filter: on a list of such a topic goes straight.
    fn open_mailbox(&self) -> (Subscription, Shared) {
        let (seen, kind) = (Shared::new(Plain::new(Seen::default())), self.kind.clone());
        let shown = seen.clone();
        let handler = move |delivery: &Delivery<'_>| shown.write(|seen| seen.note(delivery, &kind));
        let builder = self.topic.subscription("model").capacity(4).dispatch(Dispatch::Pool);
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

/// Two end a subscription at a time: one is told that it did, and the final comes once.
fn two_ends(model: &Model, (subscription, seen): (Subscription, Shared)) {
    let subscription = Arc::new(subscription);
    let theirs = subscription.clone();
    let other = spawn(move || theirs.unsubscribe());
    let ours = subscription.unsubscribe();
    assert_ne!(ours, other.join().unwrap());
    model.bus.run_until_idle();
    assert!(subscription.is_done());
    seen.read(|seen| assert_eq!(seen.finals, 1));
    if ours { &ENDED_BY_US } else { &ENDED_BY_THEM }.see();
}

static ENDED_BY_US: Witness = Witness::new();
static ENDED_BY_THEM: Witness = Witness::new();

#[test]
fn two_ends_of_a_mailbox_are_one() {
    explore(5, || {
        let model = Model::new();
        two_ends(&model, model.mailbox());
    });
    assert!(ENDED_BY_US.was_seen() && ENDED_BY_THEM.was_seen());
}

#[test]
fn two_ends_of_an_inline_handler_are_one() {
    explore(5, || {
        let model = Model::new();
        two_ends(&model, model.inline());
    });
    assert!(ENDED_BY_US.was_seen() && ENDED_BY_THEM.was_seen());
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

/// One thread publishes by the topic and then by a kept list. Returns its thread, which tells what each reached.
fn two_ways(model: &Model) -> loom::thread::JoinHandle<[bool; 2]> {
    let (topic, mut publisher, kind) = (model.topic.clone(), model.topic.publisher(), model.kind.clone());
    spawn(move || {
        let first = topic.publish(kind.message(1)).reached();
        [first, publisher.publish(kind.message(2)).reached()]
    })
}

/// A subscription goes, and none of the two messages comes if the one before it did not: it went at one moment, by
/// whatever way one published.
fn two_ways_against_unsubscribe(subscribe: impl FnOnce(&Model) -> (Subscription, Shared)) -> [bool; 2] {
    let model = Model::new();
    let (subscription, seen) = subscribe(&model);
    let thread = two_ways(&model);
    subscription.unsubscribe();
    let reached = thread.join().unwrap();
    model.bus.run_until_idle();
    assert_ne!(reached, [false, true], "the second reached who was gone for the first");
    seen.read(|seen| {
        assert_eq!([1, 2].map(|value| seen.values.contains(&value)), reached);
        assert_eq!(seen.finals, 1);
    });
    reached
}

#[test]
fn two_ways_against_unsubscribe_of_a_mailbox() {
    static BETWEEN: Witness = Witness::new();
    explore(3, || {
        if two_ways_against_unsubscribe(Model::mailbox) == [true, false] {
            BETWEEN.see();
        }
    });
    assert!(BETWEEN.was_seen());
}

#[test]
fn two_ways_against_unsubscribe_of_an_inline_handler() {
    static BETWEEN: Witness = Witness::new();
    explore(2, || {
        if two_ways_against_unsubscribe(Model::inline) == [true, false] {
            BETWEEN.see();
        }
    });
    assert!(BETWEEN.was_seen());
}

/// A subscription comes, and none of the two messages is missing if the one before it came.
#[test]
fn two_ways_against_subscribe() {
    static BETWEEN: Witness = Witness::new();
    explore(3, || {
        let model = Model::new();
        let thread = two_ways(&model);
        let (subscription, seen) = model.mailbox();
        let reached = thread.join().unwrap();
        model.bus.run_until_idle();
        assert_ne!(reached, [true, false], "the second missed who was there for the first");
        seen.read(|seen| assert_eq!([1, 2].map(|value| seen.values.contains(&value)), reached));
        if reached == [false, true] {
            BETWEEN.see();
        }
        subscription.unsubscribe();
        model.bus.run_until_idle();
    });
    assert!(BETWEEN.was_seen());
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

/// A publish where the topic's list is shown, one by a `Publisher`, and one more of the first kind.
fn hot_two_ways(model: &Model) -> loom::thread::JoinHandle<[bool; 3]> {
    let (topic, mut publisher, kind) = (model.topic.clone(), model.topic.publisher(), model.kind.clone());
    spawn(move || {
        topic.core().heat();
        let first = topic.publish(kind.message(1)).reached();
        let second = publisher.publish(kind.message(2)).reached();
        [first, second, topic.publish(kind.message(3)).reached()]
    })
}

/// Nobody reads a list any more: none that was replaced is left.
fn nothing_stays(model: &Model) {
    assert_eq!(model.bus.exchange().stands.retired(), 0, "lists that nobody reads");
}

/// Where the list is shown, too, a change has one moment.
#[test]
fn hot_two_ways_against_unsubscribe() {
    static BETWEEN: Witness = Witness::new();
    explore(2, || {
        let model = Model::new();
        let (subscription, seen) = model.open_mailbox();
        let thread = hot_two_ways(&model);
        subscription.unsubscribe();
        let reached = thread.join().unwrap();
        model.bus.run_until_idle();
        assert!(reached.is_sorted_by(|before, after| before >= after), "a later one reached who was gone");
        seen.read(|seen| {
            assert_eq!([1, 2, 3].map(|value| seen.values.contains(&value)), reached);
            assert_eq!(seen.finals, 1);
        });
        nothing_stays(&model);
        if reached[0] != reached[2] {
            BETWEEN.see();
        }
    });
    assert!(BETWEEN.was_seen());
}

/// The same for who comes: somebody else is there, so the list is shown before and after.
#[test]
fn hot_two_ways_against_subscribe() {
    static BETWEEN: Witness = Witness::new();
    explore(2, || {
        let model = Model::new();
        let (other, _) = model.open_mailbox();
        model.topic.core().heat();
        let thread = hot_two_ways(&model);
        let (subscription, seen) = model.open_mailbox();
        thread.join().unwrap();
        model.bus.run_until_idle();
        let got = seen.read(|seen| [1, 2, 3].map(|value| seen.values.contains(&value)));
        assert!(got.is_sorted(), "a later one missed who was there");
        if got[0] != got[2] {
            BETWEEN.see();
        }
        subscription.unsubscribe();
        other.unsubscribe();
        model.bus.run_until_idle();
        nothing_stays(&model);
    });
    assert!(BETWEEN.was_seen());
}
