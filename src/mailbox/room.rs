//! Publishers that wait for room in a full mailbox.
//!
//! A publisher spins a little, then sleeps until half of the ring is free again: waking it for every message would
//! cost more than the messages. The handshake, per group of messages taken out and only in mailboxes with `Block`:
//!
//! | publisher | owner |
//! | --- | --- |
//! | found the ring full at `head` | published the ring's `head` |
//! | notes the head to be woken at, the lowest of all who wait | |
//! | fence (SeqCst) | fence (SeqCst) |
//! | takes the lock, tries again, else waits | past the noted head? takes the lock, forgets it, wakes all |
//!
//! A handler may wait for what that very publisher does next, with less than half of the ring taken out: a publisher that
//! sleeps looks again every [`LOOK_AGAIN`], so that room is never refused to it for longer.
//!
//! One of the two sees the other. A ring that was full at `head` is emptied by an owner that passes the noted head, so
//! a wake-up always comes. Under the lock runs bus code only: a push that does not wait.

use crate::stats::Blocked;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::time::{Clock, Deadline};
use crate::sync::{Condvar, Mutex, Tally, hint, thread};
use std::time::Duration;

/// Nobody waits: no head gets that far.
const NOBODY: u64 = u64::MAX;
/// Looks before sleeping: first with spin hints, the last few giving the processor away.
const SPINS: u32 = if cfg!(bus_loom) { 0 } else { 64 };
const YIELDS: u32 = if cfg!(bus_loom) { 0 } else { 4 };

/// How long a publisher sleeps while there may be a little room.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Who waited here, and how long: counted where a publisher goes to sleep, under the lock. Short spins are none.
#[derive(Default)]
struct Waits {
    now: Tally,
    times: Tally,
    nanoseconds: Tally,
    longest: Tally,
    /// When the present ones began: the first of them.
    since: Tally,
    circles: Tally,
}

impl Waits {
    fn begin(&self, now: u64) {
        if self.now.get() == 0 {
            self.since.set(now);
        }
        self.now.bump(1);
        self.times.bump(1);
    }

    fn end(&self, took: u64) {
        self.now.set(self.now.get().saturating_sub(1));
        self.nanoseconds.bump(took);
        self.longest.set(self.longest.get().max(took));
    }
}

pub(crate) struct Room {
    /// The lowest head at which somebody wants to be woken.
    wake_at: AtomicU64,
    given_up: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
    waits: Waits,
}

/// Why waiting ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    TimedOut,
    /// The bus is ending.
    GivenUp,
}

/// What an attempt to get room found.
pub(crate) enum Attempt<R> {
    Done(R),
    /// Full, with the oldest item at this index.
    FullAt(u64),
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            wake_at: AtomicU64::new(NOBODY),
            given_up: AtomicBool::new(false),
            lock: Mutex::new(()),
            changed: Condvar::new(),
            waits: Waits::default(),
        }
    }

    /// Tries until `attempt` gives a result, sleeping in between until `enough` more items were taken out.
    pub(crate) fn wait<R>(
        &self,
        deadline: Deadline,
        enough: u64,
        clock: &Clock,
        mut attempt: impl FnMut() -> Attempt<R>,
    ) -> Result<R, NoRoom> {
        for round in 0..SPINS + YIELDS {
            if let Attempt::Done(result) = attempt() {
                return Ok(result);
            }
            if round < SPINS { hint::spin_loop() } else { thread::yield_now() }
        }
        let began = clock.monotonic_ns();
        let mut guard = self.lock.lock();
        self.waits.begin(began);
        let result = loop {
            match attempt() {
                Attempt::Done(result) => break Ok(result),
                Attempt::FullAt(head) => self.wake_at.fetch_min(head + enough, Ordering::Relaxed),
            };
            // ORDERING(room): SeqCst fence; pairs with the one in `wake`. Checked by loom_tests/room.rs.
            fence(Ordering::SeqCst);
            if let Attempt::Done(result) = attempt() {
                break Ok(result);
            }
            if self.given_up.load(Ordering::Relaxed) {
                break Err(NoRoom::GivenUp);
            }
            if deadline.passed() {
                break Err(NoRoom::TimedOut);
            }
            let nap = deadline.left().map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN));
            guard = self.changed.wait(guard, Some(nap));
        };
        self.waits.end(clock.monotonic_ns().saturating_sub(began));
        drop(guard);
        result
    }

    /// A wait was not begun: it would have closed a circle.
    pub(super) fn note_circle(&self) {
        self.waits.circles.add(1);
    }

    /// Who waits and who has waited.
    pub(super) fn blocked(&self, now: u64) -> Blocked {
        let waits = &self.waits;
        let present = waits.now.get();
        let waiting = if present > 0 { now.saturating_sub(waits.since.get()) } else { 0 };
        Blocked {
            now: present,
            times: waits.times.get(),
            total: Duration::from_nanos(waits.nanoseconds.get()),
            longest: Duration::from_nanos(waits.longest.get().max(waiting)),
            waiting: (present > 0).then(|| Duration::from_nanos(waiting)),
            circles: waits.circles.get(),
        }
    }

    /// The owner has taken everything before `head` out.
    #[inline]
    pub(crate) fn wake(&self, head: u64) {
        // ORDERING(room): SeqCst fence; pairs with the one in `wait`.
        fence(Ordering::SeqCst);
        if head >= self.wake_at.load(Ordering::Relaxed) {
            self.wake_all();
        }
    }

    /// Something changed for all who wait.
    #[cold]
    pub(crate) fn wake_all(&self) {
        let locked = self.lock.lock();
        // Those who go on waiting note their head anew.
        self.wake_at.store(NOBODY, Ordering::Relaxed);
        drop(locked);
        self.changed.notify_all();
    }

    /// Everybody who waits returns, now and later.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.wake_all();
    }
}
