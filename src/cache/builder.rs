//! Everything about a cache, said before there is one.

use super::entry::CacheEntry;
use super::hashing::Hashing;
use super::limits::{Limits, Lives};
use super::reads::Reads;
use super::rules::{Functions, Rules};
use super::{Cache, CacheCore, Counts, SHARDS};
use crate::error::{CacheError, check_name};
use crate::ids;
use crate::map::Map;
use crate::message::kind::Kind;
use crate::message::{Message, MessageType};
use crate::sync::{Arc, Mutex, Weak};
use crate::topic::Topic;
use crate::topic::exchange::Exchange;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A cache in the making: what an object's id is, and what else it is to do. Got by [`Cache::builder`].
///
/// The functions are the user's own code. They run on the publisher's thread, under no lock and no guard, may call
/// anything on the bus (this cache included), and must be pure: they may be called again, or for a message that another
/// one overtakes. A panic in one is caught, counted and told to the bus's hook with the cache's name: without an id the
/// message is not kept; states that could not be compared are different; an aggregate that could not be computed stays
/// as it was. They are dropped with the cache: one that holds the cache itself, or what holds it, keeps it for ever.
///
/// | option | default |
/// | --- | --- |
/// | [`id_of`](Self::id_of), [`id`](Self::id) | none: one of them is needed |
/// | [`aggregate`](Self::aggregate) | there are no aggregates |
/// | [`announce`](Self::announce) | nobody is called |
/// | [`suppress_equal`](Self::suppress_equal) | every message that is published changes its entry |
/// | [`suppress_equal_aggregates`](Self::suppress_equal_aggregates), [`aggregate_eq`](Self::aggregate_eq) | an aggregate is unchanged if it is the same message |
/// | [`ttl`](Self::ttl) | states stay until they are cleared |
/// | [`max_entries`](Self::max_entries) | there may be any number of entries |
/// | [`name`](Self::name) | `cache:` and a number |
#[must_use = "call build() to make the cache"]
pub struct CacheBuilder {
    exchange: Arc<Exchange>,
    functions: Functions,
    name: Option<String>,
    limits: Limits,
    /// The name of a type that is of another bus.
    foreign: Option<String>,
}

impl CacheBuilder {
    pub(crate) fn new(exchange: Arc<Exchange>) -> Self {
        Self {
            exchange,
            functions: Functions::default(),
            name: None,
            limits: Limits::default(),
            foreign: None,
        }
    }

    fn check(&mut self, kind: &Kind) {
        if kind.bus() != self.exchange.id {
            self.foreign.get_or_insert_with(|| kind.name().to_owned());
        }
    }

