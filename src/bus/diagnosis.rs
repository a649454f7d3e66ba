//! What is wrong with a bus, as data and in plain words.

use crate::stats::human::{count, plural, time};
use crate::stats::{Lost, Refused};
use std::fmt;
use std::time::Duration;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Something is late, or will be.
    Warning,
    /// Messages are lost, or somebody is stuck.
    Critical,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Subject {
    /// The bus as a whole.
    Bus,
    /// One subscription.
    Subscription {
        /// Its name.
        name: String,
        /// Its number.
        id: u64,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus => f.write_str("bus"),
            Self::Subscription { name, .. } => write!(f, "subscription {name}"),
        }
    }
}

/// Where a queue is going, as far as the looks at it tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Trend {
    /// This was the first look.
    Unknown,
    /// Deeper each time.
    Rising,
    /// Not as deep as the time before.
    Falling,
    /// As deep as the time before.
    Steady,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Trouble {
    /// Its queue is deep, or its oldest message old.
    Behind {
        /// Messages that wait.
        depth: u64,
        /// Whether there are more and more.
        trend: Trend,
        /// For how long it has been going there; unknown trend: how long ago it was last found empty.
        #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
        time: Duration,
    },
    /// A stream that is not read.
    Unread {
        /// Messages that wait.
        depth: u64,
        /// For how long the oldest does.
        #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
        oldest: Duration,
    },
    /// Its handler takes long.
    Slow {
        /// 99 of 100 calls take at most so long.
        #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
        p99: Duration,
    },
    /// Its handler does not return.
    Stuck {
        /// How many workers there are, of which one is in it; `None`: it has a thread of its own.
        workers: Option<usize>,
        /// For how long.
        #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
        time: Duration,
    },
    /// Publishers wait for room in it.
    Blocked {
        /// How many.
        publishers: u64,
        /// For how long there has been one.
        #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
        time: Duration,
    },
    /// Messages were lost since the last look.
    Losing(Lost),
    /// Its handler panicked since the last look.
    Panics {
        /// How often since then.
        new: u64,
        /// And in all.
        total: u64,
    },
    /// Every worker is in a handler that takes long, and more work waits.
    NoWorkerFree {
        /// How many there are.
        workers: usize,
        /// Whether there may be more.
        may_grow: bool,
        /// Mailboxes that wait for one.
        ready: usize,
    },
    /// Publishes since the last look that nobody took.
    Unrouted(u64),
    /// Publishes that were refused as a whole since the last look.
    Refused(Refused),
    /// Threads that the system refused to start since the last look.
    ThreadsRefused(u64),
    /// Waits that were not begun since the last look, as they would have closed a circle.
    Circles(u64),
}

impl Trouble {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Stuck { .. } | Self::NoWorkerFree { .. } => Severity::Critical,
            // To keep the newest of each key is what conflation is for.
            Self::Losing(lost) if lost.total() == lost.conflated => Severity::Note,
            Self::Losing(_) => Severity::Critical,
            Self::Slow { .. } | Self::Unrouted(_) | Self::Circles(_) => Severity::Note,
            Self::Refused(refused) if refused.nested_too_deep + refused.foreign_type == 0 => Severity::Note,
            _ => Severity::Warning,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { depth, trend, time: length } => {
                let (depth, length) = (count(*depth), time(*length));
                match trend {
                    Trend::Unknown => write!(f, "queue {depth} and behind for {length}"),
                    Trend::Rising => write!(f, "queue {depth} and rising for {length}"),
                    Trend::Falling => write!(f, "queue {depth} and falling for {length}"),
                    Trend::Steady => write!(f, "queue {depth} and no shorter for {length}"),
                }
            }
            Self::Unread { depth, oldest } => {
                let waiting = plural(*depth, "message waits", "messages wait");
                write!(f, "nobody reads it, {waiting}, the oldest for {}", time(*oldest))
            }
            Self::Slow { p99 } => write!(f, "its handler takes {} at p99", time(*p99)),
            Self::Stuck { workers: Some(all), time: length } => {
                let workers = if *all == 1 { "worker" } else { "workers" };
                write!(f, "1 of {all} {workers} is stuck in it since {}", time(*length))
            }
            Self::Stuck { workers: None, time: length } => {
                write!(f, "its thread is stuck in it since {}", time(*length))
            }
            Self::Blocked { publishers, time: length } => {
                let wait = plural(*publishers, "publisher waits", "publishers wait");
                write!(f, "{wait} for room since {}", time(*length))
            }
            Self::Losing(lost) => write!(f, "lost {} ({lost})", plural(lost.total(), "message", "messages")),
            Self::Panics { new, total } => {
                write!(f, "its handler panicked {}, {} in all", plural(*new, "time", "times"), count(*total))
            }
            Self::NoWorkerFree { workers, may_grow, ready } => {
                let limit = if *may_grow { "" } else { ", which is the maximum" };
                let wait = plural(*ready as u64, "subscription waits", "subscriptions wait");
                let held = if *workers == 1 { "the only worker is" } else { "workers are all" };
                let number = if *workers == 1 { String::new() } else { format!("{workers} ") };
                write!(f, "{number}{held} in long handlers{limit}, and {wait} for one")
            }
            Self::Unrouted(messages) => {
                write!(f, "{} reached nobody", plural(*messages, "publish", "publishes"))
            }
            Self::Refused(refused) => refusals(f, refused),
            Self::ThreadsRefused(threads) => {
                write!(f, "the system refused to start {}", plural(*threads, "thread", "threads"))
            }
            Self::Circles(waits) => {
                let were = plural(*waits, "wait was", "waits were");
                write!(f, "{were} not begun, which would have closed a circle")
            }
        }
    }
}

fn refusals(f: &mut fmt::Formatter<'_>, refused: &Refused) -> fmt::Result {
    let reasons = [
        (refused.declined, "of a declined type"),
        (refused.closed, "after the end of the bus"),
        (refused.foreign_type, "of another bus's type"),
        (refused.nested_too_deep, "nested too deep"),
    ];
    let parts = reasons.iter().filter(|(number, _)| *number > 0);
    let words: Vec<String> = parts.map(|(number, why)| format!("{} {why}", count(*number))).collect();
    write!(f, "publishes refused: {}", words.join(", "))
}

/// Everything found out about one subscription, or about the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What is wrong there.
    pub troubles: Vec<Trouble>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.troubles.iter().map(Trouble::to_string).collect();
        write!(f, "{}: {}", self.subject, words.join("; "))
    }
}

/// What a look at the bus has found. Prints in plain words, worst first. See [`Bus::diagnose`](crate::Bus::diagnose).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Diagnosis {
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// The bus in one line of figures.
    pub summary: String,
}

impl Diagnosis {
    /// Whether nothing was found but what is merely worth knowing.
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_well() { "all is well: " } else { "" };
        let findings = self.findings.iter().map(|finding| format!("{finding}\n"));
        match self.is_well() {
            // What is merely worth knowing comes after the good news.
            true => write!(
                f,
                "{verdict}{}{}",
                self.summary,
                self.findings.iter().map(|note| format!("\n{note}")).collect::<String>()
            ),
            false => write!(f, "{}{}", findings.collect::<String>(), self.summary),
        }
    }
}
