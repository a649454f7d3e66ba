//! A whole mailbox: offered to by publishers, run through a pool's queue or by the publishers themselves.

use super::{Plain, Witness, counted, explore, give_back, kind, mailbox, pool};
use crate::dispatch::job::{After, Budget, Job};
use crate::mailbox::{Arrival, Consumer, Mailbox, Offer, Overflow};
use crate::message::{EndReason, MessageType};
use crate::queue::Close;
use crate::sync::{Arc, thread};
use loom::thread::spawn;

/// What the handler has: plain, so only the turn orders its calls.
#[derive(Default)]
struct Seen {
    values: Vec<u8>,
    missed: u64,
    finals: u32,
    end: Option<EndReason>,
}

/// A mailbox and what its handler saw.
#[derive(Clone)]
struct Subscriber {
    mailbox: Arc<Mailbox>,
    seen: Arc<Plain<Seen>>,
    kind: MessageType<u8>,
}

impl Subscriber {
    fn new(overflow: Overflow, capacity: usize, consumer: Consumer) -> Self {
        let (seen, kind) = (Arc::new(Plain::new(Seen::default())), kind::<u8>());
        let (shown, read) = (seen.clone(), kind.clone());
        let mailbox = mailbox(overflow, capacity, consumer, move |arrival| {
            shown.write(|seen| {
                assert_eq!(seen.finals, 0, "a call after the final one");
                thread::yield_now();
                seen.missed += arrival.told.missed;
                seen.finals += u32::from(arrival.told.end.is_some());
                seen.end = arrival.told.end;
                seen.values.extend(read.read(arrival.message));
            });
        });
        Self { mailbox, seen, kind }
    }

    /// One that has room for one message, and has it. The caller has the turn: it stays full until that is passed on.
    fn full(overflow: Overflow) -> Self {
        let subscriber = Self::new(overflow, 1, Consumer::Serial);
        let word = subscriber.kind.message(0).into_word();
        let offer = subscriber.mailbox.offer(word, &mut Vec::new());
        assert!(matches!(offer, Offer::Accepted { turn: true, .. }));
        subscriber
    }

    /// Offers one message; passes the turn on. False: refused.
    fn send(&self, value: u8) -> bool {
        matches!(self.offer(value), Offer::Accepted { .. })
    }

    /// The same.
    fn offer(&self, value: u8) -> Offer {
        let word = self.kind.message(value).into_word();
        let offer = self.mailbox.offer(word, &mut Vec::new());
        if !matches!(offer, Offer::Accepted { .. }) {
            give_back(word);
        }
        if let Offer::Accepted { turn: true, .. }
        | Offer::Disconnected { turn: true }
        | Offer::Closed { turn: true } = offer
        {
            self.mailbox.pass_turn();
        }
        offer
    }

    fn close(&self) {
        if self.mailbox.close(EndReason::Unsubscribed) == (Close::Now { turn: true }) {
            self.mailbox.pass_turn();
        }
    }

    /// `sent` by two publishers, the second from 10 on: all there, each one's in its order.
    fn check(&self, sent: &[u8]) {
        self.seen.read(|seen| {
            let (tens, ones): (Vec<u8>, Vec<u8>) = seen.values.iter().partition(|&&value| value >= 10);
            assert!(ones.is_sorted() && tens.is_sorted(), "{:?}", seen.values);
            let mut values = seen.values.clone();
            values.sort();
            assert_eq!(values, sent);
        });
    }
}

/// Two publishers, who are the two workers as well: every message is handled, by one worker at a time, the final last.
#[test]
fn pool_mailbox_is_run_by_one_worker_at_a_time() {
    explore(3, || {
        let pool = pool();
        let subscriber = Subscriber::new(Overflow::default(), 1, Consumer::Pool(pool.clone()));
        let (other, queue) = (subscriber.clone(), pool.clone());
        let worker = spawn(move || {
            assert!(other.send(0) && other.send(1));
            queue.run_until_idle();
        });
        assert!(subscriber.send(10));
        pool.run_until_idle();
        worker.join().unwrap();
        subscriber.close();
        pool.run_until_idle();
        subscriber.check(&[0, 1, 10]);
        assert_eq!(subscriber.seen.read(|seen| seen.finals), 1);
    });
}

/// A worker that found little keeps the turn and comes again; a message that comes meanwhile brings no second turn.
#[test]
fn lingering_worker_keeps_the_turn() {
    static LINGERED: Witness = Witness::new();
    fn run(mailbox: &Mailbox) {
        loop {
            // SAFETY: the caller has the turn.
            match unsafe { mailbox.run(Budget::SHARED) } {
                After::Linger(_) => LINGERED.see(),
                After::Again | After::Busy => thread::yield_now(),
                After::Idle | After::Ended => return,
            }
        }
    }
    fn offer(subscriber: &Subscriber, value: u8) -> Offer {
        subscriber.mailbox.offer(subscriber.kind.message(value).into_word(), &mut Vec::new())
    }
    explore(4, || {
        let subscriber = Subscriber::new(Overflow::default(), 2, Consumer::Serial);
        assert!(matches!(offer(&subscriber, 0), Offer::Accepted { turn: true, .. }));
        let other = subscriber.clone();
        let publisher = spawn(move || {
            if let Offer::Accepted { turn: true, .. } = offer(&other, 10) {
                run(&other.mailbox);
            }
        });
        run(&subscriber.mailbox);
        publisher.join().unwrap();
        subscriber.check(&[0, 10]);
        assert!(subscriber.mailbox.is_idle());
    });
    assert!(LINGERED.was_seen());
}

