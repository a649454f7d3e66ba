//! What one subscription heard, and whether it may have.

use super::Note;
use stasis_bus::{CacheUpdate, Dispatch, EndReason, Message, MessageType, SnapshotEnd};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// What of one publisher came from one place: the first and the last of its numbers there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) first: u32,
    last: u32,
}

/// How far one that catches up has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Snapshot {
    #[default]
    None,
    Due,
    Over,
}

#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The newest of each publisher.
    last: HashMap<u32, u32>,
    /// By publisher and place.
    pub(crate) runs: HashMap<(u32, u8), Run>,
    pub(crate) received: u64,
    pub(crate) missed: u64,
    pub(crate) end: Option<EndReason>,
    finals: u32,
    running: bool,
    pub(crate) faults: Vec<String>,
    /// Of updates: what stands, by object.
    pub(crate) chain: HashMap<String, Message>,
    snapshot: Snapshot,
    /// The numbers of each publisher's.
    of: HashMap<u32, Vec<u32>>,
}

/// Shared by the handler's calls and whoever looks.
#[derive(Debug)]
pub(crate) struct Ears {
    /// No call overlaps another.
    alone: bool,
    /// Nothing is left out of what a publisher publishes in one place.
    gapless: bool,
    heard: Mutex<Heard>,
}

impl Ears {
    pub(crate) fn new(mode: Dispatch, gapless: bool) -> Self {
        Self { alone: mode != Dispatch::Inline, gapless, heard: Mutex::default() }
    }

    /// Of updates: those that stand come first.
    pub(crate) fn catching_up(mode: Dispatch) -> Self {
        let ears = Self::new(mode, false);
        ears.look().snapshot = Snapshot::Due;
        // Inline is taken as Serial.
        Self { alone: true, ..ears }
    }

    /// Handlers panic, but never in here.
    pub(crate) fn look(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A call begins. Returns how many notes there were.
    pub(crate) fn enter(&self, note: Option<&Note>, missed: u64, end: Option<EndReason>) -> u64 {
        let mut heard = self.look();
        if heard.finals > 0 || (self.alone && heard.running) {
            let fault = format!("a call after {} finals, running: {}", heard.finals, heard.running);
            heard.faults.push(fault);
        }
        heard.running = true;
        heard.missed += missed;
        if let Some(end) = end {
            heard.finals += 1;
            heard.end = Some(end);
        } else if let Some(note) = note {
            heard.note(note, self.gapless);
        }
        heard.received
    }

    pub(crate) fn leave(&self) {
        self.look().running = false;
    }

    /// Each update goes on from the one before it, if they come in order.
    pub(crate) fn follow(&self, update: &CacheUpdate, note: Option<&Note>) {
        let mut heard = self.look();
        heard.received += 1;
        if !self.alone {
            return;
        }
        if let Some(note) = note.filter(|_| !update.is_snapshot()) {
            heard.of.entry(note.by).or_default().push(note.n);
        }
        let in_snapshot = heard.snapshot == Snapshot::Due;
        let stood = heard.chain.get(update.id());
        let follows = match (stood, &update.old) {
            (Some(stood), Some(old)) => stood.is_same(old),
            (None, None) => true,
            _ => false,
        };
        if !follows || update.is_snapshot() != in_snapshot {
            let fault = format!("{update:?} after {stood:?}, snapshot: {:?}", heard.snapshot);
            heard.faults.push(fault);
        }
        match &update.new {
            Some(new) => heard.chain.insert(update.id().to_owned(), new.clone()),
            None => heard.chain.remove(update.id()),
        };
    }

    /// It has caught up.
    pub(crate) fn caught_up(&self, end: &SnapshotEnd) {
        let mut heard = self.look();
        if heard.snapshot != Snapshot::Due || end.entries != heard.chain.len() as u64 {
            let fault = format!("{end:?} of {}, snapshot: {:?}", heard.chain.len(), heard.snapshot);
            heard.faults.push(fault);
        }
        heard.snapshot = Snapshot::Over;
    }

    /// What is wrong now that everything is over.
    pub(crate) fn verdict(&self) -> Option<String> {
        let heard = self.look();
        if heard.finals != 1 {
            return Some(format!("{} final messages", heard.finals));
        }
        if heard.snapshot == Snapshot::Due && heard.end == Some(EndReason::Unsubscribed) {
            return Some("the snapshot has no end".to_owned());
        }
        heard.faults.first().cloned()
    }
}

impl Heard {
    fn note(&mut self, note: &Note, gapless: bool) {
        let Note { by, n, place, turn, .. } = *note;
        self.received += 1;
        self.of.entry(by).or_default().push(n);
        let last = self.last.insert(by, n);
        if last.is_some_and(|last| last >= n) {
            self.faults.push(format!("{n} of {by} after {last:?}"));
        }
        let before = self.runs.get(&(by, place)).copied();
        let first = before.map_or(turn, |run| run.first);
        self.runs.insert((by, place), Run { first, last: turn });
        if gapless && before.is_some_and(|run| run.last + 1 != turn) {
            let fault = format!("{note:?}, and not what came before it: {before:?}");
            self.faults.push(fault);
        }
    }

    /// The numbers of that publisher's notes, or of its new ones that updates told of.
    pub(crate) fn of(&self, by: u32) -> &[u32] {
        self.of.get(&by).map_or(&[], Vec::as_slice)
    }
}

impl Note {
    pub(crate) fn read<'m>(kind: &MessageType<Self>, message: &'m Message) -> Option<&'m Self> {
        kind.read(message)
    }
}
