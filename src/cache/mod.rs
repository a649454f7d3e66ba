//! Caches: the latest message of each (type, id, origin), and what those of one object come to together.
//!
//! | file | what |
//! | --- | --- |
//! | [`entry`] | one entry, immutable, replaced whole |
//! | [`hashing`] | how their keys are spread |
//! | `rules` | the user's functions, and what surrounds their calls |
//! | [`builder`] | everything said before there is a cache |
//! | `write` | a message is kept |
//! | `aggregate` | an entry's aggregate is computed and stored |
//! | `place` | entries come, go, and stay for who holds their place |
//! | [`lease`] | a state that goes with the handle of who owns it |
//! | [`watch`] | one entry at hand, and awaited |
//! | `limits` | states that were not written for long, and entries that are too many |
//! | `clear` | states are taken out by a call |
//! | `reads` | how many reads found something |
//! | `read`, [`pin`], `select` | reads: copies, references under a guard, of which types |
//! | [`caching`] | the caching topic |
//! | `catch_up` | subscriptions that get what stands first |
//! | [`pattern`] | a topic for each object and one for all, with their updates |
//!
//! # Protocol (T6)
//!
//! The map has a lock for each shard; readers take none. What orders the updates of one key on every output is the order
//! in which the writers of that key held its shard's lock: the swap and the pushes into mailboxes are done under one hold
//! of it. Nothing else is: foreign code runs before or after, and what it said of an entry is used under the lock only if
//! the entry is still the one that it was asked about.
//!
//! | who | step | under the shard's lock | foreign code |
//! | --- | --- | --- | --- |
//! | writer | id of the message; none, or no origin: nothing happens | | id |
//! | | collects the lists of the outputs; looks at the entry, if what follows depends on it; makes the update (nobody listens: none), asks whether the states are equal | | equality, drops of dead values |
//! | | the slot is another one than the one looked at: again, if the answer depended on it | yes | |
//! | | the lists are others now: collected again. Nobody listened, and now somebody does: again | yes | |
//! | | the same message stands there, or an equal one: done, nothing is told | yes | |
//! | | swap; version = the shard's next number; `old` filled in; the update pushed into every mailbox of these lists | yes | |
//! | | wake-ups, water marks, Serial and inline handlers, drops: by the walk, later | | all of these |
//! | aggregate | every mailbox has the raw message: newest entry copied; computed since our version already: done | | |
//! | | computed from the copy, compared with its aggregate | | aggregate, equality |
//! | | entry gone, or an aggregate from states as new as ours stands: done | yes | |
//! | | its aggregate is another one than the one compared with: again | yes | |
//! | | unchanged: it counts as computed from our version. Changed: swap, update pushed | yes | |
//! | | the user's announcement | | announce |
//! | who catches up, each shard | pinned; notes the entries, marks the shard live (`topic::catch_up`) | yes | |
//! | | references of what its filter wants | | |
//! | reader | guard, look, copy of the reference | no | |
//!
//! *Versions* are numbers of the shard, so they never start again: an aggregate that was computed from an earlier life of
//! an id is older than that id's new entry. An entry with neither slot nor aggregate leaves the map (unless somebody
//! holds its place); while the aggregate of one whose last slot was cleared is still to be computed, it stays, and reads
//! find nothing in it.
//!
//! *Progress*: a writer waits for other writers of its shard, each of which does bus code only: one push for each mailbox
//! reached. It goes round again only because another writer got on. Readers wait for nobody.

pub(crate) mod entry;

mod rules;

pub(crate) mod builder;

pub(crate) mod hashing;

mod aggregate;
mod catch_up;
mod clear;
mod limits;
mod place;
mod write;

pub(crate) mod pin;
mod read;
mod reads;
mod select;

pub(crate) mod caching;
pub(crate) mod pattern;

pub(crate) mod lease;
pub(crate) mod watch;

pub use builder::CacheBuilder;
pub use caching::CachingTopic;
pub use entry::CacheEntry;
pub use lease::Lease;
pub use pattern::{CachePattern, CacheSingle};
pub use pin::CachePin;
pub use select::{AnyType, Select};
pub use watch::{Changed, Watch};

use crate::map::{Map, Sought};
use crate::message::entry_key::{EntryKey, KeyRef};
use crate::message::kind::Kind;
use crate::message::{Message, Origin};
use crate::stats::CacheStats;
use crate::stats::labels::Label;
use crate::stats::sums::CacheSums;
use crate::sync::{Arc, HashMap, Mutex, Tally, Weak};
use crate::topic::exchange::{CacheFigures, Exchange};
use crate::topic::{Topic, TopicCore};
use entry::Entry;
use hashing::Hashing;
use limits::Lives;
use reads::Reads;
use rules::Rules;
use std::fmt;

/// Parts that are locked by themselves.
const SHARDS: usize = if cfg!(any(bus_loom, bus_shuttle)) { 1 } else { 64 };

/// What the clones of a cache and its caching topics share.
pub(crate) struct CacheCore {
    /// Unique in the process.
    pub(crate) number: u64,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) map: Map<EntryKey, Entry, Hashing>,
    /// This node.
    local: Option<Origin>,
    rules: Rules,
    /// Gets every update, whatever caching topic it came by.
    updates: Topic,
    /// Topics of caching topics, by their number. Held for looking and for edits.
    outputs: Mutex<HashMap<u64, Output>>,
    counts: Counts,
    reads: Reads,
    /// What its figures count under.
    label: Arc<Label<CacheSums>>,
    lives: Lives,
    me: Weak<Self>,
}

/// A caching topic's topic, and the one that it keeps.
struct Output {
    topic: Weak<TopicCore>,
    original: Weak<TopicCore>,
}

