//! Who may still be reading: epochs, and what waits for its readers to be gone.

use super::handles;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use crate::sync::epoch::{self, Collector};
use crate::sync::time::Clock;
use crate::sync::{Arc, CachePadded, Mutex, Tally, Weak};
use std::any::Any;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

/// Flushes after which a parcel is ripe if nobody is pinned: the collector needs the epoch to advance twice, and each
/// flush advances it once.
const FLUSHES: usize = 3;
/// Parcels that the collector looks at per flush.
const PARCELS_PER_FLUSH: usize = 8;
/// Parcels that a writer drops in passing. More than it hands over, so that nothing piles up.
const PARCELS_IN_PASSING: usize = 2;
/// Writers of this many shards do not share a count.
const COUNTS: usize = 8;

/// The readers of some maps, and what these maps have retired.
pub(crate) struct Domain {
    me: Weak<Self>,
    collector: Collector,
    /// The oldest first.
    waiting: Mutex<VecDeque<Parcel>>,
    /// Of these, so many are ripe; or were, or are about to be.
    ripe: Arc<Tally>,
    maps: Mutex<Vec<Weak<dyn Limbo>>>,
    counts: Arc<[CachePadded<AtomicUsize>; COUNTS]>,
    clock: Clock,
}

/// A map, as a domain sees it.
pub(super) trait Limbo: Send + Sync {
    /// Hands over what was retired and still lies in the shards.
    fn hand_over(&self, domain: &Domain);
}

/// Some of what one map has retired. Dropping it drops keys and values.
struct Parcel {
    /// Nobody can be reading it any more.
    is_ripe: Arc<AtomicBool>,
    since: u64,
    _load: Load,
}

/// Retired things and how they are counted: the count goes down once they are dropped.
pub(super) struct Load {
    _things: Box<dyn Any + Send>,
    _count: Count,
}

impl Load {
    pub(super) fn new(things: Box<dyn Any + Send>, count: Count) -> Self {
        Self { _things: things, _count: count }
    }
}

/// A part of a domain's count of what is retired and not dropped yet.
pub(super) struct Count {
    counts: Arc<[CachePadded<AtomicUsize>; COUNTS]>,
    stripe: usize,
    number: usize,
}

impl Count {
    pub(super) fn add(&mut self, more: usize) {
        self.number += more;
        // ORDERING(map.pending): SeqCst; pairs with the load in `pending`: who then finds the alarm set is counted by its
        // work (see `timer.seen`).
        self.counts[self.stripe].fetch_add(more, SeqCst);
    }

    /// The same count, which then stands for nothing here.
    pub(super) fn take(&mut self) -> Self {
        let number = std::mem::take(&mut self.number);
        Self { counts: self.counts.clone(), stripe: self.stripe, number }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.counts[self.stripe].fetch_sub(self.number, Relaxed);
    }
}

/// While it lives, nothing that the maps of its domain had when it was made is dropped. Stays on its thread.
pub(crate) struct Guard<'d> {
    inner: epoch::Guard,
    _domain: PhantomData<&'d Domain>,
}

