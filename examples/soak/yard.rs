//! What everybody shares.

use crate::audience::Audience;
use crate::options::Options;
use crate::temper::Permits;
use crate::verdict::{Count, Counts, Kind, Verdict};
use stasis_bus::{Bus, Error, MessageType, Report, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const PUBLISHERS: usize = 4;
/// How long is waited for what comes by itself: for so many looks, since a machine may be asleep between them.
const LOOKS: usize = 20_000;
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Whether it holds, soon.
pub(crate) fn soon(holds: impl Fn() -> bool) -> bool {
    (0..LOOKS).any(|look| {
        thread::sleep(if look == 0 { Duration::ZERO } else { LOOK_EVERY });
        holds()
    })
}

/// Counts what lives.
#[derive(Clone, Default)]
pub(crate) struct Census(Arc<AtomicI64>);

impl Census {
    pub(crate) fn born(&self) -> Alive {
        self.0.fetch_add(1, Ordering::Relaxed);
        Alive(self.clone())
    }

    pub(crate) fn alive(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether nothing lives any more, soon.
    pub(crate) fn dies_out(&self) -> bool {
        soon(|| self.alive() == 0)
    }
}

/// One of the living.
pub(crate) struct Alive(Census);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

/// What is published: whose and which one, and that it lives.
pub(crate) struct Stamp {
    pub(crate) publisher: usize,
    /// From 1.
    pub(crate) number: u64,
    _ballast: Vec<u8>,
    _alive: Alive,
}

/// One of a service's own.
pub(crate) struct Numbered {
    pub(crate) number: u64,
    _alive: Alive,
}

/// What a handler publishes to itself.
pub(crate) struct Echo {
    /// The number of the subscription's account.
    pub(crate) whose: u64,
    /// From 1.
    pub(crate) number: u64,
}

pub(crate) struct Yard {
    pub(crate) options: Options,
    pub(crate) bus: Bus,
    pub(crate) kind: MessageType<Stamp>,
    pub(crate) echo: MessageType<Echo>,
    pub(crate) all: Topic,
    /// The last number whose publish has begun, and returned, per publisher.
    begun: [AtomicU64; PUBLISHERS],
    returned: [AtomicU64; PUBLISHERS],
    pub(crate) audience: Audience,
    pub(crate) permits: Permits,
    pub(crate) counts: Counts,
    pub(crate) verdict: Verdict,
    pub(crate) census: Census,
    /// Every step of an actor.
    pub(crate) steps: AtomicU64,
    end: Instant,
    stop: AtomicBool,
}

impl Yard {
    pub(crate) fn new(options: Options) -> Result<Self, Error> {
        let bus = Bus::builder().workers(1..=8).on_panic(|_| {}).build()?;
        let (kind, echo) = (bus.message_type("stamp")?, bus.message_type("echo")?);
        let all = bus.topic("all")?;
        Ok(Self {
            options,
            kind,
            echo,
            all,
            bus,
            begun: Default::default(),
            returned: Default::default(),
            audience: Audience::default(),
            permits: Permits::new(),
            counts: Counts::new(),
            verdict: Verdict::default(),
            census: Census::default(),
            steps: AtomicU64::new(0),
            end: Instant::now() + options.time,
            stop: AtomicBool::new(false),
        })
    }

    /// Asked by every actor before its next step.
    pub(crate) fn goes_on(&self) -> bool {
        self.steps.fetch_add(1, Ordering::Relaxed);
        !self.is_over()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.verdict.is_bad() || Instant::now() >= self.end
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn stamp(&self, publisher: usize, number: u64) -> Stamp {
        let ballast = if number.is_multiple_of(16) { vec![1; (number % 4_096) as usize] } else { Vec::new() };
        Stamp { publisher, number, _ballast: ballast, _alive: self.census.born() }
    }

    pub(crate) fn numbered(&self, number: u64) -> Numbered {
        Numbered { number, _alive: self.census.born() }
    }

    // ---- numbers -------------------------------------------------------------------------------------------------------

    pub(crate) fn begin(&self, publisher: usize, number: u64) {
        self.begun[publisher].store(number, Ordering::SeqCst);
    }

    pub(crate) fn returned(&self, publisher: usize, number: u64) {
        self.returned[publisher].store(number, Ordering::SeqCst);
    }

    pub(crate) fn all_begun(&self) -> [u64; PUBLISHERS] {
        self.begun.each_ref().map(|number| number.load(Ordering::SeqCst))
    }

    pub(crate) fn all_returned(&self) -> [u64; PUBLISHERS] {
        self.returned.each_ref().map(|number| number.load(Ordering::SeqCst))
    }

    /// Nothing is refused while the bus is open.
    pub(crate) fn expect_taken(&self, report: &Report) {
        if let Some(why) = report.refusal {
            self.verdict.complain(Kind::Lost, format!("a publish was refused: {why:?}"));
        }
    }

    // ---- the end -------------------------------------------------------------------------------------------------------

    /// No value lives, and no message of any type.
    pub(crate) fn count_what_is_left(&self) {
        let gone = self.census.dies_out();
        self.verdict.expect(gone, Kind::Leaked, || format!("{} values are left", self.census.alive()));
        for stats in self.bus.message_type_stats().iter().filter(|stats| stats.alive > 0) {
            self.verdict
                .complain(Kind::Leaked, format!("{} messages of type {} are left", stats.alive, stats.name));
        }
    }

    pub(crate) fn count(&self, count: Count) {
        self.counts.one(count);
    }
}