/// What is rare enough to be counted on a shared line.
#[derive(Default)]
struct Counts {
    suppressed: Tally,
    aggregates: Tally,
    expired: Tally,
    evicted: Tally,
    /// Entries of the map that reads find nothing in.
    void: Tally,
    /// Entries that have a state. The one figure by which somebody decides: a bounded cache, whether it has too many. A word
    /// by itself, so that of two whose entries are new at once the one that counts last counts both.
    stated: Tally,
}

impl CacheCore {
    fn is_local(&self, origin: Origin) -> bool {
        self.local == Some(origin)
    }

    /// Whether `kind` is of the same bus.
    fn knows(&self, kind: &Kind) -> bool {
        kind.bus() == self.exchange.id
    }

    /// Entries that reads find something in.
    fn len(&self) -> usize {
        self.map.len().saturating_sub(self.counts.void.get() as usize)
    }

    /// Entries that have a state.
    fn stated(&self) -> usize {
        self.counts.stated.get() as usize
    }

    fn stats(&self) -> CacheStats {
        let domain = self.exchange.domain();
        CacheStats { garbage: domain.pending() as u64, oldest_pin: domain.oldest_pin(), ..self.counted() }
    }

    fn counted(&self) -> CacheStats {
        let (mut updates, mut created, mut cleared) = (0, 0, 0);
        for at in 0..self.map.shards() {
            let shard = self.map.lock(at);
            let (came, went) = shard.noted();
            (updates, created, cleared) = (updates + shard.sequence(), created + came, cleared + went);
        }
        let (hits, misses) = self.reads.read();
        CacheStats {
            name: self.rules.name.to_string(),
            entries: self.len() as u64,
            updates,
            created,
            cleared,
            hits,
            misses,
            suppressed: self.counts.suppressed.get(),
            expired: self.counts.expired.get(),
            evicted: self.counts.evicted.get(),
            aggregates: self.counts.aggregates.get(),
            ..CacheStats::default()
        }
    }
}

impl CacheFigures for CacheCore {
    fn figures(&self) -> CacheStats {
        self.stats()
    }

    #[cfg(feature = "metrics")]
    fn counted(&self) -> CacheStats {
        self.counted()
    }

    #[cfg(feature = "metrics")]
    fn label(&self) -> &Arc<Label<CacheSums>> {
        &self.label
    }
}

impl Drop for CacheCore {
    fn drop(&mut self) {
        let last = self.counted();
        self.label.leave(self.exchange.clock.coarse_monotonic_ns(), |sums| sums.add(&last));
    }
}

impl Sought<EntryKey> for KeyRef<'_> {
    #[inline(always)]
    fn is(&self, key: &EntryKey) -> bool {
        KeyRef::is(self, key)
    }
}

/// Whether both are the same message, or both are missing.
fn same(a: Option<&Message>, b: Option<&Message>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.is_same(b),
        (None, None) => true,
        _ => false,
    }
}

/// The latest message of each object, by type, id and origin.
///
/// Fed by [caching topics](Topic::caching), any number of which may share one. Each entry has what this node says of an
/// object (*local*), what other nodes say of it (by [`Origin`]), and what that comes to together (the *aggregate*), if
/// the cache was built with a function for it. Cheap to clone; it may be read as long as anybody has it, also when its
/// caching topics or the bus are gone. Entries stay until they are cleared.
///
/// **What a read sees.** When a publish on a cached topic has returned, every read that begins later sees its message, or
/// a later one (with [`suppress_equal`](CacheBuilder::suppress_equal): or an equal one), and an aggregate that takes it
/// into account. Whoever gets an update finds what it tells, or something later, in the cache. Reads of different entries
/// are not one moment: each entry is as whole as it ever was, and iteration is weakly consistent: it shows every entry
/// that stands all the while, once, and of those that come and go meanwhile any.
///
/// **What it costs.** A read takes no lock and waits for nobody: one look in a hash map, under a guard that costs a
/// thread's own store and a fence, and one reference count for the message. [`pin`](Self::pin) shares the guard among
/// reads and spares the counts. A write locks a part of the map for the time of a push into every mailbox that listens.
///
/// ```
/// use stasis_bus::{AnyType, Bus, Cache};
/// let bus = Bus::builder().manual().build()?;
/// let state = bus.message_type::<(String, u32)>("state")?;
/// let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).build()?;
/// let topic = bus.topic("states")?;
/// let _cached = topic.caching(&cache)?;
///
/// topic.publish(state.message(("alice".to_owned(), 1)));
/// topic.publish(state.message(("alice".to_owned(), 2)));
/// let alice = cache.get(&state, "alice");
/// assert_eq!(alice.as_ref().and_then(|message| state.read(message)).map(|(_, n)| *n), Some(2));
/// assert_eq!(cache.dump(AnyType).len(), 1);
///
/// cache.clear(&state, "alice");
/// assert!(cache.get(&state, "alice").is_none());
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone)]
pub struct Cache(pub(crate) Arc<CacheCore>);

impl Cache {
    /// Its name: that of [`CacheBuilder::name`], or `cache:` and a number.
    pub fn name(&self) -> &str {
        &self.0.rules.name
    }

    /// The topic that gets every update of this cache, whatever caching topic it came by, and also when none of those
    /// stands any more.
    pub fn updates(&self) -> &Topic {
        &self.0.updates
    }

    /// How many entries there are, of all types. Cost: one addition for each part of the map.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its figures now. Cost: one lock for each part of the map, for a moment.
    pub fn stats(&self) -> CacheStats {
        self.0.stats()
    }

    /// Whether both are the same cache.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.name())
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}
