//! Queueing delay, and since when the oldest message waits: from a sample of messages.
//!
//! A mailbox keeps up to eight samples in flight, each packed in one word: the index of a message and when it was
//! accepted. The clock is read for one message of 64 at most, on either side:
//!
//! | who | when | step |
//! | --- | --- | --- |
//! | producer | accepted at a multiple of the stride | into a free place; none free: doubles the stride, and drops the samples that are no multiples of it |
//! | owner | at a multiple of 64 | its sample there: measured, freed. Samples it has passed: freed. Two left or fewer: halves the stride |
//!
//! The stride is 64 at first. So however deep the queue is, its samples lie evenly, a quarter of it apart at most (once
//! it has grown; while it shrinks, the stride follows). Everything is Relaxed and may race: a sample is one whole word,
//! and the worst of it is one that is lost or left behind, which the owner frees.

use super::histogram::Histogram;
use super::timing::Timing;
use crate::sync::Tally;

const EVERY: u64 = DelaySample::EVERY;
/// So many samples may be in flight.
const PLACES: usize = 8;
/// A sample's time, in units of 64 ns, fills the upper 40 bits: it wraps after 19 hours.
const TICK_SHIFT: u32 = 6;
const TICK_BITS: u32 = 40;
const TICK_MASK: u64 = (1 << TICK_BITS) - 1;
/// The lower 24 bits hold the index in units of 64, plus one so that 0 means "no sample".
const INDEX_MASK: u64 = (1 << (64 - TICK_BITS)) - 1;
/// A stride of 64 million messages is enough.
const DOUBLED_MAX: u64 = 20;
const HALF: u64 = INDEX_MASK / 2;

/// One mailbox's samples in flight and the delays measured so far.
pub(crate) struct DelaySample {
    samples: [Tally; PLACES],
    /// How many times the stride was doubled.
    doubled: Tally,
    /// The last sample that the owner came to; 0: none.
    last: Tally,
    delays: Histogram,
}

impl DelaySample {
    /// Every so many indices one may be sampled, at most.
    pub(crate) const EVERY: u64 = 64;

    pub(crate) const fn new() -> Self {
        Self {
            samples: [const { Tally::new() }; PLACES],
            doubled: Tally::new(),
            last: Tally::new(),
            delays: Histogram::new(),
        }
    }

    /// Whether a message at `index` may be a sample.
    #[inline]
    pub(crate) fn may_take(index: u64) -> bool {
        index.is_multiple_of(EVERY)
    }

    /// Whether one of so many from index `first` on may be.
    #[inline]
    pub(crate) fn may_take_of(first: u64, count: usize) -> bool {
        first.next_multiple_of(EVERY) < first + count as u64
    }

    /// A message was accepted at `index`. The clock is asked only if it becomes a sample.
    #[inline]
    pub(crate) fn accepted(&self, index: u64, clock: impl FnOnce() -> u64) {
        if Self::may_take(index) {
            self.sample(index, clock);
        }
    }

    /// So many messages were accepted together, from index `first` on.
    #[inline]
    pub(crate) fn accepted_several(&self, first: u64, count: usize, clock: impl Fn() -> u64) {
        let sampled = (first.next_multiple_of(EVERY)..first + count as u64).step_by(EVERY as usize);
        sampled.for_each(|index| self.sample(index, &clock));
    }

    fn sample(&self, index: u64, clock: impl FnOnce() -> u64) {
        let doubled = self.doubled.get();
        if !index.is_multiple_of(EVERY << doubled) {
            return;
        }
        match self.samples.iter().find(|place| place.get() == 0) {
            Some(free) => free.set(pack(index, clock())),
            None if doubled < DOUBLED_MAX => {
                self.thin_out(doubled + 1);
                self.sample(index, clock);
            }
            None => {}
        }
    }

    /// Drops every other sample.
    #[cold]
    fn thin_out(&self, doubled: u64) {
        self.doubled.set(doubled);
        for place in &self.samples {
            let sample = place.get();
            if sample != 0 && !((sample - 1) & INDEX_MASK).is_multiple_of(1 << doubled) {
                place.set(0);
            }
        }
    }

    /// The message at `index` (a negative one: before all others) is about to be handled. One owner at a time calls this.
    /// Returns what time it is, if the clock was asked.
    #[inline]
    pub(crate) fn reached(&self, index: u64, clock: impl FnOnce() -> u64) -> Option<u64> {
        if Self::may_take(index) { self.measure(index, clock) } else { None }
    }

    fn measure(&self, index: u64, clock: impl FnOnce() -> u64) -> Option<u64> {
        if index > u64::MAX / 2 {
            // Before the first one: it was not queued.
            return None;
        }
        let mut left = 0;
        let mut hit = 0;
        for place in &self.samples {
            let sample = place.get();
            match ahead_of(sample, index) {
                _ if sample == 0 => continue,
                Some(0) => hit = sample,
                Some(_) => {
                    left += 1;
                    continue;
                }
                // Evicted, or set by a producer that was late: passed by.
                None => {}
            }
            place.set(0);
        }
        if left <= PLACES / 4 {
            self.doubled.set(self.doubled.get().saturating_sub(1));
        }
        if hit == 0 {
            return None;
        }
        let now = clock();
        self.last.set(hit);
        self.delays.record(elapsed(hit, now), 1);
        Some(now)
    }

    /// Since when, at the earliest, the message at `head` waits: the latest of the samples up to it. None that says so:
    /// 0. Both times on the clock of `now`.
    pub(crate) fn waits_since(&self, head: u64, now: u64) -> u64 {
        // Rounded up to the next index that could have a sample, `head` itself counts as before it.
        let is_own = |ahead| ahead == 0 && head.is_multiple_of(EVERY);
        let before = |sample: &u64| *sample != 0 && ahead_of(*sample, head).is_none_or(is_own);
        let samples = self.samples.iter().chain([&self.last]).map(Tally::get).filter(before);
        samples.map(|sample| now.saturating_sub(elapsed(sample, now))).max().unwrap_or(0)
    }

