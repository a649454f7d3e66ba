//! Caching topics: what is published on a topic is kept in a cache, and told as updates.

use super::{Cache, Output};
use crate::error::{CachingError, SubscribeError};
use crate::ids;
use crate::mailbox::Filter;
use crate::subscription::{Delivery, Subscription, SubscriptionBuilder};
use crate::sync::Arc;
use crate::topic::tap::Tap;
use crate::topic::{Topic, TopicCore};
use std::fmt;

/// A topic's messages, kept in a cache: got by [`Topic::caching`]. Dropping it ends the keeping.
///
/// The cache is written on the publisher's thread, before anybody else gets the message: when the publish has returned,
/// reads of the cache see it. Its own [topic](Self::topic), called `cache:<n>/<original>`, gets a
/// [`CacheUpdate`](crate::CacheUpdate) for each change, and nothing else. Of each publish the update comes first:
/// whoever gets both gets the update, and then the message.
///
/// For each (type, id, origin) all updates of a cache form one chain, whatever the number of publishers, topics and
/// caching topics: the `old` of each is the very message that was `new` in the one before. Who listens to every caching
/// topic through which a key is written, in any dispatch but Inline (which may be called for two publishes at a time),
/// and loses nothing, gets that chain without a gap.
///
/// What is kept, and what is not:
///
/// | message | what happens |
/// | --- | --- |
/// | with an id and an origin | takes the place of that origin's message; update {old, new} |
/// | the very message that stands there already | nothing |
/// | a [clear](crate::Bus::clear) | that origin's message goes; update {old, none}; nothing stood there: nothing |
/// | the id function gives none, or an empty one | nothing |
/// | without an origin (an aggregate) | nothing |
/// | a change of subscriptions | nothing |
/// | an update of this cache, whatever way it came | nothing |
/// | an update of another cache | nothing, unless the filter names that type; then it is kept a little later, in order |
/// | an update of an update | nothing |
///
/// If the cache computes aggregates, that follows when every mailbox has the message, as an update of its own.
///
/// Cost for a publisher: the id function, an allocation for the entry and one for the update (none if nobody listens), and
/// a push into each mailbox under a lock of a part of the map. The topic is kept alive.
#[must_use = "dropping it ends the keeping; call detach() to keep it"]
pub struct CachingTopic {
    original: Arc<TopicCore>,
    topic: Topic,
    cache: Cache,
    tap: Option<Standing>,
}

/// A tap that stands; taken away when dropped.
struct Standing {
    original: Arc<TopicCore>,
    tap: Arc<Tap>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.original.remove_tap(&self.tap);
    }
}

impl Topic {
    /// Keeps what is published here, or comes here by forwards, in `cache`.
    ///
    /// # Errors
    ///
    /// If the cache is of another bus, or this is the topic of its own updates.
    pub fn caching(&self, cache: &Cache) -> Result<CachingTopic, CachingError> {
        self.caching_with(cache, Filter::all())
    }

    /// The same of the messages that `filter` wants. Clears are always heard.
    ///
    /// # Errors
    ///
    /// As [`caching`](Self::caching), and if the filter names a type of another bus.
    pub fn caching_with(&self, cache: &Cache, filter: Filter) -> Result<CachingTopic, CachingError> {
        let exchange = &cache.0.exchange;
        if !Arc::ptr_eq(&self.core().exchange, exchange) {
            return Err(CachingError::OtherBus);
        }
        if let Some(name) = filter.foreign_to(exchange.id) {
            return Err(CachingError::ForeignType(name.to_owned()));
        }
        if self.is_same(&cache.0.updates) {
            return Err(CachingError::OwnUpdates);
        }
        let name = format!("cache:{}/{}", ids::next(), self.name());
        let topic = exchange.topic(&name, cache.name());
        cache.0.add_output(topic.core(), self.core());
        let tap = Tap::new(filter, cache.0.clone(), topic.core().clone());
        self.core().add_tap(tap.clone());
        let standing = Standing { original: self.core().clone(), tap };
        Ok(CachingTopic { original: self.core().clone(), topic, cache: cache.clone(), tap: Some(standing) })
    }
}

impl CachingTopic {
    /// The topic of its updates. It lives as long as anybody has it, also when the keeping has ended.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The topic whose messages it keeps.
    pub(super) fn original(&self) -> Topic {
        Topic(self.original.clone())
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Subscribes to the updates. As [`Topic::subscribe`].
    ///
    /// # Errors
    ///
    /// As [`Topic::subscribe`].
    pub fn subscribe(
        &self,
        name: &str,
        handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        self.topic.subscribe(name, handler)
    }

    /// Begins a subscription to the updates. As [`Topic::subscription`].
    pub fn subscription(&self, name: &str) -> SubscriptionBuilder<'_> {
        self.topic.subscription(name)
    }

    /// Ends the keeping, as dropping does: no publish that begins later is kept. What is in the cache stays there.
    pub fn unsubscribe(self) {}

    /// Keeps on for the life of the bus.
    pub fn detach(mut self) {
        if let Some(tap) = self.tap.take() {
            self.cache.0.exchange.keep_until_end(Box::new(tap));
        }
    }
}

impl fmt::Debug for CachingTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingTopic").field("topic", &self.topic).field("cache", &self.cache).finish()
    }
}

impl super::CacheCore {
    /// From now on, updates may go to `topic`.
    fn add_output(&self, topic: &Arc<TopicCore>, original: &Arc<TopicCore>) {
        let output = Output { topic: Arc::downgrade(topic), original: Arc::downgrade(original) };
        let mut outputs = self.outputs.lock();
        outputs.retain(|_, output| output.topic.strong_count() > 0);
        outputs.insert(topic.id, output);
    }
}
