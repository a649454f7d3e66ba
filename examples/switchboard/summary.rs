//! What the user is told at the end, in words and as `report.json`.

use crate::End;
use crate::cdr::compare::{Comparison, compare};
use crate::cdr::row::Row;
use crate::output::Written;
use crate::serve::Served;
use crate::switchboard::Outcome;
use serde::Serialize;
use stasis_bus::{Delay, SubscriptionStats};
use std::fmt;
use std::time::Duration;

/// Most differences that are listed.
const DIFFERENCES_LISTED: usize = 40;

pub(crate) struct Summary<'a> {
    name: &'a str,
    end: &'a End,
    outcome: &'a Outcome,
    /// None: there is nothing to compare with.
    comparison: Option<Comparison>,
    report: Report,
}

/// `report.json`; its fields are its format.
#[derive(Debug, Serialize)]
struct Report {
    messages: u64,
    deliveries: u64,
    missed: u64,
    cdr_rows: u64,
    cdr_rows_equal: Option<usize>,
    clients: Option<Served>,
    subscriptions: Vec<SubscriptionReport>,
}

#[derive(Debug, Serialize)]
struct SubscriptionReport {
    name: String,
    delivered: u64,
    missed: u64,
    delay_ns: DelayReport,
}

#[derive(Debug, Serialize)]
struct DelayReport {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl<'a> Summary<'a> {
    pub(crate) fn new(name: &'a str, end: &'a End, outcome: &'a Outcome, asterisk: Option<&[Row]>) -> Self {
        let comparison = asterisk.map(|rows| compare(&outcome.records.rows, rows));
        let report = Report::of(outcome, comparison.as_ref());
        Self { name, end, outcome, comparison, report }
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.report)
    }

    /// What went wrong; nothing if the results can be relied on.
    pub(crate) fn troubles(&self, report: &Written) -> Vec<String> {
        let troubles = self.with_the_input().into_iter();
        troubles.chain(self.with_the_output(report)).chain(self.on_the_bus()).collect()
    }

    fn with_the_input(&self) -> Option<String> {
        let events = self.outcome.source.stream.events;
        match self.end {
            End::Broken(error) => Some(format!("{} cannot be read to its end: {}", self.name, reason(error))),
            End::Complete if events == 0 => Some(format!("{} has no manager event in it", self.name)),
            End::Complete | End::Interrupted => None,
        }
    }

    fn with_the_output(&self, report: &Written) -> Vec<String> {
        let Outcome { records, feed, journal, .. } = self.outcome;
        let written = [&records.written, feed, journal, report];
        written.iter().filter_map(|written| written.error.as_ref()).map(ToString::to_string).collect()
    }

    /// None of these has ever been seen. If one is, the bus has not kept its word.
    fn on_the_bus(&self) -> Vec<String> {
        let Outcome { source, feed, journal, subscriptions, shutdown, .. } = self.outcome;
        let mut troubles = Vec::new();
        let lost = source.lost.max(self.report.missed);
        if lost > 0 {
            troubles.push(format!("{lost} messages did not reach everybody"));
        }
        for (written, stats) in [feed, journal].into_iter().zip(&subscriptions[1..]) {
            if written.items != stats.accepted {
                troubles
                    .push(format!("{} wrote {} of {} messages", stats.name, written.items, stats.accepted));
            }
        }
        for stats in subscriptions.iter().filter(|stats| stats.panics > 0) {
            troubles.push(format!("{} has panicked {} times", stats.name, stats.panics));
        }
        if !shutdown.is_clean() {
            troubles.push(format!("the bus did not end well: {shutdown}"));
        }
        troubles
    }
}

/// The usual words for a packed file that was cut are not helpful.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the packed data is cut off".to_owned(),
        _ => error.to_string(),
    }
}

impl Report {
    fn of(outcome: &Outcome, comparison: Option<&Comparison>) -> Self {
        let subscriptions: Vec<_> = outcome.subscriptions.iter().map(SubscriptionReport::from).collect();
        Self {
            messages: outcome.source.messages,
            deliveries: subscriptions.iter().map(|one| one.delivered).sum(),
            missed: subscriptions.iter().map(|one| one.missed).sum(),
            cdr_rows: outcome.records.written.items,
            cdr_rows_equal: comparison.map(|comparison| comparison.equal),
            clients: outcome.served,
            subscriptions,
        }
    }
}

