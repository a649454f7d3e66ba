//! A console: somebody at another desk who wants the table of all that is there, and keeps his own.
//!
//! He may come at any time. What there is when he comes he is told first, as if each thing had just appeared; then he
//! hears of every change, of none twice. So his table is the same as that of one who was there from the start.

use super::StateView;
use crate::consumers::{Gone, LOSSLESS, Running, WAITING};
use stasis_bus::{AnyType, Bus, CacheUpdate, Dispatch, Error, Message, MessageType, Origin, SnapshotEnd};
use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

/// The last of what he was told of each thing: by type, id and origin.
pub(crate) type Table = HashMap<(u32, String, Option<Origin>), Message>;

/// What he knows in the end.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) table: Table,
    /// What there was when he came; None if he was not even told.
    pub(crate) snapshot: Option<u64>,
    /// Changes that he was told of afterwards.
    pub(crate) updates: u64,
    /// Changes that did not fit what he knew: none, if the cache keeps its word.
    pub(crate) misfits: u64,
}

/// Subscribes, from now on.
pub(crate) fn start(
    bus: &Bus,
    view: &StateView,
    name: &str,
    dispatch: Dispatch,
) -> Result<Running<Seen>, Error> {
    let (done, result) = mpsc::channel();
    let (updates, ends) = (bus.cache_updates().clone(), bus.snapshot_ends().clone());
    let mut seen = Seen::default();
    let subscription = view
        .cache
        .snapshot_subscription(name)
        .dispatch(dispatch)
        .capacity(WAITING)
        .overflow(LOSSLESS)
        .start(move |delivery| {
            seen.take(&updates, &ends, delivery.message());
            if delivery.is_final() {
                let _ = done.send(std::mem::take(&mut seen));
            }
        })?;
    Ok(Running::new(subscription, result))
}

impl Seen {
    fn take(
        &mut self,
        updates: &MessageType<CacheUpdate>,
        ends: &MessageType<SnapshotEnd>,
        message: &Message,
    ) {
        if let Some(end) = ends.read(message) {
            self.snapshot = Some(end.entries);
        } else if let Some(update) = updates.read(message) {
            self.updates += u64::from(self.snapshot.is_some());
            self.update(update);
        }
    }

    fn update(&mut self, update: &CacheUpdate) {
        let key = (update.type_id(), update.id().to_owned(), update.origin());
        let before = match &update.new {
            Some(new) => self.table.insert(key, new.clone()),
            None => self.table.remove(&key),
        };
        let fits = match (&before, &update.old) {
            (Some(before), Some(old)) => before.is_same(old),
            (before, old) => before.is_none() && old.is_none(),
        };
        self.misfits += u64::from(!fits);
    }
}

/// What is in one table only, or not the same message in both.
pub(crate) fn differences(one: &Table, other: &Table) -> usize {
    let is_in =
        |table: &Table, key, message: &Message| table.get(key).is_some_and(|same| same.is_same(message));
    let here = one.iter().filter(|(key, message)| !is_in(other, key, message)).count();
    here + other.keys().filter(|key| !one.contains_key(*key)).count()
}

/// One who is there from the start, and one who comes later.
pub(crate) struct Consoles {
    first: Running<Seen>,
    after: Duration,
    second: Option<Running<Seen>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) after: Duration,
    /// None: he never came.
    pub(crate) told: Option<Told>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Things that were there when he came, and changes since.
    pub(crate) snapshot: u64,
    pub(crate) updates: u64,
    /// Things in his table in the end.
    pub(crate) things: usize,
    /// Of these, what the first one's table has differently.
    pub(crate) differences: usize,
    /// The same for the cache itself.
    pub(crate) not_in_cache: usize,
    /// Changes that did not fit what one of them knew.
    pub(crate) misfits: u64,
}

impl Consoles {
    pub(crate) fn new(bus: &Bus, view: &StateView, after: Duration) -> Result<Self, Error> {
        Ok(Self { first: start(bus, view, "first", Dispatch::Pool)?, after, second: None })
    }

    /// The second one comes. Nobody comes to a bus that has ended.
    pub(crate) fn join(&mut self, bus: &Bus, view: &StateView) {
        self.second = start(bus, view, "console", Dispatch::Pool).ok();
    }

    /// Both are told all that was published.
    pub(crate) fn finish(self, view: &StateView) -> Result<Joined, Gone> {
        let after = self.after;
        let (_, first) = self.first.finish()?;
        let Some(second) = self.second else {
            return Ok(Joined { after, told: None });
        };
        let (_, second) = second.finish()?;
        let told = Told {
            snapshot: second.snapshot.unwrap_or_default(),
            updates: second.updates,
            things: second.table.len(),
            differences: differences(&first.table, &second.table),
            not_in_cache: differences(&second.table, &in_cache(view)),
            // Who was not told where the snapshot ends cannot know what is a change.
            misfits: first.misfits + second.misfits + u64::from(second.snapshot.is_none()),
        };
        Ok(Joined { after, told: Some(told) })
    }
}

impl Told {
    pub(crate) fn is_same(&self) -> bool {
        self.differences == 0 && self.not_in_cache == 0 && self.misfits == 0
    }
}

/// The table that somebody has who has missed nothing.
pub(crate) fn in_cache(view: &StateView) -> Table {
    let pin = view.cache.pin();
    let all = pin.iter_all(AnyType).chain(pin.iter_by_origin(AnyType, None));
    let keyed = |message: &Message| {
        let id = view.snapshots.id(message)?.to_owned();
        Some(((message.type_id(), id, message.origin()), message.clone()))
    };
    all.filter_map(keyed).collect()
}
