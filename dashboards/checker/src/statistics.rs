//! The bus's own statistics, as the console tells them, beside what Prometheus has: the same figures by another way.

use crate::findings::Findings;
use crate::prometheus::{JOB, Prometheus};
use crate::{Outcome, http};
use serde_json::Value;
use std::net::SocketAddr;

/// A metric, which of its series, and where the console has their sum.
type Figure = (&'static str, &'static str, &'static str);

/// In `/api/overview`.
const BUS: [Figure; 24] = [
    ("stasis_bus_published_messages_total", "", "/totals/published"),
    ("stasis_published_messages_total", "", "/totals/published"),
    ("stasis_bus_unrouted_messages_total", "", "/totals/unrouted"),
    ("stasis_unrouted_messages_total", "", "/totals/unrouted"),
    ("stasis_bus_delivered_messages_total", "", "/totals/delivered"),
    ("stasis_delivered_messages_total", "", "/totals/delivered"),
    ("stasis_bus_handled_messages_total", "", "/totals/handled"),
    ("stasis_handled_messages_total", "", "/totals/handled"),
    ("stasis_filtered_messages_total", "", "/totals/filtered"),
    ("stasis_bus_dropped_messages_total", "", "/totals/missed"),
    ("stasis_dropped_messages_total", "", "/totals/missed"),
    ("stasis_over_capacity_messages_total", "", "/totals/over_capacity"),
    ("stasis_bus_slow_handlers_total", "", "/totals/slow"),
    ("stasis_bus_publish_blocked_total", "", "/totals/blocked/times"),
    ("stasis_bus_publish_blocked_seconds_total", "", "/totals/blocked/total"),
    ("stasis_waits_total", "", "/totals/waits"),
    ("stasis_refused_waits_total", "", "/totals/circles"),
    ("stasis_refused_publishes_total", "reason=\"closed\"", "/totals/refused/closed"),
    ("stasis_bus_panics_total", "", "/panics"),
    ("stasis_topics", "", "/topics"),
    ("stasis_subscriptions", "", "/subscriptions"),
    ("stasis_workers", "", "/workers"),
    ("stasis_workers_max", "", "/pool/max"),
    ("stasis_ready_mailboxes", "", "/ready"),
];

/// A table of the console, whose rows are series by one label.
struct Table {
    path: &'static str,
    /// What a row is called there, and the label that says it here.
    name: &'static str,
    label: &'static str,
    figures: &'static [Figure],
}

const TABLES: [Table; 4] = [
    Table {
        path: "/api/subscriptions",
        name: "name",
        label: "subscription",
        figures: &[
            ("stasis_handled_messages_total", "", "/handled"),
            ("stasis_dropped_messages_total", "", "/missed"),
            ("stasis_dropped_messages_total", "reason=\"refused\"", "/lost/refused"),
            ("stasis_dropped_messages_total", "reason=\"evicted\"", "/lost/evicted"),
            ("stasis_dropped_messages_total", "reason=\"conflated\"", "/lost/conflated"),
            ("stasis_dropped_messages_total", "reason=\"timed_out\"", "/lost/timed_out"),
            ("stasis_dropped_messages_total", "reason=\"discarded\"", "/lost/discarded"),
            ("stasis_over_capacity_messages_total", "", "/over_capacity"),
            ("stasis_publish_blocked_total", "", "/blocked/times"),
            ("stasis_publish_blocked_seconds_total", "", "/blocked/total"),
            ("stasis_blocked_publishers", "", "/blocked/now"),
            ("stasis_subscription_queue_messages", "", "/depth"),
            ("stasis_subscription_queue_capacity_messages", "", "/capacity"),
            ("stasis_subscription_queue_peak_messages", "", "/high_water"),
            ("stasis_subscription_watermark_alerts_total", "level=\"high\"", "/high_crossings"),
            ("stasis_handler_panics_total", "", "/panics"),
            ("stasis_slow_handlers_total", "", "/slow"),
            ("stasis_handler_duration_seconds_count", "", "/handler/count"),
            ("stasis_delivery_latency_seconds_count", "", "/delay/count"),
        ],
    },
    Table {
        path: "/api/message_types",
        name: "name",
        label: "message_type",
        figures: &[
            ("stasis_made_messages_total", "", "/made"),
            ("stasis_unused_messages_total", "", "/unused"),
            ("stasis_declined_messages_total", "", "/declined"),
            ("stasis_live_messages", "", "/alive"),
            ("stasis_live_message_bytes", "", "/bytes"),
        ],
    },
    Table {
        path: "/api/caches",
        name: "name",
        label: "cache",
        figures: &[
            ("stasis_cache_entries", "", "/entries"),
            ("stasis_cache_updates_total", "", "/updates"),
            ("stasis_cache_updates_total", "op=\"create\"", "/created"),
            ("stasis_cache_updates_total", "op=\"remove\"", "/cleared"),
            ("stasis_cache_lookups_total", "result=\"hit\"", "/hits"),
            ("stasis_cache_lookups_total", "result=\"miss\"", "/misses"),
            ("stasis_cache_suppressed_total", "", "/suppressed"),
            ("stasis_cache_expired_total", "", "/expired"),
            ("stasis_cache_evicted_total", "", "/evicted"),
            ("stasis_cache_aggregates_total", "", "/aggregates"),
        ],
    },
    Table {
        path: "/api/workers",
        name: "seat",
        label: "worker",
        figures: &[
            ("stasis_worker_runs_total", "", "/runs"),
            ("stasis_worker_busy_seconds_total", "", "/busy"),
        ],
    },
];

/// Histograms by subscription, and what they are called on the console.
const TIMES: [(&str, &str); 2] =
    [("stasis_handler_duration_seconds", "handler"), ("stasis_delivery_latency_seconds", "delay")];

/// Of a bus at rest.
pub fn compare(
    prometheus: &Prometheus,
    instance: &str,
    console: SocketAddr,
    findings: &mut Findings,
) -> Outcome<()> {
    let mut comparison = Comparison { prometheus, instance, findings, count: 0 };
    let overview = http::get_json(console, "/api/overview", &[])?;
    for figure in &BUS {
        comparison.figure(figure, None, &overview);
    }
    for Table { path, name, label, figures } in &TABLES {
        let table = http::get_json(console, path, &[("limit", "1000")])?;
        let rows = table["rows"]
            .as_array()
            .filter(|rows| !rows.is_empty())
            .ok_or_else(|| format!("{path}: no rows"))?;
        for row in rows {
            let name = row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
            figures.iter().for_each(|figure| comparison.figure(figure, Some((label, &name)), row));
        }
    }
    comparison.times(console)?;
    let count = comparison.count;
    findings.looked_at(count, "figures of a bus at rest are those of its own statistics");
    Ok(())
}

struct Comparison<'a> {
    prometheus: &'a Prometheus,
    instance: &'a str,
    findings: &'a mut Findings,
    count: usize,
}

