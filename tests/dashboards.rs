//! The dashboards, rules and the runbook in `dashboards/`: they speak of nothing that is not there, and of all that is.
//!
//! Whether their expressions answer what they should is asked of a real Prometheus: `dashboards/check`.

#![cfg(all(feature = "json", feature = "metrics"))]

#[path = "dashboard_checks/promql.rs"]
mod promql;
#[path = "dashboard_checks/rules.rs"]
mod rules;

use promql::Selector;
use rules::Rule;
use serde_json::Value;
use stasis_bus::observe::{METRICS, Metric, MetricKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Labels that Prometheus adds by itself.
const GIVEN: [&str; 2] = ["job", "instance"];
/// Series that Prometheus has by itself, with the labels that may be asked for.
const PROMETHEUS_OWN: [(&str, &[&str]); 2] = [("up", &[]), ("ALERTS", &["alertname", "alertstate"])];
/// Units of panels by what they may show.
const UNITS: [&str; 5] = ["short", "cps", "s", "percentunit", "decbytes"];
/// A description says what to do: it takes a few words.
const DESCRIPTION_MIN: usize = 60;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(path)
}

/// One file of `dashboards/grafana`.
struct Board {
    file: String,
    json: Value,
}

/// An expression, and where it stands.
struct Asked {
    place: String,
    expression: String,
}

fn boards() -> Vec<Board> {
    let files = fs::read_dir(folder("grafana")).expect("dashboards/grafana can be read");
    let mut boards: Vec<Board> = files
        .map(|file| {
            let path = file.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("text");
            let file = path.file_name().expect("a name").to_string_lossy().into_owned();
            let json = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{file}: {why}"));
            Board { file, json }
        })
        .collect();
    boards.sort_by(|a, b| a.file.cmp(&b.file));
    let names: Vec<&str> = boards.iter().map(|board| board.file.as_str()).collect();
    assert_eq!(names, ["caches.json", "overview.json", "subscriptions.json", "workers-and-latency.json"]);
    boards
}

