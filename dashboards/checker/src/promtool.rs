//! What `promtool` says of rules, their tests and pages of metrics.

use crate::Outcome;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What `promtool` says of these files; an error if it is not content.
pub fn run(task: &[&str], files: &[&Path]) -> Outcome<String> {
    let output = Command::new("promtool").args(task).args(files).stdin(Stdio::null()).output()?;
    told(&output).map_err(|why| format!("promtool {}: {why}", task.join(" ")).into())
}

/// Whether `promtool check metrics` has nothing to say against this text: names, units, help and types are as usual.
pub fn lint(exposition: &str) -> Outcome<String> {
    let mut lint = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // It reads everything before it says anything.
    lint.stdin.take().ok_or("no input")?.write_all(exposition.as_bytes())?;
    told(&lint.wait_with_output()?).map_err(Into::into)
}

fn told(output: &Output) -> Result<String, String> {
    if output.status.success() {
        Ok(text(output))
    } else {
        Err(format!("{}\n{}", output.status, text(output)))
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
