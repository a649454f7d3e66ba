//! Batches: groups out of the ring are kept until the batch is full or nothing more is there.

use super::{Plain, Witness, arm, bare_mailbox, explore, give_back, kind, pool};
use crate::dispatch::job::{After, Budget, Job};
use crate::mailbox::{BatchItem, Batcher, Consumer, Handler, Mailbox, Offer, Overflow};
use crate::message::{EndReason, MessageType};
use crate::queue::Close;
use crate::sync::{Arc, thread};
use loom::thread::spawn;

/// What the handler has: plain, so only the turn orders its calls. The final message is 99.
type Seen = Arc<Plain<Vec<Vec<u8>>>>;

#[derive(Clone)]
struct Subscriber {
    mailbox: Arc<Mailbox>,
    seen: Seen,
    kind: MessageType<u8>,
}

impl Subscriber {
    /// A mailbox for two whose batches have three messages at most: more than one group.
    fn new(consumer: Consumer) -> Self {
        let (seen, kind) = (Seen::new(Plain::new(Vec::new())), kind::<u8>());
        let (shown, read) = (seen.clone(), kind.clone());
        let value =
            move |item: &BatchItem| item.told.end.map_or_else(|| *read.read(item.message()).unwrap(), |_| 99);
        let handler = move |items: &[BatchItem]| {
            shown.write(|seen| seen.push(items.iter().map(&value).collect()));
            thread::yield_now();
        };
        let mailbox = bare_mailbox(Overflow::default(), 2, consumer);
        arm(&mailbox, Handler::Batch(Box::new(Batcher::new(Box::new(handler), 3))));
        Self { mailbox, seen, kind }
    }

    /// Offers one message. True: the caller has the turn.
    fn offer(&self, value: u8) -> bool {
        let word = self.kind.message(value).into_word();
        match self.mailbox.offer(word, &mut Vec::new()) {
            Offer::Accepted { turn, .. } => turn,
            _ => {
                give_back(word);
                panic!("refused");
            }
        }
    }

    /// The same, and passes the turn on.
    fn send(&self, value: u8) {
        if self.offer(value) {
            self.mailbox.pass_turn();
        }
    }

    fn close(&self) {
        if self.mailbox.close(EndReason::Unsubscribed) == (Close::Now { turn: true }) {
            self.mailbox.pass_turn();
        }
    }

    /// Two publishers, the second from 10 on: all there, each one's in its order, and no batch is empty or too large.
    fn check(&self, sent: &[u8]) {
        self.seen.read(|seen| {
            assert!(seen.iter().all(|batch| (1..=3).contains(&batch.len())), "{seen:?}");
            let (tens, ones): (Vec<u8>, Vec<u8>) = seen.concat().iter().partition(|&&value| value >= 10);
            assert!(ones.is_sorted() && tens.is_sorted(), "{seen:?}");
            let mut values = seen.concat();
            values.sort();
            assert_eq!(values, sent);
        });
    }
}

/// Two publishers, who are the two workers as well: every message is in one batch, whatever leaves the ring meanwhile,
/// and the final is the last, by itself.
#[test]
fn batches_lose_nothing_and_the_final_is_by_itself() {
    static LARGE: Witness = Witness::new();
    explore(2, || {
        let pool = pool();
        let subscriber = Subscriber::new(Consumer::Pool(pool.clone()));
        let (other, queue) = (subscriber.clone(), pool.clone());
        let worker = spawn(move || {
            other.send(0);
            other.send(1);
            queue.run_until_idle();
        });
        subscriber.send(10);
        pool.run_until_idle();
        worker.join().unwrap();
        subscriber.close();
        pool.run_until_idle();
        subscriber.check(&[0, 1, 10, 99]);
        subscriber.seen.read(|seen| {
            assert_eq!(seen.last(), Some(&vec![99]));
            if seen.iter().any(|batch| batch.len() == 3) {
                LARGE.see();
            }
        });
    });
    assert!(LARGE.was_seen(), "no batch of two groups");
}

/// A worker that lingers, or rests, keeps no batch back.
#[test]
fn no_batch_is_kept_over_a_rest() {
    static RESTED: Witness = Witness::new();
    fn run(subscriber: &Subscriber) {
        loop {
            // SAFETY: the caller has the turn.
            match unsafe { subscriber.mailbox.run(Budget::SHARED) } {
                After::Linger(_) => RESTED.see(),
                After::Again | After::Busy => thread::yield_now(),
                After::Idle | After::Ended => return,
            }
        }
    }
    explore(4, || {
        let subscriber = Subscriber::new(Consumer::Serial);
        assert!(subscriber.offer(0));
        let other = subscriber.clone();
        let publisher = spawn(move || {
            if other.offer(10) {
                run(&other);
            }
        });
        run(&subscriber);
        publisher.join().unwrap();
        subscriber.check(&[0, 10]);
        assert!(subscriber.mailbox.is_idle());
    });
    assert!(RESTED.was_seen());
}
