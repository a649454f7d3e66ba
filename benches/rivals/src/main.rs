//! stasis-bus beside its rivals: the same work, on the same machine, in the same run.
//!
//! ```text
//! rivals [SCENARIO ...] [--reps N] [--quick] [--json FILE] [--check] [--plot FILE.svg] [--markdown FILE] [--only NAME]
//! ```
//!
//! See `benches/README.md` for the method and how to read the result. `bench` has the words, `families` the scenarios,
//! `targets` what is held against what; the rest runs them and tells what came out.

mod allocator;
mod bench;
mod conductor;
mod families;
mod machine;
mod options;
mod pinning;
/// The ring of the bus, which is private there; it needs nothing else of it.
#[path = "../../../src/queue/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod queue;
mod report;
mod results;
#[path = "../../../src/sync/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod sync;
mod targets;
mod verdict;
mod worker;

use bench::{Effort, Outcome, Scenario};
use machine::Load;
use options::{Options, Task};
use results::Cells;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocator::Switch = allocator::Switch;

fn main() -> ExitCode {
    match options::read().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rivals: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Outcome<()> {
    match task {
        Task::Serve(scenario) => worker::serve(&scenario),
        Task::List(scenarios) => {
            scenarios.iter().for_each(list);
            Ok(())
        }
        Task::Help => {
            println!("{}", options::usage());
            Ok(())
        }
        Task::Measure(scenarios, options) => measure(&scenarios, &options),
    }
}

fn list(scenario: &Scenario) {
    println!("{} ({}): {}", scenario.name, scenario.family, scenario.about);
    scenario.contestants.iter().for_each(|one| println!("  {}, {}", one.name, one.wait));
}

fn measure(scenarios: &[Scenario], options: &Options) -> Outcome<()> {
    let (load, mut results) = (Load::begin(), Vec::new());
    for scenario in scenarios.iter().filter(|scenario| conductor::is_wanted(scenario, options)) {
        let cells = conductor::measure(scenario, options)?;
        if options.effort != Effort::Check {
            println!("{}", report::table::of(&cells));
        }
        results.push(cells);
    }
    if results.is_empty() {
        return Err("nobody takes part: see --list".into());
    }
    match options.effort {
        Effort::Check => tell_checked(&results),
        _ => tell(&results, &load.end(), options)?,
    }
    Ok(())
}

fn tell_checked(results: &[Cells]) {
    let cells: usize = results.iter().map(Cells::rows).sum();
    println!("checked: {cells} cells, every message counted, every sum right");
}

fn tell(results: &[Cells], load: &Load, options: &Options) -> Outcome<()> {
    report::targets(results).iter().for_each(|line| println!("{line}"));
    println!("\n{load}; {}", report::repetitions(results));
    if let Some(path) = &options.json {
        fs::write(path, report::json::of(results))?;
    }
    if let Some(path) = &options.markdown {
        let picture = options.plot.as_ref().and_then(|picture| picture.file_name()).map(Path::new);
        let page = report::markdown::of(results, load, &command(), picture);
        let there = fs::read_to_string(path)?;
        fs::write(path, report::markdown::splice(&page, &there))?;
    }
    match &options.plot {
        Some(path) => report::plot::draw(results, path),
        None => Ok(()),
    }
}

/// As it was typed, but for the program's own path.
fn command() -> String {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    format!("rivals {}", arguments.join(" ")).trim_end().to_owned()
}
