//! Times in buckets of fixed bounds: made by the first sample, written by one thread at a time (or, where calls overlap,
//! by any), read by anyone at any moment.
//!
//! A sample has a *weight*: how many events it stands for. A quantile is then one of all events, however unevenly they
//! were sampled.

use super::timing::{Bucket, Timing};
use crate::sync::Tally;
use std::sync::OnceLock;
use std::time::Duration;

/// Buckets: four to each power of two, from 64 ns to 69 s.
const SUB_BITS: u32 = 2;
const LOWEST_BIT: u32 = 6;
const HIGHEST_BIT: u32 = 36;
const BUCKETS: usize = ((HIGHEST_BIT - LOWEST_BIT) << SUB_BITS) as usize + 1;

#[derive(Default)]
pub(crate) struct Histogram(OnceLock<Box<Counts>>);

struct Counts {
    buckets: [Tally; BUCKETS],
    samples: Tally,
    nanoseconds: Tally,
    min: Tally,
    max: Tally,
}

impl Counts {
    fn new() -> Box<Self> {
        let min = Tally::new();
        min.set(u64::MAX);
        Box::new(Self {
            buckets: [const { Tally::new() }; BUCKETS],
            samples: Tally::new(),
            nanoseconds: Tally::new(),
            min,
            max: Tally::new(),
        })
    }
}

impl Histogram {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// A sample that stands for `weight` events. One thread at a time calls this.
    pub(crate) fn record(&self, nanoseconds: u64, weight: u64) {
        let counts = self.0.get_or_init(Counts::new);
        counts.buckets[bucket(nanoseconds)].bump(weight);
        counts.samples.bump(1);
        counts.nanoseconds.bump(nanoseconds.saturating_mul(weight));
        counts.min.set(counts.min.get().min(nanoseconds));
        counts.max.set(counts.max.get().max(nanoseconds));
    }

    /// The same, from any number of threads at once.
    pub(crate) fn record_shared(&self, nanoseconds: u64, weight: u64) {
        let counts = self.0.get_or_init(Counts::new);
        counts.buckets[bucket(nanoseconds)].add(weight);
        counts.samples.add(1);
        counts.nanoseconds.add(nanoseconds.saturating_mul(weight));
        counts.min.lower(nanoseconds);
        counts.max.raise(nanoseconds);
    }

    pub(crate) fn read(&self) -> Timing {
        let Some(counts) = self.0.get() else { return Timing::default() };
        let filled = counts.buckets.iter().enumerate().filter(|(_, count)| count.get() > 0);
        let buckets = filled
            .map(|(at, count)| Bucket { at_most: Duration::from_nanos(upper_bound(at)), count: count.get() });
        let min = counts.min.get().min(counts.max.get());
        Timing::of(
            buckets.collect(),
            counts.samples.get(),
            Duration::from_nanos(counts.nanoseconds.get()),
            Duration::from_nanos(min),
            Duration::from_nanos(counts.max.get()),
        )
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let value = nanoseconds.max(1 << LOWEST_BIT);
    let top = value.ilog2();
    let within = (value >> (top - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    let index = (u64::from(top - LOWEST_BIT) << SUB_BITS) + within;
    (index as usize).min(BUCKETS - 1)
}

/// The longest time that falls into bucket `index`.
fn upper_bound(index: usize) -> u64 {
    let next = index as u64 + 1;
    let top = LOWEST_BIT + (next >> SUB_BITS) as u32;
    let within = next & ((1 << SUB_BITS) - 1);
    (1 << top) + (within << (top - SUB_BITS)) - 1
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_their_bounds() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper_bound(index)), index);
            assert_eq!(bucket(upper_bound(index) + 1), index + 1);
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_of_the_events_that_samples_stand_for() {
        let times = Histogram::new();
        assert_eq!(times.read(), Timing::default(), "nothing is made before the first sample");
        times.record(1_000, 990);
        (0..10).for_each(|_| times.record(3_000_000, 1));
        let read = times.read();
        assert_eq!((read.samples, read.count), (11, 1_000));
        assert_eq!((read.min.as_nanos(), read.max.as_nanos()), (1_000, 3_000_000));
        assert_eq!(read.p50, read.p99, "ten of a thousand are slow");
        assert!(read.p50.as_nanos().abs_diff(1_000) <= 250);
        assert_eq!(read.p999, read.max);
        assert_eq!(read.total.as_nanos(), 990 * 1_000 + 10 * 3_000_000);
        assert_eq!(read.mean, read.total / 1_000);
    }

    #[test]
    fn both_ways_to_record_come_to_the_same() {
        let (alone, shared) = (Histogram::new(), Histogram::new());
        for nanoseconds in [5, 70, 1_000, 999_999, u64::MAX / 4] {
            alone.record(nanoseconds, 3);
            shared.record_shared(nanoseconds, 3);
        }
        assert_eq!(alone.read(), shared.read());
    }

    #[test]
    fn merged_is_what_one_of_all_samples_would_be() {
        let (one, other, all) = (Histogram::new(), Histogram::new(), Histogram::new());
        for at in 0..1_000_u64 {
            let nanoseconds = at * at * 37;
            if at % 3 == 0 {
                one.record(nanoseconds, 1)
            } else {
                other.record(nanoseconds, 1)
            }
            all.record(nanoseconds, 1);
        }
        assert_eq!(one.read().merged(&other.read()), all.read());
        assert_eq!(one.read().merged(&Timing::default()), one.read());
        assert_eq!(Timing::default().merged(&one.read()), one.read());
    }
}
