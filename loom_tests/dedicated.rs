//! A thread of its own for one mailbox: park against claim and close, and the same awake.

use super::{Plain, Witness, explore, give_back, kind, mailbox};
use crate::dispatch::fence::Fence;
use crate::dispatch::threads::Threads;
use crate::dispatch::wait::Wait;
use crate::mailbox::{Consumer, Mailbox, Offer, Overflow, dedicated};
use crate::message::{EndReason, MessageType};
use crate::queue::Close;
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, thread};
use std::time::Duration;

/// In a model the time of a spin has passed at once.
const SPIN: Wait = Wait::SpinThenPark(Duration::ZERO);

/// What the handler has: plain, so only the thread's own steps and the edges to who looks order it.
#[derive(Default)]
struct Seen {
    values: Vec<u8>,
    missed: u64,
    finals: u32,
}

struct Subscriber {
    mailbox: Arc<Mailbox>,
    seen: Arc<Plain<Seen>>,
    kind: MessageType<u8>,
}

impl Subscriber {
    /// With its thread, which ends after the final message.
    fn start(overflow: Overflow, capacity: usize, wait: Wait) -> (Self, JoinHandle<()>) {
        let (seen, kind) = (Arc::new(Plain::new(Seen::default())), kind::<u8>());
        let (shown, read) = (seen.clone(), kind.clone());
        let consumer = Consumer::dedicated();
        let mailbox = mailbox(overflow, capacity, consumer, move |arrival| {
            shown.write(|seen| {
                assert_eq!(seen.finals, 0, "a call after the final one");
                seen.missed += arrival.told.missed;
                seen.finals += u32::from(arrival.told.end.is_some());
                seen.values.extend(read.read(arrival.message));
            });
        });
        let threads = Threads::new(0, Arc::new(Fence::new(None)), None);
        let thread = dedicated::start(&threads, &mailbox, String::new(), wait).unwrap();
        (Self { mailbox, seen, kind }, thread)
    }

    /// Offers one message and passes the turn on. `Some(turn)`: it was accepted.
    fn send(&self, value: u8) -> Option<bool> {
        let word = self.kind.message(value).into_word();
        let mut evicted = Vec::new();
        match self.mailbox.offer(word, &mut evicted) {
            Offer::Accepted { turn, .. } => {
                if turn {
                    self.mailbox.pass_turn();
                }
                Some(turn)
            }
            Offer::Dropped | Offer::Closed { .. } | Offer::Disconnected { .. } => {
                give_back(word);
                None
            }
        }
    }

    fn close(&self) {
        if self.mailbox.close(EndReason::Unsubscribed) == (Close::Now { turn: true }) {
            self.mailbox.pass_turn();
        }
    }

    fn check(&self, wanted: &[u8]) {
        self.seen.read(|seen| {
            assert_eq!((seen.values.as_slice(), seen.missed, seen.finals), (wanted, 0, 1));
        });
    }
}

fn all_come(wait: Wait) {
    let (subscriber, thread) = Subscriber::start(Overflow::default(), 2, wait);
    assert!(subscriber.send(1).is_some() && subscriber.send(2).is_some());
    subscriber.close();
    thread.join();
    subscriber.check(&[1, 2]);
}

/// Two messages and the end against a thread that parks.
#[test]
fn dedicated_thread_never_parks_on_a_message() {
    explore(3, || all_come(Wait::Park));
}

/// The same against one that looks before it parks.
#[test]
fn dedicated_thread_that_spins_then_parks_misses_nothing() {
    explore(2, || all_come(SPIN));
}

/// The same against one that never parks: slot and reason to end are all that it looks at.
#[test]
fn dedicated_thread_that_spins_misses_nothing() {
    explore(2, || all_come(Wait::BusySpin));
}

/// A second message finds the thread awake, and need not wake it: IDLE is down.
#[test]
fn thread_that_spins_is_not_woken() {
    explore(2, || {
        let (subscriber, thread) = Subscriber::start(Overflow::default(), 2, Wait::BusySpin);
        let first = subscriber.send(1);
        while !subscriber.mailbox.is_idle() {
            thread::yield_now();
        }
        assert_eq!((first, subscriber.send(2)), (Some(true), Some(false)));
        subscriber.close();
        thread.join();
        subscriber.check(&[1, 2]);
    });
}

fn quiet_is_handled(wait: Wait) -> bool {
    let (subscriber, thread) = Subscriber::start(Overflow::default(), 2, wait);
    assert!(subscriber.send(1).is_some());
    let mut looks = 0;
    while !subscriber.mailbox.is_idle() {
        looks += 1;
        thread::yield_now();
    }
    subscriber.seen.read(|seen| assert_eq!(seen.values, [1], "called quiet before it was handled"));
    subscriber.close();
    thread.join();
    looks > 0
}

/// The shutdown's look: who finds it quiet finds everything handled, and ordered before the look.
#[test]
fn quiet_means_handled() {
    static WAITED: Witness = Witness::new();
    for wait in [Wait::Park, Wait::BusySpin] {
        explore(3, move || {
            if quiet_is_handled(wait) {
                WAITED.see();
            }
        });
    }
    assert!(WAITED.was_seen());
}

/// What does not fit goes to the spill, which a thread that looks at its slot alone would never find.
#[test]
fn thread_that_spins_finds_the_spill() {
    explore(1, || {
        let (subscriber, thread) = Subscriber::start(Overflow::default(), 1, Wait::BusySpin);
        for value in 1..=3 {
            assert!(subscriber.send(value).is_some());
        }
        while !subscriber.mailbox.is_idle() {
            thread::yield_now();
        }
        subscriber.close();
        thread.join();
        subscriber.check(&[1, 2, 3]);
    });
}

/// A producer that takes the oldest out leaves an empty slot at the thread's own position, where that one waits.
#[test]
fn thread_that_spins_follows_what_was_evicted() {
    static EVICTED: Witness = Witness::new();
    explore(1, || {
        let (subscriber, thread) = Subscriber::start(Overflow::DropOldest, 3, Wait::BusySpin);
        for values in [1..=1, 2..=5] {
            values.for_each(|value| _ = subscriber.send(value));
            while !subscriber.mailbox.is_idle() {
                thread::yield_now();
            }
        }
        let all_are_known = || {
            subscriber.seen.read(|seen| {
                assert_eq!(seen.values.len() as u64 + seen.missed, 5, "{:?}", seen.values);
                if seen.missed > 0 {
                    EVICTED.see();
                }
            });
        };
        // The gap was told with the message behind it, and the end adds nothing.
        all_are_known();
        subscriber.close();
        thread.join();
        all_are_known();
    });
    assert!(EVICTED.was_seen());
}
