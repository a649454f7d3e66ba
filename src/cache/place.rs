//! Where entries come and go: all of it under the lock of their shard, and bus code only.
//!
//! | entry | in the map | found by reads, counted | one of the entries that there may be |
//! | --- | --- | --- | --- |
//! | with a slot | yes | yes | yes |
//! | without, but with an aggregate | yes | yes | no: it goes when that is computed anew, unless its function makes one of nothing |
//! | without both, and its aggregate is still to be computed | yes | no | no |
//! | without both, and leased or watched | yes: it holds the place | no | no |
//! | without both | no | no | no |

use super::CacheCore;
use super::entry::Entry;
use crate::map::{Lead, Spot};
use crate::message::entry_key::EntryKey;
use crate::sync::Tally;

impl CacheCore {
    /// Puts `next` in its place, or takes it out if there is no reason for it to stay.
    pub(super) fn put(&self, spot: Spot<'_, '_, EntryKey, Entry>, key: EntryKey, mut next: Entry) {
        let is_due = self.rules.has_aggregate() && next.computed() < next.version;
        let stays = !next.is_void() || next.is_held() || is_due;
        let (was_void, was_stated) =
            spot.get().map_or((false, false), |entry| (entry.is_void(), !entry.has_no_slot()));
        recount(&self.counts.void, was_void, stays && next.is_void());
        recount(&self.counts.stated, was_stated, !next.has_no_slot());
        next.trim(self.rules.has_aggregate());
        let lead = next.local().map_or(Lead::default(), |message| Lead(message.address()));
        match stays {
            true => _ = spot.put(key, next, lead),
            false => _ = spot.take_out(),
        }
    }

    /// An entry with nothing in it, in a shard that gave that number last.
    pub(super) fn empty_entry(&self, sequence: u64) -> Entry {
        Entry::empty(sequence, self.rules.has_aggregate())
    }

    /// Changes who holds the place of `key`, where there need not be an entry. The entry that it replaces is retired: the
    /// caller sees to that.
    pub(super) fn hold<R>(&self, key: &EntryKey, change: impl FnOnce(&mut Entry) -> R) -> R {
        let hash = self.map.hash_of(key);
        let mut shard = self.map.lock_for(hash);
        let spot = shard.spot(hash, key);
        let fresh = || self.empty_entry(spot.sequence());
        let mut next = spot.get().map_or_else(fresh, Entry::clone);
        let result = change(&mut next);
        self.put(spot, key.clone(), next);
        result
    }
}

/// One that was counted, or is from now on.
fn recount(count: &Tally, was: bool, is: bool) {
    match (was, is) {
        (false, true) => _ = count.add(1),
        (true, false) => count.sub(1),
        _ => {}
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use crate::{Bus, Cache};

    #[test]
    fn no_place_is_held_for_nobody() {
        let bus = Bus::builder().manual().build().unwrap();
        let kind = bus.message_type::<String>("name").unwrap();
        let cache = Cache::builder(&bus).id_of(&kind, |name| name).build().unwrap();
        let topic = bus.topic("names").unwrap();
        let cached = topic.caching(&cache).unwrap();
        let in_map = || cache.0.map.len();
        let lease = || cached.lease(&kind, "alice").unwrap();
        let watch = || cache.watch(&kind, "alice").unwrap();

        let (first, second) = (lease(), lease());
        assert_eq!((in_map(), cache.len()), (1, 0));
        drop((first, second));
        let held = (watch(), watch(), lease());
        drop(held.0.clone());
        assert_eq!((in_map(), cache.len()), (1, 0));
        topic.publish(kind.message("alice".to_owned()));
        assert_eq!((in_map(), cache.len()), (1, 1));
        drop(held.2);
        assert_eq!((in_map(), cache.len()), (1, 0), "it is watched");
        drop((held.0, held.1));
        assert_eq!((in_map(), cache.len()), (0, 0));
        lease().forget();
        drop(watch());
        assert_eq!((in_map(), cache.len()), (0, 0));
    }
}
