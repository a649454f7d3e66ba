//! One repetition of one contestant: who publishes what, when the clock runs, and whether everything arrived.

use crate::scenario::Fanout;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A repetition that takes longer hangs: a message was lost, or somebody sleeps for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// The payload's text: 32 bytes on the heap.
const TEXT: &str = "PJSIP/alice-00000001 is ringing!";

/// What is published: made fresh for every message, as real messages are.
pub struct Note {
    number: u64,
    text: String,
}

impl Note {
    fn new(number: u64) -> Self {
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

/// What one subscriber got, from its first message to its drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    count: u64,
    sum: u64,
}

/// One subscriber's end: every contestant calls [`take`](Self::take) for each message, and drops it at the end.
///
/// Aligned so that two of them never share a cache line.
#[repr(align(128))]
pub struct Sink {
    tally: Tally,
    /// The count that is reported next.
    mark: u64,
    race: Arc<Race>,
}

impl Sink {
    /// Handles one message.
    #[inline]
    pub fn take(&mut self, note: &Note) {
        self.tally.count += 1;
        self.tally.sum = self.tally.sum.wrapping_add(note.weight());
        if self.tally.count == self.mark {
            self.reached();
        }
    }

    #[cold]
    fn reached(&mut self) {
        if self.mark == self.race.fanout.warm_up {
            self.mark = self.race.fanout.total();
            self.race.cold.fetch_sub(1, Ordering::AcqRel);
        } else if self.race.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.race.ended.set(Instant::now());
            self.race.owner.unpark();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.race.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(self.tally);
    }
}

/// What the parties of one repetition share.
pub struct Race {
    pub fanout: Fanout,
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
    pub fn new(fanout: &Fanout) -> Arc<Self> {
        Arc::new(Self {
            fanout: fanout.clone(),
            cold: AtomicUsize::new(fanout.subscribers),
            running: AtomicUsize::new(fanout.subscribers),
            started: OnceLock::new(),
            ended: OnceLock::new(),
            tallies: Mutex::default(),
            failure: OnceLock::new(),
            owner: thread::current(),
        })
    }

    /// One for each subscriber.
    pub fn sinks(self: &Arc<Self>) -> Vec<Sink> {
        let sink = || Sink { tally: Tally::default(), mark: self.fanout.warm_up, race: self.clone() };
        (0..self.fanout.subscribers).map(|_| sink()).collect()
    }

    /// Notes that something went wrong; [`verify`](Self::verify) tells of the first such thing.
    pub fn fail(&self, what: String) {
        let _ = self.failure.set(what);
    }

    /// Runs the publishers, each on a thread of its own, and returns the time from the first measured message until
    /// the last subscriber has handled its last.
    pub fn run<P: FnMut(Note) + Send>(&self, publishers: Vec<P>) -> Duration {
        assert_eq!(publishers.len(), self.fanout.publishers);
        let gate = Barrier::new(publishers.len());
        thread::scope(|scope| {
            for (which, publish) in publishers.into_iter().enumerate() {
                let gate = &gate;
                scope.spawn(move || self.publish_all(which, publish, gate));
            }
            self.wait_for_end()
        })
    }

    fn publish_all(&self, which: usize, mut publish: impl FnMut(Note), gate: &Barrier) {
        let (warm_up, total) = (self.fanout.warm_up, self.fanout.total());
        self.numbers(which, 0..warm_up).for_each(|number| publish(Note::new(number)));
        let patience = Instant::now() + PATIENCE;
        while self.cold.load(Ordering::Acquire) > 0 {
            self.give_up_after(patience);
            thread::sleep(Duration::from_micros(50));
        }
        gate.wait();
        self.started.get_or_init(Instant::now);
        self.numbers(which, warm_up..total).for_each(|number| publish(Note::new(number)));
    }

    /// Every publisher has its own share of the numbers.
    fn numbers(&self, which: usize, all: Range<u64>) -> impl Iterator<Item = u64> + use<> {
        let publishers = self.fanout.publishers;
        all.skip(which).step_by(publishers)
    }

    fn wait_for_end(&self) -> Duration {
        let patience = Instant::now() + PATIENCE;
        loop {
            if let (Some(started), Some(ended)) = (self.started.get(), self.ended.get()) {
                return ended.duration_since(*started);
            }
            self.give_up_after(patience);
            thread::park_timeout(Duration::from_secs(1));
        }
    }

    /// Threads that hang cannot be stopped, so the process goes.
    fn give_up_after(&self, patience: Instant) {
        if Instant::now() > patience {
            eprintln!("rivals: {} hangs: {:?}", self.fanout.name(), self.failure.get());
            std::process::exit(1);
        }
    }

    /// Whether every subscriber got every message once. Call it when all sinks are dropped.
    pub fn verify(&self) -> Outcome<()> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.as_str().into());
        }
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        if tallies.len() != self.fanout.subscribers {
            return Err(format!("{} subscribers ended of {}", tallies.len(), self.fanout.subscribers).into());
        }
        let wanted = self.wanted();
        match tallies.iter().find(|tally| **tally != wanted) {
            Some(wrong) => Err(format!("a subscriber got {wrong:?} instead of {wanted:?}").into()),
            None => Ok(()),
        }
    }

    fn wanted(&self) -> Tally {
        let count = self.fanout.total();
        let weights = (0..count).map(|number| weigh(number, TEXT.as_bytes()));
        Tally { count, sum: weights.fold(0, u64::wrapping_add) }
    }
}
