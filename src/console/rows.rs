//! The rows of each table as JSON. Times are in seconds.

use super::rates::{CacheRates, SubscriptionRates, TopicRates, TypeRates, WorkerRates};
use super::table::{Choice, Key, Row};
use crate::stats::{
    CacheStats, MessageTypeStats, SubscriptionState, SubscriptionStats, Timing, TopicStats, WorkerStats,
};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::time::Duration;

macro_rules! columns {
    ($row:ident($names:expr), usually $usual:literal: $($name:literal => $key:expr,)+) => {
        const COLUMNS: &'static [&'static str] = &[$($name),+];
        const USUAL: &'static str = $usual;

        fn key(&self, column: &str) -> Key<'_> {
            let $row = self;
            match column {
                $($name => $key.into(),)+
                _ => Key::Number(0.0),
            }
        }

        fn names(&self) -> [&str; 2] {
            let $row = self;
            $names
        }
    };
}

impl From<u64> for Key<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

impl From<f32> for Key<'_> {
    fn from(number: f32) -> Self {
        Self::Number(f64::from(number))
    }
}

impl From<Duration> for Key<'_> {
    fn from(time: Duration) -> Self {
        Self::Number(time.as_secs_f64())
    }
}

impl<'a> From<&'a String> for Key<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct TopicRow<'a> {
    #[serde(flatten)]
    pub(super) stats: &'a TopicStats,
    pub(super) rates: TopicRates,
}

impl Row for TopicRow<'_> {
    columns! { row([&row.stats.name, ""]), usually "published_rate":
        "name" => &row.stats.name,
        "class" => &row.stats.class,
        "published" => row.stats.published,
        "published_rate" => row.rates.published,
        "arrived" => row.stats.arrived,
        "arrived_rate" => row.rates.arrived,
        "reached" => row.stats.reached,
        "unrouted" => row.stats.unrouted,
        "subscriptions" => row.stats.subscriptions as u64,
        "forwards" => row.stats.forwards as u64,
        "delivered" => row.stats.delivered,
        "delivered_rate" => row.rates.delivered,
        "filtered" => row.stats.filtered,
        "missed" => row.stats.missed,
        "missed_rate" => row.rates.missed,
        "longest" => row.stats.longest,
    }

    const CHOICES: &'static [Choice] = &[Choice { name: "class", known: &[] }];

    fn has(&self, _: &str, word: &str) -> bool {
        self.stats.class == word
    }
}

/// A subscription without the buckets of its times, which [`SubscriptionStats`] has.
#[derive(Clone, Copy)]
pub(super) struct SubscriptionRow<'a> {
    pub(super) stats: &'a SubscriptionStats,
    pub(super) rates: SubscriptionRates,
}

const DISPATCHES: [&str; 5] = ["dedicated", "inline", "pool", "serial", "stream"];
const STATES: [&str; 5] = ["ended", "ending", "idle", "running", "waiting"];

impl SubscriptionRow<'_> {
    /// What its handler takes now: on average since the last look, or the call that has not returned, if that is longer.
    pub(super) fn handler_now(&self) -> f32 {
        let run = match self.stats.state {
            // A worker runs a mailbox for 200 us at a time, unless a call takes longer. What moves on is not in one call.
            SubscriptionState::Running { worker: Some(_), time }
                if time > Duration::from_millis(10) && self.rates.handled == 0.0 =>
            {
                time.as_secs_f32()
            }
            _ => 0.0,
        };
        run.max(self.rates.handler)
    }

    /// How full it is; 0 if nothing says what full is.
    fn fill(&self) -> f32 {
        if self.stats.capacity == 0 { 0.0 } else { self.stats.depth as f32 / self.stats.capacity as f32 }
    }
}

impl Row for SubscriptionRow<'_> {
    columns! { row([&row.stats.name, &row.stats.topic]), usually "depth":
        "name" => &row.stats.name,
        "id" => row.stats.id,
        "topic" => &row.stats.topic,
        "depth" => row.stats.depth,
        "capacity" => row.stats.capacity,
        "fill" => row.fill(),
        "high_water" => row.stats.high_water,
        "oldest" => row.stats.oldest.unwrap_or_default(),
        "behind" => row.stats.behind.unwrap_or_default(),
        "accepted" => row.stats.accepted,
        "accepted_rate" => row.rates.accepted,
        "handled" => row.stats.handled,
        "handled_rate" => row.rates.handled,
        "filtered" => row.stats.filtered,
        "missed" => row.stats.missed,
        "missed_rate" => row.rates.missed,
        "panics" => row.stats.panics,
        "slow" => row.stats.slow,
        "blocked" => row.stats.blocked.now,
        "blocked_times" => row.stats.blocked.times,
        "handler" => row.handler_now(),
        "handler_p99" => row.stats.handler.p99,
        "handler_max" => row.stats.handler.max,
        "delay_p99" => row.stats.delay.p99,
        "busy" => row.rates.busy,
    }

    const CHOICES: &'static [Choice] = &[
        Choice { name: "topic", known: &[] },
        Choice { name: "dispatch", known: &DISPATCHES },
        Choice { name: "state", known: &STATES },
    ];

    fn has(&self, choice: &str, word: &str) -> bool {
        match choice {
            "topic" => self.stats.topic == word,
            "dispatch" => self.stats.dispatch == word,
            _ => self.stats.state.to_string() == word,
        }
    }
}

