//! The two packed words of a ring, with every ordering in one place.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::mutated;

const IDLE: u64 = 0b001;
const CLOSED: u64 = 0b010;
const SPILL: u64 = 0b100;
const HIGH: u64 = 0b1000;
const FLAGS: u64 = 0b1111;
const INDEX_SHIFT: u32 = 4;
const _: () = assert!(FLAGS == (1 << INDEX_SHIFT) - 1, "the flags fill the bits below the index");

/// What the tail said at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    pub(super) fn index(self) -> u64 {
        self.0 >> INDEX_SHIFT
    }

    pub(super) fn is_idle(self) -> bool {
        self.0 & IDLE != 0
    }

    /// Open, and no spill.
    #[inline]
    pub(super) fn is_plain(self) -> bool {
        self.0 & (CLOSED | SPILL) == 0
    }

    pub(super) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    pub(super) fn is_spilling(self) -> bool {
        self.0 & SPILL != 0
    }

    /// The high mark was passed, and the low one not since then.
    pub(super) fn is_high(self) -> bool {
        self.0 & HIGH != 0
    }

    /// One index more, not idle any more, the rest as it was.
    fn claimed(self) -> Self {
        self.claimed_by(1)
    }

    fn claimed_by(self, indices: u64) -> Self {
        Self((self.0 & !IDLE) + (indices << INDEX_SHIFT))
    }
}

/// What closing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Close {
    /// Somebody closed before.
    Already,
    /// Closed. With `turn` the caller has the turn and passes it on, so that the end is delivered.
    Now { turn: bool },
}

/// `index | HIGH | SPILL | CLOSED | IDLE`: the word that producers, the owner and closers agree by.
pub(super) struct Tail(AtomicU64);

impl Tail {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(IDLE))
    }

    pub(super) fn read(&self) -> State {
        // ORDERING(ring.turn): Acquire; pairs with the AcqRel claims. The owner that sees an index or CLOSED sees
        // what the claimer did before (the installed slots); a producer's read of `head` comes after this read.
        State(self.0.load(Ordering::Acquire))
    }

    /// Takes the index that `seen` shows. False: the word changed.
    #[inline]
    pub(super) fn claim(&self, seen: State) -> bool {
        self.change(seen, seen.claimed())
    }

    /// Takes so many indices from the one that `seen` shows on.
    pub(super) fn claim_several(&self, seen: State, indices: u64) -> bool {
        self.change(seen, seen.claimed_by(indices))
    }

    /// Takes one index; from here on items go to the spill, or the ring counts as congested.
    pub(super) fn claim_setting(&self, seen: State, spill: bool, high: bool) -> bool {
        let flags = if spill { SPILL } else { 0 } | if high { HIGH } else { 0 };
        self.change(seen, State(seen.claimed().0 | flags))
    }

    /// The ring is not congested any more. What the word says now; `None`: it had changed since `seen`.
    pub(super) fn clear_high(&self, seen: State) -> Option<State> {
        let next = State(seen.0 & !HIGH);
        self.change(seen, next).then_some(next)
    }

    /// Gives the turn up, if nothing was claimed and nobody closed since `seen`.
    pub(super) fn set_idle(&self, seen: State) -> bool {
        let left = if mutated!("ring.spill_idle") { seen.0 } else { seen.0 & !SPILL };
        self.change(seen, State(left | IDLE))
    }

    /// Takes the turn of a ring that is at rest.
    pub(super) fn hold(&self) -> bool {
        let seen = self.read();
        seen.is_idle() && self.change(seen, State(seen.0 & !IDLE))
    }

    pub(super) fn close(&self) -> Close {
        let mut seen = self.read();
        loop {
            if seen.is_closed() {
                return Close::Already;
            }
            if self.change(seen, State((seen.0 & !IDLE) | CLOSED)) {
                return Close::Now { turn: seen.is_idle() && !mutated!("ring.close_turn") };
            }
            seen = self.read();
        }
    }

    #[inline]
    fn change(&self, seen: State, next: State) -> bool {
        // ORDERING(ring.turn): AcqRel. Acquire pairs with the Release of the owner that set IDLE: it carries the
        // head, the owner's position and the handler's state to whoever has the turn next. Release is that other
        // end, and shows a claimer's installed slots to the owner. A failure only makes the caller look again.
        // Checked by loom_tests/ring.rs::turn_carries_the_owners_state.
        self.0.compare_exchange(seen.0, next.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

const TAKEN: u64 = 1;

/// `index | TAKEN`: how far the owner (or an evicting producer) has taken items out.
pub(super) struct Head(AtomicU64);

impl Head {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn read(&self) -> u64 {
        // ORDERING(ring.head): Acquire; pairs with `publish`. Whoever sees the head sees the slots before it
        // emptied, so that its own write into one of them comes after.
        self.0.load(Ordering::Acquire) >> 1
    }

    pub(super) fn publish(&self, index: u64) {
        // ORDERING(ring.head): Release; pairs with `read` and `take`. Clears TAKEN as well.
        self.0.store(index << 1, Ordering::Release);
    }

    /// Sets TAKEN if the head is free and stands at `index`.
    pub(super) fn take_at(&self, index: u64) -> bool {
        // ORDERING(ring.head): Acquire; pairs with `publish`: the slots taken by the other side are seen empty.
        self.0.compare_exchange(index << 1, (index << 1) | TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}
