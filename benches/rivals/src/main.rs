//! stasis-bus beside its rivals: the same work, on the same machine, in the same run.
//!
//! ```text
//! rivals [SCENARIO ...] [--reps N] [--quick] [--json FILE] [--check] [--only NAME]
//! ```
//!
//! See `benches/README.md` for the method and how to read the result.

mod contestants;
mod machine;
mod options;
mod race;
mod report;
mod scenario;

use contestants::Contestant;
use machine::{Load, Watch};
use options::Options;
use race::{Outcome, Race};
use report::{Cell, Report};
use scenario::Fanout;
use std::process::ExitCode;

/// One allocator for all, so that the system's does not decide.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often a disturbed repetition is repeated before it counts all the same.
const REPEATS_MAX: usize = 3;

fn main() -> ExitCode {
    match Options::parse().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rivals: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    let load = Load::begin();
    let mut report = Report::default();
    for fanout in &options.scenarios {
        report.add(measure(fanout, options)?);
        if !options.check {
            report.print_last();
        }
    }
    if options.check {
        println!("checked: {} cells, every message counted, every sum right", report.cells());
        return Ok(());
    }
    report.print_targets();
    println!("\n{}; {} of {} repetitions disturbed", load.end(), report.disturbed(), report.repetitions());
    match &options.json {
        Some(path) => report.write_json(path),
        None => Ok(()),
    }
}

/// All contestants in one scenario, repetition by repetition: what disturbs one disturbs its neighbours too.
fn measure(fanout: &Fanout, options: &Options) -> Outcome<Vec<Cell>> {
    let takes_part = |one: &&'static Contestant| (one.fits)(fanout) && options.admits(one.name);
    let mut cells: Vec<_> =
        contestants::ALL.iter().filter(takes_part).map(|one| Cell::new(fanout, one)).collect();
    for repetition in 0..options.repetitions {
        eprint!("\r{} {}/{} ", fanout.name(), repetition + 1, options.repetitions);
        for cell in &mut cells {
            repeat(fanout, cell, options)?;
        }
    }
    eprint!("\r\x1b[K");
    Ok(cells)
}

/// One repetition that counts: one that other work disturbed is repeated, a few times.
fn repeat(fanout: &Fanout, cell: &mut Cell, options: &Options) -> Outcome<()> {
    for left in (0..=REPEATS_MAX).rev() {
        let watch = Watch::start();
        let nanoseconds = race_once(fanout, cell.contestant)?;
        let disturbed = !options.check && watch.was_disturbed();
        if !disturbed || left == 0 {
            cell.add(nanoseconds, disturbed);
            break;
        }
    }
    Ok(())
}

/// One repetition. Returns nanoseconds per message; an error if a single message went wrong.
fn race_once(fanout: &Fanout, contestant: &Contestant) -> Outcome<f64> {
    let race = Race::new(fanout);
    let outcome = (contestant.run)(&race).and_then(|time| race.verify().map(|()| time));
    let time = outcome.map_err(|error| format!("{} in {}: {error}", contestant.name, fanout.name()))?;
    Ok(time.as_nanos() as f64 / fanout.messages as f64)
}
