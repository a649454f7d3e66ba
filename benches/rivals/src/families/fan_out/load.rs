//! What a fan-out race is about.

use crate::bench::Effort;

/// How many messages a subscriber's queue takes, for every contestant.
pub const CAPACITY: usize = 1024;
/// Messages that are handed over in one call, where batches are asked for.
pub const BATCH: usize = 32;

/// Some publishers hand every message to all subscribers, without loss; the cost is the time per message until every
/// subscriber has handled it.
#[derive(Clone, Debug)]
pub struct Load {
    pub name: String,
    pub subscribers: usize,
    pub publishers: usize,
    pub payload: Payload,
    /// Whether publishers hand over [`BATCH`] messages at a time, where their crate can.
    pub batches: bool,
    /// Measured, over all publishers: a multiple of [`BATCH`] for each of them.
    pub messages: u64,
    /// Published and handled before the clock starts; a multiple as well.
    pub warm_up: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A new message each time.
    Fresh,
    /// One message again and again.
    Same,
}

impl Load {
    /// Fresh messages, one publisher, one by one.
    pub fn new(name: impl Into<String>, subscribers: usize) -> Self {
        // About a tenth of a second: in less the system has not settled which thread runs where.
        let messages = match subscribers {
            0..2 => 409_600,
            2..8 => 307_200,
            8..32 => 153_600,
            32..128 => 51_200,
            _ => 5_120,
        };
        Self {
            name: name.into(),
            subscribers,
            publishers: 1,
            payload: Payload::Fresh,
            batches: false,
            messages,
            warm_up: 0,
        }
    }

    /// As much of it as `effort` is worth; what is measured fills every queue at least twice, unless it is a check.
    pub fn sized(&self, effort: Effort) -> Self {
        let messages = whole_batches(match effort {
            Effort::Full => self.messages,
            Effort::Quick => (self.messages / 8).max(2 * CAPACITY as u64),
            Effort::Check => self.messages / 200,
        });
        Self { messages, warm_up: whole_batches(messages / 10), ..self.clone() }
    }

    /// Warm-up and measured messages together.
    pub fn total(&self) -> u64 {
        self.warm_up + self.messages
    }

    /// What is measured, in half a line.
    pub fn about(&self) -> String {
        let what = match self.payload {
            Payload::Fresh => "a new message each time",
            Payload::Same => "one message again and again",
        };
        let how = if self.batches { ", in batches of 32" } else { "" };
        let (publishers, subscribers) = (self.publishers, self.subscribers);
        format!("ns per message until all {subscribers} have it; {publishers} publishing, {what}{how}")
    }
}

/// At least one for each of two publishers.
fn whole_batches(messages: u64) -> u64 {
    messages.max(1).next_multiple_of(2 * BATCH as u64)
}
