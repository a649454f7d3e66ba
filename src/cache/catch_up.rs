//! Subscriptions that get what stands in a cache first, and then every change.

use super::caching::CachingTopic;
use super::entry::{Entry, SlotRef};
use super::{Cache, CacheCore};
use crate::error::SubscribeError;
use crate::mailbox::{Filter, Standing};
use crate::message::entry_key::EntryKey;
use crate::subscription::{Delivery, Subscription, SubscriptionBuilder};
use crate::sync::Arc;
use crate::topic::catch_up::Source;

/// A cache, or what was written there last through one caching topic.
struct View {
    cache: Arc<CacheCore>,
    /// The number of the caching topic's topic.
    via: Option<u64>,
}

impl View {
    fn shows(&self, slot: SlotRef<'_>) -> bool {
        self.via.is_none_or(|via| slot.via().topics().contains(&via))
    }

    /// What `filter` wants of an entry, in no order that means anything.
    fn add(&self, key: &EntryKey, entry: &Entry, filter: &Filter, into: &mut Vec<Standing>) {
        let updates = self.cache.exchange.cached.updates.kind();
        for slot in entry.slots().filter(|slot| self.shows(*slot)) {
            let state = slot.message();
            if filter.takes_update(updates, key.kind(), key.id(), state.origin()) {
                into.push(Standing::Entry { key: key.clone(), state: state.clone() });
            }
        }
    }
}

impl Source for View {
    fn number(&self) -> u64 {
        self.cache.number
    }

    fn shards(&self) -> usize {
        self.cache.map.shards()
    }

    /// Under the lock only addresses are copied: an entry and its message are two cache misses that the shard's
    /// writers would wait for. Measured beside other work on two processors, 200,000 entries, 3,100 a shard: 0.09 ms under
    /// the lock; with the references, 4 ms.
    fn capture(&self, shard: usize, filter: &Filter, mark: &dyn Fn(), into: &mut Vec<Standing>) {
        let pinned = self.cache.map.pin();
        let found = {
            let locked = self.cache.map.lock(shard);
            mark();
            pinned.entries_of(&locked)
        };
        found.into_iter().for_each(|(key, entry)| self.add(key, entry, filter, into));
    }
}

impl Cache {
    /// Subscribes to every update of this cache, after all that stands there now, with the workers of the bus and default
    /// limits. Shorthand for `snapshot_subscription(name).start(handler)`.
    ///
    /// # Errors
    ///
    /// As [`SubscriptionBuilder::start`].
    pub fn subscribe_with_snapshot(
        &self,
        name: impl Into<String>,
        handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        self.snapshot_subscription(name).start(handler)
    }

    /// Begins a subscription to every update of this cache, whatever caching topic it comes by, that gets what stands there
    /// now first.
    ///
    /// **What comes.** Its own [`SubscriptionChange`](crate::SubscriptionChange), if its filter wants that type. Then the
    /// snapshot: for each (type, id, origin), and for each aggregate, that the filter wants, one
    /// [`CacheUpdate`](crate::CacheUpdate) from nothing ([`is_snapshot`](crate::CacheUpdate::is_snapshot)), in no
    /// particular order. Then one [`SnapshotEnd`](crate::SnapshotEnd), whatever the filter (a typed handler gets it only
    /// if that is its type). Then every later update: none missed and none twice, so that for each entry the first one's
    /// `old` is the message of the snapshot. The entries are not of one moment; each is as it was when its part of the
    /// cache was looked at, and what changed after that look follows. In every dispatch; Inline is taken as Serial.
    ///
    /// **What is full.** The snapshot is not queued: it stands before the mailbox, is subject to no policy, and takes no
    /// room. Later updates wait behind it, and are: choose a policy that suits the time that the handler takes for the
    /// snapshot. [`Overflow::conflate_by_entry`](crate::Overflow::conflate_by_entry) never holds more than one update of
    /// each entry.
    ///
    /// **What ends.** If it ends while the snapshot is delivered, all of that still comes, then what is queued, then the
    /// final message. A shutdown at its deadline, and dropping a stream, throw it away with the queue, counted.
    ///
    /// **What it costs.** The finishing call looks at every entry: some 150 ns each, of which writers of one shard (a 64th
    /// of the entries) wait for a few; 48 bytes each are kept until the handler has it, and an update is made of each just
    /// before. A worker takes it in turns of 64 messages like any other queue. `depth` counts it.
    ///
    /// The finishing calls [`start`](SubscriptionBuilder::start), [`start_typed`](SubscriptionBuilder::start_typed),
    /// [`start_batch`](SubscriptionBuilder::start_batch), [`stream`](SubscriptionBuilder::stream) and
    /// [`inline`](SubscriptionBuilder::inline) all do so. (Stasis has no such thing; its users subscribe, then dump, and
    /// sort out what comes twice.)
    ///
    /// ```
    /// use stasis_bus::{Bus, Cache};
    /// let bus = Bus::builder().manual().build()?;
    /// let state = bus.message_type::<(String, u32)>("state")?;
    /// let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).build()?;
    /// let topic = bus.topic("states")?;
    /// let _cached = topic.caching(&cache)?;
    /// topic.publish(state.message(("alice".to_owned(), 1)));
    ///
    /// let mut late = cache.snapshot_subscription("late").accept_update_of(&state).stream()?;
    /// topic.publish(state.message(("alice".to_owned(), 2)));
    ///
    /// let value = |update: &stasis_bus::CacheUpdate| update.new.as_ref().and_then(|new| state.read(new)).map(|(_, n)| *n);
    /// let first = late.try_recv()?;
    /// assert!(first.read(bus.cache_updates()).is_some_and(|update| update.is_snapshot() && value(update) == Some(1)));
    /// let end = late.try_recv()?;
    /// assert_eq!(end.read(bus.snapshot_ends()).map(|end| end.entries), Some(1));
    /// let next = late.try_recv()?;
    /// assert!(next.read(bus.cache_updates()).is_some_and(|update| !update.is_snapshot() && value(update) == Some(2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot_subscription(&self, name: impl Into<String>) -> SubscriptionBuilder<'_> {
        let view = View { cache: self.0.clone(), via: None };
        self.updates().subscription(name).catching_up(Arc::new(view))
    }
}

impl CachingTopic {
    /// Subscribes to the updates of this caching topic, after what stands in the cache by it. Shorthand for
    /// `snapshot_subscription(name).start(handler)`.
    ///
    /// # Errors
    ///
    /// As [`SubscriptionBuilder::start`].
    pub fn subscribe_with_snapshot(
        &self,
        name: impl Into<String>,
        handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        self.snapshot_subscription(name).start(handler)
    }

    /// Begins a subscription to the updates of this caching topic, that gets first what was written last through it. As
    /// [`Cache::snapshot_subscription`], of a part of the cache: a state that was written last through another caching
    /// topic is not in the snapshot, and this one announces it only when it changes it.
    pub fn snapshot_subscription(&self, name: impl Into<String>) -> SubscriptionBuilder<'_> {
        let view = View { cache: self.cache().0.clone(), via: Some(self.topic().core().id) };
        self.topic().subscription(name).catching_up(Arc::new(view))
    }
}
