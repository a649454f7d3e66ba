//! The whole switchboard: one bus, one source, three consumers.

use crate::End;
use crate::consumers::cdr::Records;
use crate::consumers::journal::Noted;
use crate::consumers::{Running, Terms, cdr, feed, journal};
use crate::options::DropOrigin;
use crate::options::{Consumer, Fault, Faults};
use crate::origins::{HERE, Origins};
use crate::output::{ConsumerSinks, Written};
use crate::pace::Pace;
use crate::playlist::Answers;
use crate::rounds::Part;
use crate::serve::{Limits, Served, Server};
use crate::source::{Counts, Source};
use crate::state::StateView;
use crate::state::console::Joined;
use crate::state::moments::Moments;
use crate::stop::Stop;
use crate::verdict::Judge;
use stasis_bus::{Bus, ShutdownReport, SubscriptionStats};
use std::error::Error;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// When the bus ends nobody is left on it, so this is not used up.
const FAREWELL: Duration = Duration::from_secs(5);

pub(crate) struct Switchboard {
    bus: Bus,
    source: Source,
    cdr: Running<Records>,
    feed: Running<Written>,
    journal: Running<Noted>,
    faults: Faults,
    /// Said when nothing more is published: no consumer is hindered any more.
    over: Stop,
    server: Option<Server>,
    /// The input is over.
    is_over: bool,
    started: Instant,
}

/// How it is to run.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) answers: Answers,
    pub(crate) pace: Pace,
    pub(crate) faults: Faults,
    /// What the switches are called that are heard.
    pub(crate) origins: Vec<String>,
    /// When a console comes, and which of the switches go.
    pub(crate) join_after: Option<Duration>,
    pub(crate) drops: Vec<DropOrigin>,
    /// All recordings are played at once.
    pub(crate) together: bool,
}

/// What came of it all.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) source: Counts,
    pub(crate) records: Records,
    pub(crate) feed: Written,
    pub(crate) journal: Written,
    /// What became of the messages: cdr, feed, journal.
    pub(crate) tallies: [Tally; 3],
    /// None: nobody was to be served.
    pub(crate) served: Option<Served>,
    /// None: nobody was to come later.
    pub(crate) joined: Option<Joined>,
    pub(crate) shutdown: ShutdownReport,
    pub(crate) elapsed: Duration,
}

/// What became of the messages for one consumer: each was handled, or was lost because the handler
/// panicked, or was missed (`stats` counts these) because there was no room for it.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) fault: Fault,
    pub(crate) stats: SubscriptionStats,
    /// Messages for it, as the source has counted them.
    pub(crate) published: u64,
    /// As the consumer has counted them.
    pub(crate) handled: u64,
    pub(crate) panics: u64,
}

impl Switchboard {
    /// The consumers come first: a message reaches those who are there when it is published.
    pub(crate) fn start(out: ConsumerSinks, setup: Setup) -> Result<Self, Box<dyn Error>> {
        let (bus, over) = (Bus::builder().node(HERE).build()?, Stop::default());
        let origins = Origins::new(&bus, &setup.origins)?;
        let terms = |consumer| Terms::new(setup.faults.of(consumer), over.clone());
        let sides = if setup.together { Some(origins.clone()) } else { None };
        let judge = Judge::new(setup.answers, setup.together);
        let cdr = cdr::start(&bus, out.cdr, judge, sides, &terms(Consumer::Cdr))?;
        let feed = feed::start(&bus, out.feed, &terms(Consumer::Feed))?;
        let journal = journal::start(&bus, out.journal, &terms(Consumer::Journal))?;
        let index = |name: &String| origins.iter().position(|(other, _)| other == name);
        let drops = setup.drops.iter().filter_map(|drop| Some((index(&drop.name)?, drop.after)));
        let moments = Moments::new(setup.join_after, drops.collect::<Vec<_>>());
        let mut source = Source::new(&bus, setup.pace, origins, moments)?;
        if let Some(after) = setup.join_after {
            source.state.expect_console(after)?;
        }
        let faults = setup.faults;
        Ok(Self {
            bus,
            source,
            cdr,
            feed,
            journal,
            faults,
            over,
            server: None,
            is_over: false,
            started: Instant::now(),
        })
    }