impl Comparison<'_> {
    fn figure(&mut self, (metric, which, pointer): &Figure, of: Option<(&str, &str)>, row: &Value) {
        let of = of.map_or_else(String::new, |(label, name)| format!("{label}=\"{name}\","));
        let selector = format!("{metric}{{job=\"{JOB}\",instance=\"{}\",{of}{which}}}", self.instance);
        let told = row.pointer(pointer).and_then(Value::as_f64);
        match (self.prometheus.number(&format!("sum({selector})")), told) {
            (Ok(seen), Some(told)) if is_same(seen, told) => {}
            (Ok(seen), told) => {
                self.findings.wrong(format!("{selector} is {seen}, and {pointer} of the console {told:?}"))
            }
            (Err(why), _) => self.findings.wrong(why.to_string()),
        }
        self.count += 1;
    }
}

impl Comparison<'_> {
    /// What panels make of histograms, by subscription: means, and quantiles as far as buckets tell them apart.
    fn times(&mut self, console: SocketAddr) -> Outcome<()> {
        let table = http::get_json(console, "/api/subscriptions", &[("limit", "1000")])?;
        for row in table["rows"].as_array().into_iter().flatten() {
            for (metric, timing) in TIMES {
                // A stream has no handler.
                if row[timing]["count"].as_f64() > Some(0.0) {
                    self.timing(metric, &row["name"], &row[timing]);
                }
            }
        }
        Ok(())
    }

    fn timing(&mut self, metric: &str, name: &Value, timing: &Value) {
        let selector = format!("{{job=\"{JOB}\",instance=\"{}\",subscription={name}}}", self.instance);
        let mean = format!("sum({metric}_sum{selector}) / sum({metric}_count{selector})");
        self.time(&mean, &timing["mean"], |seen, told| (seen - told).abs() <= 1e-8 * told + 2e-9);
        for (quantile, field) in [(0.5, "p50"), (0.99, "p99")] {
            let asked = format!("histogram_quantile({quantile}, sum by (le) ({metric}_bucket{selector}))");
            self.time(&asked, &timing[field], is_in_one_bucket);
        }
    }

    fn time(&mut self, expression: &str, told: &Value, is_it: impl Fn(f64, f64) -> bool) {
        match (self.prometheus.number(expression), told.as_f64()) {
            (Ok(seen), Some(told)) if is_it(seen, told) => {}
            (Ok(seen), told) => {
                self.findings.wrong(format!("{expression} is {seen}, and on the console {told:?}"))
            }
            (Err(why), _) => self.findings.wrong(why.to_string()),
        }
        self.count += 1;
    }
}

/// The bounds of buckets are four times as far as the one before; in the first one everything is the same.
fn is_in_one_bucket(one: f64, other: f64) -> bool {
    const FIRST: f64 = 256e-9;
    let (less, more) = (one.min(other).max(FIRST / 4.0), one.max(other));
    more <= less * 4.0 * (1.0 + 1e-9) || more <= FIRST
}

/// But for the last digits of what was seconds.
fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_apart_as_far_as_buckets_tell() {
        assert!(is_in_one_bucket(1.1e-6, 4e-6) && is_in_one_bucket(4e-6, 1.1e-6));
        assert!(is_in_one_bucket(1e-9, 256e-9));
        assert!(!is_in_one_bucket(1e-6, 4.1e-6));
    }
}
