//! One entry: the latest message of each origin, and what they come to together. Immutable, replaced whole.
//!
//! What most entries have is what this node says, written by one caching topic: with the key that is one cache line. All
//! the rest is behind one pointer.

use super::limits::Stamp;
use super::watch::WatchCell;
use crate::message::entry_key::EntryKey;
use crate::message::kind::Kind;
use crate::message::{Message, Origin};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::topic::TopicCore;
use std::fmt;

/// A message in its place, and where the update that told of it went.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) message: Message,
    pub(crate) via: Via,
    pub(super) written: Stamp,
}

/// A slot as it stands in an entry.
#[derive(Clone, Copy)]
pub(crate) enum SlotRef<'e> {
    Local(&'e Entry, &'e Message),
    Other(&'e Slot),
}

/// The caching topics by which a slot was written last, as the numbers of their topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// None: the cache itself did it.
    Cache,
    One(u64),
    /// Several were reached by one publish.
    Several(Arc<[u64]>),
}

/// In the place of one topic's number: there is none. No topic has it.
const NO_TOPIC: u64 = 0;

impl Via {
    pub(crate) fn of(outputs: &[&Arc<TopicCore>]) -> Self {
        match outputs {
            [] => Self::Cache,
            [one] => Self::One(one.id),
            several => Self::Several(several.iter().map(|output| output.id).collect()),
        }
    }

    pub(crate) fn topics(&self) -> &[u64] {
        match self {
            Self::Cache => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// What the map has for a (type, id).
#[derive(Clone)]
pub(crate) struct Entry {
    local: Option<Message>,
    /// The caching topic by which that was written, if it was one.
    via: u64,
    /// The shard's number of the last change of a slot.
    pub(crate) version: u64,
    more: Option<Box<More>>,
}

/// With its key it is one cache line.
const _: () = assert!(cfg!(bus_loom) || size_of::<Entry>() == 32);

/// What few entries have.
#[derive(Default)]
struct More {
    /// Those by which the local message was written, if it was several.
    via: Option<Arc<[u64]>>,
    /// When that was, if times are noted.
    written: Stamp,
    /// By origin.
    remotes: Box<[Slot]>,
    aggregate: Option<Slot>,
    /// The number of the lease that owns what this node says; 0: nobody does.
    lease: u64,
    /// Where those who watch what this node says look.
    watch: Option<Arc<WatchCell>>,
    /// The version that the aggregate was computed from. Written under the shard's lock, by which it is ordered.
    computed: AtomicU64,
}

impl Clone for More {
    fn clone(&self) -> Self {
        Self {
            via: self.via.clone(),
            written: self.written.clone(),
            remotes: self.remotes.clone(),
            aggregate: self.aggregate.clone(),
            lease: self.lease,
            watch: self.watch.clone(),
            computed: AtomicU64::new(self.computed.load(Ordering::Relaxed)),
        }
    }
}

impl More {
    /// Whether it says nothing but what was computed.
    fn is_blank(&self) -> bool {
        self.via.is_none()
            && self.written.get() == 0
            && self.remotes.is_empty()
            && self.aggregate.is_none()
            && self.lease == 0
            && self.watch.is_none()
    }
}

impl<'e> SlotRef<'e> {
    pub(crate) fn message(self) -> &'e Message {
        match self {
            Self::Local(_, message) => message,
            Self::Other(slot) => &slot.message,
        }
    }

    pub(crate) fn via(self) -> Via {
        match self {
            Self::Local(entry, _) => entry.local_via(),
            Self::Other(slot) => slot.via.clone(),
        }
    }

    fn stamp(self) -> Option<&'e Stamp> {
        match self {
            Self::Local(entry, _) => entry.more.as_ref().map(|more| &more.written),
            Self::Other(slot) => Some(&slot.written),
        }
    }

    /// When it was written; 0 if that is not noted.
    pub(super) fn written(self) -> u64 {
        self.stamp().map_or(0, Stamp::get)
    }

    pub(super) fn set_written(self, time: u64) {
        self.stamp().inspect(|stamp| stamp.set(time));
    }

    pub(crate) fn to_slot(self) -> Slot {
        Slot { message: self.message().clone(), via: self.via(), written: Stamp::new(self.written()) }
    }
}

impl Entry {
    /// Nothing in it. What is computed from states older than `version` is not for it: it would be of an earlier life of
    /// the same id. Without aggregates (`is_computed`) nothing is.
    pub(crate) fn empty(version: u64, is_computed: bool) -> Self {
        let computed = AtomicU64::new(version);
        let more = is_computed.then(|| Box::new(More { computed, ..More::default() }));
        Self { local: None, via: NO_TOPIC, version, more }
    }

