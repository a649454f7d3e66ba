//! What a full ring goes over to: an unbounded queue of words, for many producers and one owner, one word for each.
//!
//! Places are numbered as they are claimed, and lie in blocks of [`WORDS`], each linked to the next. Producers begin to
//! look at the *hint*, a block such that no place before it is still to be written; so a block is never looked for
//! backwards.
//!
//! | who | step |
//! | --- | --- |
//! | producer | claims the next place p: one addition to `claimed` |
//! | | loads the hint; goes on from block to block until p lies in one, and links a new block where there is none |
//! | | on the way, the block is the hint and all of it is written: moves the hint to the next one, reads `claimed` by an addition of nothing, and notes that in the block: *left at* n |
//! | | writes its word, and touches nothing any more |
//! | owner | takes the word at its place, if it is written; goes on to the next block behind the last one |
//! | | frees the oldest block, if that was left at an n that it has come to |
//!
//! Why a block that is freed is touched by nobody: a producer whose place is before n has written its word, as the owner
//! has taken it, and that was the last thing it did. One whose place is n or later claimed it after the block was left, so
//! it loaded a hint behind it.
//!
//! A word is 0 until it is written. The owner that finds 0 at its place finds nothing: it learns from the ring whether
//! somebody is about to write there.
//!
//! A push waits for nobody. But a producer that is stopped between claiming its place and writing there keeps the hint
//! where it is, at a block that is not all written: until it writes, each later push goes through all blocks since then,
//! one load for each [`WORDS`] places.
//!
//! Source: the list of blocks, and when one of them may go, are known from tokio's channels.

use crate::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Line, UnsafeCell};
use std::num::NonZeroUsize;
use std::ptr;

/// Words in a block, which has 512 bytes.
const WORDS: usize = if cfg!(any(bus_loom, bus_shuttle)) { 2 } else { 61 };
/// `left_at` of a block that the hint has not gone past: no block is left before its first word is claimed.
const NOT_LEFT: u64 = 0;

struct Block {
    /// The number of its first place.
    first: u64,
    next: AtomicPtr<Block>,
    left_at: AtomicU64,
    /// Looked into by producers, and written by the owner that frees the block: nothing, but a model sees it.
    alive: UnsafeCell<()>,
    words: [AtomicUsize; WORDS],
}

impl Block {
    fn new(first: u64) -> *mut Self {
        Box::into_raw(Box::new(Self {
            first,
            next: AtomicPtr::new(ptr::null_mut()),
            left_at: AtomicU64::new(NOT_LEFT),
            alive: UnsafeCell::new(()),
            words: std::array::from_fn(|_| AtomicUsize::new(0)),
        }))
    }

    fn has(&self, place: u64) -> bool {
        place - self.first < WORDS as u64
    }

    /// Whether all of it is written, for good. Values only: what the words stand for is not looked at.
    fn is_written(&self) -> bool {
        self.words.iter().all(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// The block behind it, linked now if there is none.
    fn next_or_new(&self) -> *mut Self {
        // ORDERING(spill.block): Acquire; pairs with the AcqRel below: the block is seen as it was made.
        let next = self.next.load(Ordering::Acquire);
        if next.is_null() { self.link() } else { next }
    }

    #[cold]
    fn link(&self) -> *mut Self {
        let made = Self::new(self.first + WORDS as u64);
        // ORDERING(spill.block): AcqRel; pairs with every Acquire of `next`.
        match self.next.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: never shown to anybody.
                drop(unsafe { Box::from_raw(made) });
                other
            }
        }
    }
}

/// What only the owner touches.
struct Reader {
    /// The next place to take from.
    next: u64,
    /// Where that is, or ends.
    block: *mut Block,
    /// The first block that is not freed.
    oldest: *mut Block,
}

struct Writers {
    claimed: AtomicU64,
    hint: AtomicPtr<Block>,
}

pub(crate) struct Spill {
    writers: Line<Writers>,
    reader: Line<UnsafeCell<Reader>>,
}

// SAFETY: `reader` is touched by the owner alone, as the callers of `pop` say; blocks are shared by atomics, and freed as the
// header says. Checked by loom_tests/spill.rs.
unsafe impl Send for Spill {}
// SAFETY: as above.
unsafe impl Sync for Spill {}