    /// Since when, at the latest, the message at `head` waits: the earliest of the samples from it on.
    pub(crate) fn waits_at_least_since(&self, head: u64, now: u64) -> Option<u64> {
        let after = |sample: &u64| *sample != 0 && ahead_of(*sample, head).is_some();
        let samples = self.samples.iter().map(Tally::get).filter(after);
        samples.map(|sample| now.saturating_sub(elapsed(sample, now))).min()
    }

    pub(crate) fn read(&self) -> Timing {
        self.delays.read()
    }
}

fn index_bits(index: u64) -> u64 {
    (index / EVERY) % INDEX_MASK + 1
}

fn pack(index: u64, nanoseconds: u64) -> u64 {
    ((nanoseconds >> TICK_SHIFT) & TICK_MASK) << (64 - TICK_BITS) | index_bits(index)
}

/// How far the sample lies ahead of `index`, in units of 64 messages, rounded up; `None`: behind it.
fn ahead_of(sample: u64, index: u64) -> Option<u64> {
    let ahead = ((sample & INDEX_MASK) + INDEX_MASK - index_bits(index + EVERY - 1)) % INDEX_MASK;
    (ahead < HALF).then_some(ahead)
}

/// Nanoseconds from a sample to `now`.
fn elapsed(sample: u64, now: u64) -> u64 {
    let ticks = (now >> TICK_SHIFT).wrapping_sub(sample >> (64 - TICK_BITS)) & TICK_MASK;
    // A `now` that was read a little earlier than the sample is no day of waiting.
    if ticks > TICK_MASK - (1 << 20) { 0 } else { ticks << TICK_SHIFT }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_measured_once_and_only_at_its_index() {
        let delay = DelaySample::new();
        delay.accepted(2 * EVERY, || 1_000_000);
        delay.accepted(2 * EVERY + 1, || panic!("not one of the sampled ones"));
        delay.reached(EVERY, || panic!("not there yet"));
        delay.reached(2 * EVERY, || 1_500_000);
        delay.reached(3 * EVERY, || panic!("taken already"));
        let read = delay.read();
        assert_eq!(read.samples, 1);
        assert!(read.max.as_nanos().abs_diff(500_000) <= 128, "{read}");
        assert!(read.p50 <= read.max);
    }

    #[test]
    fn a_sample_that_was_passed_by_is_forgotten() {
        let delay = DelaySample::new();
        (1..=8).for_each(|n| delay.accepted(EVERY * n, || 0));
        delay.reached(EVERY * 9, || panic!("not the sampled one"));
        delay.accepted(EVERY * 17, || 0);
        delay.reached(EVERY * 17, || 640);
        assert_eq!(delay.read().samples, 1);
    }

    #[test]
    fn several_accepted_together_are_sampled_as_one_by_one() {
        for (first, count) in [(0, 1), (1, 63), (1, 64), (60, 70), (64, 129)] {
            let (one, several) = (DelaySample::new(), DelaySample::new());
            (first..first + count as u64).for_each(|index| one.accepted(index, || 1_000));
            several.accepted_several(first, count, || 1_000);
            let samples = |delay: &DelaySample| delay.samples.each_ref().map(Tally::get);
            assert_eq!(samples(&one), samples(&several), "{count} from {first} on");
        }
    }

    #[test]
    fn samples_lie_evenly_however_deep_the_queue_is() {
        let delay = DelaySample::new();
        let depth = 100_000;
        (0..depth).for_each(|index| delay.accepted(index, || index * 1_000));
        let mut places: Vec<u64> = delay
            .samples
            .iter()
            .map(Tally::get)
            .filter(|sample| *sample != 0)
            .map(|s| (s & INDEX_MASK) - 1)
            .collect();
        places.sort_unstable();
        assert!(places.len() >= 4, "{places:?}");
        let widest = places.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap() * EVERY;
        assert!(widest <= depth / 4, "{places:?}");
        // As it runs dry, the stride follows: a shallow queue is sampled finely again.
        (0..depth).for_each(|index| _ = delay.reached(index, || depth * 1_000));
        assert_eq!(delay.doubled.get(), 0);
        assert!(delay.read().samples >= 4);
    }

    #[test]
    fn the_oldest_waits_since_a_sample_near_it() {
        let delay = DelaySample::new();
        assert_eq!((delay.waits_since(0, 5_000_000), delay.waits_at_least_since(0, 5_000_000)), (0, None));
        delay.accepted(0, || 1_000_000);
        delay.accepted(EVERY, || 2_000_000);
        let near = |time: u64, expected: u64| time.abs_diff(expected) <= 128;
        assert!(near(delay.waits_since(0, 5_000_000), 1_000_000), "it is the oldest itself");
        assert!(near(delay.waits_since(9, 5_000_000), 1_000_000));
        assert!(near(delay.waits_at_least_since(9, 5_000_000).unwrap(), 2_000_000));
        delay.reached(0, || 3_000_000);
        assert!(near(delay.waits_since(9, 5_000_000), 1_000_000), "the last one is remembered");
        assert!(near(delay.waits_since(EVERY + 1, 5_000_000), 2_000_000));
        assert_eq!(delay.waits_at_least_since(EVERY + 1, 5_000_000), None);
        assert!(near(delay.waits_since(EVERY + 1, 1_999_990), 1_999_990), "a clock read too early");
    }
}
