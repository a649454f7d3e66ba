//! Bounded and lossless by agreement, for what is neither by itself.
//!
//! A publisher reserves the right to send a few messages at a time, and waits until the slowest subscriber has come
//! within the capacity of what was reserved. Subscribers say how far they are every few messages and before they wait.

use super::load::CAPACITY;
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// So many messages are reserved, and reported as handled, at a time.
const STEP: u64 = 32;

/// Who may send how much.
pub struct Credits {
    reserved: CachePadded<AtomicU64>,
    /// What was known of the slowest subscriber when somebody last looked.
    slowest: CachePadded<AtomicU64>,
    handled: Vec<CachePadded<AtomicU64>>,
}

impl Credits {
    pub fn new(subscribers: usize) -> Arc<Self> {
        Arc::new(Self {
            reserved: CachePadded::default(),
            slowest: CachePadded::default(),
            handled: (0..subscribers).map(|_| CachePadded::default()).collect(),
        })
    }

    /// For a subscriber.
    pub fn progress(self: &Arc<Self>, which: usize) -> Progress {
        Progress { credits: self.clone(), which, handled: 0 }
    }

    /// For a publisher.
    pub fn allowance(self: &Arc<Self>) -> Allowance {
        Allowance { credits: self.clone(), left: 0 }
    }

    /// Waits until `STEP` more messages fit.
    fn reserve(&self) {
        let end = self.reserved.fetch_add(STEP, Ordering::Relaxed) + STEP;
        while end > self.slowest.load(Ordering::Relaxed) + CAPACITY as u64 && !self.look(end) {
            thread::yield_now();
        }
    }

    fn look(&self, end: u64) -> bool {
        let handled = self.handled.iter().map(|handled| handled.load(Ordering::Acquire));
        let slowest = handled.min().unwrap_or_default();
        self.slowest.fetch_max(slowest, Ordering::Relaxed);
        end <= slowest + CAPACITY as u64
    }
}

/// How far one subscriber is.
pub struct Progress {
    credits: Arc<Credits>,
    which: usize,
    handled: u64,
}

impl Progress {
    /// One more handled.
    #[inline]
    pub fn step(&mut self) {
        self.handled += 1;
        if self.handled.is_multiple_of(STEP) {
            self.report();
        }
    }

    pub fn report(&self) {
        self.credits.handled[self.which].store(self.handled, Ordering::Release);
    }
}

/// What one publisher may still send.
pub struct Allowance {
    credits: Arc<Credits>,
    left: u64,
}

impl Allowance {
    /// One more to send; waits if nothing is left.
    #[inline]
    pub fn spend(&mut self) {
        if self.left == 0 {
            self.credits.reserve();
            self.left = STEP;
        }
        self.left -= 1;
    }
}
