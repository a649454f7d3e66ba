//! Water marks: who passes one counts it, and somebody tells it.

use super::{Plain, Witness, arm, explore, kind, profile};
use crate::dispatch::job::{After, Budget, Job};
use crate::mailbox::{Consumer, Crossing, Handler, Limits, Mailbox, Offer, Overflow};
use crate::message::EndReason;
use crate::queue::{Close, Marks};
use crate::sync::time::Clock;
use crate::sync::{Arc, thread};
use loom::thread::spawn;

/// What the callback heard: plain, so that two calls at once, or unordered ones, fail.
type Heard = Arc<Plain<Vec<(u64, Crossing, u64)>>>;

/// A mailbox whose every message passes the high mark, and what its callback hears.
fn congested_by_one() -> (Arc<Mailbox>, Heard) {
    congested_by(1)
}

fn congested_by(high: u64) -> (Arc<Mailbox>, Heard) {
    let heard: Heard = Arc::new(Plain::new(Vec::new()));
    let noted = heard.clone();
    let limits = Limits {
        capacity: 4,
        overflow: Overflow::DropNewest,
        marks: Marks { high, low: 0 },
        on_water_mark: Some(Box::new(move |mark| {
            noted.write(|heard| {
                thread::yield_now();
                heard.push((mark.number, mark.crossing, mark.depth));
            });
        })),
    };
    let mailbox = Arc::new(Mailbox::new(profile(), limits, Consumer::Serial, Arc::new(Clock::manual())));
    arm(&mailbox, Handler::Each(Box::new(|_| {})));
    (mailbox, heard)
}

/// Publishes one message, as a walk does: the turn is passed on, then the crossing is told.
fn publish(mailbox: &Mailbox) {
    let word = kind().message(1u8).into_word();
    let Offer::Accepted { turn, crossed, .. } = mailbox.offer(word, &mut Vec::new()) else {
        panic!("there is room");
    };
    if crossed {
        mailbox.tell_crossings();
    }
    if turn {
        mailbox.pass_turn();
    }
}

/// Odd numbers are High; each number is told once, in order.
fn check(heard: &Heard) -> usize {
    heard.read(|heard| {
        for (at, &(number, crossing, _)) in heard.iter().enumerate() {
            assert_eq!(number, at as u64 + 1);
            assert_eq!(crossing == Crossing::High, number % 2 == 1);
        }
        heard.len()
    })
}

/// Publishers pass high while the consumer passes low: every crossing is told once, in order, by one thread at a time,
/// and the last one says that the mailbox is calm.
#[test]
fn crossings_are_told_in_order() {
    static TWICE: Witness = Witness::new();
    explore(3, || {
        let (mailbox, heard) = congested_by_one();
        let theirs = mailbox.clone();
        let publisher = spawn(move || publish(&theirs));
        publish(&mailbox);
        publisher.join().unwrap();
        assert!(mailbox.is_idle());
        match check(&heard) {
            2 => {}
            4 => TWICE.see(),
            other => panic!("{other} crossings told"),
        }
    });
    assert!(TWICE.was_seen());
}

/// The consumer may pass low, and tell, before the publisher that passed high has counted that: it was at the mark at least.
#[test]
fn high_is_told_with_its_depth() {
    static HEARD: Witness = Witness::new();
    explore(3, || {
        let (mailbox, heard) = congested_by(2);
        let theirs = mailbox.clone();
        let publisher = spawn(move || publish(&theirs));
        publish(&mailbox);
        publisher.join().unwrap();
        heard.read(|heard| {
            if let Some((number, crossing, depth)) = heard.first() {
                assert_eq!((*number, *crossing, *depth), (1, Crossing::High, 2));
                HEARD.see();
            }
        });
    });
    assert!(HEARD.was_seen());
}

/// The end comes while a publisher tells: the callback is dropped by whoever is last, and not called after that.
#[test]
fn end_against_a_crossing() {
    static TOLD: Witness = Witness::new();
    static LATE: Witness = Witness::new();
    explore(3, || {
        let (mailbox, heard) = congested_by_one();
        let word = kind().message(1u8).into_word();
        let offered = mailbox.offer(word, &mut Vec::new());
        assert!(matches!(offered, Offer::Accepted { turn: true, crossed: true, .. }));
        let theirs = mailbox.clone();
        let publisher = spawn(move || theirs.tell_crossings());
        assert_eq!(mailbox.close(EndReason::Unsubscribed), Close::Now { turn: false });
        // SAFETY: the turn came with the message.
        while unsafe { mailbox.run(Budget::OWN) } != After::Ended {
            thread::yield_now();
        }
        publisher.join().unwrap();
        assert_eq!(Arc::strong_count(&heard), 1, "the callback is gone");
        if check(&heard) == 2 { &TOLD } else { &LATE }.see();
        // SAFETY: the count leaked by `hold_itself`; the mailbox has ended.
        unsafe { Arc::decrement_strong_count(Arc::as_ptr(&mailbox)) };
    });
    assert!(TOLD.was_seen() && LATE.was_seen());
}
