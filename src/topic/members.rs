//! The live subscriptions of a bus, and what those that are gone have counted.

use super::member::Member;
use crate::stats::Totals;
use crate::sync::{Arc, Mutex};
use std::collections::BTreeMap;
use std::ops::Bound;

/// So many are copied under one lock.
const CHUNK: usize = 256;

#[derive(Default)]
struct Table {
    live: BTreeMap<u64, Arc<Member>>,
    /// What the gone ones have counted.
    gone: Totals,
    /// How many are gone. Each notes which one it was.
    folds: u64,
}

pub(super) struct Members(Mutex<Table>);

/// Those that are gone, up to the one of that number.
pub(crate) struct Folds(u64);

impl Folds {
    /// Whether `member` is one of them.
    pub(crate) fn include(&self, member: &Member) -> bool {
        let fold = member.fold().get();
        fold != 0 && fold <= self.0
    }
}

impl Members {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Table::default()))
    }

    pub(super) fn add(&self, member: Arc<Member>) {
        self.0.lock().live.insert(member.id(), member);
    }

    /// It is over: what it has counted is kept.
    pub(super) fn remove(&self, id: u64) -> Option<Arc<Member>> {
        let member = self.0.lock().live.get(&id).cloned()?;
        let mut last = member.stats_while(&[]);
        // Who still waits is about to be told; nobody would take that away again.
        (last.blocked.now, last.blocked.waiting) = (0, None);
        let mut table = self.0.lock();
        let gone = table.live.remove(&id)?;
        table.folds += 1;
        table.gone.add(&last);
        gone.fold().set(table.folds);
        gone.note_gone(&last);
        Some(gone)
    }

    /// All live ones, by number, a few under each lock.
    pub(super) fn all(&self) -> Vec<Arc<Member>> {
        let (mut all, mut after): (Vec<Arc<Member>>, _) = (Vec::new(), Bound::Unbounded);
        loop {
            let before = all.len();
            let table = self.0.lock();
            all.extend(
                table.live.range((after, Bound::Unbounded)).take(CHUNK).map(|(_, member)| member.clone()),
            );
            drop(table);
            if all.len() < before + CHUNK {
                return all;
            }
            after = all.last().map_or(Bound::Unbounded, |last| Bound::Excluded(last.id()));
        }
    }

    /// What the gone ones have counted, and how many they are.
    pub(super) fn gone(&self) -> (Totals, Folds) {
        let table = self.0.lock();
        (table.gone.clone(), Folds(table.folds))
    }

    /// Reads, while none goes, what they left elsewhere. Returns also how many are gone.
    pub(super) fn while_none_goes<R>(&self, read: impl FnOnce(&Totals) -> R) -> (R, Folds) {
        let table = self.0.lock();
        (read(&table.gone), Folds(table.folds))
    }
}
