//! The public bus with waits: `publish_sync` against the end, a panic at the begin that ends the subscription, and
//! shutdown against who publishes.

use super::{Plain, Witness, explore};
use crate::sync::{Arc, thread};
use crate::{
    Bus, Delivery, Dispatch, EndReason, Handled, MessageType, OnPanic, Overflow, Subscription, Topic,
    WaitError,
};
use loom::thread::spawn;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn bus(manual: bool) -> (Bus, MessageType<u8>, Topic) {
    let builder = Bus::builder().workers(1..=1);
    let bus = if manual { builder.manual() } else { builder }.build().unwrap();
    let (kind, topic) = (bus.message_type("model").unwrap(), bus.topic("model").unwrap());
    (bus, kind, topic)
}

/// How many messages and finals one handler saw, and what it was told as missed.
#[derive(Default)]
struct Seen {
    messages: u32,
    missed: u64,
    finals: u32,
}

type Shared = Arc<Plain<Seen>>;

fn counting(topic: &Topic, kind: &MessageType<u8>, dispatch: Dispatch) -> (Subscription, Shared) {
    let seen = Shared::new(Plain::new(Seen::default()));
    let shown = seen.clone();
    let handler = move |delivery: &Delivery<'_>| {
        shown.write(|seen| {
            assert_eq!(seen.finals, 0, "a call after the final one");
            seen.messages += u32::from(!delivery.is_final());
            seen.missed += delivery.missed();
            seen.finals += u32::from(delivery.is_final());
        });
    };
    let builder = topic.subscription("model").accept(kind).dispatch(dispatch);
    let builder = builder.capacity(1).overflow(Overflow::DropNewest);
    (builder.start(handler).unwrap(), seen)
}

/// Either it was handled, and what the handler did is seen at once; or it is gone, and was not.
#[test]
fn publish_sync_against_the_end() {
    static HANDLED: Witness = Witness::new();
    static GONE: Witness = Witness::new();
    explore(2, || {
        let (_bus, kind, topic) = bus(false);
        let messages = Arc::new(Plain::new(0));
        let noted = messages.clone();
        let handler = move |delivery: &Delivery<'_>| {
            if !delivery.is_final() {
                noted.write(|messages| *messages += 1);
            }
        };
        let builder = topic.subscription("model").accept(&kind).dispatch(Dispatch::Serial);
        let subscription = Arc::new(builder.start(handler).unwrap());
        let ended = subscription.clone();
        let closer = spawn(move || ended.unsubscribe());
        let handled = subscription.publish_sync(kind.message(1), None).unwrap();
        match handled {
            Handled::Yes => HANDLED.see(),
            Handled::Gone => GONE.see(),
            other => panic!("{other:?}"),
        }
        let wanted = u32::from(handled == Handled::Yes);
        messages.read(|&messages| assert_eq!(messages, wanted));
        closer.join().unwrap();
        subscription.join().unwrap();
        messages.read(|&messages| assert_eq!(messages, wanted));
    });
    assert!(HANDLED.was_seen() && GONE.was_seen());
}

/// Somebody else has the turn, and handles it: the waiter is woken, or finds it handled.
#[test]
fn publish_sync_is_handled_by_who_has_the_turn() {
    explore(2, || {
        let (_bus, kind, topic) = bus(false);
        let (subscription, seen) = counting(&topic, &kind, Dispatch::Serial);
        let (other, made) = (topic.clone(), kind.clone());
        let publisher = spawn(move || other.publish(made.message(2)).accepted);
        let handled = subscription.publish_sync(kind.message(1), None).unwrap();
        let accepted = publisher.join().unwrap() + u32::from(handled == Handled::Yes);
        assert!(matches!(handled, Handled::Yes | Handled::Dropped), "{handled:?}");
        subscription.unsubscribe();
        seen.read(|seen| assert_eq!((seen.messages, seen.messages as u64 + seen.missed), (accepted, 2)));
    });
}

/// Somebody else has the turn, and has handled it before its publisher asks whether it was taken at all: nobody but that one
/// has the receipt then, which says so.
#[test]
fn receipt_that_nobody_else_has_is_read() {
    explore(2, || {
        let (_bus, kind, topic) = bus(false);
        let read = kind.clone();
        let handler = move |delivery: &Delivery<'_>| {
            if delivery.read(&read) == Some(&2) {
                // The other one publishes while this is handled.
                thread::yield_now();
            }
        };
        let builder = topic.subscription("model").accept(&kind).capacity(2).dispatch(Dispatch::Serial);
        let subscription = Arc::new(builder.start(handler).unwrap());
        let (awaited, made) = (subscription.clone(), kind.clone());
        let waits = spawn(move || awaited.publish_sync(made.message(1), None).unwrap());
        assert_eq!(topic.publish(kind.message(2)).accepted, 1);
        assert_eq!(waits.join().unwrap(), Handled::Yes);
    });
}

