//! Finds out what is wrong: from the figures of now, and from what earlier looks have seen.

use super::Bus;
use super::diagnosis::{Diagnosis, Finding, Subject, Trend, Trouble};
use crate::stats::human::{count, plural, time};
use crate::stats::{BusStats, Lost, Refused, SubscriptionState, SubscriptionStats, Totals};
use crate::sync::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// A message that has waited so long is late, and a handler that has not returned for so long is stuck.
const LATE: Duration = Duration::from_secs(1);
/// A handler that takes so long at p99 explains a queue; without one, ten times that is worth a word.
const SLOW: Duration = Duration::from_millis(1);
/// A worker that has run one subscription for so long is in a long handler.
const LONG_RUN: Duration = Duration::from_millis(10);

/// What the last look has seen.
pub(crate) struct History(Mutex<Looks>);

impl Default for History {
    fn default() -> Self {
        Self(Mutex::new(Looks::default()))
    }
}

#[derive(Default)]
struct Looks {
    subscriptions: HashMap<u64, Seen>,
    totals: Totals,
    threads_refused: usize,
    /// On the bus's clock.
    at: u64,
}

/// One subscription at the last look.
#[derive(Clone)]
struct Seen {
    depth: u64,
    trend: Trend,
    /// Since when it has been going there, on the bus's clock.
    since: u64,
    handled: u64,
    lost: Lost,
    panics: u64,
}

impl Bus {
    /// Looks for what is wrong, and says it in plain words with figures: deep queues and where they are going, slow
    /// and stuck handlers, waiting publishers, losses, panics, streams that nobody reads.
    ///
    /// What is called *rising*, *lost* or *panicked* is so since the last call, which this bus remembers; the first one
    /// speaks of all that was. A monitor calls it every few seconds. Cost: that of [`stats`](Self::stats).
    ///
    /// ```
    /// use std::time::Duration;
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// let rang = bus.message_type::<u32>("rang")?;
    /// let calls = bus.topic("calls")?;
    /// let _cdr = calls.subscription("cdr").accept(&rang).start(|_| {})?;
    /// assert!(bus.diagnose().is_well());
    /// (0..4_812).for_each(|n| assert!(calls.publish(rang.message(n)).reached()));
    /// bus.advance(Duration::from_secs(12));
    /// let diagnosis = bus.diagnose();
    /// assert!(!diagnosis.is_well());
    /// assert!(diagnosis.to_string().starts_with("subscription cdr: queue 4,812 and rising for 12 s"));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn diagnose(&self) -> Diagnosis {
        self.0.history.look(self, &self.stats())
    }
}

impl History {
    /// What `stats`, which `bus` has just told, say now and since the last look by this history.
    pub(crate) fn look(&self, bus: &Bus, stats: &BusStats) -> Diagnosis {
        let now = bus.exchange().clock.monotonic_ns();
        let mut looks = self.0.lock();
        let mut seen = HashMap::new();
        let mut findings = Vec::new();
        for row in &stats.subscriptions {
            let look = Look { row, before: looks.subscriptions.get(&row.id), last: looks.at, now, stats };
            findings.extend(look.finding());
            seen.insert(row.id, look.seen());
        }
        findings.extend(of_the_bus(stats, &looks));
        let totals = stats.totals.clone();
        *looks = Looks { subscriptions: seen, totals, threads_refused: stats.threads_refused, at: now };
        drop(looks);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Diagnosis { findings, summary: summary(stats) }
    }
}

/// One look at one subscription.
struct Look<'a> {
    row: &'a SubscriptionStats,
    before: Option<&'a Seen>,
    /// When the last look was.
    last: u64,
    now: u64,
    stats: &'a BusStats,
}

