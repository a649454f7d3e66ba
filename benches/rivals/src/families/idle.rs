//! Latency on an idle machine: from a publish until the handler runs, one message at a time, about every 20 us.
//!
//! Publisher and handler are pinned to different processors. A message is made before the clock is read; the next one is
//! sent when its time has come and the last one was handled.

mod parked;
mod spinning;
mod sync;
mod track;

use crate::bench::{Contestant, Scenario};
use track::Track;

const FAMILY: &str = "idle";
const ABOUT: &str = "from publish to handler, one message about every 20 us, both sides pinned";

pub fn all() -> Vec<Scenario> {
    let spinning = Scenario::timed(FAMILY, "idle-spin", ABOUT, spinning::all());
    let parked = Scenario::timed(FAMILY, "idle-park", ABOUT, parked::all());
    let about =
        "until the publisher knows that it was handled, one message about every 20 us, both sides pinned";
    vec![spinning, parked, Scenario::timed(FAMILY, "idle-sync", about, sync::all())]
}

fn row(
    rival: &'static str,
    name: &str,
    wait: &'static str,
    run: fn(&std::sync::Arc<Track>) -> crate::bench::Outcome<()>,
) -> Contestant {
    Contestant::new(rival, name, wait, move |effort| {
        let track = Track::new(effort);
        run(&track)?;
        Ok(track.sample())
    })
}
