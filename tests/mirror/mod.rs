//! What a subscriber knows of a cache from its messages alone, and whether they came as G12 says.

#![allow(dead_code)]

use crate::common::{Heard, eventually};
use crate::states::State;
use stasis_bus::{
    AnyType, Bus, Cache, CacheUpdate, Dispatch, EndReason, Message, MessageType, Origin, SnapshotEnd,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub(crate) type Slot = (u32, String, Option<Origin>);
pub(crate) type States = BTreeMap<Slot, Message>;

#[derive(Default)]
pub(crate) struct Known {
    pub(crate) stands: States,
    /// How many updates the snapshot had, once its end has come.
    pub(crate) ended: Option<u64>,
    pub(crate) snapshot: u64,
    pub(crate) later: u64,
    pub(crate) missed: u64,
    pub(crate) finals: u32,
    /// Positions, as they were told.
    pub(crate) seqs: Vec<u64>,
    pub(crate) faults: Vec<String>,
}

/// Built from the messages of one subscription.
#[derive(Clone)]
pub(crate) struct Mirror {
    updates: MessageType<CacheUpdate>,
    ends: MessageType<SnapshotEnd>,
    known: Arc<Mutex<Known>>,
}

impl Mirror {
    pub(crate) fn new(bus: &Bus) -> Self {
        let (updates, ends) = (bus.cache_updates().clone(), bus.snapshot_ends().clone());
        Self { updates, ends, known: Arc::default() }
    }

    pub(crate) fn hear(&self, heard: &Heard) {
        self.note(&heard.message, heard.missed, heard.seq, heard.end);
    }

    pub(crate) fn note(&self, message: &Message, missed: u64, seq: u64, end: Option<EndReason>) {
        let mut known = self.known.lock().unwrap();
        if known.finals > 0 {
            known.faults.push(format!("{message:?} after the final message"));
        }
        known.missed += missed;
        known.seqs.push(seq);
        if end.is_some() {
            known.finals += 1;
        } else if let Some(update) = self.updates.read(message) {
            known.follow(update);
        } else if let Some(end) = self.ends.read(message) {
            known.end(end.entries);
        }
    }

    pub(crate) fn look<R>(&self, look: impl FnOnce(&Known) -> R) -> R {
        look(&self.known.lock().unwrap())
    }

    /// What a typed handler cannot be told: the snapshot is over.
    pub(crate) fn end_here(&self) {
        let mut known = self.known.lock().unwrap();
        known.ended = Some(known.snapshot);
    }

    pub(crate) fn await_end(&self) {
        eventually(|| self.look(|known| known.ended.is_some()));
    }

    pub(crate) fn await_final(&self) {
        eventually(|| self.look(|known| known.finals > 0));
    }

    /// Nothing came wrong, nothing is missing: what is known is what stands.
    #[track_caller]
    pub(crate) fn assert_equals(&self, stands: &States, what: &str) {
        self.look(|known| {
            assert!(known.faults.is_empty(), "{what}: {:?}", &known.faults[..known.faults.len().min(5)]);
            assert_eq!(known.ended, Some(known.snapshot), "{what}: the end of the snapshot");
            assert!(same(&known.stands, stands), "{what}: {:?} instead of {stands:?}", known.stands);
        });
    }

    /// Positions have no gap.
    #[track_caller]
    pub(crate) fn assert_positions(&self, what: &str) {
        self.look(|known| assert!(known.seqs.iter().copied().eq(0..known.seqs.len() as u64), "{what}"));
    }
}

impl Known {
    fn end(&mut self, entries: u64) {
        if self.ended.replace(entries).is_some() {
            self.faults.push("a second end".to_owned());
        }
        if entries != self.snapshot {
            self.faults.push(format!("{entries} entries told, {} seen", self.snapshot));
        }
    }

    fn follow(&mut self, update: &CacheUpdate) {
        let slot = (update.type_id(), update.id().to_owned(), update.origin());
        let stood = self.stands.get(&slot);
        if update.is_snapshot() {
            self.snapshot += 1;
            if self.ended.is_some() || update.old.is_some() || update.new.is_none() || stood.is_some() {
                self.faults.push(format!("in the snapshot {update:?} after {stood:?}"));
            }
        } else {
            self.later += 1;
            let follows = match (stood, &update.old) {
                (Some(stood), Some(old)) => stood.is_same(old),
                (None, None) => true,
                _ => false,
            };
            if !follows || self.ended.is_none() {
                self.faults.push(format!("{update:?} after {stood:?}"));
            }
        }
        match &update.new {
            Some(new) => _ = self.stands.insert(slot, new.clone()),
            None => _ = self.stands.remove(&slot),
        }
    }
}

fn same(a: &States, b: &States) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1.is_same(b.1))
}

/// What stands in the cache, as far as `shows` says, aggregates included.
pub(crate) fn standing(
    cache: &Cache,
    kinds: &[&MessageType<State>],
    shows: impl Fn(&Slot) -> bool,
) -> States {
    let slot = |message: &Message| {
        let state = kinds.iter().find_map(|kind| kind.read(message)).expect("a state");
        (message.type_id(), state.id.clone(), message.origin())
    };
    let all = cache.dump_all(AnyType).into_iter().chain(cache.dump_by_origin(AnyType, None));
    all.map(|message| (slot(&message), message)).filter(|(slot, _)| shows(slot)).collect()
}

/// Inline is taken as Serial; every other dispatch is what it was.
pub(crate) fn taken(mode: Dispatch) -> Dispatch {
    if mode == Dispatch::Inline { Dispatch::Serial } else { mode }
}
