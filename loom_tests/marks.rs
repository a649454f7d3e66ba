//! Water marks: who passes one counts it, and somebody tells it.

use super::{Plain, Witness, arm, explore, kind, profile};
use crate::dispatch::job::{After, Budget, Job};
use crate::mailbox::{Consumer, Crossing, Handler, Limits, Mailbox, Moment, Offer, Overflow};
use crate::message::EndReason;
use crate::queue::{Close, Marks};
use crate::sync::time::Clock;
use crate::sync::{Arc, thread};
use loom::thread::spawn;
use std::num::NonZeroUsize;

/// What the callback heard: plain, so that two calls at once, or unordered ones, fail.
type Heard = Arc<Plain<Vec<(u64, Crossing, u64)>>>;

/// A mailbox whose every message passes the high mark, and what its callback hears.
fn congested_by_one() -> (Arc<Mailbox>, Heard) {
    with_marks(4, Marks { high: 1, low: 0 })
}

/// Two of a capacity of 8 are taken out together.
fn with_marks(capacity: usize, marks: Marks) -> (Arc<Mailbox>, Heard) {
    let heard: Heard = Arc::new(Plain::new(Vec::new()));
    let noted = heard.clone();
    let limits = Limits {
        capacity,
        overflow: Overflow::DropNewest,
        marks,
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

/// Puts one message in. Whether it brought the turn, and passed the high mark.
fn offer(mailbox: &Mailbox) -> (bool, bool) {
    offer_word(mailbox, kind().message(1u8).into_word())
}

fn offer_word(mailbox: &Mailbox, word: NonZeroUsize) -> (bool, bool) {
    match mailbox.offer(word, &mut Vec::new()) {
        Offer::Accepted { turn, crossed, .. } => (turn, crossed),
        other => panic!("{other:?}: there is room"),
    }
}

/// Publishes one message, as a walk does: the crossing is told, then the turn is passed on.
fn publish(mailbox: &Mailbox) {
    publish_word(mailbox, kind().message(1u8).into_word());
}

fn publish_word(mailbox: &Mailbox, word: NonZeroUsize) {
    let (turn, crossed) = offer_word(mailbox, word);
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
        let (mailbox, heard) = with_marks(4, Marks { high: 2, low: 0 });
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

/// Who passes a mark may leave it to another thread to tell: that one tells it with its depth. Two are taken out together,
/// and pass the low mark by more than one.
#[test]
fn low_is_told_with_its_depth() {
    explore(3, || {
        let (mailbox, heard) = with_marks(8, Marks { high: 2, low: 1 });
        assert_eq!([offer(&mailbox), offer(&mailbox)], [(true, false), (false, true)]);
        let theirs = mailbox.clone();
        let teller = spawn(move || theirs.tell_crossings());
        mailbox.pass_turn();
        teller.join().unwrap();
        heard.read(|heard| assert_eq!(heard[..], [(1, Crossing::High, 2), (2, Crossing::Low, 0)]));
    });
}

/// Puts one message in straight, if that can be. True: it could.
fn put(mailbox: &Mailbox) -> bool {
    let word = kind().message(1u8).into_word();
    let straight = mailbox.offer_straight(word, &mut Moment::default());
    match straight {
        Some(true) => _ = mailbox.pass_turn(),
        Some(false) => {}
        None => publish_word(mailbox, word),
    }
    straight.is_some()
}

/// Nobody takes, and two put in straight what can be: the mark is passed by one that cannot, and while the mailbox is
/// congested there is no mark to pass.
#[test]
fn mark_is_not_passed_straight() {
    static BELOW: Witness = Witness::new();
    static CONGESTED: Witness = Witness::new();
    explore(3, || {
        let (mailbox, heard) = with_marks(8, Marks { high: 3, low: 0 });
        assert_eq!(offer(&mailbox), (true, false), "the turn is ours until we run it");
        let theirs = mailbox.clone();
        let publisher = spawn(move || [put(&theirs), put(&theirs)]);
        let ours = put(&mailbox);
        let [first, second] = publisher.join().unwrap();
        heard.read(|heard| assert_eq!(heard[..], [(1, Crossing::High, 3)]));
        if first {
            BELOW.see();
        }
        if second && (first || ours) {
            CONGESTED.see();
        }
        assert!(put(&mailbox));
        mailbox.pass_turn();
        heard.read(|heard| assert_eq!(heard[1..], [(2, Crossing::Low, 0)]));
    });
    assert!(BELOW.was_seen() && CONGESTED.was_seen());
}

/// One goes straight into a congested mailbox while the owner makes it calm: none passes a mark that was told already, and
/// in the end it is calm.
#[test]
fn straight_while_congested_against_take() {
    static STRAIGHT: Witness = Witness::new();
    static AGAIN: Witness = Witness::new();
    explore(3, || {
        let (mailbox, heard) = with_marks(4, Marks { high: 2, low: 0 });
        assert_eq!([offer(&mailbox), offer(&mailbox)], [(true, false), (false, true)]);
        mailbox.tell_crossings();
        let theirs = mailbox.clone();
        let publisher = spawn(move || [put(&theirs), put(&theirs)]);
        mailbox.pass_turn();
        if publisher.join().unwrap() == [true, true] {
            STRAIGHT.see();
        }
        assert!(mailbox.is_idle());
        match check(&heard) {
            2 => {}
            4 => AGAIN.see(),
            other => panic!("{other} crossings told"),
        }
    });
    assert!(STRAIGHT.was_seen() && AGAIN.was_seen());
}

/// The end comes while a publisher tells: the callback is dropped by whoever is last, and not called after that.
#[test]
fn end_against_a_crossing() {
    static TOLD: Witness = Witness::new();
    static LATE: Witness = Witness::new();
    explore(3, || {
        let (mailbox, heard) = congested_by_one();
        assert_eq!(offer(&mailbox), (true, true));
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
