//! Switchboards that serve what they do.

use crate::process::Process;
use crate::{Outcome, http};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(30);

pub struct Switchboard {
    process: Process,
    pub address: SocketAddr,
    folder: PathBuf,
}

impl Switchboard {
    /// Starts one that serves at an address of the system's choice.
    pub fn start(program: &Path, folder: &Path, arguments: &[&str]) -> Outcome<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let mut command = Command::new(program);
        command.args(arguments).args(["--serve", "127.0.0.1:0", "--out"]).arg(folder.join("out"));
        let mut process = Process::start("the switchboard", &mut command, &folder.join("log"))?;
        let address = process.wait_for("the switchboard serves", START, served)?;
        Ok(Self { process, address, folder: folder.to_owned() })
    }

    pub fn metrics(&self) -> Outcome<String> {
        http::get(self.address, "/metrics", &[])
    }

    /// Its input is over: waits for it to end, and gives its own report.
    pub fn report(&mut self) -> Outcome<Value> {
        let status = self.process.wait(END)?;
        self.went_well(status)?;
        Ok(serde_json::from_str(&fs::read_to_string(self.folder.join("out/report.json"))?)?)
    }

    /// Ends it; an error if it has lost something.
    pub fn interrupt(&mut self) -> Outcome<()> {
        let status = self.process.interrupt(END)?;
        self.went_well(status)
    }

    fn went_well(&self, status: ExitStatus) -> Outcome<()> {
        match status.success() {
            true => Ok(()),
            false => Err(format!("the switchboard has failed: {}", self.process.said()).into()),
        }
    }
}

/// The address in what it says (`... http://127.0.0.1:9464/ ...`).
fn served(said: &str) -> Option<SocketAddr> {
    let (_, after) = said.split_once("http://")?;
    // Until the line is complete, it may not be all of the address.
    let (line, _) = after.split_once('\n')?;
    line.split(['/', ' ']).next()?.parse().ok()
}

/// An input that gives what it is given, and then nothing more until it is dropped: a bus that is at rest, but up.
pub struct Faucet {
    path: PathBuf,
    input: File,
}

impl Faucet {
    pub fn new(folder: &Path) -> Outcome<Self> {
        let path = folder.join("events.ami");
        let _ = fs::remove_file(&path);
        if !Command::new("mkfifo").arg(&path).status()?.success() {
            return Err("mkfifo has failed".into());
        }
        // Open for reading as well: otherwise this would wait for the reader.
        let input = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Self { path, input })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns when all of it was taken, but for what a pipe holds.
    pub fn pour(&mut self, mut from: impl io::Read) -> Outcome<u64> {
        let bytes = io::copy(&mut from, &mut self.input)?;
        self.input.flush()?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_a_whole_line() {
        assert_eq!(served("serving on http://127.0.0.1:9464/metr"), None);
        let address = "127.0.0.1:9464".parse().ok();
        assert_eq!(served("x\nserving on http://127.0.0.1:9464/ and more\n"), address);
        assert_eq!(served("serving on http://127.0.0.1:9464\n"), address);
    }
}
