//! The control messages of caches: an entry changed, an entry is to be cleared, a snapshot is complete.

use super::entry_key::EntryKey;
use super::kind::Draft;
use super::{Message, MessageType, Origin};
use std::fmt;

/// The value of the control type `cache_update`: one entry of a cache changed, or is told to a subscriber that catches
/// up.
///
/// Made by caches alone. `old` is the very message that the update before it for the same entry had as `new`: so all
/// updates of one (type, id, origin) form a chain. The message that carries it has the time and the origin of the state
/// that it speaks of.
///
/// | old | new | what happened |
/// | --- | --- | --- |
/// | none | some | it came to be, or is told as part of a snapshot ([`is_snapshot`](Self::is_snapshot)) |
/// | some | some | it changed |
/// | some | none | it was cleared |
/// | none | none | it came and went again while it waited in a mailbox with [`Conflate`](crate::Overflow::Conflate) |
#[non_exhaustive]
pub struct CacheUpdate {
    /// What was there before; `None`: the entry is new, or told as part of a snapshot.
    pub old: Option<Message>,
    /// What is there now; `None`: it was cleared.
    pub new: Option<Message>,
    /// The number of the cache: entries of two caches are never the same.
    cache: u64,
    key: EntryKey,
    is_snapshot: bool,
    /// A message of the entry, if there is neither an old nor a new one.
    passed: Option<Message>,
}

impl CacheUpdate {
    /// The name of the control type. It cannot be declined.
    pub const TYPE_NAME: &str = "cache_update";

    /// The number of the control type in every bus.
    pub(crate) const TYPE_ID: u32 = 1;

    pub(crate) fn new(cache: u64, key: EntryKey, old: Option<Message>, new: Option<Message>) -> Self {
        Self { old, new, cache, key, is_snapshot: false, passed: None }
    }

    /// What somebody who catches up is told of an entry that stands.
    pub(crate) fn of_snapshot(cache: u64, key: EntryKey, state: Message) -> Self {
        Self { old: None, new: Some(state), cache, key, is_snapshot: true, passed: None }
    }

    /// In the place of `first`, `last` and those in between, all of one entry: a link of the same chain.
    pub(crate) fn conflated(first: &Self, last: &Self) -> Self {
        let mut update = Self::new(last.cache, last.key.clone(), first.old.clone(), last.new.clone());
        if update.state().is_none() {
            update.passed = last.state().cloned();
        }
        update
    }

    /// The message of `self`, with the time and the origin of the state.
    pub(crate) fn into_message(self, kind: &MessageType<Self>) -> Message {
        let Some(state) = self.state() else { return kind.message(self) };
        let (time, origin) = (state.timestamp(), state.origin());
        let builder = kind.build(self).at(time);
        match origin {
            Some(origin) => builder.origin(origin),
            None => builder.aggregate(),
        }
        .finish()
    }

    /// The id of the entry, as the cache's id function gave it.
    pub fn id(&self) -> &str {
        self.key.id()
    }

    /// Whether the entry is itself an update, of another cache.
    pub(crate) fn is_of_update(&self) -> bool {
        self.state().is_some_and(|state| state.as_update().is_some())
    }

    pub(crate) fn cache(&self) -> u64 {
        self.cache
    }

    pub(crate) fn key(&self) -> &EntryKey {
        &self.key
    }

    /// The node whose state it is; `None`: the aggregate of all nodes.
    pub fn origin(&self) -> Option<Origin> {
        self.state().and_then(Message::origin)
    }

    /// Whether it stands in the place of changes that came before the subscription.
    pub fn is_snapshot(&self) -> bool {
        self.is_snapshot
    }

    /// Whether the entry is of that message type.
    pub fn is_of<T>(&self, kind: &MessageType<T>) -> bool {
        self.state().is_some_and(|state| std::ptr::eq(state.kind(), &**kind.kind()))
    }

    /// The name of the entry's message type.
    pub fn type_name(&self) -> &str {
        self.state().map_or("", Message::type_name)
    }

    /// The number of the entry's message type.
    pub fn type_id(&self) -> u32 {
        self.state().map_or(0, Message::type_id)
    }

