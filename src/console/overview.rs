//! The bus at a glance: what the page's top shows, and what it follows live.

use super::health::Health;
use super::look::{Look, Point};
use super::rates::TotalRates;
use super::rows::{Brief, SubscriptionRow};
use super::table::sorted;
use crate::stats::{PoolStats, Totals};
use serde::Serialize;

/// So many of the slowest and of the deepest.
const WORST: usize = 6;

#[derive(Serialize)]
pub(super) struct Overview<'a> {
    /// Tells one server from the next at the same address.
    server: u64,
    look: u64,
    at: f64,
    /// Seconds between looks.
    every: f64,
    /// Seconds that the rates are about.
    elapsed: Option<f64>,
    #[serde(flatten)]
    health: &'a Health,
    totals: &'a Totals,
    rates: TotalRates,
    depth: u64,
    topics: usize,
    subscriptions: usize,
    message_types: usize,
    caches: usize,
    workers: usize,
    busy: f32,
    ready: usize,
    panics: u64,
    pool: &'a PoolStats,
    publishes: Brief<'a>,
    deepest: Vec<SubscriptionRow<'a>>,
    slowest: Vec<SubscriptionRow<'a>>,
    /// The last one, or all there are.
    points: Vec<&'a Point>,
}

impl<'a> Overview<'a> {
    /// Of that look, with so many points of the charts at most.
    pub(super) fn of(look: &'a Look, server: u64, points: usize) -> Self {
        let stats = &look.stats;
        let rows: Vec<SubscriptionRow<'_>> = look.subscription_rows().collect();
        let deep: Vec<_> = rows.iter().copied().filter(|row| row.stats.depth > 0).collect();
        Self {
            server,
            look: look.number,
            at: look.at,
            every: look.every.as_secs_f64(),
            elapsed: look.elapsed,
            health: &look.health,
            totals: &stats.totals,
            rates: look.totals,
            depth: look.depth(),
            topics: stats.topics.len(),
            subscriptions: rows.len(),
            message_types: stats.message_types.len(),
            caches: look.caches.len(),
            workers: stats.workers,
            busy: look.busy(),
            ready: stats.ready,
            panics: stats.panics,
            pool: &stats.pool,
            publishes: Brief(&stats.publishes),
            deepest: sorted(&deep, "depth", true, 0, WORST),
            slowest: slowest(&rows),
            points: look.points.iter().rev().take(points).rev().collect(),
        }
    }
}

/// Those whose handlers take longest now; after them, those that once did.
fn slowest<'a>(rows: &[SubscriptionRow<'a>]) -> Vec<SubscriptionRow<'a>> {
    let (now, idle): (Vec<_>, Vec<_>) = rows.iter().copied().partition(|row| row.handler_now() > 0.0);
    let idle: Vec<_> = idle.into_iter().filter(|row| !row.stats.handler.is_empty()).collect();
    let mut slowest = sorted(&now, "handler", true, 0, WORST);
    slowest.extend(sorted(&idle, "handler_p99", true, 0, WORST - slowest.len()));
    slowest
}
