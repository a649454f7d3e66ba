//! The board: the calls and the bus while they run, five times a second on a terminal.

pub(crate) mod frame;
pub(crate) mod phones;
pub(crate) mod screen;
pub(crate) mod text;

use crate::input::Meter;
use crate::messages::EVERYTHING;
use crate::options::{Options, Rounds, Speed};
use crate::snapshots::Known;
use crate::state::StateView;
use crate::stop::Stop;
use frame::{Figures, View};
use screen::Screen;
use stasis_bus::{Bus, BusStats};
use std::collections::VecDeque;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(200);
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Rates are those of about the last second.
const SAMPLES: usize = 6;
/// Seconds that the curves reach back.
const HISTORY: usize = 120;

/// A thread that paints until it is told that all is over.
pub(crate) struct Board {
    over: Stop,
    thread: Option<JoinHandle<()>>,
}

/// What is played, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heading {
    pub(crate) what: String,
    pub(crate) speed: Option<Speed>,
    pub(crate) rounds: Rounds,
    pub(crate) is_live: bool,
}

impl Heading {
    pub(crate) fn of(options: &Options, names: &[String]) -> Self {
        let Options { speed, rounds, live, .. } = options;
        Self { what: names.join(", "), speed: *speed, rounds: *rounds, is_live: live.is_some() }
    }
}

impl Board {
    /// Without a thread there is no board, but all the rest.
    pub(crate) fn start(screen: Screen, bus: &Bus, state: StateView, meter: Meter, heading: Heading) -> Self {
        let over = Stop::default();
        let (bus, told) = (bus.clone(), over.clone());
        let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let watch = move || {
            let (mut rates, mut diagnosis) = (Rates::default(), Diagnosis::default());
            while !told.sleep(PAUSE) {
                let view = View {
                    diagnosis: diagnosis.of(&bus),
                    ..look(&bus, &state, &meter, &heading, &mut rates)
                };
                let lines = view.lines(screen.size());
                let columns = screen.size().columns;
                let lines: Vec<_> = lines.iter().map(|line| line.render(columns, has_colours)).collect();
                screen.paint(&lines);
            }
        };
        let thread = thread::Builder::new().name("board".to_owned()).spawn(watch).ok();
        Self { over, thread }
    }

    /// The terminal is as before.
    pub(crate) fn finish(self) {
        self.over.say();
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
        screen::leave();
    }
}

fn look(bus: &Bus, state: &StateView, meter: &Meter, heading: &Heading, rates: &mut Rates) -> View {
    let stats = bus.stats();
    let (round, calls) = calls(state);
    rates.add(Sample { at: Instant::now(), messages: messages(&stats), calls: calls.totals.begun });
    View {
        heading: heading.clone(),
        round,
        percent: meter.percent(),
        calls,
        figures: stats.subscriptions.iter().map(Figures::of).collect(),
        workers: workers(&stats),
        diagnosis: Vec::new(),
        messages_per_second: rates.messages(),
        calls_per_second: rates.calls(),
        history: rates.history.clone(),
    }
}

/// The round, and the calls in it. The cache is held no longer than it takes to read it.
fn calls(state: &StateView) -> (u32, frame::Calls) {
    let pin = state.cache.pin();
    let known = Known::in_cache(&state.snapshots, &pin);
    (known.traffic.round, phones::calls(&known))
}

/// What comes by a forward is the source's.
fn messages(stats: &BusStats) -> u64 {
    stats.topics.iter().find(|topic| topic.name == EVERYTHING).map_or(0, |topic| topic.arrived)
}

fn workers(stats: &BusStats) -> String {
    let (workers, ready, topics, panics) = (stats.workers, stats.ready, stats.topics.len(), stats.panics);
    let busy = stats.worker_stats.iter().filter(|worker| worker.running.is_some()).count();
    format!("workers busy: {busy} of {workers}, mailboxes ready: {ready}, topics: {topics}, panics: {panics}")
}

/// What the bus says is wrong with it, in its own words. It speaks of what has happened since it was asked before, so
/// that is not five times a second.
#[derive(Debug, Default)]
struct Diagnosis {
    asked: Option<Instant>,
    findings: Vec<String>,
}

impl Diagnosis {
    fn of(&mut self, bus: &Bus) -> Vec<String> {
        if self.asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            self.asked = Some(Instant::now());
            self.findings = bus.diagnose().findings.iter().map(ToString::to_string).collect();
        }
        self.findings.clone()
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    messages: u64,
    calls: u64,
}

/// Figures per second, out of counts.
#[derive(Debug, Default)]
struct Rates {
    samples: VecDeque<Sample>,
    /// Messages and calls of each second so far.
    history: VecDeque<(f64, f64)>,
    since: Option<Sample>,
}

impl Rates {
    fn add(&mut self, sample: Sample) {
        self.samples.push_back(sample);
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        let since = *self.since.get_or_insert(sample);
        if sample.at.duration_since(since.at) >= Duration::from_secs(1) {
            self.history.push_back((
                per_second(since, sample, |sample| sample.messages),
                per_second(since, sample, |sample| sample.calls),
            ));
            self.since = Some(sample);
        }
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    fn messages(&self) -> f64 {
        self.of(|sample| sample.messages)
    }

    fn calls(&self) -> f64 {
        self.of(|sample| sample.calls)
    }

    fn of(&self, count: fn(&Sample) -> u64) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) => per_second(*first, *last, count),
            _ => 0.0,
        }
    }
}

fn per_second(first: Sample, last: Sample, count: fn(&Sample) -> u64) -> f64 {
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    let many = count(&last).saturating_sub(count(&first)) as f64;
    if seconds > 0.0 { many / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_second() {
        let (start, mut rates) = (Instant::now(), Rates::default());
        assert_eq!((rates.messages(), rates.calls()), (0.0, 0.0));
        for step in 0..20 {
            let at = start + Duration::from_millis(200) * step;
            let messages = if step < 10 { 0 } else { u64::from(step - 10) * 100 };
            rates.add(Sample { at, messages, calls: u64::from(step) });
        }
        assert!((rates.messages() - 500.0).abs() < 1e-6 && (rates.calls() - 5.0).abs() < 1e-6);
        assert_eq!(rates.history.len(), 3);
        assert!((rates.history[0].1 - 5.0).abs() < 1e-6);
    }
}
