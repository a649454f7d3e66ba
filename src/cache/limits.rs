//! What a cache does not keep for ever: states that nobody has written for long, and more entries than it may have.
//!
//! | when | what | by whom |
//! | --- | --- | --- |
//! | a slot was not written for the time to live | it is cleared, and announced | an alarm, on a worker, which looks at all entries |
//! | a new entry is one too many | of a sample of others, the one written longest ago is cleared, slot by slot | who wrote it, when every mailbox has its message |
//!
//! Whether a slot is due is asked outside the lock, and again under it: a state that was written meanwhile, the same or an
//! equal one included, stays. The alarm goes by the oldest slot that it met. A writer sets it as well, unless it is set for
//! an earlier time: so a slot that came while the alarm's work was already past it is not forgotten. For that, the writer
//! stores, fences and looks at the alarm, and the work begins with a fence after the alarm was taken.
//!
//! An entry makes room when its last slot is cleared: its aggregate, which may be computed later, is no more counted then.

use super::CacheCore;
use super::entry::Entry;
use super::write::{Change, Only, Outcome};
use crate::dispatch::timer::{Alarm, Timed};
use crate::error::CacheError;
use crate::message::Origin;
use crate::message::entry_key::EntryKey;
use crate::sync::atomic::{AtomicU64, Ordering, fence};
use crate::sync::{Arc, Weak};
use crate::topic::errands::Errands;
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::time::Duration;

/// The alarm rings so often in the time to live, at most.
const LOOKS_PER_TTL: u64 = 16;
/// Entries of which one has to go.
const SAMPLE: usize = 16;
/// Entries that one writer takes out, at most.
const OUT_AT_ONCE: usize = 2;
/// How often it looks for them.
const TRIES: usize = 16;

/// What was said about it when the cache was built.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) ttl: Option<Duration>,
    pub(super) max_entries: Option<usize>,
}

/// A time to live, in microseconds: 1 ms to 365 days.
const TTL_ALLOWED: RangeInclusive<u64> = 1_000..=31_536_000_000_000;
const ENTRIES_ALLOWED: RangeInclusive<u64> = 1..=u32::MAX as u64;

impl Limits {
    pub(super) fn check(&self) -> Result<(), CacheError> {
        let micros = |ttl: Duration| u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX);
        in_range("ttl in microseconds", self.ttl.map(micros), TTL_ALLOWED)?;
        in_range("max_entries", self.max_entries.map(|most| most as u64), ENTRIES_ALLOWED)
    }

    pub(super) fn note_times(&self) -> bool {
        self.ttl.is_some() || self.max_entries.is_some()
    }
}

fn in_range(field: &'static str, value: Option<u64>, allowed: RangeInclusive<u64>) -> Result<(), CacheError> {
    match value.filter(|value| !allowed.contains(value)) {
        None => Ok(()),
        Some(value) => Err(CacheError::OutOfRange { field, value, allowed }),
    }
}

/// When a slot was written last, by the bus's monotonic clock. Changed under the shard's lock.
#[derive(Default)]
pub(crate) struct Stamp(AtomicU64);

impl Stamp {
    pub(super) fn new(time: u64) -> Self {
        Self(AtomicU64::new(time))
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, time: u64) {
        self.0.store(time, Ordering::Relaxed);
    }
}

impl Clone for Stamp {
    fn clone(&self) -> Self {
        Self::new(self.get())
    }
}

/// The limits at work.
pub(super) struct Lives {
    limits: Limits,
    alarm: OnceLock<Alarm>,
    /// For the places that samples are taken from.
    samples: AtomicU64,
}

/// A slot that may have to go.
struct Old {
    key: EntryKey,
    origin: Origin,
    /// It is to stay if it was written after this.
    written: u64,
}

