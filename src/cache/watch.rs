//! One entry's local state, looked at without a lookup and awaited.
//!
//! While anybody watches an object, its entry has a *cell*, which stays in the entry whatever becomes of its states.
//!
//! | who | step | under |
//! | --- | --- | --- |
//! | writer | swaps the entry; the new state and its version into the cell | the shard's lock |
//! | | every mailbox has the update: takes all wakers, and wakes them | the cell's lock for the taking alone |
//! | watcher | a version that it has not seen? done. The bus is over? done | |
//! | | leaves its waker | the cell's lock |
//! | | looks again, as before | |
//! | end of the bus | is over; goes through all entries for their cells | each shard's lock in turn |
//! | | takes all wakers, and wakes them | the cell's lock for the taking alone |
//!
//! A writer that takes the wakers before one is left there had stored its state before that: the second look sees it. The
//! same holds of the end. A cell that comes to be after the end has gone through its shard is made by somebody who sees
//! that the bus is over.

use super::entry::Entry;
use super::{Cache, CacheCore};
use crate::dispatch::fence::PanicPlace;
use crate::error::{EntryError, WatchEnded};
use crate::ids;
use crate::message::entry_key::EntryKey;
use crate::message::{Message, MessageType};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, Snapshot, mutated};
use crate::topic::exchange::AtEnd;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// What the watchers of one object share.
pub(crate) struct WatchCell {
    state: Snapshot<State>,
    /// Changed under the shard's lock.
    watchers: AtomicUsize,
    /// By the watcher's number.
    wakers: Mutex<Vec<(u64, Waker)>>,
}

/// What this node says of the object.
struct State {
    message: Option<Message>,
    /// The shard's number of that change; 0: nothing was said yet.
    version: u64,
}

/// A cell that has news.
pub(super) struct News {
    cell: Arc<WatchCell>,
    /// Dropped when no lock is held.
    _old: Arc<State>,
}

impl WatchCell {
    fn of(entry: &Entry) -> Arc<Self> {
        let message = entry.local().cloned();
        let version = if message.is_some() { entry.version } else { 0 };
        Arc::new(Self {
            state: Snapshot::new(Arc::new(State { message, version })),
            watchers: AtomicUsize::new(0),
            wakers: Mutex::new(Vec::new()),
        })
    }

    /// Under the shard's lock.
    pub(super) fn store(self: &Arc<Self>, message: Option<Message>, version: u64) -> News {
        let old = self.state.swap(Arc::new(State { message, version }));
        News { cell: self.clone(), _old: old }
    }

    /// A waker instead of the one that this watcher has left before, if any; `None`: it leaves.
    fn leave(&self, watcher: u64, waker: Option<Waker>) {
        let mut wakers = self.wakers.lock();
        let at = wakers.iter().position(|(of, _)| *of == watcher || mutated!("watch.place"));
        let old = at.map(|at| wakers.swap_remove(at));
        wakers.extend(waker.map(|waker| (watcher, waker)));
        drop(wakers);
        drop(old);
    }

    fn wake(&self, cache: &CacheCore) {
        let wakers = std::mem::take(&mut *self.wakers.lock());
        for (_, waker) in wakers {
            cache.rules.run(PanicPlace::Waker, || waker.wake());
        }
    }
}

impl News {
    /// No lock is held: wakers and drops are foreign code.
    pub(super) fn tell(self, cache: &CacheCore) {
        self.cell.wake(cache);
    }
}

/// What this node says of one object, at hand: got by [`Cache::watch`].
///
/// [`get`](Self::get) shows it without a lookup, and [`changed`](Self::changed) waits for it to change. It may be made
/// before there is anything of the object, and goes on when the object is cleared and comes again. What it costs: an
/// entry in the cache while it lives, and for each change an allocation and a lock for a moment.
///
/// Changes that come faster than they are looked at are one: who needs each of them subscribes to the updates.
///
/// A clone watches the same object, from what the original has seen. It keeps the cache.
///
/// ```
/// use stasis_bus::{Bus, Cache};
/// let bus = Bus::builder().manual().build()?;
/// let volume = bus.message_type::<(String, u32)>("volume")?;
/// let cache = Cache::builder(&bus).id_of(&volume, |(id, _)| id).build()?;
/// let topic = bus.topic("volumes")?;
/// let _cached = topic.caching(&cache)?;
///
/// let mut watch = cache.watch(&volume, "alice")?;
/// assert!(watch.get().is_none());
/// topic.publish(volume.message(("alice".to_owned(), 7)));
/// let changed = futures_lite::future::block_on(watch.changed())?;
/// let now = changed.as_ref().and_then(|message| volume.read(message));
/// assert_eq!(now.map(|(_, volume)| *volume), Some(7));
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use = "dropping it ends the watching"]
pub struct Watch {
    cache: Arc<CacheCore>,
    key: EntryKey,
    cell: Arc<WatchCell>,
    number: u64,
    /// The version that was looked at last.
    seen: u64,
}

