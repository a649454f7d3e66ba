//! A map whose readers never wait.

mod domain;
mod handles;
mod iter;
mod shard;
mod table;
#[cfg(all(test, not(bus_loom)))]
mod tests;

pub(crate) use domain::{Domain, Guard};
pub(crate) use iter::Iter;
pub(crate) use shard::Shard;
pub(crate) use table::Hashed;

use crate::sync::{Arc, Weak};
use shard::Core;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};
use std::ptr;
use table::Node;

/// Shards of a map that is not told how many.
const SHARDS: usize = 64;

/// A concurrent hash map: readers neither lock nor write, writers lock one shard.
pub(crate) struct Map<K, V, S = RandomState>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    core: Arc<Core<K, V>>,
    hasher: S,
    domain: Arc<Domain>,
}

impl<K, V> Map<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(crate) fn new(domain: Arc<Domain>) -> Self {
        Self::with_shards(domain, SHARDS, RandomState::new())
    }
}

impl<K, V, S> Map<K, V, S>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// A map of so many shards, rounded up to a power of two. The hasher has to spread keys over all 64 bits: shards
    /// are chosen by the lowest ones, places by the highest.
    pub(crate) fn with_shards(domain: Arc<Domain>, shards: usize, hasher: S) -> Self {
        let core = Arc::new(Core::new(&domain, shards.next_power_of_two()));
        let seen: Weak<Core<K, V>> = Arc::downgrade(&core);
        domain.admit(seen);
        Self { core, hasher, domain }
    }

    /// What the other calls want to know of a key. Runs the key's `Hash`.
    #[inline]
    pub(crate) fn hash_of<Q>(&self, key: &Q) -> Hashed
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Hashed::new(self.hasher.hash_one(key))
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

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
        V: Clone,
    {
        self.get_with(key, V::clone)
    }

    /// What `look` makes of the value. It runs pinned.
    pub(crate) fn get_with<Q, R>(&self, key: &Q, look: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.pin().get(key).map(look)
    }

    /// Adds the entry, or replaces the one of the same key, key included. Gives back the old value.
    pub(crate) fn insert(&self, key: K, value: V) -> Option<V>
    where
        V: Clone,
    {
        let hash = self.hash_of(&key);
        self.copied(|shard| shard.swap(hash, key, value), hash)
    }

    /// Removes the entry and gives back its value.
    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
        V: Clone,
    {
        let hash = self.hash_of(key);
        self.copied(|shard| shard.take(hash, key), hash)
    }

    /// A copy of what `take` has taken out, made after unlocking.
    fn copied(
        &self,
        take: impl FnOnce(&mut Shard<'_, K, V>) -> Option<*const Node<K, V>>,
        hash: Hashed,
    ) -> Option<V>
    where
        V: Clone,
    {
        let _pinned = self.pin();
        let old = take(&mut self.lock_for(hash))?;
        // SAFETY: it was in the table when this thread was pinned already, and still is.
        Some(unsafe { &*old }.value.clone())
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
pub(crate) struct Pinned<'m, K, V, S = RandomState>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    map: &'m Map<K, V, S>,
    _guard: Guard<'m>,
}

impl<K, V, S> Pinned<'_, K, V, S>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    #[inline]
    pub(crate) fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let hash = self.map.hash_of(key);
        // SAFETY: the reference lives no longer than the borrow of `self`, which is pinned.
        let table = unsafe { self.map.core.table(self.map.shard_of(hash)) }?;
        table.get(hash, key).map(|node| (&node.key, &node.value))
    }

    /// What stands in a shard that is locked, to be looked at also when it is not any more. Cost: no look at an entry, but
    /// at each slot of the shard's table.
    pub(crate) fn values_of(&self, shard: &Shard<'_, K, V>) -> Vec<&V> {
        assert!(shard.is_of(&self.map.core), "a shard of another map");
        let found = shard.iter().map(|(_, value)| ptr::from_ref(value));
        // SAFETY: they stand there now, and this thread is pinned: they stay for as long as `self` is borrowed.
        found.map(|value| unsafe { &*value }).collect()
    }

    /// All entries.
    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(self)
    }
}
