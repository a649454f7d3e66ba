//! What a mailbox lost, by reason, and what its handler was not told of yet.
//!
//! A loss is counted under its reason, then owed to the handler if another delivery can come before the final one; the
//! owner pays with the next. Composing the final message seals the counts, and tells everything that was counted and never
//! told, owed or not yet. A publisher that comes later finds its count sealed: its message is told by nobody, and counts as
//! published after the end. So counts never fall, and those of a subscription that is over are what it was told. Who drops
//! a stream is told nothing, and seals as well.
//!
//! | who | the reason's count | `owed` | `told` |
//! | --- | --- | --- | --- |
//! | who was refused or evicted n from the lane, who throws n out of a stream | +n, by compare-exchange; sealed: it came late | +n | |
//! | who replaced n of one key; the owner that throws its queue away | the same | | |
//! | owner, behind a gap of n in the ring, which has counted it | | +n | |
//! | owner, before a delivery | | n to 0 | +n, and what its key has lost |
//! | owner, final message | each sealed; all that was counted less `told` is told with it | | |

use crate::stats::Lost;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{LazyBox, Tally};

/// In a count: the end has come, and nothing is added any more.
const SEALED: u64 = 1 << 63;

/// Why a message was not delivered. That a policy ended the subscription is not here: it happens once, and the reason of
/// the end tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// The policy refused it.
    Refused,
    /// A newer one took its place in the lane. What is evicted from the ring is counted there.
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
    /// Made by the first of them, or by the end.
    rare: LazyBox<Rare>,
}

/// Rare events.
#[derive(Default)]
struct Rare {
    counts: [AtomicU64; REASONS],
    /// Of all of them, so many. The owner's.
    told: Tally,
    /// Offered after the end: no loss, but not kept away by a filter either.
    late: Tally,
    /// Panics of the subscription's code: nothing was lost by them.
    panics: Tally,
}

impl Losses {
    pub(super) fn new() -> Self {
        Self { owed: AtomicU64::new(0), rare: LazyBox::new() }
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

    /// Counts what found the subscription ended.
    pub(super) fn count_late(&self, messages: u64) {
        self.rare().late.add(messages);
    }

    pub(super) fn late(&self) -> u64 {
        self.rare.get().map_or(0, |rare| rare.late.get())
    }

    /// Counts what was lost; who tells of it is the caller's to see to. False: the end had come, and nothing was counted.
    pub(super) fn count(&self, why: Loss, messages: u64) -> bool {
        self.rare().count(why, messages)
    }

    /// Counts what the next delivery tells of. False: there is none, and nothing was counted.
    pub(super) fn count_and_owe(&self, why: Loss, messages: u64) -> bool {
        let counted = self.count(why, messages);
        if counted {
            self.owe(messages);
        }
        counted
    }

    /// The next delivery tells of what was counted before.
    pub(super) fn owe(&self, messages: u64) {
        // ORDERING(mailbox.owed): Release; pairs with the Acquire in `tell`: a claim made after this loss tells of it.
        self.owed.fetch_add(messages, Ordering::Release);
    }

    /// What the delivery that follows has to tell of: what is owed, and `own`, which the caller knows of.
    #[inline]
    pub(super) fn tell(&self, own: u64) -> u64 {
        // ORDERING(mailbox.owed): Acquire; pairs with the Release in `owe`. A load first: nearly always 0.
        match own + self.owed.load(Ordering::Acquire) {
            0 => 0,
            _ => self.tell_of_some(own),
        }
    }

    #[cold]
    fn tell_of_some(&self, own: u64) -> u64 {
        // ORDERING(mailbox.owed): AcqRel; as in `tell`, and in one step, so that no debt is forgotten.
        let all = own + self.owed.swap(0, Ordering::AcqRel);
        self.rare().told.bump(all);
        all
    }

    /// What the final message has to tell of, of which the ring has counted so many.
    pub(super) fn tell_last(&self, evicted: u64) -> u64 {
        evicted + self.seal() - self.rare().told.get()
    }

    /// Nothing is counted any more. Returns how many were lost.
    pub(super) fn seal(&self) -> u64 {
        let rare = self.rare();
        (0..REASONS).map(|reason| rare.seal(reason)).sum()
    }

    /// Everything lost so far, but for what the ring and the reason of the end know.
    pub(super) fn read(&self) -> Lost {
        let Some(rare) = self.rare.get() else { return Lost::default() };
        Lost {
            refused: rare.get(Loss::Refused),
            evicted: rare.get(Loss::Evicted),
            conflated: rare.get(Loss::Conflated),
            timed_out: rare.get(Loss::TimedOut),
            discarded: rare.get(Loss::Discarded),
            ..Lost::default()
        }
    }
}

impl Rare {
    fn get(&self, why: Loss) -> u64 {
        self.counts[why as usize].load(Ordering::Relaxed) & !SEALED
    }

    /// False: it is sealed.
    fn count(&self, why: Loss, messages: u64) -> bool {
        // Relaxed: the count and its seal are one word, and nothing else is read by them.
        let more = |count: u64| (count & SEALED == 0).then_some(count + messages);
        self.counts[why as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Nothing is added to it any more. Returns what it is.
    fn seal(&self, reason: usize) -> u64 {
        // Relaxed: as in `count`.
        self.counts[reason].fetch_or(SEALED, Ordering::Relaxed) & !SEALED
    }
}
