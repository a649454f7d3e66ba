//! A whole bus: totals, threads, message types.

use super::{Blocked, Lost, Rows, SubscriptionStats, Timing, TopicStats};
use std::time::Duration;

/// One message type's figures at one moment.
///
/// Counted by each thread for itself, at about a nanosecond a message: exact when nothing moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MessageTypeStats {
    /// Its name.
    pub name: String,
    /// Its number, unique in its bus.
    pub id: u32,
    /// Messages made.
    pub made: u64,
    /// Messages that somebody still has a reference to.
    pub alive: u64,
    /// Memory of those: the messages themselves, without what their values point to.
    pub bytes: u64,
    /// Publishes of such messages that nobody took.
    pub unused: u64,
    /// Whether the configuration declines it.
    pub is_declined: bool,
    /// Messages that were not made because of that.
    pub declined: u64,
    /// Panics caught in its formatters and in the drops of its values.
    pub panics: u64,
}

/// One worker's figures at one moment: of its seat, which goes on when another thread takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WorkerStats {
    /// Its seat, counted from 0.
    pub seat: usize,
    /// What it runs now; `None`: it has no work.
    pub running: Option<Work>,
    /// How often it took a mailbox up.
    pub runs: u64,
    /// How long it ran mailboxes, by the coarse clock: right on average, wrong for a single run.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub busy: Duration,
    /// How often it went to sleep.
    pub parks: u64,
    /// How often it was woken, or found work at once, and did not sleep until its idle timeout.
    pub wakeups: u64,
}

/// What a worker is in the middle of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Work {
    /// The subscription's name; empty if it has just gone.
    pub subscription: String,
    /// The subscription's number.
    pub id: u64,
    /// For how long: a run ends after 64 messages or 200 us, unless the handler does not return.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub time: Duration,
}

/// The pool's figures at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// Fewest workers, as configured.
    pub min: usize,
    /// Most workers, as configured.
    pub max: usize,
    /// Whether a thread stands by to become one more.
    pub standby: bool,
    /// How often a worker was added because the others were stuck.
    pub grown: u64,
    /// How often a worker left after idling.
    pub shrunk: u64,
    /// Threads started so far.
    pub started: usize,
    /// Workers that wait in `publish_sync` or `join`, and whose seats others have taken.
    pub waiting: usize,
    /// Such waits that were refused, since no thread could take the seat.
    pub no_seat: u64,
}

/// Publishes that delivered to nobody, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Refused {
    /// The type is declined by configuration.
    pub declined: u64,
    /// The bus was shut down.
    pub closed: u64,
    /// The type belongs to another bus.
    pub foreign_type: u64,
    /// Nested too deep.
    pub nested_too_deep: u64,
}

/// Sums over the life of a bus. They never go back, whatever subscriptions and topics come and go; `filtered` may be
/// told too high while publishes are under way, and `handled` by what had been taken out for a handler or a reader and was
/// thrown away then: 64 at most for each subscription, of a batch handler its `batch_max`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Totals {
    /// Messages published by users.
    pub published: u64,
    /// Of those, messages that no subscription took.
    pub unrouted: u64,
    /// Messages accepted by subscriptions: one message counts once for each.
    pub delivered: u64,
    /// Messages whose handler was called, or that were read.
    pub handled: u64,
    /// Messages that filters kept away.
    pub filtered: u64,
    /// Messages not delivered although they were meant to be.
    pub missed: u64,
    /// The same, by reason.
    pub lost: Lost,
    /// Messages taken by full mailboxes.
    pub over_capacity: u64,
    /// Handler calls noticed that took 10 ms or longer.
    pub slow: u64,
    /// Publishers that waited for room.
    pub blocked: Blocked,
    /// Publishes that were refused as a whole.
    pub refused: Refused,
    /// Waits for a subscription: `publish_sync` and `join`.
    pub waits: u64,
    /// Waits and waits for room that were not begun, since they would have closed a circle.
    pub circles: u64,
}

impl Totals {
    /// Adds what one subscription has counted.
    pub(crate) fn add(&mut self, one: &SubscriptionStats) {
        self.delivered += one.accepted;
        self.handled += one.handled;
        self.filtered += one.filtered;
        self.missed += one.missed;
        self.lost.add(&one.lost);
        self.over_capacity += one.over_capacity;
        self.slow += one.slow;
        self.blocked = self.blocked.merged(&one.blocked);
        self.circles += one.blocked.circles;
    }
}

impl TopicStats {
    /// Adds what one of its subscriptions has counted.
    pub(crate) fn add(&mut self, one: &SubscriptionStats) {
        self.delivered += one.accepted;
        self.filtered += one.filtered;
        self.missed += one.missed;
    }
}

/// One topic in detail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TopicDetail {
    /// Its figures.
    pub stats: TopicStats,
    /// What its maker had to say about it.
    pub detail: String,
    /// How long it has been there.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub age: Duration,
    /// Its subscriptions, by number.
    pub subscriptions: Rows<SubscriptionStats>,
    /// Topics its messages go on to.
    pub forwards_to: Vec<String>,
    /// Topics whose messages come here.
    pub forwards_from: Vec<String>,
}

/// A whole bus at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BusStats {
    /// Sums over its life.
    pub totals: Totals,
    /// Live topics, by name.
    pub topics: Rows<TopicStats>,
    /// Live subscriptions, by number.
    pub subscriptions: Rows<SubscriptionStats>,
    /// Message types, by number.
    pub message_types: Rows<MessageTypeStats>,
    /// Workers, by seat.
    pub worker_stats: Rows<WorkerStats>,
    /// The pool.
    pub pool: PoolStats,
    /// How long publishes took, inline and Serial handlers included: one of 64 on each topic is timed.
    pub publishes: Timing,
    /// Worker threads now.
    pub workers: usize,
    /// Mailboxes that wait for a worker.
    pub ready: usize,
    /// Panics of user code caught so far.
    pub panics: u64,
    /// Publishes and subscriptions refused because they were nested too deep.
    pub nested_too_deep: u64,
    /// Threads that the system refused to start.
    pub threads_refused: usize,
}
