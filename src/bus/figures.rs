//! A bus in figures.

use super::Bus;
use crate::dispatch::shift::{Running, ShiftRead};
use crate::stats::{
    BusStats, CacheStats, MessageTypeStats, PoolStats, Refused, Rows, SubscriptionStats, TopicDetail,
    TopicStats, Totals, Work, WorkerStats,
};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::topic::Topic;
use crate::topic::exchange::Exchange;
use crate::topic::member::Member;
use std::collections::HashMap;
use std::time::Duration;

impl Bus {
    /// Figures of the whole bus: sums, every topic, every subscription, every message type, every worker.
    ///
    /// Stops nothing: publishers and workers never wait for it; whoever makes a topic or a subscription meanwhile waits for
    /// a lock that is held over a few hundred entries at most. Cost: about a microsecond for each topic and subscription,
    /// most of it for their names; a tenth of a second for 100,000.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// let rang = bus.message_type::<u8>("rang")?;
    /// let calls = bus.topic("calls")?;
    /// let _log = calls.subscription("log").accept(&rang).start(|_| {})?;
    /// calls.publish(rang.message(1));
    /// let stats = bus.stats();
    /// assert_eq!((stats.totals.published, stats.totals.delivered), (1, 1));
    /// assert_eq!(stats.subscriptions[0].depth, 1);
    /// println!("{stats}");
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn stats(&self) -> BusStats {
        let exchange = self.exchange();
        let (topics, members) = (exchange.topics(), exchange.members());
        let rows = member_rows(exchange, &members);
        let (pool, topics) = (exchange.pool.read(), topic_rows(&topics, &members, &rows));
        BusStats {
            totals: totals(exchange, &topics, &members, &rows),
            topics,
            message_types: self.message_type_stats(),
            worker_stats: worker_rows(&pool.workers, &members),
            publishes: exchange.publishes.read(),
            workers: pool.workers.len(),
            ready: exchange.pool.ready(),
            panics: exchange.fence.caught(),
            nested_too_deep: exchange.nested_too_deep.load(Ordering::Relaxed),
            threads_refused: pool.refused,
            pool: PoolStats {
                min: pool.min,
                max: pool.max,
                standby: pool.standby,
                grown: pool.grown,
                shrunk: pool.shrunk,
                started: pool.started,
                waiting: pool.seatless,
                no_seat: pool.no_seat,
            },
            subscriptions: Rows::of(rows),
        }
    }

    /// One topic in detail, if it lives. Cost: a look at every topic and subscription of the bus.
    pub fn topic_stats(&self, name: &str) -> Option<TopicDetail> {
        let exchange = self.exchange();
        let topic = exchange.find_topic(name)?;
        let mut members = exchange.members();
        members.retain(|member| std::ptr::eq(&*member.topic, &**topic.core()));
        let comes_from = |other: &Topic| other.core().targets().iter().any(|target| target == name);
        let age = exchange.clock.exact_wall_ns().saturating_sub(topic.created().as_nanos());
        Some(TopicDetail {
            stats: topic.core().stats_of(&members),
            detail: topic.detail().to_owned(),
            age: Duration::from_nanos(age),
            subscriptions: Rows::of(member_rows(exchange, &members)),
            forwards_to: topic.core().targets(),
            forwards_from: exchange
                .topics()
                .iter()
                .filter(|other| comes_from(other))
                .map(|t| t.name().to_owned())
                .collect(),
        })
    }

    /// Every live subscription's figures, by number.
    pub fn subscription_stats(&self) -> Rows<SubscriptionStats> {
        Rows::of(member_rows(self.exchange(), &self.exchange().members()))
    }

    /// Every message type's figures, by number.
    pub fn message_type_stats(&self) -> Rows<MessageTypeStats> {
        self.0.types.stats()
    }

    /// Every live cache's figures, in the order in which they were made. Cost: as [`Cache::stats`](crate::Cache::stats), for
    /// each.
    pub fn cache_stats(&self) -> Rows<CacheStats> {
        Rows::of(self.exchange().caches().iter().map(|cache| cache.figures()))
    }

    /// Every worker's figures, by seat.
    pub fn worker_stats(&self) -> Rows<WorkerStats> {
        worker_rows(&self.exchange().pool.read().workers, &self.exchange().members())
    }
}

fn member_rows(exchange: &Exchange, members: &[Arc<Member>]) -> Vec<SubscriptionStats> {
    let running = exchange.pool.running();
    members.iter().map(|member| member.stats_while(&running)).collect()
}

fn topic_rows(topics: &[Topic], members: &[Arc<Member>], rows: &[SubscriptionStats]) -> Rows<TopicStats> {
    let mut by_topic: HashMap<u64, Vec<(&Member, &SubscriptionStats)>> = HashMap::new();
    for (member, row) in members.iter().zip(rows) {
        by_topic.entry(member.topic.id).or_default().push((member, row));
    }
    Rows::of(topics.iter().map(|topic| {
        let own = by_topic.get(&topic.core().id).into_iter().flatten();
        topic.core().stats_with(own.copied())
    }))
}

fn totals(
    exchange: &Exchange,
    topics: &[TopicStats],
    members: &[Arc<Member>],
    rows: &[SubscriptionStats],
) -> Totals {
    // After the rows were read: one that has ended since is among the gone, and counts there.
    let (mut totals, folds) = exchange.gone();
    let live = members.iter().zip(rows).filter(|(member, _)| !folds.include(member));
    live.for_each(|(_, row)| totals.add(row));
    let counts = &exchange.counts;
    let sum = |of: fn(&TopicStats) -> u64| topics.iter().map(of).sum::<u64>();
    totals.published = counts.published.get() + sum(|topic| topic.published);
    totals.unrouted = counts.unrouted.get() + sum(|topic| topic.unrouted);
    // A topic may just be going, counted neither here nor there, and one that is just losing may be read a little short:
    // nobody is told less than before. But what is filtered is a difference, which counts publishes under way as well, and
    // what was too much is not kept.
    let Totals { published, unrouted, delivered, handled, missed, .. } = &mut totals;
    let sums = [published, unrouted, delivered, handled, missed];
    sums.into_iter().zip(&counts.told).for_each(|(sum, told)| *sum = told.raise(*sum));
    totals.refused = Refused {
        declined: counts.declined.get(),
        closed: counts.closed.get(),
        foreign_type: counts.foreign_type.get(),
        nested_too_deep: exchange.nested_too_deep.load(Ordering::Relaxed),
    };
    totals.waits = counts.waits.get();
    totals.circles += counts.circles.get();
    totals
}

fn worker_rows(workers: &[(usize, ShiftRead)], members: &[Arc<Member>]) -> Rows<WorkerStats> {
    let name = |id: u64| {
        members.iter().find(|member| member.id() == id).map(|member| member.profile().name.to_string())
    };
    let work = |run: Running| Work {
        subscription: name(run.subscription).unwrap_or_default(),
        id: run.subscription,
        time: run.time,
    };
    Rows::of(workers.iter().map(|(seat, shift)| WorkerStats {
        seat: *seat,
        running: shift.running.map(work),
        runs: shift.runs,
        busy: shift.busy,
        parks: shift.parks,
        wakeups: shift.woken,
    }))
}
