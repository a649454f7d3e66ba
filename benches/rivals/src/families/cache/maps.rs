//! The rivals: maps of names to counted states, each read as its documentation says is fastest; all hash with foldhash.

use super::states::{Names, State};
use crate::bench::Outcome;
use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock};

/// Something that keeps the latest state of each object.
pub trait Map: Send + Sync + Sized + 'static {
    /// What holds it for a few reads.
    type Pin<'a>
    where
        Self: 'a;

    /// With a first state of every object.
    fn new(names: &Arc<Names>) -> Outcome<Self>;
    /// Replaces the state of that object.
    fn put(&self, number: u64, round: u64);
    fn pin(&self) -> Self::Pin<'_>;
    /// What `read` reads in the state of that name, where it is.
    fn look<R>(pin: &Self::Pin<'_>, name: &str, read: impl Fn(&State) -> R) -> Option<R>;
    /// What `read` reads in the state of that name, by a reference of its own.
    fn get<R>(&self, name: &str, read: impl Fn(&State) -> R) -> Option<R>;
}

type Kept = Arc<State>;

/// Names, for whom writes.
pub struct Writer(Arc<Names>);

impl Writer {
    pub fn pair(&self, number: u64, round: u64) -> (Arc<str>, Kept) {
        (self.0.of(number), Arc::new(self.0.state(number, round)))
    }

    fn pairs(names: &Arc<Names>) -> impl Iterator<Item = (Arc<str>, Kept)> {
        let writer = Self(names.clone());
        (0..names.len() as u64).map(move |number| writer.pair(number, 0))
    }
}

pub struct Papaya {
    pub map: papaya::HashMap<Arc<str>, Kept, RandomState>,
    pub writer: Writer,
}

impl Map for Papaya {
    type Pin<'a> = papaya::HashMapRef<'a, Arc<str>, Kept, RandomState, papaya::LocalGuard<'a>>;

    fn new(names: &Arc<Names>) -> Outcome<Self> {
        let map = papaya::HashMap::builder().capacity(names.len()).hasher(RandomState::default()).build();
        Writer::pairs(names).for_each(|(name, state)| drop(map.pin().insert(name, state).cloned()));
        Ok(Self { map, writer: Writer(names.clone()) })
    }

    fn put(&self, number: u64, round: u64) {
        let (name, state) = self.writer.pair(number, round);
        self.map.pin().insert(name, state);
    }

    fn pin(&self) -> Self::Pin<'_> {
        self.map.pin()
    }

    #[inline]
    fn look<R>(pin: &Self::Pin<'_>, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        pin.get(name).map(|state| read(state))
    }

    #[inline]
    fn get<R>(&self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        let state = self.map.pin().get(name).cloned();
        state.map(|state| read(&state))
    }
}

pub struct Dash {
    pub map: dashmap::DashMap<Arc<str>, Kept, RandomState>,
    pub writer: Writer,
}

impl Map for Dash {
    type Pin<'a> = &'a Self;

    fn new(names: &Arc<Names>) -> Outcome<Self> {
        let map = dashmap::DashMap::with_capacity_and_hasher(names.len(), RandomState::default());
        Writer::pairs(names).for_each(|(name, state)| drop(map.insert(name, state)));
        Ok(Self { map, writer: Writer(names.clone()) })
    }

    fn put(&self, number: u64, round: u64) {
        let (name, state) = self.writer.pair(number, round);
        self.map.insert(name, state);
    }

    fn pin(&self) -> &Self {
        self
    }

    #[inline]
    fn look<R>(pin: &&Self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        pin.map.get(name).map(|state| read(&state))
    }

    #[inline]
    fn get<R>(&self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        let state = self.map.get(name).map(|state| state.clone());
        state.map(|state| read(&state))
    }
}

pub struct SccMap {
    map: scc::HashMap<Arc<str>, Kept, RandomState>,
    writer: Writer,
}

impl Map for SccMap {
    type Pin<'a> = &'a Self;

    fn new(names: &Arc<Names>) -> Outcome<Self> {
        let map = scc::HashMap::with_capacity_and_hasher(names.len(), RandomState::default());
        Writer::pairs(names).for_each(|(name, state)| drop(map.upsert_sync(name, state)));
        Ok(Self { map, writer: Writer(names.clone()) })
    }

    fn put(&self, number: u64, round: u64) {
        let (name, state) = self.writer.pair(number, round);
        self.map.upsert_sync(name, state);
    }

    fn pin(&self) -> &Self {
        self
    }

    #[inline]
    fn look<R>(pin: &&Self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        pin.map.read_sync(name, |_, state| read(state))
    }

    #[inline]
    fn get<R>(&self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        let state = self.map.read_sync(name, |_, state| state.clone());
        state.map(|state| read(&state))
    }
}

pub struct SccIndex {
    map: scc::HashIndex<Arc<str>, Kept, RandomState>,
    writer: Writer,
}

impl Map for SccIndex {
    type Pin<'a> = &'a Self;

