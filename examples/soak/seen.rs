//! What one subscription has seen, and whether that is what it should have.

use crate::terms::{Form, Policy, Terms};
use crate::verdict::{Count, Counts, Kind, Verdict};
use crate::yard::PUBLISHERS;
use stasis_bus::{Dispatch, EndReason, SubscriptionStats};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The account of one subscription. A publisher's messages come one after the other in every mode, so each publisher has a
/// cell of its own.
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) terms: Terms,
    first: [AtomicU64; PUBLISHERS],
    last: [AtomicU64; PUBLISHERS],
    echoes: AtomicU64,
    last_echo: AtomicU64,
    heard: AtomicU64,
    /// Missing between two that came, and told as missed.
    gaps: AtomicU64,
    missed: AtomicU64,
    finals: AtomicU64,
    reason: OnceLock<EndReason>,
    /// What had begun when it stood, and what had returned before anybody ended it.
    stood: OnceLock<[u64; PUBLISHERS]>,
    ended: OnceLock<[u64; PUBLISHERS]>,
}

fn add(cell: &AtomicU64, more: u64) -> u64 {
    cell.fetch_add(more, Ordering::Relaxed) + more
}

impl Seen {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            terms,
            first: Default::default(),
            last: Default::default(),
            echoes: AtomicU64::new(0),
            last_echo: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            finals: AtomicU64::new(0),
            reason: OnceLock::new(),
            stood: OnceLock::new(),
            ended: OnceLock::new(),
        }
    }

    pub(crate) fn stands(&self, begun: [u64; PUBLISHERS]) {
        let _ = self.stood.set(begun);
    }

    /// The first call counts: whoever ends it says before what had returned.
    pub(crate) fn ends(&self, returned: impl FnOnce() -> [u64; PUBLISHERS]) {
        self.ended.get_or_init(returned);
    }

    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    pub(crate) fn last_of(&self, publisher: usize) -> u64 {
        self.last[publisher].load(Ordering::Acquire)
    }

    pub(crate) fn is_final(&self) -> bool {
        self.finals.load(Ordering::SeqCst) > 0
    }

    /// A delivery of whatever kind, with the number of those missed before.
    pub(crate) fn delivery(&self, verdict: &Verdict, missed: u64) {
        add(&self.heard, 1);
        add(&self.missed, missed);
        if self.finals.load(Ordering::Relaxed) > 0 {
            self.complain(verdict, Kind::Ending, "a message came after the final one");
        }
    }

    pub(crate) fn stamp(&self, verdict: &Verdict, publisher: usize, number: u64) {
        let last = self.last[publisher].swap(number, Ordering::AcqRel);
        if last == 0 {
            self.first[publisher].store(number, Ordering::Relaxed);
        } else if number == last {
            self.complain(verdict, Kind::Duplicated, format_args!("{number} of {publisher} came twice"));
        } else if number < last {
            let what = format_args!("{number} of {publisher} came after {last}");
            self.complain(verdict, Kind::Reordered, what);
        } else if number > last + 1 {
            self.gap(verdict, publisher, last, number);
        }
    }

    /// What is missing must have been told of by now.
    fn gap(&self, verdict: &Verdict, publisher: usize, last: u64, number: u64) {
        let (gaps, told) = (add(&self.gaps, number - last - 1), self.missed.load(Ordering::Relaxed));
        if gaps > told || self.terms.is_lossless() {
            let what =
                format_args!("{number} of {publisher} came after {last}: {gaps} missing, told of {told}");
            self.complain(verdict, Kind::Lost, what);
        }
    }

    /// The number of the next one of its own.
    pub(crate) fn next_echo(&self) -> u64 {
        add(&self.echoes, 1)
    }

    /// One of its own. Inline handlers have none: they are called by several at once, in any order.
    pub(crate) fn echo(&self, verdict: &Verdict, number: u64) {
        let last = self.last_echo.fetch_max(number, Ordering::Relaxed);
        if number <= last {
            self.complain(verdict, Kind::Reordered, format_args!("its own {number} came after {last}"));
        }
    }

    pub(crate) fn end(&self, verdict: &Verdict, missed: u64, reason: EndReason) {
        add(&self.missed, missed);
        let _ = self.reason.set(reason);
        if self.finals.fetch_add(1, Ordering::SeqCst) > 0 {
            self.complain(verdict, Kind::Ending, "a second final message");
        }
    }

    /// Whether it was told of all that was missed. Who reads no longer is told of nothing.
    pub(crate) fn accounts_for(&self, stats: &SubscriptionStats) -> bool {
        self.terms.form == Form::Abandon || self.missed.load(Ordering::Relaxed) == stats.missed
    }

    /// When it is over: everything is accounted for, and what had to come came.
    pub(crate) fn check(&self, verdict: &Verdict, stats: &SubscriptionStats) {
        let (heard, told) = (self.heard(), self.missed.load(Ordering::Relaxed));
        let is_abandoned = self.terms.form == Form::Abandon;
        if !is_abandoned && !self.is_final() {
            self.complain(verdict, Kind::Ending, "no final message");
        }
        if !self.accounts_for(stats) {
            self.complain(
                verdict,
                Kind::Lost,
                format_args!("told of {told} missed, counted {}", stats.missed),
            );
        }
        if self.terms.is_lossless() && !is_abandoned && stats.missed > 0 {
            self.complain(verdict, Kind::Lost, format_args!("{} missed, nothing may be", stats.lost));
        }
        let lost = stats.lost;
        let offered = stats.accepted + lost.refused + lost.timed_out + lost.disconnected;
        if self.terms.mode != Dispatch::Inline && heard + stats.missed != offered {
            let what = format_args!("{heard} came and {} missed, of {offered} ({lost})", stats.missed);
            self.complain(verdict, Kind::Lost, what);
        }
        if !is_abandoned && self.reason.get() == Some(&EndReason::Unsubscribed) {
            self.check_reach(verdict, told);
        }
    }

    /// What began after it stood, and returned before it was ended, came or was missed.
    fn check_reach(&self, verdict: &Verdict, told: u64) {
        let (Some(stood), Some(ended)) = (self.stood.get(), self.ended.get()) else { return };
        let (mut absent, mut rows) = (0, String::new());
        for publisher in 0..PUBLISHERS {
            let (from, to) = (stood[publisher] + 1, ended[publisher]);
            let first = self.first[publisher].load(Ordering::Relaxed);
            let last = self.last_of(publisher);
            absent += match first {
                0 => (to + 1).saturating_sub(from),
                _ => first.saturating_sub(from).min((to + 1).saturating_sub(from)) + to.saturating_sub(last),
            };
            rows += &format!("; of {publisher} {first}..={last}, due {from}..={to}");
        }
        let absent = absent + self.gaps.load(Ordering::Relaxed);
        if absent > told {
            self.complain(verdict, Kind::Lost, format_args!("{absent} did not come, told of {told}{rows}"));
        }
    }

    pub(crate) fn count(&self, counts: &Counts, stats: &SubscriptionStats) {
        counts.one(if self.terms.form == Form::Abandon { Count::Dropped } else { Count::Finals });
        counts.one(Count::Tenants);
        counts.add(Count::Panicked, stats.panics);
    }

    #[cold]
    fn complain(&self, verdict: &Verdict, kind: Kind, what: impl fmt::Display) {
        verdict.complain(kind, format!("{:?}: {what}", self.terms));
    }
}

/// A policy under which a handler that blocks holds publishers up.
pub(crate) fn holds_up(terms: &Terms) -> bool {
    matches!(terms.mode, Dispatch::Inline | Dispatch::Serial) || terms.policy == Policy::Block
}
