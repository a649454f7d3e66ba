//! What is wrong, with since when it is and what can be done: [`diagnose`](crate::Bus::diagnose)'s findings, held for a
//! while.
//!
//! A diagnosis speaks of what happened since the last look. People look less often: what was lost a moment ago stays
//! for half a minute, with its sum and with how long it has been over.

use crate::bus::{Bus, Finding, History, Severity, Subject, Trouble};
use crate::stats::{BusStats, Lost, Refused, SubscriptionState};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// A diagnosis tells stuck from busy only over a second.
const EVERY: Duration = Duration::from_secs(1);
/// What is over is still shown for so long.
const HELD: Duration = Duration::from_secs(30);
/// More findings are counted.
const SHOWN: usize = 50;

/// What is said of who is behind and cannot help it.
const STARVED: &str =
    "All workers are taken, and it waits for one: whoever takes them is to blame, not its own handler.";

/// What is wrong at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Health {
    /// The worst of what is going on: `well`, `note`, `warning`, `critical`.
    pub(super) verdict: &'static str,
    /// The bus in one line.
    pub(super) summary: String,
    /// Worst first.
    pub(super) findings: Vec<Shown>,
    /// How many there are with those that are not shown.
    pub(super) findings_total: usize,
    /// What had happened before anybody looked, in words.
    pub(super) earlier: Vec<String>,
}

/// One finding, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    pub(super) severity: &'static str,
    /// The subscription's name; none: it is about the bus.
    pub(super) subscription: Option<String>,
    pub(super) id: Option<u64>,
    pub(super) troubles: Vec<ShownTrouble>,
}

/// One trouble of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ShownTrouble {
    kind: &'static str,
    severity: &'static str,
    text: String,
    advice: &'static str,
    /// For how many seconds it has been seen.
    since: f64,
    /// How many seconds ago it was last seen, if it is over.
    over: Option<f64>,
}

/// Holds what was found.
#[derive(Default)]
pub(super) struct Judge {
    history: Option<History>,
    /// By the subscription's number and the kind of trouble.
    held: BTreeMap<(Option<u64>, &'static str), Held>,
    last: u64,
    earlier: Vec<String>,
    health: Health,
}

/// A trouble that is, or was a moment ago.
struct Held {
    /// The subscription's.
    name: Option<String>,
    trouble: Trouble,
    /// For a worker, of which none is free.
    waits: bool,
    first: u64,
    last: u64,
}

impl Judge {
    /// What is wrong at `now`, a monotonic time in nanoseconds, when `bus` tells `stats`.
    pub(super) fn judge(&mut self, bus: &Bus, stats: &BusStats, now: u64) -> Health {
        let since_last = Duration::from_nanos(now.saturating_sub(self.last));
        if self.history.is_some() && since_last < EVERY {
            return self.health.clone();
        }
        if since_last > HELD {
            // Nobody has looked for long: what happened meanwhile is not what happens.
            self.history = None;
        }
        let is_first = self.history.is_none();
        let history = self.history.get_or_insert_default();
        let mut diagnosis = history.look(bus, stats);
        self.last = now;
        if is_first {
            // It speaks of all that ever was.
            self.earlier = take_past(&mut diagnosis.findings);
        }
        let is_starved = |finding: &Finding| {
            finding.troubles.iter().any(|trouble| matches!(trouble, Trouble::NoWorkerFree { .. }))
        };
        let starved = diagnosis.findings.iter().any(is_starved);
        for finding in diagnosis.findings {
            let waits = starved && waits_for_worker(&finding, stats);
            self.hold(finding, waits, now);
        }
        self.held.retain(|_, held| Duration::from_nanos(now - held.last) < HELD);
        self.health = self.show(diagnosis.summary, now);
        self.health.clone()
    }

    fn hold(&mut self, finding: Finding, waits: bool, now: u64) {
        let (name, id) = match finding.subject {
            Subject::Subscription { name, id } => (Some(name), Some(id)),
            Subject::Bus => (None, None),
        };
        for trouble in finding.troubles {
            let key = (id, trouble.advice().0);
            let new = || Held { name: name.clone(), trouble: trouble.clone(), waits, first: now, last: now };
            match self.held.get_mut(&key) {
                Some(held) => held.goes_on(trouble, waits, now),
                None => drop(self.held.insert(key, new())),
            }
        }
    }

