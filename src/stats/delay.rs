//! Queueing delay: from a sample of messages, into buckets of fixed bounds.
//!
//! A mailbox keeps up to eight samples in flight, each packed in one word: the index of a message and when it was
//! accepted. A producer sets one for every 16th index if its place is free; the owner reads the clock when it reaches
//! that index. So a message costs a sixteenth of a clock read at most, on either side.

use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::fmt;
use std::ptr;
use std::time::Duration;

/// Every so many indices one may be sampled.
const EVERY: u64 = 16;
/// So many samples may be in flight.
const PLACES: usize = 8;
/// A sample's time, in units of 64 ns, fills the upper 40 bits: it wraps after 19 hours.
const TICK_SHIFT: u32 = 6;
const TICK_BITS: u32 = 40;
const TICK_MASK: u64 = (1 << TICK_BITS) - 1;
/// The lower 24 bits hold the index's lower bits, shifted so that 0 means "no sample".
const INDEX_MASK: u64 = (1 << (64 - TICK_BITS)) - 1;
const HALF: u64 = INDEX_MASK / 2;

/// Buckets: four to each power of two, from 64 ns to 69 s.
const SUB_BITS: u32 = 2;
const LOWEST_BIT: u32 = 6;
const HIGHEST_BIT: u32 = 36;
const BUCKETS: usize = ((HIGHEST_BIT - LOWEST_BIT) << SUB_BITS) as usize + 1;

type Counts = [AtomicU64; BUCKETS + 1];

/// One mailbox's samples in flight and the delays measured so far.
pub(crate) struct DelaySample {
    samples: [AtomicU64; PLACES],
    /// Made by the first delay measured, so that an idle subscription stays small. The last element is the maximum.
    counts: AtomicPtr<Counts>,
}

impl DelaySample {
    pub(crate) fn new() -> Self {
        Self { samples: std::array::from_fn(|_| AtomicU64::new(0)), counts: AtomicPtr::new(ptr::null_mut()) }
    }

    /// A message was accepted at `index`. The clock is asked only if it becomes the sample.
    #[inline]
    pub(crate) fn accepted(&self, index: u64, clock: impl FnOnce() -> u64) {
        if index.is_multiple_of(EVERY) && self.place(index).load(Ordering::Relaxed) == 0 {
            self.place(index).store(pack(index, clock()), Ordering::Relaxed);
        }
    }

    #[inline]
    fn place(&self, index: u64) -> &AtomicU64 {
        &self.samples[(index / EVERY) as usize % PLACES]
    }

    /// The message at `index` is about to be handled. One owner at a time calls this.
    #[inline]
    pub(crate) fn reached(&self, index: u64, clock: impl FnOnce() -> u64) {
        if index.is_multiple_of(EVERY) {
            self.measure(index, clock);
        }
    }

    fn measure(&self, index: u64, clock: impl FnOnce() -> u64) {
        // Relaxed: a statistic; two producers may overwrite each other's sample, each a whole one.
        let sample = self.place(index).load(Ordering::Relaxed);
        if sample == 0 {
            return;
        }
        let ahead = index_bits(index).wrapping_sub(sample & INDEX_MASK) & INDEX_MASK;
        if ahead == 0 {
            self.record(
                ((clock() >> TICK_SHIFT).wrapping_sub(sample >> (64 - TICK_BITS)) & TICK_MASK) << TICK_SHIFT,
            );
        }
        if ahead < HALF {
            self.place(index).store(0, Ordering::Relaxed);
        }
    }

    fn record(&self, nanoseconds: u64) {
        let counts = self.counts();
        let add = |count: &AtomicU64| count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        add(&counts[bucket(nanoseconds)]);
        if nanoseconds > counts[BUCKETS].load(Ordering::Relaxed) {
            counts[BUCKETS].store(nanoseconds, Ordering::Relaxed);
        }
    }

