//! What a read costs against the number of objects: of all of them in turn, where most of it is memory far away, and of a
//! thousand of them that are read again and again, where it is the map.

use super::bus::BusCache;
use super::maps::{Map, Papaya};
use super::reading::{Table, read_pinned};
use super::size;
use super::states::{Names, State};
use crate::bench::{Contestant, Outcome, Tally};
use crate::families::growth::{exponent, sample};
use crate::families::kit::{Kept, each};
use std::sync::Arc;
use std::time::Instant;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const READS: u64 = 200_000;
/// Objects that are read again and again.
const FEW: usize = 1_000;

pub fn all() -> Vec<Contestant> {
    vec![row::<BusCache>("stasis", "stasis"), row::<Papaya>("papaya", "papaya"), floor()]
}

/// No map at all: every object's place is known. What memory itself costs that no cache of the processor holds.
struct Bare {
    names: Arc<Names>,
    #[expect(clippy::vec_box, reason = "a state lies where the allocator put it, as in a map that keeps it")]
    states: Vec<Box<State>>,
}

impl Bare {
    fn new(entries: usize) -> Self {
        let names = Names::new(entries);
        let states = (0..entries as u64).map(|number| Box::new(names.state(number, 0))).collect();
        Self { names, states }
    }

    fn time(&self, few: usize, reads: u64) -> f64 {
        let names = self.names.few(few);
        let read = || {
            let (mut tally, mut place) = (Tally::default(), 0);
            for _ in 0..reads {
                tally.add(self.states[names.at(place).0 as usize].number);
                place = names.after(place);
            }
            tally
        };
        let wanted = read();
        let start = Instant::now();
        let got = read();
        let time = start.elapsed();
        assert!(got == wanted, "read {got}, not {wanted}");
        each(time, reads)
    }
}

fn floor() -> Contestant {
    let kept: Kept<Vec<Bare>> = Kept::new();
    Contestant::new("vec", "a Vec of boxes, by number", "no queue", move |effort| {
        let make = || Ok(SIZES.iter().map(|entries| Bare::new(size(*entries, effort))).collect());
        kept.with(make, |all| {
            let reads = effort.of(READS).max(FEW as u64);
            let fit = |few: usize| {
                exponent(&SIZES, &all.iter().map(|bare| bare.time(few, reads)).collect::<Vec<_>>())
            };
            let (all, few) = (fit(usize::MAX), fit(FEW));
            Ok(sample(SIZES.len()).with("all objects", "exponent", all).with("few objects", "exponent", few))
        })
    })
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
