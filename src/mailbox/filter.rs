//! Which messages a subscription wants, as data: evaluating it runs no foreign code, so it can be done anywhere.

use super::glance::Glance;
use crate::message::kind::Kind;
use crate::message::{CacheUpdate, Formatters, Message, MessageType, Origin};
use crate::sync::Arc;
use std::fmt;

/// Which messages a subscription wants: everything, or the types named, *or* types with one of the forms named.
///
/// A filter is data and never calls anything. Cheap to clone (one reference count); cost per message and subscription:
/// nothing without a filter, else a look at one bit. The types must be of the bus that the filter is used on.
///
/// Of the [updates](CacheUpdate) of caches it may take some only: of entries of certain types
/// ([`accept_update_of`](Self::accept_update_of)), with certain ids ([`id_prefix`](Self::id_prefix)), of certain nodes
/// ([`update_origin`](Self::update_origin)). An update must pass by its own type and by each of the three that was said.
/// Other messages, and [`SnapshotEnd`](crate::SnapshotEnd) among them, pass by their type alone; a subscription with a
/// snapshot always gets the end of it, whatever the filter.
///
/// ```
/// use stasis_bus::{Bus, Filter, Formatters};
/// let bus = Bus::builder().manual().build()?;
/// let (rang, topic) = (bus.message_type::<String>("rang")?, bus.topic("calls")?);
/// let wanted = Filter::all().accept(&rang).accept_formatters(Formatters::AMI);
/// assert_eq!(format!("{wanted:?}"), r#"Filter { types: ["rang"], formatters: {AMI} }"#);
/// let log = topic.subscription("log").filter(wanted).start(|_| {})?;
/// log.set_filter(&Filter::all())?;
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use = "a filter does nothing until a subscription has it"]
pub struct Filter(Option<Arc<Accept>>);

#[derive(Clone, Default, PartialEq, Eq)]
struct Accept {
    /// A bit per type number, the first 64 by themselves: most buses have no more.
    bits: u64,
    more_bits: Box<[u64]>,
    formatters: Formatters,
    /// Neither types nor formatters were named: it is about updates alone.
    any: bool,
    /// The same types, for people, and to see whose they are. In order, each once.
    types: Vec<Named>,
    updates: Option<Box<Updates>>,
}

/// What an update must be, besides passing by its own type. Nothing said: anything.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Updates {
    types: Vec<Named>,
    id_prefixes: Vec<Box<str>>,
    origins: Vec<Option<Origin>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    bus: u64,
    id: u32,
    name: Arc<str>,
}

impl Named {
    fn of(kind: &Kind) -> Self {
        Self { bus: kind.bus(), id: kind.id(), name: kind.shared_name().clone() }
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl Filter {
    /// Takes everything.
    pub const fn all() -> Self {
        Self(None)
    }

    /// Takes messages of this type, and of those named before, and no others. Together with
    /// [`accept_formatters`](Self::accept_formatters) either is enough.
    pub fn accept<T>(self, kind: &MessageType<T>) -> Self {
        self.accept_kind(kind.kind())
    }

    pub(crate) fn accept_kind(mut self, kind: &Kind) -> Self {
        self.narrowed().add(Named::of(kind));
        self
    }

    /// Takes messages whose type has one of these formatters, and those named before, and no others. An empty set takes
    /// nothing by itself.
    pub fn accept_formatters(mut self, formatters: Formatters) -> Self {
        let accept = self.narrowed();
        accept.formatters = accept.formatters | formatters;
        self
    }

    /// Takes updates of caches, of entries of this type and of those named before by this method, besides what was named
    /// otherwise, and no other messages.
    ///
    /// ```
    /// use stasis_bus::{Bus, Filter};
    /// let bus = Bus::builder().manual().build()?;
    /// let (channel, bridge) = (bus.message_type::<u8>("channel")?, bus.message_type::<u8>("bridge")?);
    /// let here = bus.origin("here")?;
    /// let ours = Filter::all().accept_update_of(&channel).id_prefix("PJSIP/").update_origin(Some(here));
    /// let all = Filter::all().accept_update_of(&channel).accept_update_of(&bridge);
    /// assert_ne!(ours, all);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn accept_update_of<T>(self, kind: &MessageType<T>) -> Self {
        self.accept_update_of_kind(kind.kind())
    }

    pub(crate) fn accept_update_of_kind(mut self, kind: &Kind) -> Self {
        let named = Named::of(kind);
        let accept = self.narrowed();
        let update = CacheUpdate::TYPE_NAME.into();
        accept.add(Named { bus: named.bus, id: CacheUpdate::TYPE_ID, name: update });
        insert(&mut accept.updates.get_or_insert_default().types, named);
        self
    }

    /// Of the updates of caches, takes those of entries whose id begins so, or as said before. Says nothing of other
    /// messages.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        insert(&mut self.updates().id_prefixes, prefix.into().into_boxed_str());
        self
    }

    /// Of the updates of caches, takes those that speak of this node (`None`: of aggregates), or of those said before. Says
    /// nothing of other messages.
    pub fn update_origin(mut self, origin: Option<Origin>) -> Self {
        insert(&mut self.updates().origins, origin);
        self
    }

    /// From now on it takes what is named.
    fn narrowed(&mut self) -> &mut Accept {
        let accept = Arc::make_mut(self.0.get_or_insert_default());
        accept.any = false;
        accept
    }

