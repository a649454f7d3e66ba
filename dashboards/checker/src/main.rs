//! Asks a real Prometheus every expression of the dashboards and rules, beside running switchboards.
//!
//! ```text
//! dashboards-checker SWITCHBOARD FOLDER
//! ```
//!
//! `SWITCHBOARD` is the built example, `FOLDER` where everything goes that is made here. `dashboards/check` builds the
//! one and gives both.
//!
//! | file | what |
//! | --- | --- |
//! | `scene` | the switchboards and the Prometheus that scrapes them |
//! | `questions` | every expression: understood, and with data |
//! | `agreement`, `statistics` | figures that must be those of the bus itself |
//! | `alarms` | alerts that must be true of faults, and of nothing else |
//! | `dashboard`, `expression` | what dashboards ask, and in which form it can be asked here |
//! | `prometheus`, `switchboard`, `process`, `http`, `promtool` | programs and servers |
//! | `exposition` | the text of `/metrics` |

mod agreement;
mod alarms;
mod dashboard;
mod exposition;
mod expression;
mod findings;
mod http;
mod process;
mod prometheus;
mod promtool;
mod questions;
mod scene;
mod statistics;
mod switchboard;

use findings::Findings;
use scene::Scene;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const LOOK_AGAIN: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [switchboard, folder] = &arguments[..] else {
        eprintln!("usage: dashboards-checker SWITCHBOARD FOLDER (dashboards/check does it)");
        return ExitCode::from(2);
    };
    match run(switchboard, folder) {
        Ok(findings) => findings.tell(),
        Err(why) => {
            eprintln!("dashboards/check: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(switchboard: &Path, folder: &Path) -> Outcome<Findings> {
    let mut findings = Findings::default();
    check_rules(&mut findings);
    let mut scene = Scene::set(switchboard, folder)?;
    questions::ask_all(&scene, &mut findings)?;
    agreement::of_moving_figures(&scene, &mut findings)?;
    alarms::check(&scene, &mut findings)?;
    agreement::at_rest(&mut scene, &mut findings)?;
    scene.end()?;
    Ok(findings)
}

/// Without a server: what is wrong with them by themselves.
fn check_rules(findings: &mut Findings) {
    let rules = scene::rules();
    let rules: Vec<&Path> = rules.iter().map(PathBuf::as_path).collect();
    findings.add("promtool check rules", promtool::run(&["check", "rules"], &rules));
    let tests = scene::dashboards().join("prometheus/tests.yml");
    findings.add("promtool test rules", promtool::run(&["test", "rules"], &[&tests]));
    let config = scene::dashboards().join("prometheus/prometheus.yml");
    findings.add("promtool check config", promtool::run(&["check", "config"], &[&config]));
}

/// Looks again and again until it is so; an error if that takes longer than anybody would wait. Looks are counted and not
/// the clock: a machine that stood still meanwhile has not waited.
fn wait_until(what: &str, patience: Duration, mut is_so: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
    for _ in 0..=patience.as_millis() / LOOK_AGAIN.as_millis() {
        if is_so()? {
            return Ok(());
        }
        thread::sleep(LOOK_AGAIN);
    }
    Err(format!("in {patience:?} it was never so: {what}").into())
}
