//! The whole switchboard: one bus, one source, three consumers.

use crate::End;
use crate::consumers::cdr::Records;
use crate::consumers::{Running, cdr, feed, journal};
use crate::output::{ConsumerSinks, Written};
use crate::serve::{Limits, Served, Server};
use crate::source::{Counts, Source};
use stasis_bus::{Bus, ShutdownReport, SubscriptionStats};
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// When the bus ends nobody is left on it, so this is not used up.
const FAREWELL: Duration = Duration::from_secs(5);

pub(crate) struct Switchboard {
    bus: Bus,
    source: Source,
    cdr: Running<Records>,
    feed: Running<Written>,
    journal: Running<Written>,
    server: Option<Server>,
    started: Instant,
}

/// What came of it all.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) source: Counts,
    pub(crate) records: Records,
    pub(crate) feed: Written,
    pub(crate) journal: Written,
    /// None: nobody was to be served.
    pub(crate) served: Option<Served>,
    /// Figures of the consumers: cdr, feed, journal.
    pub(crate) subscriptions: Vec<SubscriptionStats>,
    pub(crate) shutdown: ShutdownReport,
    pub(crate) elapsed: Duration,
}

impl Switchboard {
    /// The consumers come first: a message reaches those who are there when it is published.
    pub(crate) fn start(out: ConsumerSinks, keep_rows: bool) -> Result<Self, Box<dyn Error>> {
        let bus = Bus::new()?;
        let cdr = cdr::start(&bus, out.cdr, keep_rows)?;
        let feed = feed::start(&bus, out.feed)?;
        let journal = journal::start(&bus, out.journal)?;
        let source = Source::new(&bus)?;
        Ok(Self { bus, source, cdr, feed, journal, server: None, started: Instant::now() })
    }

    /// Serves the events to manager clients from now on; gives the address.
    pub(crate) fn serve(&mut self, address: SocketAddr) -> Result<SocketAddr, Box<dyn Error>> {
        let cannot = |error| format!("cannot serve on {address}: {error}");
        let server = Server::start(&self.bus, address, Limits::default()).map_err(cannot)?;
        Ok(self.server.insert(server).address())
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Takes the next piece of the stream; waits while a consumer is behind.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        self.source.feed(piece);
    }

    /// Lets the consumers handle everything that was published, and takes the bus down.
    pub(crate) fn finish(mut self, end: &End) -> Result<Outcome, Box<dyn Error>> {
        // Where the user stops a stream, it is not the stream's fault that a block is unfinished.
        if !matches!(end, End::Interrupted) {
            self.source.finish();
        }
        let source = self.source.counts();
        let (cdr, records) = self.cdr.finish()?;
        let (feed, fed) = self.feed.finish()?;
        let (journal, noted) = self.journal.finish()?;
        let elapsed = self.started.elapsed();
        // They may have to be waited for; whatever they get is published already.
        let served = self.server.map(Server::finish);
        drop(self.source);
        Ok(Outcome {
            source,
            records,
            feed: fed,
            journal: noted,
            served,
            subscriptions: vec![cdr, feed, journal],
            shutdown: self.bus.shutdown(FAREWELL)?,
            elapsed,
        })
    }
}
