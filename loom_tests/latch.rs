//! The latch under `join` and `publish_sync`.

use super::{Plain, explore, mailbox};
use crate::dispatch::latch::Latch;
use crate::mailbox::{Consumer, Overflow};
use crate::message::EndReason;
use crate::queue::Close;
use crate::sync::Arc;
use crate::sync::time::Deadline;
use loom::thread::spawn;

/// Two wait, one looks: all see what was done before the value was set, and the first value.
#[test]
fn value_is_seen_by_all_who_wait() {
    explore(4, || {
        let (latch, data) = (Arc::new(Latch::new()), Arc::new(Plain::new(0)));
        let (theirs, read) = (latch.clone(), data.clone());
        let waiter = spawn(move || {
            assert_eq!(theirs.wait(Deadline::after(None)), Some(1));
            read.read(|&value| assert_eq!(value, 1));
        });
        let (ours, written) = (latch.clone(), data.clone());
        let setter = spawn(move || {
            written.write(|value| *value = 1);
            ours.set(1);
            ours.set(2);
        });
        if !latch.is_set() {
            assert_eq!(latch.wait(Deadline::after(None)), Some(1));
        }
        data.read(|&value| assert_eq!(value, 1));
        setter.join().unwrap();
        waiter.join().unwrap();
    });
}

/// `join` returns after the final call has: two wait for a mailbox that a third one ends.
#[test]
fn final_is_handled_before_join_returns() {
    explore(4, || {
        let finals = Arc::new(Plain::new(0));
        let handled = finals.clone();
        let mailbox = mailbox(Overflow::default(), 1, Consumer::Serial, move |arrival| {
            assert!(arrival.told.end.is_some());
            handled.write(|finals| *finals += 1);
        });
        let joiners = [(); 1].map(|()| {
            let (mailbox, finals) = (mailbox.clone(), finals.clone());
            spawn(move || {
                mailbox.done().wait(Deadline::after(None));
                assert_eq!(finals.read(|&finals| finals), 1);
            })
        });
        let closed = mailbox.clone();
        let closer = spawn(move || {
            if closed.close(EndReason::Unsubscribed) == (Close::Now { turn: true }) {
                closed.pass_turn();
            }
        });
        mailbox.done().wait(Deadline::after(None));
        assert_eq!(finals.read(|&finals| finals), 1);
        closer.join().unwrap();
        for joiner in joiners {
            joiner.join().unwrap();
        }
    });
}
