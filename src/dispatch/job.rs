//! A job: something that is ready, has the turn, and can be run for a while.

use crate::sync::Arc;
use std::ptr::NonNull;

/// How much one run may take before others get their chance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) messages: u32,
    pub(crate) nanoseconds: u64,
    /// Whether to come back once more before going idle: batches form, and the next producer need not wake anybody.
    pub(crate) linger: bool,
    /// When the run begins, by the coarse clock; 0: nobody has looked.
    pub(crate) now: u64,
}

impl Budget {
    /// One turn on a shared worker: 64 messages or 200 us.
    pub(crate) const SHARED: Self = Self { messages: 64, nanoseconds: 200_000, linger: true, now: 0 };
    /// For a thread that has nothing else to do.
    pub(crate) const OWN: Self = Self { messages: u32::MAX, nanoseconds: u64::MAX, linger: false, now: 0 };
    /// The same, but without a look at the tail once nothing more is written: the thread spins.
    pub(crate) const SPINNING: Self = Self { linger: true, ..Self::OWN };
    /// For a publisher, or a user's thread in manual mode.
    pub(crate) const CALLER: Self = Self { messages: u32::MAX, nanoseconds: u64::MAX, linger: false, now: 0 };

    /// Whether others wait for this thread, and somebody has looked at the clock.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.nanoseconds < u64::MAX && self.now > 0
    }

    /// The same, for a run that begins now.
    pub(crate) fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }
}

/// So many messages in one run are no thin run's: nothing is gained by waiting for more.
pub(crate) const PLENTY: u32 = 32;

/// What became of the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum After {
    /// Still ours: run again, behind the others.
    Again,
    /// Still ours: nothing is left just now, but so many messages came. Run again when some more may have come.
    Linger(u32),
    /// Still ours, but somebody has to finish a write first: run again a little later.
    Busy,
    /// Gone. Somebody else may be running the job already; it is not touched any more.
    Idle,
    /// The job is over. Its reference to itself is the runner's to drop.
    Ended,
}

/// Something to run. Whoever runs it has its turn.
pub(crate) trait Job: Send + Sync {
    /// Runs for a while.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    unsafe fn run(&self, budget: Budget) -> After;

    /// A run has handled all that had come, at that time of the coarse clock or later, and the turn is kept while its runner
    /// waits: says so, for who waits for that.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    unsafe fn settle(&self, _since: u64) {}

    /// Whether there is something to run for, as far as a look tells that takes nothing away from producers.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    unsafe fn has_news(&self) -> bool {
        true
    }

    /// Nobody will run it any more, as the pool is over. Still ready unless it says that it has ended.
    fn abandon(&self) -> After {
        After::Again
    }

    /// Whose it is, for figures; 0: nobody's.
    fn id(&self) -> u64 {
        0
    }
}

/// A job with its turn, on its way to a runner. Not `Clone`: the turn exists once.
#[derive(Debug)]
pub(crate) struct Ready(NonNull<dyn Job>);

// SAFETY: jobs are Send + Sync, and the reference to itself that a job holds until its end keeps the pointer valid.
unsafe impl Send for Ready {}

impl std::fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Ready {
    /// # Safety
    ///
    /// The caller has the turn, and the job holds a reference to itself ([`hold_itself`]) until it has ended.
    pub(crate) unsafe fn new(job: &(dyn Job + 'static)) -> Self {
        Self(NonNull::from(job))
    }

    /// Whether this is `job`.
    pub(crate) fn is(&self, job: *const ()) -> bool {
        std::ptr::eq(self.0.as_ptr() as *const (), job)
    }

    pub(super) fn id(&self) -> u64 {
        // SAFETY: `self` is the turn; the job keeps itself alive while the turn exists.
        unsafe { self.0.as_ref().id() }
    }

    /// Runs the job. `Some`: it still has the turn and wants to run again.
    pub(crate) fn run(self, budget: Budget) -> Option<(Self, Soon)> {
        // SAFETY: `self` is the turn; the job keeps itself alive while the turn exists.
        let after = unsafe { self.0.as_ref().run(budget) };
        self.goes_on(after)
    }

    /// All that had come was handled, and its runner keeps the turn while it waits.
    pub(super) fn settle(&self, since: u64) {
        // SAFETY: `self` is the turn; the job keeps itself alive while the turn exists.
        unsafe { self.0.as_ref().settle(since) };
    }

    /// Whether there is something to run for.
    pub(super) fn has_news(&self) -> bool {
        // SAFETY: as above.
        unsafe { self.0.as_ref().has_news() }
    }

    /// The pool is over. `Some`: the job stays as it is.
    pub(super) fn abandon(self) -> Option<Self> {
        // SAFETY: `self` is the turn; the job keeps itself alive while the turn exists.
        let after = unsafe { self.0.as_ref().abandon() };
        self.goes_on(after).map(|(job, _)| job)
    }

    fn goes_on(self, after: After) -> Option<(Self, Soon)> {
        match after {
            After::Again => Some((self, Soon::Now)),
            After::Linger(found) => Some((self, Soon::Thin(found))),
            After::Busy => Some((self, Soon::Busy)),
            After::Idle => None,
            After::Ended => {
                // SAFETY: the count leaked by `hold_itself`, once for every turn that ends so.
                drop(unsafe { Arc::from_raw(self.0.as_ptr()) });
                None
            }
        }
    }
}

/// How soon a job wants to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Soon {
    /// It has more to do.
    Now,
    /// It found so few messages, and more may come: a pause lets a batch form.
    Thin(u32),
    /// A producer must finish a write first.
    Busy,
}

/// Makes `job` hold a reference to itself, dropped by whoever runs it to its end.
pub(crate) fn hold_itself<J: Job + 'static>(job: &Arc<J>) {
    let _ = Arc::into_raw(job.clone());
}