impl Look<'_> {
    fn seen(&self) -> Seen {
        let (trend, since) = self.trend();
        let SubscriptionStats { depth, handled, lost, panics, .. } = *self.row;
        Seen { depth, trend, since, handled, lost, panics }
    }

    /// Where the queue is going, and since when.
    fn trend(&self) -> (Trend, u64) {
        let empty = self.now.saturating_sub(nanoseconds(self.row.behind.unwrap_or_default()));
        let Some(before) = self.before else { return (Trend::Unknown, empty) };
        let trend = match self.row.depth.cmp(&before.depth) {
            std::cmp::Ordering::Greater => Trend::Rising,
            std::cmp::Ordering::Equal => Trend::Steady,
            std::cmp::Ordering::Less => Trend::Falling,
        };
        let since = match before.trend {
            same if same == trend => before.since,
            // What was not empty at a first look has risen to what it was then.
            Trend::Unknown if trend == Trend::Rising => before.since,
            _ => self.last,
        };
        // It has been empty in between: it rises since then.
        if trend == Trend::Rising { (trend, since.max(empty)) } else { (trend, since) }
    }

    fn finding(&self) -> Option<Finding> {
        let is_stream = self.row.dispatch == "stream";
        let stuck = self.stuck();
        let late = self.unread().filter(|_| is_stream).or_else(|| self.behind());
        let slow = self.slow(late.is_some() || stuck.is_some());
        let all = [late, slow, stuck, self.blocked(), self.losing(), self.panics()];
        let troubles: Vec<Trouble> = all.into_iter().flatten().collect();
        let severity = troubles.iter().map(Trouble::severity).max()?;
        let subject = Subject::Subscription { name: self.row.name.clone(), id: self.row.id };
        Some(Finding { severity, subject, troubles })
    }

    fn behind(&self) -> Option<Trouble> {
        let row = self.row;
        let is_late = row.oldest.is_some_and(|oldest| oldest >= LATE);
        // A mailbox for one or two messages is full as a rule: there only the time tells.
        let is_deep = row.capacity > 3 && (row.congested || row.depth >= row.capacity / 2);
        let (trend, since) = self.trend();
        let time = Duration::from_nanos(self.now.saturating_sub(since));
        (row.depth > 0 && (is_late || is_deep)).then_some(Trouble::Behind { depth: row.depth, trend, time })
    }

    /// Its oldest message waits, and nothing was taken out since the last look.
    fn unread(&self) -> Option<Trouble> {
        if self.before.is_some_and(|before| before.handled != self.row.handled) {
            return None;
        }
        let oldest = self.row.oldest.filter(|oldest| *oldest >= LATE)?;
        Some(Trouble::Unread { depth: self.row.depth, oldest })
    }

    fn slow(&self, explains: bool) -> Option<Trouble> {
        let p99 = self.row.handler.p99;
        let from = if explains { SLOW } else { 10 * SLOW };
        (p99 >= from).then_some(Trouble::Slow { p99 })
    }

    fn stuck(&self) -> Option<Trouble> {
        let SubscriptionState::Running { worker, time } = self.row.state else { return None };
        match worker {
            Some(_) => (time >= LATE).then_some(Trouble::Stuck { workers: Some(self.stats.workers), time }),
            // A thread of its own may just be busy: stuck is who has handled nothing since the last look.
            None => {
                let since = Duration::from_nanos(self.now.saturating_sub(self.last));
                let still = self.before.is_some_and(|before| before.handled == self.row.handled);
                (still && since >= LATE && time >= LATE).then_some(Trouble::Stuck { workers: None, time })
            }
        }
    }

    fn blocked(&self) -> Option<Trouble> {
        let blocked = &self.row.blocked;
        blocked.waiting.map(|time| Trouble::Blocked { publishers: blocked.now, time })
    }

    fn losing(&self) -> Option<Trouble> {
        let lost = self.row.lost.since(&self.before.map(|before| before.lost).unwrap_or_default());
        (lost.total() > 0).then_some(Trouble::Losing(lost))
    }

    fn panics(&self) -> Option<Trouble> {
        let (total, before) = (self.row.panics, self.before.map_or(0, |before| before.panics));
        (total > before).then(|| Trouble::Panics { new: total - before, total })
    }
}

fn of_the_bus(stats: &BusStats, last: &Looks) -> Option<Finding> {
    let before = &last.totals;
    // Another monitor's figures may be newer than ours: then there is nothing new.
    let (now, was) = (&stats.totals.refused, &before.refused);
    let refused = Refused {
        declined: now.declined.saturating_sub(was.declined),
        closed: now.closed.saturating_sub(was.closed),
        foreign_type: now.foreign_type.saturating_sub(was.foreign_type),
        nested_too_deep: now.nested_too_deep.saturating_sub(was.nested_too_deep),
    };
    let unrouted = stats.totals.unrouted.saturating_sub(before.unrouted);
    let circles = stats.totals.circles.saturating_sub(before.circles);
    let refused_threads = stats.threads_refused.saturating_sub(last.threads_refused) as u64;
    let troubles: Vec<Trouble> = [
        no_worker_free(stats),
        (refused_threads > 0).then_some(Trouble::ThreadsRefused(refused_threads)),
        (refused != Refused::default()).then_some(Trouble::Refused(refused)),
        (unrouted > 0).then_some(Trouble::Unrouted(unrouted)),
        (circles > 0).then_some(Trouble::Circles(circles)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let severity = troubles.iter().map(Trouble::severity).max()?;
    Some(Finding { severity, subject: Subject::Bus, troubles })
}

fn no_worker_free(stats: &BusStats) -> Option<Trouble> {
    let busy = |time: Option<Duration>| time.is_some_and(|time| time >= LONG_RUN);
    let all_busy =
        stats.worker_stats.iter().all(|worker| busy(worker.running.as_ref().map(|work| work.time)));
    let may_grow = stats.workers < stats.pool.max;
    (stats.workers > 0 && stats.ready > 0 && all_busy).then_some(Trouble::NoWorkerFree {
        workers: stats.workers,
        may_grow,
        ready: stats.ready,
    })
}

/// The figures that show it.
fn summary(stats: &BusStats) -> String {
    let rows = &stats.subscriptions;
    let deepest = rows.iter().map(|row| row.depth).max().unwrap_or(0);
    let slowest = rows.iter().filter(|row| !row.handler.is_empty()).max_by_key(|row| row.handler.p99);
    let slowest = slowest.map_or(String::new(), |row| {
        format!(", slowest handler {} with {} at p99", row.name, time(row.handler.p99))
    });
    format!(
        "{} on {}, {} published, {} lost, deepest queue {}{slowest}",
        plural(rows.len() as u64, "subscription", "subscriptions"),
        plural(stats.topics.len() as u64, "topic", "topics"),
        count(stats.totals.published),
        count(stats.totals.missed),
        count(deepest),
    )
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
