//! A telephone switchboard on the bus: replays what a real Asterisk said on its manager connection,
//! and rebuilds from the messages the call records that Asterisk itself wrote.
//!
//! ```text
//!            publishes                    forwards                       subscriptions
//!           ┌───────────► channel:<id> ──► channel:all ──┐              ┌─► cdr      (Pool)
//!   source ─┼───────────► bridge:<id> ───► bridge:all ───┼► everything ─┼─► feed     (Dedicated)
//!           └───────────► system ────────────────────────┘              ├─► journal  (Stream)
//!                                                                       └─► ami:<n>  (Stream)
//! ```
//!
//! Beside the events go snapshots: after each event, all that is known of what it has changed. The last one of each thing
//! is in a cache, which the board and `--state` read, and which a console that comes later is told first (`state`).
//!
//! ```text
//! switchboard                                          as fast as possible, and how good the rows are
//! switchboard board --speed 5 --rounds 2               to watch
//! switchboard board --speed 5 --slow cdr=5ms           a queue that fills: cdr loses messages, nobody else
//! switchboard board --speed 5 --stall feed             a thread that stands still: the same
//! switchboard --panic journal=0.1%                     panics: a message each
//! ```
//!
//! The source and the three consumers know nothing of each other: they share the vocabulary in
//! `messages` (names of topics and message types), and the bus. To learn the bus, read in this
//! order:
//!
//! | file | what it shows of the bus |
//! | --- | --- |
//! | `messages` | message types with values of their own and two text forms each |
//! | `topics` | a topic per call that comes and goes, forwarded to one that stays |
//! | `source` | publishing, with the time of the event instead of now |
//! | `consumers` | subscriptions: a pool handler, one with a thread of its own, an async stream |
//! | `switchboard` | a bus from its beginning to its end, with nothing lost |
//! | `sabotage` | what a slow, stuck or panicking consumer costs the others |
//! | `serve` | a topic and a bounded subscription per client, which ends rather than being waited for |
//! | `snapshots`, `state` | a cache of the latest state of each thing, by id and origin, with an aggregate for devices; a topic pool for each kind of thing; what goes with an origin |
//! | `state/console` | a subscription that is told first what there is, and then every change |
//! | `progress`, `board` | figures of a running bus; a cache read from another thread |
//!
//! The rest is the application: `ami` and `event` read the manager protocol, `cdr` holds the
//! rules of call records and `verdict` compares them; `playlist`, `input`, `rounds` and `pace` say
//! what comes when, `merge` plays several at once, and `live` follows a running switch instead; `origins`
//! names the switches; `calls` keeps the lines of the board; `options`, `output` and `summary` talk to the user.

// The library's rule that atomics and threads come from one module (so that they can be model
// checked) does not bind those who use the library.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod ami;
mod board;
mod calls;
mod cdr;
mod consumers;
mod event;
mod figures;
mod input;
mod live;
mod merge;
mod messages;
mod options;
mod origins;
mod output;
mod pace;
mod playlist;
mod progress;
mod roll_call;
mod rounds;
mod sabotage;
mod serve;
mod signals;
mod snapshots;
mod source;
mod state;
mod stop;
mod summary;
mod switchboard;
mod topics;
mod verdict;
mod wire;

use board::screen::{self, Screen};
use board::{Board, Heading};
use figures::Figures;
use input::{Meter, NobodyListens, Outlet, Piece, Pieces, Stopper};
use live::Patience;
use options::{Command, Live, Options, View};
use output::Outputs;
use pace::Pace;
use playlist::{Answers, Playlist};
use progress::{Line, Progress};
use signals::OnSignal;
use state::StateView;
use std::ffi::OsString;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use stop::Stop;
use summary::Summary;
use switchboard::{Outcome, Setup, Switchboard};

/// What ends the program before there is anything to sum up.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    run(std::env::args_os().skip(1))
}

fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match options::parse(arguments, |name| std::env::var_os(name)) {
        Ok(Command::Help) => exit_code(print(options::USAGE)),
        Ok(Command::Run(options)) => match replay(&options, Watch::of(options.view), stop_on_ctrl_c) {
            Ok(told) => tell(&told),
            Err(failure) => tell(&Told { troubles: vec![failure.to_string()], ..Told::default() }),
        },
        Err(mistake) => {
            complain(&format!("{mistake}\n\n{}", options::USAGE));
            ExitCode::from(2)
        }
    }
}

/// What the user is told at the end.
#[derive(Debug, Default)]
struct Told {
    /// How things stood when the input ended, if that was asked for.
    state: Option<String>,
    summary: String,
    /// What went wrong.
    troubles: Vec<String>,
}

/// Where the user watches it run.
enum Watch {
    Line(Line),
    Board(Screen),
}

/// It is being watched.
enum Watching {
    Line(Progress),
    Board(Board),
}

impl Watch {
    /// The board needs a terminal; elsewhere there is a line now and then.
    fn of(view: View) -> Self {
        let screen = if view == View::Board { Screen::new() } else { None };
        screen.map_or_else(|| Self::Line(Line::stderr()), Self::Board)
    }

    fn start(self, board: &Switchboard, meter: Meter, heading: Heading) -> Watching {
        let (bus, state) = (board.bus(), board.state().clone());
        match self {
            Self::Line(line) => Watching::Line(Progress::start(bus, meter, line)),
            Self::Board(screen) => Watching::Board(Board::start(screen, bus, state, meter, heading)),
        }
    }
}

impl Watching {
    fn finish(self, outcome: &Outcome) {
        match self {
            Self::Line(progress) => progress.finish(outcome),
            Self::Board(board) => board.finish(),
        }
    }
}

/// Replays recordings from the first byte to the summary. `watch` shows how far it is; `control` gets
/// what can stop it.
fn replay(
    options: &Options,
    watch: Watch,
    control: impl FnOnce(Stopper) -> Result<(), Failure>,
) -> Result<Told, Failure> {
    let input = Input::of(options)?;
    let answers = input.answers(options)?;
    let mut outputs = Outputs::create(options.out.as_deref(), &options.files)?;
    let (names, meter) = (input.names(), input.meter());

    let stop = Stop::default();
    let pace = Pace::new(options.speed, options.until, stop.clone());
    let setup = Setup {
        answers,
        pace,
        faults: options.faults.clone(),
        origins: input.origins(options),
        join_after: options.join_after,
        drops: options.drops.clone(),
        together: options.together,
    };
    let mut board = Switchboard::start(outputs.consumers, setup)?;
    if let Some(address) = options.ami {
        let address = board.serve(address)?;
        complain(&format!("serving manager clients on {address}"));
    }
    let figures = options.serve.map(|address| Figures::serve(board.bus(), address)).transpose()?;
    if let Some(figures) = &figures {
        complain(&format!("serving the figures of the bus on http://{}/", figures.address()));
    }
    let pieces = Pieces::start(stop, move |outlet| input.read(outlet))?;
    // Before anything is shown: whoever sees the board can end it.
    control(pieces.stopper())?;
    let asked = options.state.then(|| print_on_signal(board.state().clone())).transpose()?;
    let watching = watch.start(&board, meter, Heading::of(options, &names));
    let end = play(&pieces, &mut board);
    board.end(&end);
    drop(asked);
    let state = options.state.then(|| board.state().table());
    let outcome = board.finish(&end)?;
    if let Some(figures) = figures {
        figures.stop();
    }
    watching.finish(&outcome);

    let summary = Summary::new(&names, &end, &outcome);
    outputs.report.write(format_args!("{}\n", summary.to_json()?));
    let troubles = summary.troubles(&outputs.report.finish());
    Ok(Told { state, summary: summary.to_string(), troubles })
}

/// Where the events come from.
enum Input {
    Recordings(Playlist),
    Manager(Live),
}

