//! What the exporter cannot write, as exposition text: histograms made of our own buckets, and counters of seconds.
//! (The format is described at <https://prometheus.io/docs/instrumenting/exposition_formats/>.)

use super::rows::{Row, Rows, Value};
use super::table::METRICS;
use metrics::Label;
use std::fmt::Write;

/// Appends the rows that the facade has no form for.
pub(super) fn append(text: &mut String, rows: &Rows) {
    let rest: Vec<&Row> = rows.all.iter().filter(|row| !row.has_form()).collect();
    for metric in METRICS {
        let mut own = rest.iter().filter(|row| row.metric.name == metric.name).peekable();
        if own.peek().is_some() {
            let (name, kind, help) = (metric.name, metric.kind.name(), metric.help);
            line(text, format_args!("# HELP {name} {help}"));
            line(text, format_args!("# TYPE {name} {kind}"));
            own.for_each(|row| append_row(text, row, &rows.common));
            text.push('\n');
        }
    }
}

fn append_row(text: &mut String, row: &Row, common: &[Label]) {
    let (name, labels) = (row.metric.name, written(&row.labels_with(common)));
    let series = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let Value::Times(times) = &row.value else {
        return line(text, format_args!("{name}{series} {}", row.value.number()));
    };
    let comma = if labels.is_empty() { "" } else { "," };
    for (bound, count) in times.up_to() {
        let bound = bound.map_or("+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
        line(text, format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"));
    }
    line(text, format_args!("{name}_sum{series} {}", times.total.as_secs_f64()));
    line(text, format_args!("{name}_count{series} {}", times.count()));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = writeln!(text, "{line}");
}

fn written(labels: &[Label]) -> String {
    let each = labels.iter().map(|label| format!("{}=\"{}\"", label.key(), escaped(label.value())));
    each.collect::<Vec<_>>().join(",")
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
