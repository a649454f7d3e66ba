//! What the entries of caches are known by: a type and an id.
//!
//! An id of up to 24 bytes stands in the key itself, so that a look at an entry finds it on the entry's own line; a
//! longer one is shared. Short ids are compared and hashed as three words, whatever their length.

use crate::sync::Arc;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Ids of so many bytes stand in the key.
const SHORT: usize = size_of::<Words>();
const WORD: usize = size_of::<u64>();

/// A short id, with zeroes behind it: the words' bytes in memory are its bytes.
///
/// Made and compared word by word, never as wider or narrower pieces. A load that needs two of the stores before it waits
/// until both are done, and so for everything before them: searches one after the other would not overlap.
#[derive(Clone, Copy, Eq)]
pub(crate) struct Words([u64; 3]);

impl Words {
    #[inline(always)]
    fn of(id: &[u8]) -> Self {
        let words = match id.len() / WORD {
            0 => [few(id), 0, 0],
            1 => [word(id, 0), tail(id, WORD), 0],
            _ => [word(id, 0), word(id, WORD), tail(id, 2 * WORD)],
        };
        Self(words.map(u64::to_le))
    }

    /// As numbers that are the same on every machine.
    #[inline]
    pub(crate) fn values(self) -> [u64; 3] {
        self.0.map(u64::from_le)
    }

    fn as_bytes(&self) -> &[u8; SHORT] {
        // SAFETY: as large, and any bytes are bytes.
        unsafe { &*(&raw const self.0).cast() }
    }
}

impl PartialEq for Words {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        (a ^ x) | (b ^ y) | (c ^ z) == 0
    }
}

/// A type and an id. Two types may share an id. Cloning allocates nothing.
///
/// An id of up to `SHORT` bytes is always short, so that equal keys are of one form. Behind it there are zeroes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum EntryKey {
    Short { kind: u32, len: u8, words: Words },
    Long { kind: u32, id: Arc<str> },
}

/// With a message, a number of a topic, a version and one more pointer, an entry fits one cache line.
const _: () = assert!(cfg!(bus_loom) || size_of::<EntryKey>() == 32);

/// The same as a reader has it, so that looking up allocates nothing.
#[derive(Clone, Copy)]
pub(crate) enum KeyRef<'a> {
    Short { kind: u32, len: u8, words: Words },
    Long { kind: u32, id: &'a str },
}

impl<'a> KeyRef<'a> {
    #[inline(always)]
    pub(crate) fn new(kind: u32, id: &'a str) -> Self {
        match id.len() <= SHORT {
            true => Self::Short { kind, len: id.len() as u8, words: Words::of(id.as_bytes()) },
            false => Self::Long { kind, id },
        }
    }

    pub(crate) fn to_owned(self) -> EntryKey {
        match self {
            Self::Short { kind, len, words } => EntryKey::Short { kind, len, words },
            Self::Long { kind, id } => EntryKey::Long { kind, id: id.into() },
        }
    }

    #[inline(always)]
    pub(crate) fn is(&self, key: &EntryKey) -> bool {
        match (self, key) {
            (
                Self::Short { kind, len, words },
                EntryKey::Short { kind: its_kind, len: its_len, words: its },
            ) => words == its && kind == its_kind && len == its_len,
            (Self::Long { kind, id }, EntryKey::Long { kind: its_kind, id: its }) => {
                kind == its_kind && **id == **its
            }
            _ => false,
        }
    }
}

impl EntryKey {
    pub(crate) fn new(kind: u32, id: &str) -> Self {
        KeyRef::new(kind, id).to_owned()
    }

    #[inline]
    pub(crate) fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Self::Short { kind, len, words } => KeyRef::Short { kind: *kind, len: *len, words: *words },
            Self::Long { kind, id } => KeyRef::Long { kind: *kind, id },
        }
    }

    /// The number of the type.
    #[inline]
    pub(crate) fn kind(&self) -> u32 {
        match self {
            Self::Short { kind, .. } | Self::Long { kind, .. } => *kind,
        }
    }

    pub(crate) fn id(&self) -> &str {
        match self {
            // SAFETY: copied from a `str` of that length by `KeyRef::new`, which alone makes short ones.
            Self::Short { len, words, .. } => unsafe {
                std::str::from_utf8_unchecked(&words.as_bytes()[..usize::from(*len)])
            },
            Self::Long { id, .. } => id,
        }
    }
}

/// The word that begins at `at`.
#[inline]
fn word(id: &[u8], at: usize) -> u64 {
    id[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// The last bytes, as many as there are after `at`: the word that ends with them reaches back before that, which is
/// shifted out.
#[inline]
fn tail(id: &[u8], at: usize) -> u64 {
    let last = word(id, id.len() - WORD);
    last.checked_shr(8 * (at + WORD - id.len()) as u32).unwrap_or(0)
}

/// Fewer bytes than a word has, in pieces that may overlap: what two of them bring twice is the same.
#[inline]
fn few(id: &[u8]) -> u64 {
    let len = id.len();
    let byte = |at: usize| u64::from(id[at]) << (8 * at);
    let half = |at: usize| id[at..].first_chunk().map_or(0, |half| u64::from(u32::from_le_bytes(*half)));
    match len {
        0 => 0,
        1..4 => byte(0) | byte(len / 2) | byte(len - 1),
        _ => half(0) | half(len - 4) << (8 * (len - 4)),
    }
}

impl Hash for EntryKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind(), self.id()).hash(state);
    }
}

impl Ord for EntryKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.kind(), self.id()).cmp(&(other.kind(), other.id()))
    }
}

impl PartialOrd for EntryKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.kind(), self.id()).fmt(f)
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    #[test]
    fn keys_of_every_length_say_their_ids() {
        let text = "ä".repeat(40) + "b";
        for id in (0..=text.len()).filter_map(|len| text.get(..len)) {
            let (key, seen) = (EntryKey::new(7, id), KeyRef::new(7, id));
            assert_eq!((key.kind(), key.id()), (7, id));
            assert!(seen.is(&key) && key.clone() == key && key.as_ref().is(&key));
            assert_eq!(matches!(key, EntryKey::Short { .. }), id.len() <= SHORT);
        }
    }

    #[test]
    fn keys_differ_by_type_by_length_and_by_each_byte() {
        let ids =
            ["", "\0", "\0\0", "a", "a\0", "12345678", "12345678\0", "b2345678", "123456781234567812345678"];
        let longer =
            ["1234567812345678123456781", "1234567812345678123456782", "1234567812345678123456781\0"];
        let all = || ids.iter().chain(&longer).flat_map(|id| [(1, *id), (2, *id)]);
        let hasher = RandomState::new();
        for (a, b) in all().flat_map(|a| all().map(move |b| (a, b))) {
            let (sought, key) = (KeyRef::new(a.0, a.1), EntryKey::new(b.0, b.1));
            assert_eq!(sought.is(&key), a == b, "{a:?} {b:?}");
            assert_eq!(sought.to_owned() == key, a == b);
            assert_eq!(sought.to_owned().cmp(&key), a.cmp(&b));
            assert_eq!(hasher.hash_one(sought.to_owned()) == hasher.hash_one(&key), a == b);
        }
    }
}
