//! What a ring consists of: a line for producers, one for the owner, and what lies between them.

use super::slots::{Slots, slot};
use super::spill::Spill;
use super::word::{Head, State, Tail};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{LazyBox, Tally, UnsafeCell};

/// What only the owner touches. What it needs of the ring's shape it has here as well: a look at the producers' line would
/// take that away from them.
#[derive(Debug)]
pub(super) struct Position {
    /// The next index to take.
    pub(super) next: u64,
    /// One past the last index handed out: the gap from here to `next` was evicted.
    pub(super) handed_out: u64,
    /// Null until the owner has seen them.
    pub(super) slots: *mut AtomicUsize,
    /// The high mark, as far as it goes: who took so many out looks whether it was passed.
    pub(super) high_mark: u32,
    pub(super) in_spill: bool,
    /// HIGH was seen, and nobody else clears it.
    pub(super) high: bool,
    pub(super) evicting: bool,
    /// How many slots there are: two to the power of so much.
    pub(super) slots_log: u8,
}

impl Position {
    #[inline]
    pub(super) fn mask(&self) -> usize {
        (1 << self.slots_log) - 1
    }

    /// The item at `index` of `slots`; 0: it is not there.
    #[inline]
    pub(super) fn item(&self, slots: *mut AtomicUsize, index: u64) -> usize {
        if slots.is_null() { 0 } else { slot(slots, index, self.mask()).load(Ordering::Relaxed) }
    }
}

/// What producers share, on one line. `cached_head` saves them the owner's.
pub(super) struct Producers {
    pub(super) tail: Tail,
    pub(super) cached_head: AtomicU64,
    pub(super) slots: Slots,
    /// When IDLE was last taken away. Here, because whoever does that has the line.
    pub(super) woken_at: Tally,
    pub(super) high: u64,
    pub(super) mask: u32,
    pub(super) capacity: u32,
    /// What `high` leaves of the capacity for pushes that pass no mark.
    pub(super) calm: u32,
    pub(super) evicting: bool,
}

/// What nobody touches often, between the two lines that must stay apart.
pub(super) struct Between {
    pub(super) low: u64,
    /// A group has at most so many: a quarter of the capacity.
    pub(super) group_max: u32,
    pub(super) spill_from: AtomicU64,
    /// Made when the ring is full for the first time.
    pub(super) spill: LazyBox<Spill>,
}

/// What the owner writes, on one line; and producers that take the oldest out.
pub(super) struct Consumer {
    pub(super) head: Head,
    /// How many items producers took out to make room. Written with `head` taken, so by one at a time, who has the line.
    pub(super) evicted: Tally,
    pub(super) position: UnsafeCell<Position>,
    pub(super) deepest: AtomicU64,
    /// Somebody has set HIGH since the owner last looked. Here, because an owner that takes thin groups never sees the tail.
    pub(super) passed_high: AtomicBool,
}

impl Producers {
    /// With fewer than so many waiting, one more fits and passes no mark.
    #[inline]
    pub(super) fn bound(&self, seen: State) -> u64 {
        u64::from(if seen.is_high() { self.capacity } else { self.calm })
    }

    #[inline]
    pub(super) fn capacity(&self) -> u64 {
        u64::from(self.capacity)
    }

    #[inline]
    pub(super) fn mask(&self) -> usize {
        self.mask as usize
    }
}
