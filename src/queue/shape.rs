//! What a ring is to be, and what its producers want of it.

/// How large a ring is and who may take items out of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Exact; the slots are rounded up to a power of two.
    pub(crate) capacity: usize,
    /// Producers may take the oldest item out.
    pub(crate) evicting: bool,
    pub(crate) marks: Marks,
}

/// When a ring counts as congested: from the push by which `high` items wait, to the take after which at most `low` do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) high: u64,
    pub(crate) low: u64,
}

/// What a producer wants when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// To hear of it.
    Refuse,
    /// To go to the heap, as long as fewer than `limit` items wait in all.
    Spill { limit: u64 },
    /// To hear of it and take the oldest out by [`Ring::evict`](super::Ring::evict). All producers of such a ring want the same.
    Evict,
}
