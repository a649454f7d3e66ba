//! Values that are read where readers stand: none goes under a reader, and none stays when all have left. The light barrier
//! is a fence here, as the heavy one: what is modelled is where they stand. So a reader that leaves has been through one, and
//! what sealing is for, one that buries before a reader elsewhere is seen, cannot happen here: that rests on the header.

use super::{Plain, Witness, explore};
use crate::sync::stands::{Shown, Standing, Stands};
use crate::sync::{Arc, Mutex, Weak};
use loom::thread::{JoinHandle, spawn};

/// A value whose use is plain: a drop that is not ordered after every use is an error.
struct Value {
    is_there: Arc<Plain<bool>>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.is_there.write(|there| assert!(std::mem::replace(there, false), "dropped twice"));
    }
}

/// What became of a value. The memory stays, so that a reader that comes too late finds what it says.
struct Fate {
    is_there: Arc<Plain<bool>>,
    _memory: Weak<Value>,
}

fn value() -> (Arc<Value>, Fate) {
    let is_there = Arc::new(Plain::new(true));
    let value = Arc::new(Value { is_there: is_there.clone() });
    let fate = Fate { is_there, _memory: Arc::downgrade(&value) };
    (value, fate)
}

impl Fate {
    /// To be asked when all threads are done.
    fn is_gone(&self) -> bool {
        !self.is_there.read(|&there| there)
    }
}

struct Model {
    stands: Stands<Value>,
    shown: Shown<Value>,
    /// The writer's.
    current: Mutex<Arc<Value>>,
}

impl Model {
    fn new() -> (Arc<Self>, Fate) {
        let (first, fate) = value();
        let shown = Shown::nothing();
        shown.show(Some(&first));
        (Arc::new(Self { stands: Stands::new(1), shown, current: Mutex::new(first) }), fate)
    }

    /// Replaces what is shown by another value, whose fate is returned.
    fn replace(&self) -> Fate {
        let (next, fate) = value();
        let mut current = self.current.lock();
        self.shown.show(Some(&next));
        let old = std::mem::replace(&mut *current, next);
        drop(current);
        self.stands.retire(old);
        fate
    }

    /// Whether it came to read.
    fn look(&self) -> bool {
        let Some(standing) = self.stands.stand(&self.shown) else { return false };
        standing.is_there.read(|&there| assert!(there, "it has gone under its reader"));
        assert!(self.stands.stand(&self.shown).is_none(), "the stand is taken");
        drop::<Standing<'_, _>>(standing);
        true
    }

    fn reader(self: &Arc<Self>, looks: usize) -> JoinHandle<bool> {
        let model = self.clone();
        spawn(move || {
            model.stands.take_place();
            (0..looks).map(|_| model.look()).fold(false, |any, one| any | one)
        })
    }
}

/// A reader reads the old value, the new one, or is just overtaken; the old one is gone in the end.
#[test]
fn reader_against_replacement() {
    static READ: Witness = Witness::new();
    static OVERTAKEN: Witness = Witness::new();
    explore(4, || {
        let (model, first) = Model::new();
        let reader = model.reader(1);
        let second = model.replace();
        if reader.join().unwrap() { &READ } else { &OVERTAKEN }.see();
        assert!(first.is_gone() && !second.is_gone());
    });
    assert!(READ.was_seen() && OVERTAKEN.was_seen());
}

/// One that leaves buries what was retired, beside another one whose stand nobody has seen yet.
#[test]
fn two_readers_against_replacement() {
    explore(2, || {
        let (model, first) = Model::new();
        let readers = [model.reader(1), model.reader(1)];
        let second = model.replace();
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(first.is_gone() && !second.is_gone());
    });
}

/// Two values go, one after the other, while a reader comes twice.
#[test]
fn reader_against_two_replacements() {
    explore(3, || {
        let (model, first) = Model::new();
        let reader = model.reader(2);
        let (second, third) = (model.replace(), model.replace());
        reader.join().unwrap();
        assert!(first.is_gone() && second.is_gone() && !third.is_gone());
    });
}

/// Threads that come after each other may have the same stand: it is given back behind the end that others wait for.
#[test]
fn stands_are_used_again() {
    static USED_AGAIN: Witness = Witness::new();
    explore(3, || {
        let (model, first) = Model::new();
        assert!(model.reader(1).join().unwrap());
        let reader = model.reader(1);
        let second = model.replace();
        reader.join().unwrap();
        assert!(first.is_gone() && !second.is_gone());
        if model.stands.len() == 1 {
            USED_AGAIN.see();
        }
    });
    assert!(USED_AGAIN.was_seen());
}
