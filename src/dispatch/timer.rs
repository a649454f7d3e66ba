//! Work of the pool that is due at a time: no thread of its own, and none of it runs where the time is watched.
//!
//! An [`Alarm`] belongs to something [`Timed`] and says when that is due next. The pool's standby, which runs no user code and
//! so is never stuck in it, sleeps no longer than until the earliest of all alarms, and then pushes what is due into the
//! run queue, where a worker finds it. In manual mode `run_until_idle` looks at the clock instead.
//!
//! | who | step |
//! | --- | --- |
//! | setter | own `due` down to the time; `next` down to it; if that moved: fence, standby asleep? wake it |
//! | standby | state asleep, fence, read `next`: sleeps until then at most |
//! | whoever rings | `next` up to never, and then every alarm: due, and not under way? into the queue; otherwise `next` down to its `due` |
//! | worker, done | no longer under way; `due` down to what it was told; `next` down to `due`, as a setter |
//!
//! A time that is set while somebody rings is seen there, or brings `next` down again afterwards. One that is set while
//! its work is under way stands until that is done, so nothing runs twice at once and nothing is forgotten.
//!
//! An alarm holds its work weakly and the timer its alarms: what is dropped rings no more. The end of the pool waits for
//! no alarm.

use super::frames;
use super::job::{After, Budget, Job, Ready, hold_itself};
use super::pool::Pool;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// No time: nothing is due.
const NEVER: u64 = u64::MAX;
/// Nobody came for so long: threads cannot be had.
const LATE_NS: u64 = 50_000_000;

/// What an alarm belongs to.
pub(crate) trait Timed: Send + Sync {
    /// Does what is due, on a worker, with no lock held. `now` and the answer, when to come again, are nanoseconds of the
    /// bus's monotonic clock; `None`: when the alarm is set again.
    fn ring(&self, now: u64) -> Option<u64>;
}

/// All alarms of one pool.
pub(crate) struct Timer {
    /// When the earliest is due, or earlier.
    next: AtomicU64,
    /// Some alarm was set: from then on the pool keeps a standby.
    is_used: AtomicBool,
    bells: Mutex<Vec<Weak<Bell>>>,
}

/// When something is due. Dropping it is the end of that.
pub(crate) struct Alarm(Arc<Bell>);

/// The alarm as a job. While it is under way it holds itself.
struct Bell {
    due: AtomicU64,
    /// In the queue, or being run.
    is_under_way: AtomicBool,
    work: Weak<dyn Timed>,
    pool: Weak<Pool>,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self { next: AtomicU64::new(NEVER), is_used: AtomicBool::new(false), bells: Mutex::new(Vec::new()) }
    }

    /// Whether the pool keeps a standby for its alarms, whatever its size.
    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// How long until something is due: `None` for ever, zero when it is.
    pub(super) fn left(&self, now: impl FnOnce() -> u64) -> Option<Duration> {
        let next = self.next.load(Ordering::Relaxed);
        (next != NEVER).then(|| Duration::from_nanos(next.saturating_sub(now())))
    }

    /// True: the earliest time is earlier now, which whoever watches must hear.
    fn bring_forward(&self, to: u64) -> bool {
        // ORDERING(timer.next): Release; pairs with the Acquire in `ring`: who rings sees the alarm's `due`.
        self.next.fetch_min(to, Ordering::Release) > to
    }

    /// Everything that is due at `now`, for the queue.
    pub(super) fn ring(&self, now: impl Fn() -> u64) -> Vec<Ready> {
        if self.left(&now) != Some(Duration::ZERO) {
            return Vec::new();
        }
        let now = now();
        // ORDERING(timer.next): Acquire; pairs with the Release in `bring_forward`: the `due` of who did that is seen below.
        self.next.swap(NEVER, Ordering::Acquire);
        let bells: Vec<_> = self.bells.lock().iter().filter_map(Weak::upgrade).collect();
        bells.iter().filter_map(|bell| self.ready(bell, now)).collect()
    }

    fn ready(&self, bell: &Arc<Bell>, now: u64) -> Option<Ready> {
        // Relaxed: the swap in `run`, which reads this word once more, is what sees all that the work is due for.
        let due = bell.due.load(Ordering::Relaxed);
        if due > now {
            self.bring_forward(due);
            return None;
        }
        bell.start()
    }
}

