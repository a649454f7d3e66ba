//! The facade: a bus, how it is configured, and how it ends.

#[cfg(any(feature = "console", feature = "tracing"))]
mod advice;
mod builder;
mod caches;
#[cfg(feature = "config")]
mod config;
mod diagnose;
mod diagnosis;
#[cfg(feature = "json")]
mod events;
mod figures;
mod shutdown;
mod types;

pub use builder::BusBuilder;
#[cfg(feature = "config")]
pub use config::BusConfig;
#[cfg(any(feature = "console", feature = "tracing"))]
pub(crate) use diagnose::History;
pub use diagnosis::{Diagnosis, Finding, Severity, Subject, Trend, Trouble};
pub use shutdown::{ShutdownReport, Straggler};
pub use types::TypeBuilder;

use crate::error::{Error, NameError, TypeError, check_name};
use crate::message::kind::Draft;
use crate::message::{Message, MessageType, Origin, TypeInfo};
use crate::state::{Managers, StateManager};
use crate::subscription::Delivery;
use crate::sync::{Arc, Weak};
use crate::topic::exchange::Exchange;
use crate::topic::{Topic, TopicOf};
use crate::topic_pool::TopicPool;
use shutdown::Shutdown;
use std::fmt;
use std::time::Duration;
use types::Types;

/// A publish/subscribe bus: topics by name, message types, subscriptions, and the threads that run them.
///
/// Cheap to clone; several can live in one process. Dropping the last clone ends the bus as
/// [`shutdown`](Self::shutdown) does, with ten seconds to drain, without waiting for it. Handlers that need the bus get it from
/// [`Delivery::bus`](crate::Delivery::bus) or keep a [`WeakBus`]: one that captures a clone keeps it alive.
///
/// ```
/// use stasis_bus::Bus;
/// let bus = Bus::builder().workers(1..=4).build()?;
/// let greeting = bus.message_type::<String>("greeting")?;
/// let hall = bus.topic("hall")?;
/// let guest = hall.subscribe("guest", |delivery| println!("{:?}", delivery.message()))?;
/// hall.publish(greeting.message("hello".to_owned()));
/// guest.unsubscribe_and_join()?;
/// bus.shutdown(std::time::Duration::from_secs(1))?;
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

/// What the clones of a bus share; its drop is the end.
pub(crate) struct Inner {
    pub(crate) exchange: Arc<Exchange>,
    types: Arc<Types>,
    shutdown: Arc<Shutdown>,
    history: diagnose::History,
    states: Managers,
}

