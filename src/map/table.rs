//! One shard's table: slots of a hash and a pointer to an immutable node, probed in a row, a cache line of them at once.

use super::Sought;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering::*};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// Slots of the smallest table.
pub(super) const FEWEST: usize = if cfg!(bus_loom) { 2 } else { 8 };

/// Slots of one cache line. Homes are the first slots of groups, and a search compares the hashes of a group without a
/// branch for each: where in its group a key stands cannot be predicted.
const GROUP: usize = if cfg!(bus_loom) { 1 } else { 4 };

/// This part of the slots is never used. A model's table is soon full.
const KEPT_FREE: usize = if cfg!(bus_loom) { 2 } else { 4 };

/// A hash that says "this slot was never used".
const FREE: u64 = 0;

/// The hash of a key, computed before any lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hashed(u64);

impl Hashed {
    pub(super) fn new(hash: u64) -> Self {
        Self(if hash == FREE { 1 } else { hash })
    }

    /// Its lowest bits choose the shard; its highest ones the place within it.
    pub(super) fn low(self) -> usize {
        self.0 as usize
    }
}

/// A key and its value, from their insertion to their drop.
pub(super) struct Node<K, V> {
    pub(super) key: K,
    pub(super) value: V,
}

/// Something behind a pointer that nobody else owns, though readers may still be looking at it: what a box would be,
/// if a box could be moved while somebody looks into it.
pub(super) struct Owned<T>(NonNull<T>, PhantomData<T>);

// SAFETY: it owns the value, as a box would.
unsafe impl<T: Send> Send for Owned<T> {}

impl<T> Owned<T> {
    pub(super) fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))), PhantomData)
    }

    /// # Safety
    ///
    /// `raw` is null or came from `into_raw`, and nobody else owns it.
    pub(super) unsafe fn from_raw(raw: *mut T) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self(raw, PhantomData))
    }

    pub(super) fn into_raw(self) -> *mut T {
        ManuallyDrop::new(self).0.as_ptr()
    }

    pub(super) fn as_ptr(&self) -> *const T {
        self.0.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it was leaked from a box, and whoever drops `self` knows that no reader is left.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Never goes back to `FREE`, and never gets another hash, while its table stands.
struct Slot<K, V> {
    hash: AtomicU64,
    /// Null: the slot is free, or its entry was removed.
    node: AtomicPtr<Node<K, V>>,
}

impl<K, V> Slot<K, V> {
    fn new() -> Self {
        Self { hash: AtomicU64::new(FREE), node: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Readers may see it late: only what happened before their look counts, and that they see in any case, because
    /// a word's values are seen in their order.
    #[inline]
    fn hash(&self) -> u64 {
        self.hash.load(Relaxed)
    }

    #[inline]
    fn node(&self) -> Option<&Node<K, V>> {
        // ORDERING(map.node): Acquire; pairs with `swap`, which shows what the node has in it.
        // SAFETY: a node that was in a table is dropped after a grace period that begins when it was taken out. Who
        // has the table has been pinned since before, or holds the shard's lock, without which nothing is taken out.
        unsafe { self.node.load(Acquire).as_ref() }
    }

    /// Under the shard's lock.
    fn swap(&self, node: Option<Owned<Node<K, V>>>) -> Option<Owned<Node<K, V>>> {
        let old = self.node.load(Relaxed);
        // ORDERING(map.node): Release; pairs with the load of readers.
        self.node.store(node.map_or(ptr::null_mut(), Owned::into_raw), Release);
        // SAFETY: all nodes in slots came from `into_raw`, and this one has just left its only slot.
        unsafe { Owned::from_raw(old) }
    }
}

#[cfg_attr(not(bus_loom), repr(align(64)))]
struct Group<K, V>([Slot<K, V>; GROUP]);

const _: () = assert!(cfg!(bus_loom) || size_of::<Group<(), ()>>() == 64);

impl<K, V> Group<K, V> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| Slot::new()))
    }

    /// Which of its slots have that hash: one bit for each.
    #[inline]
    fn having(&self, hash: u64) -> u32 {
        let slots = self.0.iter().enumerate();
        slots.fold(0, |found, (at, slot)| found | u32::from(slot.hash() == hash) << at)
    }
}

/// Where a key is, or would be.
pub(super) enum Place {
    Found(usize),
    /// A slot that was never used, or was used by a key of the same hash.
    Vacant(usize),
    /// There is no table yet.
    Nowhere,
}

pub(super) struct Table<K, V> {
    /// What to shift a hash by to get its home.
    shift: u32,
    groups: Box<[Group<K, V>]>,
    /// Nothing, through which models see that a table goes after the last look at it.
    stands: UnsafeCell<()>,
}

impl<K, V> Drop for Table<K, V> {
    fn drop(&mut self) {
        self.stands.with_mut(|_| ());
    }
}

impl<K, V> Table<K, V> {
    /// `size`: a power of two, at least `FEWEST`.
    pub(super) fn new(size: usize) -> Self {
        debug_assert!(size.is_power_of_two() && size >= FEWEST);
        Self {
            shift: u64::BITS - size.trailing_zeros(),
            groups: (0..size / GROUP).map(|_| Group::new()).collect(),
            stands: UnsafeCell::new(()),
        }
    }

    pub(super) fn size(&self) -> usize {
        self.groups.len() * GROUP
    }

    /// So many slots may be used: at one that is left free every search ends.
    pub(super) fn usable(&self) -> usize {
        self.size() - self.size() / KEPT_FREE
    }

