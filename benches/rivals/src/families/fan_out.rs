//! Fan-out: every subscriber sees every message.

mod arrangements;
mod broadcasts;
mod channels;
pub mod credits;
mod disruptor;
mod drain;
mod floor;
pub mod load;
pub mod race;
mod stasis;
mod tokio_broadcast;

use crate::bench::{Contestant, Scenario};
use arrangements::{ALL, Arrangement};
use load::{Load, Payload};
use race::Race;

const FAMILY: &str = "fanout";
/// The numbers of subscribers that everything is measured with.
pub const WIDTHS: [usize; 5] = [1, 4, 16, 64, 1000];

pub fn all() -> Vec<Scenario> {
    let two =
        WIDTHS.map(|width| Load { publishers: 2, ..Load::new(format!("two-publishers-{width}"), width) });
    let batch = [1, 4].map(|width| Load { batches: true, ..Load::new(format!("batch-{width}"), width) });
    let same = [Load { payload: Payload::Same, ..Load::new("republish-16", 16) }];
    let others = two.into_iter().chain(batch).chain(same).map(scenario);
    WIDTHS.into_iter().map(scenario_of).chain(others).collect()
}

/// Fresh messages of one publisher to so many subscribers.
pub fn scenario_of(width: usize) -> Scenario {
    scenario(Load::new(format!("fanout-{width}"), width))
}

fn scenario(load: Load) -> Scenario {
    let fitting = ALL.iter().filter(|one| (one.fits)(&load));
    let contestants = fitting.map(|one| contestant(one, &load)).collect();
    Scenario::timed(FAMILY, load.name.clone(), load.about(), contestants)
}

fn contestant(one: &'static Arrangement, load: &Load) -> Contestant {
    let load = load.clone();
    Contestant::new(one.rival, one.name, one.wait, move |effort| {
        let race = Race::new(load.sized(effort));
        let time = (one.run)(&race)?;
        race.sample(time)
    })
}