    fn more_mut(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Lets go of room that nothing is in.
    pub(crate) fn trim(&mut self, is_computed: bool) {
        if !is_computed && self.more.as_ref().is_some_and(|more| more.is_blank()) {
            self.more = None;
        }
    }

    pub(crate) fn computed(&self) -> u64 {
        self.more.as_ref().map_or(0, |more| more.computed.load(Ordering::Relaxed))
    }

    pub(crate) fn set_computed(&self, version: u64) {
        if let Some(more) = &self.more {
            more.computed.store(version, Ordering::Relaxed);
        }
    }

    pub(crate) fn lease(&self) -> u64 {
        self.more.as_ref().map_or(0, |more| more.lease)
    }

    pub(crate) fn set_lease(&mut self, lease: u64) {
        if self.lease() != lease {
            self.more_mut().lease = lease;
        }
    }

    pub(crate) fn watch(&self) -> Option<&Arc<WatchCell>> {
        self.more.as_ref()?.watch.as_ref()
    }

    pub(crate) fn set_watch(&mut self, watch: Option<Arc<WatchCell>>) {
        self.more_mut().watch = watch;
    }

    fn local_via(&self) -> Via {
        match (self.via, self.more.as_ref().and_then(|more| more.via.as_ref())) {
            (_, Some(several)) => Via::Several(several.clone()),
            (NO_TOPIC, None) => Via::Cache,
            (one, None) => Via::One(one),
        }
    }

    fn local_slot(&self) -> Option<SlotRef<'_>> {
        self.local.as_ref().map(|message| SlotRef::Local(self, message))
    }

    fn remote_slots(&self) -> &[Slot] {
        self.more.as_ref().map_or(&[], |more| &more.remotes)
    }

    /// The slot of `origin`; `is_local`: of this node.
    #[inline]
    pub(crate) fn slot(&self, origin: Origin, is_local: bool) -> Option<SlotRef<'_>> {
        match is_local {
            true => self.local_slot(),
            false => self.remote(origin).map(SlotRef::Other),
        }
    }

    fn remote(&self, origin: Origin) -> Option<&Slot> {
        self.place_of(origin).ok().map(|at| &self.remote_slots()[at])
    }

    fn place_of(&self, origin: Origin) -> Result<usize, usize> {
        self.remote_slots().binary_search_by_key(&Some(origin), |slot| slot.message.origin())
    }

    /// Puts `slot` in the place of `origin`'s.
    pub(crate) fn set_slot(&mut self, origin: Origin, is_local: bool, slot: Option<Slot>) {
        if is_local {
            return self.set_local(slot);
        }
        match (self.place_of(origin), slot) {
            (Ok(at), Some(slot)) => self.more_mut().remotes[at] = slot,
            (Ok(at), None) => self.edit_remotes(|remotes| drop(remotes.remove(at))),
            (Err(at), Some(slot)) => self.edit_remotes(|remotes| remotes.insert(at, slot)),
            (Err(_), None) => {}
        }
    }

    /// A copy that is to get another slot; without this node's, if that is the one.
    pub(crate) fn without_slot(&self, is_local: bool) -> Self {
        match is_local {
            true => Self { local: None, via: NO_TOPIC, version: self.version, more: self.more.clone() },
            false => self.clone(),
        }
    }

    fn set_local(&mut self, slot: Option<Slot>) {
        let (message, via, written) = match slot {
            Some(Slot { message, via, written }) => (Some(message), via, written),
            None => (None, Via::Cache, Stamp::default()),
        };
        self.local = message;
        let (one, several) = match via {
            Via::Cache => (NO_TOPIC, None),
            Via::One(one) => (one, None),
            Via::Several(several) => (NO_TOPIC, Some(several)),
        };
        self.via = one;
        if self.more.is_some() || several.is_some() || written.get() > 0 {
            let more = self.more_mut();
            (more.via, more.written) = (several, written);
        }
    }

    fn edit_remotes(&mut self, edit: impl FnOnce(&mut Vec<Slot>)) {
        let more = self.more_mut();
        let mut remotes = std::mem::take(&mut more.remotes).into_vec();
        edit(&mut remotes);
        more.remotes = remotes.into_boxed_slice();
    }

