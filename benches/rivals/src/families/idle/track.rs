//! When each message was sent, and when it was handled.

use crate::bench::{Effort, Sample, Tally};
use crate::families::kit::{Dice, Sink};
use crate::families::percentiles;
use crate::pinning;
use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const MESSAGES: u64 = 20_000;
/// In a quick repetition: so that p99.9 is not one message.
const MESSAGES_QUICK: u64 = 5_000;
/// Nanoseconds between two messages, and how much more or less it may be: a steady beat would meet the system's.
const GAP: u64 = 20_000;
const GAP_VARIES: u64 = 5_000;

/// Nanoseconds from its start; 0: not yet.
pub struct Track {
    start: Instant,
    sent: Vec<AtomicU64>,
    handled: Vec<AtomicU64>,
    sink: Sink,
}

impl Track {
    pub fn new(effort: Effort) -> std::sync::Arc<Self> {
        let messages = if effort == Effort::Quick { MESSAGES_QUICK } else { effort.of(MESSAGES) };
        let empty = || (0..messages).map(|_| AtomicU64::new(0)).collect();
        Self { start: Instant::now(), sent: empty(), handled: empty(), sink: Sink::default() }.into()
    }

    pub fn messages(&self) -> u64 {
        self.sent.len() as u64
    }

    #[inline]
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// The handler's side, before anything else.
    #[inline]
    pub fn handle(&self, number: u64) {
        let now = self.now();
        self.sink.take(number);
        self.handled[number as usize].store(now, Ordering::Release);
    }

    /// The publisher's side: `make` is not part of it, `send` is.
    pub fn publish<M>(&self, mut make: impl FnMut(u64) -> M, mut send: impl FnMut(M)) {
        pinning::on_this(pinning::PUBLISHER, || {
            let (mut due, mut dice) = (self.now(), Dice::new());
            for number in 0..self.messages() {
                due = self.now().max(due) + GAP - GAP_VARIES + dice.below(2 * GAP_VARIES);
                self.wait_until(due);
                let message = make(number);
                self.sent[number as usize].store(self.now(), Ordering::Relaxed);
                send(message);
                self.wait_for(number);
            }
        });
    }

    fn wait_until(&self, due: u64) {
        while self.now() < due {
            hint::spin_loop();
        }
    }

    /// Looks seldom: a line that is read over and over is late at its writer.
    fn wait_for(&self, number: u64) {
        let mut look = self.now() + GAP / 4;
        loop {
            self.wait_until(look);
            if self.handled[number as usize].load(Ordering::Acquire) > 0 {
                return;
            }
            look += GAP / 20;
        }
    }

    /// Without the first tenth, which comes from cold caches.
    pub fn sample(&self) -> Sample {
        let pairs = self.sent.iter().zip(&self.handled).skip(self.sent.len() / 10);
        let took = pairs.map(|(sent, handled)| {
            handled.load(Ordering::Relaxed).saturating_sub(sent.load(Ordering::Relaxed))
        });
        let wanted: Tally = (0..self.messages()).collect();
        percentiles::add(Sample::new(self.sink.tally(), wanted), took.collect())
    }
}
