//! How keys are spread over a cache's map, so that nobody can choose ids that meet.
//!
//! Names of channels come from the network: whoever chooses them must not be able to choose many that meet. Both functions
//! are under random keys of the cache's own, which nobody is told.
//!
//! *Short ids*, four words with the type, are spread by NH (Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC", 1999): the
//! sum of the products of words with keys added to them, in 128 bits. Whatever two keys somebody chooses, they meet there
//! for one in 2^64 of the random keys, which is proven, and not only believed. A folded multiplication of its halves, with
//! other random words in them (as in wyhash and foldhash), then spreads that over all 64 bits.
//!
//! *Long ids* are spread by SipHash 1-3 (Aumasson and Bernstein, 2012), as in the standard library's maps.
//!
//! *What that is worth.* Keys that were chosen without knowledge of this cache's random words meet no more often than
//! others. NH is no pseudo-random function: who learns many hashes can compute the words. They are shown to nobody; what
//! they have an influence on are the order of a dump and the time of a look. SipHash for all keys would withstand also
//! somebody who draws conclusions from those: measured with 8,192 entries, 50 ns for a look instead of 29.

use crate::map::Spreads;
use crate::message::entry_key::{EntryKey, KeyRef};
#[cfg(not(any(bus_loom, bus_shuttle)))]
use std::hash::{BuildHasher, RandomState};

/// Two functions, by the words that they are keyed with.
#[derive(Clone)]
pub(crate) struct Hashing {
    short: [u64; 6],
    long: [u64; 2],
}

impl Hashing {
    /// Words that nobody knows: the standard library takes its own from the system, and gives others each time.
    #[cfg(not(any(bus_loom, bus_shuttle)))]
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        let word = |number: usize| random.hash_one(number);
        Self { short: std::array::from_fn(word), long: std::array::from_fn(|at| word(at + 6)) }
    }

    /// In models always the same.
    #[cfg(any(bus_loom, bus_shuttle))]
    pub(super) fn random() -> Self {
        Self { short: [1; 6], long: [1; 2] }
    }

    #[inline(always)]
    fn of_short(&self, [a, b, c, d]: [u64; 4]) -> u64 {
        let key = &self.short;
        let product = |x: u64, y: u64| u128::from(x) * u128::from(y);
        let sum = product(a.wrapping_add(key[0]), b.wrapping_add(key[1]))
            .wrapping_add(product(c.wrapping_add(key[2]), d.wrapping_add(key[3])));
        fold(sum as u64 ^ key[4], (sum >> 64) as u64 ^ key[5])
    }

    /// In words, with zeroes behind the last byte: `first` says how long it is.
    #[cold]
    fn of_long(&self, first: u64, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks();
        let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let mut sip = Sip::new(self.long);
        sip.feed(first);
        words.iter().for_each(|word| sip.feed(u64::from_le_bytes(*word)));
        sip.feed(last);
        sip.finish()
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Spreads<KeyRef<'_>> for Hashing {
    #[inline(always)]
    fn hash(&self, key: &KeyRef<'_>) -> u64 {
        match *key {
            KeyRef::Short { kind, len, words } => {
                let [a, b, c] = words.values();
                self.of_short([u64::from(kind) << 32 | u64::from(len), a, b, c])
            }
            KeyRef::Long { kind, id } => {
                self.of_long(u64::from(kind) << 32 | u64::from(id.len() as u32), id.as_bytes())
            }
        }
    }
}

impl Spreads<EntryKey> for Hashing {
    #[inline]
    fn hash(&self, key: &EntryKey) -> u64 {
        self.hash(&key.as_ref())
    }
}

/// SipHash with one round for each word and three at the end.
struct Sip([u64; 4]);

impl Sip {
    /// With the constants of its specification.
    fn new([a, b]: [u64; 2]) -> Self {
        Self([
            a ^ 0x736f_6d65_7073_6575,
            b ^ 0x646f_7261_6e64_6f6d,
            a ^ 0x6c79_6765_6e65_7261,
            b ^ 0x7465_6462_7974_6573,
        ])
    }

    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *b = b.rotate_left(13) ^ *a;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*d);
        *d = d.rotate_left(16) ^ *c;
        *a = a.wrapping_add(*d);
        *d = d.rotate_left(21) ^ *a;
        *c = c.wrapping_add(*b);
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }

    fn feed(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    fn finish(mut self) -> u64 {
        self.0[2] ^= 0xff;
        (0..3).for_each(|_| self.round());
        self.0.into_iter().fold(0, |hash, word| hash ^ word)
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::{DefaultHasher, Hasher};

    /// The standard library's `DefaultHasher` is SipHash 1-3 of zero keys. Its last word has the length in its top byte.
    #[test]
    fn sip_is_the_standard_librarys_function() {
        for words in 0..20_u64 {
            let (mut ours, mut theirs) = (Sip::new([0, 0]), DefaultHasher::new());
            for word in 0..words {
                let word = word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                ours.feed(word);
                theirs.write(&word.to_le_bytes());
            }
            ours.feed((8 * words) << 56);
            assert_eq!(ours.finish(), theirs.finish(), "{words} words");
        }
    }

    #[test]
    fn words_are_random() {
        let key = KeyRef::new(1, "alice");
        assert_ne!(Hashing::random().hash(&key), Hashing::random().hash(&key));
        let long = KeyRef::new(1, "a name that is longer than that");
        assert_ne!(Hashing::random().hash(&long), Hashing::random().hash(&long));
    }

    /// Names as they are: they differ in few bits. Of the map's places, by the highest bits and the lowest, each gets its part.
    #[test]
    fn names_that_are_alike_are_spread() {
        let hashing = Hashing::random();
        for prefix in ["", "SIP/alice-", "PJSIP/a-rather-long-trunk-name-"] {
            let name = |n: u32| format!("{prefix}{n:08x}");
            let hashes: Vec<_> = (0..65_536).map(|n| hashing.hash(&KeyRef::new(1, &name(n)))).collect();
            let places = |of: fn(&u64) -> u64| hashes.iter().map(of).collect::<HashSet<_>>().len();
            // Home; shard; the two middles; and tag and home at once, tag and shard, home and shard.
            let parts: [fn(&u64) -> u64; 7] = [
                |hash| hash >> 48,
                |hash| hash & 0xffff,
                |hash| hash >> 16 & 0xffff,
                |hash| hash >> 32 & 0xffff,
                |hash| hash >> 56 << 8 | hash >> 16 & 0xff,
                |hash| hash >> 16 << 8 & 0xff00 | hash & 0xff,
                |hash| hash >> 56 << 8 | hash & 0xff,
            ];
            // So many of 65,536 places are hit by as many random throws: 41,427, give or take 100.
            for hit in parts.map(places) {
                assert!((40_700..42_200).contains(&hit), "{prefix}: {hit}");
            }
            assert_eq!(places(|hash| *hash), hashes.len());
        }
    }
}
