//! What is printed of each kind of figures: as a row of a table, and alone.

use super::human::{self, count, time};
use super::rows::Column::{Number, Text};
use super::rows::{Column, Row, details};
use super::{
    Blocked, BusStats, MessageTypeStats, PoolStats, SubscriptionState, SubscriptionStats, Timing,
    TopicDetail, TopicStats, Totals, WorkerStats,
};
use std::fmt;
use std::time::Duration;

impl Row for TopicStats {
    const NAMES: (&'static str, &'static str) = ("topic", "topics");
    const HEAD: &'static [Column] = &[
        Text("topic"),
        Number("published"),
        Number("arrived"),
        Number("delivered"),
        Number("filtered"),
        Number("missed"),
        Number("unrouted"),
        Number("subs"),
        Number("fwds"),
        Number("longest"),
    ];

    fn cells(&self) -> Vec<String> {
        let counts =
            [self.published, self.arrived, self.delivered, self.filtered, self.missed, self.unrouted];
        let held = [self.subscriptions, self.forwards];
        let mut cells = vec![self.name.clone()];
        cells.extend(counts.map(count));
        cells.extend(held.map(|held| count(held as u64)));
        cells.push(measured(self.longest));
        cells
    }

    fn weight(&self) -> (u64, u64) {
        (self.reached, self.published)
    }
}

impl Row for SubscriptionStats {
    const NAMES: (&'static str, &'static str) = ("subscription", "subscriptions");
    const HEAD: &'static [Column] = &[
        Text("subscription"),
        Text("dispatch"),
        Text("state"),
        Number("accepted"),
        Number("filtered"),
        Number("depth"),
        Number("highest"),
        Number("capacity"),
        Number("oldest"),
        Number("missed"),
        Number("panics"),
        Number("waited p99"),
        Number("handler p99"),
        Number("max"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            format!("{}#{}", self.name, self.id),
            self.dispatch.to_owned(),
            self.state.to_string(),
            count(self.accepted),
            count(self.filtered),
            count(self.depth),
            count(self.high_water),
            if self.capacity == 0 { "-".to_owned() } else { count(self.capacity) },
            self.oldest.map_or("-".to_owned(), time),
            count(self.missed),
            count(self.panics),
            of(&self.delay, self.delay.p99),
            of(&self.handler, self.handler.p99),
            of(&self.handler, self.handler.max),
        ]
    }

    fn weight(&self) -> (u64, u64) {
        (self.depth, self.accepted)
    }
}

impl Row for MessageTypeStats {
    const NAMES: (&'static str, &'static str) = ("message type", "message types");
    const HEAD: &'static [Column] = &[
        Text("message type"),
        Number("made"),
        Number("alive"),
        Number("bytes"),
        Number("unused"),
        Number("declined"),
        Number("panics"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            count(self.made),
            count(self.alive),
            human::bytes(self.bytes),
            count(self.unused),
            if self.is_declined { count(self.declined) } else { "-".to_owned() },
            count(self.panics),
        ]
    }

    fn weight(&self) -> (u64, u64) {
        (self.made, self.declined)
    }
}

impl Row for WorkerStats {
    const NAMES: (&'static str, &'static str) = ("worker", "workers");
    const HEAD: &'static [Column] = &[
        Text("worker"),
        Text("runs now"),
        Number("since"),
        Number("runs"),
        Number("busy"),
        Number("parks"),
        Number("woken"),
    ];

    fn cells(&self) -> Vec<String> {
        let (running, since) = match &self.running {
            Some(work) => (format!("{}#{}", work.subscription, work.id), time(work.time)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        vec![
            self.seat.to_string(),
            running,
            since,
            count(self.runs),
            time(self.busy),
            count(self.parks),
            count(self.wakeups),
        ]
    }

    fn weight(&self) -> (u64, u64) {
        let running = self.running.as_ref().map_or(0, |work| work.time.as_nanos() as u64 + 1);
        (running, u64::MAX - self.seat as u64)
    }
}

fn measured(duration: Duration) -> String {
    if duration.is_zero() { "-".to_owned() } else { time(duration) }
}

fn of(timing: &Timing, part: Duration) -> String {
    if timing.is_empty() { "-".to_owned() } else { time(part) }
}

impl TopicStats {
    fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("published", format!("{}, {} of them unrouted", count(self.published), count(self.unrouted))),
            ("reached", format!("{}, {} of them by a forward", count(self.reached), count(self.arrived))),
            (
                "delivered",
                format!(
                    "{}; {} filtered, {} missed",
                    count(self.delivered),
                    count(self.filtered),
                    count(self.missed)
                ),
            ),
            (
                "subscriptions",
                format!(
                    "{}, and {} to other topics",
                    count(self.subscriptions as u64),
                    human::plural(self.forwards as u64, "forward", "forwards")
                ),
            ),
            ("longest publish", measured(self.longest)),
        ]
    }
}

