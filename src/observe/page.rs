//! docs/METRICS.md, made from the table.

use super::table::{METRICS, Metric, MetricLabel};

const HEAD: &str = "# Metrics

Made from `src/observe/table.rs`: `UPDATE_METRICS_PAGE=1 cargo test --test metrics_page` writes this page anew, and without
the variable the test fails if it is stale.

Counters only grow while the bus lives. Seconds are fractions. A label whose values the service names has 64 of them at
most: what comes later counts under `other`, and `stasis_metrics_label_overflow_total` says how often that happened. Series
of names that are gone go away five minutes later, and go on where they ended if the name comes back (from 0 if another name
has had its place meanwhile); the `stasis_bus_` counters keep what was ever counted.

Nothing is counted for metrics alone, and nothing waits for who reads them: the figures are those of `Bus::stats`. With a
page taken ten times a second a message costs as much as without (1.01 by `cargo bench --bench metrics --features
prometheus`, on two cores). That bench also says what a page costs who asks:

| topics | subscriptions | milliseconds |
| ---: | ---: | ---: |
| 1 | 1 | 0.14 |
| 1,000 | 10 | 0.6 |
| 1,000 | 1,000 | 1.6 |
| 100,000 | 10 | 16 |
| 100,000 | 1,000 | 19 |
| 100,000 | 100,000 | 206 |

";

/// The page docs/METRICS.md: every metric and every label, as Markdown.
///
/// ```
/// assert!(stasis_bus::observe::reference().contains("`stasis_published_messages_total`"));
/// ```
pub fn reference() -> String {
    let rows: String = METRICS.iter().map(row).collect();
    let labels: String = labels().iter().map(|label| label_row(label)).collect();
    format!(
        "{HEAD}## The table\n\n| name | kind | unit | labels | what it tells |\n| --- | --- | --- | --- | --- |\n{rows}\n\
         ## Labels\n\n| name | values | what it says |\n| --- | --- | --- |\n{labels}"
    )
}

fn row(metric: &Metric) -> String {
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
    let (name, kind, unit) = (metric.name, metric.kind.name(), metric.unit.name());
    format!("| `{name}` | {kind} | {unit} | {} | {} |\n", labels.join(", "), metric.help)
}

fn label_row(label: &MetricLabel) -> String {
    let values: Vec<String> = label.values.iter().map(|value| format!("`{value}`")).collect();
    format!("| `{}` | {} | {} |\n", label.name, values.join(", "), label.help)
}

/// Every label, once, as they come.
fn labels() -> Vec<&'static MetricLabel> {
    let mut seen: Vec<&MetricLabel> = Vec::new();
    for label in METRICS.iter().flat_map(|metric| metric.labels) {
        if !seen.contains(&label) {
            seen.push(label);
        }
    }
    seen
}
