//! A count for figures.
//!
//! The standard library's atomic even in models: figures order nothing, and a model that explored them would look at
//! nothing else. Nobody decides by them, but a bounded cache by how many entries it has, and the final message, which tells
//! what was counted and not told: what it sums up beside that is written by who has the turn, or with a ring's head taken.
//! Every access is Relaxed. Where one thread at a time writes (an owner, a worker), [`bump`](Tally::bump) is a load and a
//! store; no locked instruction is needed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Adds, where no other thread writes meanwhile.
    #[inline]
    pub(crate) fn bump(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Adds, whoever else does. Returns what stood before.
    #[inline]
    pub(crate) fn add(&self, more: u64) -> u64 {
        self.0.fetch_add(more, Relaxed)
    }

    /// Takes away, whoever else does.
    pub(crate) fn sub(&self, less: u64) {
        self.0.fetch_sub(less, Relaxed);
    }

    /// Raises it to `value`, whoever else does. Returns what stands then.
    pub(crate) fn raise(&self, value: u64) -> u64 {
        self.0.fetch_max(value, Relaxed).max(value)
    }

    /// Lowers it to `value`, whoever else does.
    pub(crate) fn lower(&self, value: u64) {
        self.0.fetch_min(value, Relaxed);
    }
}
