//! The writers' side: one shard under its lock.

use super::Sought;
use super::domain::{Count, Domain, Limbo, Load};
use super::table::{Hashed, Lead, Node, Owned, Place, Steps, Table};
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::*};
use crate::sync::{Arc, CachePadded, Mutex, MutexGuard};
use std::ptr;

/// A writer that leaves this much behind hands it over.
const BATCH: usize = if cfg!(any(bus_loom, bus_shuttle)) { 2 } else { 32 };

/// A table that is filled to less than this part of it is rebuilt smaller.
const ALMOST_EMPTY: usize = 16;

/// What the map's handle and its domain share.
pub(super) struct Core<K, V> {
    /// Read by everybody, written by a shard's writer when its table is replaced. Null: an empty table.
    tables: Box<[AtomicPtr<Table<K, V>>]>,
    lanes: Box<[CachePadded<Lane<K, V>>]>,
}

/// What the writers of one shard have.
struct Lane<K, V> {
    writer: Mutex<Writer<K, V>>,
    /// Entries. Written under the lock.
    len: AtomicUsize,
}

struct Writer<K, V> {
    /// Slots of the table that are or were used.
    used: usize,
    sequence: u64,
    /// Of the changes: what came anew, and what went.
    came: u64,
    went: u64,
    limbo: Vec<Retired<K, V>>,
    /// Of what lies in limbo.
    count: Count,
}

/// What no new reader finds any more.
enum Retired<K, V> {
    Entry { _node: Owned<Node<K, V>> },
    Table { _table: Owned<Table<K, V>> },
}

impl<K, V> Writer<K, V> {
    fn retire(&mut self, thing: Retired<K, V>) {
        self.limbo.push(thing);
        self.count.add(1);
    }
}

impl<K, V> Writer<K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    fn take_limbo(&mut self) -> Option<Load> {
        if self.limbo.is_empty() {
            return None;
        }
        Some(Load::new(Box::new(std::mem::take(&mut self.limbo)), self.count.take()))
    }
}

impl<K, V> Core<K, V> {
    pub(super) fn new(domain: &Domain, shards: usize) -> Self {
        let lane = |shard| Lane {
            writer: Mutex::new(Writer {
                used: 0,
                sequence: 0,
                came: 0,
                went: 0,
                limbo: Vec::new(),
                count: domain.count(shard),
            }),
            len: AtomicUsize::new(0),
        };
        Self {
            tables: (0..shards).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            lanes: (0..shards).map(|shard| CachePadded::new(lane(shard))).collect(),
        }
    }

    #[inline]
    pub(super) fn shards(&self) -> usize {
        self.tables.len()
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.len.load(Relaxed)).sum()
    }

    /// # Safety
    ///
    /// The caller is pinned, or has the shard's lock, for all of `'t`.
    #[inline]
    pub(super) unsafe fn table<'t>(&self, shard: usize) -> Option<&'t Table<K, V>> {
        // ORDERING(map.table): Acquire; pairs with `publish`, which shows the slots.
        // SAFETY: a table that was replaced is freed after a grace period that begins when it was; as the caller says.
        unsafe { self.tables[shard].load(Acquire).as_ref() }
    }

    /// Shows a table to readers, and gives back the one before. Under the shard's lock.
    fn publish(&self, shard: usize, table: Option<Owned<Table<K, V>>>) -> Option<Owned<Table<K, V>>> {
        let old = self.tables[shard].load(Relaxed);
        // ORDERING(map.table): Release; pairs with `table`.
        self.tables[shard].store(table.map_or(ptr::null_mut(), Owned::into_raw), Release);
        // SAFETY: only pointers of that kind were stored, and this one has just left its only place.
        unsafe { Owned::from_raw(old) }
    }
}

impl<K, V> Core<K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    /// Drops everything. The map is going, so nobody reads or writes any more.
    pub(super) fn clear(&self) {
        for (shard, lane) in self.lanes.iter().enumerate() {
            let mut writer = lane.writer.lock();
            let (table, limbo) = (self.publish(shard, None), writer.take_limbo());
            drop(writer);
            drop(limbo);
            if let Some(table) = table {
                // SAFETY: nobody else sees it any more.
                unsafe { &*table.as_ptr() }.drop_nodes();
            }
        }
    }
}

