//! Block: a publisher that waits for room against the owner that makes it, and against the end.

use super::{Witness, explore, give_back, kind, mailbox};
use crate::dispatch::job::{After, Budget, Job};
use crate::mailbox::{Consumer, Mailbox, Offer, Overflow, Patience};
use crate::message::EndReason;
use crate::queue::Close;
use crate::sync::{Arc, Parker, Unparker, thread};
use loom::thread::spawn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
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
            After::Again | After::Linger(_) | After::Busy => thread::yield_now(),
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

struct Alarm(Unparker);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Offers one message as a task does: polls, and sleeps until its waker is called.
fn offer_as_task(mailbox: &Mailbox) -> Offer {
    let word = kind().message(1u8).into_word();
    let (parker, task) = (Parker::current(), crate::ids::next());
    let waker = Waker::from(Arc::new(Alarm(parker.unparker())));
    let offer = loop {
        match mailbox.poll_offer(word, task, &waker) {
            Poll::Ready(offer) => break offer,
            Poll::Pending => {
                SLEPT.see();
                parker.park(None);
            }
        }
    };
    if !matches!(offer, Offer::Accepted { .. }) {
        give_back(word);
    }
    offer
}

static SLEPT: Witness = Witness::new();

/// A task finds no room, the owner makes some: it is woken, or it would sleep for ever.
#[test]
fn waiting_task_is_woken() {
    explore(4, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let theirs = mailbox.clone();
        let task = spawn(move || offer_as_task(&theirs));
        assert_eq!(run(&mailbox), After::Idle);
        match task.join().unwrap() {
            Offer::Accepted { turn: true, .. } => assert_eq!(run(&mailbox), After::Idle),
            Offer::Accepted { .. } => {}
            refused => panic!("{refused:?}"),
        }
        assert_eq!(handled.load(Ordering::Relaxed), 2);
        assert!(mailbox.is_idle());
    });
    assert!(SLEPT.was_seen());
}

/// A task and a thread wait for one place each: neither is forgotten for the other.
#[test]
fn waiting_task_and_thread_are_woken() {
    explore(1, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let publishers = [offer as fn(&Mailbox) -> Offer, offer_as_task].map(|offer| {
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
    assert!(SLEPT.was_seen());
}

/// One task is woken and never comes back; another one waits as well, and gets the room.
#[test]
fn task_that_gives_up_takes_nothing_from_another() {
    explore(1, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let (theirs, ours) = (mailbox.clone(), mailbox.clone());
        let task = spawn(move || offer_as_task(&theirs));
        let quitter = spawn(move || {
            let word = kind().message(3u8).into_word();
            let number = crate::ids::next();
            match ours.poll_offer(word, number, Waker::noop()) {
                Poll::Ready(Offer::Accepted { turn, .. }) => (true, turn),
                Poll::Ready(refused) => panic!("{refused:?}"),
                Poll::Pending => {
                    ours.forget_task(number);
                    give_back(word);
                    (false, false)
                }
            }
        });
        assert_eq!(run(&mailbox), After::Idle);
        let (put_in, turn) = quitter.join().unwrap();
        if turn {
            assert_eq!(run(&mailbox), After::Idle);
        }
        if let Offer::Accepted { turn: true, .. } = task.join().unwrap() {
            assert_eq!(run(&mailbox), After::Idle);
        }
        assert_eq!(handled.load(Ordering::Relaxed), 2 + usize::from(put_in));
    });
}

/// The subscription ends while a task waits: it hears of the end, or of room made before.
#[test]
fn end_releases_the_waiting_task() {
    explore(5, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let theirs = mailbox.clone();
        let task = spawn(move || offer_as_task(&theirs));
        assert_eq!(mailbox.close(EndReason::Unsubscribed), Close::Now { turn: false });
        mailbox.wake_tasks();
        assert_eq!(task.join().unwrap(), Offer::Closed { turn: false });
        assert_eq!(run(&mailbox), After::Ended);
        let_go(&mailbox);
    });
    assert!(SLEPT.was_seen());
}

/// The bus gives up for all who wait, and for those who come later.
#[test]
fn giving_up_releases_the_waiting_task() {
    explore(5, || {
        let handled = Arc::new(AtomicUsize::new(0));
        let mailbox = full(&handled);
        let theirs = mailbox.clone();
        let task = spawn(move || offer_as_task(&theirs));
        mailbox.release_waiting();
        assert_eq!(task.join().unwrap(), Offer::Closed { turn: false });
        let _ = run(&mailbox);
    });
    assert!(SLEPT.was_seen());
}