    fn show(&self, summary: String, now: u64) -> Health {
        let mut findings: Vec<Found> = Vec::new();
        for ((id, _), held) in &self.held {
            match findings.last_mut().filter(|found| found.shown.id == *id) {
                Some(found) => found.add(held, now),
                None => findings.push(Found::new(*id, held, now)),
            }
        }
        findings.sort_by_key(|found| Reverse((found.worst, found.troubles)));
        let worst = findings.first().and_then(|found| found.worst);
        Health {
            verdict: worst.map_or("well", Severity::word),
            summary,
            findings_total: findings.len(),
            findings: findings.into_iter().take(SHOWN).map(|found| found.shown).collect(),
            earlier: self.earlier.clone(),
        }
    }
}

/// What is known of one subscription, or of the bus.
struct Found {
    /// Of what goes on; none: all is over.
    worst: Option<Severity>,
    /// How many go on.
    troubles: usize,
    shown: Shown,
}

impl Found {
    fn new(id: Option<u64>, held: &Held, now: u64) -> Self {
        let shown = Shown { severity: "over", subscription: held.name.clone(), id, troubles: Vec::new() };
        let mut found = Self { worst: None, troubles: 0, shown };
        found.add(held, now);
        found
    }

    fn add(&mut self, held: &Held, now: u64) {
        if held.last == now {
            self.worst = self.worst.max(Some(held.trouble.severity()));
            self.troubles += 1;
            self.shown.severity = self.worst.map_or("over", Severity::word);
        }
        self.shown.troubles.push(held.shown(now));
    }
}

impl Held {
    fn goes_on(&mut self, trouble: Trouble, waits: bool, now: u64) {
        self.waits = waits;
        self.trouble = sum(&self.trouble, trouble);
        self.last = now;
    }

    fn shown(&self, now: u64) -> ShownTrouble {
        let seconds = |from: u64| Duration::from_nanos(now.saturating_sub(from)).as_secs_f64();
        let (kind, advice) = match self.trouble.advice() {
            ("behind", _) if self.waits => ("behind", STARVED),
            known => known,
        };
        ShownTrouble {
            kind,
            severity: self.trouble.severity().word(),
            text: self.trouble.to_string(),
            advice,
            since: seconds(self.first),
            over: (self.last < now).then(|| seconds(self.last)),
        }
    }
}

/// Whether it would get on, were there a worker.
fn waits_for_worker(finding: &Finding, stats: &BusStats) -> bool {
    let Subject::Subscription { id, .. } = finding.subject else { return false };
    let rows = &stats.subscriptions;
    let row = rows.binary_search_by_key(&id, |row| row.id).ok().map(|at| &rows[at]);
    row.is_some_and(|row| row.dispatch == "pool" && row.state == SubscriptionState::Waiting)
}

/// Takes what has happened out of a first look, in words; what is wrong now stays.
fn take_past(findings: &mut [Finding]) -> Vec<String> {
    let past = findings.iter_mut().filter_map(|finding| {
        let troubles: Vec<_> = finding.troubles.extract_if(.., |trouble| is_event(trouble)).collect();
        let past = Finding { severity: finding.severity, subject: finding.subject.clone(), troubles };
        (!past.troubles.is_empty()).then(|| past.to_string())
    });
    past.take(SHOWN).collect()
}

/// Whether it is told of once, when it has happened.
fn is_event(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Losing(_)
            | Trouble::Panics { .. }
            | Trouble::Unrouted(_)
            | Trouble::Refused(_)
            | Trouble::ThreadsRefused(_)
            | Trouble::Circles(_)
    )
}

/// What happens goes on adding up while it is held; what is, is what it is now.
fn sum(before: &Trouble, now: Trouble) -> Trouble {
    match (before, now) {
        (Trouble::Losing(a), Trouble::Losing(b)) => Trouble::Losing(Lost {
            refused: a.refused + b.refused,
            evicted: a.evicted + b.evicted,
            conflated: a.conflated + b.conflated,
            timed_out: a.timed_out + b.timed_out,
            disconnected: a.disconnected + b.disconnected,
            discarded: a.discarded + b.discarded,
        }),
        (Trouble::Panics { new: a, .. }, Trouble::Panics { new, total }) => {
            Trouble::Panics { new: a + new, total }
        }
        (Trouble::Refused(a), Trouble::Refused(b)) => Trouble::Refused(Refused {
            declined: a.declined + b.declined,
            closed: a.closed + b.closed,
            foreign_type: a.foreign_type + b.foreign_type,
            nested_too_deep: a.nested_too_deep + b.nested_too_deep,
        }),
        (Trouble::Unrouted(a), Trouble::Unrouted(b)) => Trouble::Unrouted(a + b),
        (Trouble::ThreadsRefused(a), Trouble::ThreadsRefused(b)) => Trouble::ThreadsRefused(a + b),
        (Trouble::Circles(a), Trouble::Circles(b)) => Trouble::Circles(a + b),
        (_, now) => now,
    }
}
