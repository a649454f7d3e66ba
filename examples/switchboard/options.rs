//! The command line.

mod parse;

pub(crate) use parse::parse;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where the secret of `--user` is looked for: a command line can be read by everybody.
pub(crate) const SECRET: &str = "STASIS_AMI_SECRET";

pub(crate) const USAGE: &str = "\
usage: switchboard [board] [FILE ...] [--together] [--speed N] [--rounds N|forever] [--until SECONDS]
                   [--state] [--join-after SECONDS] [--drop-origin ORIGIN[@SECONDS]]
                   [--ami ADDR] [--serve ADDR] [--out DIR]
                   [--slow NAME=TIME] [--stall NAME] [--panic NAME=PERCENT]
       switchboard [board] --live HOST:PORT --user U [--until SECONDS] [--state] [--ami ADDR] ...

Replays recordings of Asterisk manager (AMI) event streams through the bus, one after the other, and
rebuilds the call detail records (CDR) that Asterisk made of the same calls. Without FILE it takes the
recording that comes with it. If Master{X}.csv lies beside events{X}.ami, the rows are compared with it.
As fast as it can, if no speed is given; nothing is lost either way.

  board            shows the calls and the bus while they run (on a terminal)
  --together       plays all FILEs at once, each from its own begin, as switches side by side
  --speed N        N seconds of the recording in one second: 1, 0.5, 20
  --rounds N       plays everything N times, or `forever`; each round has ids and times of its own
  --until SECONDS  stops at that second of recorded time
  --state          prints the channels, bridges and devices that are there when the input ends or is
                   stopped, and on SIGUSR1
  --join-after SECONDS
                   a console comes at that second, is told what there is, and follows; in the end its
                   table is compared with that of one that was there from the start
  --drop-origin ORIGIN[@SECONDS]
                   each FILE is an origin, called like it but without .ami and .gz; this one is gone when
                   it is over, or at that second, and with it what only it has said
  --live HOST:PORT follows a running Asterisk instead, as manager --user U; the secret is taken from
                   the environment variable STASIS_AMI_SECRET
  --ami ADDR       serves the events to manager clients on this machine: PORT or 127.0.0.1:PORT
  --serve ADDR     shows the bus itself to browsers and to Prometheus on this machine: PORT or
                   127.0.0.1:PORT; needs the features `prometheus` and `console`
  --out DIR        writes cdr.csv, feed.ami, journal.jsonl and report.json there
  --help           prints this

Faults to watch; NAME is a consumer: cdr, feed or journal. It loses messages, the others none:
  --slow cdr=5ms       it sleeps that long at each message
  --stall feed         it stands still until all is over
  --panic journal=0.1% it panics at so many of its messages

Ctrl-C ends the replay: what was read is handled, and the summary follows. A second one ends at once.
";

/// What the user wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Run(Box<Options>),
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) view: View,
    /// Recordings in the order of play. None: the one that comes with the program.
    pub(crate) files: Vec<PathBuf>,
    /// A running Asterisk instead of recordings.
    pub(crate) live: Option<Live>,
    pub(crate) speed: Option<Speed>,
    pub(crate) rounds: Rounds,
    /// All recordings at once.
    pub(crate) together: bool,
    /// Recorded time after the first event.
    pub(crate) until: Option<Duration>,
    /// A loopback address; port 0 leaves the choice to the system.
    pub(crate) ami: Option<SocketAddr>,
    /// Where the figures of the bus are to be had; as above.
    pub(crate) serve: Option<SocketAddr>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) faults: Faults,
    /// What is there is printed in the end, and on a signal.
    pub(crate) state: bool,
    /// When a console comes: recorded time after the first event.
    pub(crate) join_after: Option<Duration>,
    pub(crate) drops: Vec<DropOrigin>,
}

/// A switch goes; None: when its recording is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DropOrigin {
    pub(crate) name: String,
    pub(crate) after: Option<Duration>,
}

/// What is shown while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum View {
    #[default]
    Line,
    Board,
}

/// How many seconds of the recording pass in one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speed(pub(crate) f64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounds {
    Times(u32),
    Forever,
}

/// Who to ask for events, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// A name or an address; one of version 6 without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) secret: Secret,
}

/// Is not printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumer {
    Cdr,
    Feed,
    Journal,
}

/// What the user wants to go wrong, for each consumer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults([Fault; 3]);

/// What is to go wrong in one consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Fault {
    /// It sleeps at each message.
    pub(crate) slow: Option<Duration>,
    /// It stands still until the end.
    pub(crate) stalls: bool,
    /// At how many of a hundred messages it panics.
    pub(crate) panic_percent: Option<f64>,
}

impl Default for Rounds {
    fn default() -> Self {
        Self::Times(1)
    }
}

impl Rounds {
    /// Whether there is a round of that number, from 1.
    pub(crate) fn has(self, round: u32) -> bool {
        match self {
            Self::Times(times) => round <= times,
            Self::Forever => true,
        }
    }
}

impl Consumer {
    pub(crate) const ALL: [Self; 3] = [Self::Cdr, Self::Feed, Self::Journal];

    /// The name of its subscription.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cdr => "cdr",
            Self::Feed => "feed",
            Self::Journal => "journal",
        }
    }
}

impl Faults {
    pub(crate) fn of(&self, consumer: Consumer) -> Fault {
        self.0[consumer as usize]
    }

    pub(crate) fn of_mut(&mut self, consumer: Consumer) -> &mut Fault {
        &mut self.0[consumer as usize]
    }
}

impl Fault {
    /// Whether it keeps the consumer from its messages: then it must not hold up the others.
    pub(crate) fn delays(&self) -> bool {
        self.stalls || self.slow.is_some()
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "the manager at [{}]:{}", self.host, self.port),
            false => write!(f, "the manager at {}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests;
