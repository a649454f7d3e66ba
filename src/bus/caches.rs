//! Caches of a bus.

use super::Bus;
use crate::cache::{Cache, CacheBuilder};

impl Cache {
    /// Begins a cache for messages of `bus`.
    pub fn builder(bus: &Bus) -> CacheBuilder {
        CacheBuilder::new(bus.exchange().clone())
    }
}