impl Bus {
    /// A bus with everything at its default.
    ///
    /// # Errors
    ///
    /// None today: the defaults are valid.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Begins a bus with options.
    pub fn builder() -> BusBuilder {
        BusBuilder::new()
    }

    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        let weak: Weak<Inner> = Arc::downgrade(&inner);
        let _ = inner.exchange.facade.set(weak);
        Self(inner)
    }

    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        &self.0.exchange
    }

    /// A reference that does not keep the bus alive.
    pub fn downgrade(&self) -> WeakBus {
        WeakBus(Arc::downgrade(&self.0))
    }

    // ---- topics ----------------------------------------------------------------------------------------------

    /// The topic of that name, made if there is none. `subsystem:what[/object]` is a good shape for names.
    ///
    /// # Errors
    ///
    /// If the name is empty, longer than 255 bytes, or has control characters.
    pub fn topic(&self, name: &str) -> Result<Topic, NameError> {
        self.topic_with(name, "")
    }

    /// The same, with a few words about it if it is new; an existing topic keeps its own.
    ///
    /// # Errors
    ///
    /// As [`topic`](Self::topic).
    pub fn topic_with(&self, name: &str, detail: &str) -> Result<Topic, NameError> {
        check_name(name)?;
        Ok(self.exchange().topic(name, detail))
    }

    /// The same, of that [class](Topic::class) if it is new: what its figures count under in metrics. For topics of one kind
    /// whose names do not begin alike.
    ///
    /// # Errors
    ///
    /// As [`topic`](Self::topic), for either name.
    pub fn topic_in_class(&self, name: &str, class: &str) -> Result<Topic, NameError> {
        check_name(name)?;
        check_name(class)?;
        Ok(self.exchange().topic_of_class(name, "", class))
    }

    /// The topic of that name together with a message type of the same name and values of `T`: all that a small service
    /// needs. Either is made if there is none.
    ///
    /// # Errors
    ///
    /// If the name is refused, or stands for a message type of another Rust type.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// bus.topic_of::<u32>("orders")?.publish(7);
    /// assert!(bus.topic_of::<String>("orders").is_err(), "the name stands for u32");
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn topic_of<T: Send + Sync + 'static>(&self, name: &str) -> Result<TopicOf<T>, Error> {
        let kind = self.message_type(name)?;
        Ok(TopicOf::new(self.topic(name)?, kind))
    }

    /// The pool of topics `<name>/<member>`, all forwarded to the topic `<name>`, which is made if there is none.
    ///
    /// # Errors
    ///
    /// As [`topic`](Self::topic).
    pub fn topic_pool(&self, name: &str) -> Result<TopicPool, NameError> {
        Ok(TopicPool::new(&self.topic_in_class(name, name)?))
    }

    /// The manager of states `<name>/<id>`, all forwarded to the topic `<name>`: the same for all who ask while it lives.
    ///
    /// # Errors
    ///
    /// As [`topic`](Self::topic).
    pub fn state_manager(&self, name: &str) -> Result<StateManager, NameError> {
        Ok(self.0.states.get(&self.topic_in_class(name, name)?))
    }

    /// The topic of that name, if it lives.
    pub fn find_topic(&self, name: &str) -> Option<Topic> {
        self.exchange().find_topic(name)
    }

    /// All live topics, by name. Holding the handles keeps them alive.
    pub fn topics(&self) -> Vec<Topic> {
        self.exchange().topics()
    }

    // ---- types and origins -----------------------------------------------------------------------------------

    /// The message type of that name with values of `T`, made if there is none.
    ///
    /// # Errors
    ///
    /// If the name is refused, or stands for another Rust type.
    pub fn message_type<T: Send + Sync + 'static>(&self, name: &str) -> Result<MessageType<T>, TypeError> {
        self.define(name).declare()
    }

    /// Begins a message type with formatters. If the name and `T` are known already, the type stays as it is.
    ///
    /// ```
    /// use stasis_bus::{AmiEvent, Bus};
    /// let bus = Bus::builder().manual().build()?;
    /// let hangup = bus
    ///     .define::<u32>("hangup")
    ///     .ami(|cause, _| Some(AmiEvent::new("Hangup").header("Cause", cause.to_string())))
    ///     .declare()?;
    /// let text = hangup.message(16).to_ami().map(|event| event.to_string());
    /// assert_eq!(text.as_deref(), Some("Event: Hangup\r\nCause: 16\r\n\r\n"));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn define<T: Send + Sync + 'static>(&self, name: &str) -> TypeBuilder<'_, T> {
        TypeBuilder::new(self, Draft::new(name.to_owned()))
    }

    /// The message type of that name, if it is known and its values are `T`.
    pub fn find_message_type<T: Send + Sync + 'static>(&self, name: &str) -> Option<MessageType<T>> {
        self.0.types.find(name).and_then(MessageType::cast)
    }

    /// All message types, by number.
    pub fn message_types(&self) -> Vec<TypeInfo> {
        self.0.types.list()
    }

    /// The control type that tells of subscriptions.
    pub fn subscription_changes(&self) -> &MessageType<crate::SubscriptionChange> {
        &self.exchange().changes
    }

    /// The control type in which caches tell of their entries.
    pub fn cache_updates(&self) -> &MessageType<crate::CacheUpdate> {
        &self.exchange().cached.updates
    }

    /// The control type that ends a snapshot.
    pub fn snapshot_ends(&self) -> &MessageType<crate::SnapshotEnd> {
        &self.exchange().cached.snapshot_ends
    }

    /// A message that takes the entry of `state` out of every cache that hears it, when it is published where states of
    /// that entry are: the entry of the same type, id and origin.
    ///
    /// What is not in a cache is not missed: then nothing is announced.
    pub fn clear(&self, state: &Message) -> Message {
        let clear = crate::CacheClear::new(state.clone());
        self.exchange().cached.clears.message(clear)
    }

    /// The origin that stands for that node; the same name gives the same origin, and none is forgotten before the bus
    /// ends.
    ///
    /// # Errors
    ///
    /// If the name is refused.
    pub fn origin(&self, node: &str) -> Result<Origin, NameError> {
        check_name(node)?;
        Ok(self.0.types.origin(node))
    }

    /// The node that `origin` stands for.
    pub fn origin_name(&self, origin: Origin) -> Option<String> {
        self.0.types.origin_name(origin)
    }

    // ---- running ---------------------------------------------------------------------------------------------

    /// Manual mode: runs everything that is ready or due, and what that makes ready, on the calling thread. Returns how
    /// many runs that took; 0 without manual mode.
    pub fn run_until_idle(&self) -> usize {
        match self.exchange().pool.is_manual() {
            true => self.exchange().run_until_idle(),
            false => 0,
        }
    }

    /// Manual mode: moves the clock on; what becomes due is run by the next [`run_until_idle`](Self::run_until_idle).
    /// Nothing without manual mode. The clock ends 292 years after its begin, and stands still there.
    pub fn advance(&self, by: Duration) {
        self.exchange().clock.advance(by);
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exchange = self.exchange();
        f.debug_struct("Bus")
            .field("topics", &exchange.topics().len())
            .field("subscriptions", &exchange.members().len())
            .field("workers", &exchange.pool.workers())
            .finish_non_exhaustive()
    }
}

/// A reference to a bus that does not keep it alive.
#[derive(Clone)]
pub struct WeakBus(Weak<Inner>);

impl WeakBus {
    /// The bus, if it still stands.
    pub fn upgrade(&self) -> Option<Bus> {
        self.0.upgrade().map(Bus)
    }
}

impl fmt::Debug for WeakBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakBus").field("stands", &(self.0.strong_count() > 0)).finish()
    }
}

impl Delivery<'_> {
    /// The bus, if it still stands.
    pub fn bus(&self) -> Option<Bus> {
        let facade = self.topic().core().exchange.facade.get()?.upgrade()?;
        facade.downcast::<Inner>().ok().map(Bus)
    }
}

impl Message {
    /// Whether this message was made by a type of `bus`.
    pub fn belongs_to(&self, bus: &Bus) -> bool {
        self.kind().bus() == bus.exchange().id
    }
}