impl Serialize for SubscriptionRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let row = self.stats;
        let mut object = to.serialize_struct("subscription", 27)?;
        object.serialize_field("name", &row.name)?;
        object.serialize_field("id", &row.id)?;
        object.serialize_field("topic", &row.topic)?;
        object.serialize_field("dispatch", row.dispatch)?;
        object.serialize_field("state", &row.state.to_string())?;
        object.serialize_field("running", &running(&row.state))?;
        object.serialize_field("depth", &row.depth)?;
        object.serialize_field("capacity", &row.capacity)?;
        object.serialize_field("fill", &self.fill())?;
        object.serialize_field("high_water", &row.high_water)?;
        object.serialize_field("congested", &row.congested)?;
        object.serialize_field("oldest", &row.oldest.map(|time| time.as_secs_f64()))?;
        object.serialize_field("behind", &row.behind.map(|time| time.as_secs_f64()))?;
        object.serialize_field("accepted", &row.accepted)?;
        object.serialize_field("handled", &row.handled)?;
        object.serialize_field("filtered", &row.filtered)?;
        object.serialize_field("missed", &row.missed)?;
        object.serialize_field("lost", &row.lost)?;
        object.serialize_field("over_capacity", &row.over_capacity)?;
        object.serialize_field("high_crossings", &row.high_crossings)?;
        object.serialize_field("panics", &row.panics)?;
        object.serialize_field("slow", &row.slow)?;
        object.serialize_field("blocked", &row.blocked)?;
        object.serialize_field("delay", &Brief(&row.delay))?;
        object.serialize_field("handler", &Brief(&row.handler))?;
        object.serialize_field("handler_now", &self.handler_now())?;
        object.serialize_field("rates", &self.rates)?;
        object.end()
    }
}

/// For how long somebody has been running it.
fn running(state: &SubscriptionState) -> Option<f64> {
    match state {
        SubscriptionState::Running { time, .. } => Some(time.as_secs_f64()),
        _ => None,
    }
}

/// A timing without its buckets.
pub(super) struct Brief<'a>(pub(super) &'a Timing);

impl Serialize for Brief<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let timing = self.0;
        let mut object = to.serialize_struct("timing", 7)?;
        object.serialize_field("count", &timing.count)?;
        object.serialize_field("mean", &timing.mean.as_secs_f64())?;
        object.serialize_field("p50", &timing.p50.as_secs_f64())?;
        object.serialize_field("p90", &timing.p90.as_secs_f64())?;
        object.serialize_field("p99", &timing.p99.as_secs_f64())?;
        object.serialize_field("p999", &timing.p999.as_secs_f64())?;
        object.serialize_field("max", &timing.max.as_secs_f64())?;
        object.end()
    }
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct TypeRow<'a> {
    #[serde(flatten)]
    pub(super) stats: &'a MessageTypeStats,
    pub(super) rates: TypeRates,
}

impl Row for TypeRow<'_> {
    columns! { row([&row.stats.name, ""]), usually "made_rate":
        "name" => &row.stats.name,
        "id" => u64::from(row.stats.id),
        "made" => row.stats.made,
        "made_rate" => row.rates.made,
        "alive" => row.stats.alive,
        "bytes" => row.stats.bytes,
        "unused" => row.stats.unused,
        "unused_rate" => row.rates.unused,
        "declined" => row.stats.declined,
        "panics" => row.stats.panics,
    }
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct CacheRow<'a> {
    #[serde(flatten)]
    pub(super) stats: &'a CacheStats,
    pub(super) rates: CacheRates,
}

impl Row for CacheRow<'_> {
    columns! { row([&row.stats.name, ""]), usually "updates_rate":
        "name" => &row.stats.name,
        "entries" => row.stats.entries,
        "hits" => row.rates.hits,
        "reads_rate" => row.rates.reads,
        "updates" => row.stats.updates,
        "updates_rate" => row.rates.updates,
        "suppressed" => row.stats.suppressed,
        "cleared" => row.stats.cleared,
        "expired" => row.stats.expired,
        "evicted" => row.stats.evicted,
        "aggregates" => row.stats.aggregates,
    }
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct WorkerRow<'a> {
    #[serde(flatten)]
    pub(super) stats: &'a WorkerStats,
    pub(super) rates: WorkerRates,
}

impl WorkerRow<'_> {
    fn subscription(&self) -> &str {
        self.stats.running.as_ref().map_or("", |work| &work.subscription)
    }
}

impl Row for WorkerRow<'_> {
    columns! { row([row.subscription(), ""]), usually "busy":
        "seat" => row.stats.seat as u64,
        "running" => row.stats.running.as_ref().map(|work| work.time).unwrap_or_default(),
        "runs" => row.stats.runs,
        "runs_rate" => row.rates.runs,
        "busy" => row.rates.busy,
        "busy_total" => row.stats.busy,
        "parks" => row.stats.parks,
        "wakeups" => row.stats.wakeups,
    }
}
