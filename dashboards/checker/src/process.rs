//! Programs that run beside this one, and end with it.

use crate::{Outcome, wait_until};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A program whose output goes to a file. Dropped, it is killed.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(name: &'static str, command: &mut Command, log: &Path) -> Outcome<Self> {
        let output = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|why| format!("{name} does not start: {why}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `find` finds something in what it says.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        patience: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Outcome<T> {
        let mut found = None;
        wait_until(what, patience, || {
            found = find(&self.said());
            match (&found, self.child.try_wait()?) {
                (None, Some(status)) => {
                    Err(format!("{} has ended ({status}): {}", self.name, self.said()).into())
                }
                _ => Ok(found.is_some()),
            }
        })?;
        found.ok_or_else(|| what.into())
    }

    /// Asks it to end, as Ctrl-C does, and waits until it has.
    pub fn interrupt(&mut self, patience: Duration) -> Outcome<ExitStatus> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-INT", &id]).status()?;
        self.wait(patience)
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, patience: Duration) -> Outcome<ExitStatus> {
        let mut status = None;
        wait_until(&format!("{} ends", self.name), patience, || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        status.ok_or_else(|| "no status".into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
