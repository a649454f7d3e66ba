//! One shard's table: groups of pointers to immutable nodes, a cache line each with eight bits of every node's hash.

use super::Sought;
use super::tags::{GROUP, Tag, Tags};
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering::*};
use crate::sync::{Tally, UnsafeCell, mutated};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// Groups of the smallest table.
pub(super) const FEWEST: usize = 2;

/// This part of the slots is never used. A model's table is soon full.
const KEPT_FREE: usize = if cfg!(any(bus_loom, bus_shuttle)) { 2 } else { 4 };

/// A hash that says "this slot was never used".
const FREE: u64 = 0;

/// The hash of a key, computed before any lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hashed(u64);

impl Hashed {
    pub(super) fn new(hash: u64) -> Self {
        Self(hash)
    }

    /// Its lowest bits choose the shard; its highest ones the place within it.
    pub(super) fn low(self) -> usize {
        self.0 as usize
    }

    /// As a slot keeps it.
    fn kept(self) -> u64 {
        self.0 | (FREE + 1)
    }

    #[inline]
    fn tag(self) -> Tag {
        Tag::of(self.0)
    }
}

/// The address of what whoever finds a value looks at next, or none. Only to be asked for: it may be gone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lead(pub(crate) usize);

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

/// All that a search looks at, until it looks at a node: two lines, of which the second says what to ask for meanwhile.
#[cfg_attr(not(any(bus_loom, bus_shuttle)), repr(C, align(128)))]
struct Group<K, V> {
    /// A slot's never goes back to "free", and never changes, while its table stands.
    tags: AtomicU64,
    /// Null: the slot is free, or its entry was removed.
    nodes: [AtomicPtr<Node<K, V>>; GROUP],
    /// Where that node's value leads to. Orders nothing, and may be wrong: nobody reads there because of it.
    leads: [Tally; GROUP],
}

const _: () = assert!(cfg!(any(bus_loom, bus_shuttle)) || size_of::<Group<(), ()>>() == 128);

impl<K, V> Group<K, V> {
    fn new() -> Self {
        let nodes = std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
        Self { tags: AtomicU64::new(0), nodes, leads: std::array::from_fn(|_| Tally::new()) }
    }

    /// Readers may see a tag late: only what happened before their look counts, and that they see in any case, because
    /// a word's values are seen in their order.
    #[inline]
    fn tags(&self) -> Tags {
        Tags::of(self.tags.load(Relaxed))
    }

    #[inline]
    fn node(&self, slot: usize) -> Option<&Node<K, V>> {
        // ORDERING(map.node): Acquire; pairs with `swap`, which shows what the node has in it.
        // SAFETY: a node that was in a table is dropped after a grace period that begins when it was taken out. Who
        // has the table has been pinned since before, or holds the shard's lock, without which nothing is taken out.
        unsafe { self.nodes[slot].load(Acquire).as_ref() }
    }

    #[inline]
    fn lead(&self, slot: usize) -> Lead {
        Lead(self.leads[slot].get() as usize)
    }

    /// Under the shard's lock.
    fn swap(&self, slot: usize, node: Option<Owned<Node<K, V>>>) -> Option<Owned<Node<K, V>>> {
        let old = self.nodes[slot].load(Relaxed);
        // ORDERING(map.node): Release; pairs with the load of readers.
        self.nodes[slot].store(node.map_or(ptr::null_mut(), Owned::into_raw), Release);
        // SAFETY: all nodes in slots came from `into_raw`, and this one has just left its only slot.
        unsafe { Owned::from_raw(old) }
    }

    /// Says that this slot is used. Under the shard's lock.
    fn set_tag(&self, slot: usize, tag: Tag) {
        let others = if mutated!("map.tag") { Tags::of(0) } else { self.tags() };
        self.tags.store(others.with(slot, tag), Relaxed);
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
    /// The hash of each slot, for those who write and who walk: no search looks at one.
    hashes: Box<[AtomicU64]>,
    /// Nothing, through which models see that a table goes after the last look at it.
    stands: UnsafeCell<()>,
}

impl<K, V> Drop for Table<K, V> {
    fn drop(&mut self) {
        self.stands.with_mut(|_| ());
    }
}

impl<K, V> Table<K, V> {
    /// With so many groups: a power of two, at least `FEWEST`.
    pub(super) fn new(groups: usize) -> Self {
        debug_assert!(groups.is_power_of_two() && groups >= FEWEST);
        Self {
            shift: u64::BITS - groups.trailing_zeros(),
            groups: (0..groups).map(|_| Group::new()).collect(),
            hashes: (0..groups * GROUP).map(|_| AtomicU64::new(FREE)).collect(),
            stands: UnsafeCell::new(()),
        }
    }

