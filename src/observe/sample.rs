//! One look at all statistics of a bus, as rows of the table.
//!
//! What the dead have counted is read before the living are asked: who dies in between is counted nowhere for the moment,
//! and so nothing is counted twice. (Of subscriptions, who died since its row was read is known, and left to the dead.)

use super::rows::{Rows, Text};
use super::table::{self as t, Metric};
use crate::bus::Bus;
use crate::dispatch::shift::ShiftRead;
use crate::stats::labels::{LABELS_MAX, Label, OTHER};
use crate::stats::sums::{CacheSums, ClassSums, SubscriptionSums};
use crate::stats::{Lost, MessageTypeStats, SubscriptionStats, Totals};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Weak};
use crate::topic::exchange::{CacheFigures, Exchange};
use crate::topic::member::Member;
use std::collections::HashMap;
use std::ptr;
use std::time::Duration;

/// A label in a sample. Who looks at it does not use it: meanwhile its place may go to another name.
struct Seen<S> {
    name: Arc<str>,
    /// Keeps its address from being used again.
    label: Weak<Label<S>>,
}

/// The topics of one class: what they have counted, and what there is now.
struct Class {
    label: Seen<ClassSums>,
    sums: ClassSums,
    topics: u64,
    forwards: u64,
}

/// The subscriptions of one name.
struct Name {
    label: Seen<SubscriptionSums>,
    sums: SubscriptionSums,
    now: Levels,
}

#[derive(Default)]
struct Levels {
    /// By the number of the dispatch mode.
    live: [u64; 5],
    depth: u64,
    capacity: u64,
    fill: f64,
    peak: u64,
    oldest: Duration,
    congested: u64,
    blocked: u64,
}

/// Everything that a look at the topics and subscriptions brings.
struct Look {
    classes: Vec<Class>,
    names: Vec<Name>,
    totals: Totals,
}

/// Whom a sample asks. The last handle of one of them may be among these, and what a cache's drop runs is foreign code: who
/// takes a sample under a lock has them before it, and drops them after.
pub(super) struct Subjects {
    members: Vec<Arc<Member>>,
    caches: Vec<Arc<dyn CacheFigures>>,
}

impl Subjects {
    pub(super) fn of(bus: &Bus) -> Self {
        Self { members: bus.exchange().members(), caches: bus.exchange().caches() }
    }
}

/// Everything that the table tells, now.
pub(super) fn sample(bus: &Bus, subjects: &Subjects) -> Rows {
    let exchange = bus.exchange();
    let mut rows = Rows::default();
    let began = exchange.clock.monotonic_ns();
    rows.level(&t::BUILD, [env!("CARGO_PKG_VERSION").into()], 1);
    let look = Look::at(exchange, &subjects.members);
    look.classes.iter().for_each(|class| class.tell(&mut rows));
    look.names.iter().for_each(|name| name.tell(&mut rows));
    tell_totals(&mut rows, exchange, &look.totals);
    rows.times(&t::PUBLISH_DURATION, [], &exchange.publishes.read().into());
    tell_types(&mut rows, &bus.message_type_stats());
    tell_pool(&mut rows, exchange);
    tell_caches(&mut rows, exchange, &subjects.caches);
    let labels = &exchange.labels;
    let types = bus.message_types().len().saturating_sub(LABELS_MAX) as u64;
    let folded = [labels.classes.folded(), labels.subscriptions.folded(), types, labels.caches.folded()];
    rows.counts(&t::OVERFLOW, [], &t::CAPPED, folded);
    let took = exchange.clock.monotonic_ns().saturating_sub(began);
    rows.seconds(&t::SAMPLE_SECONDS, [], Duration::from_nanos(took));
    rows
}

