//! Forwards, by the public interface: edges that come and go while somebody publishes without a `Publisher`, which keeps no
//! list from one publish to the next.

use super::{Witness, explore};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::{Bus, Forward, MessageType, Subscription, Topic};
use loom::thread::spawn;

/// Two topics, of which the second one has an inline handler.
struct Model {
    from: Topic,
    to: Topic,
    kind: MessageType<()>,
    _listens: Subscription,
    bus: Bus,
}

/// Something has happened.
type Flag = Arc<AtomicBool>;

impl Model {
    fn new() -> Arc<Self> {
        let bus = Bus::builder().manual().build().unwrap();
        let (from, to) = (bus.topic("from").unwrap(), bus.topic("to").unwrap());
        let _listens = to.subscription("model").inline(|_| {}).unwrap();
        Arc::new(Self { from, to, kind: bus.message_type("model").unwrap(), _listens, bus })
    }

    fn forward(&self) -> Forward {
        self.from.forward_to(&self.to).unwrap()
    }

    /// Whether a message that is published now comes to the handler.
    fn reaches(&self) -> bool {
        self.from.publish(self.kind.message(())).reached()
    }
}

/// An edge comes while somebody publishes: it is followed by a publish that begins when it stands, and not by one that has
/// returned before.
#[test]
fn edge_that_comes_is_followed() {
    static FOLLOWED: Witness = Witness::new();
    static TOO_EARLY: Witness = Witness::new();
    explore(5, || {
        let (model, stands, published) = (Model::new(), Flag::default(), Flag::default());
        let (theirs, told, tells) = (model.clone(), stands.clone(), published.clone());
        let publisher = spawn(move || {
            let must = told.load(Ordering::Acquire);
            let reached = theirs.reaches();
            tells.store(true, Ordering::Release);
            assert!(reached || !must, "an edge that stood, and was not followed");
            reached
        });
        let is_late = published.load(Ordering::Acquire);
        let edge = model.forward();
        stands.store(true, Ordering::Release);
        let reached = publisher.join().unwrap();
        assert!(!(reached && is_late), "an edge that did not stand, and was followed");
        if reached { &FOLLOWED } else { &TOO_EARLY }.see();
        assert_eq!(model.to.stats().arrived, u64::from(reached));
        edge.cancel();
        assert!(!model.reaches());
    });
    assert!(FOLLOWED.was_seen() && TOO_EARLY.was_seen());
}

/// Two edges in a row come, the one behind first: who finds the first one finds the other, though it stood only for a part of
/// the publish.
#[test]
fn edges_that_come_from_behind_are_followed() {
    static FOLLOWED: Witness = Witness::new();
    static TOO_EARLY: Witness = Witness::new();
    explore(5, || {
        let model = Model::new();
        let before = model.bus.topic("before").unwrap();
        let (first, kind) = (before.clone(), model.kind.clone());
        let publisher = spawn(move || first.publish(kind.message(())).reached());
        let _edges = (model.forward(), before.forward_to(&model.from).unwrap());
        let reached = publisher.join().unwrap();
        assert_eq!(model.from.stats().arrived, u64::from(reached), "followed half the way");
        if reached { &FOLLOWED } else { &TOO_EARLY }.see();
    });
    assert!(FOLLOWED.was_seen() && TOO_EARLY.was_seen());
}

/// An edge goes while somebody publishes twice: no publish follows it that begins when its cancel has returned, and another
/// edge of the same topic is followed all the time.
#[test]
fn edge_that_goes_is_not_followed() {
    static FOLLOWED: Witness = Witness::new();
    static CANCELLED: Witness = Witness::new();
    explore(3, || {
        let (model, gone) = (Model::new(), Flag::default());
        let other = model.bus.topic("other").unwrap();
        let (edge, _steady) = (model.forward(), model.from.forward_to(&other).unwrap());
        let (theirs, told) = (model.clone(), gone.clone());
        let publisher = spawn(move || {
            [(), ()].map(|()| {
                let is_over = told.load(Ordering::Acquire);
                let reached = theirs.reaches();
                assert!(!(is_over && reached), "an edge that was cancelled before");
                if reached { &FOLLOWED } else { &CANCELLED }.see();
                u64::from(reached)
            })
        });
        edge.cancel();
        gone.store(true, Ordering::Release);
        let [first, second] = publisher.join().unwrap();
        assert!(first >= second, "an edge that was gone before");
        assert_eq!((model.to.stats().arrived, other.stats().arrived), (first + second, 2));
    });
    assert!(FOLLOWED.was_seen() && CANCELLED.was_seen());
}

/// A forward is made again while its first handle goes: it stands, by the second one alone.
#[test]
fn edge_made_twice_stands_until_both_are_gone() {
    explore(4, || {
        let model = Model::new();
        let first = model.forward();
        let cancels = spawn(move || first.cancel());
        let second = model.forward();
        assert!(model.reaches());
        cancels.join().unwrap();
        assert!(model.reaches() && model.from.stats().forwards == 1);
        second.cancel();
        assert!(!model.reaches());
    });
}
