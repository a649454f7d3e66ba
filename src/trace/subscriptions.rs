//! One subscription at two looks: what has happened to it, and what was told of that.

use super::events::{Event, Named};
use super::limits::{Kind, Limits, Whose};
use crate::stats::{Bucket, Lost, SubscriptionStats};
use std::time::Duration;

/// One subscription, as it was at the last look, and what was told of it.
#[derive(Default)]
pub(super) struct Seen {
    /// Messages lost; what was replaced by a newer one of its key is none.
    lost: Lost,
    buckets: Vec<Bucket>,
    slow: Slow,
    congestion: Congestion,
    losses: Losses,
}

/// Slow calls that were not told of.
#[derive(Default)]
struct Slow {
    calls: u64,
    looks: u64,
    slowest: Duration,
}

#[derive(Default)]
struct Congestion {
    is_told: bool,
    /// Crossings up to what was told last.
    told: u64,
}

#[derive(Default)]
struct Losses {
    is_told: bool,
    /// Whether some were lost between the last two looks.
    growing: bool,
    /// Times that it began since it was told.
    begun: u64,
    /// What had been lost when it was told last that it is over.
    told: Lost,
}

/// One look at one subscription.
pub(super) struct Comparison<'a> {
    pub(super) row: &'a SubscriptionStats,
    pub(super) threshold: Duration,
    pub(super) now: u64,
    pub(super) limits: &'a mut Limits,
    pub(super) events: &'a mut Vec<Event>,
}

impl Seen {
    /// Of a subscription that was there before anybody traced: what was, is not told.
    pub(super) fn of(row: &SubscriptionStats) -> Self {
        let lost = real(&row.lost);
        Self {
            lost,
            buckets: row.handler.buckets.clone(),
            congestion: Congestion {
                is_told: false,
                told: row.high_crossings.saturating_sub(row.congested.into()),
            },
            losses: Losses { told: lost, ..Losses::default() },
            slow: Slow::default(),
        }
    }
}

impl Comparison<'_> {
    /// Tells what is new, and remembers it.
    pub(super) fn look(&mut self, seen: &mut Seen) {
        self.slow(seen);
        self.congestion(&mut seen.congestion);
        self.losses(seen);
        seen.lost = real(&self.row.lost);
    }

    fn admits(&mut self, kind: Kind) -> bool {
        self.limits.admits(kind, Whose::Subscription(self.row.id), self.now)
    }

    fn slow(&mut self, seen: &mut Seen) {
        let (calls, slowest) = self.slow_calls(&seen.buckets);
        seen.buckets.clone_from(&self.row.handler.buckets);
        let slow = &mut seen.slow;
        slow.calls += calls;
        slow.looks += u64::from(calls > 0);
        slow.slowest = slow.slowest.max(slowest);
        if slow.calls > 0 && self.admits(Kind::Slow) {
            let Slow { calls, looks, slowest } = std::mem::take(slow);
            let (of, threshold) = (Named::of(self.row), self.threshold);
            self.events.push(Event::Slow { of, calls, slowest, threshold, withheld: looks - 1 });
        }
    }

    /// Calls since the last look that took longer than the threshold, and the longest of them.
    fn slow_calls(&self, before: &[Bucket]) -> (u64, Duration) {
        let count = |bucket: &Bucket| {
            let at = before.binary_search_by_key(&bucket.at_most, |bucket| bucket.at_most);
            bucket.count.saturating_sub(at.map_or(0, |at| before[at].count))
        };
        let slow = self.row.handler.buckets.iter().filter(|bucket| bucket.at_most > self.threshold);
        let new = slow.map(|bucket| (count(bucket), bucket.at_most)).filter(|(count, _)| *count > 0);
        new.fold((0, Duration::ZERO), |(calls, _), (count, at_most)| {
            (calls + count, at_most.min(self.row.handler.max))
        })
    }

    fn congestion(&mut self, seen: &mut Congestion) {
        let row = self.row;
        let new = row.high_crossings.saturating_sub(seen.told);
        if !seen.is_told && new > 0 && self.admits(Kind::Congested) {
            let (of, withheld) = (Named::of(row), new - 1);
            let SubscriptionStats { depth, capacity, oldest, .. } = *row;
            self.events.push(Event::Congested { of, depth, capacity, oldest, withheld });
            *seen = Congestion { is_told: true, told: row.high_crossings - 1 };
        }
        if seen.is_told && !row.congested && self.admits(Kind::Cleared) {
            let crossings = row.high_crossings - seen.told;
            self.events.push(Event::Cleared { of: Named::of(row), depth: row.depth, crossings });
            *seen = Congestion { is_told: false, told: row.high_crossings };
        }
    }

    fn losses(&mut self, seen: &mut Seen) {
        let lost = real(&self.row.lost);
        let growing = lost.total() > seen.lost.total();
        let losses = &mut seen.losses;
        losses.begun += u64::from(growing && !losses.growing);
        losses.growing = growing;
        let new = lost.since(&losses.told);
        if !losses.is_told && new.total() > 0 && self.admits(Kind::Losing) {
            let withheld = losses.begun.saturating_sub(1);
            self.events.push(Event::Losing { of: Named::of(self.row), lost: new, withheld });
            (losses.is_told, losses.begun) = (true, 0);
        }
        if losses.is_told && !growing && self.admits(Kind::Kept) {
            self.events.push(Event::Kept { of: Named::of(self.row), lost: new });
            *losses = Losses { told: lost, ..Losses::default() };
        }
    }
}

/// Without what was replaced by a newer message of its key: that is what its policy is for.
fn real(lost: &Lost) -> Lost {
    Lost { conflated: 0, ..*lost }
}