    /// Serves the events to manager clients from now on; gives the address.
    pub(crate) fn serve(&mut self, address: SocketAddr) -> Result<SocketAddr, Box<dyn Error>> {
        let cannot = |error| format!("cannot serve on {address}: {error}");
        let server = Server::start(&self.bus, address, Limits::default()).map_err(cannot)?;
        Ok(self.server.insert(server).address())
    }

    /// How things stand, to be looked at from anywhere.
    pub(crate) fn state(&self) -> &StateView {
        self.source.state.view()
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Another recording begins.
    pub(crate) fn begin(&mut self, part: Part) -> ControlFlow<End> {
        self.source.begin(part)
    }

    /// What is fed next is of that recording, of several that are played at once.
    pub(crate) fn turn(&mut self, recording: usize) -> ControlFlow<End> {
        self.source.turn(recording)
    }

    /// That recording is over.
    pub(crate) fn over(&mut self) -> ControlFlow<End> {
        self.source.over()
    }

    /// Takes the next piece of the stream; waits until it is due, and while a consumer is behind.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> ControlFlow<End> {
        self.source.feed(piece)
    }

    /// The stream is cut.
    pub(crate) fn cut(&mut self) -> ControlFlow<End> {
        self.source.cut()
    }

    /// The input is over; what it left unfinished is published, and nothing more.
    pub(crate) fn end(&mut self, end: &End) {
        // Where the user stops a stream, it is not the stream's fault that a block is unfinished.
        if !end.is_wanted() && !std::mem::replace(&mut self.is_over, true) {
            let _ = self.source.over();
        }
    }

    /// Lets the consumers handle everything that was published, and takes the bus down.
    pub(crate) fn finish(mut self, end: &End) -> Result<Outcome, Box<dyn Error>> {
        self.end(end);
        self.over.say();
        let source = self.source.counts();
        let (cdr, records) = self.cdr.finish()?;
        let (feed, fed) = self.feed.finish()?;
        let (journal, noted) = self.journal.finish()?;
        let elapsed = self.started.elapsed();
        // They may have to be waited for; whatever they get is published already.
        let served = self.server.map(Server::finish);
        let joined = self.source.finish_state()?;
        let tally = |consumer, stats: SubscriptionStats, published, handled| Tally {
            fault: self.faults.of(consumer),
            panics: stats.panics,
            stats,
            published,
            handled,
        };
        let journal = Tally {
            panics: noted.panics,
            ..tally(Consumer::Journal, journal, source.messages, noted.written.items)
        };
        let tallies = [
            tally(Consumer::Cdr, cdr, source.of_calls + source.begun, records.handled),
            tally(Consumer::Feed, feed, source.messages, fed.items),
            journal,
        ];
        let shutdown = self.bus.shutdown(FAREWELL)?;
        Ok(Outcome {
            source,
            records,
            feed: fed,
            journal: noted.written,
            served,
            joined,
            tallies,
            shutdown,
            elapsed,
        })
    }
}

impl Tally {
    /// Messages that it did not handle.
    pub(crate) fn lost(&self) -> u64 {
        self.stats.missed + self.panics
    }

    /// Whether each message is accounted for, once.
    pub(crate) fn adds_up(&self) -> bool {
        self.handled + self.lost() == self.published && self.stats.accepted == self.handled + self.panics
    }

    /// Whether the user wanted messages to get lost here, in this way.
    pub(crate) fn is_on_purpose(&self) -> bool {
        (self.stats.missed == 0 || self.fault.delays())
            && (self.panics == 0 || self.fault.panic_percent.is_some())
    }
}
