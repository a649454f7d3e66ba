//! A state that goes with the handle of who owns it.
//!
//! | who | step, under the shard's lock |
//! | --- | --- |
//! | new lease | its number into the entry, which is made if there is none: whoever had it owns nothing any more |
//! | writer | the number stays |
//! | dropped lease | the state as it was seen, and its own number? both go with one swap, announced |
//! | | another state: look again |
//! | | no state: the number goes; with nobody to hold it, the entry |
//! | | another number: nothing |
//!
//! So a lease takes nothing with it that a newer lease of the same object owns, and what it takes is announced as any
//! other clear, in its place in the chain.

use super::entry::{Entry, SlotRef};
use super::select::Select;
use super::write::{Change, Only, Outcome};
use super::{Cache, CacheCore, CachingTopic};
use crate::error::EntryError;
use crate::ids;
use crate::message::entry_key::EntryKey;
use crate::message::{Message, MessageType, Origin};
use crate::sync::Arc;
use crate::topic::errands::Errands;
use crate::topic::{Report, Topic, TopicCore};
use std::fmt;

/// The ownership of one object's state: when it is dropped, what this node says of the object is cleared from the cache.
/// Got by [`CachingTopic::lease`].
///
/// Who owns the object holds the lease, and publishes its states through it or in any other way. So nothing is left of an
/// object whose owner is gone, however it went: returned, failed, or panicked.
///
/// **The drop** takes out what stands then, as [`Cache::clear`] would: the update {old, none} goes to the lease's caching
/// topic, to those by which the state was written, and to the cache's updates, and handlers run as in a publish. When it
/// has returned, reads do not find the state. It waits for other writers of the same part of the cache, and for nobody
/// else. If nothing stands, nothing is announced.
///
/// **The newest lease of an object owns it.** From when it is made, dropping an older one does nothing: so a restarted
/// owner may take its lease before the old one is gone. The state that stands passes to the new lease.
///
/// **Publishes that race.** Those through the lease end before its drop begins. One by another way that returned before
/// is cleared, one that begins afterwards stays (nobody owns it: see [`Cache::unowned`]), and one at the same time is
/// either, whole: its update comes before the clear, or after it. A clear of the state by somebody else leaves the lease
/// as it is; what is published next is its own again.
///
/// It does not keep the caching topic: when that has ended, what is published is kept no more, and the drop still
/// clears what stands. It keeps the cache and the topics.
///
/// ```
/// use stasis_bus::{Bus, Cache};
/// let bus = Bus::builder().manual().build()?;
/// let channel = bus.message_type::<(String, &str)>("channel")?;
/// let cache = Cache::builder(&bus).id_of(&channel, |(name, _)| name).build()?;
/// let cached = bus.topic("channels")?.caching(&cache)?;
///
/// let lease = cached.lease(&channel, "SIP/alice-1")?;
/// lease.publish(("SIP/alice-1".to_owned(), "ringing"));
/// lease.publish(("SIP/alice-1".to_owned(), "up"));
/// assert!(cache.get(&channel, "SIP/alice-1").is_some());
/// drop(lease);
/// assert!(cache.get(&channel, "SIP/alice-1").is_none());
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use = "dropping it clears the state"]
pub struct Lease<T> {
    held: Held,
    kind: MessageType<T>,
}

/// A lease without its type.
struct Held {
    cache: Arc<CacheCore>,
    key: EntryKey,
    origin: Origin,
    number: u64,
    topic: Topic,
    /// Where its caching topic tells of changes.
    output: Arc<TopicCore>,
}

impl CachingTopic {
    /// Takes the ownership of that object: what this node says of it goes when the lease is dropped. It is taken from an
    /// older lease, if there is one, together with the state that stands.
    ///
    /// Nothing is published by it, and reads see nothing of it. Cost: an entry in the cache, from now on.
    ///
    /// # Errors
    ///
    /// If `id` is empty, or `kind` is of another bus or one whose messages the cache has no id for.
    pub fn lease<T>(&self, kind: &MessageType<T>, id: &str) -> Result<Lease<T>, EntryError> {
        let cache = &self.cache().0;
        let key = cache.place_for(kind, id)?;
        let Some(origin) = cache.local else { return Err(EntryError::OtherBus(kind.name().to_owned())) };
        let number = ids::next();
        cache.hold(&key, |entry| entry.set_lease(number));
        cache.exchange.tidy();
        let (topic, output) = (self.original(), self.topic().core().clone());
        let held = Held { cache: cache.clone(), key, origin, number, topic, output };
        Ok(Lease { held, kind: kind.clone() })
    }
}

