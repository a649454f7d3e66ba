//! Workers that come, wait, and hand their seats over; waits that would close a circle.

use super::seen::{Gate, Listener, Stage, Told};
use super::{Witness, explore};
use crate::{Bus, Dispatch, Handled, Subscription, WaitError};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// One handler waits for what another one does, and the bus is not told: the standby finds out, and more workers come.
#[test]
fn workers_come_when_handlers_block() {
    explore(|| {
        let stage = Stage::new(1, 3);
        let (stuck, frees) = (stage.topic("stuck"), stage.topic("frees"));
        let gates = [Gate::new(), Gate::new()];
        let waits = gates.clone();
        let waiting = [0, 1].map(|at| {
            let gate = waits[at].clone();
            let builder = stuck.subscription("waits").accept(&stage.kind);
            stage.listen_as(builder, Dispatch::Pool, move |_| gate.pass())
        });
        let opened = gates.clone();
        let builder = frees.subscription("frees").accept(&stage.kind);
        let opening = stage.listen_as(builder, Dispatch::Pool, move |_| opened.iter().for_each(Gate::open));
        let publishers = [stage.publisher(0, 2, &stuck), stage.publisher(1, 2, &frees)];
        assert_eq!(Told::of_all(publishers).accepted, 6);
        let workers = stage.bus.worker_stats().len();
        assert!(workers <= 3, "{workers} workers");
        let seen = stage.finish(waiting.into_iter().chain([opening]).collect());
        (0..2).for_each(|at| assert_eq!(seen[at].numbers_of(0), [0, 1]));
        assert_eq!(seen[2].numbers_of(1), [0, 1]);
    });
}

/// Idle workers go, and come again when there is work.
#[test]
fn workers_go_and_come() {
    explore(|| {
        let builder = Bus::builder().workers(1..=3).grow_after(Duration::from_micros(100));
        let stage = Stage::built(builder.idle_timeout(Some(Duration::from_millis(1))));
        let topic = stage.topic("topic");
        let listeners = [0, 1, 2].map(|_| stage.listen(&topic, Dispatch::Pool));
        let publishers = [0, 1].map(|by| stage.publisher(by, 3, &topic));
        crate::sync::thread::sleep(Duration::from_millis(5));
        assert_eq!(Told::of_all(publishers).accepted, 18);
        stage.finish(listeners.into()).iter().for_each(|seen| seen.check_all(2, 3));
    });
}

/// A handler of the only worker waits for another subscription of the pool: somebody takes its seat.
#[test]
fn waiting_worker_hands_its_seat_over() {
    explore(|| {
        let stage = Stage::new(1, 1);
        let (asks, answers) = (stage.topic("asks"), stage.topic("answers"));
        let answering = stage.listen(&answers, Dispatch::Pool);
        let (maker, handle) = (stage.maker(), answering.subscription.clone());
        let builder = asks.subscription("asks").accept(&stage.kind);
        let asking = stage.listen_as(builder, Dispatch::Pool, move |(by, number)| {
            assert_eq!(handle.publish_sync(maker.item(by, number), None), Ok(Handled::Yes));
        });
        let publishers = [0, 1].map(|by| stage.publisher(by, 2, &asks));
        assert_eq!(Told::of_all(publishers).accepted, 4);
        let seen = stage.finish(vec![asking, answering]);
        seen.iter().for_each(|seen| seen.check_all(2, 2));
    });
}

/// A handle that comes later.
#[derive(Clone, Default)]
struct Other(Arc<OnceLock<Weak<Subscription>>>);

impl Other {
    fn is(&self, listener: &Listener) {
        assert!(self.0.set(Arc::downgrade(&listener.subscription)).is_ok());
    }

    fn get(&self) -> Option<Arc<Subscription>> {
        self.0.get().and_then(Weak::upgrade)
    }
}

/// Three handlers that each wait for the next one: the wait that would close the circle is refused, every other one comes
/// to its end.
#[test]
fn circles_are_refused() {
    static REFUSED: Witness = Witness::new();
    static HANDLED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let others = [0; 3].map(|_| Other::default());
        let counts = Arc::new([0; 3].map(|_| AtomicUsize::new(0)));
        let listeners = [0, 1, 2].map(|at| {
            let (maker, next, counts) = (stage.maker(), others[(at + 1) % 3].clone(), counts.clone());
            let topic = stage.topic(&at.to_string());
            let builder = topic.subscription("one").accept(&stage.kind);
            let mode = if at == 2 { Dispatch::Dedicated } else { Dispatch::Pool };
            stage.listen_as(builder, mode, move |(by, number)| {
                // Two steps at most.
                let Some(next) = next.get().filter(|_| number < 2) else { return };
                match next.publish_sync(maker.item(by, number + 1), None) {
                    Ok(Handled::Yes) => HANDLED.see(),
                    Err(WaitError::WouldDeadlock) => REFUSED.see(),
                    other => panic!("{other:?}"),
                }
                counts[at].fetch_add(1, SeqCst);
            })
        });
        listeners.iter().zip(&others).for_each(|(listener, other)| other.is(listener));
        let publishers = [0, 1, 2].map(|at| stage.publisher(at, 1, &stage.topic(&at.to_string())));
        assert_eq!(Told::of_all(publishers).accepted, 3);
        stage.finish(listeners.into());
    });
    assert!(REFUSED.was_seen() && HANDLED.was_seen());
}

/// Handlers that end and join each other: of two that wait for each other one is refused.
#[test]
fn joins_from_handlers() {
    static REFUSED: Witness = Witness::new();
    static JOINED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 1);
        let topic = stage.topic("topic");
        let others = [Other::default(), Other::default()];
        let listeners = [0, 1].map(|at| {
            let other = others[1 - at].clone();
            let builder = topic.subscription("one").accept(&stage.kind);
            stage.listen_as(builder, Dispatch::Pool, move |_| {
                let Some(other) = other.get() else { return };
                other.unsubscribe();
                match other.join() {
                    Ok(()) => JOINED.see(),
                    Err(WaitError::WouldDeadlock) => REFUSED.see(),
                    other => panic!("{other:?}"),
                }
            })
        });
        listeners.iter().zip(&others).for_each(|(listener, other)| other.is(listener));
        Told::of_all([0, 1].map(|by| stage.publisher(by, 1, &topic)));
        stage.finish(listeners.into()).iter().for_each(|seen| seen.check_no_gaps(2));
    });
    assert!(REFUSED.was_seen() && JOINED.was_seen());
}