impl Alarm {
    /// Brings the time forward: due at `at`, or earlier if it is already. No lock, unless the standby sleeps longer than
    /// that.
    pub(crate) fn set(&self, at: u64) {
        self.0.set(at);
    }

    /// The same, and one load if it is set for that time or an earlier one.
    pub(crate) fn set_by(&self, at: u64) {
        if self.0.due.load(Ordering::Relaxed) > at {
            self.0.set(at);
        }
    }

    /// Whether its work begins some time after this call, without another `set`: what the caller has done before is not
    /// too late for it. While the work is under way that may be, so it counts as not set.
    pub(crate) fn is_set(&self) -> bool {
        // ORDERING(timer.seen): SeqCst; pairs with the swap in `run`: it comes later, and so does what the work looks at.
        self.0.due.load(Ordering::SeqCst) != NEVER
    }

    fn is_under_way(&self) -> bool {
        self.0.is_under_way.load(Ordering::Relaxed)
    }

    /// Whether its work is waiting for a worker or being run, or nobody has come to ring it for long.
    pub(crate) fn is_late(&self, now: u64) -> bool {
        self.is_under_way() || self.0.due.load(Ordering::Relaxed).saturating_add(LATE_NS) < now
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(pool) = self.0.pool.upgrade() else { return };
        let mut bells = pool.timer().bells.lock();
        if let Some(at) = bells.iter().position(|bell| bell.as_ptr() == Arc::as_ptr(&self.0)) {
            bells.swap_remove(at);
        }
    }
}

impl Bell {
    fn set(&self, at: u64) {
        // ORDERING(timer.due): Release; pairs with the swap in `run`.
        self.due.fetch_min(at, Ordering::Release);
        if let Some(pool) = self.pool.upgrade() {
            pool.expect(at);
        }
    }

    /// On its way to a worker, unless it is already: then who is done with it looks again.
    fn start(self: &Arc<Self>) -> Option<Ready> {
        // ORDERING(timer.turn): AcqRel; pairs with the swap in `finish`: one of the two sees a time set meanwhile.
        if self.is_under_way.swap(true, Ordering::AcqRel) {
            return None;
        }
        hold_itself(self);
        // SAFETY: the swap gave this thread the turn, and the job holds itself since the line above.
        Some(unsafe { Ready::new(&**self) })
    }

    fn ring(&self, pool: &Pool) -> Option<u64> {
        frames::enter(pool.bus(), 0, || self.work.upgrade()?.ring(pool.clock().monotonic_ns()))
    }

    /// The turn goes; what is due next may be set already.
    fn finish(&self, again: Option<u64>) {
        // ORDERING(timer.turn): AcqRel; pairs with the swap in `start`.
        self.is_under_way.swap(false, Ordering::AcqRel);
        let due = self.due.fetch_min(again.unwrap_or(NEVER), Ordering::AcqRel).min(again.unwrap_or(NEVER));
        if let (true, Some(pool)) = (due != NEVER, self.pool.upgrade()) {
            pool.expect(due);
        }
    }
}

impl Job for Bell {
    unsafe fn run(&self, _: Budget) -> After {
        // ORDERING(timer.due): SeqCst, for Acquire; pairs with the Release in `set`: what was to be done by then is seen.
        // ORDERING(timer.seen): SeqCst; pairs with the load in `is_set`: who finds it set has done its part before this.
        self.due.swap(NEVER, Ordering::SeqCst);
        let again = self.pool.upgrade().and_then(|pool| self.ring(&pool));
        self.finish(again);
        After::Ended
    }

    fn abandon(&self) -> After {
        After::Ended
    }
}

impl Pool {
    /// An alarm for `work`, which it does not keep alive.
    pub(crate) fn alarm(self: &Arc<Self>, work: Weak<dyn Timed>) -> Alarm {
        let bell = Arc::new(Bell {
            due: AtomicU64::new(NEVER),
            is_under_way: AtomicBool::new(false),
            work,
            pool: Arc::downgrade(self),
        });
        self.timer().bells.lock().push(Arc::downgrade(&bell));
        Alarm(bell)
    }

