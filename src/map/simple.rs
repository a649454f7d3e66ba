//! What tests like to have: one call, one lock.

use super::{Domain, Map, Sought};
use crate::sync::Arc;
use std::hash::{BuildHasher, Hash, RandomState};

impl<K, V> Map<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(crate) fn new(domain: Arc<Domain>) -> Self {
        Self::with_shards(domain, 64, RandomState::new())
    }
}

impl<K, V, S> Map<K, V, S>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Sought<K> + Hash + ?Sized,
    {
        self.get_with(key, V::clone)
    }

    /// Gives back the old value.
    pub(crate) fn insert(&self, key: K, value: V) -> Option<V> {
        let hash = self.hash_of(&key);
        let mut shard = self.lock_for(hash);
        let old = shard.get(hash, &key).cloned();
        assert_eq!(shard.insert(hash, key, value), old.is_some());
        old
    }

    /// Gives back the value.
    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Sought<K> + Hash + ?Sized,
    {
        let hash = self.hash_of(key);
        let mut shard = self.lock_for(hash);
        let old = shard.get(hash, key).cloned();
        assert_eq!(shard.remove(hash, key), old.is_some());
        old
    }
}
