//! A telephone switchboard on the bus: replays what a real Asterisk said on its manager connection,
//! and rebuilds from the messages the call records that Asterisk itself wrote.
//!
//! ```text
//!            publishes                    forwards                       subscriptions
//!           ┌───────────► channel:<id> ──► channel:all ──┐              ┌─► cdr      (Pool)
//!   source ─┼───────────► bridge:<id> ───► bridge:all ───┼► everything ─┼─► feed     (Dedicated)
//!           └───────────► system ────────────────────────┘              └─► journal  (Stream)
//! ```
//!
//! The source and the three consumers know nothing of each other: they share the vocabulary in
//! [`messages`] (names of topics and message types), and the bus. To learn the bus, read in this
//! order:
//!
//! | file | what it shows of the bus |
//! | --- | --- |
//! | [`messages`] | message types with values of their own and two text forms each |
//! | [`topics`] | a topic per call that comes and goes, forwarded to one that stays |
//! | [`source`] | publishing, with the time of the event instead of now |
//! | [`consumers`] | subscriptions: a pool handler, one with a thread of its own, an async stream |
//! | [`switchboard`] | a bus from its beginning to its end, with nothing lost |
//! | [`progress`] | figures of a running bus |
//!
//! The rest is the application: [`ami`] and [`event`] read the manager protocol, [`cdr`] holds the
//! rules of call records, [`options`], [`input`], [`output`] and [`summary`] talk to the user.

// The library's rule that atomics and threads come from one module (so that they can be model
// checked) does not bind those who use the library.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod ami;
mod cdr;
mod consumers;
mod event;
mod input;
mod messages;
mod options;
mod output;
mod progress;
mod source;
mod summary;
mod switchboard;
mod topics;

use input::{Input, Piece};
use options::{Command, Options};
use output::Outputs;
use progress::Progress;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use summary::Summary;
use switchboard::Switchboard;

/// What ends the program before there is anything to sum up.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => exit_code(print(options::USAGE).is_ok()),
        Ok(Command::Replay(options)) => match replay(&options) {
            Ok(went_well) => exit_code(went_well),
            Err(failure) => {
                complain(&failure.to_string());
                ExitCode::FAILURE
            }
        },
        Err(mistake) => {
            complain(&format!("{mistake}\n\n{}", options::USAGE));
            ExitCode::from(2)
        }
    }
}

/// Replays one recording from its first byte to its summary. True: nothing went wrong.
fn replay(options: &Options) -> Result<bool, Failure> {
    let input = Input::open(options.file.as_deref())?;
    let asterisk = input::asterisk_rows(options.file.as_deref())?;
    let outputs = Outputs::create(options.out.as_deref(), options.file.as_deref())?;
    let (name, mut report) = (input.name.clone(), outputs.report);
    let board = Switchboard::start(outputs.consumers, asterisk.is_some())?;
    let progress = Progress::start(board.bus(), input.meter.clone());

    let (board, end) = play(input, board)?;
    let outcome = board.finish(&end)?;
    progress.finish(&outcome);

    let summary = Summary::new(&name, &end, &outcome, asterisk.as_deref());
    report.write(format_args!("{}\n", summary.to_json()?));
    let reported = report.finish();
    print(&summary.to_string())?;
    let troubles = summary.troubles(&reported);
    troubles.iter().for_each(|trouble| complain(trouble));
    Ok(troubles.is_empty())
}

/// How the input came to its end.
#[derive(Debug)]
pub(crate) enum End {
    Complete,
    /// The user has asked to stop.
    Interrupted,
    Broken(io::Error),
}

/// Gives the input to the switchboard piece by piece, until it ends or the user wants it to.
fn play(input: Input, mut board: Switchboard) -> Result<(Switchboard, End), Failure> {
    let pieces = Arc::new(input.start()?);
    let stop = pieces.stopper();
    // The first Ctrl-C lets everything that was read be handled; a second one does not wait.
    ctrlc::set_handler(move || {
        if stop.stop() {
            std::process::exit(130);
        }
    })?;
    loop {
        match pieces.next() {
            Piece::Bytes(bytes) => board.feed(&bytes),
            Piece::End(end) => return Ok((board, end)),
        }
    }
}

fn exit_code(went_well: bool) -> ExitCode {
    if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints without the panic of `println!` if nobody reads (`switchboard | head`).
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// If not even this can be said, there is nobody to say it to.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "switchboard: {text}");
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod hostile_tests;
