//! Consumers that sleep, and are woken for each message.

use super::spinning::by_bus;
use super::track::Track;
use super::{Contestant, row};
use crate::bench::Outcome;
use crate::pinning::{CONSUMER, spawn_on};
use stasis_bus::{Bus, Dispatch, Wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const CAPACITY: usize = 1024;

pub fn all() -> Vec<Contestant> {
    vec![
        row("stasis", "stasis pool", "Park", pool),
        row("stasis", "stasis dedicated", "Park", dedicated),
        row("unpark", "park and unpark", "park", unpark),
        row("crossbeam", "crossbeam", "recv", crossbeam),
        row("tokio-broadcast", "tokio-broadcast", "blocking_recv", tokio_broadcast),
    ]
}

fn pool(track: &Arc<Track>) -> Outcome<()> {
    by_bus(track, Bus::builder().workers(1..=1).wait(Wait::Park), |builder| builder)
}

fn dedicated(track: &Arc<Track>) -> Outcome<()> {
    by_bus(track, Bus::builder(), |builder| builder.dispatch(Dispatch::Dedicated).wait(Wait::Park))
}

/// The floor: a word, and a thread that is woken to look at it.
fn unpark(track: &Arc<Track>) -> Outcome<()> {
    let word = Arc::new(AtomicU64::new(0));
    let (slot, handled) = (word.clone(), track.clone());
    let consumer = spawn_on(CONSUMER, move || {
        for number in 0..handled.messages() {
            while slot.load(Ordering::Acquire) <= number {
                thread::park();
            }
            handled.handle(number);
        }
    });
    let thread = consumer.thread().clone();
    track.publish(
        |number| number,
        |number| {
            word.store(number + 1, Ordering::Release);
            thread.unpark();
        },
    );
    consumer.join().map_err(|_| "the consumer panicked".into())
}

fn crossbeam(track: &Arc<Track>) -> Outcome<()> {
    let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
    by_receiving(track, move || receiver.recv().ok(), |parcel| sender.send(parcel).is_ok())
}

fn tokio_broadcast(track: &Arc<Track>) -> Outcome<()> {
    let (sender, mut receiver) = tokio::sync::broadcast::channel(CAPACITY);
    by_receiving(track, move || receiver.blocking_recv().ok(), |parcel| sender.send(parcel).is_ok())
}

fn by_receiving(
    track: &Arc<Track>,
    mut receive: impl FnMut() -> Option<Arc<u64>> + Send + 'static,
    mut send: impl FnMut(Arc<u64>) -> bool,
) -> Outcome<()> {
    let (handled, messages) = (track.clone(), track.messages());
    let consumer = spawn_on(CONSUMER, move || {
        (0..messages).map_while(|_| receive()).for_each(|number| handled.handle(*number));
    });
    track.publish(Arc::new, |parcel| assert!(send(parcel), "the channel is open"));
    consumer.join().map_err(|_| "the consumer panicked".into())
}
