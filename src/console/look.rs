//! Looks at the bus: all figures of one moment, read once for everybody who asks within the next.
//!
//! | who asks | gets |
//! | --- | --- |
//! | within the pause after a look | that look |
//! | later | a new one, with rates since the one before |
//!
//! The pause is the configured one, or twenty times what a look has cost, if that is longer: however many topics there
//! are and however many people look, a twentieth of one core's time goes into it at most. All requests are answered by
//! one thread, so the lock is there for the types' sake.

use super::health::{Health, Judge};
use super::rates::{
    CacheRates, Moving, Span, SubscriptionRates, TopicRates, TotalRates, TypeRates, WorkerRates, rates,
};
use crate::bus::Bus;
use crate::stats::{BusStats, CacheStats};
use crate::sync::time::Clock;
use crate::sync::{Arc, Mutex};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// A look may cost one part of so many of the time.
const SHARE: u32 = 20;
/// What charts show of the past.
const POINTS: usize = 300;

/// All figures of one moment.
pub(super) struct Look {
    /// Counted from 1.
    pub(super) number: u64,
    /// When it was, in seconds since 1970.
    pub(super) at: f64,
    /// How long after the look before; what the rates are about.
    pub(super) elapsed: Option<f64>,
    /// How long it holds.
    pub(super) every: Duration,
    pub(super) stats: BusStats,
    pub(super) caches: Vec<CacheStats>,
    pub(super) totals: TotalRates,
    pub(super) topics: Vec<TopicRates>,
    pub(super) subscriptions: Vec<SubscriptionRates>,
    pub(super) types: Vec<TypeRates>,
    pub(super) cache_rates: Vec<CacheRates>,
    pub(super) workers: Vec<WorkerRates>,
    pub(super) health: Health,
    pub(super) points: VecDeque<Point>,
}

/// One point of the charts.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Point {
    pub(super) at: f64,
    pub(super) published: f64,
    pub(super) handled: f64,
    pub(super) missed: f64,
    /// Messages that wait, in all mailboxes.
    pub(super) depth: u64,
    /// The workers' share of the time, from 0 to 1.
    pub(super) busy: f32,
}

/// The last look, and how the next one is made.
pub(super) struct Looks {
    clock: Clock,
    pause: Duration,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    look: Option<Arc<Look>>,
    /// On the clock of the looks.
    at: u64,
    judge: Judge,
}

impl Looks {
    pub(super) fn new(pause: Duration) -> Self {
        Self { clock: Clock::real(), pause, last: Mutex::new(Last::default()) }
    }

    /// The last look, or a new one if that does not hold any more.
    pub(super) fn look(&self, bus: &Bus) -> Arc<Look> {
        let now = self.clock.monotonic_ns();
        let mut last = self.last.lock();
        let holds = |look: &&Arc<Look>| Duration::from_nanos(now.saturating_sub(last.at)) < look.every;
        if let Some(look) = last.look.as_ref().filter(holds) {
            return look.clone();
        }
        let look = Arc::new(self.anew(bus, &mut last, now));
        last.look = Some(look.clone());
        last.at = now;
        look
    }

    /// Forgets what nobody has asked for in a minute: it is all the names there are.
    pub(super) fn forget(&self) {
        let now = self.clock.monotonic_ns();
        let mut last = self.last.lock();
        let old = Duration::from_nanos(now.saturating_sub(last.at)) > Duration::from_secs(60);
        let gone = if old { std::mem::take(&mut *last) } else { Last::default() };
        drop(last);
        drop(gone);
    }

    fn anew(&self, bus: &Bus, last: &mut Last, now: u64) -> Look {
        let (stats, mut caches) = (bus.stats(), bus.cache_stats().into_iter().collect::<Vec<_>>());
        caches.sort_by(|a, b| a.name.cmp(&b.name));
        let health = last.judge.judge(bus, &stats, now);
        let before = last.look.take();
        let elapsed = before.as_ref().map(|_| Duration::from_nanos(now - last.at).as_secs_f64());
        let mut look = Look {
            number: before.as_ref().map_or(0, |before| before.number) + 1,
            at: self.clock.exact_wall_ns() as f64 / 1e9,
            elapsed,
            every: self.pause,
            totals: TotalRates::default(),
            topics: vec![TopicRates::default(); stats.topics.len()],
            subscriptions: vec![SubscriptionRates::default(); stats.subscriptions.len()],
            types: vec![TypeRates::default(); stats.message_types.len()],
            cache_rates: vec![CacheRates::default(); caches.len()],
            workers: vec![WorkerRates::default(); stats.worker_stats.len()],
            points: VecDeque::new(),
            stats,
            caches,
            health,
        };
        if let (Some(before), Some(elapsed)) = (before, elapsed) {
            look.compare(&before, Span(elapsed));
        }
        let cost = Duration::from_nanos(self.clock.monotonic_ns().saturating_sub(now));
        look.every = look.every.max(cost * SHARE);
        look
    }
}

impl Look {
    /// Fills in the rates, and goes on with the charts.
    fn compare(&mut self, before: &Self, span: Span) {
        let (now, old) = (&self.stats, &before.stats);
        self.totals = now.totals.rates(&old.totals, span);
        self.topics = rates(&now.topics, &old.topics, span);
        self.subscriptions = rates(&now.subscriptions, &old.subscriptions, span);
        self.types = rates(&now.message_types, &old.message_types, span);
        self.cache_rates = rates(&self.caches, &before.caches, span);
        self.workers = rates(&now.worker_stats, &old.worker_stats, span);
        self.points = before.points.clone();
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(self.point());
    }

    fn point(&self) -> Point {
        Point {
            at: self.at,
            published: self.totals.published,
            handled: self.totals.handled,
            missed: self.totals.missed,
            depth: self.depth(),
            busy: self.busy(),
        }
    }

    /// Messages that wait, in all mailboxes.
    pub(super) fn depth(&self) -> u64 {
        self.stats.subscriptions.iter().map(|row| row.depth).sum()
    }

    /// The workers' share of the time.
    pub(super) fn busy(&self) -> f32 {
        let sum: f32 = self.workers.iter().map(|worker| worker.busy).sum();
        if self.workers.is_empty() { 0.0 } else { sum / self.workers.len() as f32 }
    }
}
