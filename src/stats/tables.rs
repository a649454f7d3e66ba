//! The plain structs of topics and subscriptions.

use super::{Blocked, SubscriptionState, Timing};
use std::fmt;
use std::time::Duration;

/// One topic's figures at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TopicStats {
    /// Its name.
    pub name: String,
    /// Its [class](crate::Topic::class).
    pub class: String,
    /// Messages published on this very topic.
    pub published: u64,
    /// Messages that reached it: published here, arrived by a forward, and the bus's own that tell of its subscriptions.
    pub reached: u64,
    /// Of those, messages that arrived by a forward.
    pub arrived: u64,
    /// Publishes here that no subscription anywhere took.
    pub unrouted: u64,
    /// Subscriptions now.
    pub subscriptions: usize,
    /// Forwards out of it now.
    pub forwards: usize,
    /// Messages that subscriptions on this topic accepted, those that have ended included.
    pub delivered: u64,
    /// Messages that filters of subscriptions on this topic kept away.
    pub filtered: u64,
    /// Messages that subscriptions on this topic did not get although they were meant for them.
    pub missed: u64,
    /// The longest publish here, of those timed (one of 64): inline and Serial handlers included.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub longest: Duration,
}

/// One subscription's figures at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Its name.
    pub name: String,
    /// Its number, unique in the process.
    pub id: u64,
    /// Its topic.
    pub topic: String,
    /// How it is dispatched, in a word.
    pub dispatch: &'static str,
    /// Messages accepted into its mailbox. Of an inline subscription handler calls; if it takes everything, what reached its
    /// topic while it stood, off by the publishes that were under way when it ended.
    pub accepted: u64,
    /// Messages waiting now, with what is left of a snapshot. Up to 64 more (of a batch handler: up to its
    /// `batch_max`) may have been taken out for the handler that is running.
    pub depth: u64,
    /// The most that were seen waiting, a snapshot not counted.
    pub high_water: u64,
    /// Messages it may hold before its policy decides; 0 for an inline subscription.
    pub capacity: u64,
    /// Messages it did not get although they were meant for it, for whatever reason.
    pub missed: u64,
    /// The same, by reason.
    pub lost: Lost,
    /// Messages taken although the mailbox was full (`Block` in a handler, control messages).
    pub over_capacity: u64,
    /// How often so many messages waited that it passed its high water mark.
    pub high_crossings: u64,
    /// Whether it has not passed its low one since.
    pub congested: bool,
    /// Panics of its handler.
    pub panics: u64,
    /// Messages that its filter kept away, its own begin included.
    ///
    /// Derived from what reached the topic, so it costs the publishers nothing; off by the publishes that were under way
    /// when the subscription was made or ended.
    pub filtered: u64,
    /// Messages its handler was called for, or that were read, and the up to 64 (of a batch handler: up to its
    /// `batch_max`) that were taken out for it just now.
    pub handled: u64,
    /// What it is doing.
    pub state: SubscriptionState,
    /// How long the oldest message has been waiting; `None` if none waits, or nobody knows.
    ///
    /// Never less than it is (but for a step of the coarse clock). More at most by the time in which 16 messages came, or
    /// a quarter of the queue if that is deeper.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::some_seconds"))]
    pub oldest: Option<Duration>,
    /// How long ago it was last found empty, if it is not empty: for so long it has been behind.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::some_seconds"))]
    pub behind: Option<Duration>,
    /// Publishers that waited for room.
    pub blocked: Blocked,
    /// How long messages waited.
    pub delay: Timing,
    /// How long handler calls took. Empty for a stream, which has no handler.
    pub handler: Timing,
    /// Handler calls noticed that took 10 ms or longer.
    pub slow: u64,
}

/// Messages that were meant for a subscription and not delivered, by reason.
///
/// ```
/// # let bus = stasis_bus::Bus::builder().manual().build()?;
/// # let (state, topic) = (bus.message_type::<u8>("state")?, bus.topic("calls")?);
/// use stasis_bus::Overflow;
/// let slow = topic.subscription("slow").accept(&state).capacity(2).overflow(Overflow::DropNewest).start(|_| {})?;
/// (0..5).for_each(|value| assert!(topic.publish(state.message(value)).closed == 0));
/// let stats = slow.stats();
/// assert_eq!((stats.lost.refused, stats.missed), (3, 3));
/// assert_eq!(stats.lost.to_string(), "3 refused");
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Lost {
    /// Refused by a full mailbox.
    pub refused: u64,
    /// Waited, and were taken out for newer ones.
    pub evicted: u64,
    /// Waited, and were replaced by a newer one of their key.
    pub conflated: u64,
    /// Refused because nobody made room before the publisher's deadline, or before it gave up waiting
    /// ([`PublishAsync`](crate::PublishAsync) dropped).
    pub timed_out: u64,
    /// Refused, by which the subscription ended: 0 or 1.
    pub disconnected: u64,
    /// Waited, and were thrown away with their queue, by a shutdown or because a stream was dropped.
    pub discarded: u64,
}

impl Lost {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.each().iter().map(|(count, _)| count).sum()
    }

    /// Adds those of another subscription.
    pub(crate) fn add(&mut self, other: &Self) {
        self.refused += other.refused;
        self.evicted += other.evicted;
        self.conflated += other.conflated;
        self.timed_out += other.timed_out;
        self.disconnected += other.disconnected;
        self.discarded += other.discarded;
    }

    /// What came since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            refused: self.refused.saturating_sub(before.refused),
            evicted: self.evicted.saturating_sub(before.evicted),
            conflated: self.conflated.saturating_sub(before.conflated),
            timed_out: self.timed_out.saturating_sub(before.timed_out),
            disconnected: self.disconnected.saturating_sub(before.disconnected),
            discarded: self.discarded.saturating_sub(before.discarded),
        }
    }

    fn each(&self) -> [(u64, &'static str); 6] {
        [
            (self.refused, "refused"),
            (self.evicted, "evicted"),
            (self.conflated, "conflated"),
            (self.timed_out, "timed out"),
            (self.disconnected, "disconnected"),
            (self.discarded, "discarded"),
        ]
    }
}

impl fmt::Display for Lost {
    /// What there is; "nothing" if there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.each().into_iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = parts.map(|(count, why)| format!("{count} {why}")).collect();
        f.write_str(if words.is_empty() { "nothing" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}
