//! Reads that give references of their own away.

use super::entry::{Entry, SlotRef};
use super::hashing::Hashing;
use super::select::Select;
use super::{Cache, CacheCore, CachePin};
use crate::map::{Lead, Pinned};
use crate::message::entry_key::{EntryKey, KeyRef};
use crate::message::kind::Kind;
use crate::message::{Message, MessageType, Origin};
use crate::sync::Arc;
use crate::topic::TopicCore;
use std::cell::RefCell;

impl CacheCore {
    /// What to look for; `None`: the type is of another bus.
    #[inline(always)]
    pub(super) fn key_of<'a>(&self, kind: &Kind, id: &'a str) -> Option<KeyRef<'a>> {
        self.knows(kind).then(|| KeyRef::new(kind.id(), id))
    }

    #[inline]
    fn read<R>(&self, kind: &Kind, id: &str, read: impl FnOnce(&Entry) -> Option<R>) -> Option<R> {
        let key = self.key_of(kind, id)?;
        self.note_read(self.map.get_with(&key, read).flatten())
    }

    /// What `origin` says, none: the aggregate.
    pub(super) fn of_origin<'e>(&self, entry: &'e Entry, origin: Option<Origin>) -> Option<&'e Message> {
        match origin {
            Some(origin) => entry.slot(origin, self.is_local(origin)).map(SlotRef::message),
            None => entry.aggregate(),
        }
    }

    /// Whether entries of type number `kind` are asked for.
    pub(super) fn selects(&self, wanted: Option<(u64, u32)>, kind: u32) -> bool {
        wanted.is_none_or(|(bus, of)| of == kind && bus == self.exchange.id)
    }

    /// The original topic of the caching topic whose topic has that number.
    pub(super) fn original_of(&self, output: u64) -> Option<Arc<TopicCore>> {
        self.outputs.lock().get(&output).and_then(|output| output.original.upgrade())
    }
}

/// The entry of that key, found in the caller's own code if it is a short one: handed over by reference, a key of several words
/// is written and read again, and a search waits for that.
#[inline(always)]
pub(super) fn seek<'p>(
    map: &'p Pinned<'_, EntryKey, Entry, Hashing>,
    key: KeyRef<'_>,
    ask: impl Fn(Lead),
) -> Option<&'p Entry> {
    match key {
        key @ KeyRef::Short { .. } => map.get_asking(&key, ask),
        long @ KeyRef::Long { .. } => seek_long(map, &long, ask),
    }
}

#[inline(never)]
fn seek_long<'p>(
    map: &'p Pinned<'_, EntryKey, Entry, Hashing>,
    key: &KeyRef<'_>,
    ask: impl Fn(Lead),
) -> Option<&'p Entry> {
    map.get_asking(key, ask)
}

impl Cache {
    /// What this node says of that object. `None`: nothing, or `kind` is of another bus.
    ///
    /// Sees every publish on a cached topic that has returned, or a later one. Takes no lock; costs a look in the map and
    /// one reference count.
    pub fn get<T>(&self, kind: &MessageType<T>, id: &str) -> Option<Message> {
        let key = self.0.key_of(kind.kind(), id)?;
        let pinned = self.0.map.pin();
        let entry = seek(&pinned, key, |lead| Message::ask_to_count::<T>(lead.0));
        self.0.note_read(entry.and_then(Entry::local).cloned())
    }

    /// What that node says of that object; `None`: what all of them come to. Otherwise as [`get`](Self::get).
    pub fn get_by_origin<T>(
        &self,
        kind: &MessageType<T>,
        id: &str,
        origin: impl Into<Option<Origin>>,
    ) -> Option<Message> {
        let origin = origin.into();
        self.0.read(kind.kind(), id, |entry| self.0.of_origin(entry, origin).cloned())
    }

