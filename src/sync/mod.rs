//! The one door to atomics, cells, locks, threads and clocks.
//!
//! Everything else in the crate imports from here, and clippy forbids going round it (exempt are the numbers of `ids`,
//! the table of `dispatch::waits`, and cells that are set once). That keeps one sentence
//! true: *the code that ships is the code that was modelled*. With `--cfg bus_loom` the same names mean
//! [loom]'s types, which explore interleavings and weak memory; without it they are the standard library's. With
//! `--cfg bus_shuttle`, in tests, they are those too, with another thread going on at any access (`shuttle.rs`).
//!
//! Three things come from libraries that loom cannot look into. Each has a stand-in in `model.rs` with the
//! documented contract and nothing stronger: [`Snapshot`] (arc-swap), [`Backlog`] (crossbeam's `SegQueue`) and
//! [`Arc`] (the standard one in both builds: loom's has no weak references; where its count is asked for: [`Counted`]).
//!
//! [loom]: https://docs.rs/loom

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[cfg(not(bus_loom))]
pub(crate) mod barrier;
pub(crate) mod cells;
mod lazy;
#[cfg(bus_loom)]
mod model;
mod parker;
#[cfg(not(any(bus_loom, all(test, bus_shuttle))))]
mod real;
#[cfg(all(test, bus_shuttle))]
pub(crate) mod shuttle;
pub(crate) mod stands;
mod tally;
pub(crate) mod time;
mod waker;

#[cfg(bus_loom)]
use model as imp;
#[cfg(not(any(bus_loom, all(test, bus_shuttle))))]
use real as imp;
#[cfg(all(test, bus_shuttle))]
use shuttle as imp;

pub(crate) use imp::{Backlog, Snapshot, SnapshotGuard, UnsafeCell, atomic, hint, local, mutated, thread};
pub(crate) use lazy::LazyBox;
/// A box of figures, made by the first of them. Models do not explore it.
#[cfg(not(bus_loom))]
pub(crate) use lazy::LazyBox as LazyFigures;
#[cfg(all(test, bus_loom))]
pub(crate) use model::let_replaced_go;
#[cfg(bus_loom)]
pub(crate) use model::{Counted, LazyFigures, barrier, mutation};
pub(crate) use parker::{Parker, Unparker};
/// What somebody asks of whether anybody else has it. Models see the edges of that.
#[cfg(not(bus_loom))]
pub(crate) use std::sync::Arc as Counted;
pub(crate) use std::sync::{Arc, Weak};
pub(crate) use tally::Tally;
pub(crate) use waker::WakerCell;

pub(crate) use crossbeam_utils::CachePadded;

/// Who may still be reading what was replaced. The real one in both builds: it has models' atomics in models.
pub(crate) mod epoch {
    pub(crate) use crossbeam_epoch::{Collector, Guard, LocalHandle};
}

/// How maps by name are spread. Under shuttle in each run alike, or it would not be the same run again.
#[cfg(not(all(test, bus_shuttle)))]
pub(crate) use std::hash::RandomState;
#[cfg(all(test, bus_shuttle))]
pub(crate) type RandomState = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// What begins on a cache line of its own. Where processors fetch lines in pairs (x86-64), two that must stay apart have a
/// third one between them.
#[derive(Debug, Default)]
#[cfg_attr(any(target_arch = "aarch64", target_arch = "powerpc64"), repr(align(128)))]
#[cfg_attr(not(any(target_arch = "aarch64", target_arch = "powerpc64")), repr(align(64)))]
pub(crate) struct Line<T>(pub(crate) T);

impl<T> Deref for Line<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Line<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

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
