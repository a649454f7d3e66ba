//! What a subscription is doing, and who waits for room in it.

use std::fmt;
use std::time::Duration;

/// What a subscription is doing at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[cfg_attr(feature = "json", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SubscriptionState {
    /// Nothing waits. Inline: called by publishers.
    #[default]
    Idle,
    /// Messages wait, and no worker has come for them yet; or nobody reads the stream.
    Waiting,
    /// Somebody runs it.
    Running {
        /// The worker's seat, if it is a worker.
        worker: Option<usize>,
        /// For how long: since the worker took it up, or since its thread last found it empty.
        #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
        time: Duration,
    },
    /// Ended, and its final message has not been handled yet.
    Ending,
    /// Its final message has been handled.
    Ended,
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Running { .. } => "running",
            Self::Ending => "ending",
            Self::Ended => "ended",
        })
    }
}

/// Publishers that waited for room in a full [`Block`](crate::Overflow::Block) mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Blocked {
    /// How many wait now.
    pub now: u64,
    /// How often one went to sleep for it, now included.
    pub times: u64,
    /// How long all waits that are over took together.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub total: Duration,
    /// The longest wait, the present ones included.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub longest: Duration,
    /// How long there has been somebody waiting, if there is.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::some_seconds"))]
    pub waiting: Option<Duration>,
    /// Waits that were not begun, since they would have closed a circle: the message was taken beyond the capacity.
    pub circles: u64,
}

impl Blocked {
    /// Of several mailboxes together.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        Self {
            now: self.now + other.now,
            times: self.times + other.times,
            total: self.total + other.total,
            longest: self.longest.max(other.longest),
            waiting: self.waiting.max(other.waiting),
            circles: self.circles + other.circles,
        }
    }
}
