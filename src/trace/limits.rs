//! Each kind of event once in a while for each subject.
//!
//! What is withheld is not lost: what goes on (congestion, losses, findings) is told when it may be, if it still is so;
//! what happens adds up until then.

use crate::dispatch::fence::PanicPlace;
use std::collections::HashMap;

/// More are not told at one look: an incident of ten thousand subscriptions is not ten thousand lines.
const PER_LOOK: usize = 100;
/// So many kinds and subjects are remembered.
const REMEMBERED: usize = 10_000;

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Slow,
    Congested,
    Cleared,
    Losing,
    Kept,
    Grown,
    Found(&'static str),
    Gone(&'static str),
    Panicked(PanicPlace),
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    Bus,
    Subscription(u64),
    /// User code of that name.
    Code(String),
}

impl From<Option<u64>> for Whose {
    fn from(subscription: Option<u64>) -> Self {
        subscription.map_or(Self::Bus, Self::Subscription)
    }
}

/// One kind and subject.
#[derive(Default)]
struct Last {
    /// When it was last told, on the bus's clock.
    at: Option<u64>,
    withheld: u64,
}

/// What was told when.
pub(super) struct Limits {
    /// In nanoseconds.
    pause: u64,
    last: HashMap<(Kind, Whose), Last>,
    /// What may be told yet at this look.
    left: usize,
}

impl Limits {
    pub(super) fn new(pause: u64) -> Self {
        Self { pause, last: HashMap::new(), left: PER_LOOK }
    }

    /// A look begins. What may be told anyway need not be remembered.
    pub(super) fn begin(&mut self, now: u64) {
        self.left = PER_LOOK;
        let pause = self.pause;
        self.last.retain(|_, last| last.withheld > 0 || last.is_recent(now, pause));
        if self.last.len() > REMEMBERED {
            self.last.clear();
        }
    }

    /// At a look: whether it may be told now. If so, it counts as told; if not, the next look asks again.
    pub(super) fn admits(&mut self, kind: Kind, whose: Whose, now: u64) -> bool {
        let last = self.last.entry((kind, whose)).or_default();
        let admitted = self.left > 0 && !last.is_recent(now, self.pause);
        if admitted {
            self.left -= 1;
            last.at = Some(now);
        }
        admitted
    }

    /// When it happens: `Some` if it may be told now, with how many were withheld before.
    pub(super) fn passes(&mut self, kind: Kind, whose: Whose, now: u64) -> Option<u64> {
        let last = self.last.entry((kind, whose)).or_default();
        if last.is_recent(now, self.pause) {
            last.withheld += 1;
            return None;
        }
        last.at = Some(now);
        Some(std::mem::take(&mut last.withheld))
    }
}

impl Last {
    fn is_recent(&self, now: u64, pause: u64) -> bool {
        self.at.is_some_and(|at| now.saturating_sub(at) < pause)
    }
}
