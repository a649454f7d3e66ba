//! The alerts: true of the faults that they are for, and silent about those that are well.

use crate::exposition::Sample;
use crate::findings::Findings;
use crate::prometheus::Rule;
use crate::scene::{AT_WORK, GONE, STUCK, Scene, WITH_FAULTS};
use crate::{Outcome, wait_until};
use std::time::Duration;

/// For what is asked of seconds: some of them have to pass.
const PATIENCE: Duration = Duration::from_secs(60);
/// A machine that is busy elsewhere makes everybody late for a moment.
const CALM: Duration = Duration::from_secs(20);

/// The alert, the instance, and the subscription where it names one.
const EXPECTED: [(&str, &str, Option<&str>); 9] = [
    ("StasisExporterDown", GONE, None),
    ("StasisMessagesDropped", WITH_FAULTS, Some("cdr")),
    ("StasisMessagesDropped", WITH_FAULTS, Some("feed")),
    ("StasisMailboxOverHighWater", WITH_FAULTS, Some("cdr")),
    ("StasisSlowHandler", WITH_FAULTS, Some("cdr")),
    ("StasisHandlerPanics", WITH_FAULTS, Some("cdr")),
    ("StasisConsumerStalled", WITH_FAULTS, Some("feed")),
    ("StasisMessagesDropped", STUCK, Some("cdr")),
    ("StasisHandlerStuck", STUCK, None),
];

pub fn check(scene: &Scene, findings: &mut Findings) -> Outcome<()> {
    let rules = scene.prometheus.rules()?;
    let alerts: Vec<&Rule> = rules.iter().filter(|rule| rule.is_alert).collect();
    for (name, instance, subscription) in EXPECTED {
        let alert =
            alerts.iter().find(|alert| alert.name == name).ok_or_else(|| format!("no alert {name}"))?;
        let is_it = |sample: &Sample| {
            is_of(sample, "instance", Some(instance)) && is_of(sample, "subscription", subscription)
        };
        let what = format!("{name} is true of {instance} {}", subscription.unwrap_or_default());
        let outcome =
            wait_until(&what, PATIENCE, || Ok(scene.prometheus.ask(&alert.expression)?.iter().any(is_it)));
        findings.add(name, outcome);
    }
    findings.looked_at(EXPECTED.len(), "alerts are true of their faults");

    for alert in &alerts {
        let is_well = |sample: &Sample| is_of(sample, "instance", Some(AT_WORK));
        let outcome = wait_until("who is well is left alone", CALM, || {
            Ok(!scene.prometheus.ask(&alert.expression)?.iter().any(is_well))
        });
        findings.add(&alert.name, outcome);
    }
    findings.looked_at(alerts.len(), "alerts are silent about who is well");
    Ok(())
}

fn is_of(sample: &Sample, label: &str, value: Option<&str>) -> bool {
    sample.labels.get(label).map(String::as_str) == value
}
