//! A hash map whose readers neither lock nor write to anything shared, and whose writers lock one shard.
//!
//! It knows nothing of messages. A [`Domain`] is the readers of some maps, and what these maps have retired: one per bus.
//!
//! # How it is laid out
//!
//! A map has shards, chosen by a hash's lowest bits. A shard has one table, replaced whole when it is too full or almost
//! empty, and a lock for its writers. A table is a row of slots; a slot is a pointer to a node, which is a key and a value
//! that never change, and eight bits of the key's hash, its tag. Seven slots and the word of their tags are a group, and
//! one cache line; beside it stands where their values lead to. The whole hashes are a row of their own, which no search
//! looks at. An entry stands in the first free slot from the beginning of its home on, a group that a hash's highest bits
//! choose.
//!
//! *Why open addressing.* A rebuild copies pointers and leaves the nodes alone, so that who reads in the old table is not
//! disturbed; chains run through the nodes. The tag tells nearly all other keys apart without a look at their nodes (an
//! idea of Google's Swiss tables): a hit costs one line of the table and the node, a miss no node at all. And homes ascend
//! with hashes in tables of any size, so that an iteration can go on in another table. A slot keeps its hash until the
//! table goes (an idea of Cliff Click's): a reader is never led past an entry by one that moves.
//!
//! *Leads.* What a reader wants is mostly not in the node but behind it: a line that is known when the node has come from
//! memory, one wait later. The slot has its address too, only to ask for it: both waits are one. It is neither ordered nor
//! believed.
//!
//! # The protocol
//!
//! | who | step |
//! | --- | --- |
//! | reader | pins; loads the table (Acquire); from the home on: loads the tags of a group (one word); the slots with the same tag: asks for where they lead to, loads the node (Acquire), compares keys; none of them: a tag says that a slot is free: not there; next group |
//! | writer, key is there | under the lock: stores the new node, or none, into the same slot (Release); the old node goes to the shard's limbo |
//! | writer, key is not there | under the lock: the first slot that a removed key of the same hash left, or the first free one: lead, node (Release), then tag and hash |
//! | writer, three quarters of the slots used | under the lock: a new table of the same nodes, with room for as many again; publishes it (Release); the old one goes to limbo and shows for ever what stood now |
//! | writer, a sixteenth of the slots filled | the same, smaller |
//! | writer with 32 in limbo | after unlocking: limbo becomes a parcel of the domain; the collector gets a flag of it to set when all are gone who were pinned, and is made to look ([`domain`]) |
//! | sweep | takes the limbo of all shards, makes the collector look, drops the parcels whose flags are set |
//! | writer, in passing | holds nothing any more: drops the oldest parcels whose flags are set, two at most |
//! | iteration | walks each shard's table; what stands behind the end of the row belongs to its beginning, and is met last |
//!
//! So one retirement passes through limbo, parcel, flag, drop; the collector itself never has anything of the user's.
//! The same word is read by who comes later: who knows of a write finds it, in whatever table.
//!
//! # What is promised
//!
//! A read finds what was written by whoever is known to have written, or something newer. What it found stays as it is while
//! pinned.
//!
//! An iteration meets every entry that is there all the time exactly once, with one of the values that it has meanwhile,
//! though its table may be replaced any number of times. What comes or goes during the iteration may be met or not, and a
//! key that goes and comes back may be met both times. It is no snapshot.
//!
//! # Who runs what
//!
//! A key's `Hash` runs under no lock, before everything else. Its `Eq` runs under the shard's lock in writers, and pinned in
//! readers, and only on keys of equal hashes: it has to be plain data, as the cache's keys are. A value's `Clone` runs pinned,
//! under no lock. Drops of keys and values run in [`Domain::sweep`] and [`Domain::drop_some`], in the drop of a map or of the last handle
//! of its domain, and nowhere else; a panic in one goes to that caller, once the rest of its parcel is dropped.
//!
//! # Progress
//!
//! | operation | may wait for | steps |
//! | --- | --- | --- |
//! | `get`, pinned or not | nothing, nobody makes it begin again. Pinning is crossbeam's: a handful of steps, and every 128th time it also helps the collector | at most the slots of the table: a few, with hashes that spread |
//! | `pin` for the first time on a thread | an insertion into the collector's list, lock-free | |
//! | iteration | nothing | the slots of the tables |
//! | writers | the shard's lock, under which there is at most a rebuild of that shard | |
//! | a writer that hands over, `sweep`, `oldest_pin` | the domain's lock over its parcels, for a push or a few pops; the shards' locks (`sweep`) | |
//!
//! # What it costs in memory
//!
//! A slot is three words and a half, and three to six eighths of the slots are filled, by and large. Of what is retired at most 31 things lie in
//! each shard's limbo, and, while no guard is held for long, a few parcels of about 32 for each thread that writes; the
//! rest waits for a sweep. A guard that is held, by a user's pin say, holds back all that is retired meanwhile:
//! [`Domain::pending`] and [`Domain::oldest_pin`] show it.

#[cfg(all(any(test, fuzzing), not(bus_loom)))]
pub(crate) mod checks;
mod domain;
mod handles;
mod iter;
mod shard;
#[cfg(all(test, not(bus_loom)))]
mod simple;
mod table;
mod tags;
#[cfg(all(test, not(bus_loom)))]
mod tests;

