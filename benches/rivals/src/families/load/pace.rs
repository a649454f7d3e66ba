//! When each message is to be sent, and how long after that it was handled.

use crate::bench::{Outcome, Sample, Tally};
use crate::families::percentiles;
use std::hint;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// One message of so many has its latency taken, so that the clock is no load: a prime, so that it falls on no one place
/// of a group.
const SAMPLED: u64 = 7;
const TEXT: &str = "PJSIP/alice-00000001 is ringing!";

/// What is published, made fresh each time.
#[derive(Debug)]
pub struct Note {
    number: u64,
    text: String,
}

impl Note {
    pub fn new(number: u64) -> Self {
        Self { number, text: TEXT.to_owned() }
    }

    #[inline]
    fn weight(&self) -> u64 {
        self.number ^ u64::from(self.text.as_bytes()[(self.number % 32) as usize])
    }
}

/// The plan of one repetition, and what came of it.
pub struct Pace {
    messages: u64,
    /// Nanoseconds between two; 0: as fast as they go.
    gap: f64,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    start: OnceLock<Instant>,
    done: Mutex<Vec<Done>>,
}

/// What one subscriber got.
struct Done {
    tally: Tally,
    /// Of the messages that were sampled, in the order in which they came.
    latencies: Vec<u64>,
    last: Option<Instant>,
}

/// One subscriber's end: every contestant calls [`take`](Self::take) for each message, and drops it at the end.
pub struct Watch {
    messages: u64,
    gap: f64,
    start: Option<Instant>,
    tally: Tally,
    latencies: Vec<u64>,
    last: Option<Instant>,
    shared: Arc<Shared>,
}

impl Pace {
    pub fn new(messages: u64, gap: f64) -> Self {
        Self { messages, gap, shared: Arc::default() }
    }

    pub fn watches(&self, subscribers: usize) -> Vec<Watch> {
        let watch = || Watch {
            messages: self.messages,
            gap: self.gap,
            start: None,
            tally: Tally::default(),
            latencies: Vec::with_capacity((self.messages / SAMPLED + 1) as usize),
            last: None,
            shared: self.shared.clone(),
        };
        (0..subscribers).map(|_| watch()).collect()
    }

    /// Sends every message when it is time, and late ones at once.
    pub fn publish(&self, mut send: impl FnMut(u64)) {
        // Threads have had the time to come up.
        std::thread::sleep(Duration::from_millis(2));
        let start = *self.shared.start.get_or_init(Instant::now);
        for number in 0..self.messages {
            let due = start + due(self.gap, number);
            while Instant::now() < due {
                hint::spin_loop();
            }
            send(number);
        }
    }

    /// Call it when all watches are dropped.
    pub fn sample(&self) -> Outcome<Sample> {
        let done = self.shared.done.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut got, mut latencies) = (Tally::default(), Vec::new());
        for one in done.iter() {
            got.merge(one.tally);
            // The first tenth comes from cold caches.
            latencies.extend_from_slice(&one.latencies[one.latencies.len() / 10..]);
        }
        let wanted: Tally = (0..self.messages).map(|number| Note::new(number).weight()).collect();
        Ok(percentiles::add(Sample::new(got, wanted.times(done.len() as u64)), latencies))
    }

    /// The rate at which everything was handled in the end, beside the one that was asked for: less than 1 means that the
    /// contestant could not do it.
    pub fn finished(&self) -> f64 {
        let done = self.shared.done.lock().unwrap_or_else(PoisonError::into_inner);
        let last = done.iter().filter_map(|one| one.last).max();
        match (self.shared.start.get(), last) {
            (Some(start), Some(last)) => {
                due(self.gap, self.messages).as_secs_f64() / last.duration_since(*start).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

#[inline]
fn due(gap: f64, number: u64) -> Duration {
    Duration::from_nanos((gap * number as f64) as u64)
}

impl Watch {
    #[inline]
    pub fn take(&mut self, note: &Note) {
        self.tally.add(note.weight());
        if note.number.is_multiple_of(SAMPLED) || note.number + 1 == self.messages {
            self.look(note.number);
        }
    }

    #[inline]
    fn look(&mut self, number: u64) {
        let now = Instant::now();
        let start = *self.start.get_or_insert_with(|| self.shared.start.get().copied().unwrap_or(now));
        let late = now.saturating_duration_since(start + due(self.gap, number));
        self.latencies.push(late.as_nanos() as u64);
        self.last = Some(now);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let latencies = std::mem::take(&mut self.latencies);
        let mine = Done { tally: self.tally, latencies, last: self.last };
        self.shared.done.lock().unwrap_or_else(PoisonError::into_inner).push(mine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that is sent late, because the one before it took long, has waited since its own time.
    #[test]
    fn who_falls_behind_pays_for_every_message_that_waits() {
        let (stall, gap) = (Duration::from_millis(40), Duration::from_millis(1));
        let pace = Pace::new(22, gap.as_nanos() as f64);
        let mut watch = pace.watches(1).remove(0);
        pace.publish(|number| {
            if number == 0 {
                std::thread::sleep(stall);
            }
            watch.take(&Note::new(number));
        });
        let sampled = [0, 7, 14, 21];
        assert_eq!(watch.latencies.len(), sampled.len());
        for (number, latency) in sampled.into_iter().zip(&watch.latencies) {
            let waited = stall - gap * number;
            assert!(u128::from(*latency) >= waited.as_nanos(), "message {number}: {latency} ns");
        }
        drop(watch);
        assert!(pace.finished() < 1.0);
    }

    #[test]
    fn what_is_missing_is_found() {
        let pace = Pace::new(10, 0.0);
        let mut watch = pace.watches(1).remove(0);
        pace.publish(|number| {
            if number != 5 {
                watch.take(&Note::new(number))
            }
        });
        drop(watch);
        let lost = crate::bench::Contestant::new("a", "a", "", move |_| pace.sample());
        assert!(lost.run(crate::bench::Effort::Check).is_err());
    }
}
