//! Block: a publisher that waits for room against the owner that makes it, and against the end.

use super::{Witness, explore, give_back, kind, mailbox};
use crate::dispatch::job::{After, Budget, Job};
use crate::mailbox::{Consumer, Mailbox, Offer, Overflow, Patience};
use crate::message::EndReason;
use crate::queue::Close;
use crate::sync::{Arc, thread};
use loom::thread::spawn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Time does not pass in a model; this only has to outlast it.
const LONG: Duration = Duration::from_secs(1 << 20);

/// A full mailbox of one. The caller has its turn.
fn full(handled: &Arc<AtomicUsize>) -> Arc<Mailbox> {
    let counted = handled.clone();
    let mailbox = mailbox(Overflow::Block(LONG), 1, Consumer::Serial, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    assert!(matches!(offer(&mailbox), Offer::Accepted { turn: true, .. }));
    mailbox
}

/// Offers one message, and waits for room.
fn offer(mailbox: &Mailbox) -> Offer {
    let word = kind().message(1u8).into_word();
    let offer = mailbox.offer_patiently(word, &mut Patience::new(true), || {});
    if !matches!(offer, Offer::Accepted { .. }) {
        give_back(word);
    }
    offer
}

/// Runs the mailbox until the turn is gone. The caller has it.
fn run(mailbox: &Mailbox) -> After {
    loop {
        // SAFETY: the caller has the turn.
        match unsafe { mailbox.run(Budget::OWN) } {
            After::Again | After::Linger | After::Busy => thread::yield_now(),
            gone => return gone,
        }
    }
}

/// The publisher finds no room, the owner makes some: it gets in, or it would sleep for ever.
#[test]
fn waiting_publisher_is_woken() {
    static TURN: Witness = Witness::new();
    explore(4, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let theirs = mailbox.clone();
        let publisher = spawn(move || offer(&theirs));
        assert_eq!(run(&mailbox), After::Idle);
        match publisher.join().unwrap() {
            Offer::Accepted { turn: true, .. } => {
                TURN.see();
                assert_eq!(run(&mailbox), After::Idle);
            }
            Offer::Accepted { .. } => {}
            refused => panic!("{refused:?}"),
        }
        assert_eq!(handled.load(Ordering::Relaxed), 2);
        assert!(mailbox.is_idle());
    });
    assert!(TURN.was_seen());
}

/// Two publishers wait for one place each.
#[test]
fn two_waiting_publishers_are_woken() {
    explore(1, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let publishers = [(); 2].map(|()| {
            let mailbox = mailbox.clone();
            spawn(move || {
                let offer = offer(&mailbox);
                assert!(matches!(offer, Offer::Accepted { .. }), "{offer:?}");
                if let Offer::Accepted { turn: true, .. } = offer {
                    assert_eq!(run(&mailbox), After::Idle);
                }
            })
        });
        assert_eq!(run(&mailbox), After::Idle);
        for publisher in publishers {
            publisher.join().unwrap();
        }
        assert_eq!(handled.load(Ordering::Relaxed), 3);
    });
}

/// A handler publishes beyond the capacity while a publisher waits: the ring spills, and there is room in the spill.
#[test]
fn waiting_publisher_is_woken_from_a_spill() {
    explore(3, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let beyond = kind().message(2u8).into_word();
        let offered = mailbox.offer_patiently(beyond, &mut Patience::none(), || {});
        assert_eq!(offered, Offer::Accepted { turn: false, over_capacity: true, crossed: false });
        let theirs = mailbox.clone();
        let publisher = spawn(move || offer(&theirs));
        assert_eq!(run(&mailbox), After::Idle);
        if let Offer::Accepted { turn: true, .. } = publisher.join().unwrap() {
            assert_eq!(run(&mailbox), After::Idle);
        }
        assert_eq!(handled.load(Ordering::Relaxed), 3);
    });
}

/// The subscription ends while a publisher waits, and nobody makes room: it hears of the end.
#[test]
fn end_releases_the_waiting_publisher() {
    static CLOSED: Witness = Witness::new();
    explore(6, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let theirs = mailbox.clone();
        let publisher = spawn(move || offer(&theirs));
        assert_eq!(mailbox.close(EndReason::Unsubscribed), Close::Now { turn: false });
        let offered = publisher.join().unwrap();
        assert_eq!(offered, Offer::Closed { turn: false });
        CLOSED.see();
        assert_eq!(run(&mailbox), After::Ended);
        assert_eq!(handled.load(Ordering::Relaxed), 2, "the first one and the final one");
        let_go(&mailbox);
    });
    assert!(CLOSED.was_seen());
}

/// The bus gives up for all who wait, and for those who come later.
#[test]
fn giving_up_releases_the_waiting_publisher() {
    explore(6, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let theirs = mailbox.clone();
        let publisher = spawn(move || offer(&theirs));
        mailbox.release_waiting();
        assert_eq!(publisher.join().unwrap(), Offer::Closed { turn: false });
        let _ = run(&mailbox);
    });
}

/// The reference that a mailbox holds to itself, dropped by whoever ran it to its end.
fn let_go(mailbox: &Arc<Mailbox>) {
    // SAFETY: the count leaked by `hold_itself`; the mailbox has ended.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(mailbox)) };
}