impl Board {
    /// All but the headings of rows.
    fn panels(&self) -> Vec<&Value> {
        items(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row").collect()
    }

    fn place(&self, panel: &Value) -> String {
        format!("{}: {}", self.file, text(&panel["title"]))
    }

    fn asked(&self) -> Vec<Asked> {
        let of_panels = self.panels().into_iter().flat_map(|panel| {
            items(&panel["targets"]).iter().map(|target| Asked {
                place: self.place(panel),
                expression: text(&target["expr"]).to_owned(),
            })
        });
        let of_annotations = items(&self.json["annotations"]["list"]).iter().map(|annotation| Asked {
            place: format!("{}: annotation {}", self.file, text(&annotation["name"])),
            expression: text(&annotation["expr"]).to_owned(),
        });
        of_panels.chain(of_annotations).collect()
    }

    fn variables(&self) -> Vec<&Value> {
        items(&self.json["templating"]["list"]).iter().collect()
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn recorded() -> Vec<Rule> {
    rules::read(&folder("prometheus/recording.rules.yml"))
}

fn alerts() -> Vec<Rule> {
    rules::read(&folder("prometheus/alerts.rules.yml"))
}

fn all_asked() -> Vec<Asked> {
    let rules = recorded().into_iter().chain(alerts());
    let of_rules = rules.map(|rule| Asked { place: rule.name, expression: rule.expression });
    boards().iter().flat_map(Board::asked).chain(of_rules).collect()
}

/// The metric of the table that a series belongs to.
fn metric_of(series: &str) -> Option<&'static Metric> {
    let parts = ["_bucket", "_sum", "_count"];
    let of_histogram = parts.iter().find_map(|part| {
        let name = series.strip_suffix(part)?;
        METRICS.iter().find(|metric| metric.kind == MetricKind::Histogram && metric.name == name)
    });
    of_histogram.or_else(|| {
        METRICS.iter().find(|metric| metric.kind != MetricKind::Histogram && metric.name == series)
    })
}

/// The labels that series of that name have; `None`: there is no such name.
fn labels_of(series: &str, recorded: &[Rule]) -> Option<BTreeSet<String>> {
    let mut labels: BTreeSet<String> = GIVEN.iter().map(|label| (*label).to_owned()).collect();
    if let Some(metric) = metric_of(series) {
        labels.extend(metric.labels.iter().map(|label| label.name.to_owned()));
        labels.extend(series.ends_with("_bucket").then(|| "le".to_owned()));
    } else if let Some((_, own)) = PROMETHEUS_OWN.iter().find(|(name, _)| *name == series) {
        labels.extend(own.iter().map(|label| (*label).to_owned()));
    } else {
        // `instance_subscription:...`: its level.
        recorded.iter().find(|rule| rule.name == series)?;
        labels.extend(level(series));
    }
    Some(labels)
}

/// The label in the level of a recorded name, beside the instance.
fn level(name: &str) -> Option<String> {
    let level = name.split(':').next()?.strip_prefix("instance").expect("every level has the instance");
    level.strip_prefix('_').map(str::to_owned)
}

#[test]
fn every_metric_and_label_exists() {
    let recorded = recorded();
    for Asked { place, expression } in all_asked() {
        let spoken = promql::read(&expression);
        assert!(!spoken.selectors.is_empty(), "{place} asks for nothing: {expression}");
        let mut there = BTreeSet::new();
        for selector in &spoken.selectors {
            let labels = labels_of(&selector.metric, &recorded)
                .unwrap_or_else(|| panic!("{place}: there is no metric {}", selector.metric));
            check_matchers(&place, selector, &labels);
            there.extend(labels);
        }
        for label in &spoken.grouping {
            assert!(
                there.contains(label),
                "{place}: none of its metrics has the label {label}: {expression}"
            );
        }
    }
}

fn check_matchers(place: &str, selector: &Selector, labels: &BTreeSet<String>) {
    for matcher in &selector.matchers {
        let (metric, label, value) = (&selector.metric, &matcher.label, &matcher.value);
        assert!(labels.contains(label), "{place}: {metric} has no label {label}");
        let values = metric_of(metric)
            .and_then(|metric| metric.labels.iter().find(|one| one.name == label))
            .map_or(&[][..], |label| label.values);
        let is_one = value.starts_with('$') || values.is_empty() || values.contains(&value.as_str());
        assert!(is_one, "{place}: the label {label} of {metric} is never {value:?}");
    }
}

/// A rate of what goes up and down means nothing, and neither does a counter's own value a year later.
#[test]
fn what_only_grows_is_asked_for_its_rate_and_nothing_else_is() {
    // How many there were since the service began is what these are to say.
    const AS_IT_IS: [&str; 2] = ["stasis_threads_refused_total", "stasis_metrics_label_overflow_total"];
    for Asked { place, expression } in all_asked() {
        for Selector { metric, function, .. } in promql::read(&expression).selectors {
            let Some(kind) = metric_of(&metric).map(|metric| metric.kind) else { continue };
            let is_of_growth = ["rate", "increase", "resets"].contains(&function.as_str());
            let grows = kind != MetricKind::Gauge;
            assert!(
                is_of_growth == grows || AS_IT_IS.contains(&metric.as_str()),
                "{place}: {function} of the {} {metric}",
                kind.name()
            );
        }
    }
}

#[test]
fn every_metric_is_shown() {
    let shown: BTreeSet<&str> = boards()
        .iter()
        .flat_map(Board::asked)
        .flat_map(|asked| promql::read(&asked.expression).selectors)
        .filter_map(|selector| Some(metric_of(&selector.metric)?.name))
        .collect();
    let missing: Vec<&str> =
        METRICS.iter().map(|metric| metric.name).filter(|name| !shown.contains(name)).collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
}

#[test]
fn names_numbers_and_titles_are_unique() {
    let boards = boards();
    let uids: BTreeSet<&str> = boards.iter().map(|board| text(&board.json["uid"])).collect();
    assert_eq!(uids.len(), boards.len());
    let titles: BTreeSet<&str> = boards.iter().map(|board| text(&board.json["title"])).collect();
    assert_eq!(titles.len(), boards.len());
    for Board { file, json } in &boards {
        // Grafana gives it a number of its own when it is imported.
        assert!(json["id"].is_null(), "{file}");
        assert!(json["schemaVersion"].as_u64() >= Some(36), "{file}");
        let uid = text(&json["uid"]);
        assert_eq!(format!("{}.json", uid.strip_prefix("stasis-").expect("a prefix")), *file);
        let panels = items(&json["panels"]);
        let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{file}: ids of panels");
        let titles: BTreeSet<&str> = panels.iter().map(|panel| text(&panel["title"])).collect();
        assert_eq!(titles.len(), panels.len(), "{file}: titles of panels");
    }
}

#[test]
fn every_panel_says_what_to_do_and_has_a_unit() {
    for board in boards() {
        for panel in board.panels() {
            let place = board.place(panel);
            let (description, defaults) = (text(&panel["description"]), &panel["fieldConfig"]["defaults"]);
            assert!(description.len() >= DESCRIPTION_MIN, "{place}: {description:?} is no description");
            assert!(UNITS.contains(&text(&defaults["unit"])), "{place}: the unit {:?}", defaults["unit"]);
            // A heatmap has colours instead.
            let steps = items(&defaults["thresholds"]["steps"]);
            assert!(!steps.is_empty() || panel["type"] == "heatmap", "{place}: no thresholds");
            assert_eq!(text(&panel["datasource"]["uid"]), "${datasource}", "{place}");
            assert!(panel["fieldConfig"]["overrides"].is_array(), "{place}");
            check_targets(&place, items(&panel["targets"]));
        }
    }
}

fn check_targets(place: &str, targets: &[Value]) {
    let refs: BTreeSet<&str> = targets.iter().map(|target| text(&target["refId"])).collect();
    assert!(!targets.is_empty() && refs.len() == targets.len(), "{place}: refIds");
    for target in targets {
        let (expression, legend) = (text(&target["expr"]), text(&target["legendFormat"]));
        let grouping = promql::read(expression).grouping;
        let named = legend.split("{{").skip(1).filter_map(|part| part.split_once("}}"));
        for (label, _) in named {
            assert!(
                grouping.contains(label),
                "{place}: the legend names {label}, which {expression} does not keep"
            );
        }
        // Whatever was chosen above is heeded.
        for variable in ["job=~\"$job\"", "instance=~\"$instance\""] {
            assert!(expression.contains(variable), "{place}: {expression} does not heed {variable}");
        }
        for (range, _) in expression.match_indices("rate(") {
            let interval = expression[range..].split(['[', ']']).nth(1).expect("a range");
            assert!(["$__rate_interval", "5m"].contains(&interval), "{place}: a rate over {interval}");
        }
    }
}

/// A panel as wide as it may be, and none over another one.
#[test]
fn panels_stand_side_by_side() {
    for Board { file, json } in boards() {
        let mut taken = BTreeMap::new();
        for panel in items(&json["panels"]) {
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a number"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{file}: {}", panel["title"]);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                if let Some(other) = taken.insert(cell, &panel["title"]) {
                    panic!("{file}: {} stands on {other}", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn variables_and_links_lead_somewhere() {
    let boards = boards();
    let uids: BTreeSet<&str> = boards.iter().map(|board| text(&board.json["uid"])).collect();
    for board in &boards {
        let names: BTreeSet<&str> = board.variables().iter().map(|one| text(&one["name"])).collect();
        for Asked { place, expression } in board.asked() {
            for name in variables_in(&expression) {
                assert!(
                    name.starts_with("__") || names.contains(name),
                    "{place}: there is no variable {name}"
                );
            }
        }
        for variable in board.variables().iter().filter(|one| one["type"] == "query") {
            check_variable(&board.file, variable);
        }
        // Each leads to all others, and what is chosen goes along.
        let links = items(&board.json["links"]);
        let by_tag = links.iter().filter(|link| link["type"] == "dashboards" && link["includeVars"] == true);
        assert!(
            by_tag.flat_map(|link| items(&link["tags"])).any(|tag| items(&board.json["tags"]).contains(tag))
        );
        for link in json_texts(&board.json, "url").into_iter().filter(|url| url.starts_with("/d/")) {
            let uid = link["/d/".len()..].split('?').next().unwrap_or_default();
            assert!(uids.contains(uid), "{}: a link to {uid}", board.file);
        }
    }
}

fn variables_in(expression: &str) -> Vec<&str> {
    let parts = expression.split('$').skip(1);
    parts
        .filter_map(|part| part.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next())
        .collect()
}

/// `label_values(metric{...}, label)`: both are there.
fn check_variable(file: &str, variable: &Value) {
    let (name, query) = (text(&variable["name"]), text(&variable["query"]["query"]));
    let inner =
        query.strip_prefix("label_values(").and_then(|inner| inner.strip_suffix(')')).expect("label_values");
    let (selector, label) = inner.rsplit_once(',').expect("a selector and a label");
    let spoken = promql::read(selector);
    let metric = &spoken.selectors[0].metric;
    let labels =
        labels_of(metric, &[]).unwrap_or_else(|| panic!("{file}: {name}: there is no metric {metric}"));
    assert!(labels.contains(label.trim()), "{file}: {name}: {metric} has no label {label}");
    check_matchers(&format!("{file}: {name}"), &spoken.selectors[0], &labels);
    assert_eq!(
        (text(&variable["allValue"]), variable["multi"].as_bool()),
        (".+", Some(true)),
        "{file}: {name}"
    );
}

/// Every text of that key, however deep.
fn json_texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    match value {
        Value::Array(all) => all.iter().flat_map(|one| json_texts(one, key)).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| match field {
                Value::String(text) if name == key => vec![text.as_str()],
                other => json_texts(other, key),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Names as Prometheus recommends them: what is left of the labels, the metric, what was done.
#[test]
fn recorded_names_say_what_labels_they_keep() {
    for rule in recorded() {
        assert!(!rule.is_alert && rule.name.split(':').count() == 3, "{}", rule.name);
        let mut kept = promql::read(&rule.expression).grouping;
        GIVEN.iter().chain(&["le"]).for_each(|label| assert!(kept.remove(*label) || *label == "le"));
        assert!(kept.into_iter().eq(level(&rule.name)), "{}", rule.name);
    }
}

#[test]
fn every_alert_has_its_words_its_entry_in_the_runbook_and_its_tests() {
    let runbook = fs::read_to_string(folder("RUNBOOK.md")).expect("the runbook can be read");
    let tests = fs::read_to_string(folder("prometheus/tests.yml")).expect("the tests can be read");
    let headings: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## Stasis")).collect();
    let alerts = alerts();
    for alert in &alerts {
        let name = &alert.name;
        let field =
            |field: &str| alert.fields.get(field).unwrap_or_else(|| panic!("{name} has no {field}")).as_str();
        assert!(alert.is_alert && name.starts_with("Stasis"));
        assert!(["critical", "warning", "info"].contains(&field("severity")), "{name}");
        assert!(!field("summary").is_empty() && field("description").len() >= 30, "{name}");
        // The anchor of a heading is the heading in lower case.
        assert_eq!(field("runbook"), format!("dashboards/RUNBOOK.md#{}", name.to_lowercase()));
        assert!(headings.contains(&&name["Stasis".len()..]), "the runbook has no entry {name}");
        assert!(
            tests.contains(&format!("alertname: {name}, exp_alerts: [] }}")),
            "{name} is never tested silent"
        );
        assert!(
            tests.contains(&format!("alertname: {name}\n        exp_alerts:\n")),
            "{name} is never tested firing"
        );
    }
    assert_eq!(headings.len(), alerts.len(), "entries in the runbook: {headings:?}");
    for rule in recorded() {
        assert!(tests.contains(&rule.name), "{} is not tested", rule.name);
    }
}

#[test]
fn entries_of_the_runbook_say_what_it_means_what_to_look_at_and_what_to_do() {
    let runbook = fs::read_to_string(folder("RUNBOOK.md")).expect("the runbook can be read");
    for entry in runbook.split("\n## Stasis").skip(1) {
        for part in ["**Means:**", "**Look at:**", "**Do:**"] {
            assert!(entry.contains(part), "{} has no {part}", entry.lines().next().unwrap_or_default());
        }
    }
    let alerts = alerts();
    for board in boards() {
        for panel in board.panels() {
            let description = text(&panel["description"]);
            let named =
                description.split_once("Runbook: ").map_or("", |(_, names)| names.trim_end_matches('.'));
            for name in named.split(", ").filter(|name| !name.is_empty()) {
                assert!(
                    alerts.iter().any(|alert| alert.name == name),
                    "{}: no alert {name}",
                    board.place(panel)
                );
            }
        }
    }
}
