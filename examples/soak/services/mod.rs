//! Everything else a bus offers, each used by a thread that knows exactly what must come of it.

mod busy;
mod circles;
mod filters;
mod forwards;
mod hasty;
mod members;
mod routes;
mod states;

use crate::dice::Dice;
use crate::verdict::Kind;
use crate::yard::{Numbered, Yard, soon};
use stasis_bus::{Delivery, MessageType};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

const BREATH: Duration = Duration::from_millis(10);

/// One round of a service.
type Round = fn(&Arc<Yard>, &mut Dice);

pub(crate) fn start<'s>(scope: &'s Scope<'s, '_>, yard: &Arc<Yard>) {
    let services: [(&str, Round); 8] = [
        ("busy", busy::run),
        ("circles", circles::run),
        ("filters", filters::run),
        ("forwards", forwards::run),
        ("hasty", hasty::run),
        ("members", members::run),
        ("routes", routes::run),
        ("states", states::run),
    ];
    for (name, run) in services {
        let yard = yard.clone();
        scope.spawn(move || {
            let mut dice = Dice::new(yard.options.seed, name, 0);
            while yard.goes_on() {
                run(&yard, &mut dice);
                thread::sleep(BREATH);
            }
        });
    }
}

/// What came of a service whose messages have one publisher.
#[derive(Default)]
struct Came {
    last: AtomicU64,
    count: AtomicU64,
}

impl Came {
    /// Numbers rise, and nothing is missed.
    fn note(&self, yard: &Yard, number: u64, missed: u64) {
        let last = self.last.swap(number, Ordering::Relaxed);
        if number == last {
            yard.verdict.complain(Kind::Duplicated, format!("a service heard {number} twice"));
        } else if number < last {
            yard.verdict.complain(Kind::Reordered, format!("a service heard {number} after {last}"));
        }
        yard.verdict.equal(missed, 0, Kind::Lost, "missed by a service");
        self.count.fetch_add(1, Ordering::Release);
    }

    fn hear(&self, yard: &Yard, kind: &MessageType<Numbered>, delivery: &Delivery<'_>) {
        if let Some(value) = delivery.read(kind) {
            self.note(yard, value.number, delivery.missed());
        }
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// So many come, and no more.
    fn expect(&self, yard: &Yard, due: u64, what: &str) {
        soon(|| self.count() >= due);
        yard.verdict.equal(self.count(), due, Kind::Lost, what);
    }
}