impl From<&SubscriptionStats> for SubscriptionReport {
    fn from(stats: &SubscriptionStats) -> Self {
        let name = stats.name.clone();
        Self {
            name,
            delivered: stats.accepted,
            missed: stats.missed,
            delay_ns: DelayReport::from(stats.delay),
        }
    }
}

impl From<Delay> for DelayReport {
    fn from(delay: Delay) -> Self {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { p50: ns(delay.p50), p99: ns(delay.p99), p999: ns(delay.p999), max: ns(delay.max) }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream(f)?;
        self.traffic(f)?;
        self.subscriptions(f)?;
        self.clients(f)?;
        self.rows(f)
    }
}

impl Summary<'_> {
    fn stream(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.outcome.source;
        let stopped = if matches!(self.end, End::Interrupted) { " (stopped)" } else { "" };
        writeln!(f, "{}{stopped}", self.name)?;
        writeln!(
            f,
            "stream: {} bytes, {} events, of them {} CDRs left out; {} channels, {} bridges",
            source.stream.bytes, source.stream.events, source.answer_keys, source.channels, source.bridges
        )?;
        let told = [
            (source.strays, "events of channels or bridges that are not there"),
            (source.repeated, "channels or bridges that appear twice"),
            (source.unnamed, "ids that no topic can have"),
        ];
        for (count, what) in told.iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "  {what}: {count}")?;
        }
        self.faults(f)
    }

    fn faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.outcome.source;
        let count = source.stream.faults + source.unnamed;
        if count > 0 {
            writeln!(f, "faults: {count}")?;
        }
        for fault in &source.faults {
            writeln!(f, "  {fault}")?;
        }
        match count - source.faults.len() as u64 {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }

    fn traffic(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { messages, deliveries, missed, .. } = &self.report;
        let seconds = self.outcome.elapsed.as_secs_f64();
        let rate = |count: &u64| *count as f64 / seconds.max(f64::EPSILON);
        writeln!(f, "messages: {messages} in {seconds:.3} s, {:.0} per second", rate(messages))?;
        writeln!(f, "deliveries: {deliveries}, {:.0} per second; missed: {missed}", rate(deliveries))
    }

    fn subscriptions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, dispatch) = ("subscription", "dispatch");
        write!(f, "{name:<13}{dispatch:<10}{:>10}{:>8}{:>9}", "delivered", "missed", "highest")?;
        writeln!(f, "{:>12}{:>12}{:>12}{:>12}", "delay p50", "p99", "p99.9", "max")?;
        for one in &self.outcome.subscriptions {
            let (name, dispatch) = (&one.name, one.dispatch);
            write!(f, "{name:<13}{dispatch:<10}{:>10}{:>8}{:>9}", one.accepted, one.missed, one.high_water)?;
            for delay in [one.delay.p50, one.delay.p99, one.delay.p999, one.delay.max] {
                write!(f, "{:>12}", format!("{:.1} us", delay.as_nanos() as f64 / 1000.0))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn clients(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Served { clients, refused, slow, senseless }) = self.outcome.served else {
            return Ok(());
        };
        write!(f, "manager clients: {clients}")?;
        for (count, what) in [(refused, "refused"), (slow, "too slow"), (senseless, "without sense")] {
            if count > 0 {
                write!(f, ", {what}: {count}")?;
            }
        }
        writeln!(f)
    }

    fn rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = &self.outcome.records;
        writeln!(f, "cdr rows: {}", records.written.items)?;
        if records.open_channels > 0 {
            let (channels, rows) = (records.open_channels, records.open_rows);
            writeln!(f, "  and {rows} not written, of {channels} channels that did not hang up")?;
        }
        match &self.comparison {
            Some(comparison) => differences(f, comparison),
            None => writeln!(f, "no rows of Asterisk to compare with"),
        }
    }
}

fn differences(f: &mut fmt::Formatter<'_>, comparison: &Comparison) -> fmt::Result {
    writeln!(f, "cdr rows equal {} of {}", comparison.equal, comparison.rows)?;
    for difference in comparison.differences.iter().take(DIFFERENCES_LISTED) {
        writeln!(f, "  {difference}")?;
    }
    match comparison.differences.len().saturating_sub(DIFFERENCES_LISTED) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}