impl Look {
    fn at(exchange: &Exchange, members: &[Arc<Member>]) -> Self {
        let live: Vec<SubscriptionStats> = members.iter().map(|member| member.stats_while(&[])).collect();
        let now = exchange.clock.coarse_monotonic_ns();
        let (mut look, folds) = exchange.while_none_goes(|gone| Self {
            classes: exchange.labels.classes.shown(now).into_iter().map(Class::of).collect(),
            names: exchange.labels.subscriptions.shown(now).into_iter().map(Name::of).collect(),
            totals: gone.clone(),
        });
        let classes = places(look.classes.iter().map(|class| &class.label));
        let names = places(look.names.iter().map(|name| &name.label));
        for (member, row) in members.iter().zip(&live).filter(|(member, _)| !folds.include(member)) {
            look.totals.add(row);
            let mode = member.dispatch as usize;
            if let Some(at) = classes.get(&ptr::from_ref(&**member.topic.class())) {
                look.classes[*at].sums.add(mode, row);
            }
            if let Some(at) = names.get(&ptr::from_ref(member.label())) {
                look.names[*at].add(mode, row);
            }
        }
        look.visit_topics(exchange, &classes);
        look
    }

    fn visit_topics(&mut self, exchange: &Exchange, classes: &HashMap<*const Label<ClassSums>, usize>) {
        let counts = &exchange.counts;
        (self.totals.published, self.totals.unrouted) = (counts.published.get(), counts.unrouted.get());
        exchange.visit_topics(|topic| {
            let (sums, forwards) = topic.counted();
            self.totals.published += sums.published;
            self.totals.unrouted += sums.unrouted;
            if let Some(at) = classes.get(&ptr::from_ref(&**topic.class())) {
                let class = &mut self.classes[*at];
                class.sums.published += sums.published;
                class.sums.arrived += sums.arrived;
                class.sums.unrouted += sums.unrouted;
                class.topics += 1;
                class.forwards += forwards as u64;
            }
        });
    }
}

/// Where each label stands. One that comes meanwhile is not there: the next sample has it.
fn places<'l, S: 'l>(labels: impl Iterator<Item = &'l Seen<S>>) -> HashMap<*const Label<S>, usize> {
    labels.enumerate().map(|(at, label)| (label.label.as_ptr(), at)).collect()
}

impl<S> Seen<S> {
    fn of(label: &Arc<Label<S>>) -> Self {
        Self { name: label.name().clone(), label: Arc::downgrade(label) }
    }

    fn text(&self) -> Text {
        Text::from(self.name.clone())
    }
}

impl Class {
    fn of(label: Arc<Label<ClassSums>>) -> Self {
        Self { sums: label.gone(), label: Seen::of(&label), topics: 0, forwards: 0 }
    }

    fn tell(&self, rows: &mut Rows) {
        let name = || self.label.text();
        if self.topics > 0 {
            rows.level(&t::TOPICS, [name()], self.topics);
            rows.level(&t::FORWARDS, [name()], self.forwards);
        }
        rows.count(&t::PUBLISHED, [name()], self.sums.published);
        rows.count(&t::ARRIVED, [name()], self.sums.arrived);
        rows.count(&t::UNROUTED, [name()], self.sums.unrouted);
        rows.count(&t::FILTERED, [name()], self.sums.filtered);
        rows.counts(&t::DELIVERED, [name()], &t::MODES, self.sums.delivered);
    }
}

impl Name {
    fn of(label: Arc<Label<SubscriptionSums>>) -> Self {
        Self { sums: label.gone(), label: Seen::of(&label), now: Levels::default() }
    }

    fn add(&mut self, mode: usize, row: &SubscriptionStats) {
        self.sums.add(row);
        let now = &mut self.now;
        now.live[mode] += 1;
        now.depth += row.depth;
        now.capacity += row.capacity;
        now.fill = now.fill.max(row.depth as f64 / row.capacity.max(1) as f64);
        now.peak = now.peak.max(row.high_water);
        now.oldest = now.oldest.max(row.oldest.unwrap_or_default());
        now.congested += u64::from(row.congested);
        now.blocked += row.blocked.now;
    }