    fn updates(&mut self) -> &mut Updates {
        let accept = self.0.get_or_insert_with(|| Arc::new(Accept { any: true, ..Accept::default() }));
        Arc::make_mut(accept).updates.get_or_insert_default()
    }

    /// The same for one type alone; `None`: it takes others.
    pub(crate) fn only<T>(self, kind: &MessageType<T>) -> Option<Self> {
        if !self.names_types() {
            return Some(self.accept(kind));
        }
        let accept = self.0.as_ref()?;
        let only = accept.formatters.is_empty() && accept.types == [Named::of(kind.kind())];
        only.then_some(self)
    }

    /// Whether types or formatters were named.
    pub(crate) fn names_types(&self) -> bool {
        self.0.as_ref().is_some_and(|accept| !accept.any)
    }

    /// Whether that type was named itself, and not only a formatter that it has.
    pub(crate) fn names(&self, kind: &Kind) -> bool {
        self.0.as_ref().is_some_and(|accept| accept.has_bit(kind))
    }

    /// Whether it takes this message.
    #[inline]
    pub(crate) fn takes(&self, message: &Message) -> bool {
        self.0.as_ref().is_none_or(|accept| accept.accepts(message.kind()) && accept.takes_as_update(message))
    }

    /// What it says without being asked.
    pub(crate) fn glance(&self) -> Glance {
        match &self.0 {
            None => Glance::ALL,
            Some(accept) if accept.looks_closer() => Glance::UNKNOWN,
            Some(accept) => Glance::of_types(accept.bits),
        }
    }

    /// Whether it takes updates of that type, by themselves and for this slot of an entry.
    pub(crate) fn takes_update(&self, update: &Kind, kind: u32, id: &str, origin: Option<Origin>) -> bool {
        self.0.as_ref().is_none_or(|accept| {
            accept.accepts(update)
                && accept.updates.as_ref().is_none_or(|updates| updates.wants(kind, id, origin))
        })
    }

    /// Whether it takes this message, if it takes those of its type at all.
    pub(crate) fn takes_as_update(&self, message: &Message) -> bool {
        self.0.as_ref().is_none_or(|accept| accept.takes_as_update(message))
    }

    /// Whether it takes messages of that type, or some of them.
    #[inline]
    pub(crate) fn accepts(&self, kind: &Kind) -> bool {
        self.0.as_ref().is_none_or(|accept| accept.accepts(kind))
    }

    #[inline]
    pub(crate) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// The name of a type in it that is not of `bus`.
    pub(crate) fn foreign_to(&self, bus: u64) -> Option<&str> {
        let accept = self.0.as_ref()?;
        let inner = accept.updates.iter().flat_map(|updates| &updates.types);
        inner.chain(&accept.types).find(|named| named.bus != bus).map(|named| &*named.name)
    }
}

impl Accept {
    /// Whether more than the number of a message's type decides.
    fn looks_closer(&self) -> bool {
        self.any || self.updates.is_some() || !self.formatters.is_empty()
    }

    #[inline]
    fn accepts(&self, kind: &Kind) -> bool {
        self.has_bit(kind)
            || (!self.formatters.is_empty() && self.formatters.intersects(kind.formatters()))
            || self.any
    }

    #[inline]
    fn has_bit(&self, kind: &Kind) -> bool {
        let (word, bit) = (kind.id() as usize / 64, kind.id() % 64);
        let bits = if word == 0 { Some(&self.bits) } else { self.more_bits.get(word - 1) };
        bits.is_some_and(|bits| bits >> bit & 1 != 0)
    }

    #[inline]
    fn takes_as_update(&self, message: &Message) -> bool {
        self.updates.as_ref().is_none_or(|updates| updates.take(message))
    }

    fn add(&mut self, named: Named) {
        let (word, bit) = (named.id as usize / 64, named.id % 64);
        if word > self.more_bits.len() {
            let mut more = std::mem::take(&mut self.more_bits).into_vec();
            more.resize(word, 0);
            self.more_bits = more.into();
        }
        *if word == 0 { &mut self.bits } else { &mut self.more_bits[word - 1] } |= 1 << bit;
        insert(&mut self.types, named);
    }
}

impl Updates {
    /// What is no update is not its business.
    fn take(&self, message: &Message) -> bool {
        message.as_update().is_none_or(|update| self.wants(update.type_id(), update.id(), update.origin()))
    }

    fn wants(&self, kind: u32, id: &str, origin: Option<Origin>) -> bool {
        (self.types.is_empty() || self.types.iter().any(|named| named.id == kind))
            && (self.id_prefixes.is_empty()
                || self.id_prefixes.iter().any(|prefix| id.starts_with(&**prefix)))
            && (self.origins.is_empty() || self.origins.contains(&origin))
    }
}

/// Into a list that is in order, once.
fn insert<T: Ord>(list: &mut Vec<T>, item: T) {
    if let Err(place) = list.binary_search(&item) {
        list.reserve_exact(1);
        list.insert(place, item);
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(accept) = &self.0 else { return f.write_str("Filter(everything)") };
        let mut shown = f.debug_struct("Filter");
        if !accept.any {
            shown.field("types", &accept.types).field("formatters", &accept.formatters);
        }
        if let Some(updates) = &accept.updates {
            shown.field("updates", updates);
        }
        shown.finish()
    }
}
