//! Data races made on purpose: the proof that a sanitizer sees them. Compiled with `--cfg planted_race` alone, by the
//! step `tsan` of `.ci/run`, which fails if one of these passes.

#![cfg(planted_race)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use stasis_bus::{Bus, Delivery};
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Says that it can be shared, which is not so.
#[derive(Default)]
struct Unguarded(UnsafeCell<u64>);

// SAFETY: none, on purpose.
unsafe impl Sync for Unguarded {}
// SAFETY: none, on purpose.
unsafe impl Send for Unguarded {}

impl Unguarded {
    fn add(&self) {
        // SAFETY: none, on purpose: nobody keeps others away.
        unsafe { *self.0.get() += 1 };
    }

    fn get(&self) -> u64 {
        // SAFETY: none, on purpose.
        unsafe { *self.0.get() }
    }
}

/// Inline calls overlap; this handler believes that they do not. The bus's own steps must not hide it.
#[test]
fn inline_handlers_that_share_a_plain_counter() {
    let bus = Bus::new().unwrap();
    let (number, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("all").unwrap());
    let (counter, inside) = (Arc::new(Unguarded::default()), AtomicU64::new(0));
    let counted = counter.clone();
    let careless = move |_: &Delivery<'_>| {
        meet(&inside, 2);
        counted.add();
        meet(&inside, 4);
    };
    let _sub = topic.subscription("careless").accept(&number).inline(careless).unwrap();
    thread::scope(|scope| {
        for at in 0..2 {
            let (topic, number) = (&topic, &number);
            scope.spawn(move || topic.publish(number.message(at)));
        }
    });
    println!("{} counted", counter.get());
}

/// A flag that should have been stored with Release.
#[test]
fn a_value_published_by_a_relaxed_flag() {
    let (value, steps) = (Unguarded::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            value.add();
            meet(&steps, 2);
            meet(&steps, 4);
        });
        meet(&steps, 2);
        println!("{} read", value.get());
        meet(&steps, 4);
    });
}

/// Counts the caller, and waits until there are so many: Relaxed, so that nothing orders what comes before and after.
/// Whoever raced stays until the other has, because of a thread that is gone the sanitizer may have forgotten the access.
fn meet(count: &AtomicU64, all: u64) {
    count.fetch_add(1, Ordering::Relaxed);
    while count.load(Ordering::Relaxed) < all {
        thread::yield_now();
    }
}
