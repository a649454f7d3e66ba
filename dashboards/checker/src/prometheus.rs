//! A Prometheus of our own: its configuration, its process, its questions and answers.

use crate::exposition::{Labels, Sample};
use crate::process::Process;
use crate::{Outcome, http, wait_until};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The job of the example configuration, which the rules are made for.
pub const JOB: &str = "stasis";
const START: Duration = Duration::from_secs(30);

/// Somebody to scrape.
pub struct Target {
    /// The label `instance`.
    pub instance: &'static str,
    pub address: SocketAddr,
}

pub struct Prometheus {
    _process: Process,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one that asks the targets once a second and evaluates the rules as often, with all it keeps in `folder`.
    pub fn start(folder: &Path, rules: &[&Path], targets: &[Target]) -> Outcome<Self> {
        let (config, data) = (folder.join("prometheus.yml"), folder.join("data"));
        fs::write(&config, configuration(rules, targets)?)?;
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let address = http::free_address()?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn");
        let process = Process::start("prometheus", &mut command, &folder.join("prometheus.log"))?;
        let prometheus = Self { _process: process, address };
        wait_until("Prometheus is ready", START, || {
            Ok(http::get(address, "/-/ready", &[]).is_ok_and(|said| said.contains("Ready")))
        })?;
        Ok(prometheus)
    }

    /// The samples that an expression has now; an error says what Prometheus does not like about it.
    pub fn ask(&self, expression: &str) -> Outcome<Vec<Sample>> {
        let data = self.get("/api/v1/query", &[("query", expression)])?;
        let result = &data["result"];
        match data["resultType"].as_str() {
            Some("vector") => result.as_array().into_iter().flatten().map(of_vector).collect(),
            Some("scalar") => {
                Ok(vec![Sample { name: String::new(), labels: Labels::new(), value: number(result)? }])
            }
            other => Err(format!("neither a vector nor a scalar, but {other:?}").into()),
        }
    }

    /// The one number that an expression has now.
    pub fn number(&self, expression: &str) -> Outcome<f64> {
        match &self.ask(expression)?[..] {
            [one] => Ok(one.value),
            several => Err(format!("{} samples instead of one: {expression}", several.len()).into()),
        }
    }

    /// The values of a label, of the series that a selector chooses.
    pub fn values_of(&self, label: &str, selector: Option<&str>) -> Outcome<Vec<String>> {
        let query: Vec<_> = selector.map(|selector| ("match[]", selector)).into_iter().collect();
        let data = self.get(&format!("/api/v1/label/{label}/values"), &query)?;
        Ok(data
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|value| Some(value.as_str()?.to_owned()))
            .collect())
    }

    /// Every rule as Prometheus has understood it.
    pub fn rules(&self) -> Outcome<Vec<Rule>> {
        let data = self.get("/api/v1/rules", &[])?;
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
        Ok(rules.map(|rule| Rule::of(&rule)).collect())
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Outcome<Value> {
        let mut answer = http::get_json(self.address, path, query)?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(answer["error"].as_str().unwrap_or("no answer").to_owned().into()),
        }
    }
}

/// One recording rule or alert.
pub struct Rule {
    pub name: String,
    pub expression: String,
    pub is_alert: bool,
    /// `ok`, `unknown` until it was evaluated, or `err`.
    pub health: String,
    pub last_error: String,
}

impl Rule {
    fn of(rule: &Value) -> Self {
        let text = |field: &str| rule[field].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            expression: text("query"),
            is_alert: rule["type"] == "alerting",
            health: text("health"),
            last_error: text("lastError"),
        }
    }
}

fn configuration(rules: &[&Path], targets: &[Target]) -> Outcome<String> {
    let mut text = String::from(
        "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\nrule_files:\n",
    );
    for file in rules {
        writeln!(text, "  - {}", fs::canonicalize(file)?.display())?;
    }
    write!(text, "scrape_configs:\n  - job_name: {JOB}\n    static_configs:\n")?;
    for Target { instance, address } in targets {
        writeln!(text, "      - {{ targets: ['{address}'], labels: {{ instance: {instance} }} }}")?;
    }
    Ok(text)
}

/// `{"metric": {...}, "value": [time, "number"]}`.
fn of_vector(result: &Value) -> Outcome<Sample> {
    let metric = result["metric"].as_object().ok_or("a result without its labels")?;
    let mut labels: Labels = metric
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let name = labels.remove("__name__").unwrap_or_default();
    Ok(Sample { name, labels, value: number(&result["value"])? })
}

fn number(value: &Value) -> Outcome<f64> {
    Ok(value[1].as_str().ok_or("a value that is no text")?.parse()?)
}
