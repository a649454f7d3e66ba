//! The command line.

use crate::allocator::Allocator;
use crate::bench::{Effort, Outcome, Scenario};
use crate::{families, worker};
use lexopt::prelude::*;
use std::fs::OpenOptions;
use std::path::PathBuf;

const USAGE: &str = "\
usage: rivals [SCENARIO ...] [--reps N] [--quick] [--json FILE] [--check]
              [--plot FILE.svg] [--markdown FILE] [--only NAME] [--allocator NAME] [--list]

  SCENARIO          fanout-16, or a family: fanout; without any: all of them
  --reps N          repetitions of every cell (7)
  --quick           a tenth of the work and 3 repetitions, in 5 minutes: a first impression
  --check           whether every contestant does all of its work right; measures nothing
  --json FILE       one record per cell, for machines
  --plot FILE.svg   cost per delivery against subscribers, from the fan-out scenarios
  --markdown FILE   everything, as it stands in RESULTS.md
  --only NAME       only contestants with this in their name, to profile them
  --allocator NAME  only under this one: mimalloc or system
  --list            the scenarios and their contestants";

const REPETITIONS: usize = 7;
const REPETITIONS_QUICK: usize = 3;

/// What to do.
pub enum Task {
    Measure(Vec<Scenario>, Options),
    List(Vec<Scenario>),
    /// Run repetitions of this scenario for another process.
    Serve(Scenario),
    Help,
}

/// How to do it.
#[derive(Default)]
pub struct Options {
    pub effort: Effort,
    pub repetitions: usize,
    pub json: Option<PathBuf>,
    pub plot: Option<PathBuf>,
    pub markdown: Option<PathBuf>,
    only: Option<String>,
    allocator: Option<String>,
}

impl Options {
    /// Whether the contestant of that name takes part.
    pub fn admits(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    pub fn admits_allocator(&self, allocator: Allocator) -> bool {
        self.allocator.as_ref().is_none_or(|name| allocator.name() == name)
    }

    /// Refuses now what would be in vain after ten minutes.
    fn check(&self) -> Outcome<()> {
        if self.repetitions == 0 {
            return Err("--reps is 0; allowed are 1 and more".into());
        }
        if let Some(name) =
            self.allocator.as_ref().filter(|name| !["mimalloc", "system"].contains(&name.as_str()))
        {
            return Err(format!("--allocator is {name:?}; allowed are mimalloc and system").into());
        }
        let files = [("--json", &self.json), ("--plot", &self.plot), ("--markdown", &self.markdown)];
        files.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))).try_for_each(
            |(option, path)| {
                let opened = OpenOptions::new().create(true).append(true).open(path);
                opened.map(drop).map_err(|error| format!("{option} {}: {error}", path.display()).into())
            },
        )
    }
}

/// Reads the command line.
pub fn read() -> Outcome<Task> {
    let (mut names, mut reps, mut list) = (Vec::new(), None, false);
    let mut options = Options::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("reps") => reps = Some(number("--reps", &arguments.value()?.string()?)?),
            Long("quick") => options.effort = options.effort.min(Effort::Quick),
            Long("check") => options.effort = Effort::Check,
            Long("json") => options.json = Some(arguments.value()?.into()),
            Long("plot") => options.plot = Some(arguments.value()?.into()),
            Long("markdown") => options.markdown = Some(arguments.value()?.into()),
            Long("only") => options.only = Some(arguments.value()?.string()?),
            Long("allocator") => options.allocator = Some(arguments.value()?.string()?),
            Long("list") => list = true,
            Long(worker::OPTION) => return serve(&arguments.value()?.string()?),
            Long("help") | Short('h') => return Ok(Task::Help),
            Value(name) => names.push(name.string()?),
            other => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
        }
    }
    options.repetitions = reps.unwrap_or(usual(options.effort));
    options.check()?;
    let scenarios = choose(&names)?;
    Ok(if list { Task::List(scenarios) } else { Task::Measure(scenarios, options) })
}

pub fn usage() -> &'static str {
    USAGE
}

fn usual(effort: Effort) -> usize {
    match effort {
        Effort::Check => 1,
        Effort::Quick => REPETITIONS_QUICK,
        Effort::Full => REPETITIONS,
    }
}

fn number(option: &str, text: &str) -> Outcome<usize> {
    text.parse().map_err(|_| format!("{option} is {text:?}; allowed are whole numbers from 1 on").into())
}

fn serve(name: &str) -> Outcome<Task> {
    let found = families::all().into_iter().find(|scenario| scenario.name == name);
    found.map(Task::Serve).ok_or_else(|| format!("no scenario {name:?}").into())
}

/// Each once, in the order of the report, whatever the order of the names.
fn choose(names: &[String]) -> Outcome<Vec<Scenario>> {
    let all = families::all();
    let named = |scenario: &Scenario, name: &str| scenario.name == name || scenario.family == name;
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|scenario| named(scenario, name))) {
        let known: Vec<_> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        return Err(format!("no scenario and no family {unknown:?}; there are {}", known.join(", ")).into());
    }
    let is_chosen = |one: &Scenario| names.is_empty() || names.iter().any(|name| named(one, name));
    Ok(all.into_iter().filter(is_chosen).collect())
}