impl Domain {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            collector: Collector::new(),
            waiting: Mutex::new(VecDeque::new()),
            ripe: Arc::new(Tally::new()),
            maps: Mutex::new(Vec::new()),
            counts: Arc::new(std::array::from_fn(|_| CachePadded::new(AtomicUsize::new(0)))),
            clock: Clock::real(),
        })
    }

    /// Holds back every drop of what is in the maps now.
    #[inline]
    pub(crate) fn pin(&self) -> Guard<'_> {
        Guard { inner: handles::pin(&self.me, &self.collector), _domain: PhantomData }
    }

    /// Drops what was retired and is read by nobody any more; here, on this thread. The caller holds no shard's lock, which
    /// this takes one by one, and none that a drop may want; and no guard, or nothing gets any further.
    pub(crate) fn sweep(&self) {
        self.hand_over();
        self.flush();
        drop(self.take_ripe(usize::MAX));
    }

    /// Whether [`drop_some`](Self::drop_some) would, as a rule. Cost: one load.
    #[inline]
    pub(crate) fn has_ripe(&self) -> bool {
        self.ripe.get() > 0
    }

    /// Drops the oldest that is ripe: what a writer does in passing, which has left as much behind. It holds no lock and no
    /// guard.
    pub(crate) fn drop_some(&self) {
        drop(self.take_ripe(PARCELS_IN_PASSING));
    }

    /// The oldest parcels, as far as they are ripe.
    fn take_ripe(&self, most: usize) -> Vec<Parcel> {
        let mut waiting = self.waiting.lock();
        // ORDERING(map.ripe): Acquire; pairs with the collector's Release: readers were done before.
        let is_ripe = |parcel: &&Parcel| parcel.is_ripe.load(Acquire);
        let ripe = waiting.iter().take(most).take_while(is_ripe).count();
        self.ripe.sub(ripe as u64);
        waiting.drain(..ripe).collect()
    }

    /// What was retired and is not dropped yet: entries, and tables that were outgrown. Exact when nobody writes.
    pub(crate) fn pending(&self) -> usize {
        // ORDERING(map.pending): SeqCst; pairs with `Count::add`.
        self.counts.iter().map(|count| count.load(SeqCst)).sum()
    }

    /// How long the oldest of what waits has been held by a guard: somebody is pinned for at least as long. The caller
    /// holds no shard's lock.
    pub(crate) fn oldest_pin(&self) -> Option<Duration> {
        self.hand_over();
        self.flush();
        let now = self.clock.coarse_monotonic_ns();
        let waiting = self.waiting.lock();
        let held = waiting.iter().find(|parcel| !parcel.is_ripe.load(Relaxed))?;
        Some(Duration::from_nanos(now.saturating_sub(held.since)))
    }

    /// Parcels that somebody may be reading.
    #[cfg(all(test, not(bus_loom)))]
    pub(super) fn unripe(&self) -> usize {
        self.waiting.lock().iter().filter(|parcel| !parcel.is_ripe.load(Relaxed)).count()
    }

    pub(super) fn admit(&self, map: Weak<dyn Limbo>) {
        let mut maps = self.maps.lock();
        maps.retain(|map| map.strong_count() > 0);
        maps.push(map);
    }

    pub(super) fn count(&self, shard: usize) -> Count {
        Count { counts: self.counts.clone(), stripe: shard % COUNTS, number: 0 }
    }

    /// Takes what no table has any more. No lock may be held: the collector is made to work.
    pub(super) fn retire(&self, load: Load) {
        let (is_ripe, ripe) = (Arc::new(AtomicBool::new(false)), self.ripe.clone());
        let since = self.clock.coarse_monotonic_ns();
        self.waiting.lock().push_back(Parcel { is_ripe: is_ripe.clone(), since, _load: load });
        let guard = self.pin();
        // The collector gets a flag to set, and nothing to drop: it may do so on any thread, in any pin, and even
        // after the end of the domain.
        // ORDERING(map.ripe): Release; pairs with the look of who drops.
        guard.inner.defer(move || {
            ripe.add(1);
            is_ripe.store(true, Release);
        });
        guard.inner.flush();
    }

    fn hand_over(&self) {
        let maps: Vec<_> = self.maps.lock().iter().filter_map(Weak::upgrade).collect();
        maps.iter().for_each(|map| map.hand_over(self));
    }

    /// Makes the collector look at all that waits, as often as it takes if nobody is pinned.
    fn flush(&self) {
        let waiting = self.waiting.lock().len();
        if waiting > 0 {
            for _ in 0..FLUSHES + waiting / PARCELS_PER_FLUSH {
                self.pin().inner.flush();
            }
        }
    }
}
