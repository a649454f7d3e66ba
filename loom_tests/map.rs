//! Readers of the map against its writers, and against those who drop what it retired. The epochs are crossbeam's own.

use super::{Plain, Witness, explore, go_one_way};
use crate::map::{Domain, Map};
use crate::sync::{Arc, thread};
use loom::thread::spawn;
use std::hash::{BuildHasher, Hasher};

/// A value that is looked at while it is there: a drop that is not ordered after every look is an error.
struct Value {
    number: u64,
    is_gone: Arc<Plain<bool>>,
}

impl Value {
    /// The number, and what outlives the value.
    fn new(number: u64) -> (Self, Arc<Plain<bool>>) {
        let is_gone = Arc::new(Plain::new(false));
        (Self { number, is_gone: is_gone.clone() }, is_gone)
    }

    fn look(&self) -> u64 {
        assert!(!self.is_gone.read(|gone| *gone), "it was dropped");
        self.number
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.is_gone.write(|gone| *gone = true);
    }
}

/// Keys are their own hashes, so that a model knows where they are.
#[derive(Default)]
struct Itself(u64);

impl BuildHasher for Itself {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// Keys at home in the four quarters of a table: `A` and `B` in the first of two groups. `A`, the next two numbers and `B`
/// have one tag.
const A: u64 = 2;
const B: u64 = 1 << 62;
const C: u64 = 2 << 62;
const D: u64 = 3 << 62;

/// A map of one shard, and what has outlived its values. A table has two groups of two slots, of which two slots may be
/// used, then four groups, then eight.
struct Model {
    domain: Arc<Domain>,
    map: Map<u64, Value, Itself>,
    fates: std::sync::Mutex<Vec<Arc<Plain<bool>>>>,
}

impl Model {
    fn new(keys: &[u64]) -> Arc<Self> {
        let domain = Domain::new();
        let map = Map::with_shards(domain.clone(), 1, Itself::default());
        let model = Self { domain, map, fates: std::sync::Mutex::new(Vec::new()) };
        keys.iter().for_each(|key| model.insert(*key, *key));
        Arc::new(model)
    }

    fn insert(&self, key: u64, number: u64) {
        let (value, fate) = Value::new(number);
        self.fates.lock().unwrap().push(fate);
        let hash = self.map.hash_of(&key);
        self.map.lock_for(hash).insert(hash, key, value);
    }

    fn remove(&self, key: u64) {
        let hash = self.map.hash_of(&key);
        assert!(self.map.lock_for(hash).remove(hash, &key));
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.map.get_with(&key, Value::look)
    }

    fn dropped(&self) -> usize {
        self.fates.lock().unwrap().iter().filter(|fate| fate.read(|gone| *gone)).count()
    }

