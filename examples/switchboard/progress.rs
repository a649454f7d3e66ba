//! The progress line: what the figures of a bus tell while it runs.

use crate::input::Meter;
use crate::messages::EVERYTHING;
use crate::switchboard::Outcome;
use stasis_bus::{Bus, BusStats};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a terminal is told, where one line takes the other's place.
const ON_A_TERMINAL: Duration = Duration::from_millis(100);
/// How often anything else is told, a line each time.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// Where the progress is shown.
pub(crate) struct Line {
    out: Box<dyn Write + Send>,
    is_terminal: bool,
}

/// A thread that shows the progress until it is told the last line.
pub(crate) struct Progress {
    last: Sender<String>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Without a thread there is no progress line, but all the rest.
    pub(crate) fn start(bus: &Bus, meter: Meter, line: Line) -> Self {
        let (last, told) = channel();
        let bus = bus.clone();
        let watch = move || line.watch(&told, || running(&bus.stats(), meter.percent()));
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(watch).ok();
        Self { last, thread }
    }

    /// The last line stays.
    pub(crate) fn finish(self, outcome: &Outcome) {
        let deliveries: u64 = outcome.tallies.iter().map(|tally| tally.stats.accepted).sum();
        let messages = outcome.source.messages;
        let _ = self.last.send(format!("done  {messages} messages  {deliveries} deliveries"));
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
    }
}

/// The bus counts everything by itself; nobody has to report to the progress line.
fn running(stats: &BusStats, percent: Option<u64>) -> String {
    let everything = stats.topics.iter().find(|topic| topic.name == EVERYTHING);
    // What comes by a forward is the source's; on the topic itself only the bus publishes, when
    // somebody subscribes.
    let messages = everything.map_or(0, |topic| topic.arrived);
    let deliveries: u64 =
        stats.subscriptions.iter().map(|one| one.accepted - one.depth.min(one.accepted)).sum();
    let mut line = percent.map_or_else(String::new, |percent| format!("{percent:3} %  "));
    let _ = write!(line, "{messages} messages  {deliveries} deliveries  waiting:");
    for one in &stats.subscriptions {
        let _ = write!(line, " {} {}", one.name, one.depth);
    }
    line
}

impl Line {
    pub(crate) fn new(out: impl Write + Send + 'static, is_terminal: bool) -> Self {
        Self { out: Box::new(out), is_terminal }
    }

    pub(crate) fn stderr() -> Self {
        Self::new(io::stderr(), io::stderr().is_terminal())
    }

    fn watch(mut self, last: &Receiver<String>, now: impl Fn() -> String) {
        let pause = if self.is_terminal { ON_A_TERMINAL } else { ELSEWHERE };
        loop {
            match last.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => self.show(&now(), false),
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(text) => return self.show(&text, true),
            }
        }
    }

    /// If it cannot be shown, the work goes on all the same.
    fn show(&mut self, text: &str, is_last: bool) {
        let start = if self.is_terminal { "\r\x1b[K" } else { "" };
        let end = if is_last || !self.is_terminal { "\n" } else { "" };
        let _ = write!(self.out, "{start}{text}{end}").and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Memory, Trial};

    #[test]
    fn tells_what_the_bus_has_counted() {
        let mut trial = Trial::start();
        trial.play(b"Event: A\r\n\r\nEvent: B\r\n\r\n", 5);
        let line = running(&trial.board.bus().stats(), Some(7));
        assert!(line.starts_with("  7 %  2 messages  "), "{line}");
        assert!(line.contains(" deliveries  waiting: cdr 0 feed "), "{line}");
    }

    #[test]
    fn on_a_terminal_it_is_one_line() {
        for (is_terminal, shown) in [(true, "\r\x1b[Ka\r\x1b[Kb\n"), (false, "a\nb\n")] {
            let memory = Memory::default();
            let mut line = Line::new(memory.clone(), is_terminal);
            line.show("a", false);
            line.show("b", true);
            assert_eq!(memory.text(), shown);
        }
    }
}