/// Two handlers, each of which publishes to the other one's subscription and waits for that: to one of them it is refused, as
/// both would wait for ever, or they do not meet.
#[test]
fn circle_of_two_is_refused_to_one() {
    static REFUSED: Witness = Witness::new();
    static NOT_MET: Witness = Witness::new();
    explore(1, || {
        let (bus, kind, _) = bus(false);
        let pair = Arc::new([OnceLock::new(), OnceLock::new()]);
        let refused = Arc::new(AtomicU32::new(0));
        let topics = ["one", "other"].map(|name| bus.topic(name).unwrap());
        for (at, topic) in topics.iter().enumerate() {
            let (kind, read) = (kind.clone(), kind.clone());
            let (pair_of, refused) = (Arc::downgrade(&pair), refused.clone());
            let handler = move |delivery: &Delivery<'_>| {
                // What the other one publishes here.
                let Some(1) = delivery.read(&read) else { return };
                let pair = pair_of.upgrade().unwrap();
                let other: &Subscription = pair[1 - at].get().unwrap();
                match other.publish_sync(kind.message(2), None) {
                    Ok(handled) => assert_eq!(handled, Handled::Yes),
                    Err(error) => {
                        assert_eq!(error, WaitError::WouldDeadlock);
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            };
            let builder = topic.subscription("model").capacity(2).dispatch(Dispatch::Serial);
            pair[at].set(builder.start(handler).unwrap()).unwrap();
        }
        let [one, other] = topics;
        let made = kind.clone();
        let publisher = spawn(move || other.publish(made.message(1)).accepted);
        assert_eq!((one.publish(kind.message(1)).accepted, publisher.join().unwrap()), (1, 1));
        match refused.load(Ordering::Relaxed) {
            0 => NOT_MET.see(),
            refused => {
                assert_eq!(refused, 1, "one of them may wait");
                REFUSED.see();
            }
        }
    });
    assert!(REFUSED.was_seen() && NOT_MET.was_seen());
}

/// Its own begin panics, on its thread, while the subscribing thread makes it known: one of the two ends it.
#[test]
fn panic_at_the_begin_against_becoming_visible() {
    explore(3, || {
        let (_bus, _, topic) = bus(false);
        let handler = |delivery: &Delivery<'_>| {
            if !delivery.is_final() {
                resume_unwind(Box::new(()));
            }
            assert_eq!(delivery.end(), Some(EndReason::Disconnected));
        };
        let builder = topic.subscription("model").dispatch(Dispatch::Dedicated).on_panic(OnPanic::Disconnect);
        builder.start(handler).unwrap().join().unwrap();
    });
}

/// A publish that was admitted against the end of the bus: it is delivered, told as missed, or refused, and the final
/// comes last.
#[test]
fn shutdown_against_a_publish() {
    static DELIVERED: Witness = Witness::new();
    static CLOSED: Witness = Witness::new();
    explore(2, || {
        let (bus, kind, topic) = bus(true);
        let (subscription, seen) = counting(&topic, &kind, Dispatch::Pool);
        let publisher = spawn(move || topic.publish(kind.message(1)).accepted);
        assert_eq!(bus.shutdown(Duration::ZERO).unwrap().ended, 1);
        let accepted = publisher.join().unwrap();
        bus.run_until_idle();
        assert!(subscription.is_done());
        seen.read(|seen| assert_eq!((seen.messages + seen.missed as u32, seen.finals), (accepted, 1)));
        if accepted == 1 { &DELIVERED } else { &CLOSED }.see();
    });
    assert!(DELIVERED.was_seen() && CLOSED.was_seen());
}

/// A publisher begins to wait for room while the bus ends: it returns, though nobody reads. (At the deadline the queue is
/// thrown away: it may get in, and is thrown away with it.)
#[test]
fn shutdown_against_a_publisher_that_begins_to_wait() {
    explore(2, || {
        let (bus, kind, topic) = bus(false);
        let builder =
            topic.subscription("model").accept(&kind).capacity(1).overflow(Overflow::block_forever());
        let stream = builder.stream().unwrap();
        assert_eq!(topic.publish(kind.message(1)).accepted, 1);
        let publisher = spawn(move || topic.publish(kind.message(2)).accepted);
        let _ = bus.shutdown(Duration::ZERO).unwrap();
        assert!(publisher.join().unwrap() <= 1);
        drop(stream);
    });
}

/// Two end the bus at a time: one does, and the other one waits for that and is told the same.
#[test]
fn two_shutdowns_are_one() {
    const LONG: Duration = Duration::from_secs(1);
    explore(2, || {
        let (bus, kind, topic) = bus(true);
        let (subscription, seen) = counting(&topic, &kind, Dispatch::Serial);
        let theirs = bus.clone();
        let other = spawn(move || theirs.shutdown(LONG).unwrap());
        let ours = bus.shutdown(LONG).unwrap();
        assert_eq!((&ours, ours.ended), (&other.join().unwrap(), 1));
        assert!(subscription.is_done());
        seen.read(|seen| assert_eq!(seen.finals, 1));
    });
}