    fn tell(&self, rows: &mut Rows) {
        let name = || self.label.text();
        let sums = &self.sums;
        rows.count(&t::HANDLED, [name()], sums.handled);
        rows.counts(&t::DROPPED, [name()], &t::LOSSES, by_reason(&sums.lost));
        rows.count(&t::OVER_CAPACITY, [name()], sums.over_capacity);
        rows.count(&t::BLOCKED, [name()], sums.blocked);
        rows.seconds(&t::BLOCKED_SECONDS, [name()], sums.blocked_for);
        rows.counts(&t::ALERTS, [name()], &t::LEVELS, [sums.highs, sums.clears]);
        rows.count(&t::SLOW, [name()], sums.slow);
        rows.count(&t::PANICS, [name()], sums.panics);
        rows.times(&t::LATENCY, [name()], &sums.delay);
        rows.times(&t::HANDLER_DURATION, [name()], &sums.handler);
        if self.now.live.iter().any(|live| *live > 0) {
            self.now.tell(rows, &name());
        }
    }
}

impl Levels {
    fn tell(&self, rows: &mut Rows, name: &Text) {
        for (mode, live) in t::MODES.into_iter().zip(self.live).filter(|(_, live)| *live > 0) {
            rows.level(&t::SUBSCRIPTIONS, [name.clone(), mode.into()], live);
        }
        let levels: [(&'static Metric, u64); 5] = [
            (&t::BLOCKED_NOW, self.blocked),
            (&t::QUEUE, self.depth),
            (&t::CAPACITY, self.capacity),
            (&t::PEAK, self.peak),
            (&t::CONGESTED, self.congested),
        ];
        levels.into_iter().for_each(|(metric, level)| rows.level(metric, [name.clone()], level));
        rows.ratio(&t::FILL, [name.clone()], self.fill);
        rows.seconds(&t::OLDEST, [name.clone()], self.oldest);
    }
}

/// In the order of [`t::LOSSES`].
fn by_reason(lost: &Lost) -> [u64; 6] {
    let Lost { refused, evicted, conflated, timed_out, disconnected, discarded } = *lost;
    [refused, evicted, conflated, timed_out, disconnected, discarded]
}

fn tell_totals(rows: &mut Rows, exchange: &Exchange, totals: &Totals) {
    let counts = &exchange.counts;
    let nested = exchange.nested_too_deep.load(Ordering::Relaxed);
    let refused = [counts.declined.get(), counts.closed.get(), counts.foreign_type.get(), nested];
    rows.counts(&t::REFUSED, [], &t::REFUSALS, refused);
    rows.count(&t::BUS_PUBLISHED, [], totals.published);
    rows.count(&t::BUS_UNROUTED, [], totals.unrouted);
    rows.count(&t::BUS_DELIVERED, [], totals.delivered);
    rows.count(&t::BUS_HANDLED, [], totals.handled);
    rows.counts(&t::BUS_DROPPED, [], &t::LOSSES, by_reason(&totals.lost));
    rows.count(&t::BUS_BLOCKED, [], totals.blocked.times);
    rows.seconds(&t::BUS_BLOCKED_SECONDS, [], totals.blocked.total);
    rows.count(&t::BUS_SLOW, [], totals.slow);
    rows.count(&t::BUS_PANICS, [], exchange.fence.caught());
    rows.count(&t::WAITS, [], counts.waits.get());
    rows.count(&t::CIRCLES, [], totals.circles + counts.circles.get());
}

/// Types are never gone, and are numbered in the order in which they came: the first ones have labels of their own. One that
/// is called `other` counts with those beyond: a series is told once.
fn tell_types(rows: &mut Rows, types: &[MessageTypeStats]) {
    let is_named = |kind: &&MessageTypeStats| (kind.id as usize) < LABELS_MAX && kind.name != OTHER;
    let (named, others): (Vec<_>, Vec<_>) = types.iter().partition(is_named);
    named.iter().for_each(|kind| tell_type(rows, kind));
    let sum = |of: fn(&MessageTypeStats) -> u64| others.iter().map(|kind| of(kind)).sum();
    if !others.is_empty() {
        let other = MessageTypeStats {
            name: OTHER.to_owned(),
            made: sum(|kind| kind.made),
            unused: sum(|kind| kind.unused),
            declined: sum(|kind| kind.declined),
            alive: sum(|kind| kind.alive),
            bytes: sum(|kind| kind.bytes),
            ..MessageTypeStats::default()
        };
        tell_type(rows, &other);
    }
}

fn tell_type(rows: &mut Rows, kind: &MessageTypeStats) {
    let name = || Text::from(kind.name.clone());
    rows.count(&t::MADE, [name()], kind.made);
    rows.count(&t::UNUSED, [name()], kind.unused);
    rows.count(&t::DECLINED, [name()], kind.declined);
    rows.level(&t::LIVE, [name()], kind.alive);
    rows.level(&t::LIVE_BYTES, [name()], kind.bytes);
}

fn tell_pool(rows: &mut Rows, exchange: &Exchange) {
    let pool = exchange.pool.read();
    let parked = pool.workers.iter().filter(|(_, shift)| shift.running.is_none()).count();
    rows.level(&t::WORKERS, [], pool.workers.len() as u64);
    rows.level(&t::WORKERS_MAX, [], pool.max as u64);
    rows.level(&t::WORKERS_PARKED, [], parked as u64);
    rows.level(&t::WORKERS_WAITING, [], pool.seatless as u64);
    rows.level(&t::READY, [], exchange.pool.ready() as u64);
    rows.count(&t::GROWN, [], pool.grown);
    rows.count(&t::SHRUNK, [], pool.shrunk);
    rows.count(&t::THREADS_REFUSED, [], pool.refused as u64);
    pool.workers.iter().for_each(|(seat, shift)| tell_worker(rows, *seat, shift));
}

fn tell_worker(rows: &mut Rows, seat: usize, shift: &ShiftRead) {
    let name = || Text::from(seat.to_string());
    rows.seconds(&t::WORKER_BUSY, [name()], shift.busy);
    rows.count(&t::WORKER_RUNS, [name()], shift.runs);
    rows.count(&t::WORKER_PARKS, [name()], shift.parks);
    rows.count(&t::WORKER_WAKEUPS, [name()], shift.woken);
    rows.seconds(&t::WORKER_RUN_AGE, [name()], shift.running.map(|run| run.time).unwrap_or_default());
}

fn tell_caches(rows: &mut Rows, exchange: &Exchange, caches: &[Arc<dyn CacheFigures>]) {
    let labels = exchange.labels.caches.shown(exchange.clock.coarse_monotonic_ns());
    let (labels, mut sums): (Vec<_>, Vec<_>) =
        labels.into_iter().map(|label| (Seen::of(&label), (label.gone(), None))).unzip();
    let places = places(labels.iter());
    for cache in caches {
        if let Some(at) = places.get(&ptr::from_ref(&**cache.label())) {
            let (counted, (sums, entries)) = (cache.counted(), &mut sums[*at]);
            CacheSums::add(sums, &counted);
            *entries = Some(entries.unwrap_or(0) + counted.entries);
        }
    }
    for (label, (sums, entries)) in labels.iter().zip(&sums) {
        let name = label.text();
        if let Some(entries) = entries {
            rows.level(&t::CACHE_ENTRIES, [name.clone()], *entries);
        }
        tell_cache(rows, &name, sums);
    }
    let (pending, held) = exchange.garbage();
    rows.level(&t::EPOCH_PENDING, [], pending as u64);
    rows.seconds(&t::EPOCH_OLDEST_PIN, [], held.unwrap_or_default());
}

fn tell_cache(rows: &mut Rows, name: &Text, sums: &CacheSums) {
    rows.counts(&t::CACHE_LOOKUPS, [name.clone()], &t::RESULTS, [sums.hits, sums.misses]);
    rows.counts(
        &t::CACHE_UPDATES,
        [name.clone()],
        &t::OPERATIONS,
        [sums.created, sums.updated, sums.removed],
    );
    rows.count(&t::CACHE_SUPPRESSED, [name.clone()], sums.suppressed);
    rows.count(&t::CACHE_EXPIRED, [name.clone()], sums.expired);
    rows.count(&t::CACHE_EVICTED, [name.clone()], sums.evicted);
    rows.count(&t::CACHE_AGGREGATES, [name.clone()], sums.aggregates);
}
