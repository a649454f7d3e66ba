//! What the user is told at the end, in words and as `report.json`.

use crate::End;
use crate::board::text::brief;
use crate::cdr::compare::Difference;
use crate::output::Written;
use crate::serve::Served;
use crate::state::console::{Joined, Told};
use crate::switchboard::{Outcome, Tally};
use crate::verdict::Verdict;
use serde::Serialize;
use stasis_bus::Timing;
use std::fmt;
use std::time::Duration;

pub(crate) struct Summary<'a> {
    /// Of the recordings.
    names: &'a [String],
    end: &'a End,
    outcome: &'a Outcome,
    report: Report,
}

/// `report.json`; its fields are its format.
#[derive(Debug, Serialize)]
struct Report {
    messages: u64,
    deliveries: u64,
    missed: u64,
    cdr_rows: u64,
    cdr_rows_equal: Option<u64>,
    clients: Option<Served>,
    subscriptions: Vec<SubscriptionReport>,
    comparisons: Vec<ComparisonReport>,
}

#[derive(Debug, Serialize)]
struct SubscriptionReport {
    name: String,
    published: u64,
    delivered: u64,
    missed: u64,
    panics: u64,
    delay_ns: DelayReport,
}

#[derive(Debug, Serialize)]
struct DelayReport {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// One recording in all rounds that came out alike.
#[derive(Debug, Serialize)]
struct ComparisonReport {
    recording: String,
    rounds: [u32; 2],
    rows: usize,
    equal: usize,
}

impl<'a> Summary<'a> {
    pub(crate) fn new(names: &'a [String], end: &'a End, outcome: &'a Outcome) -> Self {
        Self { names, end, outcome, report: Report::of(names, outcome) }
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.report)
    }

    /// What went wrong; nothing if the results can be relied on. What the user has broken on purpose
    /// did not go wrong.
    pub(crate) fn troubles(&self, report: &Written) -> Vec<String> {
        let troubles = self.with_the_input().into_iter();
        troubles.chain(self.with_the_output(report)).chain(self.on_the_bus()).collect()
    }

    fn with_the_input(&self) -> Option<String> {
        let (name, events) = (self.name(), self.outcome.source.stream.events);
        match self.end {
            End::Broken(error) => Some(format!("{name} cannot be read to its end: {}", reason(error))),
            End::Complete if events == 0 => Some(format!("{name} has no manager event in it")),
            End::Complete | End::Interrupted | End::Enough => None,
        }
    }

    fn with_the_output(&self, report: &Written) -> Vec<String> {
        let Outcome { records, feed, journal, .. } = self.outcome;
        let written = [&records.written, feed, journal, report];
        written.iter().filter_map(|written| written.error.as_ref()).map(ToString::to_string).collect()
    }

    /// None of these has ever been seen. If one is, the bus has not kept its word.
    fn on_the_bus(&self) -> Vec<String> {
        let Outcome { source, tallies, shutdown, .. } = self.outcome;
        let mut troubles = Vec::new();
        if source.lost > 0 {
            troubles.push(format!("the bus refused {} messages", source.lost));
        }
        for tally in tallies.iter().filter(|tally| !tally.is_on_purpose()) {
            troubles.push(format!("{} has lost {}", tally.stats.name, Losses(tally)));
        }
        for Tally { stats, published, handled, panics, .. } in tallies.iter().filter(|tally| !tally.adds_up())
        {
            let (name, missed) = (&stats.name, stats.missed);
            troubles.push(format!(
                "{name}: {handled} handled, {missed} missed and {panics} panics are not the {published} published"
            ));
        }
        troubles.extend(self.with_the_console());
        if !shutdown.is_clean() {
            troubles.push(format!("the bus did not end well: {shutdown}"));
        }
        troubles
    }

    fn with_the_console(&self) -> Option<String> {
        let Joined { after, told } = self.outcome.joined.as_ref()?;
        match told {
            None => Some(format!("--join-after {after:?}: the replay was over before")),
            Some(told) if told.is_same() => None,
            Some(Told { differences, not_in_cache, misfits, .. }) => Some(format!(
                "the console that came after {after:?} has another table: {differences} things differ from the one that \
                 was there, {not_in_cache} from the cache, and {misfits} changes did not fit"
            )),
        }
    }

    fn name(&self) -> String {
        self.names.join(", ")
    }
}

/// What a consumer did not handle, and why.
struct Losses<'a>(&'a Tally);

impl fmt::Display for Losses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { stats, published, panics, fault, .. } = self.0;
        write!(f, "{} of {published} messages", self.0.lost())?;
        if stats.missed > 0 {
            write!(f, "; {} found its queue full", stats.missed)?;
        }
        match fault.slow {
            _ if stats.missed == 0 => {}
            _ if fault.stalls => f.write_str(" while it stood still")?,
            Some(time) => write!(f, " while it took {time:?} for each")?,
            None => {}
        }
        if *panics > 0 {
            write!(f, "; at {panics} its handler panicked")?;
        }
        Ok(())
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
    fn of(names: &[String], outcome: &Outcome) -> Self {
        let subscriptions: Vec<_> = outcome.tallies.iter().map(SubscriptionReport::from).collect();
        let verdicts = &outcome.records.verdicts;
        let comparisons =
            verdicts.listed.iter().map(|verdict| ComparisonReport::of(names, verdict)).collect();
        Self {
            messages: outcome.source.messages,
            deliveries: subscriptions.iter().map(|one| one.delivered).sum(),
            missed: subscriptions.iter().map(|one| one.missed).sum(),
            cdr_rows: outcome.records.written.items,
            cdr_rows_equal: (!verdicts.listed.is_empty()).then_some(verdicts.equal),
            clients: outcome.served,
            subscriptions,
            comparisons,
        }
    }
}

