//! Catching up: what stands before the ring, against publishers, the end, and a shutdown that discards; and with the public
//! bus, in manual mode, somebody who catches up against somebody who writes.

use super::one_entry::Model;
use super::{Plain, Witness, arm, counted, ending, explore, give_back, go_one_way, kind, profile};
use crate::dispatch::fence::Fence;
use crate::dispatch::threads::Threads;
use crate::dispatch::wait::Wait;
use crate::mailbox::{Consumer, Handler, Limits, Mailbox, Offer, Overflow, Reader, Standing, dedicated};
use crate::message::{EndReason, MessageType};
use crate::queue::Close;
use crate::sync::Arc;
use crate::sync::time::Clock;
use loom::thread::spawn;

/// A mailbox with something before its ring; nobody has placed it yet.
fn held(consumer: Consumer) -> Mailbox {
    let limits =
        Limits { capacity: 2, overflow: Overflow::default(), marks: super::NO_MARKS, on_water_mark: None };
    Mailbox::new(profile(), limits, consumer, Arc::new(Clock::manual())).with_prelude(kind(), 1)
}

/// What its handler has, in order; 0 is the final message.
struct Subscriber {
    mailbox: Arc<Mailbox>,
    seen: Arc<Plain<Vec<u8>>>,
    kind: MessageType<u8>,
}

impl Subscriber {
    fn new(consumer: Consumer) -> Self {
        let (seen, kind) = (Arc::new(Plain::new(Vec::new())), kind::<u8>());
        let (shown, read) = (seen.clone(), kind.clone());
        let mailbox = Arc::new(held(consumer));
        arm(
            &mailbox,
            Handler::Each(Box::new(move |arrival| {
                shown.write(|seen: &mut Vec<u8>| {
                    assert_eq!(arrival.told.seq, seen.len() as u64);
                    seen.push(read.read(arrival.message).copied().unwrap_or(0));
                });
            })),
        );
        Self { mailbox, seen, kind }
    }

    fn place(&self, values: &[u8]) {
        let items = standing(&self.kind, values);
        // SAFETY: the turn is the model's since the mailbox was made.
        unsafe { self.mailbox.place_and_pass(items) };
    }
}

fn standing(kind: &MessageType<u8>, values: &[u8]) -> Vec<Standing> {
    values.iter().map(|value| Standing::Message(kind.message(*value))).collect()
}

