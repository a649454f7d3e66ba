//! The words of the bench: a scenario has contestants, a contestant runs a repetition, a repetition brings figures and
//! the proof that it did the work.

use crate::allocator::Allocator;
use std::fmt;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// One question, and who answers it.
pub struct Scenario {
    /// As on the command line and in the lines of the targets: `fanout-16`.
    pub name: String,
    /// Scenarios of one kind, which the command line takes together: `fanout`.
    pub family: &'static str,
    /// What is measured, in half a line.
    pub about: String,
    /// The first one is what the others are shown against.
    pub contestants: Vec<Contestant>,
    /// Under which allocators it runs.
    pub allocators: &'static [Allocator],
}

/// One way to do it: a crate in one arrangement.
pub struct Contestant {
    /// Whose arrangement it is: `crossbeam`. The targets take the best one of a rival.
    pub rival: &'static str,
    /// `crossbeam one-thread`.
    pub name: String,
    /// How its consumers wait when they have nothing to do: `SpinThenPark(50 us)`.
    pub wait: &'static str,
    run: Box<dyn Fn(Effort) -> Outcome<Sample>>,
}

/// How much work a repetition is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Enough to see whether the answer is right.
    Check,
    /// Enough for a first impression.
    Quick,
    #[default]
    Full,
}

/// What one repetition brought.
pub struct Sample {
    pub figures: Vec<Figure>,
    got: Tally,
    wanted: Tally,
}

/// One figure of a repetition.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// `time_per_message`, `p99`.
    pub metric: String,
    /// `ns`, `bytes`.
    pub unit: String,
    pub value: f64,
}

/// What was handled: how many, and the sum of what was read in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: u64,
    pub sum: u64,
}

impl Scenario {
    /// One that is timed: under mimalloc and under the system's allocator.
    pub fn timed(
        family: &'static str,
        name: impl Into<String>,
        about: impl Into<String>,
        contestants: Vec<Contestant>,
    ) -> Self {
        let allocators = &[Allocator::Mimalloc, Allocator::System];
        Self { name: name.into(), family, about: about.into(), contestants, allocators }
    }

    /// One that asks how much memory something takes: [`crate::allocator::live_bytes`] tells.
    pub fn weighed(
        family: &'static str,
        name: impl Into<String>,
        about: impl Into<String>,
        contestants: Vec<Contestant>,
    ) -> Self {
        let allocators = &[Allocator::Counted];
        Self { allocators, ..Self::timed(family, name, about, contestants) }
    }
}

impl Contestant {
    /// `run` sets everything up, runs one repetition of it, takes everything down (no thread may be left), and says
    /// what it has measured and handled.
    pub fn new(
        rival: &'static str,
        name: impl Into<String>,
        wait: &'static str,
        run: impl Fn(Effort) -> Outcome<Sample> + 'static,
    ) -> Self {
        Self { rival, name: name.into(), wait, run: Box::new(run) }
    }

    /// One repetition; an error if anything was lost, doubled or changed.
    pub fn run(&self, effort: Effort) -> Outcome<Vec<Figure>> {
        let sample = (self.run)(effort)?;
        match sample.got {
            _ if sample.wanted.count == 0 => Err("nothing was to be handled: it proves nothing".into()),
            got if got != sample.wanted => Err(format!("handled {got}, not {}", sample.wanted).into()),
            _ => Ok(sample.figures),
        }
    }
}

impl Effort {
    /// How many, of what is `full` in a full run.
    pub fn of(self, full: u64) -> u64 {
        let part = match self {
            Self::Full => full,
            Self::Quick => full / 10,
            Self::Check => full / 100,
        };
        part.max(1)
    }
}

impl Sample {
    /// The proof first: what was handled must be what was `wanted`, which somebody else counted.
    pub fn new(got: Tally, wanted: Tally) -> Self {
        Self { figures: Vec::new(), got, wanted }
    }

    /// Several as one: each figure the median of theirs, and everything handled in all of them.
    pub fn median_of(all: Vec<Self>) -> Self {
        let (mut got, mut wanted) = (Tally::default(), Tally::default());
        for one in &all {
            got.merge(one.got);
            wanted.merge(one.wanted);
        }
        let names = all.first().map(|first| first.figures.clone()).unwrap_or_default();
        let median = |(at, figure): (usize, Figure)| {
            let mut values: Vec<f64> = all.iter().map(|one| one.figures[at].value).collect();
            values.sort_by(f64::total_cmp);
            Figure { value: values[values.len() / 2], ..figure }
        };
        Self { figures: names.into_iter().enumerate().map(median).collect(), got, wanted }
    }

    /// One more figure.
    pub fn with(mut self, metric: impl Into<String>, unit: &'static str, value: f64) -> Self {
        self.figures.push(Figure { metric: metric.into(), unit: unit.to_owned(), value });
        self
    }
}

impl Tally {
    /// One more was handled, and this was read in it.
    #[inline]
    pub fn add(&mut self, weight: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(weight);
    }

    /// Everything that somebody else handled as well.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// As often as `times` of this.
    pub fn times(self, times: u64) -> Self {
        Self { count: self.count * times, sum: self.sum.wrapping_mul(times) }
    }
}

impl FromIterator<u64> for Tally {
    fn from_iter<I: IntoIterator<Item = u64>>(weights: I) -> Self {
        let mut tally = Self::default();
        weights.into_iter().for_each(|weight| tally.add(weight));
        tally
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with the sum {:#x}", self.count, self.sum)
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "check",
            Self::Quick => "quick",
            Self::Full => "full",
        })
    }
}

impl std::str::FromStr for Effort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Check, Self::Quick, Self::Full];
        all.into_iter().find(|effort| effort.to_string() == text).ok_or_else(|| format!("effort {text:?}"))
    }
}