impl From<&Tally> for SubscriptionReport {
    fn from(tally: &Tally) -> Self {
        let Tally { stats, published, panics, .. } = tally;
        Self {
            name: stats.name.clone(),
            published: *published,
            delivered: stats.accepted,
            missed: stats.missed,
            panics: *panics,
            delay_ns: DelayReport::from(&stats.delay),
        }
    }
}

impl ComparisonReport {
    fn of(names: &[String], verdict: &Verdict) -> Self {
        let Verdict { recording, first_round, last_round, rows, equal, .. } = verdict;
        Self {
            recording: names.get(*recording).cloned().unwrap_or_default(),
            rounds: [*first_round, *last_round],
            rows: *rows,
            equal: *equal,
        }
    }
}

impl From<&Timing> for DelayReport {
    fn from(delay: &Timing) -> Self {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { p50: ns(delay.p50), p99: ns(delay.p99), p999: ns(delay.p999), max: ns(delay.max) }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream(f)?;
        self.traffic(f)?;
        self.subscriptions(f)?;
        self.losses(f)?;
        self.clients(f)?;
        self.console(f)?;
        self.rows(f)
    }
}

impl Summary<'_> {
    fn stream(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.outcome.source;
        let stopped = if self.end.is_wanted() { " (stopped)" } else { "" };
        writeln!(f, "{}{stopped}", self.name())?;
        writeln!(
            f,
            "stream: {} bytes, {} events, of them {} CDRs left out; {} channels, {} bridges",
            source.stream.bytes, source.stream.events, source.answer_keys, source.channels, source.bridges
        )?;
        let told = [
            (source.cuts, "times the connection was cut"),
            (source.unseen, "channels or bridges that ended while it was cut"),
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
        for Tally { stats: one, .. } in &self.outcome.tallies {
            let (name, dispatch) = (&one.name, one.dispatch);
            write!(f, "{name:<13}{dispatch:<10}{:>10}{:>8}{:>9}", one.accepted, one.missed, one.high_water)?;
            for delay in [one.delay.p50, one.delay.p99, one.delay.p999, one.delay.max] {
                write!(f, "{:>12}", brief(delay))?;
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

    fn console(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Joined { after, told: Some(told) }) = &self.outcome.joined else {
            return Ok(());
        };
        let Told { snapshot, updates, things, .. } = told;
        let verdict = if told.is_same() { "the same as" } else { "NOT the same as" };
        writeln!(f, "console after {after:?}: told of {snapshot} things, then of {updates} changes")?;
        writeln!(f, "  its table of {things} things is {verdict} that of one that was there from the start")
    }

    fn rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = &self.outcome.records;
        writeln!(f, "cdr rows: {}", records.written.items)?;
        if records.open_channels > 0 {
            let (channels, rows) = (records.open_channels, records.open_rows);
            writeln!(f, "  and {rows} not written, of {channels} channels that did not hang up")?;
        }
        let verdicts = &records.verdicts;
        if verdicts.listed.is_empty() {
            return writeln!(f, "no rows of Asterisk to compare with");
        }
        let is_one = verdicts.listed.len() == 1;
        for verdict in &verdicts.listed {
            self.verdict(f, verdict, is_one)?;
        }
        match verdicts.unlisted {
            0 => Ok(()),
            more => writeln!(f, "and {more} rounds more; all in all {} of {}", verdicts.equal, verdicts.rows),
        }
    }

    /// In which rounds rows of which recording are as Asterisk's, where there is more than one.
    fn verdict(&self, f: &mut fmt::Formatter<'_>, verdict: &Verdict, is_one: bool) -> fmt::Result {
        let Verdict { recording, first_round, last_round, rows, equal, differences, more } = verdict;
        match (first_round, last_round) {
            (1, 1) if is_one => {}
            (first, last) if first == last => write!(f, "round {first}: ")?,
            (first, last) => write!(f, "rounds {first} to {last}, each: ")?,
        }
        write!(f, "cdr rows equal {equal} of {rows}")?;
        match self.names.get(*recording) {
            Some(name) if self.names.len() > 1 => writeln!(f, " ({name})")?,
            _ => writeln!(f)?,
        }
        // Of a replay that was stopped rows are missing, of course.
        let is_news = |difference: &&Difference| !(self.end.is_wanted() && difference.is_missing());
        for difference in differences.iter().filter(is_news) {
            writeln!(f, "  {difference}")?;
        }
        match more {
            0 => Ok(()),
            _ if differences.last().is_some_and(|last| !is_news(&last)) => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }

    /// Who has lost messages, and why.
    fn losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tally in self.outcome.tallies.iter().filter(|tally| tally.lost() > 0) {
            writeln!(f, "lost by {}: {}", tally.stats.name, Losses(tally))?;
        }
        Ok(())
    }
}
