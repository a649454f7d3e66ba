//! Who takes part, each in its best arrangements for one machine: the better one of a rival counts.

mod channels;
mod credits;
mod disruptor;
mod stasis;
mod tokio_broadcast;

use crate::race::{Outcome, Race};
use crate::scenario::Fanout;
use std::sync::Arc;
use std::time::Duration;

/// One way to do it.
pub struct Contestant {
    /// Whose arrangement it is.
    pub family: &'static str,
    pub name: &'static str,
    /// Sets everything up, runs the race, takes everything down.
    pub run: fn(&Arc<Race>) -> Outcome<Duration>,
    /// Whether the arrangement makes sense there.
    pub fits: fn(&Fanout) -> bool,
}

/// The one that the others are compared with: everything at its default.
pub const HOME: &str = "stasis park";
const STASIS: &str = "stasis";

/// In the order of the report.
pub static ALL: [Contestant; 13] = [
    Contestant { family: STASIS, name: HOME, run: stasis::parking, fits: always },
    Contestant { family: STASIS, name: "stasis spin-50us", run: stasis::spinning, fits: always },
    Contestant { family: STASIS, name: "stasis publisher", run: stasis::by_publishers, fits: always },
    Contestant { family: STASIS, name: "stasis credits", run: stasis::with_credits, fits: always },
    Contestant {
        family: "crossbeam",
        name: "crossbeam one-thread",
        run: channels::crossbeam_one,
        fits: always,
    },
    Contestant {
        family: "crossbeam",
        name: "crossbeam thread-each",
        run: channels::crossbeam_each,
        fits: always,
    },
    Contestant { family: "tokio", name: "tokio one-thread", run: tokio_broadcast::one_thread, fits: always },
    Contestant { family: "tokio", name: "tokio runtime", run: tokio_broadcast::runtime, fits: always },
    Contestant {
        family: "tokio",
        name: "tokio thread-each",
        run: tokio_broadcast::thread_each,
        fits: always,
    },
    Contestant { family: "kanal", name: "kanal one-thread", run: channels::kanal_one, fits: always },
    Contestant { family: "kanal", name: "kanal thread-each", run: channels::kanal_each, fits: always },
    Contestant {
        family: "disruptor",
        name: "disruptor one-thread",
        run: disruptor::one_thread,
        fits: always,
    },
    Contestant {
        family: "disruptor",
        name: "disruptor thread-each",
        run: disruptor::thread_each,
        fits: has_cores,
    },
];

fn always(_: &Fanout) -> bool {
    true
}

/// Threads that spin need a processor each.
fn has_cores(fanout: &Fanout) -> bool {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    fanout.subscribers + fanout.publishers <= processors
}
