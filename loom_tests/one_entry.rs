//! What models of caches are made with: a cache of one entry, and a topic that is kept in it, of a bus in manual mode.

use super::Plain;
use crate::sync::Arc;
use crate::{
    Bus, Cache, CacheBuilder, CachingTopic, Delivery, Dispatch, Message, MessageType, Subscription,
    SubscriptionBuilder, Topic,
};

/// What updates told, in their order: what stood there, what stands there.
pub(super) type Updates = Arc<Plain<Vec<(Option<u8>, Option<u8>)>>>;

pub(super) struct Model {
    pub(super) bus: Bus,
    pub(super) kind: MessageType<u8>,
    pub(super) cache: Cache,
    pub(super) topic: Topic,
    pub(super) cached: CachingTopic,
}

impl Model {
    pub(super) fn new() -> Self {
        Self::with(|builder, _| builder)
    }

    pub(super) fn with(options: impl FnOnce(CacheBuilder, &MessageType<u8>) -> CacheBuilder) -> Self {
        let bus = Bus::builder().manual().build().unwrap();
        let kind = bus.message_type::<u8>("model").unwrap();
        let builder = Cache::builder(&bus).id(|_| Some("one".into()));
        let cache = options(builder, &kind).build().unwrap();
        let topic = bus.topic("model").unwrap();
        let cached = topic.caching(&cache).unwrap();
        Self { bus, kind, cache, topic, cached }
    }

    /// Hears every update.
    pub(super) fn told(&self, dispatch: Dispatch) -> (Subscription, Updates) {
        self.told_and(dispatch, |_, _| {})
    }

    /// The same; `and_then` does more with each, and what it tells of.
    pub(super) fn told_and(
        &self,
        dispatch: Dispatch,
        and_then: impl FnMut(&Delivery<'_>, Option<u8>) + Send + 'static,
    ) -> (Subscription, Updates) {
        self.told_by(|listens| listens.dispatch(dispatch), and_then)
    }

    /// The same in another way.
    pub(super) fn told_by(
        &self,
        way: impl FnOnce(SubscriptionBuilder<'_>) -> SubscriptionBuilder<'_>,
        mut and_then: impl FnMut(&Delivery<'_>, Option<u8>) + Send + 'static,
    ) -> (Subscription, Updates) {
        let (seen, kind, updates) =
            (Updates::new(Plain::new(Vec::new())), self.kind.clone(), self.bus.cache_updates().clone());
        let shown = seen.clone();
        let handler = move |delivery: &Delivery<'_>| {
            let Some(update) = delivery.read(&updates) else { return };
            let read = |message: &Option<Message>| message.as_ref().and_then(|m| kind.read(m)).copied();
            let (old, new) = (read(&update.old), read(&update.new));
            shown.write(|seen| seen.push((old, new)));
            and_then(delivery, new);
        };
        let listens = self.cached.subscription("told").accept(self.bus.cache_updates());
        (way(listens.capacity(8)).start(handler).unwrap(), seen)
    }

    pub(super) fn publish(&self, number: u8) {
        self.topic.publish(self.kind.message(number));
    }

    pub(super) fn number(&self) -> Option<u8> {
        self.cache.get(&self.kind, "one").and_then(|message| self.kind.read(&message).copied())
    }
}

/// Each follows the one before it, from nothing to what stands. Returns how many they are.
pub(super) fn assert_chain(updates: &Updates, stands: Option<u8>) -> usize {
    updates.read(|updates| {
        let mut last = None;
        for &(old, new) in updates {
            assert_eq!(old, last, "a gap in {updates:?}");
            last = new;
        }
        assert_eq!(last, stands, "after {updates:?}");
        updates.len()
    })
}
