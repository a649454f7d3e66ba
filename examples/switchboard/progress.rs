//! The progress line: what the figures of a bus tell while it runs.

use crate::input::Meter;
use crate::messages::EVERYTHING;
use crate::switchboard::Outcome;
use stasis_bus::{Bus, BusStats};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a terminal is told, where one line takes the other's place.
const ON_A_TERMINAL: Duration = Duration::from_millis(100);
/// How often anything else is told, a line each time.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// A thread that prints the progress to the standard error, until it is told to stop.
pub(crate) struct Progress {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    pub(crate) fn start(bus: &Bus, meter: Meter) -> Self {
        let (stop, stopped) = channel();
        let pause = if io::stderr().is_terminal() { ON_A_TERMINAL } else { ELSEWHERE };
        let bus = bus.clone();
        let watch = move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                show(&running(&bus.stats(), meter.percent()), false);
            }
        };
        // Without a thread there is no progress line, but all the rest.
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(watch).ok();
        Self { stop, thread }
    }

    /// The last line stays.
    pub(crate) fn finish(self, outcome: &Outcome) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
        let deliveries: u64 = outcome.subscriptions.iter().map(|stats| stats.accepted).sum();
        show(&format!("done  {} messages  {deliveries} deliveries", outcome.source.messages), true);
    }
}

/// The bus counts everything by itself; nobody has to report to the progress line.
fn running(stats: &BusStats, percent: Option<u64>) -> String {
    let everything = stats.topics.iter().find(|topic| topic.name == EVERYTHING);
    let messages = everything.map_or(0, |topic| topic.reached);
    let deliveries: u64 = stats.subscriptions.iter().map(|one| one.accepted - one.depth.min(one.accepted)).sum();
    let mut line = percent.map_or_else(String::new, |percent| format!("{percent:3} %  "));
    let _ = write!(line, "{messages} messages  {deliveries} deliveries  waiting:");
    for one in &stats.subscriptions {
        let _ = write!(line, " {} {}", one.name, one.depth);
    }
    line
}

fn show(line: &str, is_last: bool) {
    let mut out = io::stderr().lock();
    let end = if is_last || !out.is_terminal() { "\n" } else { "" };
    let start = if out.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = write!(out, "{start}{line}{end}").and_then(|()| out.flush());
}