impl<K, V> Limbo for Core<K, V>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn hand_over(&self, domain: &Domain) {
        for lane in &self.lanes {
            let left = lane.writer.lock().take_limbo();
            if let Some(left) = left {
                domain.retire(left);
            }
        }
    }
}

/// One shard under its writers' lock. Readers go on meanwhile.
pub(crate) struct Shard<'m, K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    core: &'m Core<K, V>,
    at: usize,
    writer: MutexGuard<'m, Writer<K, V>>,
    // Dropped after the guard above it.
    due: Due<'m>,
}

/// What is handed over when the lock is gone.
struct Due<'m> {
    domain: &'m Arc<Domain>,
    load: Option<Load>,
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            self.domain.retire(load);
        }
    }
}

impl<K, V> Drop for Shard<'_, K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    fn drop(&mut self) {
        if self.writer.limbo.len() >= BATCH {
            self.due.load = self.writer.take_limbo();
        }
    }
}

impl<'m, K, V> Shard<'m, K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    pub(super) fn lock(core: &'m Core<K, V>, domain: &'m Arc<Domain>, at: usize) -> Self {
        let writer = core.lanes[at].writer.lock();
        Self { core, at, writer, due: Due { domain, load: None } }
    }

    #[cfg(all(any(test, fuzzing), not(bus_loom)))]
    pub(crate) fn get<Q>(&self, hash: Hashed, key: &Q) -> Option<&V>
    where
        Q: Sought<K> + ?Sized,
    {
        self.table()?.get(hash, key, |_| {}).map(|node| &node.value)
    }

    /// Where the key is, or would be: looked up once for whatever is done there.
    pub(crate) fn spot<Q>(&mut self, hash: Hashed, key: &Q) -> Spot<'_, 'm, K, V>
    where
        Q: Sought<K> + ?Sized,
    {
        self.spot_asking(hash, key, |_| {})
    }

    /// The same; `ask` hears where the value leads to before its entry has come from memory.
    pub(crate) fn spot_asking<Q>(&mut self, hash: Hashed, key: &Q, ask: impl Fn(Lead)) -> Spot<'_, 'm, K, V>
    where
        Q: Sought<K> + ?Sized,
    {
        let place = self.table().map_or(Place::Nowhere, |table| table.place(hash, key, ask));
        Spot { shard: self, hash, place }
    }

    /// Adds the entry, or replaces the one of the same key, key included. Says whether it replaced one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn insert(&mut self, hash: Hashed, key: K, value: V) -> bool
    where
        K: Eq,
    {
        self.spot(hash, &key).put(key, value, Lead::default())
    }

    /// Removes the entry. Says whether there was one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn remove<Q>(&mut self, hash: Hashed, key: &Q) -> bool
    where
        Q: Sought<K> + ?Sized,
    {
        self.spot(hash, key).take_out()
    }

    pub(super) fn is_of(&self, core: &Core<K, V>) -> bool {
        ptr::eq(self.core, core)
    }

    /// All entries, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let steps = self.table().map(|table| Steps::new(table, 0));
        steps.into_iter().flatten().map(|node| (&node.key, &node.value))
    }

    pub(crate) fn len(&self) -> usize {
        self.core.lanes[self.at].len.load(Relaxed)
    }

    /// Slots of its table.
    #[cfg(all(test, not(bus_loom)))]
    pub(super) fn size(&self) -> usize {
        self.table().map_or(0, Table::size)
    }

    /// The number that was given last.
    pub(crate) fn sequence(&self) -> u64 {
        self.writer.sequence
    }

    /// The next number of this shard; it never goes back.
    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.writer.sequence += 1;
        self.writer.sequence
    }

    /// Notes that something came that was not there, or that something went.
    pub(crate) fn note(&mut self, came: bool, went: bool) {
        self.writer.came += u64::from(came);
        self.writer.went += u64::from(went);
    }

    /// How often something came, and went, as noted.
    pub(crate) fn noted(&self) -> (u64, u64) {
        (self.writer.came, self.writer.went)
    }

    fn table(&self) -> Option<&Table<K, V>> {
        // SAFETY: `self` has the lock, and the reference does not outlive the borrow of `self`.
        unsafe { self.core.table(self.at) }
    }

    fn set_len(&self, len: usize) {
        self.core.lanes[self.at].len.store(len, Relaxed);
    }

    /// Whether the vacant slot may be used without a rebuild.
    fn has_room(&self, at: usize) -> bool {
        self.table().is_some_and(|table| !table.is_free(at) || self.writer.used < table.usable())
    }

    /// Fills a vacant slot of a table that has room.
    fn fill(&mut self, at: usize, hash: Hashed, node: Owned<Node<K, V>>, lead: Lead) {
        if let Some(table) = self.table() {
            table.set_lead(at, lead);
            let fresh = table.fill(at, hash, node);
            self.writer.used += usize::from(fresh);
            self.set_len(self.len() + 1);
        }
    }

    /// Puts a node, or none, where one is; that one goes to limbo.
    fn replace(&mut self, at: usize, node: Option<Owned<Node<K, V>>>) {
        let old = self.table().and_then(|table| table.swap(at, node));
        old.into_iter().for_each(|node| self.writer.retire(Retired::Entry { _node: node }));
    }

    /// A fresh table with room for `entries` and as many again. Readers go on in the old one, which shows what stood
    /// now for as long as they look.
    #[cold]
    fn rebuild(&mut self, entries: usize) {
        let slots = 2 * entries;
        let new = self.table().map_or_else(|| Table::of_slots(slots), |table| table.rebuilt(slots));
        let old = self.core.publish(self.at, Some(Owned::new(new)));
        self.writer.used = self.len();
        old.into_iter().for_each(|table| self.writer.retire(Retired::Table { _table: table }));
    }
}

