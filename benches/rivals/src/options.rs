//! The command line.

use crate::race::Outcome;
use crate::scenario::{self, Fanout};
use lexopt::prelude::*;
use std::path::PathBuf;

const USAGE: &str = "\
usage: rivals [SCENARIO ...] [--reps N] [--quick] [--json FILE] [--check] [--only NAME]

  SCENARIO      fanout-1, fanout-4, fanout-16, fanout-64 (one publisher), or with x2 behind it (two
                publishers); without any: all of them
  --reps N      repetitions of every cell (7)
  --quick       a tenth of the messages and 3 repetitions: a first impression
  --json FILE   one record per cell, for machines
  --check       whether every contestant delivers every message, in seconds; measures nothing
  --only NAME   only contestants with this in their name, to profile them";

const REPETITIONS: usize = 7;
const REPETITIONS_QUICK: usize = 3;

/// What to run.
pub struct Options {
    pub scenarios: Vec<Fanout>,
    pub repetitions: usize,
    pub json: Option<PathBuf>,
    pub check: bool,
    pub only: Option<String>,
}

impl Options {
    /// Reads the command line. `--help` prints the usage and ends the process.
    pub fn parse() -> Outcome<Self> {
        let (mut names, mut reps, mut quick) = (Vec::new(), None, false);
        let mut options =
            Self { scenarios: Vec::new(), repetitions: 1, json: None, check: false, only: None };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("reps") => reps = Some(arguments.value()?.parse::<usize>()?),
                Long("quick") => quick = true,
                Long("json") => options.json = Some(arguments.value()?.into()),
                Long("check") => options.check = true,
                Long("only") => options.only = Some(arguments.value()?.string()?),
                Long("help") | Short('h') => usage(),
                Value(name) => names.push(name.string()?),
                other => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
            }
        }
        let divisor = if options.check {
            50
        } else if quick {
            10
        } else {
            1
        };
        options.scenarios = choose(&names)?.into_iter().map(|fanout| fanout.smaller(divisor)).collect();
        options.repetitions = match (options.check, quick) {
            (true, _) => reps.unwrap_or(1),
            (false, true) => reps.unwrap_or(REPETITIONS_QUICK),
            (false, false) => reps.unwrap_or(REPETITIONS),
        };
        match options.repetitions {
            0 => Err("--reps is 0; allowed are 1 and more".into()),
            _ => Ok(options),
        }
    }

    /// Whether the contestant of that name takes part.
    pub fn admits(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }
}

fn usage() -> ! {
    println!("{USAGE}");
    std::process::exit(0);
}

fn choose(names: &[String]) -> Outcome<Vec<Fanout>> {
    if names.is_empty() {
        return Ok(scenario::all());
    }
    names.iter().map(|name| find(name)).collect()
}

fn find(name: &str) -> Outcome<Fanout> {
    let known = scenario::all().into_iter().find(|fanout| fanout.name() == name);
    known.ok_or_else(|| format!("unknown scenario {name:?}\n\n{USAGE}").into())
}
