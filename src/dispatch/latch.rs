//! One result, set once, for any number of waiters.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::time::Deadline;
use crate::sync::{Condvar, Mutex, mutated};

pub(crate) struct Latch<T> {
    is_set: AtomicBool,
    value: Mutex<Option<T>>,
    changed: Condvar,
}

impl<T: Copy> Latch<T> {
    pub(crate) fn new() -> Self {
        Self { is_set: AtomicBool::new(false), value: Mutex::new(None), changed: Condvar::new() }
    }

    /// The first value stands; later ones are ignored.
    pub(crate) fn set(&self, value: T) {
        let mut slot = self.value.lock();
        if slot.is_none() {
            *slot = Some(value);
            // ORDERING(latch.set): Release; pairs with the Acquire in `is_set`.
            self.is_set.store(true, Ordering::Release);
            if !mutated!("latch.wake") {
                self.changed.notify_all();
            }
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        // ORDERING(latch.set): Acquire; pairs with the Release in `set`.
        self.is_set.load(Ordering::Acquire)
    }

    /// The value, once it is there. `None`: the deadline came first.
    pub(crate) fn wait(&self, deadline: Deadline) -> Option<T> {
        let mut slot = self.value.lock();
        loop {
            if slot.is_some() || deadline.passed() {
                return *slot;
            }
            slot = self.changed.wait(slot, deadline.left());
        }
    }
}
