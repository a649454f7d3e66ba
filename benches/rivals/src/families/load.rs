//! Latency under a steady load: an open loop at a part of what the bus can do, to 4 subscribers.
//!
//! A message has a time at which it is to be sent, whatever happened to those before it, and its latency counts from that
//! time: who falls behind pays for every message that waits meanwhile (no coordinated omission). The rate is a part of
//! the bus's own capacity, measured in the same process before the first repetition, and the same for every contestant.
//! Publisher and handlers are pinned to different processors.

mod pace;
mod rivals;
mod stasis;

use crate::bench::{Contestant, Effort, Outcome, Sample, Scenario};
use crate::pinning;
use pace::{Pace, Watch};
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

const SUBSCRIBERS: usize = 4;
const CAPACITY: usize = 1024;
/// How long a repetition lasts.
const LASTS: Duration = Duration::from_millis(1_000);
const LASTS_QUICK: Duration = Duration::from_millis(100);
const LASTS_CHECK: Duration = Duration::from_millis(10);
/// In so many runs, each with percentiles of its own; their median is the repetition's. A machine that has other things to do
/// for 5 ms now and then would make more than a hundredth late in one long run, whoever is measured.
const RUNS: u32 = 5;
/// Messages that the capacity is measured with, and how often.
const CAPACITY_MESSAGES: u64 = 100_000;
const CAPACITY_RUNS: usize = 5;

/// Sets everything up, publishes every number at its time, takes everything down.
type Run = fn(&Pace, Vec<Watch>) -> Outcome<()>;

pub fn all() -> Vec<Scenario> {
    [10, 50, 90].map(scenario).into()
}

fn scenario(percent: u64) -> Scenario {
    let about = format!(
        "from the time at which a message was to be sent until a handler runs; {percent} % of the bus's capacity"
    );
    let capacity: Rc<OnceCell<f64>> = Rc::default();
    let row = |rival, name: &str, wait, run: Run| {
        let capacity = capacity.clone();
        Contestant::new(rival, name, wait, move |effort| repeat(percent, effort, &capacity, run))
    };
    let contestants = vec![
        row("stasis", "stasis pool", "SpinThenPark(50 us)", stasis::pool),
        row("crossbeam", "crossbeam one-thread", "spins, yields", rivals::crossbeam_one_thread),
        row("crossbeam", "crossbeam thread-each", "recv", rivals::crossbeam_thread_each),
        row("tokio-broadcast", "tokio-broadcast one-thread", "spins, yields", rivals::tokio_one_thread),
        row("tokio-broadcast", "tokio-broadcast thread-each", "blocking_recv", rivals::tokio_thread_each),
    ];
    Scenario::timed("load", format!("load-{percent}"), about, contestants)
}

fn repeat(percent: u64, effort: Effort, capacity: &OnceCell<f64>, run: Run) -> Outcome<Sample> {
    let capacity = match capacity.get() {
        Some(known) => *known,
        None => *capacity.get_or_init(|| measured_capacity(effort)),
    };
    let gap = capacity * 100.0 / percent as f64;
    let messages = (lasts(effort).as_nanos() as f64 / f64::from(RUNS) / gap) as u64;
    let runs = (0..RUNS).map(|_| run_once(messages.max(100), gap, run)).collect::<Outcome<_>>()?;
    Ok(Sample::median_of(runs))
}

fn run_once(messages: u64, gap: f64, run: Run) -> Outcome<Sample> {
    let pace = Pace::new(messages, gap);
    let watches = pace.watches(SUBSCRIBERS);
    pinning::on_this(pinning::PUBLISHER, || run(&pace, watches))?;
    let sample = pace.sample()?;
    Ok(sample.with("rate", "messages/s", 1e9 / gap).with("finished", "part", pace.finished()))
}

fn lasts(effort: Effort) -> Duration {
    match effort {
        Effort::Full => LASTS,
        Effort::Quick => LASTS_QUICK,
        Effort::Check => LASTS_CHECK,
    }
}

/// Nanoseconds for a message as fast as the bus takes them: the median of a few runs.
fn measured_capacity(effort: Effort) -> f64 {
    let messages = if effort == Effort::Check { 2_000 } else { CAPACITY_MESSAGES };
    let mut runs: Vec<f64> = (0..CAPACITY_RUNS).map(|_| time_flat_out(messages)).collect();
    runs.sort_by(f64::total_cmp);
    runs[CAPACITY_RUNS / 2]
}

fn time_flat_out(messages: u64) -> f64 {
    let pace = Pace::new(messages, 0.0);
    let watches = pace.watches(SUBSCRIBERS);
    let start = std::time::Instant::now();
    pinning::on_this(pinning::PUBLISHER, || stasis::pool(&pace, watches)).expect("a bus that works");
    // With its making and its end, which are short beside it.
    start.elapsed().max(Duration::from_nanos(1)).as_nanos() as f64 / messages as f64
}
