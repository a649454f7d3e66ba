//! The latest state of each of many objects: reads, alone and beside a writer; and updates that somebody hears of.
//!
//! Objects are found by names of 20 bytes in an order that no processor guesses; what is read is one number of a state on
//! the heap. *Owned*: the reader gets a counted reference of its own, as it must to keep the state. *Pinned*: it looks at
//! the state where it is, under whatever guard its map has, taken anew every 64 reads where it serves for several.

mod bus;
mod growing;
mod maps;
mod reading;
mod states;
mod updating;

use super::kit::Kept;
use crate::bench::{Contestant, Effort, Scenario};
use bus::BusCache;
use maps::{ArcSwapped, Dash, Map, Moka, Papaya, SccIndex, SccMap, Sharded};
use reading::Table;

const FAMILY: &str = "cache";

pub fn all() -> Vec<Scenario> {
    let mut all = vec![reads("cache-10k", 10_000), reads("cache-1m", 1_000_000)];
    all.extend(updating::all());
    all
}

/// Reads against the number of objects.
pub fn growing() -> Vec<Contestant> {
    growing::all()
}

/// As many objects as the question is about, unless only the answer is asked for.
fn size(entries: usize, effort: Effort) -> usize {
    if effort == Effort::Check { entries.min(1_000) } else { entries }
}

fn reads(name: &str, entries: usize) -> Scenario {
    let about = format!(
        "ns for a read, of {entries} objects, by 1 and 2 readers, alone and beside a writer at full rate"
    );
    let contestants = vec![
        row::<BusCache>("stasis", "stasis", entries),
        row::<Papaya>("papaya", "papaya", entries),
        row::<Dash>("dashmap", "dashmap", entries),
        row::<SccMap>("scc-hashmap", "scc HashMap", entries),
        row::<SccIndex>("scc-hashindex", "scc HashIndex", entries),
        row::<Moka>("moka", "moka", entries),
        row::<Sharded>("rwlock", "64 shards of RwLock", entries),
        row::<ArcSwapped>("arc-swap", "arc-swap of a map", entries),
    ];
    Scenario::timed(FAMILY, name, about, contestants)
}

fn row<M: Map>(rival: &'static str, name: &str, entries: usize) -> Contestant {
    let kept: Kept<Table<M>> = Kept::new();
    Contestant::new(rival, name, "no queue", move |effort| {
        kept.with(|| Table::new(size(entries, effort)), |table| table.sample(effort))
    })
}
