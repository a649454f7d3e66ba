//! Eight bits of each hash of a group, in one word: a search compares them all at once, and tells free slots too.
//!
//! A byte is found to be the one sought by an old trick (Alan Mycroft's, 1987, for the end of a string): a byte less one
//! borrows from its highest bit only if it was zero. The lowest byte found is always right; one above it may be its neighbour
//! by one bit, which costs a look and changes nothing, as keys are compared in any case.

/// Slots of a group. With the word of their tags they are one cache line.
pub(super) const GROUP: usize = if cfg!(any(bus_loom, bus_shuttle)) { 2 } else { 7 };

const EACH: u64 = 0x0101_0101_0101_0101;
/// The highest bit of the byte of each slot.
const TOPS: u64 = (EACH << 7) & ((1 << (8 * GROUP)) - 1);

/// The tag of a slot that was never used; no hash has it.
const FREE: u8 = 0;

/// What a group's slots say of their hashes.
#[derive(Clone, Copy)]
pub(super) struct Tags(u64);

/// The tag of a hash.
#[derive(Clone, Copy)]
pub(super) struct Tag(u8);

impl Tag {
    /// Of bits that choose neither the shard nor, while there are fewer than 2^40 groups, the home.
    #[inline]
    pub(super) fn of(hash: u64) -> Self {
        Self(((hash >> 16) as u8).max(FREE + 1))
    }
}

impl Tags {
    #[inline]
    pub(super) fn of(word: u64) -> Self {
        Self(word)
    }

    /// The same with another slot used.
    pub(super) fn with(self, slot: usize, Tag(tag): Tag) -> u64 {
        self.0 | u64::from(tag) << (8 * slot)
    }

    /// Which slots have that tag, or may have.
    #[inline]
    pub(super) fn having(self, Tag(tag): Tag) -> Slots {
        self.bytes(tag)
    }

    /// The first slot that was never used.
    #[inline]
    pub(super) fn free(self) -> Option<usize> {
        self.bytes(FREE).next()
    }

    #[inline]
    fn bytes(self, wanted: u8) -> Slots {
        let differences = self.0 ^ (EACH * u64::from(wanted));
        Slots(differences.wrapping_sub(EACH) & !differences & TOPS)
    }
}

/// Some slots of a group, the first ones first.
#[derive(Clone, Copy)]
pub(super) struct Slots(u64);

impl Iterator for Slots {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let next = (self.0 != 0).then(|| self.0.trailing_zeros() as usize / 8);
        self.0 &= self.0.wrapping_sub(1);
        next
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    fn tag(tag: u8) -> Tag {
        Tag::of(u64::from(tag) << 16)
    }

    #[test]
    fn all_that_have_a_tag_are_found_and_the_first_is_right() {
        for first in 1..=255_u8 {
            for second in [first, first ^ 1, first.wrapping_add(1), 0xff, 0x80, 1] {
                let both = [0, 0, first, 0, 0, second.max(1), 0];
                let tags = Tags::of(Tags::of(Tags::of(0).with(2, tag(both[2]))).with(5, tag(both[5])));
                let found: Vec<_> = tags.having(tag(first)).collect();
                assert_eq!(found.first(), Some(&2), "{both:?}");
                assert!(both[5] != first || found.contains(&5), "{both:?}");
                assert!(found.iter().all(|slot| both[*slot] ^ first <= 1), "{both:?} {found:?}");
            }
        }
    }

    #[test]
    fn slots_are_free_until_they_are_used() {
        let mut word = 0;
        for slot in 0..GROUP {
            assert_eq!(Tags::of(word).free(), Some(slot));
            word = Tags::of(word).with(slot, Tag::of(0));
        }
        assert_eq!(Tags::of(word).free(), None);
        assert!(Tags::of(word).having(Tag::of(0)).eq(0..GROUP));
        assert_eq!(Tags::of(word).having(Tag::of(2 << 16)).next(), None);
    }
}
