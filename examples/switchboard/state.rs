//! The state of everything: after each event the snapshots of what it has changed are published, on the topic of the
//! thing, and the cache has them when that returns.
//!
//! ```text
//!            publishes                      pool                  tap
//!           ┌───────────► channels/<id> ───► channels ──────────► ┌─────────┐ updates   ┌─► a console
//!   State ──┼───────────► bridges/<id> ────► bridges ───────────► │  cache  │ ─────────►┤
//!           ├───────────► devices/<name> ──► devices ───────────► │         │           └─► another
//!           └───────────► lines/<n>, traffic/all ───────────────► └─────────┘ ◄── reads: board, --state
//! ```
//!
//! Nobody else keeps a table: whoever wants to know how things stand looks into the cache, or subscribes to its updates
//! and is told first what there is.

pub(crate) mod console;
pub(crate) mod devices;
pub(crate) mod moments;
mod node;
mod objects;
pub(crate) mod table;

use crate::calls::{Calls, Line, line_id};
use crate::consumers::Gone;
use crate::event::{Event, Stamp};
use crate::origins::Origins;
use crate::snapshots::{Bridge, Channel, Known, Snapshot, Snapshots, Traffic};
use console::{Consoles, Joined};
use devices::Device;
use node::{Node, When};
use objects::Objects;
use stasis_bus::{Bus, Cache, CachingTopic, Error, Timestamp, TopicPool};
use std::time::Duration;

/// Keeps and publishes it, from the thread of the source.
pub(crate) struct State {
    view: StateView,
    nodes: Vec<Node>,
    calls: Calls,
    lines: Objects<Line>,
    traffics: Objects<Traffic>,
    traffic: Traffic,
    /// Whose clock the board shows.
    leader: usize,
    bus: Bus,
    consoles: Option<Consoles>,
    _cached: Vec<CachingTopic>,
}

/// How others see it, from any thread.
#[derive(Clone)]
pub(crate) struct StateView {
    pub(crate) cache: Cache,
    pub(crate) snapshots: Snapshots,
    pub(crate) origins: Origins,
}

impl State {
    pub(crate) fn new(bus: &Bus, origins: &Origins) -> Result<Self, Error> {
        let snapshots = Snapshots::of(bus)?;
        let cache = snapshots.cache(bus)?;
        let mut cached = Vec::new();
        let mut pool = |name: &str| -> Result<TopicPool, Error> {
            let pool = bus.topic_pool(name)?;
            cached.push(pool.topic().caching(&cache)?);
            Ok(pool)
        };
        let (channels, bridges) = (pool(Channel::POOL)?, pool(Bridge::POOL)?);
        let devices = pool(Device::POOL)?;
        let (lines, traffic) = (pool(Line::POOL)?, pool(Traffic::POOL)?);
        let node = |(_, origin)| Node {
            origin,
            channels: Objects::new(bus, &snapshots.channel, &channels, Some(origin)),
            bridges: Objects::new(bus, &snapshots.bridge, &bridges, Some(origin)),
            devices: Objects::new(bus, &snapshots.device, &devices, Some(origin)),
            is_dropped: false,
        };
        let clock = |(_, origin)| (Some(origin), Stamp::default());
        Ok(Self {
            nodes: origins.iter().map(node).collect(),
            calls: Calls::default(),
            lines: Objects::new(bus, &snapshots.line, &lines, None),
            traffics: Objects::new(bus, &snapshots.traffic, &traffic, None),
            traffic: Traffic { round: 1, clocks: origins.iter().map(clock).collect(), ..Traffic::default() },
            leader: 0,
            bus: bus.clone(),
            consoles: None,
            _cached: cached,
            view: StateView { cache, snapshots, origins: origins.clone() },
        })
    }

    pub(crate) fn view(&self) -> &StateView {
        &self.view
    }
}

impl State {
    /// What an event changes, published. It happened at `time`, or at about that time if it does not say when.
    pub(crate) fn take(&mut self, recording: usize, event: &Event, time: Option<Timestamp>) {
        let Some(node) = self.nodes.get_mut(recording).filter(|node| !node.is_dropped) else {
            return;
        };
        let time = time.unwrap_or_default();
        let stamp = event.at().unwrap_or(Stamp(i64::try_from(time.as_nanos() / 1000).unwrap_or(i64::MAX)));
        node.take(event, When { stamp, time });
        self.calls.take(Some(node.origin), event);
        self.clock(recording, stamp);
        self.publish(time);
    }

    /// A console listens from now on, and another one will come later.
    pub(crate) fn expect_console(&mut self, after: Duration) -> Result<(), Error> {
        self.consoles = Some(Consoles::new(&self.bus, &self.view, after)?);
        Ok(())
    }

    /// The other one comes.
    pub(crate) fn join(&mut self) {
        if let Some(consoles) = &mut self.consoles {
            consoles.join(&self.bus, &self.view);
        }
    }

    /// Nothing more happens. What the consoles know; None if there were to be none.
    pub(crate) fn finish(self) -> Result<Option<Joined>, Gone> {
        let (consoles, view) = (self.consoles, self.view);
        consoles.map(|consoles| consoles.finish(&view)).transpose()
    }

    /// Another recording begins.
    pub(crate) fn follow(&mut self, recording: usize) {
        self.leader = recording;
    }

    /// Everything begins anew: nothing is left of the last round.
    pub(crate) fn begin_round(&mut self, round: u32, time: Option<Timestamp>) {
        for recording in 0..self.nodes.len() {
            self.clear(recording);
            self.nodes[recording].is_dropped = false;
        }
        self.traffic.round = round;
        self.publish(time.unwrap_or_default());
    }

    /// A switch is gone: what was its own goes, and what it still says is not believed.
    pub(crate) fn drop_origin(&mut self, recording: usize, time: Option<Timestamp>) {
        self.clear(recording);
        self.nodes[recording].is_dropped = true;
        self.publish(time.unwrap_or_default());
    }

    fn clear(&mut self, recording: usize) {
        let node = &mut self.nodes[recording];
        node.forget();
        self.calls.forget(Some(node.origin));
        self.view.cache.clear_origin(node.origin);
    }

    /// The lines that have changed, and the totals when they have, or a second has passed.
    fn publish(&mut self, time: Timestamp) {
        for index in self.calls.take_changed() {
            match self.calls.line(index) {
                Some(line) => self.lines.set(line, time),
                None => self.lines.clear(&line_id(index)),
            }
        }
        self.traffic.totals = self.calls.totals;
        self.traffics.set(&self.traffic, time);
    }

    /// To the second.
    fn clock(&mut self, recording: usize, stamp: Stamp) {
        let now = Stamp(stamp.0 - stamp.0.rem_euclid(1_000_000));
        self.traffic.clocks[recording].1 = now;
        if recording == self.leader {
            self.traffic.now = now;
        }
    }
}

impl StateView {
    /// The table of what is there now.
    pub(crate) fn table(&self) -> String {
        let pin = self.cache.pin();
        table::text(&Known::in_cache(&self.snapshots, &pin), &self.origins)
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
