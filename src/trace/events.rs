//! What is told: each event's name, level, message and fields.
//!
//! Target `stasis_bus`, names `stasis.*`. Times are seconds. `withheld`: how many of that kind and subject were not told
//! since the one before.

use crate::bus::{Severity, ShutdownReport, Straggler};
use crate::dispatch::fence::{PanicPlace, PanicReport};
use crate::stats::{Lost, SubscriptionStats};
use std::time::Duration;
use tracing::{error, info, warn};

/// A subscription, as events name it.
#[derive(Clone)]
pub(super) struct Named {
    name: String,
    id: u64,
    topic: String,
}

impl Named {
    pub(super) fn of(row: &SubscriptionStats) -> Self {
        Self { name: row.name.clone(), id: row.id, topic: row.topic.clone() }
    }
}

/// Something to be told.
pub(super) enum Event {
    Slow { of: Named, calls: u64, slowest: Duration, threshold: Duration, withheld: u64 },
    Congested { of: Named, depth: u64, capacity: u64, oldest: Option<Duration>, withheld: u64 },
    Cleared { of: Named, depth: u64, crossings: u64 },
    Losing { of: Named, lost: Lost, withheld: u64 },
    Kept { of: Named, lost: Lost },
    Grown { workers: usize, max: usize, grown: u64 },
    Found(Found, u64),
    Gone(Found),
    Panicked { name: String, place: PanicPlace, message: String, withheld: u64 },
    Straggler(Straggler),
    ThreadsLeft(Vec<String>),
}

/// One trouble of a diagnosis.
#[derive(Clone)]
pub(super) struct Found {
    /// None: it is about the bus.
    pub(super) subscription: Option<(String, u64)>,
    pub(super) severity: Severity,
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) advice: &'static str,
}

impl Event {
    pub(super) fn panicked(report: &PanicReport<'_>, withheld: u64) -> Self {
        let (name, message) = (report.name.to_owned(), report.message.to_owned());
        Self::Panicked { name, place: report.place, message, withheld }
    }

    /// What a shutdown's report has that is not as it should be.
    pub(super) fn of_shutdown(report: &ShutdownReport) -> impl Iterator<Item = Self> {
        let left = (!report.threads_left.is_empty()).then(|| Self::ThreadsLeft(report.threads_left.clone()));
        report.stragglers.iter().cloned().map(Self::Straggler).chain(left)
    }

    /// Tells it. This is foreign code.
    pub(super) fn tell(&self) {
        match self {
            Self::Slow { .. } => self.tell_slow(),
            Self::Congested { .. } | Self::Cleared { .. } => self.tell_congestion(),
            Self::Losing { .. } | Self::Kept { .. } => self.tell_losses(),
            Self::Found(found, withheld) => found.tell(*withheld),
            Self::Gone(found) => found.tell_gone(),
            Self::Straggler(straggler) => tell_straggler(straggler),
            Self::Grown { .. } | Self::Panicked { .. } | Self::ThreadsLeft(_) => self.tell_of_bus(),
        }
    }

    fn tell_slow(&self) {
        let Self::Slow { of: Named { name, id, topic }, calls, slowest, threshold, withheld } = self else {
            return;
        };
        warn!(
            name: "stasis.slow_handler",
            target: "stasis_bus",
            subscription = name,
            id,
            topic,
            calls,
            slowest = slowest.as_secs_f64(),
            threshold = threshold.as_secs_f64(),
            withheld,
            "slow handler"
        );
    }

    fn tell_congestion(&self) {
        match self {
            Self::Congested { of: Named { name, id, topic }, depth, capacity, oldest, withheld } => warn!(
                name: "stasis.congested",
                target: "stasis_bus",
                subscription = name,
                id,
                topic,
                depth,
                capacity,
                oldest = oldest.map(|oldest| oldest.as_secs_f64()),
                withheld,
                "over its high water mark"
            ),
            Self::Cleared { of: Named { name, id, topic }, depth, crossings } => info!(
                name: "stasis.congestion_over",
                target: "stasis_bus",
                subscription = name,
                id,
                topic,
                depth,
                crossings,
                "under its low water mark again"
            ),
            _ => {}
        }
    }

    fn tell_losses(&self) {
        match self {
            Self::Losing { of: Named { name, id, topic }, lost, withheld } => error!(
                name: "stasis.losing",
                target: "stasis_bus",
                subscription = name,
                id,
                topic,
                messages = lost.total(),
                reasons = %lost,
                withheld,
                "it loses messages"
            ),
            Self::Kept { of: Named { name, id, topic }, lost } => info!(
                name: "stasis.losing_over",
                target: "stasis_bus",
                subscription = name,
                id,
                topic,
                messages = lost.total(),
                reasons = %lost,
                "it loses no more messages"
            ),
            _ => {}
        }
    }

    fn tell_of_bus(&self) {
        match self {
            Self::Grown { workers, max, grown } => warn!(
                name: "stasis.pool_grown",
                target: "stasis_bus",
                workers,
                max,
                grown,
                "workers were stuck while work waited: there are more now"
            ),
            Self::Panicked { name, place, message, withheld } => error!(
                name: "stasis.panic",
                target: "stasis_bus",
                place = ?place,
                of = name,
                panic = message,
                withheld,
                "user code panicked"
            ),
            Self::ThreadsLeft(threads) => error!(
                name: "stasis.threads_left",
                target: "stasis_bus",
                threads = threads.join(", "),
                "shutdown left threads behind"
            ),
            _ => {}
        }
    }
}

fn tell_straggler(Straggler { name, id, queued, ended }: &Straggler) {
    warn!(
        name: "stasis.straggler",
        target: "stasis_bus",
        subscription = name,
        id,
        queued,
        ended,
        "it had not finished when the bus was shut down"
    );
}

impl Found {
    fn tell(&self, withheld: u64) {
        let Self { subscription, severity, kind, text, advice } = self;
        let (name, id) = subscription.as_ref().map(|(name, id)| (name.as_str(), *id)).unzip();
        // A level is part of the place in the code.
        macro_rules! tell {
            ($level:ident) => {
                $level!(
                    name: "stasis.finding",
                    target: "stasis_bus",
                    subscription = name,
                    id,
                    kind,
                    severity = severity.word(),
                    advice,
                    withheld,
                    "{text}"
                )
            };
        }
        match severity {
            Severity::Note => tell!(info),
            Severity::Warning => tell!(warn),
            Severity::Critical => tell!(error),
        }
    }

    fn tell_gone(&self) {
        let (name, id) = self.subscription.as_ref().map(|(name, id)| (name.as_str(), *id)).unzip();
        info!(
            name: "stasis.finding_gone",
            target: "stasis_bus",
            subscription = name,
            id,
            kind = self.kind,
            "it is over: {}",
            self.text
        );
    }
}
