//! What the user says about a cache: ids, aggregates, equality. All of it is foreign code: it is run under no lock and no
//! guard, a panic in it is caught, counted, and told to the bus's hook with the cache's name.

use super::entry::CacheEntry;
use crate::dispatch::fence::{Fence, PanicPlace, caught};
use crate::dispatch::frames;
use crate::message::kind::Kind;
use crate::message::{Message, MessageType};
use crate::sync::Arc;
use crate::topic::Topic;
use std::borrow::Cow;

type IdOf = Box<dyn for<'m> Fn(&'m Message) -> Option<&'m str> + Send + Sync>;
type IdOfAny = Box<dyn for<'m> Fn(&'m Message) -> Option<Cow<'m, str>> + Send + Sync>;
type Aggregate = Box<dyn Fn(&CacheEntry<'_>) -> Option<Message> + Send + Sync>;
type Announce = Box<dyn Fn(&Topic, &Message) + Send + Sync>;
type Equal = Box<dyn Fn(&Message, &Message) -> bool + Send + Sync>;

/// The functions themselves.
#[derive(Default)]
pub(super) struct Functions {
    ids: PerType<IdOf>,
    id: Option<IdOfAny>,
    pub(super) aggregate: Option<Aggregate>,
    pub(super) announce: Option<Announce>,
    equal: PerType<Equal>,
    equal_aggregates: PerType<Equal>,
    aggregate_eq: Option<Equal>,
}

/// By the type's number.
struct PerType<F>(Vec<Option<F>>);

impl<F> Default for PerType<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F> PerType<F> {
    fn set(&mut self, kind: &Kind, function: F) {
        let at = kind.id() as usize;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at] = Some(function);
    }

    fn get(&self, kind: &Kind) -> Option<&F> {
        self.0.get(kind.id() as usize)?.as_ref()
    }
}

impl Functions {
    pub(super) fn id_of<T: Send + Sync + 'static>(
        &mut self,
        kind: &MessageType<T>,
        id: impl for<'v> Fn(&'v T) -> &'v str + Send + Sync + 'static,
    ) {
        let own = kind.clone();
        self.ids.set(kind.kind(), id_fn(move |message| own.read(message).map(&id)));
    }

    pub(super) fn id(
        &mut self,
        id: impl for<'m> Fn(&'m Message) -> Option<Cow<'m, str>> + Send + Sync + 'static,
    ) {
        self.id = Some(Box::new(id));
    }

    pub(super) fn suppress_equal<T: PartialEq + Send + Sync + 'static>(&mut self, kind: &MessageType<T>) {
        self.equal.set(kind.kind(), equal_fn(kind));
    }

    pub(super) fn suppress_equal_aggregates<T: PartialEq + Send + Sync + 'static>(
        &mut self,
        kind: &MessageType<T>,
    ) {
        self.equal_aggregates.set(kind.kind(), equal_fn(kind));
    }

    pub(super) fn aggregate_eq(
        &mut self,
        equal: impl Fn(&Message, &Message) -> bool + Send + Sync + 'static,
    ) {
        self.aggregate_eq = Some(Box::new(equal));
    }

    pub(super) fn has_id(&self) -> bool {
        self.id.is_some() || !self.ids.0.is_empty()
    }
}

/// Only says what the closure's lifetimes are.
fn id_fn(id: impl for<'m> Fn(&'m Message) -> Option<&'m str> + Send + Sync + 'static) -> IdOf {
    Box::new(id)
}

fn equal_fn<T: PartialEq + Send + Sync + 'static>(kind: &MessageType<T>) -> Equal {
    let kind = kind.clone();
    Box::new(move |a, b| matches!((kind.read(a), kind.read(b)), (Some(a), Some(b)) if a == b))
}

/// The functions with what surrounds their calls.
pub(super) struct Rules {
    functions: Option<Functions>,
    pub(super) name: Arc<str>,
    number: u64,
    bus: u64,
    fence: Arc<Fence>,
}

impl Rules {
    pub(super) fn new(
        functions: Functions,
        name: Arc<str>,
        number: u64,
        bus: u64,
        fence: Arc<Fence>,
    ) -> Self {
        Self { functions: Some(functions), name, number, bus, fence }
    }

    fn functions(&self) -> &Functions {
        self.functions.as_ref().expect("taken by the drop alone")
    }

    /// Runs foreign code; `None`: it panicked.
    pub(super) fn run<R>(&self, place: PanicPlace, code: impl FnOnce() -> R) -> Option<R> {
        frames::enter(self.bus, self.number, || self.fence.run(&self.name, place, code))
    }

    /// Whether messages of this type may have an id.
    pub(super) fn has_id_for(&self, kind: &Kind) -> bool {
        let functions = self.functions();
        functions.ids.get(kind).is_some() || functions.id.is_some()
    }

    /// The id of `message`; `None`: it is not for this cache. The caller is marked as foreign code already.
    pub(super) fn id<'m>(&self, message: &'m Message) -> Option<Cow<'m, str>> {
        let functions = self.functions();
        let id = match functions.ids.get(message.kind()) {
            Some(id_of) => {
                self.fence.run(&self.name, PanicPlace::CacheId, || id_of(message).map(Cow::Borrowed))?
            }
            None => {
                let id = functions.id.as_ref()?;
                self.fence.run(&self.name, PanicPlace::CacheId, || id(message))?
            }
        };
        id.filter(|id| !id.is_empty())
    }

    /// Whether repeated states of this type are left out.
    pub(super) fn suppresses(&self, kind: &Kind) -> bool {
        self.functions().equal.get(kind).is_some()
    }

    pub(super) fn are_equal(&self, a: &Message, b: &Message) -> bool {
        let Some(equal) = self.functions().equal.get(a.kind()) else { return false };
        self.run(PanicPlace::CacheEquality, || equal(a, b)).unwrap_or(false)
    }

    pub(super) fn has_aggregate(&self) -> bool {
        self.functions().aggregate.is_some()
    }

    /// What the entry comes to. `None`: the function panicked.
    pub(super) fn aggregate(&self, entry: &CacheEntry<'_>) -> Option<Option<Message>> {
        let aggregate = self.functions().aggregate.as_ref()?;
        self.run(PanicPlace::Aggregate, || {
            let made = aggregate(entry);
            if let Some(made) = &made {
                assert!(
                    made.origin().is_none(),
                    "an aggregate has no origin: build(..).aggregate() makes one"
                );
                let is_alike = std::ptr::eq(made.kind(), entry.kind);
                assert!(is_alike, "an aggregate of {} is a {}", entry.type_name(), made.type_name());
            }
            made
        })
    }

    pub(super) fn are_equal_aggregates(&self, a: &Message, b: &Message) -> bool {
        let functions = self.functions();
        let own = functions.equal_aggregates.get(a.kind());
        let Some(equal) = own.or(functions.aggregate_eq.as_ref()) else { return false };
        self.run(PanicPlace::CacheEquality, || equal(a, b)).unwrap_or(false)
    }

    pub(super) fn announces(&self) -> bool {
        self.functions().announce.is_some()
    }

    pub(super) fn announce(&self, topic: &Topic, aggregate: &Message) {
        if let Some(announce) = &self.functions().announce {
            self.run(PanicPlace::Announce, || announce(topic, aggregate));
        }
    }
}

impl Drop for Rules {
    /// What the functions captured may panic in its drop.
    fn drop(&mut self) {
        let functions = self.functions.take();
        let _ = caught(|| drop(functions));
    }
}
