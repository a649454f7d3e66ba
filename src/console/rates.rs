//! How fast things go: what came between two looks, by the second.

use crate::stats::{CacheStats, MessageTypeStats, SubscriptionStats, TopicStats, Totals, WorkerStats};
use serde::Serialize;
use std::time::Duration;

/// Of a topic, in messages a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct TopicRates {
    pub(super) published: f32,
    pub(super) arrived: f32,
    pub(super) delivered: f32,
    pub(super) missed: f32,
}

/// Of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct SubscriptionRates {
    /// Messages a second.
    pub(super) accepted: f32,
    pub(super) handled: f32,
    pub(super) missed: f32,
    /// What a handler call took, on average, in seconds; 0: there was none.
    pub(super) handler: f32,
    /// How much of one thread its handler takes, from 0 to 1.
    pub(super) busy: f32,
}

/// Of a message type, in messages a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct TypeRates {
    pub(super) made: f32,
    pub(super) unused: f32,
}

/// Of a cache, by the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct CacheRates {
    pub(super) updates: f32,
    /// Reads, whether they found something or not.
    pub(super) reads: f32,
    /// Of the reads, how many found something, from 0 to 1; 0 also if there was none.
    pub(super) hits: f32,
}

/// Of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct WorkerRates {
    /// Mailboxes taken up, a second.
    pub(super) runs: f32,
    /// Its share of the time, from 0 to 1.
    pub(super) busy: f32,
}

/// Of the whole bus, in messages a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct TotalRates {
    pub(super) published: f64,
    pub(super) delivered: f64,
    pub(super) handled: f64,
    pub(super) filtered: f64,
    pub(super) missed: f64,
    pub(super) unrouted: f64,
}

/// So long ago the figures before were read.
#[derive(Clone, Copy)]
pub(super) struct Span(pub(super) f64);

impl Span {
    fn of(self, now: u64, before: u64) -> f32 {
        // Who came anew under an old name begins at 0.
        (now.saturating_sub(before) as f64 / self.0) as f32
    }

    fn share(self, now: Duration, before: Duration) -> f32 {
        (now.saturating_sub(before).as_secs_f64() / self.0).min(1.0) as f32
    }
}

/// Figures that have rates.
pub(super) trait Moving {
    type Rates: Default;

    /// Whether both are of the same thing.
    fn place(&self, other: &Self) -> std::cmp::Ordering;

    fn rates(&self, before: &Self, span: Span) -> Self::Rates;
}

/// The rates of each of `now`, which is in the order of `place` as `before` is.
pub(super) fn rates<T: Moving>(now: &[T], before: &[T], span: Span) -> Vec<T::Rates> {
    let mut before = before.iter().peekable();
    let mut of = |row: &T| {
        while before.next_if(|old| old.place(row).is_lt()).is_some() {}
        before.peek().filter(|old| old.place(row).is_eq()).map(|old| row.rates(old, span)).unwrap_or_default()
    };
    now.iter().map(&mut of).collect()
}

impl Moving for TopicStats {
    type Rates = TopicRates;

    fn place(&self, other: &Self) -> std::cmp::Ordering {
        self.name.cmp(&other.name)
    }

    fn rates(&self, before: &Self, span: Span) -> TopicRates {
        TopicRates {
            published: span.of(self.published, before.published),
            arrived: span.of(self.arrived, before.arrived),
            delivered: span.of(self.delivered, before.delivered),
            missed: span.of(self.missed, before.missed),
        }
    }
}

impl Moving for SubscriptionStats {
    type Rates = SubscriptionRates;

    fn place(&self, other: &Self) -> std::cmp::Ordering {
        self.id.cmp(&other.id)
    }

    fn rates(&self, before: &Self, span: Span) -> SubscriptionRates {
        let calls = self.handler.count.saturating_sub(before.handler.count);
        let time = self.handler.total.saturating_sub(before.handler.total);
        SubscriptionRates {
            accepted: span.of(self.accepted, before.accepted),
            handled: span.of(self.handled, before.handled),
            missed: span.of(self.missed, before.missed),
            handler: if calls == 0 { 0.0 } else { (time.as_secs_f64() / calls as f64) as f32 },
            busy: span.share(self.handler.total, before.handler.total),
        }
    }
}

impl Moving for MessageTypeStats {
    type Rates = TypeRates;

    fn place(&self, other: &Self) -> std::cmp::Ordering {
        self.id.cmp(&other.id)
    }

    fn rates(&self, before: &Self, span: Span) -> TypeRates {
        TypeRates { made: span.of(self.made, before.made), unused: span.of(self.unused, before.unused) }
    }
}

impl Moving for CacheStats {
    type Rates = CacheRates;

    fn place(&self, other: &Self) -> std::cmp::Ordering {
        self.name.cmp(&other.name)
    }

    fn rates(&self, before: &Self, span: Span) -> CacheRates {
        let hits = self.hits.saturating_sub(before.hits);
        let reads = hits + self.misses.saturating_sub(before.misses);
        CacheRates {
            updates: span.of(self.updates, before.updates),
            reads: span.of(reads, 0),
            hits: hits as f32 / reads.max(1) as f32,
        }
    }
}

impl Moving for WorkerStats {
    type Rates = WorkerRates;

    fn place(&self, other: &Self) -> std::cmp::Ordering {
        self.seat.cmp(&other.seat)
    }

    fn rates(&self, before: &Self, span: Span) -> WorkerRates {
        WorkerRates { runs: span.of(self.runs, before.runs), busy: span.share(self.busy, before.busy) }
    }
}

impl Moving for Totals {
    type Rates = TotalRates;

    fn place(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }

    fn rates(&self, before: &Self, span: Span) -> TotalRates {
        let of = |now: u64, before: u64| now.saturating_sub(before) as f64 / span.0;
        TotalRates {
            published: of(self.published, before.published),
            delivered: of(self.delivered, before.delivered),
            handled: of(self.handled, before.handled),
            filtered: of(self.filtered, before.filtered),
            missed: of(self.missed, before.missed),
            unrouted: of(self.unrouted, before.unrouted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, published: u64) -> TopicStats {
        TopicStats { name: name.to_owned(), published, ..TopicStats::default() }
    }

    #[test]
    fn rates_are_of_the_same_name_whoever_came_and_went() {
        let before = [topic("b", 10), topic("c", 5), topic("e", 1)];
        let now = [topic("a", 7), topic("b", 30), topic("d", 9), topic("e", 1), topic("f", 3)];
        let found: Vec<f32> = rates(&now, &before, Span(2.0)).iter().map(|rates| rates.published).collect();
        assert_eq!(found, [0.0, 10.0, 0.0, 0.0, 0.0]);
        assert_eq!(rates(&[topic("b", 4)], &before, Span(2.0))[0].published, 0.0, "begun anew: not negative");
    }
}