impl Input {
    fn of(options: &Options) -> Result<Self, Failure> {
        Ok(match &options.live {
            Some(live) => Self::Manager(live.clone()),
            None => {
                Self::Recordings(Playlist::open(&options.files, options.rounds)?.together(options.together))
            }
        })
    }

    /// What a live switch writes down nobody has yet.
    fn answers(&self, options: &Options) -> Result<Answers, Failure> {
        match self {
            Self::Recordings(_) => Ok(playlist::answers(&options.files)?),
            Self::Manager(_) => Ok(vec![None]),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Recordings(playlist) => playlist.names(),
            Self::Manager(live) => vec![live.to_string()],
        }
    }

    /// What the switches are called that are heard.
    fn origins(&self, options: &Options) -> Vec<String> {
        match self {
            Self::Recordings(_) => origins::names(&options.files),
            Self::Manager(live) => origins::names(&[live.host.clone().into()]),
        }
    }

    fn meter(&self) -> Meter {
        match self {
            Self::Recordings(playlist) => playlist.meter.clone(),
            Self::Manager(_) => Meter::default(),
        }
    }

    fn read(self, outlet: &Outlet) -> Result<End, NobodyListens> {
        match self {
            Self::Recordings(playlist) => playlist.read(outlet),
            Self::Manager(live) => live::follow(&live, &Patience::default(), complain, outlet),
        }
    }
}

/// How the input came to its end.
#[derive(Debug)]
pub(crate) enum End {
    Complete,
    /// The user has asked to stop.
    Interrupted,
    /// As much is played as the user wanted.
    Enough,
    Broken(io::Error),
}

impl End {
    /// Whether the user wanted it to end where it did.
    pub(crate) fn is_wanted(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Enough)
    }
}

/// Gives the input to the switchboard piece by piece, until it ends or the user wants it to.
fn play(pieces: &Pieces, board: &mut Switchboard) -> End {
    loop {
        let next = match pieces.next() {
            Piece::Begin(part) => board.begin(part),
            Piece::Turn(recording) => board.turn(recording),
            Piece::Bytes(bytes) => board.feed(&bytes),
            Piece::Over => board.over(),
            Piece::Cut => board.cut(),
            Piece::End(end) => ControlFlow::Break(end),
        };
        if let ControlFlow::Break(end) = next {
            return end;
        }
    }
}

/// The first Ctrl-C lets everything that was read be handled; a second one does not wait.
fn stop_on_ctrl_c(stopper: Stopper) -> Result<(), Failure> {
    ctrlc::set_handler(move || {
        if stopper.stop() {
            screen::leave();
            std::process::exit(130);
        }
    })?;
    Ok(())
}

/// Prints how things stand whenever the user asks for it.
fn print_on_signal(state: StateView) -> io::Result<OnSignal> {
    OnSignal::start(move || {
        let table = state.table();
        screen::step_aside(|| {
            print(&table);
        });
    })
}

fn tell(told: &Told) -> ExitCode {
    let state = told.state.as_ref().map_or_else(String::new, |state| format!("{state}\n"));
    let printed = print(&(state + &told.summary));
    told.troubles.iter().for_each(|trouble| complain(trouble));
    exit_code(printed && told.troubles.is_empty())
}

fn exit_code(went_well: bool) -> ExitCode {
    if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints without the panic of `println!` if nobody reads (`switchboard | head`). False: the text
/// could not be written.
fn print(text: &str) -> bool {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot print: {error}"));
            false
        }
        _ => true,
    }
}

/// If not even this can be said, there is nobody to say it to.
fn complain(text: &str) {
    screen::step_aside(|| {
        let _ = writeln!(io::stderr(), "switchboard: {text}");
    });
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod command_tests;

#[cfg(test)]
mod terminal_tests;

#[cfg(test)]
mod hostile_tests;

#[cfg(test)]
mod process_tests;
