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
//!
//! A publisher may be a task ([`poll`](Room::poll)). It does the same steps, but under the lock it leaves its waker, one
//! for each task, instead of waiting:
//!
//! | task, polled | owner, closer, shutdown |
//! | --- | --- |
//! | tries; full: clones its waker | published the head; closed the ring; set `given_up` |
//! | takes the lock, tries again; full: notes the head, fence, tries again | fence, past the noted head? (the others: always) |
//! | still full: its waker takes the place of its last one; room: that one goes | takes the lock, forgets the noted head, takes *all* wakers out |
//! | leaves the lock; the other waker is dropped | leaves the lock, wakes threads, then tasks |
//!
//! An owner that takes items out under a lock of its own wakes threads at once, and takes the wakers out after that lock:
//! `owes_tasks`, which only that owner sets and asks, says that there are any. A task is woken by any room, not by half a
//! ring of it: it does not look again by itself.
//!
//! Every wake-up is for all who wait, threads and tasks, and each that finds no room notes its head anew: so nobody is
//! forgotten, and one that is woken and never comes back takes nothing from another. Wakers are foreign code: they are
//! cloned, woken and dropped outside the lock, and woken by a closer after it has passed its turn on.

use crate::stats::Blocked;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::time::{Clock, Deadline};
use crate::sync::{Condvar, Mutex, Tally, hint, mutated, thread};
use std::collections::BTreeMap;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Nobody waits: no head gets that far.
const NOBODY: u64 = u64::MAX;
/// Looks before sleeping: first with spin hints, the last few giving the processor away.
const SPINS: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 64 };
const YIELDS: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 4 };

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
    /// Tasks that wait, by their numbers.
    tasks: Mutex<BTreeMap<u64, Waker>>,
    changed: Condvar,
    owes_tasks: AtomicBool,
    waits: Waits,
    /// Taken beyond the capacity rather than waiting.
    beyond: Tally,
}

/// Why waiting ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    TimedOut,
    /// The bus is ending.
    GivenUp,
}

/// Tasks to be woken, outside every lock.
#[must_use = "tasks that nobody wakes wait for ever"]
pub(crate) struct Wakers(BTreeMap<u64, Waker>);

impl Wakers {
    /// In the order in which they came.
    pub(crate) fn each(self, wake: impl FnMut(Waker)) {
        self.0.into_values().for_each(wake);
    }
}

/// What an attempt to get room found.
pub(crate) enum Attempt<R> {
    Done(R),
    /// Full, with the oldest item at this index.
    FullAt(u64),
}

impl Default for Room {
    fn default() -> Self {
        Self {
            wake_at: AtomicU64::new(NOBODY),
            given_up: AtomicBool::new(false),
            tasks: Mutex::new(BTreeMap::new()),
            changed: Condvar::new(),
            owes_tasks: AtomicBool::new(false),
            waits: Waits::default(),
            beyond: Tally::new(),
        }
    }
}

impl Room {
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
        let mut guard = self.tasks.lock();
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

    /// A message was taken beyond the capacity.
    pub(super) fn count_beyond(&self) {
        self.beyond.add(1);
    }

    /// How many were.
    pub(super) fn beyond(&self) -> u64 {
        self.beyond.get()
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

    /// Tries; `Pending`: there is no room, and `waker` will be woken when anything more was taken out, or on any other
    /// news. What goes out of use is left in `spent`, to be dropped.
    pub(crate) fn poll<R>(
        &self,
        task: u64,
        waker: &Waker,
        spent: &mut [Option<Waker>; 2],
        mut attempt: impl FnMut() -> Attempt<R>,
    ) -> Poll<Result<R, NoRoom>> {
        if let Attempt::Done(result) = attempt() {
            spent[0] = self.forget(task);
            return Poll::Ready(Ok(result));
        }
        let waker = waker.clone();
        let mut tasks = self.tasks.lock();
        let mut look = || match attempt() {
            Attempt::Done(result) => Some(Ok(result)),
            Attempt::FullAt(head) => {
                // By any room at all: a task does not look again by itself.
                self.wake_at.fetch_min(head + 1, Ordering::Relaxed);
                None
            }
        };
        let found = look().or_else(|| {
            // ORDERING(room): SeqCst fence; pairs with the one in `wake`. Checked by loom_tests/room.rs.
            fence(Ordering::SeqCst);
            if mutated!("room.look") { None } else { look() }
        });
        let found = found.or_else(|| self.given_up.load(Ordering::Relaxed).then_some(Err(NoRoom::GivenUp)));
        let Some(result) = found else {
            spent[0] = tasks.insert(task, waker);
            return Poll::Pending;
        };
        *spent = [tasks.remove(&task), Some(waker)];
        Poll::Ready(result)
    }

    /// The task waits no more.
    pub(crate) fn forget(&self, task: u64) -> Option<Waker> {
        if mutated!("room.forget") {
            self.tasks.lock().clear();
        }
        self.tasks.lock().remove(&task)
    }

    /// The owner has taken everything before `head` out. Threads are woken; tasks when the owner has left every lock and
    /// calls [`wake_all`](Self::wake_all), as [`owes_tasks`](Self::owes_tasks) tells it to.
    #[inline]
    pub(crate) fn wake(&self, head: u64) {
        // ORDERING(room): SeqCst fence; pairs with those in `wait` and `poll`.
        fence(Ordering::SeqCst);
        if head >= self.wake_at.load(Ordering::Relaxed) {
            self.passed();
        }
    }

    #[cold]
    fn passed(&self) {
        let tasks = self.tasks.lock();
        // Those who go on waiting note their head anew.
        self.wake_at.store(NOBODY, Ordering::Relaxed);
        self.owes_tasks.store(!tasks.is_empty(), Ordering::Relaxed);
        drop(tasks);
        self.changed.notify_all();
    }

    /// Whether the owner's last [`wake`](Self::wake) found tasks, too. It is the owner itself that asks.
    #[inline]
    pub(crate) fn owes_tasks(&self) -> bool {
        self.owes_tasks.load(Ordering::Relaxed)
    }

    /// The threads that wait look again. The tasks are woken later, by [`wake_all`](Self::wake_all).
    pub(crate) fn wake_threads(&self) {
        if mutated!("room.end") {
            return;
        }
        drop(self.tasks.lock());
        self.changed.notify_all();
    }

    /// Something changed for all who wait: wakes the threads, and returns the tasks.
    #[cold]
    pub(crate) fn wake_all(&self) -> Wakers {
        let mut tasks = self.tasks.lock();
        // Those who go on waiting note their head anew.
        self.wake_at.store(NOBODY, Ordering::Relaxed);
        self.owes_tasks.store(false, Ordering::Relaxed);
        let wakers =
            Wakers(if mutated!("room.tasks") { BTreeMap::new() } else { std::mem::take(&mut *tasks) });
        drop(tasks);
        self.changed.notify_all();
        wakers
    }

    /// Everybody who waits returns, now and later.
    pub(crate) fn give_up(&self) -> Wakers {
        self.given_up.store(true, Ordering::Relaxed);
        if mutated!("room.end") {
            return Wakers(BTreeMap::new());
        }
        self.wake_all()
    }
}
