//! Who waits for whom. Two calls wait for a subscription (`publish_sync` and `join`), and a publish waits for room; each
//! enters here what is held up meanwhile, and a wait that would close a circle is refused before it begins.
//!
//! The table is one per process, so that circles across buses are seen. A thread that holds nothing up takes no lock.

#![allow(clippy::disallowed_types)]

use super::frames;
use crate::sync::{mutated, thread};
use std::sync::{Mutex, MutexGuard};

/// One edge: `waiter` cannot go on until `target` has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wait {
    waiter: u64,
    target: u64,
}

// The standard mutex even in models: it is nearly everywhere, and its edges would hide what others have to show.
static WAITS: Mutex<Vec<Wait>> = Mutex::new(Vec::new());

/// Waiting for this would wait for the calling thread itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Circle;

/// An entered wait; leaves the table when dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    waiters: Vec<u64>,
    targets: Vec<u64>,
}

/// Enters that everything under way on this thread waits for all of `targets`.
pub(crate) fn begin(targets: &[u64]) -> Result<Waiting, Circle> {
    let waiters = frames::held_up();
    if waiters.is_empty() {
        // Nothing is held up by this thread, so no circle can pass through it.
        return Ok(Waiting { waiters, targets: Vec::new() });
    }
    let mut table = lock();
    if reaches(&table, targets, &waiters) && !mutated!("waits.circle") {
        return Err(Circle);
    }
    if mutated!("waits.apart") {
        drop(table);
        thread::yield_now();
        table = lock();
    }
    for &waiter in &waiters {
        table.extend(targets.iter().map(|&target| Wait { waiter, target }));
    }
    Ok(Waiting { waiters, targets: targets.to_vec() })
}

fn reaches(table: &[Wait], from: &[u64], goals: &[u64]) -> bool {
    let mut seen: Vec<u64> = Vec::new();
    let mut open: Vec<u64> = from.to_vec();
    while let Some(id) = open.pop() {
        if goals.contains(&id) {
            return true;
        }
        if !seen.contains(&id) {
            seen.push(id);
            open.extend(table.iter().filter(|wait| wait.waiter == id).map(|wait| wait.target));
        }
    }
    false
}

fn lock() -> MutexGuard<'static, Vec<Wait>> {
    WAITS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.targets.is_empty() {
            return;
        }
        let mut table = lock();
        for &waiter in &self.waiters {
            for &target in &self.targets {
                if let Some(at) = table.iter().position(|wait| *wait == Wait { waiter, target }) {
                    table.swap_remove(at);
                }
            }
        }
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn g10_a_circle_is_refused_however_long() {
        let (a, b, c) = (crate::ids::next(), crate::ids::next(), crate::ids::next());
        let first = frames::enter(0, a, || begin(&[b])).unwrap();
        let second = frames::enter(0, b, || begin(&[c])).unwrap();
        assert_eq!(frames::enter(0, c, || begin(&[a]).err()), Some(Circle));
        assert_eq!(frames::enter(0, a, || begin(&[a]).err()), Some(Circle), "one's own");
        drop(second);
        assert!(frames::enter(0, c, || begin(&[a]).is_ok()), "the circle is open again");
        drop(first);
    }
}
