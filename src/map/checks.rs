//! The map against the standard one, for any sequence of operations; for tests and for fuzzing.
//!
//! Each operation is three bytes. Iterations have others in their midst. Keys and values are counted, so that what is
//! dropped too soon, twice or never is found.

use super::{Domain, Map, Pinned};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

/// Says how many of it there are.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        Self(alive.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

struct Key {
    number: u8,
    _counted: Counted,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl Borrow<u8> for Key {
    fn borrow(&self) -> &u8 {
        &self.number
    }
}

struct Value {
    number: u16,
    _counted: Counted,
}

/// Hash functions, good and bad.
#[derive(Clone, Copy, Debug)]
enum Spread {
    Good,
    /// One hash for all.
    Constant,
    /// Four hashes, all at home in the last slot, whatever the table's size.
    AtTheEnd,
    /// Neighbours in the table.
    InARow,
    /// One place in each of many shards.
    LowBits,
}

impl Spread {
    const ALL: [Self; 5] = [Self::Good, Self::Constant, Self::AtTheEnd, Self::InARow, Self::LowBits];

    fn of(self, key: u8) -> u64 {
        match self {
            Self::Good => {
                let mut hasher = DefaultHasher::new();
                hasher.write_u8(key);
                hasher.finish()
            }
            Self::Constant => 0,
            Self::AtTheEnd => u64::MAX - u64::from(key % 4),
            Self::InARow => u64::from(key) << 56,
            Self::LowBits => u64::from(key),
        }
    }
}

struct Bytes(Spread, u8);

impl BuildHasher for Spread {
    type Hasher = Bytes;
    fn build_hasher(&self) -> Bytes {
        Bytes(*self, 0)
    }
}

impl Hasher for Bytes {
    fn finish(&self) -> u64 {
        self.0.of(self.1)
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.1 = *byte);
    }
}

/// The two maps, and what is still to be done to them.
struct Check<'i> {
    domain: Arc<Domain>,
    map: Map<Key, Value, Spread>,
    model: RefCell<HashMap<u8, u16>>,
    alive: Arc<AtomicUsize>,
    input: RefCell<std::slice::Iter<'i, u8>>,
    /// Keys that an iteration under way has to meet, and those it may.
    steady: RefCell<BTreeSet<u8>>,
}

/// Runs what `input` says. Panics if the map does anything that the standard one would not.
pub(crate) fn check(input: &[u8]) {
    let mut bytes = input.iter();
    let mut byte = || usize::from(bytes.next().copied().unwrap_or_default());
    let (spread, shards) = (Spread::ALL[byte() % Spread::ALL.len()], 1 << (byte() % 4));
    let (domain, alive) = (Domain::new(), Arc::new(AtomicUsize::new(0)));
    let check = Check {
        map: Map::with_shards(domain.clone(), shards, spread),
        domain,
        model: RefCell::default(),
        alive: alive.clone(),
        input: RefCell::new(bytes),
        steady: RefCell::default(),
    };
    while check.step(true) {}
    check.compare();
    check.settle();
    drop(check);
    assert_eq!(alive.load(Relaxed), 0, "something was never dropped");
}

