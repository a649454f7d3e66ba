//! Which messages a subscription wants, as data: evaluating it runs no foreign code, so it can be done anywhere.

use crate::message::kind::Kind;
use crate::message::{Formatters, MessageType};
use crate::sync::Arc;
use std::fmt;

/// Which messages a subscription wants: everything, or the types named, *or* types with one of the forms named.
///
/// A filter is data and never calls anything. Cheap to clone (one reference count); cost per message and subscription:
/// nothing without a filter, else a look at one bit. The types must be of the bus that the filter is used on.
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
    /// A bit per type number.
    bits: Vec<u64>,
    formatters: Formatters,
    /// The same types, for people, and to see whose they are. In order, each once.
    types: Vec<Named>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    bus: u64,
    id: u32,
    name: Box<str>,
}

impl Filter {
    /// Takes everything.
    pub const fn all() -> Self {
        Self(None)
    }

    /// Takes messages of this type, and of those named before, and no others. Together with
    /// [`accept_formatters`](Self::accept_formatters) either is enough.
    pub fn accept<T>(mut self, kind: &MessageType<T>) -> Self {
        let kind = kind.kind();
        let named = Named { bus: kind.bus(), id: kind.id(), name: kind.name().into() };
        Arc::make_mut(self.0.get_or_insert_default()).add(named);
        self
    }

    /// Takes messages whose type has one of these formatters, and those named before, and no others. An empty set takes
    /// nothing by itself.
    pub fn accept_formatters(mut self, formatters: Formatters) -> Self {
        let accept = Arc::make_mut(self.0.get_or_insert_default());
        accept.formatters = accept.formatters | formatters;
        self
    }

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
        accept.types.iter().find(|named| named.bus != bus).map(|named| &*named.name)
    }
}

impl Accept {
    #[inline]
    fn accepts(&self, kind: &Kind) -> bool {
        let (word, bit) = (kind.id() as usize / 64, kind.id() % 64);
        let by_type = self.bits.get(word).is_some_and(|bits| bits >> bit & 1 != 0);
        by_type || (!self.formatters.is_empty() && self.formatters.intersects(kind.formatters()))
    }

    fn add(&mut self, named: Named) {
        let (word, bit) = (named.id as usize / 64, named.id % 64);
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << bit;
        if let Err(place) = self.types.binary_search(&named) {
            self.types.insert(place, named);
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(accept) = &self.0 else { return f.write_str("Filter(everything)") };
        let names: Vec<_> = accept.types.iter().map(|named| &named.name).collect();
        f.debug_struct("Filter").field("types", &names).field("formatters", &accept.formatters).finish()
    }
}
