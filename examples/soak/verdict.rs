//! What was wrong, by kind, and what was done, by kind.

use std::fmt::{self, Debug};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many are told of at once; all are counted.
const AT_ONCE_MAX: usize = 100;
/// What is printed of them in the end.
const WRONG_MAX: usize = 20;

/// A kind of violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lost,
    Duplicated,
    Reordered,
    /// Values, threads or file descriptors that are left; memory that grows.
    Leaked,
    /// Final messages, joins, the end of a bus.
    Ending,
    /// Updates of a cache that do not follow one another.
    Chain,
    /// A read that shows what is older than what was published.
    Stale,
    /// Somebody who gets nowhere.
    Hung,
    /// Anything else that is not as promised.
    Other,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Lost,
        Self::Duplicated,
        Self::Reordered,
        Self::Leaked,
        Self::Ending,
        Self::Chain,
        Self::Stale,
        Self::Hung,
        Self::Other,
    ];
}

/// A violation.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    /// Since the begin.
    after: Duration,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WRONG {:?} after {:.3} s: {}", self.kind, self.after.as_secs_f64(), self.what)
    }
}

/// All violations so far.
pub(crate) struct Verdict {
    start: Instant,
    is_bad: AtomicBool,
    wrong: Mutex<Vec<Wrong>>,
}

impl Default for Verdict {
    fn default() -> Self {
        Self { start: Instant::now(), is_bad: AtomicBool::new(false), wrong: Mutex::default() }
    }
}

impl Verdict {
    /// Told at once, too: who ends the run then may not get to its table.
    #[cold]
    pub(crate) fn complain(&self, kind: Kind, what: impl fmt::Display) {
        let wrong = Wrong { kind, what: what.to_string(), after: self.start.elapsed() };
        let mut all = self.wrong.lock().unwrap();
        if all.len() < AT_ONCE_MAX {
            eprintln!("{wrong}");
        }
        all.push(wrong);
        self.is_bad.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_bad(&self) -> bool {
        self.is_bad.load(Ordering::Relaxed)
    }

    /// Complains unless it holds.
    pub(crate) fn expect(&self, holds: bool, kind: Kind, what: impl FnOnce() -> String) {
        if !holds {
            self.complain(kind, what());
        }
    }

    pub(crate) fn equal<T: PartialEq + Debug>(&self, is: T, due: T, kind: Kind, what: &str) {
        self.expect(is == due, kind, || format!("{what}: {is:?} instead of {due:?}"));
    }

    pub(crate) fn all(&self) -> Vec<Wrong> {
        self.wrong.lock().unwrap().clone()
    }
}

/// The last lines of a run: what was wrong, and the verdict, if there is one to be given otherwise.
pub(crate) fn last_lines(wrong: &[Wrong], or: &str) -> String {
    let mut lines: String = wrong.iter().take(WRONG_MAX).map(|wrong| format!("{wrong}\n")).collect();
    if wrong.len() > WRONG_MAX {
        lines += &format!("WRONG and {} more\n", wrong.len() - WRONG_MAX);
    }
    lines + or + "\n"
}

macro_rules! counts {
    ($($(#[$attribute:meta])* $name:ident $text:literal)+) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count { $($(#[$attribute])* $name),+ }

        impl Count {
            const TEXTS: &[&str] = &[$($text),+];
        }
    };
}

counts! {
    Panicked "handlers panicked"
    Slept "handlers slept"
    Blocked "handlers blocked for seconds"
    Echoed "handlers published to themselves"
    Ousted "handlers unsubscribed another"
    Waited "handlers waited for another (publish_sync)"
    Circles "circles of waits refused"
    Tenants "subscriptions came and went"
    Visitors "subscriptions of a busy topic came and went"
    Dropped "streams were dropped with their queue"
    Forwards "forwards came and went"
    Filters "filters were changed"
    Routes "routes were changed"
    Caches "caches came and went"
    Leases "leases came and went"
    Followers "followers caught up with a cache"
    States "states came and went"
    Members "topics of a pool came and went"
    Buses "buses came and went"
    Jumps "clock jumps"
    Signals "signals"
    Synced "publish_sync returned after its handler"
    Links "links of chains of updates"
    Reads "reads of what had been written"
    Compared "followers compared with the cache"
    Marks "water marks passed, in turn"
    Finals "final messages, each the last"
}

/// Counts since the begin.
pub(crate) struct Counts([AtomicU64; Count::TEXTS.len()]);

impl Counts {
    pub(crate) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; Count::TEXTS.len()])
    }

    pub(crate) fn add(&self, count: Count, more: u64) {
        self.0[count as usize].fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn one(&self, count: Count) {
        self.add(count, 1);
    }

    /// Those in a range, with what they are called.
    pub(crate) fn rows(&self, first: Count, last: Count) -> impl Iterator<Item = (&'static str, u64)> {
        (first as usize..=last as usize).map(|at| (Count::TEXTS[at], self.0[at].load(Ordering::Relaxed)))
    }
}