impl Check<'_> {
    fn next(&self) -> Option<u8> {
        self.input.borrow_mut().next().copied()
    }

    /// One operation. False: the input is used up. `is_quiet`: no guard is held.
    fn step(&self, is_quiet: bool) -> bool {
        let (Some(what), Some(key), Some(value)) = (self.next(), self.next(), self.next()) else {
            return false;
        };
        match what % 16 {
            0..=5 => self.insert(key, value),
            6..=8 => self.remove(key),
            9 => self.replace_in_one_lock(key, value),
            10 => self.look(&self.map.pin(), key),
            11 if is_quiet => self.settle(),
            12 if is_quiet => self.iterate(),
            13 if is_quiet => self.visit(),
            14 if is_quiet => self.hold(key),
            _ => self.domain.sweep(),
        }
        true
    }

    fn entry(&self, key: u8, value: u8) -> (Key, Value) {
        let key = Key { number: key, _counted: Counted::new(&self.alive) };
        let number = u16::from(value) << 8 | u16::from(key.number);
        (key, Value { number, _counted: Counted::new(&self.alive) })
    }

    fn insert(&self, number: u8, value: u8) {
        let (key, value) = self.entry(number, value);
        let old = self.model.borrow_mut().insert(number, value.number);
        let hash = self.map.hash_of(&key);
        assert_eq!(self.map.lock_for(hash).insert(hash, key, value), old.is_some());
    }

    fn remove(&self, key: u8) {
        let hash = self.map.hash_of(&key);
        let old = self.model.borrow_mut().remove(&key);
        self.steady.borrow_mut().remove(&key);
        assert_eq!(self.map.lock_for(hash).remove(hash, &key), old.is_some());
    }

    /// Several things under one lock, which sees what it has done.
    fn replace_in_one_lock(&self, number: u8, value: u8) {
        self.steady.borrow_mut().remove(&number);
        let (key, value) = self.entry(number, value);
        let hash = self.map.hash_of(&key);
        let mut shard = self.map.lock_for(hash);
        let before = shard.get(hash, &number).map(|value| value.number);
        assert_eq!(before, self.model.borrow_mut().insert(number, value.number));
        assert_eq!(shard.remove(hash, &number), before.is_some());
        assert!(shard.get(hash, &number).is_none());
        let now = value.number;
        assert!(!shard.insert(hash, key, value));
        assert_eq!(shard.get(hash, &number).map(|value| value.number), Some(now));
        let (last, next) = (shard.sequence(), shard.next_sequence());
        assert!(next > last && shard.sequence() == next);
        assert_eq!(shard.iter().count(), shard.len());
    }

    fn look(&self, pinned: &Pinned<'_, Key, Value, Spread>, key: u8) {
        let found = pinned.find(&key, |_| {});
        assert!(found.is_none_or(|(its, value)| its.number == key && value.number as u8 == key));
        let number = found.map(|(_, value)| value.number);
        assert_eq!(number, self.model.borrow().get(&key).copied());
    }

    /// Nobody reads: everything that was retired is dropped.
    fn settle(&self) {
        self.domain.sweep();
        self.domain.sweep();
        assert_eq!(self.domain.pending(), 0);
        assert!(self.domain.oldest_pin().is_none());
        assert_eq!(self.alive.load(Relaxed), 2 * self.model.borrow().len());
    }

    /// What was found stays as it was while it is held, whatever is done meanwhile.
    fn hold(&self, key: u8) {
        let pinned = self.map.pin();
        let found = pinned.find(&key, |_| {});
        let number = found.map(|(_, value)| value.number);
        (0..8).for_each(|_| _ = self.step(false));
        self.domain.sweep();
        assert!(found.is_none_or(|(its, value)| its.number == key && Some(value.number) == number));
    }

    /// An iteration under one guard, with an operation after each entry.
    fn iterate(&self) {
        self.begin();
        let (pinned, mut met) = (self.map.pin(), Vec::new());
        for (key, value) in pinned.iter() {
            assert_eq!(value.number as u8, key.number);
            met.push(key.number);
            self.step(false);
        }
        self.end(met);
    }

    /// An iteration that is not always pinned, the same way.
    fn visit(&self) {
        self.begin();
        let met = RefCell::new(Vec::new());
        let look = |key: &Key, value: &Value| {
            assert_eq!(value.number as u8, key.number);
            met.borrow_mut().push(key.number);
            self.step(false);
        };
        self.map.for_some(look, || self.domain.sweep());
        self.end(met.take());
    }

    fn begin(&self) {
        *self.steady.borrow_mut() = self.model.borrow().keys().copied().collect();
    }

    fn end(&self, mut met: Vec<u8>) {
        met.sort_unstable();
        let steady = self.steady.take();
        let times = |key: &u8| met.iter().filter(|met| *met == key).count();
        assert!(steady.iter().all(|key| times(key) == 1), "{steady:?} met as {met:?}");
    }

    /// Both maps have the same in them.
    fn compare(&self) {
        let model = self.model.borrow();
        assert_eq!(self.map.len(), model.len());
        let pinned = self.map.pin();
        let mut met: Vec<_> = pinned.iter().map(|(key, value)| (key.number, value.number)).collect();
        met.sort_unstable();
        let mut expected: Vec<_> = model.iter().map(|(key, value)| (*key, *value)).collect();
        expected.sort_unstable();
        assert_eq!(met, expected);
        (0..=u8::MAX).for_each(|key| self.look(&pinned, key));
    }
}
