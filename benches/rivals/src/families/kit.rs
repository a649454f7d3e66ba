//! What several families need.

use crate::bench::{Outcome, Tally};
use crossbeam_utils::Backoff;
use stasis_bus::{Overflow, Wait};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Publishers wait for room as in a bounded channel; a minute, so that nothing is dropped instead.
pub const BLOCK: Overflow = Overflow::Block(Duration::from_secs(60));
/// How workers wait, and how rows name it.
pub const SPIN: Wait = Wait::SpinThenPark(Duration::from_micros(50));
pub const SPIN_NAME: &str = "SpinThenPark(50 us)";

/// What one handler counts and adds up. One thread at a time writes: that two did would be seen in the count.
///
/// Aligned so that two of them never share a cache line.
#[repr(align(128))]
#[derive(Default)]
pub struct Sink {
    count: AtomicU64,
    sum: AtomicU64,
}

impl Sink {
    pub fn several(count: usize) -> Vec<Arc<Self>> {
        (0..count).map(|_| Arc::default()).collect()
    }

    /// One more was handled, and this was read in it.
    #[inline]
    pub fn take(&self, weight: u64) {
        self.sum.store(self.sum.load(Ordering::Relaxed).wrapping_add(weight), Ordering::Relaxed);
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    pub fn tally(&self) -> Tally {
        Tally { count: self.count(), sum: self.sum.load(Ordering::Relaxed) }
    }

    /// Waits until so many were handled in all. Who loses messages waits for ever, and the watchdog comes.
    pub fn wait_for(&self, count: u64) {
        let backoff = Backoff::new();
        while self.count() < count {
            backoff.snooze();
        }
    }
}

/// All of them together.
pub fn total(sinks: &[Arc<Sink>]) -> Tally {
    let mut all = Tally::default();
    sinks.iter().for_each(|sink| all.merge(sink.tally()));
    all
}

/// What is made once and serves every repetition of its process: too large to be made each time.
pub struct Kept<T>(RefCell<Option<T>>);

impl<T> Kept<T> {
    pub fn new() -> Self {
        Self(RefCell::new(None))
    }

    pub fn with<R>(
        &self,
        make: impl FnOnce() -> Outcome<T>,
        work: impl FnOnce(&mut T) -> Outcome<R>,
    ) -> Outcome<R> {
        let mut kept = self.0.borrow_mut();
        if kept.is_none() {
            *kept = Some(make()?);
        }
        work(kept.as_mut().ok_or("it was just made")?)
    }
}

/// Nanoseconds for each of `count` things.
pub fn each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count as f64
}

/// Whole numbers that look random, the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// From 0 to below `end`. (xorshift of G. Marsaglia.)
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for end in (1..all.len()).rev() {
            all.swap(end, self.below(end as u64 + 1) as usize);
        }
    }
}