    fn counts(&self) -> &Counts {
        let mut counts = self.counts.load(Ordering::Acquire);
        if counts.is_null() {
            counts = Box::into_raw(Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
            // ORDERING(delay.counts): Release; pairs with the Acquire in `read`. Only the owner makes it.
            self.counts.store(counts, Ordering::Release);
        }
        // SAFETY: made above or by an earlier owner, freed only by `drop`.
        unsafe { &*counts }
    }

    pub(crate) fn read(&self) -> Delay {
        // ORDERING(delay.counts): Acquire; pairs with the Release in `counts`.
        let counts = self.counts.load(Ordering::Acquire);
        if counts.is_null() {
            return Delay::default();
        }
        // SAFETY: as in `counts`.
        let counts = unsafe { &*counts };
        let values: Vec<u64> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Delay::of(&values[..BUCKETS], values[BUCKETS])
    }
}

impl Drop for DelaySample {
    fn drop(&mut self) {
        let counts = self.counts.load(Ordering::Acquire);
        if !counts.is_null() {
            // SAFETY: `&mut self`: nobody reads any more.
            drop(unsafe { Box::from_raw(counts) });
        }
    }
}

fn index_bits(index: u64) -> u64 {
    // Samples have indices that are multiples of EVERY, so the lowest bit is free to make the word non-zero.
    (index | 1) & INDEX_MASK
}

fn pack(index: u64, nanoseconds: u64) -> u64 {
    ((nanoseconds >> TICK_SHIFT) & TICK_MASK) << (64 - TICK_BITS) | index_bits(index)
}

fn bucket(nanoseconds: u64) -> usize {
    let value = nanoseconds.max(1 << LOWEST_BIT);
    let top = value.ilog2();
    let within = (value >> (top - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    let index = (u64::from(top - LOWEST_BIT) << SUB_BITS) + within;
    (index as usize).min(BUCKETS - 1)
}

/// The longest delay that falls into bucket `index`.
fn upper_bound(index: usize) -> u64 {
    let next = index as u64 + 1;
    let top = LOWEST_BIT + (next >> SUB_BITS) as u32;
    let within = next & ((1 << SUB_BITS) - 1);
    (1 << top) + (within << (top - SUB_BITS)) - 1
}

/// How long messages waited from acceptance to their handler, from a sample of them.
///
/// Quantiles are upper bounds of buckets that are at most 25 % wide; the maximum is exact (to 64 ns).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delay {
    /// How many messages were measured.
    pub samples: u64,
    /// Half of them waited at most so long.
    pub p50: Duration,
    /// 99 % of them.
    pub p99: Duration,
    /// 99.9 % of them.
    pub p999: Duration,
    /// The longest of them.
    pub max: Duration,
}

impl Delay {
    fn of(counts: &[u64], max: u64) -> Self {
        let samples: u64 = counts.iter().sum();
        let quantile = |per_mille: u64| {
            let rank = (samples * per_mille).div_ceil(1000).max(1);
            let mut below = 0;
            let found = counts.iter().position(|count| {
                below += count;
                below >= rank
            });
            Duration::from_nanos(found.map_or(0, upper_bound).min(max))
        };
        Self {
            samples,
            p50: quantile(500),
            p99: quantile(990),
            p999: quantile(999),
            max: Duration::from_nanos(max),
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:?}, p99 {:?}, max {:?} ({} sampled)", self.p50, self.p99, self.max, self.samples)
    }
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
    fn a_sample_is_measured_once_and_only_at_its_index() {
        let delay = DelaySample::new();
        delay.accepted(32, || 1_000_000);
        delay.accepted(32 + 128, || panic!("its place is taken"));
        delay.reached(16, || panic!("not there yet"));
        delay.reached(32, || 1_500_000);
        delay.reached(48, || panic!("taken already"));
        let read = delay.read();
        assert_eq!(read.samples, 1);
        assert!(read.max.as_nanos().abs_diff(500_000) <= 128, "{read}");
        assert!(read.p50 <= read.max);
    }

    #[test]
    fn a_sample_that_was_passed_by_is_forgotten() {
        let delay = DelaySample::new();
        delay.accepted(16, || 0);
        delay.reached(16 + 128, || panic!("not the sampled one"));
        delay.accepted(16 + 256, || 0);
        delay.reached(16 + 256, || 640);
        assert_eq!(delay.read().samples, 1);
    }
}
