//! What a cache must have in it, and what it must tell.

use super::script::{CacheSpec, Kind, OUTPUT};
use super::words::{Key, Slot, Told, Type};
use std::collections::{BTreeMap, BTreeSet};

/// So many go at once at most to make room.
const OUT_AT_ONCE: usize = 2;
/// How long a state stays that nobody writes, and so much longer at most. In nanoseconds.
pub(crate) const TTL: u64 = 16_000_000_000;
const LATE: u64 = TTL / 16;

/// What stands.
#[derive(Clone, Debug)]
struct Kept {
    value: u64,
    /// The caching topics that it came by.
    via: BTreeSet<u8>,
    written: u64,
    /// The time of that.
    time: u64,
}

/// A topic that is kept.
#[derive(Clone, Copy, Debug)]
struct Tap {
    topic: u8,
    only_plain: bool,
    stands: bool,
}

/// One state that comes or goes.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) slot: Slot,
    /// Zero: it goes.
    pub(crate) value: u64,
    pub(crate) outputs: BTreeSet<u8>,
}

/// An update to be told, to those who listen there.
pub(crate) type Update = (Told, BTreeSet<u8>);

/// What is left to be done when every mailbox has the message.
#[derive(Debug)]
pub(crate) enum Job {
    Aggregate(Kind, u8, BTreeSet<u8>),
    MakeRoom(Kind, u8),
}

#[derive(Debug, Default)]
pub(crate) struct Cached {
    slots: BTreeMap<Slot, Kept>,
    /// The newest of each, by its number.
    leases: BTreeMap<(Kind, u8), usize>,
    taps: Vec<Tap>,
    /// None: it computes aggregates.
    limit: Option<usize>,
    writes: u64,
    spec: CacheSpec,
    /// The time of the bus since it was made.
    pub(crate) now: u64,
    /// How often what this node says of an object has changed.
    changes: BTreeMap<(Kind, u8), u64>,
    /// Aggregates that the function is to be told of, and the topic of each. It may be told of those whose topic is kept
    /// no more.
    announced: Vec<(u8, u64, bool)>,
    pub(crate) suppressed: u64,
    pub(crate) expired: u64,
}

/// Whether values are equal, as far as the cache is told.
pub(crate) fn are_equal(one: u64, other: u64) -> bool {
    one % 3 == other % 3
}

/// What the states of an object come to: a number that each of them changes.
pub(crate) fn aggregate_of(parts: impl Iterator<Item = u64>) -> Option<u64> {
    let mut parts: Vec<u64> = parts.collect();
    parts.sort_unstable();
    let mixed = |sum: u64, part: &u64| (sum ^ part).wrapping_mul(0x100_0000_01b3).rotate_left(7);
    (!parts.is_empty()).then(|| parts.iter().fold(0xcbf2_9ce4_8422_2325, mixed) | 1 << 63)
}

impl Cached {
    pub(crate) fn new(spec: CacheSpec) -> Self {
        Self { limit: spec.limit.map(|limit| usize::from(limit) + 1), spec, ..Self::default() }
    }

    pub(crate) fn value(&self, slot: Slot) -> u64 {
        self.slots.get(&slot).map_or(0, |kept| kept.value)
    }

    /// How many objects it has something of.
    pub(crate) fn len(&self) -> usize {
        self.slots.keys().map(|slot| (slot.kind, slot.object)).collect::<BTreeSet<_>>().len()
    }

    /// How many states there are, without aggregates.
    pub(crate) fn states(&self) -> usize {
        self.slots.keys().filter(|slot| slot.origin > 0).count()
    }

    pub(crate) fn count_of(&self, origin: u8) -> usize {
        self.slots.keys().filter(|slot| slot.origin == origin).count()
    }

    // ---- caching topics --------------------------------------------------------------------------------------

    pub(crate) fn keep(&mut self, topic: u8, only_plain: bool) {
        self.taps.push(Tap { topic, only_plain, stands: true });
    }

    pub(crate) fn stop_keeping(&mut self, at: usize) {
        self.taps[at].stands = false;
    }