pub(crate) use domain::{Domain, Guard};
pub(crate) use iter::Iter;
pub(crate) use shard::{Shard, Spot};
pub(crate) use table::{Hashed, Lead};

use crate::sync::{Arc, Weak};
use shard::Core;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::ptr;

/// A key as somebody has it who looks for it.
pub(crate) trait Sought<K> {
    /// Whether `key` is the one. Equal ones hash alike.
    fn is(&self, key: &K) -> bool;
}

impl<K: Borrow<Q>, Q: Eq + ?Sized> Sought<K> for Q {
    #[inline]
    fn is(&self, key: &K) -> bool {
        key.borrow() == self
    }
}

/// How keys are spread over all 64 bits: shards are chosen by the lowest ones, places by the highest.
pub(crate) trait Spreads<Q: ?Sized> {
    fn hash(&self, key: &Q) -> u64;
}

impl<S: BuildHasher, Q: Hash + ?Sized> Spreads<Q> for S {
    fn hash(&self, key: &Q) -> u64 {
        self.hash_one(key)
    }
}

/// A concurrent hash map: readers neither lock nor write, writers lock one shard.
pub(crate) struct Map<K, V, S = std::hash::RandomState>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    core: Arc<Core<K, V>>,
    hasher: S,
    domain: Arc<Domain>,
}

impl<K, V, S> Map<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// A map of so many shards, rounded up to a power of two.
    pub(crate) fn with_shards(domain: Arc<Domain>, shards: usize, hasher: S) -> Self {
        let core = Arc::new(Core::new(&domain, shards.next_power_of_two()));
        let seen: Weak<Core<K, V>> = Arc::downgrade(&core);
        domain.admit(seen);
        Self { core, hasher, domain }
    }

    /// What the other calls want to know of a key. Runs the key's `Hash`.
    #[inline(always)]
    pub(crate) fn hash_of<Q>(&self, key: &Q) -> Hashed
    where
        S: Spreads<Q>,
        Q: Sought<K> + ?Sized,
    {
        Hashed::new(self.hasher.hash(key))
    }

    pub(crate) fn shards(&self) -> usize {
        self.core.shards()
    }

    #[inline]
    pub(crate) fn shard_of(&self, hash: Hashed) -> usize {
        hash.low() & (self.core.shards() - 1)
    }

    /// Waits for the other writers of this shard.
    pub(crate) fn lock(&self, shard: usize) -> Shard<'_, K, V> {
        Shard::lock(&self.core, &self.domain, shard)
    }

    pub(crate) fn lock_for(&self, hash: Hashed) -> Shard<'_, K, V> {
        self.lock(self.shard_of(hash))
    }

    /// Reads as many entries as one likes, by reference.
    #[inline]
    pub(crate) fn pin(&self) -> Pinned<'_, K, V, S> {
        Pinned { map: self, _guard: self.domain.pin() }
    }

    /// What `look` makes of the value. It runs pinned.
    pub(crate) fn get_with<Q, R>(&self, key: &Q, look: impl FnOnce(&V) -> R) -> Option<R>
    where
        S: Spreads<Q>,
        Q: Sought<K> + ?Sized,
    {
        self.pin().get(key).map(look)
    }

    /// Entries; exact when nobody writes.
    pub(crate) fn len(&self) -> usize {
        self.core.len()
    }
}

impl<K, V, S> Drop for Map<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.core.clear();
    }
}

/// A map that this thread reads: what it finds stays while this lives, even if it is replaced or removed meanwhile.
pub(crate) struct Pinned<'m, K, V, S = std::hash::RandomState>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    map: &'m Map<K, V, S>,
    _guard: Guard<'m>,
}

impl<K, V, S> Pinned<'_, K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        S: Spreads<Q>,
        Q: Sought<K> + ?Sized,
    {
        self.get_asking(key, |_| {})
    }

    /// `ask` hears where the value leads to before its entry has come from memory: it may ask for what is there. It may hear
    /// of other places too, and of some where nothing is.
    #[inline(always)]
    pub(crate) fn get_asking<Q>(&self, key: &Q, ask: impl Fn(Lead)) -> Option<&V>
    where
        S: Spreads<Q>,
        Q: Sought<K> + ?Sized,
    {
        self.find(key, ask).map(|(_, value)| value)
    }

    #[inline(always)]
    fn find<Q>(&self, key: &Q, ask: impl Fn(Lead)) -> Option<(&K, &V)>
    where
        S: Spreads<Q>,
        Q: Sought<K> + ?Sized,
    {
        let hash = self.map.hash_of(key);
        // SAFETY: the reference lives no longer than the borrow of `self`, which is pinned.
        let table = unsafe { self.map.core.table(self.map.shard_of(hash)) }?;
        table.get(hash, key, ask).map(|node| (&node.key, &node.value))
    }

    /// What stands in a shard that is locked, to be looked at also when it is not any more. Cost: no look at an entry, but
    /// at each slot of the shard's table.
    pub(crate) fn entries_of(&self, shard: &Shard<'_, K, V>) -> Vec<(&K, &V)> {
        assert!(shard.is_of(&self.map.core), "a shard of another map");
        let found = shard.iter().map(|(key, value)| (ptr::from_ref(key), ptr::from_ref(value)));
        // SAFETY: they stand there now, and this thread is pinned: they stay for as long as `self` is borrowed.
        found.map(|(key, value)| unsafe { (&*key, &*value) }).collect()
    }

    /// All entries.
    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(self)
    }
}
