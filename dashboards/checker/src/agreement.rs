//! Figures that must be those of the bus itself.

use crate::exposition::{self, Sample};
use crate::findings::Findings;
use crate::prometheus::JOB;
use crate::scene::{AT_REST, AT_WORK, Scene};
use crate::switchboard::Switchboard;
use crate::{Outcome, promtool, statistics, wait_until};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// Longer than Prometheus lets pass between two scrapes.
const SCRAPED: Duration = Duration::from_millis(2500);
const PATIENCE: Duration = Duration::from_secs(30);
/// These speak of the moment of the scrape itself.
const OF_THE_MOMENT: [&str; 1] = ["stasis_metrics_sample_seconds"];

/// What grows while it is looked at: Prometheus has a value between one from before its scrape and one from after it.
pub fn of_moving_figures(scene: &Scene, findings: &mut Findings) -> Outcome<()> {
    let page = |text: String| Ok::<_, Box<dyn std::error::Error>>(by_series(exposition::read(&text)?));
    let before = page(scene.at_work.metrics()?)?;
    std::thread::sleep(SCRAPED);
    let scraped = by_series(scraped(scene, AT_WORK)?);
    let after = page(scene.at_work.metrics()?)?;
    let mut count = 0;
    for (series, first) in before.iter().filter(|(series, _)| grows(series)) {
        let (Some(then), Some(last)) = (scraped.get(series), after.get(series)) else {
            findings.wrong(format!("{AT_WORK}: {series} is not everywhere"));
            continue;
        };
        if !(first <= then && then <= last) {
            findings.wrong(format!(
                "{AT_WORK}: {series} was {first}, Prometheus says {then}, then it was {last}"
            ));
        }
        count += 1;
    }
    findings.looked_at(count, "growing figures lie between those of the bus before and after");
    Ok(())
}

/// Where nothing moves, everything is the same everywhere: the page, Prometheus, and what the service reports in the end.
pub fn at_rest(scene: &mut Scene, findings: &mut Findings) -> Outcome<()> {
    let page = rest(&scene.at_rest)?;
    findings.add("promtool check metrics", promtool::lint(&scene.at_rest.metrics()?));
    std::thread::sleep(SCRAPED);
    let scraped = by_series(scraped(scene, AT_REST)?);
    let now = by_series(exposition::read(&scene.at_rest.metrics()?)?);
    let still: Vec<_> =
        by_series(page).into_iter().filter(|(series, value)| now.get(series) == Some(value)).collect();
    for (series, value) in &still {
        let seen = scraped.get(series);
        if seen != Some(value) && !OF_THE_MOMENT.iter().any(|name| series.starts_with(name)) {
            findings.wrong(format!("{AT_REST}: {series} is {value}, Prometheus says {seen:?}"));
        }
    }
    findings.looked_at(still.len(), "figures of a bus at rest are the same in Prometheus");
    statistics::compare(&scene.prometheus, AT_REST, scene.at_rest.address, findings)?;
    with_the_report(scene, findings)
}

/// Waits until everything that was published is handled; gives the page.
fn rest(switchboard: &Switchboard) -> Outcome<Vec<Sample>> {
    let (mut last, mut page) = (0.0, Vec::new());
    wait_until("all is handled", PATIENCE, || {
        std::thread::sleep(SCRAPED / 2);
        page = exposition::read(&switchboard.metrics()?)?;
        let handled = exposition::sum(&page, "stasis_bus_handled_messages_total", &[]);
        let waiting = exposition::sum(&page, "stasis_subscription_queue_messages", &[]);
        let is_still = handled > 0.0 && handled == last && waiting == 0.0;
        last = handled;
        Ok(is_still)
    })?;
    Ok(page)
}

/// The input ends, and the switchboard says what became of the messages: what Prometheus had seen before.
fn with_the_report(scene: &mut Scene, findings: &mut Findings) -> Outcome<()> {
    let seen = |metric: &str, name: &str| {
        let selector = format!("{metric}{{job=\"{JOB}\",instance=\"{AT_REST}\",subscription=\"{name}\"}}");
        scene.prometheus.number(&format!("sum({selector})"))
    };
    let mut asked = Vec::new();
    for name in ["cdr", "feed", "journal"] {
        let figures = [
            ("delivered", seen("stasis_handled_messages_total", name)?),
            ("missed", seen("stasis_dropped_messages_total", name)?),
            ("panics", seen("stasis_handler_panics_total", name)?),
        ];
        asked.push((name, figures));
    }
    drop(scene.faucet.take());
    let report = scene.at_rest.report()?;
    for (name, figures) in &asked {
        let row = subscription(&report, name).ok_or_else(|| format!("the report knows no {name}"))?;
        for (figure, seen) in figures {
            let reported = row[figure].as_f64();
            if reported != Some(*seen) {
                findings.wrong(format!("{name}: {figure} {reported:?} in the report, {seen} in Prometheus"));
            }
        }
    }
    findings.looked_at(asked.len() * 3, "figures are those of the switchboard's own report");
    Ok(())
}

fn subscription<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    report["subscriptions"].as_array()?.iter().find(|row| row["name"] == name)
}

/// What Prometheus has of an instance now.
fn scraped(scene: &Scene, instance: &str) -> Outcome<Vec<Sample>> {
    let all = format!("{{__name__=~\"stasis_.+\",job=\"{JOB}\",instance=\"{instance}\"}}");
    let mut samples = scene.prometheus.ask(&all)?;
    for sample in &mut samples {
        ["job", "instance"].iter().for_each(|label| drop(sample.labels.remove(*label)));
    }
    Ok(samples)
}

/// Values by name and labels.
fn by_series(samples: Vec<Sample>) -> HashMap<String, f64> {
    let series = |sample: &Sample| format!("{} {:?}", sample.name, sample.labels);
    samples.into_iter().map(|sample| (series(&sample), sample.value)).collect()
}

fn grows(series: &str) -> bool {
    let name = series.split(' ').next().unwrap_or_default();
    ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end))
}
