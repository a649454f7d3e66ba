//! The one door to atomics, cells, locks, threads and clocks.
//!
//! Everything else in the crate imports from here, and clippy forbids going round it (exempt are the numbers of `ids`,
//! the table of `dispatch::waits`, and cells that are set once). That keeps one sentence
//! true: *the code that ships is the code that was modelled*. With `--cfg bus_loom` the same names mean
//! [loom]'s types, which explore interleavings and weak memory; without it they are the standard library's.
//!
//! Three things come from libraries that loom cannot look into. Each has a stand-in in `model.rs` with the
//! documented contract and nothing stronger: [`Snapshot`] (arc-swap), [`Backlog`] (crossbeam's `SegQueue`) and
//! [`Arc`] (the standard one in both builds: loom's has no weak references).
//!
//! [loom]: https://docs.rs/loom

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

pub(crate) mod cells;
#[cfg(bus_loom)]
mod model;
mod parker;
#[cfg(not(bus_loom))]
mod real;
mod tally;
pub(crate) mod time;
mod waker;

#[cfg(bus_loom)]
use model as imp;
#[cfg(not(bus_loom))]
use real as imp;

pub(crate) use imp::{Backlog, Snapshot, SnapshotGuard, UnsafeCell, atomic, hint, local, thread};
pub(crate) use parker::{Parker, Unparker};
pub(crate) use std::sync::{Arc, Weak};
pub(crate) use tally::Tally;
pub(crate) use waker::WakerCell;

pub(crate) use crossbeam_utils::CachePadded;

/// Who may still be reading what was replaced. The real one in both builds: it has models' atomics in models.
pub(crate) mod epoch {
    pub(crate) use crossbeam_epoch::{Collector, Guard, LocalHandle};
}

use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// A mutex that does not poison: only bus code runs under our locks, and it does not panic.
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

pub(crate) struct MutexGuard<'a, T>(imp::MutexGuard<'a, T>);

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

pub(crate) struct Condvar(imp::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(imp::Condvar::new())
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits until notified, spuriously woken, or `timeout` (none: for ever) has passed.
    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, T> {
        let inner = match timeout {
            None => self.0.wait(guard.0).unwrap_or_else(|poisoned| poisoned.into_inner()),
            Some(limit) => {
                self.0.wait_timeout(guard.0, limit).unwrap_or_else(|poisoned| poisoned.into_inner()).0
            }
        };
        MutexGuard(inner)
    }
}
