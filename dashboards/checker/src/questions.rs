//! Every expression of every panel, variable and rule: Prometheus must understand it and have data for it.

use crate::dashboard::{self, Question, Wanted};
use crate::expression::telling_both;
use crate::findings::Findings;
use crate::prometheus::{Prometheus, Rule};
use crate::scene::{self, Scene};
use crate::{Outcome, wait_until};
use std::fs;
use std::time::Duration;

/// What is asked of many seconds may have no data in the first ones.
const PATIENCE: Duration = Duration::from_secs(20);
/// Rules of another file may be evaluated first.
const EVALUATED: Duration = Duration::from_secs(20);
/// There is nothing to show as long as nothing has happened.
const MAY_BE_SILENT: [&str; 1] = ["annotation"];

pub fn ask_all(scene: &Scene, findings: &mut Findings) -> Outcome<()> {
    let mut count = 0;
    for file in fs::read_dir(scene::dashboards().join("grafana"))? {
        for question in dashboard::questions(&file?.path())? {
            let answer = ask(&scene.prometheus, &question);
            findings.add(&question.place, answer);
            count += 1;
        }
    }
    findings.looked_at(count, "expressions of panels and variables have data");
    ask_rules(scene, findings)
}

fn ask(prometheus: &Prometheus, question: &Question) -> Outcome<()> {
    match &question.wanted {
        Wanted::Values { label, selector } => match prometheus.values_of(label, selector.as_deref())?.len() {
            0 => Err(format!("no values of {label}").into()),
            _ => Ok(()),
        },
        Wanted::Samples(expression) if MAY_BE_SILENT.iter().any(|word| question.place.contains(word)) => {
            has_data(prometheus, &telling_both(expression)).or_else(|_| prometheus.ask(expression).map(drop))
        }
        Wanted::Samples(expression) => has_data(prometheus, expression),
    }
}

/// At least one number; what is divided by nothing is none.
fn has_data(prometheus: &Prometheus, expression: &str) -> Outcome<()> {
    let mut seen = 0;
    let found = wait_until("there is data", PATIENCE, || {
        let samples = prometheus.ask(expression)?;
        seen = samples.len();
        Ok(samples.iter().any(|sample| !sample.value.is_nan()))
    });
    found.map_err(|why| format!("{why} ({seen} samples, none a number): {expression}").into())
}

/// Recorded figures have data, alerts have what they compare, and Prometheus is content with all of them.
fn ask_rules(scene: &Scene, findings: &mut Findings) -> Outcome<()> {
    let prometheus = &scene.prometheus;
    wait_until("all rules were evaluated", EVALUATED, || {
        Ok(prometheus.rules()?.iter().all(|rule| rule.health != "unknown"))
    })?;
    let rules = prometheus.rules()?;
    for Rule { name, expression, is_alert, health, last_error } in &rules {
        if health != "ok" {
            findings.wrong(format!("{name} is not well: {last_error}"));
        }
        findings.add(name, has_data(prometheus, &telling_both(expression)));
        if !is_alert {
            findings.add(name, has_data(prometheus, name));
        }
    }
    findings.looked_at(rules.len(), "rules are well and have data");
    Ok(())
}