impl Spill {
    pub(crate) fn new() -> Self {
        let block = Block::new(0);
        Self {
            writers: Line(Writers { claimed: AtomicU64::new(0), hint: AtomicPtr::new(block) }),
            reader: Line(UnsafeCell::new(Reader { next: 0, block, oldest: block })),
        }
    }

    pub(crate) fn push(&self, word: NonZeroUsize) {
        // ORDERING(spill.left): AcqRel; pairs with itself in `leave`: a claim that comes after it sees the hint moved.
        let place = self.writers.claimed.fetch_add(1, Ordering::AcqRel);
        let block = self.block_of(place);
        // ORDERING(spill.word): Release; pairs with the Acquire in `pop`: what the word stands for is the owner's, and so is
        // every block that we came through.
        block.words[(place - block.first) as usize].store(word.get(), Ordering::Release);
    }

    /// The block of a place that the caller has claimed and not written yet.
    fn block_of(&self, place: u64) -> &Block {
        // ORDERING(spill.block): Acquire; pairs with the Release in `leave`.
        let mut at = self.writers.hint.load(Ordering::Acquire);
        let mut is_hint = true;
        loop {
            // SAFETY: the hint's block, or one behind it: neither is freed before our word is taken.
            let block = unsafe { &*at };
            block.alive.with(|_| ());
            if block.has(place) {
                return block;
            }
            let next = block.next_or_new();
            is_hint = is_hint && block.is_written() && self.leave(block, at, next);
            at = next;
        }
    }

    /// Moves the hint on. False: somebody else has.
    fn leave(&self, block: &Block, at: *mut Block, next: *mut Block) -> bool {
        // ORDERING(spill.block): Release; pairs with the Acquire in `block_of`: the next block is seen as it was made.
        let moved =
            self.writers.hint.compare_exchange(at, next, Ordering::Release, Ordering::Relaxed).is_ok();
        if moved {
            // ORDERING(spill.left): AcqRel; pairs with the claim in `push`.
            let claimed = self.writers.claimed.fetch_add(0, Ordering::AcqRel);
            // ORDERING(spill.left_at): Release; pairs with the Acquire in `free_left`.
            block.left_at.store(claimed, Ordering::Release);
        }
        moved
    }

    /// The next word. `None`: nothing is written there.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    pub(crate) unsafe fn pop(&self) -> Option<NonZeroUsize> {
        self.reader.with_mut(|reader| {
            // SAFETY: as the caller says; blocks from `oldest` on are not freed.
            let (reader, mut block) = unsafe { (&mut *reader, &*(*reader).block) };
            if !block.has(reader.next) {
                // ORDERING(spill.block): Acquire; pairs with the AcqRel in `link`.
                let next = block.next.load(Ordering::Acquire);
                if next.is_null() {
                    return None;
                }
                reader.block = next;
                reader.free_left();
                // SAFETY: as above.
                block = unsafe { &*next };
            }
            // ORDERING(spill.word): Acquire; pairs with the Release in `push`.
            let word = block.words[(reader.next - block.first) as usize].load(Ordering::Acquire);
            reader.next += u64::from(word != 0);
            NonZeroUsize::new(word)
        })
    }
}

impl Reader {
    /// Frees the blocks that nobody comes to any more.
    fn free_left(&mut self) {
        while self.oldest != self.block {
            // SAFETY: not freed yet.
            let oldest = unsafe { &*self.oldest };
            // ORDERING(spill.left_at): Acquire; pairs with the Release in `leave`.
            let left_at = oldest.left_at.load(Ordering::Acquire);
            if left_at == NOT_LEFT || left_at > self.next {
                return;
            }
            self.free_oldest();
        }
    }

    fn free_oldest(&mut self) {
        // SAFETY: nobody comes to it any more, says the caller; it is freed once, as `oldest` moves on.
        let oldest = unsafe { Box::from_raw(self.oldest) };
        oldest.alive.with_mut(|_| ());
        self.oldest = oldest.next.load(Ordering::Acquire);
    }
}

impl Drop for Spill {
    /// Frees the blocks. Words still inside are the caller's to take out first.
    fn drop(&mut self) {
        self.reader.with_mut(|reader| {
            // SAFETY: `&mut self`: nobody else is left.
            let reader = unsafe { &mut *reader };
            while !reader.oldest.is_null() {
                reader.free_oldest();
            }
        });
    }
}
