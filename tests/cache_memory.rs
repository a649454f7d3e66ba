//! What a cache takes while it is full, and that it gives all of it back: entries, messages, updates, tables.

#![allow(clippy::disallowed_types)]

mod counting;

use counting::bytes;
use stasis_bus::{AnyType, Bus, Cache};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

struct State {
    id: String,
    alive: &'static AtomicUsize,
}

impl Drop for State {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

static ALIVE: AtomicUsize = AtomicUsize::new(0);

fn state(n: usize) -> State {
    ALIVE.fetch_add(1, Ordering::Relaxed);
    State { id: format!("channel-{n}"), alive: &ALIVE }
}

/// In one test of one process: whoever allocates is counted.
#[test]
fn a_million_entries_come_and_go() {
    let entries = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let kind = bus.message_type::<State>("state").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, |state: &State| &state.id).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let cached = topic.caching(&cache).unwrap();
    let heard = cached.subscribe("told", |_| {}).unwrap();
    let come_and_go = |entries: usize| {
        for n in 0..entries {
            topic.publish(kind.message(state(n)));
            // Each is replaced, some of them often.
            topic.publish(kind.message(state(n / 16)));
        }
        let full = (cache.len(), bytes());
        let origin = cache.get(&kind, "channel-0").and_then(|message| message.origin()).unwrap();
        assert_eq!(cache.clear_origin(origin), full.0);
        assert!(cache.is_empty() && cache.dump_all(AnyType).is_empty());
        full
    };
    // What is made once, and kept: blocks of messages, the ring, histograms, tables of a shard with few entries.
    come_and_go(2_000);
    settle(&cache);
    let before = bytes();
    let (most, full) = come_and_go(entries);
    settle(&cache);
    let after = bytes();
    println!(
        "{most} entries: {before} bytes before, {full} when full ({} per entry), {after} after; {} values alive, {} \
         waiting to be dropped",
        (full - before) / most,
        ALIVE.load(Ordering::Relaxed),
        cache.stats().garbage
    );
    assert_eq!(most, entries);
    assert!(after < before + (full - before) / 20, "{before} bytes before, {after} after");
    heard.unsubscribe_and_join().unwrap();
    drop((cached, topic));
    bus.shutdown(Duration::from_secs(20)).unwrap();
}

/// Waits until everything that was retired is dropped, with every value.
fn settle(cache: &Cache) {
    for _ in 0..6_000 {
        if cache.stats().garbage == 0 && ALIVE.load(Ordering::Relaxed) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let (garbage, alive) = (cache.stats().garbage, ALIVE.load(Ordering::Relaxed));
    panic!("{garbage} wait to be dropped, {alive} values are alive");
}
