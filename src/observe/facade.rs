//! Rows to a recorder of the `metrics` facade, whichever it is.
//!
//! The facade has no counters of fractions and takes no buckets. So what is counted in seconds goes to recorders as gauges,
//! and a histogram as gauges with the names that Prometheus gives its parts: `_bucket` with the label `le`, `_sum` and
//! `_count`. Series are asked for anew each time, as recorders may have dropped those of long ago.

use super::rows::{Row, Rows, Text, Value};
use super::table::{METRICS, Metric, MetricKind, MetricUnit};
use crate::stats::sums::Times;
use metrics::{Key, Label, Level, Metadata, Recorder, Unit};

const METADATA: Metadata<'static> = Metadata::new("stasis_bus", Level::INFO, Some("stasis_bus::observe"));

/// What the recorder takes of what the facade has no form for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// As gauges.
    AsGauges,
    /// Nothing: it is written beside.
    #[cfg(feature = "prometheus")]
    Left,
}

/// Tells `recorder` of every metric.
pub(super) fn describe(recorder: &dyn Recorder) {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter if metric.unit == MetricUnit::Count => {
                recorder.describe_counter(metric.name.into(), unit(metric), metric.help.into());
            }
            MetricKind::Histogram => ["_bucket", "_sum", "_count"].iter().for_each(|part| {
                let name = [metric.name, part].concat();
                let unit = if *part == "_sum" { unit(metric) } else { Some(Unit::Count) };
                recorder.describe_gauge(name.into(), unit, metric.help.into());
            }),
            _ => recorder.describe_gauge(metric.name.into(), unit(metric), metric.help.into()),
        }
    }
}

fn unit(metric: &Metric) -> Option<Unit> {
    match metric.unit {
        MetricUnit::Count => Some(Unit::Count),
        MetricUnit::Seconds => Some(Unit::Seconds),
        MetricUnit::Bytes => Some(Unit::Bytes),
        MetricUnit::Ratio => None,
    }
}

/// Hands a sample over.
pub(super) fn record(rows: &Rows, recorder: &dyn Recorder, rest: Rest) {
    let taken = |row: &&Row| row.has_form() || rest == Rest::AsGauges;
    for row in rows.all.iter().filter(taken) {
        let key = || Key::from_parts(row.metric.name, row.labels_with(&rows.common));
        match &row.value {
            Value::Count(count) => recorder.register_counter(&key(), &METADATA).absolute(*count),
            Value::Times(times) => record_times(row, &rows.common, times, recorder),
            value => recorder.register_gauge(&key(), &METADATA).set(value.number()),
        }
    }
}

fn record_times(row: &Row, common: &[Label], times: &Times, recorder: &dyn Recorder) {
    let set = |part: &str, bound: Option<Text>, value: f64| {
        let mut labels = row.labels_with(common);
        labels.extend(bound.map(|bound| Label::new("le", bound)));
        let key = Key::from_parts([row.metric.name, part].concat(), labels);
        recorder.register_gauge(&key, &METADATA).set(value);
    };
    for (bound, count) in times.up_to() {
        let bound = bound.map_or("+Inf".into(), |bound| Text::from(bound.as_secs_f64().to_string()));
        set("_bucket", Some(bound), count as f64);
    }
    set("_sum", None, times.total.as_secs_f64());
    set("_count", None, times.count() as f64);
}

impl Row {
    /// Whether the facade has a form for it.
    pub(super) fn has_form(&self) -> bool {
        match self.value {
            Value::Count(_) | Value::Level(_) => true,
            Value::Time(_) => self.metric.kind == MetricKind::Gauge,
            Value::Times(_) => false,
        }
    }
}
