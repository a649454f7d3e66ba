//! A cache.

use super::human::{count, time};
use super::rows::details;
use std::fmt;
use std::time::Duration;

/// One cache's figures at one moment.
///
/// ```
/// # use stasis_bus::{Bus, Cache};
/// # let bus = Bus::builder().manual().build()?;
/// # let state = bus.message_type::<(String, u32)>("state")?;
/// # let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).name("states").build()?;
/// # let topic = bus.topic("states")?;
/// # let _cached = topic.caching(&cache)?;
/// topic.publish(state.message(("alice".to_owned(), 1)));
/// topic.publish(state.message(("alice".to_owned(), 2)));
/// let stats = cache.stats();
/// assert_eq!((stats.entries, stats.updates, stats.cleared), (1, 2, 0));
/// println!("{stats}");
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CacheStats {
    /// Its name.
    pub name: String,
    /// Entries now, of all types.
    pub entries: u64,
    /// Changes of what an origin says, clears included. Each was announced to whoever listened.
    pub updates: u64,
    /// Of the updates: there was no state of that origin before.
    pub created: u64,
    /// Reads of one object that found something; those under a pin count when it is dropped.
    pub hits: u64,
    /// Those that found nothing.
    pub misses: u64,
    /// Messages left out because an equal one stood there.
    pub suppressed: u64,
    /// Of the updates: what was cleared.
    pub cleared: u64,
    /// Of those: states that were not written for the cache's time to live.
    pub expired: u64,
    /// How often an entry was cleared, state by state, because there were too many; once more where one of its states was
    /// written again meanwhile, or two writers shared the work.
    pub evicted: u64,
    /// Changes of aggregates.
    pub aggregates: u64,
    /// What was replaced or removed in all caches of the bus, and is not dropped yet.
    pub garbage: u64,
    /// How long the oldest of it has been held by somebody's [`CachePin`](crate::CachePin), if it is: as long as one is
    /// held, nothing that is replaced meanwhile can be dropped.
    #[cfg_attr(feature = "json", serde(serialize_with = "crate::stats::human::some_seconds"))]
    pub oldest_pin: Option<Duration>,
}

impl fmt::Display for CacheStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.oldest_pin.map_or_else(String::new, |age| format!(", held for {}", time(age)));
        let lines = [
            ("entries", count(self.entries)),
            ("reads", format!("{} hits, {} misses", count(self.hits), count(self.misses))),
            ("updates", format!("{}, {} of them clears", count(self.updates), count(self.cleared))),
            (
                "gone by themselves",
                format!("{} expired, {} evicted", count(self.expired), count(self.evicted)),
            ),
            ("suppressed", count(self.suppressed)),
            ("aggregates", count(self.aggregates)),
            ("garbage", count(self.garbage) + &held),
        ];
        details(f, &format!("cache {}", self.name), &lines)
    }
}
