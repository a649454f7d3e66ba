//! What do the things weigh that a bus has many of: which blocks, of how many bytes, does one of them take?
//!
//! Blocks by the size that was asked for, and how many of each there are for one thing; what is larger than 4 KiB (tables and
//! lists that grow with the number of things) is one row. *Made* is the size that an allocator with four sizes to each power
//! of two (mimalloc, jemalloc) makes of it. No times: the figures are the same on every machine of 64 bits.

mod common;

use stasis_bus::{Bus, Cache, Error, Overflow, Topic};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

/// Blocks above this are told together.
const SMALL_MAX: usize = 4096;

static BLOCKS: [AtomicI64; SMALL_MAX + 1] = [const { AtomicI64::new(0) }; SMALL_MAX + 1];
static LARGE_BYTES: AtomicI64 = AtomicI64::new(0);

/// The system's allocator; the live blocks of each size are counted.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(layout: Layout, blocks: i64) {
    match BLOCKS.get(layout.size()) {
        Some(count) => count.fetch_add(blocks, Ordering::Relaxed),
        None => LARGE_BYTES.fetch_add(blocks * layout.size() as i64, Ordering::Relaxed),
    };
}

// SAFETY: the system's allocator, and counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout, 1);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout, -1);
        // SAFETY: as the caller says.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What stands allocated at one moment: blocks by size, and the bytes of large ones.
struct Weight {
    blocks: Vec<i64>,
    large: i64,
}

impl Weight {
    fn now() -> Self {
        let mut blocks = Vec::with_capacity(SMALL_MAX + 1);
        blocks.extend(BLOCKS.iter().map(|count| count.load(Ordering::Relaxed)));
        Self { blocks, large: LARGE_BYTES.load(Ordering::Relaxed) }
    }

    /// How many blocks of each size have come since then, and how many bytes of large ones.
    fn since(&self, now: &Self) -> (Vec<(usize, i64)>, i64) {
        let grown = self.blocks.iter().zip(&now.blocks).map(|(before, now)| now - before).enumerate();
        (grown.filter(|(_, blocks)| *blocks != 0).collect(), now.large - self.large)
    }
}

/// The size that an allocator makes of one asked for.
fn made(size: usize) -> usize {
    match size {
        0..=8 => 8,
        9..=128 => size.next_multiple_of(16),
        _ => size.next_multiple_of((size - 1).next_power_of_two() / 8),
    }
}

/// Makes `count` things, each by its number, and prints what one of them takes when `then` has returned.
fn weigh<T>(
    what: &str,
    count: usize,
    mut make: impl FnMut(usize) -> Result<T, Error>,
    then: impl FnOnce(),
) -> Result<(), Error> {
    let mut held = Vec::with_capacity(count);
    let before = Weight::now();
    for number in 0..count {
        held.push(make(number)?);
    }
    then();
    let (blocks, large) = before.since(&Weight::now());
    let each = |sum: f64| sum / count as f64;
    let sum = |size: fn(usize) -> usize| {
        let small: f64 = blocks.iter().map(|(asked, number)| size(*asked) as f64 * *number as f64).sum();
        each(small + large as f64)
    };
    println!("{what}: {:.1} bytes asked for, {:.1} made", sum(|asked| asked), sum(made));
    // A few blocks more or less are the threads' own, and the ends of tables.
    for (asked, number) in blocks.iter().filter(|(_, number)| number.unsigned_abs() as usize * 50 >= count) {
        println!("    {:>7.3} of {asked:>5}, made {:>5}", each(*number as f64), made(*asked));
    }
    if large != 0 {
        println!("    {:>7.1} bytes of large blocks", each(large as f64));
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("PJSIP/phone-{number:08}")
}

fn topics(bus: &Bus, count: usize) -> Result<(), Error> {
    weigh("idle topic", count, |number| Ok(bus.topic(&name(number))?), || {})?;
    let all = bus.topic("all")?;
    let forwarded = |number| {
        let topic = bus.topic(&name(number))?;
        let forward = topic.forward_to(&all)?;
        Ok((topic, forward))
    };
    weigh("idle topic and its forward", count, forwarded, || {})
}

fn subscriptions(bus: &Bus, count: usize) -> Result<(), Error> {
    let (topic, kind) = (bus.topic("all")?, bus.message_type::<u64>("number")?);
    let pool = |topic: &Topic| Ok(topic.subscription("idle").accept(&kind).start(|_| {})?);
    weigh("idle pool subscription", count, |_| pool(&topic), || {})?;
    weigh(
        "idle inline subscription",
        count,
        |_| Ok(topic.subscription("idle").accept(&kind).inline(|_| {})?),
        || {},
    )?;
    let with_topic = |number| {
        let topic = bus.topic(&name(number))?;
        let subscription = pool(&topic)?;
        Ok((topic, subscription))
    };
    weigh("idle topic and its idle pool subscription", count, with_topic, || {})?;
    let used = |_| pool(&topic);
    weigh("pool subscription after its first message", count, used, || {
        topic.publish(kind.message(1));
        bus.run_until_idle();
    })
}

/// Beyond the message, which is one and the same.
fn messages(bus: &Bus, count: usize) -> Result<(), Error> {
    let (topic, kind) = (bus.topic("full")?, bus.message_type::<u64>("count")?);
    for (what, policy, capacity) in [
        ("queued message", Overflow::DropNewest, count.next_power_of_two()),
        ("spilled message", Overflow::default(), 1),
    ] {
        let builder = topic.subscription("full").accept(&kind).overflow(policy).capacity(capacity);
        let _full = builder.start(|_| {})?;
        let message = kind.message(0);
        weigh(what, count, |_| Ok(topic.publish(message.clone())), || {})?;
        bus.run_until_idle();
    }
    Ok(())
}

fn entries(bus: &Bus, count: usize) -> Result<(), Error> {
    let (topic, kind) = (bus.topic("states")?, bus.message_type::<String>("state")?);
    let cache = Cache::builder(bus).id_of(&kind, |name| name).build()?;
    let _cached = topic.caching(&cache)?;
    let write = |number| Ok(topic.publish(kind.message(name(number))));
    weigh("cache entry, with its message and the name in it", count, write, || {
        bus.run_until_idle();
    })
}

fn main() -> Result<(), Error> {
    let count = if common::measures() { 100_000 } else { 1_000 };
    let bus = || Bus::builder().manual().build();
    topics(&bus()?, count)?;
    subscriptions(&bus()?, count / 10)?;
    messages(&bus()?, count)?;
    entries(&bus()?, count)
}