    fn new(names: &Arc<Names>) -> Outcome<Self> {
        let map = scc::HashIndex::with_capacity_and_hasher(names.len(), RandomState::default());
        Writer::pairs(names).for_each(|(name, state)| drop(map.insert_sync(name, state)));
        Ok(Self { map, writer: Writer(names.clone()) })
    }

    /// Its way to replace: an entry under the lock of its bucket.
    fn put(&self, number: u64, round: u64) {
        let (name, state) = self.writer.pair(number, round);
        match self.map.entry_sync(name) {
            scc::hash_index::Entry::Occupied(mut entry) => entry.update(state),
            scc::hash_index::Entry::Vacant(entry) => drop(entry.insert_entry(state)),
        }
    }

    fn pin(&self) -> &Self {
        self
    }

    #[inline]
    fn look<R>(pin: &&Self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        again(|| pin.map.peek_with(name, |_, state| read(state)))
    }

    #[inline]
    fn get<R>(&self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        let state = again(|| self.map.peek_with(name, |_, state| state.clone()));
        state.map(|state| read(&state))
    }
}

/// An update of this index puts a new entry elsewhere in the bucket and takes the old one out: who reads just then may pass
/// both (one read of a million here, more on a busy machine), and has to look again.
#[inline]
fn again<R>(mut look: impl FnMut() -> Option<R>) -> Option<R> {
    (0..100).find_map(|_| look())
}

pub struct Moka {
    map: moka::sync::Cache<Arc<str>, Kept, RandomState>,
    writer: Writer,
}

impl Map for Moka {
    type Pin<'a> = &'a Self;

    /// Without a limit: nothing goes by itself.
    fn new(names: &Arc<Names>) -> Outcome<Self> {
        let map = moka::sync::Cache::builder()
            .initial_capacity(names.len())
            .build_with_hasher(RandomState::default());
        Writer::pairs(names).for_each(|(name, state)| map.insert(name, state));
        map.run_pending_tasks();
        Ok(Self { map, writer: Writer(names.clone()) })
    }

    fn put(&self, number: u64, round: u64) {
        let (name, state) = self.writer.pair(number, round);
        self.map.insert(name, state);
    }

    fn pin(&self) -> &Self {
        self
    }

    /// It has no other reads.
    #[inline]
    fn look<R>(pin: &&Self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        pin.get(name, read)
    }

    #[inline]
    fn get<R>(&self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        self.map.get(name).map(|state| read(&state))
    }
}

type Plain = HashMap<Arc<str>, Kept, RandomState>;

const SHARDS: u64 = 64;

pub struct Sharded {
    shards: Vec<RwLock<Plain>>,
    hasher: RandomState,
    writer: Writer,
}

impl Sharded {
    /// By the highest bits: a map inside uses the lowest ones.
    #[inline]
    fn shard(&self, name: &str) -> &RwLock<Plain> {
        let hash = self.hasher.hash_one(name);
        &self.shards[(hash >> 32) as usize % SHARDS as usize]
    }
}

impl Map for Sharded {
    type Pin<'a> = &'a Self;

    fn new(names: &Arc<Names>) -> Outcome<Self> {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let all = Self { shards, hasher: RandomState::default(), writer: Writer(names.clone()) };
        (0..names.len() as u64).for_each(|number| all.put(number, 0));
        Ok(all)
    }

    fn put(&self, number: u64, round: u64) {
        let (name, state) = self.writer.pair(number, round);
        let mut shard = self.shard(&name).write().unwrap_or_else(PoisonError::into_inner);
        let old = shard.insert(name, state);
        drop(shard);
        drop(old);
    }

    fn pin(&self) -> &Self {
        self
    }

    #[inline]
    fn look<R>(pin: &&Self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        let shard = pin.shard(name).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(name).map(|state| read(state))
    }

    #[inline]
    fn get<R>(&self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        let shard = self.shard(name).read().unwrap_or_else(PoisonError::into_inner);
        let state = shard.get(name).cloned();
        drop(shard);
        state.map(|state| read(&state))
    }
}

pub struct ArcSwapped {
    map: ArcSwap<Plain>,
    writer: Writer,
}

impl Map for ArcSwapped {
    type Pin<'a> = arc_swap::Guard<Arc<Plain>>;

    fn new(names: &Arc<Names>) -> Outcome<Self> {
        let map = ArcSwap::from_pointee(Writer::pairs(names).collect());
        Ok(Self { map, writer: Writer(names.clone()) })
    }

    /// A copy of everything.
    fn put(&self, number: u64, round: u64) {
        let (name, state) = self.writer.pair(number, round);
        let mut next = Plain::clone(&self.map.load());
        next.insert(name, state);
        self.map.store(Arc::new(next));
    }

    fn pin(&self) -> Self::Pin<'_> {
        self.map.load()
    }

    #[inline]
    fn look<R>(pin: &Self::Pin<'_>, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        pin.get(name).map(|state| read(state))
    }

    #[inline]
    fn get<R>(&self, name: &str, read: impl Fn(&State) -> R) -> Option<R> {
        let state = self.map.load().get(name).cloned();
        state.map(|state| read(&state))
    }
}
