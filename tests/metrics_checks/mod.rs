//! A recorder that keeps what it is told, and a reader of exposition text that believes nothing.

#![allow(dead_code, clippy::disallowed_types, clippy::disallowed_methods)]

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Series by name and labels, as `name{label="value",...}` with the labels sorted.
pub(crate) type Series = BTreeMap<String, f64>;

/// The series of that metric whose labels have this in their text, added up.
pub(crate) fn sum(series: &Series, name: &str, part: &str) -> f64 {
    let own = series.iter().filter(|(key, _)| family(key) == name && key.contains(part));
    own.map(|(_, value)| *value).sum()
}

/// A number's last digit: what a cache finds it by.
pub(crate) fn digit(number: &u64) -> &str {
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][(*number % 10) as usize]
}

pub(crate) fn family(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}

/// Everything that `later` tells less of than `before` did although it only grows: what ends in `_total`, and the parts of
/// histograms.
pub(crate) fn gone_back(before: &Series, later: &Series) -> Vec<String> {
    let grows = |name: &str| ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end));
    let both = before.iter().filter_map(|(key, old)| Some((key, old, later.get(key)?)));
    both.filter(|(key, old, new)| grows(family(key)) && new < old)
        .map(|(key, old, new)| format!("{key}: {old} and then {new}"))
        .collect()
}

// ---- a recorder --------------------------------------------------------------------------------------------------

/// Keeps the last value of everything. What was not told since [`Kept::take`] is gone.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    series: Series,
    described: Vec<String>,
    registered: u64,
}

struct Slot {
    kept: Kept,
    key: String,
}

impl Kept {
    pub(crate) fn take(&self) -> Series {
        std::mem::take(&mut self.0.lock().unwrap().series)
    }

    pub(crate) fn described(&self) -> Vec<String> {
        self.0.lock().unwrap().described.clone()
    }

    /// How often it was asked for a series.
    pub(crate) fn registered(&self) -> u64 {
        self.0.lock().unwrap().registered
    }

    fn describe(&self, name: &KeyName) {
        self.0.lock().unwrap().described.push(name.as_str().to_owned());
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        self.0.lock().unwrap().registered += 1;
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        Arc::new(Slot { kept: self.clone(), key: series_of(key.name(), labels) })
    }
}

impl Slot {
    fn put(&self, value: f64) {
        self.kept.0.lock().unwrap().series.insert(self.key.clone(), value);
    }
}

impl CounterFn for Slot {
    fn increment(&self, _: u64) {
        panic!("counters are set");
    }

    fn absolute(&self, value: u64) {
        self.put(value as f64);
    }
}

impl GaugeFn for Slot {
    fn increment(&self, _: f64) {
        panic!("gauges are set");
    }

    fn decrement(&self, _: f64) {
        panic!("gauges are set");
    }

    fn set(&self, value: f64) {
        self.put(value);
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.slot(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.slot(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("{} is recorded sample by sample", key.name());
    }
}

fn series_of(name: &str, mut labels: Vec<(String, String)>) -> String {
    labels.sort();
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

// ---- exposition text ---------------------------------------------------------------------------------------------

/// A page for Prometheus, read strictly: anything that is not as the format says is a panic.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) series: Series,
    /// What each family is, and what it says of itself.
    pub(crate) families: BTreeMap<String, (String, String)>,
}

impl Page {
    pub(crate) fn read(text: &str) -> Self {
        let (mut page, mut open, mut closed) = (Self::default(), String::new(), BTreeSet::new());
        let mut help = BTreeMap::new();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, says) = rest.split_once(' ').expect(line);
                assert!(help.insert(name.to_owned(), says.to_owned()).is_none(), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert!(closed.insert(name.to_owned()), "{name} begins twice");
                open = name.to_owned();
                let says = help.get(name).cloned().unwrap_or_default();
                page.families.insert(open.clone(), (kind.to_owned(), says));
            } else {
                assert!(!line.starts_with('#'), "{line}");
                page.read_series(line, &open);
            }
        }
        page.check_histograms();
        page
    }

    fn read_series(&mut self, line: &str, open: &str) {
        let at = line.find(['{', ' ']).expect(line);
        let (name, rest) = line.split_at(at);
        let parts: &[&str] = match self.families[open].0.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(parts.iter().any(|part| [open, part].concat() == name), "{line} is among {open}");
        let (labels, value) = read_labels(rest);
        let value: f64 = value.trim().parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(value >= 0.0, "{line}");
        assert!(self.series.insert(series_of(name, labels), value).is_none(), "{line} is there twice");
    }

    /// Buckets ascend, and the last one has all.
    fn check_histograms(&self) {
        let histograms = self.families.iter().filter(|(_, (kind, _))| kind == "histogram");
        for (name, _) in histograms {
            let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
            let own = self.series.iter().filter(|(key, _)| family(key) == format!("{name}_bucket"));
            for (key, count) in own {
                let (before, after) = key.split_once("le=\"").expect(key);
                let (bound, after) = after.split_once('"').expect(key);
                let before = if after == "}" { before.trim_end_matches(',') } else { before };
                let rest = format!("{before}{}", after.trim_start_matches(','));
                buckets.entry(rest).or_default().push((bound.parse().expect(key), *count));
            }
            for (key, mut buckets) in buckets {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.len() > 10 && buckets.is_sorted_by(|a, b| a.1 <= b.1), "{key}: {buckets:?}");
                let labels = key.strip_prefix(&format!("{name}_bucket")).expect(&key);
                let labels = if labels == "{}" { "" } else { labels };
                let all = self.series[&format!("{name}_count{labels}")];
                assert_eq!(*buckets.last().expect(&key), (f64::INFINITY, all), "{key}");
                assert!(self.series.contains_key(&format!("{name}_sum{labels}")), "{key}");
            }
        }
    }
}

/// `{a="b",c="d"} 7` to the labels, unescaped, and the rest.
fn read_labels(text: &str) -> (Vec<(String, String)>, &str) {
    let mut labels = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
    loop {
        if let Some(value) = rest.strip_prefix('}') {
            return (labels, value);
        }
        rest = rest.strip_prefix(',').unwrap_or(rest);
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{text}");
        let (mut unescaped, mut chars) = (String::new(), value.char_indices());
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("{text}")) {
                (at, '"') => break at,
                (_, '\\') => match chars.next() {
                    Some((_, c @ ('\\' | '"'))) => unescaped.push(c),
                    Some((_, 'n')) => unescaped.push('\n'),
                    other => panic!("{text}: {other:?} is escaped"),
                },
                (_, c) => unescaped.push(c),
            }
        };
        labels.push((name.to_owned(), unescaped));
        rest = &value[end + 1..];
    }
}
