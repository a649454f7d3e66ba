//! One look at the figures against the one before: what has changed.

use super::events::Event;
use super::findings::Findings;
use super::limits::{Kind, Limits, Whose};
use super::subscriptions::{Comparison, Seen};
use crate::bus::{Bus, History};
use crate::stats::BusStats;
use std::collections::HashMap;
use std::time::Duration;

/// What was seen at the last look.
pub(super) struct Looks {
    threshold: Duration,
    history: History,
    findings: Findings,
    subscriptions: HashMap<u64, Seen>,
    grown: u64,
}

impl Looks {
    /// What was before is not told.
    pub(super) fn new(bus: &Bus, threshold: Duration) -> Self {
        let (stats, history) = (bus.stats(), History::default());
        let _ = history.look(bus, &stats);
        let subscriptions = stats.subscriptions.iter().map(|row| (row.id, Seen::of(row))).collect();
        Self { threshold, history, findings: Findings::default(), subscriptions, grown: stats.pool.grown }
    }

    /// What is to be told at `now`, on the bus's clock.
    pub(super) fn look(&mut self, bus: &Bus, stats: &BusStats, now: u64, limits: &mut Limits) -> Vec<Event> {
        let mut events = Vec::new();
        limits.begin(now);
        self.look_at_pool(stats, now, limits, &mut events);
        self.look_at_subscriptions(stats, now, limits, &mut events);
        let findings = self.history.look(bus, stats).findings;
        let lives = |id| self.subscriptions.contains_key(&id);
        self.findings.look(findings, lives, now, limits, &mut events);
        events
    }

    fn look_at_pool(&mut self, stats: &BusStats, now: u64, limits: &mut Limits, events: &mut Vec<Event>) {
        let grown = stats.pool.grown.saturating_sub(self.grown);
        if grown > 0 && limits.admits(Kind::Grown, Whose::Bus, now) {
            self.grown = stats.pool.grown;
            events.push(Event::Grown { workers: stats.workers, max: stats.pool.max, grown });
        }
    }

    fn look_at_subscriptions(
        &mut self,
        stats: &BusStats,
        now: u64,
        limits: &mut Limits,
        events: &mut Vec<Event>,
    ) {
        let mut before = std::mem::take(&mut self.subscriptions);
        for row in &stats.subscriptions {
            let mut seen = before.remove(&row.id).unwrap_or_default();
            let threshold = self.threshold;
            Comparison { row, threshold, now, limits, events }.look(&mut seen);
            self.subscriptions.insert(row.id, seen);
        }
    }
}