    pub(crate) fn set_aggregate(&mut self, aggregate: Option<Slot>) {
        self.more_mut().aggregate = aggregate;
    }

    /// Whether no origin has anything here.
    pub(crate) fn has_no_slot(&self) -> bool {
        self.local.is_none() && self.remote_slots().is_empty()
    }

    /// What every origin has here, this node first.
    pub(super) fn state_slots(&self) -> impl Iterator<Item = SlotRef<'_>> {
        self.local_slot().into_iter().chain(self.remote_slots().iter().map(SlotRef::Other))
    }

    /// When any of its slots was written last.
    pub(super) fn written(&self) -> u64 {
        self.state_slots().map(SlotRef::written).max().unwrap_or(0)
    }

    /// Everything in it, the aggregate last.
    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotRef<'_>> {
        let aggregate = self.more.as_ref().and_then(|more| more.aggregate.as_ref());
        self.state_slots().chain(aggregate.map(SlotRef::Other))
    }

    /// Whether reads find nothing in it.
    pub(crate) fn is_void(&self) -> bool {
        self.has_no_slot() && self.aggregate().is_none()
    }

    /// Whether somebody holds its place.
    pub(crate) fn is_held(&self) -> bool {
        self.lease() != 0 || self.watch().is_some()
    }

    #[inline]
    pub(crate) fn local(&self) -> Option<&Message> {
        self.local.as_ref()
    }

    pub(crate) fn remotes(&self) -> impl Iterator<Item = &Message> + use<'_> {
        self.remote_slots().iter().map(|slot| &slot.message)
    }

    pub(crate) fn aggregate(&self) -> Option<&Message> {
        self.more.as_ref()?.aggregate.as_ref().map(|slot| &slot.message)
    }

    /// What every origin has here, this node first.
    pub(crate) fn states(&self) -> impl Iterator<Item = &Message> {
        self.local().into_iter().chain(self.remotes())
    }
}

/// An entry as an aggregate function sees it: what each origin says of one object, and what that came to before.
///
/// ```
/// use stasis_bus::{Bus, Cache};
/// let bus = Bus::builder().manual().build()?;
/// let state = bus.message_type::<(String, u32)>("state")?;
/// let (read, made) = (state.clone(), state.clone());
/// let cache = Cache::builder(&bus)
///     .id_of(&state, |(id, _)| id)
///     .aggregate(move |entry| {
///         let all = entry.local().into_iter().chain(entry.remotes());
///         let most = all.filter_map(|message| read.read(message)).map(|(_, load)| *load).max()?;
///         Some(made.build((entry.id().to_owned(), most)).aggregate().finish())
///     })
///     .build()?;
/// let topic = bus.topic("states")?;
/// let _cached = topic.caching(&cache)?;
/// topic.publish(state.message(("alice".to_owned(), 3)));
/// topic.publish(state.build(("alice".to_owned(), 8)).origin(bus.origin("node-2")?).finish());
/// let most = cache.get_aggregate(&state, "alice");
/// assert_eq!(most.as_ref().and_then(|message| state.read(message)).map(|(_, load)| *load), Some(8));
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct CacheEntry<'a> {
    pub(super) kind: &'a Kind,
    pub(super) key: &'a EntryKey,
    pub(super) entry: &'a Entry,
}

impl<'a> CacheEntry<'a> {
    /// Its id.
    pub fn id(&self) -> &'a str {
        self.key.id()
    }

    /// The name of its message type.
    pub fn type_name(&self) -> &'a str {
        self.kind.name()
    }

    /// What this node says.
    pub fn local(&self) -> Option<&'a Message> {
        self.entry.local()
    }

    /// What the other nodes say, by origin.
    pub fn remotes(&self) -> impl Iterator<Item = &'a Message> + use<'a> {
        self.entry.remotes()
    }

    /// What that other node says.
    pub fn remote(&self, origin: Origin) -> Option<&'a Message> {
        self.entry.remote(origin).map(|slot| &slot.message)
    }

    /// What it came to before. To give this very message back says that it stays.
    pub fn aggregate(&self) -> Option<&'a Message> {
        self.entry.aggregate()
    }
}

impl fmt::Debug for CacheEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheEntry")
            .field("type", &self.type_name())
            .field("id", &self.id())
            .field("local", &self.local())
            .field("remotes", &self.entry.remote_slots().len())
            .field("aggregate", &self.aggregate())
            .finish()
    }
}
