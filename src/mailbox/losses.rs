//! What a mailbox lost, by reason, and what its handler was not told of yet.
//!
//! A loss is counted under its reason, then owed to the handler; the owner pays with the next delivery. Composing the
//! final message seals the debt, in the same word, so that a publisher that comes later knows: its message is told by
//! nobody, and counts as published after the end.
//!
//! | who | `owed` |
//! | --- | --- |
//! | publisher, owner: lost n | +n; was sealed: the count is taken back |
//! | owner, before a delivery | n to 0, told with it |
//! | owner, final message | n to SEALED, told with it |

use crate::stats::Lost;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{LazyFigures, Tally};

/// The final message was composed.
const SEALED: u64 = 1 << 63;

/// Why a message was not delivered. That a policy ended the subscription is not here: it happens once, and the reason of
/// the end tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// The policy refused it.
    Refused,
    /// A newer one took its place.
    Evicted,
    /// A newer one of its key took its place.
    Conflated,
    /// Nobody made room in time.
    TimedOut,
    /// Its queue was thrown away.
    Discarded,
}

const REASONS: usize = Loss::Discarded as usize + 1;

pub(super) struct Losses {
    owed: AtomicU64,
    /// Made by the first of them.
    rare: LazyFigures<Rare>,
}

/// Rare events.
#[derive(Default)]
struct Rare {
    counts: [Tally; REASONS],
    /// Offered after the end: no loss, but not kept away by a filter either.
    late: Tally,
    /// Panics of the subscription's code: nothing was lost by them.
    panics: Tally,
}

impl Losses {
    pub(super) fn new() -> Self {
        Self { owed: AtomicU64::new(0), rare: LazyFigures::new() }
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_make(Rare::default)
    }

    /// Panics of the subscription's code were caught.
    pub(super) fn count_panics(&self, panics: u64) {
        if panics > 0 {
            self.rare().panics.add(panics);
        }
    }

    pub(super) fn panics(&self) -> u64 {
        self.rare.get().map_or(0, |rare| rare.panics.get())
    }

    /// Counts what is told by the caller itself.
    pub(super) fn count(&self, why: Loss, messages: u64) {
        self.rare().counts[why as usize].add(messages);
    }

    /// Counts what found the subscription ended.
    pub(super) fn count_late(&self, messages: u64) {
        self.rare().late.add(messages);
    }

    pub(super) fn late(&self) -> u64 {
        self.rare.get().map_or(0, |rare| rare.late.get())
    }

    /// Counts what the next delivery tells of. False: there is none, and nothing was counted.
    pub(super) fn count_and_owe(&self, why: Loss, messages: u64) -> bool {
        self.count(why, messages);
        let told = self.owe(messages);
        if !told {
            self.rare().counts[why as usize].sub(messages);
        }
        told
    }

    /// The next delivery tells of what was counted before. False: there is none.
    pub(super) fn owe(&self, messages: u64) -> bool {
        // ORDERING(mailbox.owed): Release; pairs with the Acquire in `take`: a claim made after this loss tells of it.
        self.owed.fetch_add(messages, Ordering::Release) & SEALED == 0
    }

    /// What the delivery that follows has to tell of.
    #[inline]
    pub(super) fn take(&self) -> u64 {
        // ORDERING(mailbox.owed): Acquire; pairs with the Release in `owe`. A load first: nearly always 0.
        match self.owed.load(Ordering::Acquire) {
            0 => 0,
            _ => self.owed.swap(0, Ordering::AcqRel),
        }
    }

    /// What the final message has to tell of.
    pub(super) fn take_last(&self) -> u64 {
        self.owed.swap(SEALED, Ordering::AcqRel) & !SEALED
    }

    /// Everything lost so far, but for what the ring and the reason of the end know.
    pub(super) fn read(&self) -> Lost {
        let Some(rare) = self.rare.get() else { return Lost::default() };
        let count = |why: Loss| rare.counts[why as usize].get();
        Lost {
            refused: count(Loss::Refused),
            evicted: count(Loss::Evicted),
            conflated: count(Loss::Conflated),
            timed_out: count(Loss::TimedOut),
            discarded: count(Loss::Discarded),
            ..Lost::default()
        }
    }
}
