//! What the things of one label have counted together: the dead in the label itself, the live ones when somebody asks.

use super::labels::Labels;
use super::{Blocked, CacheStats, Lost, SubscriptionStats, Timing};
use std::time::Duration;

/// Bounds of the buckets that are told outside: 256 ns, and four times as much each, up to 17 s. Each is one of ours, so the
/// counts are exact.
const BOUNDS: usize = 14;
const LOWEST_NS: u64 = 256;

/// Events by how long they took, in those buckets; the last one has no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    counts: [u64; BOUNDS + 1],
    pub(crate) total: Duration,
}

#[cfg(feature = "metrics")]
impl From<Timing> for Times {
    fn from(timing: Timing) -> Self {
        let mut times = Self::default();
        times.add(&timing);
        times
    }
}

impl Times {
    pub(crate) fn add(&mut self, timing: &Timing) {
        for bucket in &timing.buckets {
            self.counts[at(bucket.at_most)] += bucket.count;
        }
        self.total += timing.total;
    }

    /// Each count at least what it is in `last`.
    #[cfg(feature = "metrics")]
    pub(crate) fn raise(&mut self, last: &Self) {
        self.counts.iter_mut().zip(last.counts).for_each(|(now, last)| *now = (*now).max(last));
        self.total = self.total.max(last.total);
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// For each bound, how many took at most so long; and for none, how many there are.
    #[cfg(feature = "metrics")]
    pub(crate) fn up_to(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = (0..BOUNDS).map(|at| Some(Duration::from_nanos(LOWEST_NS << (2 * at)))).chain([None]);
        bounds.zip(self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }
}

/// The bucket of events that took at most so long.
fn at(at_most: Duration) -> usize {
    let lowest = at_most.as_nanos().div_ceil(u128::from(LOWEST_NS)).max(1);
    (lowest.next_power_of_two().ilog2().div_ceil(2) as usize).min(BOUNDS)
}

/// Of the topics of one class.
#[derive(Clone, Default)]
pub(crate) struct ClassSums {
    pub(crate) published: u64,
    pub(crate) arrived: u64,
    pub(crate) unrouted: u64,
    pub(crate) filtered: u64,
    /// By the number of the dispatch mode.
    pub(crate) delivered: [u64; 5],
}

/// Of the subscriptions of one name.
#[derive(Clone, Default)]
pub(crate) struct SubscriptionSums {
    pub(crate) handled: u64,
    pub(crate) lost: Lost,
    pub(crate) over_capacity: u64,
    pub(crate) blocked: u64,
    pub(crate) blocked_for: Duration,
    pub(crate) highs: u64,
    pub(crate) clears: u64,
    pub(crate) slow: u64,
    pub(crate) panics: u64,
    pub(crate) delay: Times,
    pub(crate) handler: Times,
}

/// Of the caches of one name.
#[derive(Clone, Default)]
pub(crate) struct CacheSums {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) removed: u64,
    pub(crate) suppressed: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    pub(crate) aggregates: u64,
}

impl ClassSums {
    /// Adds what one subscription on a topic of the class has counted.
    pub(crate) fn add(&mut self, dispatch: usize, one: &SubscriptionStats) {
        self.delivered[dispatch] += one.accepted;
        self.filtered += one.filtered;
    }
}

impl SubscriptionSums {
    /// Adds what one has counted.
    pub(crate) fn add(&mut self, one: &SubscriptionStats) {
        let Blocked { times, total, .. } = one.blocked;
        self.handled += one.handled;
        self.lost.add(&one.lost);
        self.over_capacity += one.over_capacity;
        self.blocked += times;
        self.blocked_for += total;
        self.highs += one.high_crossings;
        self.clears += one.high_crossings.saturating_sub(u64::from(one.congested));
        self.slow += one.slow;
        self.panics += one.panics;
        self.delay.add(&one.delay);
        self.handler.add(&one.handler);
    }
}

impl CacheSums {
    /// Adds what one has counted.
    pub(crate) fn add(&mut self, one: &CacheStats) {
        self.hits += one.hits;
        self.misses += one.misses;
        self.created += one.created;
        self.updated += one.updates.saturating_sub(one.created + one.cleared);
        self.removed += one.cleared;
        self.suppressed += one.suppressed;
        self.expired += one.expired;
        self.evicted += one.evicted;
        self.aggregates += one.aggregates;
    }
}

/// What the things of one bus are counted under.
pub(crate) struct AllLabels {
    pub(crate) classes: Labels<ClassSums>,
    pub(crate) subscriptions: Labels<SubscriptionSums>,
    pub(crate) caches: Labels<CacheSums>,
}

impl AllLabels {
    pub(crate) fn new() -> Self {
        Self { classes: Labels::new(), subscriptions: Labels::new(), caches: Labels::new() }
    }
}

/// The class of a topic of which nothing was said: its name up to the first `:` or `/`.
pub(crate) fn class_of(name: &str) -> &str {
    match name.find([':', '/']) {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;
    use crate::stats::Histogram;

    #[test]
    fn buckets_told_outside_are_exact() {
        let histogram = Histogram::new();
        let times =
            [1, 255, 256, 1_023, 1_024, 4_000, 1_000_000, 17_000_000_000, 18_000_000_000, u64::MAX / 2];
        times.iter().for_each(|time| histogram.record(*time, 1));
        let mut sums = Times::default();
        sums.add(&histogram.read());
        let mut below = 0;
        for (at, count) in sums.counts.into_iter().enumerate() {
            below += count;
            let bound = LOWEST_NS << (2 * at);
            let due = times.iter().filter(|time| at == BOUNDS || **time < bound).count();
            assert_eq!(below, due as u64, "up to {bound} ns");
        }
    }

    #[test]
    fn a_class_is_the_name_up_to_its_first_mark() {
        let cases =
            [("channel:PJSIP/alice", "channel"), ("calls/7", "calls"), ("calls", "calls"), (":x", ":x")];
        cases.iter().for_each(|(name, class)| assert_eq!(class_of(name), *class));
    }
}