impl Lives {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, alarm: OnceLock::new(), samples: AtomicU64::new(0) }
    }

    fn ttl(&self) -> Option<u64> {
        self.limits.ttl.map(|ttl| u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX))
    }

    /// A number that looks like any other.
    fn any(&self) -> u64 {
        let n = self.samples.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (n ^ (n >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }
}

impl CacheCore {
    /// The time to note with what is written now; 0 if nobody asks for it.
    pub(super) fn stamp(&self) -> u64 {
        match self.lives.limits.note_times() {
            true => self.exchange.clock.monotonic_ns(),
            false => 0,
        }
    }

    /// A state was written at `time`; `is_new`: it is an entry more. No lock is held.
    pub(super) fn bound(
        &self,
        key: impl FnOnce() -> EntryKey,
        time: u64,
        is_new: bool,
        errands: &mut Errands,
    ) {
        let (ttl, max) = (self.lives.ttl(), self.lives.limits.max_entries.filter(|_| is_new));
        if ttl.is_some() || max.is_some() {
            // ORDERING(cache.ttl): SeqCst fence; pairs with the one in `ring`: what was written before it is met there,
            // or the alarm, taken before that one, is seen as not set here. And with itself: of two whose entries are new
            // at once, one counts both.
            fence(Ordering::SeqCst);
        }
        if let (Some(ttl), Some(alarm)) = (ttl, self.lives.alarm.get()) {
            alarm.set_by(time.saturating_add(ttl));
        }
        if let Some(max) = max
            && self.stated() > max
            && let Some(cache) = self.me.upgrade()
        {
            let key = key();
            errands.after_mailboxes(move |errands| cache.make_room(&key, max, errands));
        }
    }

    /// Gives the cache its alarm, if it needs one.
    pub(super) fn set_up(self: &Arc<Self>) {
        if self.lives.ttl().is_some() {
            let weak: Weak<Self> = Arc::downgrade(self);
            let _ = self.lives.alarm.set(self.exchange.pool.alarm(weak));
        }
    }

    /// `key` is one entry too many.
    fn make_room(&self, key: &EntryKey, max: usize, errands: &mut Errands) {
        let mut out = 0;
        // Another writer may choose the same one and be first: then it is not ours that went.
        for _ in 0..TRIES {
            if out == OUT_AT_ONCE || self.stated() <= max {
                return;
            }
            let Some(oldest) = self.oldest_of_some(key) else { return };
            let gone = oldest.iter().filter(|old| self.clear_old(old, errands)).count();
            // Of one that was written meanwhile something is left, and it takes up its room.
            out += usize::from(gone == oldest.len());
            self.counts.evicted.add(u64::from(gone > 0));
        }
    }

    /// The slots of the entry that was written longest ago, of some that are not `key`.
    fn oldest_of_some(&self, key: &EntryKey) -> Option<Vec<Old>> {
        let (any, shards) = (self.lives.any(), self.map.shards());
        let (mut met, mut oldest) = (0, None);
        for shard in 0..shards {
            let shard = (shard + any as usize) % shards;
            self.map.sample(shard, any, SAMPLE - met, |other, entry| {
                if entry.has_no_slot() || other == key {
                    return;
                }
                met += 1;
                let written = entry.written();
                if oldest.as_ref().is_none_or(|(before, _)| written < *before) {
                    oldest = Some((written, slots_of(other, entry, written)));
                }
            });
            if met >= SAMPLE {
                break;
            }
        }
        oldest.map(|(_, slots)| slots)
    }

    /// Takes out a slot that was not written since it was looked at. True: it is gone.
    fn clear_old(&self, old: &Old, errands: &mut Errands) -> bool {
        let Some(slot) = self.slot_now(&old.key, old.origin) else { return false };
        let outputs = self.topics_of(&slot.via);
        let outputs: Vec<_> = outputs.iter().collect();
        let change = Change {
            state: &slot.message,
            origin: old.origin,
            key: old.key.as_ref(),
            is_clear: true,
            expected: Some(&slot.message),
            only: Only::UnwrittenSince(old.written),
        };
        self.write(&change, &outputs, errands) == Outcome::Changed
    }

    fn expire(&self, old: &Old) {
        let mut errands = Errands::default();
        let gone = self.clear_old(old, &mut errands);
        self.counts.expired.add(u64::from(gone));
        errands.finish(&self.exchange);
    }
}

fn slots_of(key: &EntryKey, entry: &Entry, written: u64) -> Vec<Old> {
    let origins = entry.states().filter_map(|message| message.origin());
    origins.map(|origin| Old { key: key.clone(), origin, written }).collect()
}

impl Timed for CacheCore {
    /// Clears what has outlived its time. Says when the next slot has.
    fn ring(&self, now: u64) -> Option<u64> {
        // ORDERING(cache.ttl): SeqCst fence; pairs with the one in `bound`.
        fence(Ordering::SeqCst);
        let ttl = self.lives.ttl()?;
        let (due, mut earliest) = (RefCell::new(Vec::new()), None);
        let look = |key: &EntryKey, entry: &Entry| {
            for slot in entry.state_slots() {
                let (written, origin) = (slot.written(), slot.message().origin());
                match (written.saturating_add(ttl), origin) {
                    (end, Some(origin)) if end <= now => {
                        due.borrow_mut().push(Old { key: key.clone(), origin, written });
                    }
                    (end, _) => earliest = Some(earliest.map_or(end, |earlier: u64| earlier.min(end))),
                }
            }
        };
        self.map.for_some(look, || {
            let due = std::mem::take(&mut *due.borrow_mut());
            due.iter().for_each(|old| self.expire(old));
        });
        earliest.map(|end| end.max(now.saturating_add(ttl / LOOKS_PER_TTL)))
    }
}
