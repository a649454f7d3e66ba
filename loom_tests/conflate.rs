//! Conflate: messages replaced while the owner takes, goes to rest, or comes to the end.

use super::{Plain, Witness, explore, give_back, kind, mailbox};
use crate::mailbox::{Consumer, Key, Mailbox, Offer, Overflow, Patience};
use crate::message::{EndReason, MessageType};
use crate::queue::Close;
use crate::sync::{Arc, thread};
use loom::thread::spawn;

/// What the handler has: plain, so only the turn orders its calls.
#[derive(Default)]
struct Seen {
    values: Vec<(u64, u64)>,
    missed: u64,
    finals: u32,
}

#[derive(Clone)]
struct Subscriber {
    mailbox: Arc<Mailbox>,
    seen: Arc<Plain<Seen>>,
    kind: MessageType<(u64, u64)>,
}

impl Subscriber {
    fn new(capacity: usize) -> Self {
        let (seen, kind) = (Arc::new(Plain::new(Seen::default())), kind::<(u64, u64)>());
        let (shown, read, by) = (seen.clone(), kind.clone(), kind.clone());
        let latest = Overflow::conflate(move |message| by.read(message).map(|(key, _)| Key::from(*key)));
        let mailbox = mailbox(latest, capacity, Consumer::Serial, move |arrival| {
            shown.write(|seen| {
                assert_eq!(seen.finals, 0, "a call after the final one");
                thread::yield_now();
                seen.missed += arrival.told.missed;
                seen.finals += u32::from(arrival.told.end.is_some());
                seen.values.extend(read.read(arrival.message));
            });
        });
        Self { mailbox, seen, kind }
    }

    /// Publishes one message of `key`. False: the end came first.
    fn send(&self, key: u64, number: u64) -> bool {
        let word = self.kind.message((key, number)).into_word();
        let offer = self.mailbox.offer_patiently(word, &mut Patience::none(), || {});
        match offer {
            Offer::Accepted { turn, .. } => {
                if turn {
                    self.mailbox.pass_turn();
                }
                true
            }
            other => {
                assert_eq!(other, Offer::Closed { turn: false });
                give_back(word);
                false
            }
        }
    }

    fn close(&self) {
        if self.mailbox.close(EndReason::Unsubscribed) == (Close::Now { turn: true }) {
            self.mailbox.pass_turn();
        }
    }

    /// Each key in its order, `sent` in all, handled or told. Returns how many were not handled.
    fn check(&self, sent: u64) -> u64 {
        self.seen.read(|seen| {
            for key in 0..3 {
                assert!(seen.values.iter().filter(|value| value.0 == key).is_sorted(), "{:?}", seen.values);
            }
            assert_eq!(seen.values.len() as u64 + seen.missed, sent);
            seen.missed
        })
    }
}

/// One publisher replaces what the other one's run is about to take: the last of the key always arrives.
#[test]
fn replacing_against_take() {
    static REPLACED: Witness = Witness::new();
    static HANDLED: Witness = Witness::new();
    explore(3, || {
        let subscriber = Subscriber::new(2);
        let other = subscriber.clone();
        let publisher = spawn(move || assert!(other.send(0, 1) && other.send(0, 2)));
        assert!(subscriber.send(1, 1));
        publisher.join().unwrap();
        assert!(subscriber.mailbox.is_idle());
        if subscriber.check(3) > 0 { &REPLACED } else { &HANDLED }.see();
        subscriber.seen.read(|seen| {
            let last = seen.values.iter().rfind(|value| value.0 == 0);
            assert_eq!(last, Some(&(0, 2)));
        });
    });
    assert!(REPLACED.was_seen() && HANDLED.was_seen());
}

/// A new key comes just as the owner goes to rest: one of the two runs it.
#[test]
fn new_key_against_idle() {
    explore(4, || {
        let subscriber = Subscriber::new(2);
        let other = subscriber.clone();
        let publisher = spawn(move || assert!(other.send(0, 1)));
        assert!(subscriber.send(1, 1) && subscriber.send(1, 2));
        publisher.join().unwrap();
        assert!(subscriber.mailbox.is_idle());
        subscriber.check(3);
    });
}

/// The end against a replacement: what was accepted is handled or told, by the final message at the latest.
#[test]
fn close_against_replacing() {
    static REFUSED: Witness = Witness::new();
    static REPLACED: Witness = Witness::new();
    explore(3, || {
        let subscriber = Subscriber::new(2);
        let other = subscriber.clone();
        let publisher = spawn(move || u64::from(other.send(0, 1)) + u64::from(other.send(0, 2)));
        let ours = u64::from(subscriber.send(0, 0));
        subscriber.close();
        let sent = ours + publisher.join().unwrap();
        if sent < 3 {
            REFUSED.see();
        }
        if subscriber.seen.read(|seen| seen.missed) > 0 {
            REPLACED.see();
        }
        subscriber.seen.read(|seen| {
            assert_eq!((seen.values.len() as u64 + seen.missed, seen.finals), (sent, 1));
        });
    });
    assert!(REFUSED.was_seen() && REPLACED.was_seen());
}

/// More keys than there is room for: the oldest is evicted while the owner takes it, or its message is.
#[test]
fn evicting_against_take() {
    static EVICTED: Witness = Witness::new();
    explore(3, || {
        let subscriber = Subscriber::new(1);
        let other = subscriber.clone();
        let publisher = spawn(move || assert!(other.send(0, 1) && other.send(1, 1)));
        assert!(subscriber.send(2, 1));
        publisher.join().unwrap();
        subscriber.close();
        if subscriber.check(3) > 0 {
            EVICTED.see();
        }
    });
    assert!(EVICTED.was_seen());
}
