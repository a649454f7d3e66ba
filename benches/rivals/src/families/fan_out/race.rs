//! One repetition of one contestant: who publishes what, when the clock runs, and whether everything arrived.

use super::load::{Load, Payload};
use crate::bench::{Outcome, Sample, Tally};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The payload's text: 32 bytes on the heap.
pub const TEXT: &str = "PJSIP/alice-00000001 is ringing!";

/// What is published.
pub struct Note {
    number: u64,
    text: String,
}

impl Note {
    pub fn new(number: u64) -> Self {
        Self { number, text: TEXT.to_owned() }
    }

    /// What it adds to a subscriber's sum: reads the number and the text.
    #[inline]
    fn weight(&self) -> u64 {
        weigh(self.number, self.text.as_bytes())
    }
}

#[inline]
fn weigh(number: u64, text: &[u8]) -> u64 {
    number ^ (u64::from(text[number as usize % TEXT.len()]) << 32)
}

/// One publisher's messages for whom shares them by `Arc`.
pub struct Parcels(Option<Arc<Note>>);

impl Parcels {
    #[inline]
    pub fn next(&self, number: u64) -> Arc<Note> {
        match &self.0 {
            Some(same) => same.clone(),
            None => Arc::new(Note::new(number)),
        }
    }
}

/// One subscriber's end: every contestant calls [`take`](Self::take) for each message, and drops it at the end.
///
/// Aligned so that two of them never share a cache line. One thread at a time takes: that two did would be seen in the
/// count, as nothing here is added atomically.
#[repr(align(128))]
pub struct Sink {
    count: AtomicU64,
    sum: AtomicU64,
    /// The count that is reported next.
    mark: AtomicU64,
    race: Arc<Race>,
}

impl Sink {
    /// Handles one message.
    #[inline]
    pub fn take(&self, note: &Note) {
        self.weigh(note.weight());
    }

    /// Handles one message that is not shared.
    #[inline]
    pub fn read(&self, number: u64, text: &[u8]) {
        self.weigh(weigh(number, text));
    }

    /// Messages that were never handed over, and said to be: what they would have brought is added, so that the sum is
    /// right if and only if exactly those are missing. Only for one publisher of fresh messages.
    pub fn missed(&self, messages: u64) {
        let next = self.count.load(Ordering::Relaxed);
        (next..next + messages).for_each(|number| self.weigh(self.race.weight(number)));
    }

    #[inline]
    fn weigh(&self, weight: u64) {
        let count = self.count.load(Ordering::Relaxed) + 1;
        self.count.store(count, Ordering::Relaxed);
        self.sum.store(self.sum.load(Ordering::Relaxed).wrapping_add(weight), Ordering::Relaxed);
        if count == self.mark.load(Ordering::Relaxed) {
            self.reached(count);
        }
    }

    #[cold]
    fn reached(&self, count: u64) {
        if count == self.race.load.warm_up {
            self.mark.store(self.race.load.total(), Ordering::Relaxed);
            self.race.cold.fetch_sub(1, Ordering::AcqRel);
        } else if self.race.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.race.ended.set(Instant::now());
            self.race.owner.unpark();
        }
    }

    fn tally(&self) -> Tally {
        Tally { count: self.count.load(Ordering::Relaxed), sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let tally = self.tally();
        self.race.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(tally);
    }
}

/// What the parties of one repetition share.
pub struct Race {
    pub load: Load,
    /// Subscribers that have not handled the warm-up yet.
    cold: AtomicUsize,
    /// Subscribers that have not handled everything yet.
    running: AtomicUsize,
    started: OnceLock<Instant>,
    ended: OnceLock<Instant>,
    tallies: Mutex<Vec<Tally>>,
    failure: OnceLock<String>,
    /// The thread that made it, and waits for the end.
    owner: Thread,
}

impl Race {
    pub fn new(load: Load) -> Arc<Self> {
        Arc::new(Self {
            cold: AtomicUsize::new(load.subscribers),
            running: AtomicUsize::new(load.subscribers),
            load,
            started: OnceLock::new(),
            ended: OnceLock::new(),
            tallies: Mutex::default(),
            failure: OnceLock::new(),
            owner: thread::current(),
        })
    }

    /// One for each subscriber.
    pub fn sinks(self: &Arc<Self>) -> Vec<Sink> {
        let sink = || Sink {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            mark: AtomicU64::new(self.load.warm_up),
            race: self.clone(),
        };
        (0..self.load.subscribers).map(|_| sink()).collect()
    }