    /// What all nodes come to, as the cache's function says. Takes every publish on a cached topic into account that has
    /// returned. Otherwise as [`get`](Self::get).
    pub fn get_aggregate<T>(&self, kind: &MessageType<T>, id: &str) -> Option<Message> {
        self.get_by_origin(kind, id, None)
    }

    /// What every node says of that object, at one moment: this node first, then the others; the aggregate is not among
    /// them.
    pub fn get_all<T>(&self, kind: &MessageType<T>, id: &str) -> Vec<Message> {
        let all = self.0.read(kind.kind(), id, |entry| Some(entry.states().cloned().collect()));
        all.unwrap_or_default()
    }

    /// What this node says of each object of those types: `&kind` for one type, [`AnyType`](super::AnyType) for all.
    ///
    /// In no order, and not at one moment: each entry that stands all the while is there once, as it was at some time
    /// during the call. Writers go on. Cost: a look at every entry of the cache, whatever its type.
    pub fn dump(&self, types: impl Select) -> Vec<Message> {
        self.collect(types, |entry, all| all.extend(entry.local().cloned()))
    }

    /// What that node says of each object; `None`: what all of them come to. Otherwise as [`dump`](Self::dump).
    pub fn dump_by_origin(&self, types: impl Select, origin: impl Into<Option<Origin>>) -> Vec<Message> {
        let origin = origin.into();
        self.collect(types, |entry, all| all.extend(self.0.of_origin(entry, origin).cloned()))
    }

    /// What every node says of each object, without aggregates. Otherwise as [`dump`](Self::dump).
    pub fn dump_all(&self, types: impl Select) -> Vec<Message> {
        self.collect(types, |entry, all| all.extend(entry.states().cloned()))
    }

    pub(super) fn collect(
        &self,
        types: impl Select,
        take: impl Fn(&Entry, &mut Vec<Message>),
    ) -> Vec<Message> {
        let (wanted, mut all) = (types.wanted(), Vec::new());
        self.0.map.for_each(|key, entry| {
            if self.0.selects(wanted, key.kind()) {
                take(entry, &mut all);
            }
        });
        all
    }

    /// Calls `visit` with what this node says of each object, some hundred at a time: the references are taken under a
    /// guard, the calls are made under none. So `visit` may do anything, also on this cache, and may take its time.
    ///
    /// Otherwise as [`dump`](Self::dump), without its copy of all.
    pub fn for_each(&self, types: impl Select, mut visit: impl FnMut(&Message)) {
        let (wanted, some) = (types.wanted(), RefCell::new(Vec::new()));
        let take = |key: &EntryKey, entry: &Entry| {
            if let Some(local) = entry.local().filter(|_| self.0.selects(wanted, key.kind())) {
                some.borrow_mut().push(local.clone());
            }
        };
        self.0.map.for_some(take, || {
            let some = std::mem::take(&mut *some.borrow_mut());
            some.iter().for_each(&mut visit);
        });
    }

    /// Holds the cache for many reads, which give references without counting.
    ///
    /// As long as it is held, memory of what is replaced or removed anywhere in the caches of this bus is not given back:
    /// hold it for a moment, not across waits. Reads under it see what is there when they are made, as without it.
    ///
    /// ```
    /// # use stasis_bus::{AnyType, Bus, Cache};
    /// # let bus = Bus::builder().manual().build()?;
    /// # let state = bus.message_type::<(String, u32)>("state")?;
    /// # let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).build()?;
    /// # let topic = bus.topic("states")?;
    /// # let _cached = topic.caching(&cache)?;
    /// topic.publish(state.message(("alice".to_owned(), 1)));
    /// topic.publish(state.message(("bob".to_owned(), 2)));
    /// let pin = cache.pin();
    /// let sum: u32 = pin.iter(&state).filter_map(|message| state.read(message)).map(|(_, n)| n).sum();
    /// assert_eq!(sum, 3);
    /// assert!(pin.get(&state, "carol").is_none());
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn pin(&self) -> CachePin<'_> {
        CachePin::of(&self.0)
    }
}
