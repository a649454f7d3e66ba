//! Publishes under way: what each means for caches, mailboxes and inline subscriptions.

use super::cached::{Cached, Change, Job, Update};
use super::script::{Mode, STATE, Say, UPDATES};
use super::state::Model;
use super::sub::Item;
use super::words::{Key, Lane, Slot, Type};
use stasis_bus::Report;
use std::collections::{BTreeMap, BTreeSet};

/// Handlers may nest so deep; a publish below that is refused.
const NESTING_MAX: usize = 64;

/// One message of a publish under way, as inline subscriptions get it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) key: Key,
    pub(super) kind: Type,
    pub(super) topics: BTreeSet<u8>,
    pub(super) except: Option<usize>,
    /// Inline subscriptions that stood at its beginning, and whether they want it.
    pub(super) standing: BTreeMap<usize, bool>,
    pub(super) called: BTreeSet<usize>,
}

/// One publish under way: the updates of caches that it causes, and itself, which is the last.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) parts: Vec<Part>,
    /// The one that was called last.
    pub(super) at: usize,
    pub(super) subs_then: usize,
    pub(super) report: Report,
    /// An inline subscription came or went meanwhile.
    pub(super) moved: bool,
    /// Of a publish that nobody called for, at that depth: it is over when something else happens there.
    pub(super) by_itself: Option<usize>,
}

/// A message with its state, if it is one that a cache may keep, or forget (`clears`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) key: Key,
    pub(crate) say: Say,
    pub(crate) clears: bool,
}

impl Said {
    pub(crate) fn item(self) -> Item {
        match self.clears {
            false => Item {
                key: self.key,
                kind: Type::Of(self.say.kind),
                lane: Some(Lane::Object(self.say.kind, self.say.object)),
            },
            true => Item { key: self.key, kind: Type::Clear, lane: None },
        }
    }

    pub(crate) fn slot(self) -> Slot {
        Slot { kind: self.say.kind, object: self.say.object, origin: self.say.origin }
    }

    fn change(self, outputs: BTreeSet<u8>) -> Option<Change> {
        let value = match self.key {
            Key::Value(value) => value,
            _ => 0,
        };
        (self.say.origin > 0).then(|| Change { slot: self.slot(), value, outputs })
    }
}

impl Model {
    pub(crate) fn is_too_deep(&self) -> bool {
        self.depth >= NESTING_MAX
    }

    pub(crate) fn is_outside(&self) -> bool {
        self.depth == 0
    }

    /// Every mailbox has it; inline subscriptions are to be called.
    fn part(&mut self, topics: BTreeSet<u8>, item: Item, except: Option<usize>, report: &mut Report) -> Part {
        let Item { key, kind, .. } = item;
        let mut standing = BTreeMap::new();
        // Only the bus's own messages get here then; they call nobody deeper.
        let too_deep = self.is_too_deep();
        for id in self.standing(&topics, except) {
            let sub = &mut self.subs[id];
            if sub.mode == Mode::Inline {
                standing.extend((!too_deep).then_some((id, sub.takes(kind))));
            } else if sub.takes(kind) {
                sub.offer(item, report);
            } else {
                report.filtered += 1;
            }
        }
        Part { key, kind, topics, except, standing, called: BTreeSet::new() }
    }

    pub(super) fn begin_frame(&mut self, parts: Vec<Part>, report: Report, by_itself: Option<usize>) {
        let subs_then = self.subs.len();
        self.frames.push(Frame { parts, at: 0, subs_then, report, moved: false, by_itself });
    }

    /// A publish of the bus's own begins: every mailbox has it before any user code runs.
    pub(super) fn announce_change(&mut self, id: usize, key: Key) {
        self.settle();
        let mut report = Report::default();
        let item = Item { key, kind: Type::Change, lane: None };
        let topics = self.reach([self.subs[id].place]);
        let part = self.part(topics, item, Some(id), &mut report);
        self.begin_frame(vec![part], report, None);
    }

    /// A publish begins: caches have it, then every mailbox, before any user code runs.
    pub(crate) fn publish(&mut self, topic: u8, said: Said) {
        self.settle();
        let topics = self.reach([topic]);
        let (mut report, mut jobs, item) = (Report::default(), Vec::new(), said.item());
        let outputs = self.cached.outputs(&topics, item.kind);
        let change = said.change(outputs.clone()).filter(|_| !outputs.is_empty());
        let told = change.and_then(|change| self.cached.change(change, &mut jobs));
        report.cached = u32::from(told.is_some());
        let mut parts: Vec<Part> = told.into_iter().map(|told| self.update(told)).collect();
        let main = self.part(topics, item, None, &mut report);
        let told = self.cached.settle(jobs);
        parts.extend(told.into_iter().map(|told| self.update(told)));
        parts.push(main);
        self.begin_frame(parts, report, None);
    }

