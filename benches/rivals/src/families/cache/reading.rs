//! Reads of one map, timed: by one reader and by two, each on a processor of its own, and by one beside a writer.

use super::maps::Map;
use super::states::Names;
use crate::bench::{Effort, Outcome, Sample, Tally};
use crate::families::kit::each;
use crate::pinning::{CONSUMER, PUBLISHER, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// Reads in a full repetition, and at least in a quick one.
const READS: u64 = 1_000_000;
const READS_QUICK: u64 = 200_000;
/// A pin is held for so many.
const READS_PER_PIN: u64 = 64;

/// A map and the names in it.
pub struct Table<M> {
    names: Arc<Names>,
    map: M,
    /// Of the last write: every object is written once in each.
    round: AtomicU64,
}

/// How one thread reads so many, from that place on: what it has read.
pub type Reader<M> = fn(&M, &Names, usize, u64) -> Tally;

impl<M: Map> Table<M> {
    pub fn new(entries: usize) -> Outcome<Self> {
        let names = Names::new(entries);
        Ok(Self { map: M::new(&names)?, names, round: AtomicU64::new(0) })
    }

    /// One repetition: everything that there is to read.
    pub fn sample(&self, effort: Effort) -> Outcome<Sample> {
        let reads = effort.of(READS).max(if effort == Effort::Check { 1 } else { READS_QUICK });
        let (mut got, mut wanted, mut figures) = (Tally::default(), Tally::default(), Vec::new());
        for (name, readers, reader) in [
            ("owned 1 reader", 1, read_owned as Reader<M>),
            ("owned 2 readers", 2, read_owned),
            ("pinned 1 reader", 1, read_pinned),
            ("pinned 2 readers", 2, read_pinned),
        ] {
            figures.push((name, self.read(readers, reads, reader, &mut got)));
            (0..readers).for_each(|which| wanted.merge(self.wanted(which, readers, reads)));
        }
        for (name, writing, reader) in [
            ("owned beside a writer", "write beside owned", read_owned as Reader<M>),
            ("pinned beside a writer", "write beside pinned", read_pinned),
        ] {
            let (read, written) = self.read_beside_writer(reads, reader, &mut got)?;
            figures.extend([(name, read), (writing, written)]);
            wanted.merge(self.wanted(0, 1, reads));
        }
        let sample = Sample::new(got, wanted);
        Ok(figures.into_iter().fold(sample, |sample, (name, value)| sample.with(name, "ns", value)))
    }

    /// Nanoseconds for a read of `few` objects, or of all if there are no more, after as many that warm up.
    pub fn time(&self, few: usize, reads: u64, reader: Reader<M>) -> Outcome<f64> {
        let names = self.names.few(few);
        reader(&self.map, &names, 0, reads);
        let start = Instant::now();
        let got = reader(&self.map, &names, 0, reads);
        let time = start.elapsed();
        let len = names.len() as u64;
        let wanted: Tally = (0..reads).map(|place| names.at((place % len) as usize).0).collect();
        match got == wanted {
            true => Ok(each(time, reads)),
            false => Err(format!("read {got}, not {wanted}").into()),
        }
    }

    /// Readers begin far from each other.
    fn start_of(&self, which: usize, readers: usize) -> usize {
        self.names.len() * which / readers
    }

    /// What those reads must bring.
    fn wanted(&self, which: usize, readers: usize, reads: u64) -> Tally {
        let (start, len) = (self.start_of(which, readers) as u64, self.names.len() as u64);
        (start..start + reads).map(|place| self.names.at((place % len) as usize).0).collect()
    }

    fn read(&self, readers: usize, reads: u64, reader: Reader<M>, got: &mut Tally) -> f64 {
        let gate = &Barrier::new(readers);
        let one = |which: usize| {
            pin([PUBLISHER, CONSUMER][which]);
            self.warm_up(self.start_of(which, readers), reads, reader);
            gate.wait();
            let start = Instant::now();
            let tally = reader(&self.map, &self.names, self.start_of(which, readers), reads);
            (start.elapsed(), tally)
        };
        let done: Vec<(Duration, Tally)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..readers).map(|which| scope.spawn(move || one(which))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a reader that does not panic")).collect()
        });
        done.iter().for_each(|(_, tally)| got.merge(*tally));
        done.iter().map(|(time, _)| each(*time, reads)).sum::<f64>() / readers as f64
    }

    /// Reads each object once that will be read, not timed: whoever read or wrote it last, for the figure before this one,
    /// may have done so on another processor, which then has its lines.
    fn warm_up(&self, start: usize, reads: u64, reader: Reader<M>) {
        reader(&self.map, &self.names, start, reads.min(self.names.len() as u64));
    }

    /// Nanoseconds for a read, and for a write beside it. An error if a write that has returned is not seen.
    fn read_beside_writer(&self, reads: u64, reader: Reader<M>, got: &mut Tally) -> Outcome<(f64, f64)> {
        let (gate, end) = (&Barrier::new(2), &AtomicBool::new(false));
        let (read, written) = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                pin(CONSUMER);
                self.write_until(gate, end).map_err(|error| error.to_string())
            });
            let reader = scope.spawn(|| {
                pin(PUBLISHER);
                gate.wait();
                let start = Instant::now();
                let tally = reader(&self.map, &self.names, 0, reads);
                let time = start.elapsed();
                end.store(true, Ordering::Relaxed);
                (time, tally)
            });
            (reader.join(), writer.join())
        });
        let (time, tally) = read.map_err(|_| "the reader panicked")?;
        got.merge(tally);
        Ok((each(time, reads), written.map_err(|_| "the writer panicked")??))
    }

    /// As fast as it goes, over all objects, again and again; the reader begins after the first.
    ///
    /// In the order in which they were made, not that of the readers: an allocator that hands out one block behind the other
    /// would put the states where readers come to them in a row, which no user's cache has.
    fn write_until(&self, gate: &Barrier, end: &AtomicBool) -> Outcome<f64> {
        let round = self.round.fetch_add(1, Ordering::Relaxed) + 1;
        let (mut writes, mut last) = (0, 0);
        self.map.put(last, round);
        gate.wait();
        let start = Instant::now();
        while !end.load(Ordering::Relaxed) {
            last = writes % self.names.len() as u64;
            self.map.put(last, round);
            writes += 1;
        }
        let time = each(start.elapsed(), writes.max(1));
        let name = self.names.of(last);
        match M::look(&self.map.pin(), &name, |state| state.round) {
            Some(seen) if seen == round => Ok(time),
            seen => Err(format!("read {seen:?} after round {round} was written").into()),
        }
    }
}

/// Reads by references that the reader could keep.
fn read_owned<M: Map>(map: &M, names: &Names, start: usize, reads: u64) -> Tally {
    let (mut tally, mut place) = (Tally::default(), start);
    for _ in 0..reads {
        let (_, name) = names.at(place);
        add(&mut tally, map.get(name, |state| state.number));
        place = names.after(place);
    }
    tally
}

/// Looks at states where they are.
pub fn read_pinned<M: Map>(map: &M, names: &Names, start: usize, reads: u64) -> Tally {
    let (mut tally, mut place) = (Tally::default(), start);
    for first in (0..reads).step_by(READS_PER_PIN as usize) {
        let pin = map.pin();
        for _ in first..reads.min(first + READS_PER_PIN) {
            let (_, name) = names.at(place);
            add(&mut tally, M::look(&pin, name, |state| state.number));
            place = names.after(place);
        }
    }
    tally
}

/// What was not found is missing in the count.
#[inline]
fn add(tally: &mut Tally, number: Option<u64>) {
    if let Some(number) = number {
        tally.add(number);
    }
}