/// A Serial mailbox: the publisher that finds it idle runs it, the other leaves its message there.
#[test]
fn serial_mailbox_is_run_by_one_publisher_at_a_time() {
    explore(3, || {
        let subscriber = Subscriber::new(Overflow::default(), 2, Consumer::Serial);
        let other = subscriber.clone();
        let publisher = spawn(move || assert!(other.send(0) && other.send(1)));
        assert!(subscriber.send(10));
        publisher.join().unwrap();
        subscriber.check(&[0, 1, 10]);
        subscriber.close();
        assert_eq!(subscriber.seen.read(|seen| seen.finals), 1);
    });
}

/// Publish and close race: what was accepted is handled, then one final, and nothing after it.
#[test]
fn nothing_after_the_final() {
    static ACCEPTED: Witness = Witness::new();
    static CLOSED: Witness = Witness::new();
    explore(4, || {
        let subscriber = Subscriber::new(Overflow::default(), 2, Consumer::Serial);
        let other = subscriber.clone();
        let publisher = spawn(move || other.send(0));
        subscriber.close();
        let accepted = publisher.join().unwrap();
        if accepted { &ACCEPTED } else { &CLOSED }.see();
        subscriber.check(if accepted { &[0] } else { &[] });
        assert_eq!(subscriber.seen.read(|seen| seen.finals), 1);
    });
    assert!(ACCEPTED.was_seen() && CLOSED.was_seen());
}

/// Whatever is refused is told, at the latest with the final message: neither lost nor told twice.
#[test]
fn refused_messages_are_told_once() {
    static REFUSED: Witness = Witness::new();
    explore(3, || {
        let subscriber = Subscriber::new(Overflow::DropNewest, 1, Consumer::Serial);
        let other = subscriber.clone();
        let publisher = spawn(move || [other.send(0), other.send(1)]);
        let ours = subscriber.send(10);
        let accepted = publisher.join().unwrap().into_iter().chain([ours]).filter(|&sent| sent).count();
        subscriber.close();
        if accepted < 3 {
            REFUSED.see();
        }
        subscriber.seen.read(|seen| {
            assert_eq!(seen.values.len(), accepted);
            assert_eq!(seen.missed, 3 - accepted as u64);
        });
    });
    assert!(REFUSED.was_seen());
}

/// What was refused is told with the next message that gets in, not only in the end.
#[test]
fn next_message_tells_of_what_was_refused() {
    static TOLD: Witness = Witness::new();
    explore(2, || {
        let subscriber = Subscriber::full(Overflow::DropNewest);
        assert!(!subscriber.send(1));
        let other = subscriber.clone();
        let publisher = spawn(move || [2, 3, 4].map(|value| other.send(value)));
        subscriber.mailbox.pass_turn();
        let accepted = publisher.join().unwrap();
        let refused = 1 + accepted.iter().filter(|&sent| !sent).count() as u64;
        subscriber.seen.read(|seen| match accepted {
            [.., false] => assert!(seen.missed <= refused),
            [_, second, true] => {
                assert_eq!(seen.missed, refused);
                if !second {
                    TOLD.see();
                }
            }
        });
    });
    assert!(TOLD.was_seen());
}

/// DropOldest end to end: publishers take out what the owner is about to take, and the gaps add up.
#[test]
fn evicted_messages_are_told_once() {
    static EVICTED: Witness = Witness::new();
    explore(2, || {
        let subscriber = Subscriber::new(Overflow::DropOldest, 1, Consumer::Serial);
        let other = subscriber.clone();
        let publisher = spawn(move || [other.send(0), other.send(1)]);
        let ours = subscriber.send(10);
        let sent = publisher.join().unwrap().into_iter().chain([ours]).count();
        let all_are_known = || {
            subscriber.seen.read(|seen| {
                if seen.missed > 0 {
                    EVICTED.see();
                }
                assert_eq!(seen.values.len() as u64 + seen.missed, sent as u64);
            });
        };
        // A gap was told with the message behind it, and the end adds nothing.
        all_are_known();
        subscriber.close();
        all_are_known();
    });
    assert!(EVICTED.was_seen());
}

