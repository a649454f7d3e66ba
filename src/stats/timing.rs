//! What a histogram says.

use super::human::{self, time};
use std::fmt;
use std::time::Duration;

/// How many events took at most so long and longer than the bucket before allows. Buckets without events are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Bucket {
    /// The bucket's upper bound; the next one's is at most 25 % more.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub at_most: Duration,
    /// Events in this bucket.
    pub count: u64,
}

/// How long something took, from a sample of it: handler calls, waiting in a queue, publishes.
///
/// Quantiles are upper bounds of buckets that are at most 25 % wide; minimum and maximum are those of the samples. A
/// sample stands for the events since the one before it, so that quantiles, mean and total speak of all events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Timing {
    /// How many were measured.
    pub samples: u64,
    /// How many events those stand for.
    pub count: u64,
    /// The time that all of them took together, as far as the sample tells.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub total: Duration,
    /// The shortest.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub min: Duration,
    /// Their mean.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub mean: Duration,
    /// Half of them took at most so long.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub p50: Duration,
    /// 90 % of them.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub p90: Duration,
    /// 99 % of them.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub p99: Duration,
    /// 99.9 % of them.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub p999: Duration,
    /// The longest.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::seconds"))]
    pub max: Duration,
    /// The buckets that have any, shortest first.
    pub buckets: Vec<Bucket>,
}

impl Timing {
    pub(super) fn of(
        buckets: Vec<Bucket>,
        samples: u64,
        total: Duration,
        min: Duration,
        max: Duration,
    ) -> Self {
        let count: u64 = buckets.iter().map(|bucket| bucket.count).sum();
        let quantile = |per_mille: u64| {
            let rank = (count.saturating_mul(per_mille)).div_ceil(1000).max(1);
            let mut below = 0;
            let found = buckets.iter().find(|bucket| {
                below += bucket.count;
                below >= rank
            });
            found.map_or(Duration::ZERO, |bucket| bucket.at_most.min(max))
        };
        let mean = total.as_nanos().checked_div(u128::from(count)).unwrap_or(0);
        Self {
            samples,
            count,
            total,
            min,
            mean: Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)),
            p50: quantile(500),
            p90: quantile(900),
            p99: quantile(990),
            p999: quantile(999),
            max,
            buckets,
        }
    }

    /// Whether nothing was measured yet.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// The timing of both together: of the handlers of several subscriptions, say.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return if self.is_empty() { other.clone() } else { self.clone() };
        }
        let mut buckets = self.buckets.clone();
        for more in &other.buckets {
            match buckets.binary_search_by_key(&more.at_most, |bucket| bucket.at_most) {
                Ok(at) => buckets[at].count += more.count,
                Err(at) => buckets.insert(at, *more),
            }
        }
        let (min, max) = (self.min.min(other.min), self.max.max(other.max));
        Self::of(buckets, self.samples + other.samples, self.total + other.total, min, max)
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("not measured yet");
        }
        write!(
            f,
            "min {}, p50 {}, p90 {}, p99 {}, max {} ({} sampled)",
            time(self.min),
            time(self.p50),
            time(self.p90),
            time(self.p99),
            time(self.max),
            human::count(self.samples)
        )
    }
}
