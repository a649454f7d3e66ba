//! States that are taken out by a call, not by a message.
//!
//! It is announced as if a clear message had come by the caching topics that wrote the state last: those of them whose
//! topics live.

use super::entry::{Entry, Slot, SlotRef, Via};
use super::write::{Change, Only, Outcome};
use super::{Cache, CacheCore};
use crate::message::entry_key::EntryKey;
use crate::message::{MessageType, Origin};
use crate::sync::Arc;
use crate::topic::TopicCore;
use crate::topic::errands::Errands;

impl Cache {
    /// Takes out what this node says of that object. False: nothing stood there, and nothing is announced.
    ///
    /// The update {old, none} goes to the caching topics that wrote it last, if anybody still holds their topics, and to
    /// [`updates`](Self::updates). When this returns, it is in every mailbox and reads do not find the state, unless it
    /// was published again meanwhile. Handlers run as in a publish.
    pub fn clear<T>(&self, kind: &MessageType<T>, id: &str) -> bool {
        let Some(local) = self.0.local.filter(|_| self.0.knows(kind.kind())) else { return false };
        let key = EntryKey::new(kind.kind().id(), id);
        let mut errands = Errands::default();
        let cleared = self.0.clear_slot(&key, local, &mut errands);
        errands.finish(&self.0.exchange);
        cleared
    }

    /// Takes out everything that node says, since it is gone. What other nodes say of the same objects stays.
    ///
    /// Each state is taken out and announced as by [`clear`](Self::clear), one after the other; what that node says from
    /// now on may stand or go. Returns how many went. Cost: a look at every entry, and a write for each that has one.
    pub fn clear_origin(&self, origin: Origin) -> usize {
        let mut found = Vec::new();
        let is_local = self.0.is_local(origin);
        self.0.map.for_each(|key, entry| {
            if entry.slot(origin, is_local).is_some() {
                found.push(key.clone());
            }
        });
        let clear = |key: &EntryKey| {
            let mut errands = Errands::default();
            let cleared = self.0.clear_slot(key, origin, &mut errands);
            errands.finish(&self.0.exchange);
            cleared
        };
        found.iter().filter(|key| clear(key)).count()
    }
}

impl CacheCore {
    /// Takes out whatever stands in that slot, announced where it was written. The caller sees to the errands.
    pub(crate) fn clear_slot(&self, key: &EntryKey, origin: Origin, errands: &mut Errands) -> bool {
        while let Some(slot) = self.slot_now(key, origin) {
            let outputs = self.topics_of(&slot.via);
            let outputs: Vec<_> = outputs.iter().collect();
            let expected = Some(&slot.message);
            let change = Change {
                state: &slot.message,
                origin,
                key: key.as_ref(),
                is_clear: true,
                expected,
                only: Only::Always,
            };
            match self.write(&change, &outputs, errands) {
                Outcome::Changed => return true,
                Outcome::Unchanged => return false,
                Outcome::Outdated => {}
            }
        }
        false
    }

    pub(super) fn slot_now(&self, key: &EntryKey, origin: Origin) -> Option<Slot> {
        let slot = |entry: &Entry| entry.slot(origin, self.is_local(origin)).map(SlotRef::to_slot);
        self.map.get_with(key, slot).flatten()
    }

    /// The topics of these caching topics, as far as anybody holds them.
    pub(crate) fn topics_of(&self, via: &Via) -> Vec<Arc<TopicCore>> {
        let outputs = self.outputs.lock();
        let live = |number| outputs.get(number).and_then(|output| output.topic.upgrade());
        via.topics().iter().filter_map(live).collect()
    }
}
