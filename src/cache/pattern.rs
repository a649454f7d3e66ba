//! The cache pattern: a topic for each object, one for all of them, and the same two with updates.

use super::{Cache, CachingTopic};
use crate::error::{CachingError, Error, check_name};
use crate::ids;
use crate::mailbox::Filter;
use crate::sync::Arc;
use crate::topic::{Forward, Topic};
use std::fmt;

/// One topic for all objects of a kind, with a cache: what is published on a [single](Self::single) object's topic is kept,
/// and reaches four places.
///
/// ```text
///   single.topic ──────────────► all.topic ──► all.cached
///        │ kept in the cache                        ▲
///        └──► single.cached (updates) ──────────────┘
/// ```
///
/// | listener on | gets, of each message on a single's topic |
/// | --- | --- |
/// | `single.topic()` | the message |
/// | `single.cached()` | the update, if it changed something |
/// | `all.topic()` | the message |
/// | `all.cached()` | the update, if it changed something, and after it the message; each once |
///
/// What is published on `all.topic()` itself reaches its own listeners and those of `all.cached()`, and is not kept.
/// A [sink](Self::sink) is an object whose messages are kept, and told nobody but its own listeners: for the second topic
/// of something whose messages come by the first one's way already.
///
/// Made by [`CachePattern::new`]; cheap to clone. Lives, with the topics, as long as anybody has a clone or a single.
/// (The idea, and the name, are those of Stasis, where the diamond delivers twice and the sink was invented for it.)
///
/// ```
/// use stasis_bus::{Bus, Cache, CachePattern};
/// let bus = Bus::builder().manual().build()?;
/// let state = bus.message_type::<String>("channel")?;
/// let all = CachePattern::new(&bus, "channel:all", Cache::builder(&bus).id_of(&state, |name: &String| name))?;
/// let board = all.cached().subscription("board").accept(bus.cache_updates()).start(|_| {})?;
/// let alice = all.single("channel:alice")?;
/// alice.topic().publish(state.message("alice".to_owned()));
/// assert!(all.cache().get(&state, "alice").is_some());
/// assert_eq!(board.stats().accepted, 1);
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone)]
pub struct CachePattern(Arc<All>);

struct All {
    topic: Topic,
    cached: Topic,
    cache: Cache,
    _raw: Forward,
}

/// One object of a [`CachePattern`]: its topic, and that of its updates. Dropping it takes its forwards and the keeping
/// away; what is in the cache stays there until it is cleared.
#[must_use = "dropping it ends the keeping; call detach() to keep it"]
pub struct CacheSingle {
    // Dropped in this order: a message that is published meanwhile may be kept and not told, but never told and not kept.
    to_all: Option<Forward>,
    caching: CachingTopic,
    updates_to_all: Option<Forward>,
    topic: Topic,
    all: CachePattern,
}

impl CachePattern {
    /// The pattern of that topic and that cache.
    ///
    /// # Errors
    ///
    /// If the cache is of another bus, or the topic is where it tells of its own updates.
    pub fn of(topic: &Topic, cache: &Cache) -> Result<Self, CachingError> {
        if !Arc::ptr_eq(&topic.core().exchange, &cache.0.exchange) {
            return Err(CachingError::OtherBus);
        }
        if topic.is_same(cache.updates()) {
            return Err(CachingError::OwnUpdates);
        }
        let name = format!("cache_pattern:{}/{}", ids::next(), topic.name());
        let cached = cache.0.exchange.topic(&name, cache.name());
        let raw = topic.forward_to(&cached).map_err(|_| CachingError::OtherBus)?;
        Ok(Self(Arc::new(All { topic: topic.clone(), cached, cache: cache.clone(), _raw: raw })))
    }

    /// Where the messages of all objects arrive.
    pub fn topic(&self) -> &Topic {
        &self.0.topic
    }

    /// Where the messages and the updates of all objects arrive, of each publish the update first.
    pub fn cached(&self) -> &Topic {
        &self.0.cached
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// An object with that topic, which is made if there is none.
    ///
    /// Asked for again, the object has two handles, and listeners get everything once all the same.
    ///
    /// # Errors
    ///
    /// If the name is refused, or is that of the topic where the cache tells of its own updates.
    pub fn single(&self, name: &str) -> Result<CacheSingle, Error> {
        self.single_with(name, Filter::all())
    }

    /// The same, keeping only what `filter` wants; it all goes on as ever.
    ///
    /// # Errors
    ///
    /// As [`single`](Self::single), and if the filter names a type of another bus.
    pub fn single_with(&self, name: &str, filter: Filter) -> Result<CacheSingle, Error> {
        let mut single = self.sink_with(name, filter)?;
        single.updates_to_all = Some(single.caching.topic().forward_to(self.cached())?);
        single.to_all = Some(single.topic.forward_to(self.topic())?);
        Ok(single)
    }

    /// An object whose messages are kept in the cache, and do not go on to the topics of all.
    ///
    /// # Errors
    ///
    /// As [`single`](Self::single).
    pub fn sink(&self, name: &str) -> Result<CacheSingle, Error> {
        self.sink_with(name, Filter::all())
    }

    /// The same, keeping only what `filter` wants.
    ///
    /// # Errors
    ///
    /// As [`single_with`](Self::single_with).
    pub fn sink_with(&self, name: &str, filter: Filter) -> Result<CacheSingle, Error> {
        check_name(name)?;
        let topic = self.0.cache.0.exchange.topic(name, "");
        let caching = topic.caching_with(self.cache(), filter)?;
        Ok(CacheSingle { to_all: None, caching, updates_to_all: None, topic, all: self.clone() })
    }
}

impl fmt::Debug for CachePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachePattern").field("topic", self.topic()).field("cache", self.cache()).finish()
    }
}

impl CacheSingle {
    /// Where its messages are published.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Where its updates arrive, and nothing else.
    pub fn cached(&self) -> &Topic {
        self.caching.topic()
    }

    /// What keeps its messages.
    pub fn caching(&self) -> &CachingTopic {
        &self.caching
    }

    /// What it is one of.
    pub fn all(&self) -> &CachePattern {
        &self.all
    }

    /// Whether its messages do not go on to the topics of all.
    pub fn is_sink(&self) -> bool {
        self.to_all.is_none()
    }

    /// Takes its forwards and the keeping away, as dropping does.
    pub fn unsubscribe(self) {}

    /// Keeps it, and the pattern, for the life of the bus.
    pub fn detach(self) {
        let exchange = self.topic.core().exchange.clone();
        exchange.keep_until_end(Box::new(self));
    }
}

impl fmt::Debug for CacheSingle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheSingle")
            .field("topic", &self.topic)
            .field("all", &self.all.topic().name())
            .field("sink", &self.is_sink())
            .finish_non_exhaustive()
    }
}
