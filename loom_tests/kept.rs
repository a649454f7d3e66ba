//! The turn that a worker keeps while it waits awake, against all that it has to find: messages, the end, other jobs, the
//! stop of the pool, references that it owes. A spin in these models has no end, so what is not found is waited for for
//! ever.

use super::{Plain, explore, give_back, kind, mailbox, profile};
use crate::dispatch::job::{After, Budget, Job, Ready, hold_itself};
use crate::dispatch::latch::Latch;
use crate::dispatch::pool::{Pool, PoolConfig};
use crate::dispatch::threads::Threads;
use crate::mailbox::{Consumer, Mailbox, Offer, Overflow};
use crate::message::{EndReason, Message, MessageType};
use crate::queue::Close;
use crate::sync::time::{Clock, Deadline};
use crate::sync::{Arc, thread};
use std::time::Duration;

/// A pool with one worker, and one mailbox that it runs.
struct Setting {
    pool: Arc<Pool>,
    mailbox: Arc<Mailbox>,
    /// Values handled, and finals. Plain, so only turns and what is said of them order it.
    seen: Arc<Plain<(Vec<u8>, u32)>>,
    kind: MessageType<u8>,
}

impl Setting {
    fn new() -> Self {
        let pool = Pool::new(PoolConfig {
            bus: 0,
            threads: Threads::new(0, profile().fence, None),
            clock: Arc::new(Clock::manual()),
            workers_min: 1,
            workers_max: 1,
            grow_after: Duration::from_millis(1),
            idle_timeout: None,
            spin: Duration::MAX,
            thread_name: String::new(),
            manual: false,
        });
        let (seen, kind) = (Arc::new(Plain::new((Vec::new(), 0))), kind::<u8>());
        let (shown, read) = (seen.clone(), kind.clone());
        let mailbox = mailbox(Overflow::default(), 8, Consumer::Pool(pool.clone()), move |arrival| {
            shown.write(|(values, finals)| {
                values.extend(read.read(arrival.message));
                *finals += u32::from(arrival.told.end.is_some());
            });
        });
        Self { pool, mailbox, seen, kind }
    }

    /// One more message. True: whoever runs the mailbox had to be told.
    fn send(&self, message: Message) -> bool {
        let word = message.into_word();
        match self.mailbox.offer(word, &mut Vec::new()) {
            Offer::Accepted { turn, .. } => {
                self.pass(turn);
                turn
            }
            other => {
                give_back(word);
                panic!("{other:?}, of an open mailbox with room");
            }
        }
    }

    fn close(&self) {
        let closed = self.mailbox.close(EndReason::Unsubscribed);
        self.pass(closed == Close::Now { turn: true });
    }

    fn pass(&self, turn: bool) {
        if turn && self.mailbox.pass_turn() {
            self.pool.flush();
        }
    }

    /// All is handled, and the worker waits, with the turn: nothing else makes it quiet here.
    fn wait_until_kept(&self) {
        while !self.mailbox.is_idle() {
            thread::yield_now();
        }
    }

    /// The final message was handled, and everything before it. Then the pool ends.
    fn finish(self, wanted: &[u8]) {
        self.mailbox.done().wait(Deadline::after(None));
        self.seen.read(|(values, finals)| assert_eq!((values.as_slice(), *finals), (wanted, 1)));
        assert!(self.pool.stop(Deadline::after(None)).is_empty());
    }
}

/// Messages and the end, while the worker handles, begins to wait or waits: all are found, by the slot and by the reason.
#[test]
fn message_and_end_are_found_in_a_kept_turn() {
    explore(2, || {
        let setting = Setting::new();
        for value in [1, 2] {
            setting.send(setting.kind.message(value));
        }
        setting.close();
        setting.finish(&[1, 2]);
    });
}

/// Who finds the mailbox quiet finds everything handled, though the turn is kept; and nobody has to be told of what
/// comes then.
#[test]
fn quiet_is_said_and_the_turn_is_kept() {
    explore(2, || {
        let setting = Setting::new();
        assert!(setting.send(setting.kind.message(1)));
        setting.wait_until_kept();
        setting.seen.read(|(values, _)| assert_eq!(values, &[1], "called quiet before it was handled"));
        assert!(!setting.send(setting.kind.message(2)), "the turn is not kept");
        setting.close();
        setting.finish(&[1, 2]);
    });
}

struct Once(Latch<()>);

impl Job for Once {
    unsafe fn run(&self, _: Budget) -> After {
        self.0.set(());
        After::Ended
    }
}

/// Another job becomes ready while the turn is kept, or just before, and nothing more comes to the mailbox: the job is run.
#[test]
fn kept_turn_gives_way_to_other_jobs() {
    explore(2, || {
        let setting = Setting::new();
        setting.send(setting.kind.message(1));
        let job = Arc::new(Once(Latch::new()));
        hold_itself(&job);
        // SAFETY: its turn is made here, once, and it holds itself.
        setting.pool.push(unsafe { Ready::new(&*job) });
        setting.pool.flush();
        job.0.wait(Deadline::after(None));
        setting.close();
        setting.finish(&[1]);
    });
}

/// The pool stops while the turn is kept: the worker gives it up, and leaves.
#[test]
fn kept_turn_ends_with_the_pool() {
    explore(2, || {
        let setting = Setting::new();
        setting.send(setting.kind.message(1));
        setting.wait_until_kept();
        assert!(setting.pool.stop(Deadline::after(None)).is_empty());
        setting.close();
        setting.pool.run_until_idle();
        setting.finish(&[1]);
    });
}

/// References that the worker has noted, instead of giving them back, are given back before it waits for anything else to do.
#[test]
fn no_turn_is_kept_by_who_owes_references() {
    explore(2, || {
        let setting = Setting::new();
        let mut message = setting.kind.message(1);
        setting.send(message.clone());
        while setting.kind.read_mut(&mut message).is_none() {
            thread::yield_now();
        }
        drop(message);
        setting.close();
        setting.finish(&[1]);
    });
}
