//! The table of metrics, and the page that is made from it.
#![cfg(feature = "metrics")]

use stasis_bus::observe::{METRICS, MetricKind, MetricUnit, reference};
use std::collections::BTreeSet;
use std::{env, fs};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");

#[test]
fn the_page_is_what_the_table_says() {
    if env::var_os("UPDATE_METRICS_PAGE").is_some() {
        fs::write(PAGE, reference()).expect("docs can be written");
    }
    let page = fs::read_to_string(PAGE).expect("docs/METRICS.md");
    assert!(
        page == reference(),
        "docs/METRICS.md is stale: UPDATE_METRICS_PAGE=1 cargo test --test metrics_page"
    );
}

#[test]
fn names_follow_the_practices() {
    let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), METRICS.len(), "no name twice");
    for metric in METRICS {
        let name = metric.name;
        assert!(name.starts_with("stasis_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == MetricKind::Counter, "{name}");
        let base = name.trim_end_matches("_total");
        let unit = match metric.unit {
            MetricUnit::Seconds => base.ends_with("_seconds"),
            MetricUnit::Bytes => base.ends_with("_bytes"),
            MetricUnit::Ratio => base.ends_with("_ratio"),
            _ => !["_seconds", "_bytes", "_ratio"].iter().any(|unit| base.ends_with(unit)),
        };
        assert!(unit, "{name} is in {:?}", metric.unit);
        assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '|']), "{name}: {}", metric.help);
        assert!(metric.labels.iter().all(|label| label.name != "le" && !label.help.is_empty()), "{name}");
    }
}