    /// The outputs of those that hear of a message there.
    pub(crate) fn outputs(&self, topics: &BTreeSet<u8>, kind: Type) -> BTreeSet<u8> {
        let hears = |tap: &Tap| {
            let kind_too = match kind {
                Type::Clear | Type::Of(Kind::Plain) => true,
                Type::Of(Kind::Formatted) | Type::Change => !tap.only_plain,
                _ => false,
            };
            tap.stands && topics.contains(&tap.topic) && kind_too
        };
        (OUTPUT..).zip(&self.taps).filter(|(_, tap)| hears(tap)).map(|(output, _)| output).collect()
    }

    // ---- states ----------------------------------------------------------------------------------------------

    /// Makes the change. None: nothing changes.
    pub(crate) fn change(&mut self, change: Change, jobs: &mut Vec<Job>) -> Option<Update> {
        let Change { slot, value, outputs } = change;
        self.writes += 1;
        let (old, is_new) = (self.value(slot), !self.has(slot.kind, slot.object));
        let suppressed = old != value && self.suppresses(slot.kind, old, value);
        self.suppressed += u64::from(suppressed);
        if old == value || suppressed {
            self.slots.entry(slot).and_modify(|kept| (kept.written, kept.time) = (self.writes, self.now));
            return None;
        }
        if slot.origin == 1 {
            *self.changes.entry((slot.kind, slot.object)).or_default() += 1;
        }
        match value {
            0 => _ = self.slots.remove(&slot),
            _ => {
                let kept = Kept { value, via: outputs.clone(), written: self.writes, time: self.now };
                self.slots.insert(slot, kept);
            }
        }
        match self.limit {
            None => jobs.push(Job::Aggregate(slot.kind, slot.object, outputs.clone())),
            Some(limit) if is_new && self.len() > limit => jobs.push(Job::MakeRoom(slot.kind, slot.object)),
            Some(_) => {}
        }
        Some((Told { slot, old, new: value, snapshot: false }, outputs))
    }

    /// An equal one stands, which stays.
    fn suppresses(&self, kind: Kind, old: u64, new: u64) -> bool {
        self.spec.suppresses && kind == Kind::Plain && old > 0 && new > 0 && are_equal(old, new)
    }

    fn has(&self, kind: Kind, object: u8) -> bool {
        self.of(kind, object).next().is_some()
    }

    fn of(&self, kind: Kind, object: u8) -> impl Iterator<Item = (&Slot, &Kept)> {
        let whole = |origin| Slot { kind, object, origin };
        self.slots.range(whole(0)..=whole(u8::MAX))
    }

    /// What of the cache is to be told, now that the jobs are done.
    pub(crate) fn settle(&mut self, jobs: Vec<Job>) -> Vec<Update> {
        let (mut jobs, mut told) = (jobs, Vec::new());
        while !jobs.is_empty() {
            match jobs.remove(0) {
                Job::Aggregate(kind, object, outputs) => told.extend(self.aggregate(kind, object, outputs)),
                Job::MakeRoom(kind, object) => told.extend(self.make_room((kind, object), &mut jobs)),
            }
        }
        told
    }

    fn aggregate(&mut self, kind: Kind, object: u8, outputs: BTreeSet<u8>) -> Option<Update> {
        let slot = Slot { kind, object, origin: 0 };
        let parts = self.of(kind, object).filter(|(slot, _)| slot.origin > 0).map(|(_, kept)| kept.value);
        let (old, new) = (self.value(slot), aggregate_of(parts));
        if new.is_some_and(|new| old == new || self.suppresses(kind, old, new)) {
            return None;
        }
        let kept = new.map(|value| Kept { value, via: outputs.clone(), written: 0, time: 0 });
        match kept {
            Some(kept) => _ = self.slots.insert(slot, kept),
            None => _ = self.slots.remove(&slot),
        }
        for output in new.and(Some(&outputs)).filter(|_| self.spec.announces).into_iter().flatten() {
            let tap = self.taps[usize::from(output - OUTPUT)];
            self.announced.push((tap.topic, new.unwrap_or(0), tap.stands));
        }
        let told = Told { slot, old, new: new.unwrap_or(0), snapshot: false };
        (told.old != told.new).then_some((told, outputs))
    }

