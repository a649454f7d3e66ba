//! A sample: values of metrics, in the order of the table's subjects, and what was told before.

use super::table::{Metric, MetricKind};
use crate::stats::sums::Times;
use metrics::Label;
use std::collections::HashMap;
use std::time::Duration;

/// A label's value: of the table, of the bus, or made for the sample.
pub(super) type Text = metrics::SharedString;

/// One series at one moment.
pub(super) struct Row {
    pub(super) metric: &'static Metric,
    /// As many as the metric has labels.
    pub(super) labels: Vec<Text>,
    pub(super) value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge.
    Level(f64),
    /// Of either: seconds.
    Time(Duration),
    Times(Box<Times>),
}

impl Row {
    /// All labels of the series.
    pub(super) fn labels_with(&self, common: &[Label]) -> Vec<Label> {
        let own = self.metric.labels.iter().zip(&self.labels);
        own.map(|(label, value)| Label::new(label.name, value.clone()))
            .chain(common.iter().cloned())
            .collect()
    }
}

#[derive(Default)]
pub(super) struct Rows {
    pub(super) all: Vec<Row>,
    /// Labels that every series has besides its own.
    pub(super) common: Vec<Label>,
}

impl Rows {
    fn push<const N: usize>(&mut self, metric: &'static Metric, labels: [Text; N], value: Value) {
        debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
        self.all.push(Row { metric, labels: labels.into(), value });
    }

    pub(super) fn count<const N: usize>(&mut self, metric: &'static Metric, labels: [Text; N], count: u64) {
        self.push(metric, labels, Value::Count(count));
    }

    /// One for each value of the metric's last label.
    pub(super) fn counts<const N: usize, const M: usize>(
        &mut self,
        metric: &'static Metric,
        labels: [Text; N],
        last: &[&'static str; M],
        counts: [u64; M],
    ) {
        debug_assert_eq!(metric.labels.len(), N + 1, "{}", metric.name);
        for (last, count) in last.iter().zip(counts) {
            let labels = labels.iter().cloned().chain([Text::from(*last)]).collect();
            self.all.push(Row { metric, labels, value: Value::Count(count) });
        }
    }

    pub(super) fn level<const N: usize>(&mut self, metric: &'static Metric, labels: [Text; N], level: u64) {
        self.push(metric, labels, Value::Level(level as f64));
    }

    pub(super) fn ratio<const N: usize>(&mut self, metric: &'static Metric, labels: [Text; N], ratio: f64) {
        self.push(metric, labels, Value::Level(ratio));
    }

    pub(super) fn seconds<const N: usize>(
        &mut self,
        metric: &'static Metric,
        labels: [Text; N],
        time: Duration,
    ) {
        self.push(metric, labels, Value::Time(time));
    }

    pub(super) fn times<const N: usize>(
        &mut self,
        metric: &'static Metric,
        labels: [Text; N],
        times: &Times,
    ) {
        self.push(metric, labels, Value::Times(Box::new(times.clone())));
    }
}

/// What was told of each series last: no counter is told less later.
///
/// Counts of different places are read one after the other, so a sum, and more so a difference, may come out a little
/// short of the one before.
#[derive(Default)]
pub(super) struct Told(HashMap<(&'static str, Vec<Text>), Value>);

impl Told {
    /// Raises what is less than before. Series that are in the sample no more are forgotten.
    pub(super) fn raise(&mut self, rows: &mut Rows) {
        let before = std::mem::take(&mut self.0);
        let counters = rows.all.iter_mut().filter(|row| row.metric.kind != MetricKind::Gauge);
        self.0.extend(counters.map(|row| {
            let series = (row.metric.name, row.labels.clone());
            if let Some(last) = before.get(&series) {
                row.value.raise(last);
            }
            (series, row.value.clone())
        }));
    }
}

impl Value {
    /// As recorders take it; of a histogram, how many events.
    pub(super) fn number(&self) -> f64 {
        match self {
            Self::Count(count) => *count as f64,
            Self::Level(level) => *level,
            Self::Time(time) => time.as_secs_f64(),
            Self::Times(times) => times.count() as f64,
        }
    }

    fn raise(&mut self, last: &Self) {
        match (self, last) {
            (Self::Count(now), Self::Count(last)) => *now = (*now).max(*last),
            (Self::Time(now), Self::Time(last)) => *now = (*now).max(*last),
            (Self::Times(now), Self::Times(last)) => now.raise(last),
            _ => {}
        }
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::super::table::{BLOCKED_SECONDS, FILTERED, LATENCY, QUEUE};
    use super::*;
    use crate::stats::Timing;

    fn sample(count: u64) -> Rows {
        let mut rows = Rows::default();
        rows.count(&FILTERED, ["calls".into()], count);
        rows.seconds(&BLOCKED_SECONDS, ["log".into()], Duration::from_secs(count));
        rows.level(&QUEUE, ["log".into()], count);
        rows
    }

    fn told(rows: &Rows) -> Vec<f64> {
        rows.all.iter().map(|row| row.value.number()).collect()
    }

    #[test]
    fn counters_are_told_no_less_than_before_and_gauges_are() {
        let (mut told_before, mut rows) = (Told::default(), sample(7));
        told_before.raise(&mut rows);
        let mut rows = sample(5);
        told_before.raise(&mut rows);
        assert_eq!(told(&rows), [7.0, 7.0, 5.0]);
        let mut rows = sample(9);
        told_before.raise(&mut rows);
        assert_eq!(told(&rows), [9.0, 9.0, 9.0]);
    }

    #[test]
    fn a_series_that_is_gone_begins_anew() {
        let mut told_before = Told::default();
        told_before.raise(&mut sample(7));
        told_before.raise(&mut Rows::default());
        assert!(told_before.0.is_empty(), "nothing is kept of it");
        let mut rows = sample(1);
        told_before.raise(&mut rows);
        assert_eq!(told(&rows), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn no_bucket_is_told_less() {
        let rows_of = |timing: Timing| {
            let mut rows = Rows::default();
            rows.times(&LATENCY, ["log".into()], &timing.into());
            rows
        };
        let histogram = crate::stats::Histogram::new();
        histogram.record(1_000, 3);
        let mut told_before = Told::default();
        told_before.raise(&mut rows_of(histogram.read()));
        let mut rows = rows_of(Timing::default());
        told_before.raise(&mut rows);
        let Value::Times(times) = &rows.all[0].value else { panic!("a histogram") };
        assert_eq!(times.up_to().last(), Some((None, 3)));
        assert_eq!(times.total, Duration::from_nanos(3_000));
    }
}
