//! What all micro-benchmarks share: a clock, a table, a command line.
//!
//! ```text
//! cargo bench                               every row, a second or less each
//! cargo bench --bench ring -- racing        rows with this in their name
//! cargo test --bench '*'                    every row once: they work; measures nothing
//! ```
//!
//! A row runs in samples of a few milliseconds, each long enough that the clock does not matter; the table has minimum, median
//! and maximum over the samples. Close to the minimum is what the code costs; far from it is what the machine does.

// Every benchmark is a program of its own and uses a part of it.
#![allow(dead_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// As long should one sample be.
const SAMPLE: Duration = Duration::from_millis(10);
const SAMPLES: usize = 21;

/// One benchmark file: its rows, as far as the command line chooses them.
pub(crate) struct Bench {
    chosen: Vec<String>,
    /// Every row once, without a measurement.
    only_check: bool,
}

/// Runs the rows of the benchmark of that name.
///
/// Cargo says `--bench` where it wants a measurement; without it, as in `cargo test`, every row runs once.
pub(crate) fn run(name: &str, rows: impl FnOnce(&mut Bench)) {
    let (flags, chosen): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|one| one.starts_with('-'));
    let mut bench = Bench { chosen, only_check: !asks_to_measure(&flags) };
    match bench.only_check {
        true => println!("{name}: every row once"),
        false => println!("{name:<64}{:>10}{:>10}{:>10}  ns", "min", "median", "max"),
    }
    rows(&mut bench);
    println!();
}

/// Whether cargo wants a measurement.
pub(crate) fn measures() -> bool {
    asks_to_measure(&std::env::args().collect::<Vec<_>>())
}

fn asks_to_measure(arguments: &[String]) -> bool {
    let says = |word: &str| arguments.iter().any(|argument| argument == word);
    says("--bench") && !says("--test")
}

impl Bench {
    /// Whether the rows only have to work: a benchmark that builds something large builds less of it.
    pub(crate) fn only_checks(&self) -> bool {
        self.only_check
    }

    /// Nanoseconds for one call of `operation`.
    pub(crate) fn time<R>(&mut self, row: &str, operation: impl FnMut() -> R) {
        self.time_each(row, 1, operation);
    }

    /// Nanoseconds for one of the `count` things that a call of `operation` does.
    pub(crate) fn time_each<R>(&mut self, row: &str, count: u64, mut operation: impl FnMut() -> R) {
        self.time_with(row, |things| {
            let calls = things.div_ceil(count);
            let start = Instant::now();
            (0..calls).for_each(|_| drop(black_box(operation())));
            // The last call may have done more than was asked for.
            start.elapsed().mul_f64(things as f64 / (calls * count) as f64)
        });
    }

    /// Nanoseconds for one of the things of which `measure` does as many as it is told, and returns how long they took: for
    /// what needs a set-up that does not count, or several threads.
    pub(crate) fn time_with(&mut self, row: &str, mut measure: impl FnMut(u64) -> Duration) {
        if !self.chooses(row) {
            return;
        }
        if self.only_check {
            measure(1);
            println!("  {row}");
            return;
        }
        let count = calibrate(&mut measure);
        let mut samples: Vec<f64> =
            (0..SAMPLES).map(|_| measure(count).as_secs_f64() * 1e9 / count as f64).collect();
        samples.sort_by(f64::total_cmp);
        let [min, median, max] = [0, SAMPLES / 2, SAMPLES - 1].map(|at| samples[at]);
        println!("  {row:<62}{min:>10.1}{median:>10.1}{max:>10.1}");
    }

    /// Percentiles of single events, in nanoseconds: `sample` returns how long one of them took.
    pub(crate) fn percentiles(&mut self, row: &str, count: usize, mut sample: impl FnMut() -> u64) {
        if !self.chooses(row) {
            return;
        }
        let count = if self.only_check { 1 } else { count };
        // The first ones come from cold caches and sleeping threads.
        for _ in 0..count / 10 {
            sample();
        }
        let mut times: Vec<u64> = (0..count).map(|_| sample()).collect();
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        match self.only_check {
            true => println!("  {row}"),
            false => println!("  {row:<62}{:>10}{:>10}{:>10}  p50, p99, p99.9", at(0.5), at(0.99), at(0.999)),
        }
    }

    fn chooses(&self, row: &str) -> bool {
        self.chosen.is_empty() || self.chosen.iter().any(|part| row.contains(part.as_str()))
    }
}

/// How many make a sample: doubled until one is long enough, which warms up as well.
fn calibrate(measure: &mut impl FnMut(u64) -> Duration) -> u64 {
    let mut count = 1;
    loop {
        let took = measure(count);
        if took >= SAMPLE / 2 {
            let more = SAMPLE.as_secs_f64() / took.as_secs_f64();
            return ((count as f64 * more) as u64).max(1);
        }
        count *= 2;
    }
}
