//! What a read costs against the number of objects: of all of them in turn, where most of it is memory far away, and of a
//! thousand of them that are read again and again, where it is the map.

use super::bus::BusCache;
use super::maps::{Map, Papaya};
use super::reading::{Table, read_pinned};
use super::size;
use crate::bench::{Contestant, Outcome};
use crate::families::growth::{exponent, sample};
use crate::families::kit::Kept;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const READS: u64 = 200_000;
/// Objects that are read again and again.
const FEW: usize = 1_000;

pub fn all() -> Vec<Contestant> {
    vec![row::<BusCache>("stasis", "stasis"), row::<Papaya>("papaya", "papaya")]
}

fn row<M: Map>(rival: &'static str, name: &str) -> Contestant {
    let kept: Kept<Vec<Table<M>>> = Kept::new();
    Contestant::new(rival, name, "no queue", move |effort| {
        let make = || SIZES.iter().map(|entries| Table::new(size(*entries, effort))).collect();
        kept.with(make, |tables| {
            let reads = effort.of(READS).max(FEW as u64);
            let fit = |few: bool| -> Outcome<f64> {
                let time =
                    |table: &Table<M>| table.time(if few { FEW } else { usize::MAX }, reads, read_pinned);
                let costs = tables.iter().map(time).collect::<Outcome<Vec<f64>>>()?;
                Ok(exponent(&SIZES, &costs))
            };
            let (all, few) = (fit(false)?, fit(true)?);
            Ok(sample(SIZES.len()).with("all objects", "exponent", all).with("few objects", "exponent", few))
        })
    })
}
