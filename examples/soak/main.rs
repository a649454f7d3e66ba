//! Everything at once, for as long as you like: all dispatch modes, policies and services under load, with faults thrown
//! in, and invariants that are checked all along.
//!
//! `cargo run --release --example soak -- --minutes M --seed S` (or `--seconds N`). It ends with one table: the load that
//! was held, the faults that were thrown, what was lost, duplicated, reordered or leaked, and whether memory, threads and
//! file descriptors stayed flat. Exit code 1 if anything was wrong, 2 for bad arguments. Ctrl-C ends it early, with the
//! table.
//!
//! `examples/stress` is the small one of the two: publishers and subscriptions alone, for sanitizers and `cargo test`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod audience;
mod caches;
mod dice;
mod followers;
mod health;
mod heap;
mod houses;
mod options;
mod publishers;
mod seen;
mod services;
mod signals;
mod table;
mod temper;
mod tenants;
mod terms;
#[cfg(test)]
mod tests;
mod verdict;
mod watchdog;
mod yard;

use options::{Command, Options, USAGE};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use table::Outcome;
use verdict::Kind;
use yard::Yard;

/// What the end of the bus may take.
const FAREWELL: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => return print(USAGE, ExitCode::SUCCESS),
        Err(why) => {
            eprintln!("soak: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(outcome) => {
            let code = if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            print(&outcome.to_string(), code)
        }
        Err(why) => {
            eprintln!("soak: {why}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str, code: ExitCode) -> ExitCode {
    match write!(io::stdout(), "{text}").and_then(|()| io::stdout().flush()) {
        Ok(()) => code,
        Err(why) => {
            eprintln!("soak: cannot print: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Everybody, until the time is over or something is wrong; and then what came of it.
fn run(options: Options) -> Result<Outcome, Box<dyn std::error::Error>> {
    temper::keep_quiet_about_what_is_on_purpose();
    let before = health::Sample::now();
    let start = Instant::now();
    let yard = Arc::new(Yard::new(options)?);
    let signals = signals::Signals::start(&yard)?;
    let watchdog = watchdog::Watchdog::start(&yard)?;
    let store = Arc::new(caches::Store::new(&yard)?);
    let mut trend = health::Trend::new(before);
    trend.actors_come();
    thread::scope(|scope| {
        publishers::start(scope, &yard);
        tenants::start(scope, &yard);
        caches::start(scope, &yard, &store);
        followers::start(scope, &yard, &store);
        services::start(scope, &yard);
        houses::start(scope, &yard);
        signals::throw(scope, &yard);
        trend.watch(&yard);
    });
    drop(store);
    let stats = yard.bus.stats();
    trend.actors_are_gone();
    finish(&yard);
    drop(signals);
    drop(watchdog);
    trend.judge(&yard.verdict);
    Ok(Outcome::new(&yard, &stats, trend, start.elapsed()))
}

/// The end of the bus: nothing is left of it.
fn finish(yard: &Yard) {
    match yard.bus.shutdown(FAREWELL) {
        Ok(report) if report.is_clean() => {}
        Ok(report) => yard.verdict.complain(Kind::Ending, report.to_string()),
        Err(why) => yard.verdict.complain(Kind::Ending, why.to_string()),
    }
    yard.count_what_is_left();
}