/// Waits for a change. Made by [`Watch::changed`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Changed<'a>(&'a mut Watch);

impl Cache {
    /// Watches what this node says of that object, whether there is anything of it or not.
    ///
    /// # Errors
    ///
    /// If `id` is empty, or `kind` is of another bus or one whose messages the cache has no id for.
    pub fn watch<T>(&self, kind: &MessageType<T>, id: &str) -> Result<Watch, EntryError> {
        let key = self.0.place_for(kind, id)?;
        Ok(Watch::new(self.0.clone(), key, None))
    }
}

impl Watch {
    fn new(cache: Arc<CacheCore>, key: EntryKey, seen: Option<u64>) -> Self {
        let cell = cache.hold(&key, |entry| {
            let cell = entry.watch().cloned().unwrap_or_else(|| WatchCell::of(entry));
            cell.watchers.fetch_add(1, Ordering::Relaxed);
            entry.set_watch(Some(cell.clone()));
            cell
        });
        cache.exchange.tidy();
        let seen = seen.unwrap_or_else(|| cell.state.load().version);
        Self { cache, key, cell, number: ids::next(), seen }
    }

    /// What this node says of the object now; `None`: nothing. Takes no lock and looks nothing up: a load and a reference
    /// count.
    ///
    /// Sees every publish on a cached topic that has returned, or a later one, and what [`changed`](Self::changed) gave,
    /// or something later.
    pub fn get(&self) -> Option<Message> {
        self.cell.state.load().message.clone()
    }

    /// A number that grows with every change of the state; 0: it has none yet. Numbers of different objects are not
    /// compared.
    pub fn version(&self) -> u64 {
        self.cell.state.load().version
    }

    /// The object's id.
    pub fn id(&self) -> &str {
        self.key.id()
    }

    /// Waits until the state is another one than when this last returned, or when the watch was made, and gives it;
    /// `None`: it was cleared. At once, if that is so already. Dropping the future loses nothing.
    ///
    /// Wakers are called on the thread that published, under no lock, when every mailbox has the update.
    ///
    /// # Errors
    ///
    /// [`WatchEnded`] when the bus is over and every change was given.
    pub fn changed(&mut self) -> Changed<'_> {
        Changed(self)
    }

    /// What there is to say, if anything.
    fn look(&mut self) -> Option<Result<Option<Message>, WatchEnded>> {
        // Before the state: what was changed before the end is given first.
        let is_over = self.cache.exchange.is_over();
        let state = self.cell.state.load();
        if state.version != self.seen {
            self.seen = state.version;
            return Some(Ok(state.message.clone()));
        }
        is_over.then_some(Err(WatchEnded))
    }
}

impl Future for Changed<'_> {
    type Output = Result<Option<Message>, WatchEnded>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let watch = &mut *self.get_mut().0;
        if let Some(ready) = watch.look() {
            return Poll::Ready(ready);
        }
        watch.cell.leave(watch.number, Some(context.waker().clone()));
        if mutated!("watch.look") {
            return Poll::Pending;
        }
        watch.look().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Clone for Watch {
    fn clone(&self) -> Self {
        Self::new(self.cache.clone(), self.key.clone(), Some(self.seen))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cell.leave(self.number, None);
        self.cache.hold(&self.key, |entry| {
            if self.cell.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
                entry.set_watch(None);
            }
        });
        self.cache.exchange.tidy();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("id", &self.id())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Changed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Changed").field(&self.0).finish()
    }
}

impl AtEnd for CacheCore {
    /// Nobody who watches waits for ever.
    fn bus_is_over(&self) {
        for shard in 0..if mutated!("watch.end") { 0 } else { self.map.shards() } {
            let cells: Vec<_> =
                self.map.lock(shard).iter().filter_map(|(_, entry)| entry.watch().cloned()).collect();
            cells.iter().for_each(|cell| cell.wake(self));
        }
    }
}