    /// The objects written longest ago go, but for that one.
    fn make_room(&mut self, spared: (Kind, u8), jobs: &mut Vec<Job>) -> Vec<Update> {
        let mut told = Vec::new();
        for _ in 0..OUT_AT_ONCE {
            let mut written = BTreeMap::new();
            for (slot, kept) in &self.slots {
                let newest = written.entry((slot.kind, slot.object)).or_insert(0);
                *newest = kept.written.max(*newest);
            }
            let oldest = written.iter().filter(|(object, _)| **object != spared);
            let Some((&(kind, object), _)) = oldest.min_by_key(|(_, written)| **written) else { break };
            if Some(self.len()) <= self.limit {
                break;
            }
            let slots: Vec<Slot> = self.of(kind, object).map(|(slot, _)| *slot).collect();
            told.extend(slots.into_iter().filter_map(|slot| self.clear(slot, jobs)));
        }
        told
    }

    /// By a call: told where it was written.
    pub(crate) fn clear(&mut self, slot: Slot, jobs: &mut Vec<Job>) -> Option<Update> {
        let outputs = self.slots.get(&slot)?.via.clone();
        self.change(Change { slot, value: 0, outputs }, jobs)
    }

    /// What a subscription there finds, as its first updates.
    pub(crate) fn standing(&self, via: Option<u8>) -> BTreeSet<Key> {
        let shown = self.slots.iter().filter(|(_, kept)| via.is_none_or(|via| kept.via.contains(&via)));
        let told = |(slot, kept): (&Slot, &Kept)| {
            Key::Update(Told { slot: *slot, old: 0, new: kept.value, snapshot: true })
        };
        shown.map(told).collect()
    }

    // ---- time and watches ------------------------------------------------------------------------------------

    /// The next time at which it is certain of each state whether it has gone, so many eighths of the time to live from
    /// now on; and what has gone by then. None: states stay.
    pub(crate) fn after(&self, eighths: u8) -> Option<(u64, BTreeSet<Slot>)> {
        let states = || self.slots.iter().filter(|(slot, _)| slot.origin > 0);
        let is_certain =
            |time: &u64| states().all(|(_, kept)| !(kept.time + TTL..kept.time + TTL + LATE).contains(time));
        let first = self.now + TTL / 8 * u64::from(eighths);
        let time = (0..=16).map(|more| first + LATE * more).find(is_certain).filter(|_| self.spec.ttl)?;
        let gone = states().filter(|(_, kept)| kept.time + TTL <= time).map(|(slot, _)| *slot);
        Some((time, gone.collect()))
    }

    /// Where it is told that this state goes.
    pub(crate) fn told_at(&self, slot: Slot) -> BTreeSet<u8> {
        self.slots.get(&slot).map(|kept| kept.via.clone()).unwrap_or_default()
    }

    pub(crate) fn changes(&self, kind: Kind, object: u8) -> u64 {
        self.changes.get(&(kind, object)).copied().unwrap_or(0)
    }

    /// What is wrong with the function having been told of these.
    pub(crate) fn check_announced(&mut self, mut told: Vec<(u8, u64)>) -> Option<String> {
        let due = std::mem::take(&mut self.announced);
        let left_out = due.iter().find(|(topic, value, is_certain)| {
            let at = told.iter().position(|one| *one == (*topic, *value));
            at.map(|at| told.swap_remove(at)).is_none() && *is_certain
        });
        (left_out.is_some() || !told.is_empty())
            .then(|| format!("announced was {told:?} as well, but not {left_out:?}; due was {due:?}"))
    }

    // ---- leases ----------------------------------------------------------------------------------------------

    pub(crate) fn lease(&mut self, slot: Slot, lease: usize) {
        self.leases.insert((slot.kind, slot.object), lease);
    }

    pub(crate) fn is_newest(&self, slot: Slot, lease: usize) -> bool {
        self.leases.get(&(slot.kind, slot.object)) == Some(&lease)
    }

    /// It is dropped: what stands goes with it, if it is the newest.
    pub(crate) fn end_lease(
        &mut self,
        slot: Slot,
        lease: usize,
        output: u8,
        jobs: &mut Vec<Job>,
    ) -> Option<Update> {
        if !self.is_newest(slot, lease) {
            return None;
        }
        self.leases.remove(&(slot.kind, slot.object));
        let mut outputs = self.slots.get(&slot)?.via.clone();
        outputs.insert(output);
        self.change(Change { slot, value: 0, outputs }, jobs)
    }

    pub(crate) fn forget_lease(&mut self, slot: Slot, lease: usize) {
        if self.is_newest(slot, lease) {
            self.leases.remove(&(slot.kind, slot.object));
        }
    }
}
