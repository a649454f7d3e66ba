//! Everything about a subscription, said before it is visible.

use super::own::Own;
use super::thread::OwnThread;
use super::{Delivery, Subscription};
use crate::error::SubscribeError;
use crate::mailbox::policy::Defaults;
use crate::mailbox::{Dispatch, Filter, OnEnd, OnPanic, OnWaterMark, Overflow};
use crate::message::{Formatters, MessageType, Origin};
use crate::sync::Arc;
use crate::topic::Topic;
use crate::topic::catch_up::Source;
use std::fmt;

/// A subscription in the making: filter, dispatch, capacity and policy, then a handler.
///
/// Nothing is visible before the finishing call ([`start`](Self::start), [`start_typed`](Self::start_typed), [`start_batch`](Self::start_batch),
/// [`inline`](Self::inline), [`inline_typed`](Self::inline_typed) or [`stream`](Self::stream)); then all of it is, at once. The subscription's first message is its own
/// [`SubscriptionChange`](crate::SubscriptionChange) of kind `Subscribe` (if its filter wants that type); the others on
/// the topic, and on those it forwards to, are told as well.
///
/// | option | default |
/// | --- | --- |
/// | [`accept`](Self::accept), [`accept_formatters`](Self::accept_formatters), [`filter`](Self::filter) | everything |
/// | [`accept_update_of`](Self::accept_update_of), [`id_prefix`](Self::id_prefix), [`update_origin`](Self::update_origin) | all updates of caches |
/// | [`dispatch`](Self::dispatch) | [`Dispatch::Pool`] |
/// | [`capacity`](Self::capacity) | 1,024 messages, exact |
/// | [`overflow`](Self::overflow) | [`Overflow::Grow`], up to 1,048,576 messages more |
/// | [`water_marks`](Self::water_marks) | 500 and 450, or 50 % and 45 % of a smaller capacity |
/// | [`on_water_mark`](Self::on_water_mark) | nobody hears |
/// | [`on_panic`](Self::on_panic) | [`OnPanic::Continue`] |
/// | [`on_end`](Self::on_end) | (nothing) |
/// | [`batch_max`](Self::batch_max) | 64 messages, for [`start_batch`](Self::start_batch) |
/// | [`wait`](Self::wait) | [`Wait::Park`](crate::Wait::Park) (Dedicated) |
/// | [`thread_name`](Self::thread_name) | the subscription's name (Dedicated) |
///
/// ```
/// use stasis_bus::{Bus, Dispatch, Overflow};
/// let bus = Bus::builder().build()?;
/// let rang = bus.message_type::<String>("rang")?;
/// let calls = bus.topic("calls")?;
/// let rang_too = rang.clone();
/// let log = calls
///     .subscription("log")
///     .accept(&rang)
///     .dispatch(Dispatch::Dedicated)
///     .capacity(4096)
///     .overflow(Overflow::DropOldest)
///     .start(move |delivery| {
///         if let Some(who) = delivery.read(&rang_too) {
///             println!("{who} rang; {} missed before", delivery.missed());
///         }
///     })?;
/// calls.publish(rang.message("alice".to_owned()));
/// log.unsubscribe_and_join()?;
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use = "nothing is subscribed before start(), inline() or stream()"]
pub struct SubscriptionBuilder<'a> {
    pub(super) topic: &'a Topic,
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) filter: Filter,
    pub(super) is_typed: bool,
    pub(super) batch_max: Option<usize>,
    pub(super) dispatch: Option<Dispatch>,
    pub(super) capacity: usize,
    pub(super) overflow: Overflow,
    pub(super) water_marks: Option<(usize, usize)>,
    pub(super) on_water_mark: Option<OnWaterMark>,
    pub(super) on_panic: OnPanic,
    pub(super) on_end: Option<OnEnd>,
    pub(super) thread: OwnThread,
    pub(super) own: Arc<Own>,
    /// What it catches up with.
    pub(super) source: Option<Arc<dyn Source>>,
}

impl Topic {
    /// Begins a subscription of that name. Names need not be unique; they are what figures and reports speak of.
    pub fn subscription(&self, name: impl Into<String>) -> SubscriptionBuilder<'_> {
        let Defaults { capacity, overflow, .. } = self.core().exchange.defaults.clone();
        SubscriptionBuilder {
            topic: self,
            id: crate::ids::next(),
            name: name.into(),
            filter: Filter::default(),
            is_typed: false,
            batch_max: None,
            dispatch: None,
            capacity,
            overflow,
            water_marks: None,
            on_water_mark: None,
            on_panic: OnPanic::default(),
            on_end: None,
            thread: OwnThread::default(),
            own: Arc::default(),
            source: None,
        }
    }

    /// Subscribes to everything, with the workers of the bus and default limits. Shorthand for
    /// `subscription(name).start(handler)`.
    ///
    /// # Errors
    ///
    /// As [`SubscriptionBuilder::start`].
    pub fn subscribe(
        &self,
        name: impl Into<String>,
        handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        self.subscription(name).start(handler)
    }
}

impl SubscriptionBuilder<'_> {
    /// The number that the subscription will have.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn on(&self) -> &Topic {
        self.topic
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn said_filter(&self) -> &Filter {
        &self.filter
    }

    pub(crate) fn said_dispatch(&self) -> Dispatch {
        self.dispatch.unwrap_or_default()
    }

    /// Takes messages of this type. Call it again for more; together with
    /// [`accept_formatters`](Self::accept_formatters) either is enough.
    pub fn accept<T>(mut self, kind: &MessageType<T>) -> Self {
        self.filter = self.filter.accept(kind);
        self
    }

    /// Takes messages whose type has one of these formatters. An empty set takes nothing by itself.
    pub fn accept_formatters(mut self, formatters: Formatters) -> Self {
        self.filter = self.filter.accept_formatters(formatters);
        self
    }

    /// Takes updates of caches, of entries of this type. As [`Filter::accept_update_of`].
    pub fn accept_update_of<T>(mut self, kind: &MessageType<T>) -> Self {
        self.filter = self.filter.accept_update_of(kind);
        self
    }

    /// Of the updates of caches, takes those of entries whose id begins so. As [`Filter::id_prefix`].
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.filter = self.filter.id_prefix(prefix);
        self
    }

    /// Of the updates of caches, takes those that speak of this node; `None`: of aggregates. As
    /// [`Filter::update_origin`].
    pub fn update_origin(mut self, origin: Option<Origin>) -> Self {
        self.filter = self.filter.update_origin(origin);
        self
    }

    /// Takes what this filter takes, instead of what was said before. It can be changed later:
    /// [`Subscription::set_filter`].
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// On which thread the handler runs.
    pub fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.dispatch = Some(dispatch);
        self
    }

    /// How many messages may wait before the overflow policy decides: 1 to 16,777,216. Exact; the ring itself is
    /// rounded up to a power of two, 8 bytes each, and made by the first message.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }

    /// What happens to a message that finds the mailbox full.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// What becomes of the subscription if its handler panics.
    pub fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.on_panic = on_panic;
        self
    }
}

impl fmt::Debug for SubscriptionBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionBuilder")
            .field("topic", &self.topic.name())
            .field("name", &self.name)
            .field("dispatch", &self.dispatch.unwrap_or_default())
            .field("capacity", &self.capacity)
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}
