//! What does an item cost that goes through the ring under every mailbox?
//!
//! The ring is private. As it depends on nothing but the door to atomics, it is built here once more, from the same files.

mod common;

#[path = "../src/queue/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod queue;
#[path = "../src/sync/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod sync;

use common::Bench;
use queue::{Group, Marks, Push, PushSeveral, Ring, Shape, Taken, WhenFull};
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const CAPACITY: usize = 1024;
/// Items in the ring at once, on one thread.
const ROUND: u64 = 256;

fn main() {
    common::run("ring", |bench| {
        time_alone(bench);
        time_racing(bench, 1);
        time_racing(bench, 2);
    });
}

fn ring() -> Ring {
    let no_marks = Marks { high: u64::MAX, low: 0 };
    Ring::new(Shape { capacity: CAPACITY, evicting: false, marks: no_marks })
}

/// One thread on both sides: no line travels.
fn time_alone(bench: &mut Bench) {
    let (ring, mut group) = (ring(), Group::default());
    let item = NonZeroUsize::MIN;
    bench.time("one thread, one by one", || {
        push(&ring, item);
        take(&ring, &mut group)
    });
    bench.time_each("one thread, filled, then emptied", ROUND, || {
        (0..ROUND).for_each(|_| push(&ring, item));
        while take(&ring, &mut group) > 0 {}
    });
    let several = [item; 32];
    bench.time_each("one thread, claims of 32, then emptied", ROUND, || {
        (0..ROUND / 32).for_each(|_| {
            let pushed = ring.push_several(&several);
            assert!(matches!(pushed, PushSeveral::Accepted { count: 32, .. }));
        });
        while take(&ring, &mut group) > 0 {}
    });
}

/// Producers on threads of their own; the consumer never sleeps.
fn time_racing(bench: &mut Bench, producers: u64) {
    let row = format!("{producers} producing, 1 consuming, racing");
    bench.time_with(&row, |items| {
        let (ring, gate) = (&ring(), Barrier::new(producers as usize + 1));
        let each = items.div_ceil(producers);
        thread::scope(|scope| {
            for _ in 0..producers {
                scope.spawn(|| {
                    gate.wait();
                    (0..each).for_each(|_| push_waiting(ring));
                });
            }
            gate.wait();
            let start = Instant::now();
            consume(ring, each * producers);
            scaled(start.elapsed(), items, each * producers)
        })
    });
}

fn scaled(time: Duration, wanted: u64, done: u64) -> Duration {
    time.mul_f64(wanted as f64 / done as f64)
}

fn push(ring: &Ring, item: NonZeroUsize) {
    assert!(matches!(ring.push(item, WhenFull::Refuse), Push::Accepted { .. }));
}

fn push_waiting(ring: &Ring) {
    while !matches!(ring.push(NonZeroUsize::MIN, WhenFull::Refuse), Push::Accepted { .. }) {
        thread::yield_now();
    }
}

fn consume(ring: &Ring, items: u64) {
    let (mut group, mut left) = (Group::default(), items as usize);
    while left > 0 {
        match take(ring, &mut group) {
            0 => thread::yield_now(),
            taken => left -= taken,
        }
    }
}

/// How many came out. The turn stays with the one thread that takes.
fn take(ring: &Ring, group: &mut Group) -> usize {
    // SAFETY: one thread takes out of each ring here, and never gives the turn up.
    match unsafe { ring.take(group, queue::GROUP) } {
        Taken::Some { .. } => group.by_ref().map(usize::from).sum(),
        Taken::Busy | Taken::Empty(_) | Taken::End => 0,
    }
}