    /// Everything retired is dropped when nobody reads any more. Threads that were joined may be giving their handles
    /// back still.
    fn settle(&self) {
        self.domain.sweep();
        while self.domain.pending() > 0 {
            thread::yield_now();
            self.domain.sweep();
        }
    }
}

/// A reader finds the old value or the new one, whole, however soon the old one is dropped.
#[test]
fn get_against_replace() {
    static OLD: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    static SOON: Witness = Witness::new();
    explore(3, || {
        let model = Model::new(&[A]);
        let theirs = model.clone();
        let writer = spawn(move || {
            theirs.insert(A, 7);
            theirs.domain.sweep();
            if theirs.domain.pending() == 0 {
                SOON.see();
            }
        });
        match model.get(A) {
            Some(A) => OLD.see(),
            Some(7) => NEW.see(),
            other => panic!("{other:?}"),
        }
        writer.join().unwrap();
        go_one_way();
        model.settle();
        assert_eq!((model.get(A), model.dropped()), (Some(7), 1));
    });
    assert!(OLD.was_seen() && NEW.was_seen() && SOON.was_seen());
}

/// A group's tags are one word, also of those that others look for meanwhile: who was there is found all the time.
#[test]
fn get_against_insert_beside() {
    static FOUND: Witness = Witness::new();
    static NOT_YET: Witness = Witness::new();
    explore(3, || {
        let model = Model::new(&[A]);
        let theirs = model.clone();
        let writer = spawn(move || {
            theirs.insert(A, 7);
            theirs.domain.sweep();
            theirs.insert(A + 1, A + 1);
        });
        match model.get(A + 1) {
            Some(number) if number == A + 1 => FOUND.see(),
            None => NOT_YET.see(),
            other => panic!("{other:?}"),
        }
        assert!(matches!(model.get(A), Some(A | 7)));
        writer.join().unwrap();
        go_one_way();
        assert_eq!((model.get(A), model.get(A + 1)), (Some(7), Some(A + 1)));
    });
    assert!(FOUND.was_seen() && NOT_YET.was_seen());
}

/// Three keys at home in one group of two: who had to go on to the next group is found behind a slot that is emptied, also
/// if it is used again.
#[test]
fn get_behind_a_full_group() {
    explore(3, || {
        let model = Model::new(&[A, A + 1, A + 2]);
        let theirs = model.clone();
        let writer = spawn(move || {
            theirs.remove(A);
            theirs.insert(A, 7);
        });
        assert_eq!(model.get(A + 2), Some(A + 2));
        assert!(matches!(model.get(A), Some(A | 7) | None));
        writer.join().unwrap();
        go_one_way();
        model.settle();
        assert_eq!((model.get(A), model.get(A + 2), model.dropped()), (Some(7), Some(A + 2), 1));
    });
}

/// A reader finds the value or nothing; a neighbour is always found.
#[test]
fn get_against_remove() {
    static FOUND: Witness = Witness::new();
    static GONE: Witness = Witness::new();
    explore(3, || {
        // At home in the same group, with the same tag.
        let model = Model::new(&[A, A + 1]);
        let theirs = model.clone();
        let writer = spawn(move || {
            theirs.remove(A);
            theirs.domain.sweep();
        });
        match model.get(A) {
            Some(A) => FOUND.see(),
            None => GONE.see(),
            other => panic!("{other:?}"),
        }
        assert_eq!(model.get(A + 1), Some(A + 1));
        writer.join().unwrap();
        go_one_way();
        model.settle();
        assert_eq!((model.get(A), model.dropped()), (None, 1));
    });
    assert!(FOUND.was_seen() && GONE.was_seen());
}

/// A slot is used again by a key of the same hash only, and by it at once: nobody finds another key's value.
#[test]
fn get_against_remove_and_insert() {
    static OLD: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    static GONE: Witness = Witness::new();
    explore(3, || {
        let model = Model::new(&[A, B]);
        let theirs = model.clone();
        let writer = spawn(move || {
            theirs.remove(A);
            theirs.domain.sweep();
            theirs.insert(A, 7);
        });
        match model.get(A) {
            Some(A) => OLD.see(),
            Some(7) => NEW.see(),
            None => GONE.see(),
            other => panic!("{other:?}"),
        }
        assert_eq!(model.get(B), Some(B));
        writer.join().unwrap();
        go_one_way();
        model.settle();
        assert_eq!((model.get(A), model.dropped()), (Some(7), 1));
    });
    assert!(OLD.was_seen() && NEW.was_seen() && GONE.was_seen());
}

/// What is in the map is found while the table is replaced, in the old one or in the new one.
#[test]
fn get_against_grow() {
    static BOTH: Witness = Witness::new();
    static ONE: Witness = Witness::new();
    explore(3, || {
        let model = Model::new(&[A, C]);
        let theirs = model.clone();
        let writer = spawn(move || {
            theirs.insert(B, B);
            theirs.domain.sweep();
        });
        match model.get(B) {
            Some(B) => BOTH.see(),
            None => ONE.see(),
            other => panic!("{other:?}"),
        }
        assert_eq!(model.get(A), Some(A));
        writer.join().unwrap();
        go_one_way();
        model.settle();
        assert_eq!((model.get(A), model.get(B), model.dropped()), (Some(A), Some(B), 0));
    });
    assert!(BOTH.was_seen() && ONE.was_seen());
}

/// What is there all the time is met once, with the old value or the new one.
fn is_met_once(met: &[(u64, u64)]) {
    let of = |key| met.iter().filter(move |(met, _)| *met == key).map(|(_, number)| *number);
    assert_eq!(of(A).collect::<Vec<_>>(), [A]);
    assert!(matches!(of(C).collect::<Vec<_>>()[..], [C | 7]), "{met:?}");
    assert!(of(B).count() <= 1);
}

/// An iteration under one guard goes on in the table that it began with.
#[test]
fn iteration_against_grow() {
    explore(3, || {
        let model = Model::new(&[A, C]);
        let theirs = model.clone();
        let writer = spawn(move || {
            theirs.insert(C, 7);
            theirs.insert(B, B);
            theirs.domain.sweep();
        });
        let pinned = model.map.pin();
        let met: Vec<_> = pinned.iter().map(|(key, value)| (*key, value.look())).collect();
        is_met_once(&met);
        drop(pinned);
        writer.join().unwrap();
        go_one_way();
        model.settle();
    });
}

/// An iteration that is pinned for one entry at a time goes on in whatever table there is, where nothing is left behind: two
/// entries at home in one group stay where they are.
#[test]
fn interrupted_iteration_against_grow() {
    static MOVED: Witness = Witness::new();
    explore(2, || {
        let model = Model::new(&[A, C, D, D + 1]);
        let theirs = model.clone();
        let writer = spawn(move || {
            theirs.insert(B, B);
            theirs.insert(C, 7);
            theirs.domain.sweep();
        });
        let mut met = Vec::new();
        model.map.for_each(|key, value| met.push((*key, value.look())));
        is_met_once(&met);
        for steady in [D, D + 1] {
            assert_eq!(met.iter().filter(|entry| **entry == (steady, steady)).count(), 1, "{met:?}");
        }
        if met.contains(&(B, B)) {
            MOVED.see();
        }
        writer.join().unwrap();
        go_one_way();
        model.settle();
    });
    assert!(MOVED.was_seen());
}

/// What one has read, and knows that all are done with, the other drops: after the look.
#[test]
fn two_sweeps() {
    explore(2, || {
        let model = Model::new(&[A]);
        let theirs = model.clone();
        let reader = spawn(move || {
            assert!(matches!(theirs.get(A), Some(A | 8)));
            theirs.domain.sweep();
        });
        model.insert(A, 8);
        model.domain.sweep();
        reader.join().unwrap();
        go_one_way();
        model.settle();
        assert_eq!(model.dropped(), 1);
    });
}