/// Publishes one value. False: the end came first.
fn send(mailbox: &Mailbox, kind: &MessageType<u8>, value: u8) -> bool {
    let word = kind.message(value).into_word();
    match mailbox.offer(word, &mut Vec::new()) {
        Offer::Accepted { turn, .. } => {
            if turn {
                mailbox.pass_turn();
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

fn close(mailbox: &Mailbox) {
    if mailbox.close(EndReason::Unsubscribed) == (Close::Now { turn: true }) {
        mailbox.pass_turn();
    }
}

/// A publish and the end come while the snapshot is collected, or after it: it comes first, all of it, then the publish,
/// then the final message.
#[test]
fn snapshot_comes_first() {
    static ACCEPTED: Witness = Witness::new();
    static REFUSED: Witness = Witness::new();
    explore(3, || {
        let subscriber = Subscriber::new(Consumer::Serial);
        let (mailbox, made) = (subscriber.mailbox.clone(), subscriber.kind.clone());
        let publisher = spawn(move || send(&mailbox, &made, 4));
        let ended = subscriber.mailbox.clone();
        let closer = spawn(move || close(&ended));
        subscriber.place(&[1, 2, 3]);
        let accepted = publisher.join().unwrap();
        closer.join().unwrap();
        if accepted { &ACCEPTED } else { &REFUSED }.see();
        assert!(subscriber.mailbox.done().is_set());
        let expected: &[u8] = if accepted { &[1, 2, 3, 4, 0] } else { &[1, 2, 3, 0] };
        subscriber.seen.read(|seen| assert_eq!(seen, expected));
    });
    assert!(ACCEPTED.was_seen() && REFUSED.was_seen());
}

/// A thread of its own runs the mailbox whether IDLE stands or not: it does not begin before the snapshot stands there.
#[test]
fn thread_of_its_own_waits_for_the_snapshot() {
    explore(2, || {
        let subscriber = Subscriber::new(Consumer::dedicated());
        let threads = Threads::new(0, Arc::new(Fence::new(None)), None);
        let runner = dedicated::start(&threads, &subscriber.mailbox, String::new(), Wait::Park).unwrap();
        let (mailbox, made) = (subscriber.mailbox.clone(), subscriber.kind.clone());
        let publisher = spawn(move || assert!(send(&mailbox, &made, 2)));
        subscriber.place(&[1]);
        publisher.join().unwrap();
        close(&subscriber.mailbox);
        runner.join();
        subscriber.seen.read(|seen| assert_eq!(seen, &[1, 2, 0]));
    });
}

/// A shutdown throws a stream's queue away while its snapshot is placed: what is not read counts, and nothing stays.
#[test]
fn discarded_snapshot_is_counted() {
    static LATE: Witness = Witness::new();
    explore(4, || {
        let reader = Arc::new(Reader::new(Arc::new(held(Consumer::stream())), ending()));
        let its = reader.clone();
        let shutdown = spawn(move || {
            its.mailbox().discard();
            its.throw_away()
        });
        reader.place(standing(&kind(), &[1, 2]));
        if shutdown.join().unwrap() == 0 {
            LATE.see();
        }
        assert_eq!((reader.mailbox().accepted(), reader.mailbox().depth()), (2, 0));
        assert!(reader.is_drained());
        assert_eq!(counted(reader.mailbox()), 2);
    });
    assert!(LATE.was_seen());
}

/// What is told of the one entry: by a snapshot or not, what it was, what it is.
type Told = (bool, Option<u8>, Option<u8>);

/// A cache of one entry, in which 1 stands.
fn cached_one() -> Model {
    let model = Model::new();
    model.publish(1);
    model
}

impl Model {
    /// Catches up while `other` is published by somebody else. Returns what was told, in order.
    fn catch_up_against(&self, other: crate::Message) -> Vec<Told> {
        let topic = self.topic.clone();
        let writer = spawn(move || _ = topic.publish(other));
        let mut late =
            self.cache.snapshot_subscription("late").accept_update_of(&self.kind).stream().unwrap();
        writer.join().unwrap();
        go_one_way();
        let (mut told, mut ends) = (Vec::new(), 0);
        while let Ok(received) = late.try_recv() {
            ends += u32::from(received.read(self.bus.snapshot_ends()).is_some());
            if let Some(update) = received.read(self.bus.cache_updates()) {
                let read =
                    |state: &Option<crate::Message>| state.as_ref().and_then(|m| self.kind.read(m)).copied();
                assert_eq!((update.is_snapshot(), ends), (ends == 0, u32::from(!update.is_snapshot())));
                told.push((update.is_snapshot(), read(&update.old), read(&update.new)));
            }
        }
        assert_eq!(ends, 1);
        told
    }
}

/// It changes: before the look, so that the snapshot has it; or after it, so that the update comes.
#[test]
fn update_against_catching_up() {
    static BEFORE: Witness = Witness::new();
    static AFTER: Witness = Witness::new();
    explore(2, || {
        let cached = cached_one();
        let told = cached.catch_up_against(cached.kind.message(2));
        match told.as_slice() {
            [(true, None, Some(2))] => BEFORE.see(),
            [(true, None, Some(1)), (false, Some(1), Some(2))] => AFTER.see(),
            _ => panic!("{told:?}"),
        }
    });
    assert!(BEFORE.was_seen() && AFTER.was_seen());
}

/// It is cleared: it was never there, or it goes.
#[test]
fn clear_against_catching_up() {
    static BEFORE: Witness = Witness::new();
    static AFTER: Witness = Witness::new();
    explore(2, || {
        let cached = cached_one();
        let state = cached.cache.get(&cached.kind, "one").unwrap();
        let told = cached.catch_up_against(cached.bus.clear(&state));
        match told.as_slice() {
            [] => BEFORE.see(),
            [(true, None, Some(1)), (false, Some(1), None)] => AFTER.see(),
            _ => panic!("{told:?}"),
        }
    });
    assert!(BEFORE.was_seen() && AFTER.was_seen());
}