    /// The id of objects of this type is what `id` gives: messages of the type are cacheable. An empty one says that this
    /// message is not. Goes before [`id`](Self::id) for this type; said twice, the last one stands.
    pub fn id_of<T: Send + Sync + 'static>(
        mut self,
        kind: &MessageType<T>,
        id: impl for<'v> Fn(&'v T) -> &'v str + Send + Sync + 'static,
    ) -> Self {
        self.check(kind.kind());
        self.functions.id_of(kind, id);
        self
    }

    /// The id of messages of every other type. `None`, or an empty one: this message is not cacheable.
    ///
    /// ```
    /// # use stasis_bus::{Bus, Cache};
    /// # let bus = Bus::builder().manual().build()?;
    /// let port = bus.message_type::<u16>("port")?;
    /// let read = port.clone();
    /// let cache = Cache::builder(&bus)
    ///     .id(move |message| Some(read.read(message)?.to_string().into()))
    ///     .build()?;
    /// let _cached = bus.topic("ports")?.caching(&cache)?;
    /// bus.topic("ports")?.publish(port.message(5060));
    /// assert!(cache.get(&port, "5060").is_some());
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn id(
        mut self,
        id: impl for<'m> Fn(&'m Message) -> Option<Cow<'m, str>> + Send + Sync + 'static,
    ) -> Self {
        self.functions.id(id);
        self
    }

    /// What the states of one object come to together. Called whenever one of them has changed, with the newest of all;
    /// `None`: there is no aggregate. With no states left it is expected to say so.
    ///
    /// It gives a message of the entry's type that has no origin ([`MessageBuilder::aggregate`]): anything else counts as
    /// a panic. To give [`CacheEntry::aggregate`] back says that nothing changed, and nothing is announced. See
    /// [`CacheEntry`] for an example.
    ///
    /// [`MessageBuilder::aggregate`]: crate::MessageBuilder::aggregate
    pub fn aggregate(
        mut self,
        aggregate: impl Fn(&CacheEntry<'_>) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        self.functions.aggregate = Some(Box::new(aggregate));
        self
    }

    /// Is called when an aggregate has changed and is not none, before the publish that changed it returns: once for each
    /// caching topic that was reached, with the topic that it keeps. A good place to publish the aggregate there.
    ///
    /// Publishes at the same time call it at the same time, and the call for an older aggregate may come last: unlike the
    /// updates of the cache it has no order. Who needs the newest takes it from the cache ([`Cache::get_aggregate`]), or
    /// listens to the updates.
    pub fn announce(mut self, announce: impl Fn(&Topic, &Message) + Send + Sync + 'static) -> Self {
        self.functions.announce = Some(Box::new(announce));
        self
    }

    /// A state of this type that is equal to the one before it is left out: the cache keeps the older message, and nothing
    /// is announced.
    pub fn suppress_equal<T: PartialEq + Send + Sync + 'static>(mut self, kind: &MessageType<T>) -> Self {
        self.check(kind.kind());
        self.functions.suppress_equal(kind);
        self
    }

    /// The same of aggregates of this type.
    pub fn suppress_equal_aggregates<T: PartialEq + Send + Sync + 'static>(
        mut self,
        kind: &MessageType<T>,
    ) -> Self {
        self.check(kind.kind());
        self.functions.suppress_equal_aggregates(kind);
        self
    }

    /// When aggregates of types without a rule of their own are equal, the old one first.
    pub fn aggregate_eq(
        mut self,
        equal: impl Fn(&Message, &Message) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.functions.aggregate_eq(equal);
        self
    }

    /// A state that was not written for so long is cleared, and announced as by [`Cache::clear`]. From 1 ms to 365 days.
    ///
    /// For states of owners that may vanish without a word, such as other nodes: each origin's is cleared by itself. Written
    /// is published: to publish the same message again, or an equal one that is left out, keeps a state as well. A
    /// [`Lease`](super::Lease) does not; the state that is published next is its own again.
    ///
    /// It goes not before its time, and as a rule at most a sixteenth of that later: a worker looks at all entries, at most
    /// sixteen times in the time to live, and clears what is due, under one lock at a time. What is being published while
    /// it is cleared stands afterwards. In manual mode time is the bus's own: [`run_until_idle`](crate::Bus::run_until_idle)
    /// does it after [`advance`](crate::Bus::advance). When the bus ends, everything stays. Cost: a look at the clock for
    /// each write.
    ///
    /// ```
    /// # use stasis_bus::{Bus, Cache};
    /// # use std::time::Duration;
    /// # let bus = Bus::builder().manual().build()?;
    /// # let state = bus.message_type::<(String, u32)>("state")?;
    /// let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).ttl(Duration::from_secs(60)).build()?;
    /// let topic = bus.topic("states")?;
    /// let _cached = topic.caching(&cache)?;
    /// topic.publish(state.message(("alice".to_owned(), 1)));
    /// bus.advance(Duration::from_secs(59));
    /// bus.run_until_idle();
    /// assert!(cache.get(&state, "alice").is_some());
    /// bus.advance(Duration::from_secs(1));
    /// bus.run_until_idle();
    /// assert!(cache.get(&state, "alice").is_none());
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.limits.ttl = Some(ttl);
        self
    }

    /// So many entries at most: who writes a new one beyond that takes another one out, before its publish returns, when
    /// every mailbox has its message. From 1 to 4,294,967,295.
    ///
    /// Of a sample of sixteen others the one goes whose states were written longest ago (an owner's [`Lease`](super::Lease)
    /// spares none), cleared and announced as by [`Cache::clear`], origin by origin. **How exact it is:** when no publish is
    /// under way there are at most so many; meanwhile, as many more as there are publishes of new entries; and writers that
    /// make room at the same time may make a little more of it than was needed. Entries without a state do not count:
    /// places of leases and watches, and aggregates that a function makes of nothing, which stay. Cost: a look at the clock for
    /// each write; for each new entry a look at the count, and with a full cache one at the sample.
    ///
    /// ```
    /// # use stasis_bus::{Bus, Cache};
    /// # let bus = Bus::builder().manual().build()?;
    /// # let state = bus.message_type::<(String, u32)>("state")?;
    /// let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).max_entries(100).build()?;
    /// let topic = bus.topic("states")?;
    /// let _cached = topic.caching(&cache)?;
    /// for n in 0..1_000 {
    ///     topic.publish(state.message((format!("object-{n}"), n)));
    /// }
    /// assert_eq!((cache.len(), cache.stats().evicted), (100, 900));
    /// assert!(cache.get(&state, "object-999").is_some());
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn max_entries(mut self, most: usize) -> Self {
        self.limits.max_entries = Some(most);
        self
    }

    /// What it is called in figures and in reports of panics.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Makes the cache.
    ///
    /// # Errors
    ///
    /// If nothing says what an id is, a type is of another bus, a number is out of its range, or the name is refused.
    pub fn build(self) -> Result<Cache, CacheError> {
        if !self.functions.has_id() {
            return Err(CacheError::NoId);
        }
        if let Some(name) = self.foreign {
            return Err(CacheError::ForeignType(name));
        }
        self.limits.check()?;
        let number = ids::next();
        let name = self.name.unwrap_or_else(|| format!("cache:{number}"));
        check_name(&name)?;
        let exchange = self.exchange;
        let rules =
            Rules::new(self.functions, name.as_str().into(), number, exchange.id, exchange.fence.clone());
        let updates = exchange.topic(&format!("cache:{number}"), &name);
        let core = Arc::new_cyclic(|me| CacheCore {
            number,
            map: Map::with_shards(exchange.domain().clone(), SHARDS, Hashing::random()),
            local: exchange.changes.kind().local(),
            rules,
            updates,
            outputs: Mutex::new(crate::sync::HashMap::default()),
            counts: Counts::default(),
            reads: Reads::new(exchange.counts.caches.add(1)),
            label: exchange.labels.caches.of(&name, exchange.clock.coarse_monotonic_ns()),
            lives: Lives::new(self.limits),
            me: me.clone(),
            exchange,
        });
        core.set_up();
        let me: Weak<CacheCore> = core.me.clone();
        core.exchange.admit_cache(me.clone());
        core.exchange.tell_at_end(me);
        Ok(Cache(core))
    }
}

impl fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