    /// The newest message that is there.
    fn state(&self) -> Option<&Message> {
        self.new.as_ref().or(self.old.as_ref()).or(self.passed.as_ref())
    }

    /// The type as every bus declares it.
    pub(crate) fn draft() -> Draft<Self> {
        #[allow(unused_mut)]
        let mut draft = Draft::new(Self::TYPE_NAME.to_owned());
        #[cfg(feature = "json")]
        draft.set_json(|update: &Self, _, sanitizer| {
            let shown = |state: Option<&Message>| state.and_then(|state| state.to_json_with(sanitizer));
            Some(serde_json::json!({
                "type": update.type_name(),
                "id": update.id(),
                "old": shown(update.old.as_ref()),
                "new": shown(update.new.as_ref()),
                "snapshot": update.is_snapshot,
            }))
        });
        draft
    }
}

impl fmt::Debug for CacheUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheUpdate")
            .field("type", &self.type_name())
            .field("id", &self.id())
            .field("origin", &self.origin())
            .field("old", &self.old)
            .field("new", &self.new)
            .field("is_snapshot", &self.is_snapshot)
            .finish()
    }
}

/// The value of the control type `snapshot_end`: a subscriber that catches up has been told of every entry; what follows
/// are changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotEnd {
    /// How many updates the snapshot had.
    pub entries: u64,
}

impl SnapshotEnd {
    /// The name of the control type. It cannot be declined.
    pub const TYPE_NAME: &str = "snapshot_end";

    pub(crate) fn new(entries: u64) -> Self {
        Self { entries }
    }

    pub(crate) fn draft() -> Draft<Self> {
        #[allow(unused_mut)]
        let mut draft = Draft::new(Self::TYPE_NAME.to_owned());
        #[cfg(feature = "json")]
        draft.set_json(|end: &Self, _, _| Some(serde_json::json!({ "entries": end.entries })));
        draft
    }
}

/// The value of the control type `cache_clear`: published where a state was published, it takes that state out of every
/// cache that hears it.
///
/// Made by [`Bus::clear`](crate::Bus::clear). It names the entry by a message of its: same type, id and origin.
#[derive(Debug)]
#[non_exhaustive]
pub struct CacheClear {
    /// A message of the entry that is to go.
    pub state: Message,
}

impl CacheClear {
    /// The name of the control type. It cannot be declined.
    pub const TYPE_NAME: &str = "cache_clear";

    pub(crate) fn new(state: Message) -> Self {
        Self { state }
    }

    pub(crate) fn draft() -> Draft<Self> {
        #[allow(unused_mut)]
        let mut draft = Draft::new(Self::TYPE_NAME.to_owned());
        #[cfg(feature = "json")]
        draft.set_json(|clear: &Self, _, sanitizer| {
            let state = clear.state.to_json_with(sanitizer);
            Some(serde_json::json!({ "type": clear.state.type_name(), "state": state }))
        });
        draft
    }
}

/// The control types of caches, of one bus.
pub(crate) struct CacheTypes {
    pub(crate) updates: MessageType<CacheUpdate>,
    pub(crate) clears: MessageType<CacheClear>,
    pub(crate) snapshot_ends: MessageType<SnapshotEnd>,
}

impl Message {
    /// The update in it, if it is one.
    #[inline]
    pub(crate) fn as_update(&self) -> Option<&CacheUpdate> {
        self.kind().read_as(self)
    }
}

/// The message of one update in the place of two, and of those in between. Drops of values may run.
pub(crate) fn conflate(first: &Message, last: &Message) -> Option<Message> {
    let kind = MessageType::cast(last.kind().hold())?;
    let update = CacheUpdate::conflated(first.as_update()?, last.as_update()?);
    Some(update.into_message(&kind))
}

impl CacheTypes {
    /// Puts `old` into an update that nobody else has yet. Gives back what it had.
    pub(crate) fn fill_in(&self, update: &mut Message, old: Option<Message>) -> Option<Message> {
        let value = self.updates.read_mut(update)?;
        std::mem::replace(&mut value.old, old)
    }
}