    fn update(&mut self, (told, outputs): Update) -> Part {
        let topics = self.reach(outputs.into_iter().chain([UPDATES]));
        let lane = Some(Lane::Entry(told.slot));
        let item = Item { key: Key::Update(told), kind: Type::Update, lane };
        self.part(topics, item, None, &mut Report::default())
    }

    /// A state is published: stored, and in every mailbox.
    pub(crate) fn publish_state(&mut self, state: u8, said: Said) {
        self.settle();
        let lane = Some(self.states.lane(state));
        let (mut report, item) = (Report::default(), Item { lane, ..said.item() });
        let topics = self.reach([STATE + state]);
        let part = self.part(topics, item, None, &mut report);
        self.begin_frame(vec![part], report, None);
        self.states.store(state, said);
    }

    /// Something is done to the cache by a call: what of it is told to inline subscriptions is due until it returns.
    pub(crate) fn edit_cache(
        &mut self,
        edit: impl FnOnce(&mut Cached, &mut Vec<Job>) -> Option<Update>,
    ) -> bool {
        self.settle();
        let mut jobs = Vec::new();
        let told = edit(&mut self.cached, &mut jobs);
        let changes = told.is_some();
        let mut parts: Vec<Part> = told.into_iter().map(|told| self.update(told)).collect();
        let told = self.cached.settle(jobs);
        parts.extend(told.into_iter().map(|told| self.update(told)));
        self.begin_frame(parts, Report::default(), None);
        changes
    }

    /// What has outlived its time goes, one after the other, and nobody calls for it. False: handlers would be called in
    /// between, and nobody could say which is next.
    pub(crate) fn expire(&mut self, gone: &[Slot]) -> bool {
        let told: BTreeSet<u8> =
            gone.iter().flat_map(|slot| self.cached.told_at(*slot)).chain([UPDATES]).collect();
        let calls = |id: usize| matches!(self.subs[id].mode, Mode::Inline | Mode::Serial);
        if gone.len() > 1 && self.standing(&self.reach(told), None).into_iter().any(calls) {
            return false;
        }
        for slot in gone {
            self.settle();
            self.edit_cache(|cached, jobs| cached.clear(*slot, jobs));
            if let Some(frame) = self.frames.last_mut() {
                frame.by_itself = Some(self.depth);
            }
        }
        self.cached.expired += gone.len() as u64;
        true
    }

    /// Whether a message on `topic` reaches no handler that a publish would call, and no cache.
    pub(crate) fn only_queues(&self, topic: u8) -> bool {
        let topics = self.reach([topic]);
        let calls = |id: usize| matches!(self.subs[id].mode, Mode::Inline | Mode::Serial);
        let is_kept = !self.cached.outputs(&topics, Type::Clear).is_empty();
        !self.is_too_deep() && !is_kept && !self.standing(&topics, None).into_iter().any(calls)
    }

    /// A publish that calls nobody.
    pub(crate) fn publish_queued(&mut self, topic: u8, said: Said) -> Report {
        self.publish(topic, said);
        self.frames.pop().map(|frame| frame.report).unwrap_or_default()
    }

    /// A publish has returned; `report` is what it said, if it says anything.
    pub(crate) fn published(&mut self, report: Option<Report>) {
        self.settle();
        self.end_frame(report);
    }

    fn end_frame(&mut self, report: Option<Report>) {
        let Some(mut frame) = self.frames.pop() else { return self.fail("a publish too many".to_owned()) };
        for part in &frame.parts {
            let due = part.standing.iter().filter(|(id, wants)| **wants && self.subs[**id].ended.is_none());
            // Who changes its filter meanwhile may get it or not.
            let left_out = due
                .map(|(id, _)| *id)
                .find(|&id| !part.called.contains(&id) && (!frame.moved || self.subs[id].takes(part.kind)));
            if let Some(id) = left_out {
                let key = part.key;
                return self.fail(format!("inline {id} was not called with {key:?}"));
            }
        }
        let Some(main) = frame.parts.last() else { return };
        frame.report.filtered += main.standing.values().filter(|wants| !**wants).count() as u32;
        frame.report.accepted += main.called.len() as u32;
        if let Some(mut report) = report {
            if frame.moved {
                report.filtered = frame.report.filtered;
            }
            if report != frame.report {
                self.fail(format!("publish of {:?} said {report:?}; due was {:?}", main.key, frame.report));
            }
        }
    }

    /// Publishes that nobody called for are over, if something else happens where they began.
    pub(super) fn settle(&mut self) {
        while self.frames.last().is_some_and(|frame| frame.by_itself == Some(self.depth)) {
            self.end_frame(None);
        }
    }

    pub(super) fn inline_moved(&mut self) {
        self.frames.iter_mut().for_each(|frame| frame.moved = true);
    }
}
