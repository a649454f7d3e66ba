//! What could a fan-out cost at the least, with a ring for each subscription?
//!
//! The single steps that no ring for many producers does without, and nothing around them: what `PROFILE.md` holds targets
//! against. Lines are a bus's distance apart; none of these rows uses the bus.

mod common;

use common::Bench;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use std::{hint, ptr, thread};

const SUBSCRIBERS: usize = 64;
const MESSAGES: usize = 20_000;
/// A number that travels by itself ends in a one, as no address of a line does.
const NUMBER_SHIFT: u32 = 1;

#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

fn main() {
    common::run("floors", |bench| {
        time_steps(bench);
        time_journeys(bench);
    });
}

/// One thread, lines that it has: 64 of each step, for one message to 64 subscribers.
fn time_steps(bench: &mut Bench) {
    let [tails, slots] = [lines(), lines()];
    bench.time("64 stores, of a single producer", || slots.iter().for_each(|slot| write(slot, 1)));
    bench.time("64 compare-exchanges, the claims of many producers", || tails.iter().for_each(claim));
    bench.time("64 claims, each with its store", || {
        tails.iter().zip(&slots).for_each(|(tail, slot)| {
            claim(tail);
            write(slot, 1);
        });
    });
    bench.time("64 claims, then 64 stores", || {
        tails.iter().for_each(claim);
        slots.iter().for_each(|slot| write(slot, 1));
    });
}

fn lines() -> Vec<Line> {
    (0..SUBSCRIBERS).map(|_| Line::default()).collect()
}

#[inline]
fn claim(Line(tail): &Line) {
    let seen = tail.load(Ordering::Acquire);
    // Alone, so it succeeds.
    let _ = tail.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Relaxed);
}

#[inline]
fn write(Line(slot): &Line, value: u64) {
    slot.store(value, Ordering::Release);
}

/// There and back again, between two threads that do nothing but look: what a spinning consumer's latency is made of.
fn time_journeys(bench: &mut Bench) {
    let (there, back, over) = (&Line::default(), &Line::default(), &AtomicBool::new(false));
    let fresh: &[Line] = &lines();
    thread::scope(|scope| {
        scope.spawn(|| answer(there, back, over));
        let mut number = 0;
        bench.percentiles("there and back, a line each way", MESSAGES, || {
            number += 1;
            journey(there, back, number << NUMBER_SHIFT | 1, number)
        });
        bench.percentiles("there with a message behind its address, and back", MESSAGES, || {
            number += 1;
            let message = &fresh[number as usize % fresh.len()];
            write(message, number);
            journey(there, back, ptr::from_ref(message).expose_provenance() as u64, number)
        });
        over.store(true, Ordering::Relaxed);
    });
}

/// Nanoseconds until the answer comes.
fn journey(there: &Line, back: &Line, word: u64, answer: u64) -> u64 {
    let start = Instant::now();
    write(there, word);
    while back.0.load(Ordering::Acquire) != answer {
        hint::spin_loop();
    }
    start.elapsed().as_nanos() as u64
}

/// Sends back what it is sent: the number in the word, or the one that the word is the address of.
fn answer(there: &Line, back: &Line, over: &AtomicBool) {
    let mut last = 0;
    while !over.load(Ordering::Relaxed) {
        let word = there.0.load(Ordering::Acquire);
        if word != last {
            last = word;
            write(back, number_of(word));
        }
        hint::spin_loop();
    }
}

fn number_of(word: u64) -> u64 {
    if !word.is_multiple_of(align_of::<Line>() as u64) {
        return word >> NUMBER_SHIFT;
    }
    // SAFETY: no number ends like an address of a line; the lines live as long as both threads.
    let Line(message) = unsafe { &*ptr::with_exposed_provenance::<Line>(word as usize) };
    message.load(Ordering::Acquire)
}
