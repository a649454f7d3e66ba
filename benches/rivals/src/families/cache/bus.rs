//! The bus's cache, written by publishing on a cached topic.

use super::maps::Map;
use super::states::{Names, State};
use crate::bench::Outcome;
use stasis_bus::{Bus, Cache, CachePin, CachingTopic, MessageType, Topic};
use std::sync::Arc;

pub struct BusCache {
    cache: Cache,
    topic: Topic,
    kind: MessageType<State>,
    names: Arc<Names>,
    _cached: CachingTopic,
    _bus: Bus,
}

/// Held for a few reads.
pub struct Pin<'a> {
    pin: CachePin<'a>,
    kind: &'a MessageType<State>,
}

impl Map for BusCache {
    type Pin<'a> = Pin<'a>;

    fn new(names: &Arc<Names>) -> Outcome<Self> {
        let bus = Bus::new()?;
        let (topic, kind) = (bus.topic("states")?, bus.message_type::<State>("state")?);
        let cache = Cache::builder(&bus).id_of(&kind, |state| &state.name).build()?;
        let cached = topic.caching(&cache)?;
        let all = Self { cache, topic, kind, names: names.clone(), _cached: cached, _bus: bus };
        (0..names.len() as u64).for_each(|number| all.put(number, 0));
        Ok(all)
    }

    fn put(&self, number: u64, round: u64) {
        self.topic.publish(self.kind.message(self.names.state(number, round)));
    }

    fn pin(&self) -> Pin<'_> {
        Pin { pin: self.cache.pin(), kind: &self.kind }
    }

    #[inline]
    fn look<R>(pin: &Pin<'_>, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        pin.pin.read(pin.kind, name).map(read)
    }

    #[inline]
    fn get<R>(&self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        self.kind.read(&self.cache.get(&self.kind, name)?).map(read)
    }
}