    /// For one publisher.
    pub fn parcels(&self) -> Parcels {
        Parcels((self.load.payload == Payload::Same).then(|| Arc::new(Note::new(0))))
    }

    /// Notes that something went wrong; [`verify`](Self::verify) tells of the first such thing.
    pub fn fail(&self, what: String) {
        let _ = self.failure.set(what);
    }

    /// Runs the publishers, each on a thread of its own, and returns the time from the first measured message until
    /// the last subscriber has handled its last.
    pub fn run<P: FnMut(u64) + Send>(&self, publishers: Vec<P>) -> Duration {
        assert_eq!(publishers.len(), self.load.publishers);
        let gate = Barrier::new(publishers.len());
        thread::scope(|scope| {
            for (which, publish) in publishers.into_iter().enumerate() {
                let gate = &gate;
                scope.spawn(move || self.publish_all(which, publish, gate));
            }
            self.wait_for_end()
        })
    }

    fn publish_all(&self, which: usize, mut publish: impl FnMut(u64), gate: &Barrier) {
        let (warm_up, total) = (self.load.warm_up, self.load.total());
        self.numbers(which, 0..warm_up).for_each(&mut publish);
        while self.cold.load(Ordering::Acquire) > 0 {
            thread::sleep(Duration::from_micros(50));
        }
        gate.wait();
        self.started.get_or_init(Instant::now);
        self.numbers(which, warm_up..total).for_each(publish);
    }

    /// Every publisher has its own share of the numbers.
    fn numbers(&self, which: usize, all: Range<u64>) -> impl Iterator<Item = u64> + use<> {
        let publishers = self.load.publishers;
        all.skip(which).step_by(publishers)
    }

    fn wait_for_end(&self) -> Duration {
        loop {
            if let (Some(started), Some(ended)) = (self.started.get(), self.ended.get()) {
                return ended.duration_since(*started);
            }
            thread::park_timeout(Duration::from_secs(1));
        }
    }

    /// What the message with that number weighs.
    fn weight(&self, number: u64) -> u64 {
        match self.load.payload {
            Payload::Fresh => weigh(number, TEXT.as_bytes()),
            Payload::Same => weigh(0, TEXT.as_bytes()),
        }
    }

    /// The repetition's figure, if every subscriber got every message once. Call it when all sinks are dropped.
    pub fn sample(&self, time: Duration) -> Outcome<Sample> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.as_str().into());
        }
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Tally = (0..self.load.total()).map(|number| self.weight(number)).collect();
        if let Some(wrong) = tallies.iter().find(|tally| **tally != wanted) {
            return Err(format!("a subscriber handled {wrong}, not {wanted}").into());
        }
        let mut all = Tally::default();
        tallies.iter().for_each(|tally| all.merge(*tally));
        let sample = Sample::new(all, wanted.times(self.load.subscribers as u64));
        Ok(sample.with("time_per_message", "ns", time.as_nanos() as f64 / self.load.messages as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Effort;

    /// One subscriber, whom the publisher hands everything to by itself, in `how`'s way.
    fn race(how: impl Fn(&Sink, u64) + Send) -> Outcome<Sample> {
        let race = Race::new(Load::new("test", 1).sized(Effort::Check));
        let sink = race.sinks().remove(0);
        let time = race.run(vec![move |number| how(&sink, number)]);
        race.sample(time)
    }

    fn take(sink: &Sink, number: u64) {
        sink.take(&Note::new(number));
    }

    #[test]
    fn every_message_once_is_right() {
        assert!(race(take).is_ok());
    }

    #[test]
    fn a_changed_message_is_seen() {
        assert!(race(|sink, number| take(sink, if number == 100 { 101 } else { number })).is_err());
    }

    #[test]
    fn a_doubled_message_is_seen() {
        let last = Load::new("test", 1).sized(Effort::Check).total() - 1;
        let how = |sink: &Sink, number| {
            take(sink, number);
            if number == last {
                take(sink, number);
            }
        };
        assert!(race(how).is_err());
    }

    #[test]
    fn what_is_said_to_be_missed_counts_only_at_its_place() {
        let told = |sink: &Sink, number| match number {
            100 => sink.missed(1),
            _ => take(sink, number),
        };
        assert!(race(told).is_ok());
        let late = |sink: &Sink, number| match number {
            100 => {}
            101 => {
                take(sink, number);
                sink.missed(1);
            }
            _ => take(sink, number),
        };
        assert!(race(late).is_err());
    }
}