/// A publisher that finds no room ends the subscription, while another one does the same or the owner makes room: what
/// was accepted before is handled, and one final message tells of the one refused.
#[test]
fn overflow_ends_the_subscription_once() {
    static ENDED: Witness = Witness::new();
    static IDLE: Witness = Witness::new();
    explore(3, || {
        let subscriber = Subscriber::new(Overflow::Disconnect, 1, Consumer::Serial);
        let other = subscriber.clone();
        let publisher = spawn(move || [other.offer(0), other.offer(1)]);
        let ours = subscriber.offer(10);
        let offers = publisher.join().unwrap().into_iter().chain([ours]);
        let (mut accepted, mut disconnected) = (0, 0);
        for offer in offers {
            accepted += usize::from(matches!(offer, Offer::Accepted { .. }));
            disconnected += u64::from(matches!(offer, Offer::Disconnected { .. }));
            if offer == (Offer::Disconnected { turn: true }) {
                IDLE.see();
            }
        }
        if disconnected > 0 {
            ENDED.see();
            assert!(subscriber.mailbox.is_ending());
        }
        subscriber.close();
        subscriber.seen.read(|seen| {
            assert_eq!(seen.values.len(), accepted);
            assert_eq!((seen.missed, seen.finals), (disconnected, 1));
        });
    });
    assert!(ENDED.was_seen() && IDLE.was_seen());
}

/// A message is refused while the subscription ends for another reason: the final message tells of it, or the publisher
/// hears that it came after the end.
#[test]
fn refused_while_ending_is_told_or_closed() {
    static TOLD: Witness = Witness::new();
    static LATE: Witness = Witness::new();
    explore(4, || {
        let subscriber = Subscriber::full(Overflow::DropNewest);
        let other = subscriber.clone();
        let publisher = spawn(move || other.offer(10));
        assert_eq!(subscriber.mailbox.close(EndReason::Unsubscribed), Close::Now { turn: false });
        subscriber.mailbox.pass_turn();
        let offer = publisher.join().unwrap();
        subscriber.seen.read(|seen| {
            assert_eq!(seen.finals, 1);
            match offer {
                Offer::Dropped => {
                    TOLD.see();
                    assert_eq!(seen.missed, 1);
                }
                Offer::Closed { .. } => {
                    LATE.see();
                    assert_eq!(seen.missed, 0);
                }
                other => panic!("{other:?}"),
            }
        });
    });
    assert!(TOLD.was_seen() && LATE.was_seen());
}

/// The same, and the figures are read while that publisher is somewhere in between: once a subscription is over they say
/// what it was told, and stay so.
#[test]
fn figures_of_the_end_are_what_was_told() {
    static TOLD: Witness = Witness::new();
    static LATE: Witness = Witness::new();
    explore(4, || {
        let (told, kind) = (Arc::new(Plain::new(0)), kind::<u8>());
        let told_to = told.clone();
        // Without a pause, in which the publisher would go on.
        let handler = move |arrival: &Arrival<'_>| told_to.write(|told| *told += arrival.told.missed);
        let mailbox = mailbox(Overflow::DropNewest, 1, Consumer::Serial, handler);
        let first = mailbox.offer(kind.message(0).into_word(), &mut Vec::new());
        assert!(matches!(first, Offer::Accepted { turn: true, .. }));
        let other = mailbox.clone();
        let publisher = spawn(move || {
            let word = kind.message(1).into_word();
            let offer = other.offer(word, &mut Vec::new());
            give_back(word);
            offer
        });
        assert_eq!(mailbox.close(EndReason::Unsubscribed), Close::Now { turn: false });
        mailbox.pass_turn();
        let told = told.read(|told| *told);
        assert_eq!(counted(&mailbox), told);
        let offer = publisher.join().unwrap();
        let (witness, missed) = match offer {
            Offer::Dropped => (&TOLD, 1),
            Offer::Closed { .. } => (&LATE, 0),
            other => panic!("{other:?}"),
        };
        witness.see();
        assert_eq!((told, counted(&mailbox)), (missed, missed));
    });
    assert!(TOLD.was_seen() && LATE.was_seen());
}

/// A message that is refused ends the subscription while somebody ends it for another reason: one of the two stands, and the
/// final message tells of what was refused only if it was that.
#[test]
fn one_reason_ends_it() {
    static REFUSED: Witness = Witness::new();
    static LATE: Witness = Witness::new();
    explore(4, || {
        let subscriber = Subscriber::full(Overflow::Disconnect);
        let other = subscriber.clone();
        let publisher = spawn(move || other.offer(10));
        let first = subscriber.mailbox.begin_end(EndReason::Unsubscribed);
        let _ = subscriber.mailbox.close(EndReason::Unsubscribed);
        let offer = publisher.join().unwrap();
        subscriber.mailbox.pass_turn();
        let (reason, missed) = match offer {
            Offer::Disconnected { turn: false } => {
                REFUSED.see();
                (EndReason::Disconnected, 1)
            }
            Offer::Closed { turn: false } => {
                LATE.see();
                (EndReason::Unsubscribed, 0)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(first, reason == EndReason::Unsubscribed);
        subscriber.seen.read(|seen| {
            assert_eq!((seen.end, seen.missed, seen.finals), (Some(reason), missed, 1));
        });
    });
    assert!(REFUSED.was_seen() && LATE.was_seen());
}
