//! What a filter says of most types without being asked.
//!
//! A publish asks every filter of a topic. A filter lies behind a pointer; its glance lies beside the subscriber in the
//! list, so that a row of them costs as much as a row of flags. The glances of a list together say whether anybody there
//! wants a type at all.

/// A bit for each of the first 63 types: wanted. The last bit: the filter looks at more than the type, ask it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glance(u64);

const ASK: u64 = 1 << TYPES;
const TYPES: u32 = 63;

impl Glance {
    /// Takes nothing.
    pub(crate) const NOTHING: Self = Self(0);
    /// Takes everything.
    pub(crate) const ALL: Self = Self(!ASK);
    /// Says nothing.
    pub(crate) const UNKNOWN: Self = Self(ASK);

    /// Takes the types whose bits are set.
    pub(crate) fn of_types(bits: u64) -> Self {
        Self(bits & !ASK)
    }

    /// Whether messages of the type of that number are taken. `None`: ask the filter.
    #[inline]
    pub(crate) fn takes(self, kind: u32) -> Option<bool> {
        (kind < TYPES && self.0 & ASK == 0).then(|| self.0 >> kind & 1 != 0)
    }

    /// What either takes.
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both take.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0 | (self.0 | other.0) & ASK)
    }

    /// Whether there is a type that is taken for sure.
    pub(crate) fn takes_some(self) -> bool {
        self.0 & ASK == 0 && self.0 != 0
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn says_what_it_knows_and_no_more() {
        let first_and_last = Glance::of_types(1 | 1 << 62 | 1 << 63);
        assert_eq!(
            [0, 1, 62, 63, 64, u32::MAX].map(|kind| first_and_last.takes(kind)),
            [Some(true), Some(false), Some(true), None, None, None]
        );
        assert_eq!([0, 62, 63].map(|kind| Glance::ALL.takes(kind)), [Some(true), Some(true), None]);
        assert_eq!([0, 62, 63].map(|kind| Glance::NOTHING.takes(kind)), [Some(false), Some(false), None]);
        assert_eq!(first_and_last.or(Glance::of_types(2)).takes(1), Some(true));
        assert_eq!(first_and_last.or(Glance::UNKNOWN).takes(0), None);
        let first = first_and_last.and(Glance::of_types(1 | 2));
        assert_eq!([0, 1, 62].map(|kind| first.takes(kind)), [Some(true), Some(false), Some(false)]);
        assert_eq!(first_and_last.and(Glance::ALL), first_and_last);
        assert_eq!(first_and_last.and(Glance::UNKNOWN).takes(0), None);
        let some = [first, Glance::ALL, first.and(Glance::of_types(2)), first.and(Glance::UNKNOWN)];
        assert_eq!(some.map(Glance::takes_some), [true, true, false, false]);
    }
}