impl CacheCore {
    /// The key of a place that somebody wants to hold.
    pub(super) fn place_for<T>(&self, kind: &MessageType<T>, id: &str) -> Result<EntryKey, EntryError> {
        if !self.knows(kind.kind()) {
            return Err(EntryError::OtherBus(kind.name().to_owned()));
        }
        if !self.rules.has_id_for(kind.kind()) {
            return Err(EntryError::NotCacheable(kind.name().to_owned()));
        }
        if id.is_empty() {
            return Err(EntryError::EmptyId);
        }
        Ok(EntryKey::new(kind.kind().id(), id))
    }
}

impl<T: Send + Sync + 'static> Lease<T> {
    /// Publishes a state with this value where the lease's caching topic keeps it. As [`Topic::publish`].
    ///
    /// It is expected to be of the leased object: a state of another one is published and kept as any, and stays when this
    /// lease goes.
    pub fn publish(&self, value: T) -> Report {
        self.held.topic.publish(self.kind.message(value))
    }
}

impl<T> Lease<T> {
    /// Publishes that message there: the same for a state that was built with a time of its own, or is kept elsewhere.
    pub fn publish_message(&self, message: Message) -> Report {
        self.held.topic.publish(message)
    }

    /// What this node says of the object now. As [`Cache::get`].
    pub fn get(&self) -> Option<Message> {
        self.held.look(|entry| entry.local().cloned()).flatten()
    }

    /// Whether no newer lease of the object was made.
    pub fn is_newest(&self) -> bool {
        self.held.look(|entry| entry.lease() == self.held.number).unwrap_or(false)
    }

    /// The object's id.
    pub fn id(&self) -> &str {
        self.held.key.id()
    }

    /// The type of its states.
    pub fn kind(&self) -> &MessageType<T> {
        &self.kind
    }

    /// Gives the ownership up, and leaves the state where it is: it stays until somebody clears it.
    pub fn forget(self) {
        self.held.release();
    }
}

impl Held {
    fn look<R>(&self, look: impl FnOnce(&Entry) -> R) -> Option<R> {
        self.cache.map.get_with(&self.key, look)
    }

    /// Lets the place go, if it is still ours; what stands there stays.
    fn release(&self) {
        self.cache.hold(&self.key, |entry| {
            if entry.lease() == self.number {
                entry.set_lease(0);
            }
        });
        self.cache.exchange.tidy();
    }

    /// The same, if nothing stands there. False: something does.
    fn release_empty(&self) -> bool {
        self.cache.hold(&self.key, |entry| {
            let is_other = entry.lease() != self.number;
            if !is_other && entry.local().is_none() {
                entry.set_lease(0);
            }
            is_other || entry.local().is_none()
        })
    }

    /// Takes out what stands, and the lease with it.
    fn clear(&self, errands: &mut Errands) {
        loop {
            let ours = self.look(|entry| {
                let local = || entry.slot(self.origin, true).map(SlotRef::to_slot);
                (entry.lease() == self.number).then(local)
            });
            let Some(local) = ours.flatten() else { return };
            let Some(slot) = local else {
                errands.retired();
                match self.release_empty() {
                    true => return,
                    false => continue,
                }
            };
            let mut outputs = self.cache.topics_of(&slot.via);
            if outputs.iter().all(|output| output.id != self.output.id) {
                outputs.push(self.output.clone());
            }
            let outputs: Vec<_> = outputs.iter().collect();
            let change = Change {
                state: &slot.message,
                origin: self.origin,
                key: self.key.as_ref(),
                is_clear: true,
                expected: Some(&slot.message),
                only: Only::Owned(self.number),
            };
            if self.cache.write(&change, &outputs, errands) == Outcome::Changed {
                return;
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut errands = Errands::default();
        self.clear(&mut errands);
        errands.finish(&self.cache.exchange);
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("type", &self.kind.name())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// What this node says of objects of those types that no lease owns: where every state is to have an owner, these
    /// are the ones that will never go by themselves.
    ///
    /// Otherwise as [`dump`](Self::dump).
    ///
    /// ```
    /// # use stasis_bus::{AnyType, Bus, Cache};
    /// # let bus = Bus::builder().manual().build()?;
    /// # let state = bus.message_type::<(String, u32)>("state")?;
    /// # let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).build()?;
    /// # let topic = bus.topic("states")?;
    /// let cached = topic.caching(&cache)?;
    /// let lease = cached.lease(&state, "alice")?;
    /// lease.publish(("alice".to_owned(), 1));
    /// topic.publish(state.message(("bob".to_owned(), 1)));
    /// assert_eq!(cache.unowned(AnyType).len(), 1);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn unowned(&self, types: impl Select) -> Vec<Message> {
        self.collect(types, |entry, all| {
            if entry.lease() == 0 {
                all.extend(entry.local().cloned());
            }
        })
    }
}
