//! The table at the end.

use crate::health::{Sample, Trend};
use crate::verdict::{Count, Kind, Wrong, last_lines};
use crate::yard::Yard;
use stasis_bus::BusStats;
use std::fmt;
use std::time::Duration;

/// What came of a run.
pub(crate) struct Outcome {
    rows: Vec<(String, String)>,
    wrong: Vec<Wrong>,
}

impl Outcome {
    pub(crate) fn new(yard: &Yard, stats: &BusStats, trend: Trend, elapsed: Duration) -> Self {
        let mut rows = Vec::new();
        let seed = yard.options.seed;
        rows.push(("time".to_owned(), format!("{:.1} s, seed {seed}", elapsed.as_secs_f64())));
        load(&mut rows, stats, elapsed);
        rows.push(("FAULTS AND CHANGES".into(), String::new()));
        counts(&mut rows, yard, Count::Panicked, Count::Signals);
        rows.push(("CHECKED".into(), String::new()));
        counts(&mut rows, yard, Count::Synced, Count::Finals);
        rows.push(("PROCESS".into(), "first, last (medians), most; before and after it all".into()));
        health(&mut rows, &trend, elapsed);
        rows.push(("WRONG".into(), String::new()));
        let wrong = yard.verdict.all();
        for kind in Kind::ALL {
            let count = wrong.iter().filter(|wrong| wrong.kind == kind).count();
            rows.push((format!("{kind:?}").to_lowercase(), count.to_string()));
        }
        Self { rows, wrong }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }
}

type Rows = Vec<(String, String)>;

fn load(rows: &mut Rows, stats: &BusStats, elapsed: Duration) {
    let per_second = |count: u64| (count as f64 / elapsed.as_secs_f64()) as u64;
    let totals = &stats.totals;
    let figures = [
        ("publishes", totals.published),
        ("deliveries", totals.delivered),
        ("missed by policy", totals.missed),
    ];
    rows.push(("LOAD".into(), String::new()));
    for (name, count) in figures {
        rows.push((name.to_owned(), format!("{count} ({} /s)", per_second(count))));
    }
    rows.push(("  of those".to_owned(), totals.lost.to_string()));
}

fn counts(rows: &mut Rows, yard: &Yard, first: Count, last: Count) {
    rows.extend(yard.counts.rows(first, last).map(|(name, count)| (name.to_owned(), count.to_string())));
}

fn health(rows: &mut Rows, trend: &Trend, elapsed: Duration) {
    let ((first, last), most, (before, after)) = (trend.parts(), trend.most(), trend.ends());
    // The middles of the two parts that are compared are 0.55 of the run apart.
    let minutes = elapsed.as_secs_f64() * 0.55 / 60.0;
    let memory = |of: fn(&Sample) -> u64| {
        let [first, last, most, before, after] =
            [&first, &last, &most, &before, &after].map(|sample| of(sample) as f64 / 1024.0);
        let slope = (last - first) / minutes;
        format!("{first:.1} {last:.1} {most:.1} MiB, {slope:+.2} MiB a minute; {before:.1} {after:.1}")
    };
    rows.push(("memory".into(), memory(|sample| sample.memory_kib)));
    rows.push(("  allocated".into(), memory(|sample| sample.heap_kib)));
    let (idle_before, idle_after) = trend.idle;
    rows.push(("  allocated without actors".into(), format!("; {idle_before} {idle_after} KiB")));
    let row = |first, last, most, before, after| format!("{first} {last} {most}; {before} {after}");
    let threads = row(first.threads, last.threads, most.threads, before.threads, after.threads);
    rows.push(("threads".into(), threads));
    rows.push(("fds".into(), row(first.files, last.files, most.files, before.files, after.files)));
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.rows {
            writeln!(f, "{}", format!("{name:<44} {value}").trim_end())?;
        }
        let verdict = match self.wrong.len() {
            0 => "soak: good".to_owned(),
            count => format!("soak: FAILED: {count} things were wrong"),
        };
        f.write_str(&last_lines(&self.wrong, &verdict))
    }
}
