//! Publishers that wait for room in a full mailbox.
//!
//! The handshake, per group of messages taken out and only in mailboxes with `Block`:
//!
//! | publisher | owner |
//! | --- | --- |
//! | found the ring full | published the ring's `head` |
//! | counts itself as waiting | |
//! | fence (SeqCst) | fence (SeqCst) |
//! | takes the lock, tries again, else waits | anybody waiting? takes the lock, wakes all |
//!
//! One of the two sees the other. Under the lock runs bus code only: a push that does not wait.

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::sync::time::Deadline;
use crate::sync::{Condvar, Mutex};

pub(crate) struct Room {
    waiting: AtomicUsize,
    given_up: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

/// Why waiting ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    TimedOut,
    /// The bus is ending.
    GivenUp,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            given_up: AtomicBool::new(false),
            lock: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    /// Tries until `attempt` gives a result, sleeping in between.
    pub(crate) fn wait<R>(
        &self,
        deadline: Deadline,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> Result<R, NoRoom> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // ORDERING(room): SeqCst fence; pairs with the one in `wake`. Checked by loom_tests/room.rs.
        fence(Ordering::SeqCst);
        let result = self.wait_counted(deadline, &mut attempt);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        result
    }

    fn wait_counted<R>(
        &self,
        deadline: Deadline,
        attempt: &mut impl FnMut() -> Option<R>,
    ) -> Result<R, NoRoom> {
        let mut guard = self.lock.lock();
        loop {
            if let Some(result) = attempt() {
                return Ok(result);
            }
            if self.given_up.load(Ordering::Relaxed) {
                return Err(NoRoom::GivenUp);
            }
            if deadline.passed() {
                return Err(NoRoom::TimedOut);
            }
            guard = self.changed.wait(guard, deadline.left());
        }
    }

    /// Something changed for those who wait. `certain`: do not rely on the owner's fence order (closing).
    #[inline]
    pub(crate) fn wake(&self, certain: bool) {
        // ORDERING(room): SeqCst fence; pairs with the one in `wait`.
        fence(Ordering::SeqCst);
        if certain || self.waiting.load(Ordering::Relaxed) != 0 {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        drop(self.lock.lock());
        self.changed.notify_all();
    }

    /// Everybody who waits returns, now and later.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.wake_all();
    }
}
