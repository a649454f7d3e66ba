//! What [`diagnose`](crate::Bus::diagnose) finds, told when it comes and when it goes.

use super::events::{Event, Found};
use super::limits::{Kind, Limits, Whose};
use crate::bus::{Finding, Subject, Trouble};
use std::collections::BTreeMap;

type Key = (Option<u64>, &'static str);

/// What was found at the last look, or told and is not over yet.
#[derive(Default)]
pub(super) struct Findings(BTreeMap<Key, Held>);

struct Held {
    found: Found,
    is_told: bool,
    /// Whether it was there at the last look.
    is_there: bool,
    /// Times that it came since it was told.
    came: u64,
}

impl Findings {
    /// Tells what is new, and what is gone.
    pub(super) fn look(
        &mut self,
        findings: Vec<Finding>,
        lives: impl Fn(u64) -> bool,
        now: u64,
        limits: &mut Limits,
        events: &mut Vec<Event>,
    ) {
        let before: BTreeMap<Key, bool> =
            self.0.iter_mut().map(|(key, held)| (*key, std::mem::take(&mut held.is_there))).collect();
        for found in findings.into_iter().flat_map(each) {
            let key = (found.subscription.as_ref().map(|(_, id)| *id), found.kind);
            self.hold(key, found, before.get(&key).is_some_and(|was_there| *was_there));
        }
        self.0.retain(|key, held| {
            held.tell(key, now, limits, events);
            held.is_there || held.is_told || (held.came > 0 && key.0.is_none_or(&lives))
        });
    }

    fn hold(&mut self, key: Key, found: Found, was_there: bool) {
        let held = self.0.entry(key).or_insert_with(|| Held {
            found: found.clone(),
            is_told: false,
            is_there: true,
            came: 0,
        });
        held.found = found;
        held.is_there = true;
        held.came += u64::from(!was_there);
    }
}

impl Held {
    fn tell(&mut self, key: &Key, now: u64, limits: &mut Limits, events: &mut Vec<Event>) {
        let whose = || Whose::from(key.0);
        if !self.is_told && self.is_there && limits.admits(Kind::Found(key.1), whose(), now) {
            let withheld = std::mem::take(&mut self.came).saturating_sub(1);
            events.push(Event::Found(self.found.clone(), withheld));
            self.is_told = true;
        }
        if self.is_told && !self.is_there && limits.admits(Kind::Gone(key.1), whose(), now) {
            events.push(Event::Gone(self.found.clone()));
            self.is_told = false;
        }
    }
}

/// What has an event of its own is left out.
fn each(finding: Finding) -> impl Iterator<Item = Found> {
    let subscription = match finding.subject {
        Subject::Subscription { name, id } => Some((name, id)),
        Subject::Bus => None,
    };
    let own = |trouble: &Trouble| matches!(trouble, Trouble::Losing(_) | Trouble::Panics { .. });
    finding.troubles.into_iter().filter(move |trouble| !own(trouble)).map(move |trouble| {
        let (kind, advice) = trouble.advice();
        let (severity, text) = (trouble.severity(), trouble.to_string());
        Found { subscription: subscription.clone(), severity, kind, text, advice }
    })
}
