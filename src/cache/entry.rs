//! One entry: the latest message of each origin, and what they come to together. Immutable, replaced whole.

use super::limits::Stamp;
use super::watch::WatchCell;
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

/// The caching topics by which a slot was written last, as the numbers of their topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// None: the cache itself did it.
    Cache,
    One(u64),
    /// Several were reached by one publish.
    Several(Arc<[u64]>),
}

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
pub(crate) struct Entry {
    pub(crate) id: Arc<str>,
    pub(crate) local: Option<Slot>,
    /// By origin.
    pub(crate) remotes: Box<[Slot]>,
    pub(crate) aggregate: Option<Slot>,
    /// The number of the lease that owns what this node says; 0: nobody does.
    pub(crate) lease: u64,
    /// Where those who watch what this node says look.
    pub(crate) watch: Option<Arc<WatchCell>>,
    /// The shard's number of the last change of a slot.
    pub(crate) version: u64,
    /// The version that the aggregate was computed from. Written under the shard's lock, by which it is ordered.
    computed: AtomicU64,
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            local: self.local.clone(),
            remotes: self.remotes.clone(),
            aggregate: self.aggregate.clone(),
            lease: self.lease,
            watch: self.watch.clone(),
            version: self.version,
            computed: AtomicU64::new(self.computed()),
        }
    }
}

impl Entry {
    /// Nothing in it. What is computed from states older than `version` is not for it: it would be of an earlier life of
    /// the same id.
    pub(crate) fn empty(id: Arc<str>, version: u64) -> Self {
        let computed = AtomicU64::new(version);
        Self {
            id,
            local: None,
            remotes: Box::default(),
            aggregate: None,
            lease: 0,
            watch: None,
            version,
            computed,
        }
    }

    pub(crate) fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_computed(&self, version: u64) {
        self.computed.store(version, Ordering::Relaxed);
    }

    /// The slot of `origin`; `is_local`: of this node.
    pub(crate) fn slot(&self, origin: Origin, is_local: bool) -> Option<&Slot> {
        if is_local {
            return self.local.as_ref();
        }
        self.place_of(origin).ok().map(|at| &self.remotes[at])
    }

    fn place_of(&self, origin: Origin) -> Result<usize, usize> {
        self.remotes.binary_search_by_key(&Some(origin), |slot| slot.message.origin())
    }

    /// Puts `slot` in the place of `origin`'s.
    pub(crate) fn set_slot(&mut self, origin: Origin, is_local: bool, slot: Option<Slot>) {
        if is_local {
            self.local = slot;
            return;
        }
        match (self.place_of(origin), slot) {
            (Ok(at), Some(slot)) => self.remotes[at] = slot,
            (Ok(at), None) => self.edit_remotes(|remotes| drop(remotes.remove(at))),
            (Err(at), Some(slot)) => self.edit_remotes(|remotes| remotes.insert(at, slot)),
            (Err(_), None) => {}
        }
    }

    fn edit_remotes(&mut self, edit: impl FnOnce(&mut Vec<Slot>)) {
        let mut remotes = std::mem::take(&mut self.remotes).into_vec();
        edit(&mut remotes);
        self.remotes = remotes.into_boxed_slice();
    }

    /// Whether no origin has anything here.
    pub(crate) fn has_no_slot(&self) -> bool {
        self.local.is_none() && self.remotes.is_empty()
    }

    /// What every origin has here, this node first.
    pub(super) fn state_slots(&self) -> impl Iterator<Item = &Slot> {
        self.local.iter().chain(&self.remotes)
    }

    /// When any of its slots was written last.
    pub(super) fn written(&self) -> u64 {
        self.state_slots().map(|slot| slot.written.get()).max().unwrap_or(0)
    }

    /// Everything in it, the aggregate last.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.local.iter().chain(&self.remotes).chain(&self.aggregate)
    }

    /// Whether reads find nothing in it.
    pub(crate) fn is_void(&self) -> bool {
        self.has_no_slot() && self.aggregate.is_none()
    }

    /// Whether somebody holds its place.
    pub(crate) fn is_held(&self) -> bool {
        self.lease != 0 || self.watch.is_some()
    }

    pub(crate) fn local(&self) -> Option<&Message> {
        self.local.as_ref().map(|slot| &slot.message)
    }

    pub(crate) fn remotes(&self) -> impl Iterator<Item = &Message> {
        self.remotes.iter().map(|slot| &slot.message)
    }

    pub(crate) fn aggregate(&self) -> Option<&Message> {
        self.aggregate.as_ref().map(|slot| &slot.message)
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
    pub(super) entry: &'a Entry,
}

impl<'a> CacheEntry<'a> {
    /// Its id.
    pub fn id(&self) -> &'a str {
        &self.entry.id
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
        self.entry.remotes.iter().map(|slot| &slot.message)
    }

    /// What that other node says.
    pub fn remote(&self, origin: Origin) -> Option<&'a Message> {
        self.entry.slot(origin, false).map(|slot| &slot.message)
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
            .field("remotes", &self.entry.remotes.len())
            .field("aggregate", &self.aggregate())
            .finish()
    }
}
