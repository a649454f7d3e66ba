//! The calls as the cache has them.

use super::frame::Calls;
use crate::calls::{Count, Line, State};
use crate::snapshots::Known;
use stasis_bus::Origin;
use std::collections::{HashMap, HashSet};

/// The counts, and the lines with what each shows.
pub(crate) fn calls(known: &Known<'_>) -> Calls {
    let talking = talking(known);
    let is_talking = |line: &Line| talking.contains(&(line.origin, &*line.linkedid));
    let mut lines = vec![None; known.lines.last().map_or(0, |line| line.number + 1)];
    for line in &known.lines {
        lines[line.number] = line.show(is_talking(line), known.traffic.clock(line.origin));
    }
    let up = || known.lines.iter().filter(|line| line.is_up());
    let of = |state: &State| up().filter(|line| line.state(is_talking(line)) == *state).count();
    let count = Count {
        channels: known.channels.len(),
        calls: up().count(),
        talking: of(&State::Talking),
        ringing: of(&State::Ringing),
    };
    Calls { count, lines, totals: known.traffic.totals, now: known.traffic.now }
}

/// The calls in which somebody is in a bridge with somebody else.
fn talking<'a>(known: &Known<'a>) -> HashSet<(Option<Origin>, &'a str)> {
    let mut company: HashMap<(Option<Origin>, &str), usize> = HashMap::new();
    let bridged = || {
        known
            .channels
            .iter()
            .filter_map(|(origin, channel)| Some((*origin, channel.bridge.as_deref()?, *channel)))
    };
    bridged().for_each(|(origin, bridge, _)| *company.entry((origin, bridge)).or_default() += 1);
    let talks = |(origin, bridge, _): &(Option<Origin>, &str, _)| company[&(*origin, *bridge)] > 1;
    bridged().filter(talks).map(|(origin, _, channel)| (origin, &*channel.linkedid)).collect()
}
