//! Numbers that are unique in the process.

#![allow(clippy::disallowed_types)]

/// A number never given before, starting at 1. Subscriptions and topics share the sequence, across buses.
#[cfg(not(all(test, bus_shuttle)))]
pub(crate) fn next() -> u64 {
    // The standard atomic even in models: a counter that nothing is ordered by.
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Under shuttle, in each run the same.
#[cfg(all(test, bus_shuttle))]
pub(crate) use crate::sync::shuttle::world::number as next;