    /// With so many slots or more.
    pub(super) fn of_slots(slots: usize) -> Self {
        Self::new(slots.div_ceil(GROUP).next_power_of_two().max(FEWEST))
    }

    /// Slots.
    pub(super) fn size(&self) -> usize {
        self.hashes.len()
    }

    /// So many slots may be used: at one that is left free every search ends.
    pub(super) fn usable(&self) -> usize {
        self.size() - self.size() / KEPT_FREE
    }

    /// The group in which a search begins.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    /// The groups of a search, each with the number of its first slot; after the last one comes the first one. Endless.
    #[inline]
    fn search(&self, Hashed(hash): Hashed) -> impl Iterator<Item = (usize, &Group<K, V>)> {
        self.stands.with(|_| ());
        (self.home(hash)..).map(|at| {
            let at = at & (self.groups.len() - 1);
            // SAFETY: their number is a power of two (`new`).
            (at * GROUP, unsafe { self.groups.get_unchecked(at) })
        })
    }

    /// The group of a slot, and which of its slots that is.
    fn slot(&self, at: usize) -> (&Group<K, V>, usize) {
        self.stands.with(|_| ());
        (&self.groups[at / GROUP], at % GROUP)
    }

    /// As it was stored by whoever is known to have written: as with tags.
    fn hash(&self, at: usize) -> u64 {
        self.hashes[at].load(Relaxed)
    }

    fn node(&self, at: usize) -> Option<&Node<K, V>> {
        let (group, slot) = self.slot(at);
        group.node(slot)
    }

    /// `ask` hears where values of that hash lead to, before their nodes are looked at.
    #[inline(always)]
    pub(super) fn get<Q>(&self, hash: Hashed, key: &Q, ask: impl Fn(Lead)) -> Option<&Node<K, V>>
    where
        Q: Sought<K> + ?Sized,
    {
        for (_, group) in self.search(hash) {
            let tags = group.tags();
            let mut slots = tags.having(hash.tag()).inspect(|slot| ask(group.lead(*slot)));
            let found = slots.find_map(|slot| group.node(slot).filter(|node| key.is(&node.key)));
            if found.is_some() || tags.free().is_some() || mutated!("map.full") {
                return found;
            }
        }
        None
    }

    /// Under the shard's lock. `ask` as in [`get`](Self::get).
    pub(super) fn place<Q>(&self, hash: Hashed, key: &Q, ask: impl Fn(Lead)) -> Place
    where
        Q: Sought<K> + ?Sized,
    {
        let mut left = None;
        for (first, group) in self.search(hash) {
            let tags = group.tags();
            for slot in tags.having(hash.tag()) {
                ask(group.lead(slot));
                match group.node(slot) {
                    Some(node) if key.is(&node.key) => return Place::Found(first + slot),
                    None if self.hash(first + slot) == hash.kept() => left = left.or(Some(first + slot)),
                    _ => {}
                }
            }
            if let Some(free) = tags.free() {
                return Place::Vacant(left.unwrap_or(first + free));
            }
        }
        Place::Nowhere
    }

    /// What is at a place that was found. Under the shard's lock.
    pub(super) fn node_at(&self, at: usize) -> Option<&Node<K, V>> {
        self.node(at)
    }

    /// Says where the value leads to that comes to this place. Under the shard's lock.
    pub(super) fn set_lead(&self, at: usize, Lead(to): Lead) {
        let (group, slot) = self.slot(at);
        group.leads[slot].set(to as u64);
    }

