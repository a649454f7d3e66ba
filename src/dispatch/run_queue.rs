//! Ready jobs, and who to wake for them.
//!
//! Any thread pushes; workers pop. Waking is separate from pushing: a publish pushes every mailbox it made ready and
//! then calls [`RunQueue::notify`] once. The handshake with a worker that is about to sleep:
//!
//! | pusher | sleeper |
//! | --- | --- |
//! | push | set own bit in `sleepers` |
//! | fence (SeqCst) | fence (SeqCst) |
//! | a bit set? clear it and unpark that seat | anything in the queue? clear own bit and go on; else park |
//!
//! One of the two sees the other, so no wake-up is lost. A bit is cleared by exactly one thread: who clears
//! another's bit owes it an unpark; a sleeper that finds its own bit cleared was chosen, and looks at the queue
//! before it does anything else. A notify wakes one; a worker that takes a job and sees more notifies again.
//!
//! If nobody sleeps, the *standby* is roused instead: a thread (see `pool`) that watches whether the queue moves.

use super::job::Ready;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use crate::sync::time::Deadline;
use crate::sync::{Arc, Backlog, Parker, Snapshot, Unparker, mutated};
use std::time::Duration;

/// At most so many workers: the sleepers are one word.
pub(crate) const SEATS_MAX: usize = 64;

/// Where the standby is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standby {
    /// Threads are missing: none was started yet, or the system refused one. The next work starts them.
    Unstarted = 0,
    /// Waiting to be roused.
    Asleep = 1,
    /// Watching the queue.
    Awake = 2,
    /// There is none and none is missing: the pool is at its maximum, being filled, or over.
    Absent = 3,
}

/// A seat's wake handle; empty until a worker has sat there.
type Seat = Snapshot<Option<Unparker>>;

pub(crate) struct RunQueue {
    ready: Backlog<Ready>,
    sleepers: AtomicU64,
    standby: AtomicU8,
    /// Jobs taken so far, for the standby: does the queue move?
    taken: AtomicU64,
    seats: Box<[Seat]>,
}

/// Why [`RunQueue::sleep`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Somebody had work, or woke everybody.
    Look,
    /// The limit passed, and nobody had chosen this worker.
    TimedOut,
}

impl RunQueue {
    pub(crate) fn new(seats: usize) -> Self {
        debug_assert!(seats <= SEATS_MAX);
        Self {
            ready: Backlog::new(),
            sleepers: AtomicU64::new(0),
            standby: AtomicU8::new(Standby::Unstarted as u8),
            taken: AtomicU64::new(0),
            seats: (0..seats).map(|_| Seat::new(Arc::new(None))).collect(),
        }
    }

    /// Adds a job. Whoever pushes calls [`notify`](Self::notify) once afterwards.
    pub(crate) fn push(&self, job: Ready) {
        self.ready.push(job);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    /// Takes a job, if one is there.
    pub(crate) fn pop(&self) -> Option<Ready> {
        let job = self.ready.pop()?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(job)
    }

    /// Jobs taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Sees to it that somebody comes for what was pushed. True: the caller rouses the standby.
    #[must_use]
    #[inline]
    pub(crate) fn notify(&self) -> bool {
        // ORDERING(run_queue.sleep): SeqCst fence; pairs with the one in `sleep`: the push before it, or the bit
        // set before that one, is seen by the other side. Checked by loom_tests/run_queue.rs::no_lost_wake_up.
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) != 0 && self.wake_one() {
            return false;
        }
        let standby = self.standby.load(Ordering::Relaxed);
        standby == Standby::Asleep as u8 || standby == Standby::Unstarted as u8
    }

    /// Where the standby is, for who has just said when something is due: it sees that, or is seen asleep.
    pub(super) fn standby(&self) -> Standby {
        // ORDERING(run_queue.sleep): SeqCst fence; pairs with the one in `standby_may_sleep`: the time before it, or the
        // state set before that one, is seen by the other side. Checked by loom_tests/timer.rs.
        fence(Ordering::SeqCst);
        match self.standby.load(Ordering::Relaxed) {
            0 => Standby::Unstarted,
            1 => Standby::Asleep,
            2 => Standby::Awake,
            _ => Standby::Absent,
        }
    }

    #[cold]
    fn wake_one(&self) -> bool {
        let mut sleepers = self.sleepers.load(Ordering::Relaxed);
        while sleepers != 0 {
            let bit = sleepers & sleepers.wrapping_neg();
            // ORDERING(run_queue.bit): Acquire; pairs with the Release in `sleep`: the seat's handle is seen.
            let was = self.sleepers.fetch_and(!bit, Ordering::Acquire);
            if was & bit != 0 {
                self.unpark(bit.trailing_zeros() as usize);
                return true;
            }
            sleepers = was & !bit;
        }
        false
    }

    fn unpark(&self, seat: usize) {
        if let Some(handle) = self.seats[seat].load().as_ref() {
            handle.unpark();
        }
    }

    /// Wakes everybody, for the end.
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        while self.wake_one() {}
    }

    /// The calling thread sits in `seat` from now on.
    pub(crate) fn sit(&self, seat: usize, parker: &Parker) {
        self.seats[seat].swap(Arc::new(Some(parker.unparker())));
    }

    /// Sleeps in `seat` until chosen, or until `limit` has passed, unless there is work, or `stay` says that there
    /// is another reason to look.
    pub(crate) fn sleep(
        &self,
        seat: usize,
        parker: &Parker,
        limit: Option<Duration>,
        stay: impl Fn() -> bool,
    ) -> Woken {
        let bit = 1 << seat;
        // An unpark that is late for an earlier sleep ends this one early: that is no idling.
        let until = Deadline::after(limit);
        // ORDERING(run_queue.bit): Release; pairs with the Acquire in `wake_one`: who clears the bit sees this seat's handle.
        self.sleepers.fetch_or(bit, Ordering::Release);
        // ORDERING(run_queue.sleep): SeqCst fence; pairs with the one in `notify`.
        fence(Ordering::SeqCst);
        if self.ready.is_empty() && !stay() {
            parker.park(limit);
        }
        // Relaxed: who was chosen finds the job by the queue, at the latest behind the fence above, when it sleeps again.
        let chosen = self.sleepers.fetch_and(!bit, Ordering::Relaxed) & bit == 0;
        if mutated!("run_queue.last_look") {
            return Woken::TimedOut;
        }
        match chosen || !until.passed() || !self.ready.is_empty() || stay() {
            true => Woken::Look,
            false => Woken::TimedOut,
        }
    }

    /// Whether somebody sleeps who could be woken.
    pub(crate) fn has_sleepers(&self) -> bool {
        self.sleepers.load(Ordering::Relaxed) != 0
    }

    /// Moves the standby's state; false if it was not `from`. Relaxed, here and below: nothing goes with the state. Where it
    /// has to be seen against something else, a fence stands beside it.
    pub(crate) fn move_standby(&self, from: Standby, to: Standby) -> bool {
        self.standby.compare_exchange(from as u8, to as u8, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn set_standby(&self, to: Standby) {
        self.standby.store(to as u8, Ordering::Relaxed);
    }

    /// The standby goes to sleep: false if there is work, and it stays awake.
    pub(crate) fn standby_may_sleep(&self) -> bool {
        self.set_standby(Standby::Asleep);
        // ORDERING(run_queue.sleep): SeqCst fence; pairs with the one in `notify`, as for a worker.
        fence(Ordering::SeqCst);
        mutated!("run_queue.standby_look")
            || self.ready.is_empty()
            || !self.move_standby(Standby::Asleep, Standby::Awake)
    }
}
