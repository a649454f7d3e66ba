//! What messages are told apart by where only the latest of a kind matters.

use crate::dispatch::fence::caught;
use crate::message::entry_key::EntryKey;
use crate::message::{CacheUpdate, Message, Origin};
use crate::sync::Arc;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The key of a message for [`Overflow::Conflate`](crate::Overflow::Conflate): a number, a text, or a pair of keys.
///
/// Data of ours, so that no foreign comparison runs while a mailbox is locked. A number costs nothing; a text and a pair
/// are one allocation each, made by the key function, and cloned by count. Looking a key up costs its hash.
///
/// ```
/// use stasis_bus::Key;
/// let channel: Key = "PJSIP/alice-00000001".into();
/// let of_node = Key::from((7_u64, channel.clone()));
/// assert_eq!(of_node, Key::from((7_u64, "PJSIP/alice-00000001")));
/// assert_ne!(of_node, channel);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Number(u64),
    Text(Arc<str>),
    Pair(Arc<(Key, Key)>),
    Entry { cache: u64, origin: Option<Origin>, key: EntryKey },
}

impl Key {
    /// That of an update's entry: its cache, type, id and origin. Allocates nothing.
    pub(crate) fn of_update(update: &CacheUpdate) -> Self {
        Self(Repr::Entry { cache: update.cache(), origin: update.origin(), key: update.key().clone() })
    }

    pub(super) fn is_entry(&self) -> bool {
        matches!(self.0, Repr::Entry { .. })
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Self {
        Self(Repr::Number(number))
    }
}

impl From<u32> for Key {
    fn from(number: u32) -> Self {
        Self(Repr::Number(number.into()))
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(Repr::Text(text.into()))
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(Repr::Text(text.into()))
    }
}

impl<A: Into<Key>, B: Into<Key>> From<(A, B)> for Key {
    fn from((first, second): (A, B)) -> Self {
        Self(Repr::Pair(Arc::new((first.into(), second.into()))))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Number(number) => number.fmt(f),
            Repr::Text(text) => text.fmt(f),
            Repr::Pair(pair) => pair.fmt(f),
            Repr::Entry { cache, origin, key } => (cache, key.kind(), key.id(), origin).fmt(f),
        }
    }
}

type KeyOf = dyn Fn(&Message) -> Option<Key> + Send + Sync;

/// How a mailbox finds the key of a message; made by [`Overflow::conflate`](crate::Overflow::conflate) and
/// [`Overflow::conflate_by_entry`](crate::Overflow::conflate_by_entry).
///
/// Cheap to clone. Two are equal if one is a clone of the other, or both know nothing but the entries of caches.
#[derive(Clone)]
pub struct ConflateKey(Option<Arc<Guarded>>);

/// The function, whose drop may panic as well.
struct Guarded(Option<Box<KeyOf>>);

impl Drop for Guarded {
    fn drop(&mut self) {
        let key_of = self.0.take();
        let _ = caught(|| drop(key_of));
    }
}

impl ConflateKey {
    pub(super) fn new(key_of: impl Fn(&Message) -> Option<Key> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(Guarded(Some(Box::new(key_of))))))
    }

    /// Only updates of caches have a key, which is nobody's to say.
    pub(super) const fn by_entry() -> Self {
        Self(None)
    }

    fn address(&self) -> Option<*const Guarded> {
        self.0.as_ref().map(Arc::as_ptr)
    }

    /// User code.
    pub(super) fn of(&self, message: &Message) -> Option<Key> {
        self.0.as_ref()?.0.as_ref().and_then(|key_of| key_of(message))
    }
}

impl PartialEq for ConflateKey {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for ConflateKey {}

impl Hash for ConflateKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl fmt::Debug for ConflateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConflateKey")
    }
}
