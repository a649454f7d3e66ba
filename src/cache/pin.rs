//! Many reads under one guard, by reference.

use super::CacheCore;
use super::entry::Entry;
use super::hashing::Hashing;
use super::read::seek;
use super::reads::Seen;
use super::select::Select;
use crate::map::Pinned;
use crate::message::entry_key::EntryKey;
use crate::message::{Message, MessageType, Origin};
use std::fmt;

/// A cache held for many reads. Got by [`Cache::pin`](super::Cache::pin).
///
/// Its iterators allocate nothing, and are weakly consistent: each entry that stands all the while is shown once, as it is
/// when it is come to. Writers are not held up, but no memory of what they replace is given back while it is held.
#[must_use = "it only keeps memory from being given back"]
pub struct CachePin<'a> {
    pub(super) core: &'a CacheCore,
    pub(super) map: Pinned<'a, EntryKey, Entry, Hashing>,
    pub(super) seen: Seen,
    // Dropped after the guard above it.
    _after: AfterPin<'a>,
}

/// The end of a pin that the end of the bus did not wait for: nobody else comes for what it has held up.
struct AfterPin<'a>(&'a CacheCore);

impl Drop for AfterPin<'_> {
    fn drop(&mut self) {
        if self.0.exchange.is_over() {
            self.0.exchange.tidy();
        }
    }
}

impl<'a> CachePin<'a> {
    pub(super) fn of(core: &'a CacheCore) -> Self {
        Self { core, map: core.map.pin(), seen: Seen::default(), _after: AfterPin(core) }
    }
}

impl Drop for CachePin<'_> {
    fn drop(&mut self) {
        self.tell_reads();
    }
}

impl CachePin<'_> {
    #[inline]
    fn entry<T>(&self, kind: &MessageType<T>, id: &str) -> Option<&Entry> {
        let key = self.core.key_of(kind.kind(), id)?;
        self.map.get(&key)
    }

    /// What this node says of that object. As [`Cache::get`](super::Cache::get).
    #[inline(always)]
    pub fn get<T>(&self, kind: &MessageType<T>, id: &str) -> Option<&Message> {
        let key = self.core.key_of(kind.kind(), id)?;
        let entry = seek(&self.map, key, |lead| Message::ask_for::<T>(lead.0));
        self.note_read(entry.and_then(Entry::local))
    }

    /// The value of what this node says of that object: [`get`](Self::get) and [`MessageType::read`] in one, which need not
    /// look at what the message says of itself. The fastest read there is: a line of the map, one of the entry, and those
    /// of the value that are looked at.
    ///
    /// ```
    /// # use stasis_bus::{Bus, Cache};
    /// # let bus = Bus::builder().manual().build()?;
    /// # let state = bus.message_type::<(String, u32)>("state")?;
    /// # let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).build()?;
    /// # let topic = bus.topic("states")?;
    /// # let _cached = topic.caching(&cache)?;
    /// topic.publish(state.message(("alice".to_owned(), 1)));
    /// let pin = cache.pin();
    /// assert_eq!(pin.read(&state, "alice").map(|(_, n)| *n), Some(1));
    /// assert_eq!(pin.read(&state, "bob"), None);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    #[inline(always)]
    pub fn read<T: Send + Sync + 'static>(&self, kind: &MessageType<T>, id: &str) -> Option<&T> {
        let key = self.core.key_of(kind.kind(), id)?;
        let entry = seek(&self.map, key, |lead| Message::ask_for_value::<T>(lead.0));
        // SAFETY: who writes keeps a message under the number of its own type, which is of this bus, and none that was
        // declined (`CacheCore::may_keep`); a type of another bus has no key.
        self.note_read(entry.and_then(Entry::local)).map(|message| unsafe { kind.read_own(message) })
    }

    /// What that node says of that object; `None`: what all of them come to.
    pub fn get_by_origin<T>(
        &self,
        kind: &MessageType<T>,
        id: &str,
        origin: impl Into<Option<Origin>>,
    ) -> Option<&Message> {
        let found = self.entry(kind, id).and_then(|entry| self.core.of_origin(entry, origin.into()));
        self.note_read(found)
    }

    /// What all nodes come to.
    pub fn get_aggregate<T>(&self, kind: &MessageType<T>, id: &str) -> Option<&Message> {
        self.note_read(self.entry(kind, id).and_then(Entry::aggregate))
    }

    /// What every node says of that object, this one first; the aggregate is not among them.
    pub fn get_all<T>(&self, kind: &MessageType<T>, id: &str) -> impl Iterator<Item = &Message> {
        self.note_read(self.entry(kind, id)).into_iter().flat_map(Entry::states)
    }

    /// What this node says of each object of those types: `&kind` for one type, [`AnyType`](super::AnyType) for all.
    pub fn iter(&self, types: impl Select) -> impl Iterator<Item = &Message> {
        self.entries(types).filter_map(Entry::local)
    }

    /// What that node says of each object; `None`: what all of them come to.
    pub fn iter_by_origin(
        &self,
        types: impl Select,
        origin: impl Into<Option<Origin>>,
    ) -> impl Iterator<Item = &Message> {
        let origin = origin.into();
        self.entries(types).filter_map(move |entry| self.core.of_origin(entry, origin))
    }

    /// What every node says of each object, without aggregates.
    pub fn iter_all(&self, types: impl Select) -> impl Iterator<Item = &Message> {
        self.entries(types).flat_map(Entry::states)
    }

    fn entries<S: Select>(&self, types: S) -> impl Iterator<Item = &Entry> + use<'_, S> {
        let wanted = types.wanted();
        let found = self.map.iter().filter(move |(key, _)| self.core.selects(wanted, key.kind()));
        found.map(|(_, entry)| entry)
    }
}

impl fmt::Debug for CachePin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachePin").field("entries", &self.core.len()).finish_non_exhaustive()
    }
}