impl fmt::Display for TopicStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        details(f, &format!("topic {}", self.name), &self.lines())
    }
}
impl fmt::Display for TopicDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let mut lines = vec![("detail", self.detail.clone()), ("age", time(self.age))];
        lines.extend(self.stats.lines());
        lines.push(("forwards to", names(&self.forwards_to)));
        lines.push(("forwards from", names(&self.forwards_from)));
        details(f, &format!("topic {}", self.stats.name), &lines)?;
        if self.subscriptions.is_empty() { Ok(()) } else { write!(f, "\n\n{}", self.subscriptions) }
    }
}

impl fmt::Display for SubscriptionStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [
            ("topic", self.topic.clone()),
            ("dispatch", self.dispatch.to_owned()),
            ("state", self.state_in_words()),
            (
                "accepted",
                format!(
                    "{}; {} handled, {} filtered",
                    count(self.accepted),
                    count(self.handled),
                    count(self.filtered)
                ),
            ),
            ("queue", self.queue_in_words()),
            ("missed", format!("{}; {} beyond the capacity", count(self.missed), count(self.over_capacity))),
            ("waited", self.delay.to_string()),
            ("handler", self.handler.to_string()),
            (
                "slow, panicked",
                format!(
                    "{} of 10 ms or more, {}",
                    human::plural(self.slow, "call", "calls"),
                    human::plural(self.panics, "panic", "panics")
                ),
            ),
            ("publishers blocked", self.blocked.to_string()),
        ];
        details(f, &format!("subscription {}#{}", self.name, self.id), &lines)
    }
}

impl SubscriptionStats {
    fn state_in_words(&self) -> String {
        match self.state {
            SubscriptionState::Running { worker: Some(worker), time: since } => {
                format!("running on worker {worker} for {}", time(since))
            }
            SubscriptionState::Running { worker: None, time: since } => {
                format!("running for {}", time(since))
            }
            other => other.to_string(),
        }
    }

    fn queue_in_words(&self) -> String {
        if self.capacity == 0 {
            return "none".to_owned();
        }
        let (depth, capacity, highest) = (count(self.depth), count(self.capacity), count(self.high_water));
        let oldest = self.oldest.map_or(String::new(), |oldest| format!(", the oldest for {}", time(oldest)));
        format!("{depth} of {capacity}{oldest}; highest {highest}")
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.times == 0 {
            return f.write_str("never");
        }
        let times = human::plural(self.times, "time", "times");
        write!(
            f,
            "{times}, {} in all, longest {}; {} now",
            time(self.total),
            time(self.longest),
            count(self.now)
        )
    }
}

impl fmt::Display for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standby = if self.standby { ", one standing by" } else { "" };
        write!(
            f,
            "{} to {} workers{standby}; grown {}, shrunk {}, threads started {}, waiting without a seat {}",
            self.min,
            self.max,
            count(self.grown),
            count(self.shrunk),
            count(self.started as u64),
            count(self.waiting as u64)
        )
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = &self.refused;
        let lines = [
            ("published", format!("{}, {} of them unrouted", count(self.published), count(self.unrouted))),
            (
                "delivered",
                format!(
                    "{}; {} handled, {} filtered, {} missed",
                    count(self.delivered),
                    count(self.handled),
                    count(self.filtered),
                    count(self.missed)
                ),
            ),
            (
                "refused",
                format!(
                    "{} declined, {} closed, {} of another bus, {} nested too deep",
                    count(refused.declined),
                    count(refused.closed),
                    count(refused.foreign_type),
                    count(refused.nested_too_deep)
                ),
            ),
            ("publishers blocked", self.blocked.to_string()),
            (
                "waits",
                format!(
                    "{} for a subscription; {} not begun, they would have closed a circle",
                    count(self.waits),
                    count(self.circles)
                ),
            ),
        ];
        details(f, "totals", &lines)
    }
}

impl fmt::Display for BusStats {
    /// Totals and tables; of many rows those that matter most.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.totals)?;
        writeln!(f, "{}\n", self.topics)?;
        writeln!(f, "{}\n", self.subscriptions)?;
        writeln!(f, "{}\n", self.message_types)?;
        if !self.worker_stats.is_empty() {
            writeln!(f, "{}", self.worker_stats)?;
        }
        write!(
            f,
            "{}; {} ready, {}",
            self.pool,
            human::plural(self.ready as u64, "mailbox", "mailboxes"),
            human::plural(self.panics, "panic", "panics")
        )
    }
}
