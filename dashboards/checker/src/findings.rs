//! What was found: all of it, not only the first that is wrong.

use crate::Outcome;
use std::process::ExitCode;

#[derive(Default)]
pub struct Findings {
    /// One for each kind of question: how many were well.
    told: Vec<String>,
    wrong: Vec<String>,
}

impl Findings {
    /// Counts as wrong if it is an error.
    pub fn add<T>(&mut self, what: &str, outcome: Outcome<T>) -> bool {
        if let Err(why) = &outcome {
            self.wrong(format!("{what}: {why}"));
        }
        outcome.is_ok()
    }

    pub fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// What was looked at and how much of it there was; nothing at all is wrong as well.
    pub fn looked_at(&mut self, count: usize, what: &str) {
        self.told.push(format!("{count} {what}"));
        if count == 0 {
            self.wrong(format!("nothing was looked at: {what}"));
        }
    }

    /// Prints it, and gives the exit code that says the same.
    pub fn tell(&self) -> ExitCode {
        self.told.iter().for_each(|line| println!("{line}"));
        self.wrong.iter().for_each(|line| println!("WRONG: {line}"));
        match self.wrong.len() {
            0 => println!("checked: {}", self.told.join("; ")),
            wrong => println!("{wrong} things are wrong"),
        }
        if self.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
