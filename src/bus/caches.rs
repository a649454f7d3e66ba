//! Caches of a bus.

use super::Bus;
use crate::cache::{Cache, CacheBuilder, CachePattern};
use crate::error::Error;

impl Cache {
    /// Begins a cache for messages of `bus`.
    pub fn builder(bus: &Bus) -> CacheBuilder {
        CacheBuilder::new(bus.exchange().clone())
    }
}

impl CachePattern {
    /// The pattern of the topic of that name, which is made if there is none, with a new cache.
    ///
    /// # Errors
    ///
    /// If the name or the cache is refused, or the cache is begun on another bus.
    pub fn new(bus: &Bus, name: &str, cache: CacheBuilder) -> Result<Self, Error> {
        let topic = bus.topic(name)?;
        Ok(Self::of(&topic, &cache.build()?)?)
    }
}
