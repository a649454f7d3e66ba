//! Inline handlers and the ends of subscriptions from inside: nested publishes, several walkers, panics.

use super::seen::{Ending, ON_PURPOSE, Stage, Told, spawn};
use super::{Witness, explore};
use crate::{Dispatch, EndReason, OnPanic, Subscription, WaitError};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// Three walk the same list, and publish again from inside, while two of the handlers are taken out: no call after the final
/// one, and when `join` has returned none is under way.
#[test]
fn inline_handlers_end_under_walkers() {
    explore(|| {
        let stage = Stage::new(1, 1);
        let (topic, other) = (stage.topic("topic"), stage.topic("other"));
        let (nested, maker) = (other.clone(), stage.maker());
        let builder = topic.subscription("nests").accept(&stage.kind);
        let nests = stage.listen_as(builder, Dispatch::Inline, move |(by, number)| {
            nested.publish(maker.item(by, number));
        });
        let inner = stage.listen(&other, Dispatch::Inline);
        let leaves = [&topic, &other].map(|of| stage.listen(of, Dispatch::Inline));
        let publishers = [0, 1, 2].map(|by| stage.publisher(by, 2, &topic));
        let ending = spawn(move || leaves.into_iter().for_each(|listener| _ = listener.end()));
        Told::of_all(publishers);
        ending.join();
        let seen = stage.finish(vec![nests, inner]);
        seen.iter().for_each(|seen| seen.check_all(3, 2));
    });
}

/// Handlers that end their own subscription, and each other's, in the middle of calls.
#[test]
fn handlers_end_each_other() {
    static ENDED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let handles: Arc<[OnceLock<Weak<Subscription>>; 3]> = Arc::default();
        let modes = [Dispatch::Inline, Dispatch::Serial, Dispatch::Pool];
        let listeners = [0, 1, 2].map(|at| {
            let handles = handles.clone();
            let builder = topic.subscription("ends another").accept(&stage.kind);
            stage.listen_as(builder, modes[at], move |(by, _)| {
                if by != at {
                    return;
                }
                for other in [(at + 1) % 3, at] {
                    let handle = handles[other].get().and_then(Weak::upgrade);
                    if handle.is_some_and(|handle| handle.unsubscribe()) {
                        ENDED.see();
                    }
                }
                let own = handles[at].get().and_then(Weak::upgrade);
                assert_eq!(own.map(|own| own.join()), Some(Err(WaitError::WouldDeadlock)));
            })
        });
        for (listener, handle) in listeners.iter().zip(&*handles) {
            assert!(handle.set(Arc::downgrade(&listener.subscription)).is_ok());
        }
        Told::of_all([0, 1, 2].map(|by| stage.publisher(by, 2, &topic)));
        stage.finish(listeners.into()).iter().for_each(|seen| seen.check_no_gaps(3));
    });
    assert!(ENDED.was_seen());
}

/// Handlers that panic under several publishers: one ends by it, one goes on.
#[test]
fn handlers_panic() {
    static ENDED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let calls = Arc::new(AtomicUsize::new(0));
        let ends: Arc<Mutex<Vec<EndReason>>> = Arc::default();
        let modes = [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated];
        let subscriptions = modes.map(|mode| {
            let (ends, builder) = (ends.clone(), topic.subscription("panics").accept(&stage.kind));
            builder.dispatch(mode).on_panic(OnPanic::Disconnect).start(move |delivery| match delivery.end() {
                Some(end) => ends.lock().unwrap().push(end),
                None => resume_unwind(Box::new(ON_PURPOSE)),
            })
        });
        let subscriptions = subscriptions.map(|subscription| subscription.unwrap());
        let (counted, ending) = (calls.clone(), Ending::default());
        let noted = ending.clone();
        let goes_on = topic.subscription("goes on").accept(&stage.kind).start(move |delivery| {
            noted.note(delivery);
            if !delivery.is_final() && counted.fetch_add(1, SeqCst).is_multiple_of(2) {
                resume_unwind(Box::new(ON_PURPOSE));
            }
        });
        let goes_on = goes_on.unwrap();
        Told::of_all([0, 1, 2].map(|by| stage.publisher(by, 2, &topic)));
        for subscription in subscriptions {
            subscription.unsubscribe_and_join().unwrap();
        }
        goes_on.unsubscribe_and_join().unwrap();
        assert_eq!(calls.load(SeqCst), 6);
        ending.check(EndReason::Unsubscribed);
        let ends = ends.lock().unwrap().clone();
        assert_eq!(ends.len(), 3);
        if ends.contains(&EndReason::Disconnected) {
            ENDED.see();
        }
        stage.finish(Vec::new());
    });
    assert!(ENDED.was_seen());
}
