//! The plain structs and how they print.

use super::Delay;
use std::fmt;

/// One topic's figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Its name.
    pub name: String,
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
}

/// One subscription's figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Messages accepted into its mailbox (inline: handler calls).
    pub accepted: u64,
    /// Messages waiting now. Up to 16 more may have been taken out for the handler that is running.
    pub depth: u64,
    /// The most that were seen waiting.
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
    /// How long messages waited.
    pub delay: Delay,
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
#[non_exhaustive]
pub struct Lost {
    /// Refused by a full mailbox.
    pub refused: u64,
    /// Waited, and were taken out for newer ones.
    pub evicted: u64,
    /// Waited, and were replaced by a newer one of their key.
    pub conflated: u64,
    /// Refused because nobody made room before the publisher's deadline.
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

/// A whole bus at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusStats {
    /// Live topics, by name.
    pub topics: Vec<TopicStats>,
    /// Live subscriptions, by number.
    pub subscriptions: Vec<SubscriptionStats>,
    /// Worker threads now.
    pub workers: usize,
    /// Mailboxes that wait for a worker.
    pub ready: usize,
    /// Panics of handlers, their drops and wakers caught so far.
    pub panics: u64,
    /// Publishes refused because they were nested too deep.
    pub nested_too_deep: u64,
    /// Threads that the system refused to start.
    pub threads_refused: usize,
}

impl fmt::Display for TopicStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        topic_row(f, &self.name, self)
    }
}

fn topic_row(f: &mut fmt::Formatter<'_>, name: &str, row: &TopicStats) -> fmt::Result {
    write!(
        f,
        "{name:<36} {:>12} {:>12} {:>10} {:>5} {:>5}",
        row.published, row.reached, row.unrouted, row.subscriptions, row.forwards
    )
}

impl fmt::Display for SubscriptionStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<20} {:<9} {:>12} {:>8} {:>8} {:>8} {:>8} {:>6}  {}",
            format!("{}#{}", self.name, self.id),
            self.dispatch,
            self.accepted,
            self.depth,
            self.high_water,
            self.capacity,
            self.missed,
            self.panics,
            self.delay
        )
    }
}

impl fmt::Display for BusStats {
    /// Two tables and a line; of many topics the first forty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<36} {:>12} {:>12} {:>10} {:>5} {:>5}",
            "topic", "published", "reached", "unrouted", "subs", "fwds"
        )?;
        const TOPICS_SHOWN: usize = 40;
        for row in self.topics.iter().take(TOPICS_SHOWN) {
            writeln!(f, "{row}")?;
        }
        if let Some(more) = self.topics.len().checked_sub(TOPICS_SHOWN).filter(|more| *more > 0) {
            writeln!(f, "... and {more} topics more")?;
        }
        writeln!(
            f,
            "\n{:<20} {:<9} {:>12} {:>8} {:>8} {:>8} {:>8} {:>6}  delay",
            "subscription", "dispatch", "accepted", "depth", "highest", "capacity", "missed", "panics"
        )?;
        for row in &self.subscriptions {
            writeln!(f, "{row}")?;
        }
        write!(
            f,
            "\n{} topics, {} subscriptions, {} workers, {} mailboxes ready, {} panics",
            self.topics.len(),
            self.subscriptions.len(),
            self.workers,
            self.ready,
            self.panics
        )
    }
}