    /// Replaces what is at a place that was found. Under the shard's lock.
    pub(super) fn swap(&self, at: usize, node: Option<Owned<Node<K, V>>>) -> Option<Owned<Node<K, V>>> {
        let (group, slot) = self.slot(at);
        if mutated!("map.left") && node.is_none() {
            group.tags.fetch_and(!(0xff << (8 * slot)), Relaxed);
            self.hashes[at].store(FREE, Relaxed);
        }
        group.swap(slot, node)
    }

    /// Whether the slot at `at` was never used.
    pub(super) fn is_free(&self, at: usize) -> bool {
        self.hash(at) == FREE
    }

    /// The first slot that was never used, for a key that is not here.
    pub(super) fn vacant(&self, hash: Hashed) -> usize {
        let mut free = self.search(hash).filter_map(|(first, group)| Some(first + group.tags().free()?));
        free.next().unwrap_or(0)
    }

    /// Fills a vacant place, and says whether it was never used before. Under the shard's lock.
    pub(super) fn fill(&self, at: usize, hash: Hashed, node: Owned<Node<K, V>>) -> bool {
        let fresh = self.is_free(at);
        self.swap(at, Some(node));
        if fresh {
            let (group, slot) = self.slot(at);
            group.set_tag(slot, hash.tag());
            self.hashes[at].store(hash.kept(), Relaxed);
        }
        fresh
    }

    /// Another table, of so many slots or more, with the same nodes, which then belong to both: of this one nothing may be
    /// taken any more. Under the shard's lock.
    pub(super) fn rebuilt(&self, slots: usize) -> Self {
        let new = Self::of_slots(slots);
        for at in 0..self.size() {
            let (group, slot) = self.slot(at);
            // SAFETY: from `into_raw`. It stays in this table, which is not asked to drop it any more.
            if let Some(node) = unsafe { Owned::from_raw(group.nodes[slot].load(Relaxed)) } {
                let hash = Hashed(self.hash(at));
                let place = new.vacant(hash);
                new.set_lead(place, group.lead(slot));
                new.fill(place, hash, node);
            }
        }
        new
    }

    /// Drops all its nodes, one by one. Nobody else sees this table any more.
    pub(super) fn drop_nodes(&self) {
        (0..self.size()).for_each(|at| drop(self.swap(at, None)));
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
    /// Those with hashes above as well.
    to: u64,
    /// The next slot. The slots come twice: for the entries that stand behind their homes, then for those that found
    /// no room before the end and went on at the front.
    at: usize,
}

impl<'t, K, V> Steps<'t, K, V> {
    pub(super) fn new(table: &'t Table<K, V>, from: u64) -> Self {
        Self { table, from, to: u64::MAX, at: table.home(from) * GROUP }
    }

    /// Those that a walk from there on does not meet.
    pub(super) fn before(table: &'t Table<K, V>, from: u64) -> impl Iterator<Item = &'t Node<K, V>> {
        let to = from.checked_sub(1);
        to.map(|to| Self { to, ..Self::new(table, 0) }).into_iter().flatten()
    }

    /// Where another walk can go on, if this one stands at a gap: it has met all entries with hashes below.
    pub(super) fn gap(&self) -> Option<u64> {
        let next = self.at / GROUP + 1;
        let is_gap = next < self.table.groups.len() && (self.table.is_free(self.at) || mutated!("map.gap"));
        is_gap.then(|| (next as u64) << self.table.shift)
    }

    /// Whether an entry of this hash, in the next slot, is to be met now.
    fn belongs(&self, hash: u64) -> bool {
        let (lap, slot) = (self.at / self.table.size(), self.at % self.table.size());
        let is_on_its_lap = (self.table.home(hash) > slot / GROUP) == (lap > 0) || mutated!("map.twice");
        (self.from..=self.to).contains(&hash) && is_on_its_lap
    }
}

impl<'t, K, V> Iterator for Steps<'t, K, V> {
    type Item = &'t Node<K, V>;

    fn next(&mut self) -> Option<&'t Node<K, V>> {
        let size = self.table.size();
        while self.at < 2 * size {
            let slot = self.at % size;
            let hash = self.table.hash(slot);
            if hash == FREE && self.at >= size {
                self.at = 2 * size;
                break;
            }
            let found = if hash != FREE && self.belongs(hash) { self.table.node(slot) } else { None };
            self.at += 1;
            if found.is_some() {
                return found;
            }
        }
        None
    }
}
