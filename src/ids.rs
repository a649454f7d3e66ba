//! Numbers that are unique in the process.

#![allow(clippy::disallowed_types)]

// The standard atomic even in models: a counter that nothing is ordered by.
use std::sync::atomic::{AtomicU64, Ordering};

/// A number never given before, starting at 1. Subscriptions and topics share the sequence, across buses.
pub(crate) fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