/// The place of one key in a shard that is locked, to be looked at and then to be written.
pub(crate) struct Spot<'s, 'm, K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    shard: &'s mut Shard<'m, K, V>,
    hash: Hashed,
    place: Place,
}

impl<K, V> Spot<'_, '_, K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    fn node(&self) -> Option<&Node<K, V>> {
        match self.place {
            Place::Found(at) => self.shard.table()?.node_at(at),
            Place::Vacant(_) | Place::Nowhere => None,
        }
    }

    /// The value that stands there.
    pub(crate) fn get(&self) -> Option<&V> {
        self.node().map(|node| &node.value)
    }

    /// The key that stands there.
    pub(crate) fn key(&self) -> Option<&K> {
        self.node().map(|node| &node.key)
    }

    /// The number of the shard that was given last.
    pub(crate) fn sequence(&self) -> u64 {
        self.shard.sequence()
    }

    /// The next number of the shard.
    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.shard.next_sequence()
    }

    /// Notes that something came that was not there, or that something went.
    pub(crate) fn note(&mut self, came: bool, went: bool) {
        self.shard.note(came, went);
    }

    /// Puts an entry of that key here, or in the place of the one that stands here, key included. Says whether one did.
    pub(crate) fn put(self, key: K, value: V, lead: Lead) -> bool {
        let Self { shard, hash, place } = self;
        let node = Owned::new(Node { key, value });
        match place {
            Place::Found(at) => {
                shard.table().inspect(|table| table.set_lead(at, lead));
                shard.replace(at, Some(node));
                return true;
            }
            Place::Vacant(at) if shard.has_room(at) => shard.fill(at, hash, node, lead),
            _ => {
                shard.rebuild(shard.len() + 1);
                let at = shard.table().map_or(0, |table| table.vacant(hash));
                shard.fill(at, hash, node, lead);
            }
        }
        false
    }

    /// Removes the entry. Says whether there was one.
    pub(crate) fn take_out(self) -> bool {
        let (shard, Place::Found(at)) = (self.shard, self.place) else { return false };
        let Some(size) = shard.table().map(Table::size) else { return false };
        let is_almost_empty = shard.len() - 1 < size / ALMOST_EMPTY;
        shard.replace(at, None);
        shard.set_len(shard.len() - 1);
        if is_almost_empty {
            shard.rebuild(shard.len());
        }
        true
    }
}