    /// Something is due at `at`: the standby sleeps no longer than that.
    fn expect(self: &Arc<Self>, at: u64) {
        if self.timer().bring_forward(at) {
            self.timer().is_used.store(true, Ordering::Relaxed);
            self.attend();
        }
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;
    use crate::dispatch::fence::Fence;
    use crate::dispatch::latch::Latch;
    use crate::dispatch::pool::PoolConfig;
    use crate::dispatch::threads::{ThreadKind, Threads};
    use crate::sync::atomic::AtomicUsize;
    use crate::sync::time::{Clock, Deadline};

    /// Counts its calls and wants to be called again after so long.
    struct Beat {
        calls: AtomicUsize,
        again: Option<u64>,
    }

    impl Timed for Beat {
        fn ring(&self, now: u64) -> Option<u64> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.again.map(|again| now + again)
        }
    }

    impl Beat {
        fn of(pool: &Arc<Pool>, again: Option<u64>) -> (Arc<Self>, Alarm) {
            let beat = Arc::new(Self { calls: AtomicUsize::new(0), again });
            let weak: Weak<Self> = Arc::downgrade(&beat);
            (beat, pool.alarm(weak))
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::Relaxed)
        }
    }

    fn pool(
        workers_max: usize,
        clock: &Arc<Clock>,
        manual: bool,
    ) -> (Arc<Pool>, Arc<Mutex<Vec<ThreadKind>>>) {
        let kinds = Arc::new(Mutex::new(Vec::new()));
        let seen = kinds.clone();
        let fence = Arc::new(Fence::new(None));
        let threads = Threads::new(0, fence, Some(Box::new(move |info| seen.lock().push(info.kind.clone()))));
        let pool = Pool::new(PoolConfig {
            bus: 0,
            threads,
            workers_min: 1,
            workers_max,
            grow_after: Duration::from_millis(2),
            idle_timeout: None,
            spin: Duration::ZERO,
            thread_name: "timer".to_owned(),
            clock: clock.clone(),
            manual,
        });
        (pool, kinds)
    }

    fn end(pool: &Arc<Pool>) {
        assert!(pool.stop(Deadline::after(Some(Duration::from_secs(20)))).is_empty());
    }

    #[test]
    fn alarms_ring_by_the_clock_that_the_user_moves() {
        let clock = Arc::new(Clock::manual());
        let (pool, _) = pool(1, &clock, true);
        let (once, first) = Beat::of(&pool, None);
        let (ever, second) = Beat::of(&pool, Some(100));
        first.set(50);
        first.set(80);
        second.set(100);
        for (to, once_then, ever_then) in
            [(49, 0, 0), (50, 1, 0), (80, 1, 0), (100, 1, 1), (450, 1, 2), (549, 1, 2)]
        {
            clock.advance(Duration::from_nanos(to - clock.monotonic_ns()));
            pool.run_until_idle();
            assert_eq!((once.calls(), ever.calls()), (once_then, ever_then), "at {to}");
        }
        drop(second);
        clock.advance(Duration::from_nanos(1_000));
        assert_eq!(pool.run_until_idle(), 0, "its alarm was dropped");
        first.set(0);
        drop(once);
        assert_eq!(pool.run_until_idle(), 1);
        assert!(!first.is_set() && !first.is_under_way() && pool.timer().bells.lock().len() == 1);
    }

    #[test]
    fn alarms_ring_on_a_worker_of_a_pool_at_its_maximum_and_without_any_start_no_thread() {
        struct Where(Latch<bool>);
        impl Timed for Where {
            fn ring(&self, _: u64) -> Option<u64> {
                self.0.set(std::thread::current().name() == Some("timer-0"));
                None
            }
        }
        let clock = Arc::new(Clock::real());
        let (pool, kinds) = pool(1, &clock, false);
        let work = Arc::new(Where(Latch::new()));
        let weak: Weak<Where> = Arc::downgrade(&work);
        let alarm = pool.alarm(weak);
        assert!(pool.workers() == 0 && kinds.lock().is_empty());
        alarm.set(clock.monotonic_ns() + 5_000_000);
        let is_worker = work.0.wait(Deadline::after(Some(Duration::from_secs(60))));
        assert_eq!(is_worker, Some(true), "on the worker, which was started first");
        let seen = std::mem::take(&mut *kinds.lock());
        // They say so themselves, in any order.
        let is_there = |kind| seen.contains(&kind);
        assert!(
            seen.len() == 2 && is_there(ThreadKind::Worker(0)) && is_there(ThreadKind::Standby),
            "{seen:?}"
        );
        alarm.set(clock.monotonic_ns() + 3_600_000_000_000);
        end(&pool);
    }
}