    /// The first slot of the group in which a search begins.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize & !(GROUP - 1)
    }

    #[inline]
    fn group(&self, at: usize) -> &Group<K, V> {
        self.stands.with(|_| ());
        &self.groups[(at / GROUP) & (self.groups.len() - 1)]
    }

    #[inline]
    fn slot(&self, at: usize) -> &Slot<K, V> {
        &self.group(at).0[at % GROUP]
    }

    #[inline]
    pub(super) fn get<Q>(&self, Hashed(hash): Hashed, key: &Q) -> Option<&Node<K, V>>
    where
        Q: Sought<K> + ?Sized,
    {
        let mut at = self.home(hash);
        loop {
            let group = self.group(at);
            let mut found = group.having(hash);
            while found != 0 {
                match group.0[found.trailing_zeros() as usize].node() {
                    Some(node) if key.is(&node.key) => return Some(node),
                    _ => found &= found - 1,
                }
            }
            if group.having(FREE) != 0 {
                return None;
            }
            at += GROUP;
        }
    }

    /// Under the shard's lock.
    pub(super) fn place<Q>(&self, Hashed(hash): Hashed, key: &Q) -> Place
    where
        Q: Sought<K> + ?Sized,
    {
        let mut at = self.home(hash);
        let mut left = None;
        loop {
            let slot = self.slot(at);
            match slot.hash() {
                FREE => return Place::Vacant(left.unwrap_or(at)),
                its if its == hash => match slot.node() {
                    Some(node) if key.is(&node.key) => return Place::Found(at),
                    Some(_) => {}
                    None => left = left.or(Some(at)),
                },
                _ => {}
            }
            at += 1;
        }
    }

    /// What is at a place that was found. Under the shard's lock.
    pub(super) fn node_at(&self, at: usize) -> Option<&Node<K, V>> {
        self.slot(at).node()
    }

    fn slots(&self) -> impl Iterator<Item = &Slot<K, V>> {
        self.groups.iter().flat_map(|group| &group.0)
    }

    /// Replaces what is at a place that was found. Under the shard's lock.
    pub(super) fn swap(&self, at: usize, node: Option<Owned<Node<K, V>>>) -> Option<Owned<Node<K, V>>> {
        self.slot(at).swap(node)
    }

    /// Whether the slot at `at` was never used.
    pub(super) fn is_free(&self, at: usize) -> bool {
        self.slot(at).hash() == FREE
    }

    /// The first slot that was never used, for a key that is not here.
    pub(super) fn vacant(&self, Hashed(hash): Hashed) -> usize {
        let mut at = self.home(hash);
        while !self.is_free(at) {
            at += 1;
        }
        at
    }

    /// Fills a vacant place, and says whether it was never used before. Under the shard's lock.
    pub(super) fn fill(&self, at: usize, Hashed(hash): Hashed, node: Owned<Node<K, V>>) -> bool {
        let (slot, fresh) = (self.slot(at), self.is_free(at));
        slot.swap(Some(node));
        slot.hash.store(hash, Relaxed);
        fresh
    }

    /// Another table of `size` with the same nodes, which then belong to both: of this one nothing may be taken any
    /// more. Under the shard's lock.
    pub(super) fn rebuilt(&self, size: usize) -> Self {
        let new = Self::new(size);
        for slot in self.slots() {
            let node = slot.node.load(Relaxed);
            if !node.is_null() {
                let hash = slot.hash();
                let its = new.slot(new.vacant(Hashed(hash)));
                its.node.store(node, Relaxed);
                its.hash.store(hash, Relaxed);
            }
        }
        new
    }

    /// Drops all its nodes, one by one. Nobody else sees this table any more.
    pub(super) fn drop_nodes(&self) {
        for slot in self.slots() {
            drop(slot.swap(None));
        }
    }
}

/// A walk over one table that can stop at a gap and go on in another table of the same shard.
///
/// Homes ascend with hashes in a table of any size, and no entry stands behind a gap whose home is before it. So who is
/// at a gap has met all entries of that group and of those before it.
pub(super) struct Steps<'t, K, V> {
    table: &'t Table<K, V>,
    /// Entries with hashes below were met in an earlier walk.
    from: u64,
    /// The next slot. The slots come twice: for the entries that stand behind their homes, then for those that found
    /// no room before the end and went on at the front.
    at: usize,
}

impl<'t, K, V> Steps<'t, K, V> {
    pub(super) fn new(table: &'t Table<K, V>, from: u64) -> Self {
        Self { table, from, at: table.home(from) }
    }

    /// Where another walk can go on, if this one stands at a gap: it has met all entries with hashes below.
    pub(super) fn gap(&self) -> Option<u64> {
        let next = (self.at | (GROUP - 1)) + 1;
        let is_gap = next < self.table.size() && self.table.is_free(self.at);
        is_gap.then(|| (next as u64) << self.table.shift)
    }

    /// Whether an entry of this hash, in the next slot, is to be met now.
    fn belongs(&self, hash: u64) -> bool {
        let (lap, slot) = (self.at / self.table.size(), self.at % self.table.size());
        hash >= self.from && (self.table.home(hash) > slot) == (lap > 0)
    }
}

impl<'t, K, V> Iterator for Steps<'t, K, V> {
    type Item = &'t Node<K, V>;

    fn next(&mut self) -> Option<&'t Node<K, V>> {
        let size = self.table.size();
        while self.at < 2 * size {
            let slot = self.table.slot(self.at);
            let hash = slot.hash();
            if hash == FREE && self.at >= size {
                self.at = 2 * size;
                break;
            }
            let found = if hash != FREE && self.belongs(hash) { slot.node() } else { None };
            self.at += 1;
            if found.is_some() {
                return found;
            }
        }
        None
    }
}
