//! The command line.

use std::time::Duration;

pub(crate) const USAGE: &str = "\
usage: soak [--minutes M | --seconds N] [--seed S]

Runs all dispatch modes, overflow policies and services of the bus at once, throws faults at them and
checks every delivery. Ends with a table; exit code 1 if anything was wrong.

  --minutes M   for so long: 1 to 10080; 1 unless said otherwise
  --seconds N   the same in seconds: 1 to 604800
  --seed S      the choice of operations: every actor draws its own from it; 1 unless said otherwise
  --help        prints this

Ctrl-C ends it early, with the table.
";

const SECONDS_MAX: u64 = 7 * 24 * 3_600;

/// What the user wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Run(Options),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) seed: u64,
}

/// Reads the arguments; an error says which one is wrong and what is allowed.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let (mut time, mut seed) = (None, None);
    let mut rest = arguments;
    while let Some(name) = rest.next() {
        let mut number = |allowed| number(&name, rest.next(), allowed);
        let twice = match name.as_str() {
            "--help" => return Ok(Command::Help),
            "--minutes" => time.replace(number((1, SECONDS_MAX / 60))? * 60).is_some(),
            "--seconds" => time.replace(number((1, SECONDS_MAX))?).is_some(),
            "--seed" => seed.replace(number((0, u64::MAX))?).is_some(),
            _ => return Err(format!("{name:?} is not known")),
        };
        if twice {
            return Err(format!("{name} says again what was said"));
        }
    }
    let time = Duration::from_secs(time.unwrap_or(60));
    Ok(Command::Run(Options { time, seed: seed.unwrap_or(1) }))
}

fn number(name: &str, value: Option<String>, (least, most): (u64, u64)) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("{name} needs a number from {least} to {most}"))?;
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{name} is {value:?}; allowed is {least} to {most}")),
    }
}
