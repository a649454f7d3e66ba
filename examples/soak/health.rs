//! Memory, threads and file descriptors of this process over time, from /proc: they must stay flat.

use crate::heap;
use crate::verdict::{Kind, Verdict};
use crate::yard::{Yard, soon};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(250);
/// What is printed while it runs.
const LINES: u32 = 10;
/// The begin of a run, in which memory is got, and the parts that are compared after it.
const WARM_UP: f64 = 0.2;
const PART: f64 = 0.25;
const SAMPLES_MIN: usize = 20;
/// What is allocated goes up and down with the queues: as the medians of two parts, by no more than what three of twelve
/// mailboxes hold that have grown to their limit for all of one of them, 20,000 messages of 200 bytes each.
const HEAP_MORE_KIB: u64 = 12 << 10;
/// Without actors nothing is queued. What is left is by the bus's own bounds: a stock of blocks for each type of messages, the
/// topics of those names, what maps have not given back yet. That was 400 KiB; a hundred bytes for each subscription and
/// cache of ten minutes would be more than the bound.
const IDLE_MORE_KIB: u64 = 2 << 10;
/// Beyond what is allocated the system counts what its allocator keeps, and stacks: no measure of the bus, but nothing of it
/// may be without a bound either.
const MEMORY_MORE_KIB: u64 = 16 << 10;
const THREADS_MORE: u64 = 16;
const FILES_MORE: u64 = 4;

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// As the system sees it.
    pub(crate) memory_kib: u64,
    /// What is allocated.
    pub(crate) heap_kib: u64,
    pub(crate) threads: u64,
    pub(crate) files: u64,
}

impl Sample {
    /// Zeros where the system does not say.
    pub(crate) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
        let (memory_kib, threads) = (field(&status, "VmRSS:"), field(&status, "Threads:"));
        Self { memory_kib, heap_kib: heap::bytes() >> 10, threads, files }
    }
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// All looks, and those before the bus was there and after its end.
pub(crate) struct Trend {
    before: Sample,
    samples: Vec<Sample>,
    after: Sample,
    /// What is allocated while the bus stands, without an actor: before the first and after the last, in KiB.
    pub(crate) idle: (u64, u64),
}

impl Trend {
    pub(crate) fn new(before: Sample) -> Self {
        Self { before, samples: Vec::new(), after: before, idle: (0, 0) }
    }

    /// Without what is noted here.
    fn heap_kib(&self) -> u64 {
        let own = self.samples.capacity() * size_of::<Sample>();
        heap::bytes().saturating_sub(own as u64) >> 10
    }

    pub(crate) fn actors_come(&mut self) {
        self.idle.0 = self.heap_kib();
    }

    /// What they had goes soon: what nobody has taken home yet, workers drop.
    pub(crate) fn actors_are_gone(&mut self) {
        soon(|| self.heap_kib() <= self.idle.0 + IDLE_MORE_KIB);
        self.idle.1 = self.heap_kib();
    }

    /// Looks until the run is over.
    pub(crate) fn watch(&mut self, yard: &Yard) {
        let (start, line) = (Instant::now(), yard.options.time / LINES);
        let mut next = line;
        while !yard.is_over() {
            thread::sleep(EVERY);
            self.samples.push(Sample::now());
            if start.elapsed() >= next {
                next += line;
                self.print(yard, start.elapsed());
            }
        }
    }

    fn print(&self, yard: &Yard, elapsed: Duration) {
        let Sample { memory_kib, threads, files, .. } = self.samples.last().copied().unwrap_or_default();
        let published: u64 = yard.all_returned().iter().sum();
        let memory = memory_kib >> 10;
        let elapsed = elapsed.as_secs();
        eprintln!("{elapsed:>5} s  {published} published  {memory} MiB  {threads} threads  {files} fds");
    }

    /// What it was at the begin, when it was warm, and at the end: medians. A run that was over at once has none.
    pub(crate) fn parts(&self) -> (Sample, Sample) {
        if self.samples.len() < SAMPLES_MIN {
            return (self.before, self.before);
        }
        let of = |share: f64| (self.samples.len() as f64 * share) as usize;
        let first = &self.samples[of(WARM_UP)..of(WARM_UP + PART)];
        let last = &self.samples[of(1.0 - PART)..];
        (median(first), median(last))
    }

    pub(crate) fn most(&self) -> Sample {
        let most = |of: fn(&Sample) -> u64| self.samples.iter().map(of).max().unwrap_or(0);
        Sample {
            memory_kib: most(|s| s.memory_kib),
            heap_kib: most(|s| s.heap_kib),
            threads: most(|s| s.threads),
            files: most(|s| s.files),
        }
    }

    /// Before the first actor, and after the last.
    pub(crate) fn ends(&self) -> (Sample, Sample) {
        (self.before, self.after)
    }

    /// The end of it all. A thread that was joined may still be listed for a moment.
    pub(crate) fn judge(&mut self, verdict: &Verdict) {
        soon(|| Sample::now().threads <= self.before.threads);
        self.after = Sample::now();
        self.judge_growth(verdict);
        self.judge_what_is_left(verdict);
    }

    /// Growth is a leak.
    pub(crate) fn judge_growth(&self, verdict: &Verdict) {
        let (first, last) = self.parts();
        expect_flat(verdict, "KiB of memory", first.memory_kib, last.memory_kib, MEMORY_MORE_KIB);
        expect_flat(verdict, "KiB allocated", first.heap_kib, last.heap_kib, HEAP_MORE_KIB);
        expect_flat(verdict, "threads", first.threads, last.threads, THREADS_MORE);
        expect_flat(verdict, "fds", first.files, last.files, FILES_MORE);
    }

    /// So is what is left.
    pub(crate) fn judge_what_is_left(&self, verdict: &Verdict) {
        let (before, after, (idle_before, idle_after)) = (self.before, self.after, self.idle);
        expect_flat(verdict, "KiB allocated without actors", idle_before, idle_after, IDLE_MORE_KIB);
        expect_flat(verdict, "threads in the end", before.threads, after.threads, 0);
        expect_flat(verdict, "fds in the end", before.files, after.files, FILES_MORE);
    }
}

fn expect_flat(verdict: &Verdict, what: &str, first: u64, last: u64, more: u64) {
    let holds = last <= first + more;
    verdict
        .expect(holds, Kind::Leaked, || format!("{what}: {first} at first, then {last}; {more} more may be"));
}

fn median(samples: &[Sample]) -> Sample {
    let middle = |of: fn(&Sample) -> u64| {
        let mut values: Vec<u64> = samples.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    Sample {
        memory_kib: middle(|s| s.memory_kib),
        heap_kib: middle(|s| s.heap_kib),
        threads: middle(|s| s.threads),
        files: middle(|s| s.files),
    }
}

#[cfg(test)]
pub(crate) fn trend_of(samples: Vec<Sample>) -> Trend {
    Trend { samples, ..Trend::new(Sample::now()) }
}
