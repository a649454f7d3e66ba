//! Congestion: a callback that hears whenever a mailbox passes its water marks.
//!
//! That a mark was passed is decided by the ring's word (`queue`, "Congestion"), so crossings alternate: the odd ones are
//! High, the even ones Low. Whoever passed one counts it here, and then sees to it that it is told. The count and the
//! right to call are one word, `crossings | ENDED | CALLING`:
//!
//! | who | from | to | then |
//! | --- | --- | --- | --- |
//! | passed a mark | (n, e, c) | (n+1, e, c) | tells |
//! | tells, nobody calls | (n, -, -) | (n, -, CALLING) | calls for each number up to n that was not told |
//! | tells, somebody calls | unchanged | | leaves it to that one |
//! | has told up to n | (n, e, CALLING) | (n, e, -) | fails if a number came meanwhile: goes on |
//! | the end | (n, -, c) | (n, ENDED, c) | not CALLING: drops the callback |
//! | has told, finds ENDED | unchanged | | drops the callback, which nobody calls any more |
//!
//! So calls never overlap, and come in order, each once. A number counted by one thread may be told by another: all that
//! is handed over is the count, and its parity says which mark it was.

use super::Profile;
use crate::dispatch::fence::PanicPlace;
use crate::dispatch::frames;
use crate::queue::Marks;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{UnsafeCell, mutated};

const CALLING: u64 = 0b01;
const ENDED: u64 = 0b10;
const COUNT_SHIFT: u32 = 2;
/// The default marks of a mailbox of at least twice as much.
const HIGH_DEFAULT: usize = 500;
const LOW_DEFAULT: usize = 450;

/// Which mark was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Crossing {
    /// So many messages wait that the mailbox counts as congested.
    High,
    /// So few wait that it does not any more.
    Low,
}

/// A mailbox has passed one of its water marks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaterMark {
    /// The subscription's name.
    pub subscription: String,
    /// Its number, unique in the process.
    pub id: u64,
    /// Which mark.
    pub crossing: Crossing,
    /// How many messages waited when the mark was passed (if it was passed again before this could be told: then).
    pub depth: u64,
    /// Counted from 1 in each subscription; odd ones are `High`.
    pub number: u64,
}

pub(crate) type OnWaterMark = Box<dyn FnMut(&WaterMark) + Send>;

/// The marks of a mailbox of which nothing was said.
pub(crate) fn default_marks(capacity: usize) -> Marks {
    let high = HIGH_DEFAULT.min((capacity / 2).max(1));
    let low = LOW_DEFAULT.min(capacity * 45 / 100).min(high - 1);
    Marks { high: high as u64, low: low as u64 }
}

/// How often marks were passed, and who is told.
pub(super) struct Congestion {
    /// `crossings | ENDED | CALLING`
    word: AtomicU64,
    teller: Option<Box<Teller>>,
}

struct Teller {
    /// Touched by whoever set CALLING, or after the end.
    callback: UnsafeCell<Option<OnWaterMark>>,
    /// The last number told; likewise.
    told: UnsafeCell<u64>,
    high_depth: AtomicU64,
    low_depth: AtomicU64,
}

// SAFETY: the cells are touched by the one thread that set CALLING, or that found it unset when it set ENDED, after which
// nobody sets it. The word hands them on (AcqRel). Loom checks it in loom_tests/marks.rs.
unsafe impl Sync for Teller {}

impl Congestion {
    /// Who passed a mark may count it before the one who passed the other mark earlier does: then the depth told is that of
    /// the crossing before, and of the first one the mark.
    pub(super) fn new(callback: Option<OnWaterMark>, marks: Marks) -> Self {
        let teller = callback.map(|callback| {
            Box::new(Teller {
                callback: UnsafeCell::new(Some(callback)),
                told: UnsafeCell::new(0),
                high_depth: AtomicU64::new(if mutated!("marks.depth") { 0 } else { marks.high }),
                low_depth: AtomicU64::new(marks.low),
            })
        });
        Self { word: AtomicU64::new(0), teller }
    }

    /// The high mark was passed so often.
    pub(super) fn high_crossings(&self) -> u64 {
        (self.word.load(Ordering::Relaxed) >> COUNT_SHIFT).div_ceil(2)
    }

    /// A mark was passed, when so many waited. True: somebody wants to be told, by a [`tell`](Self::tell) that follows
    /// when nothing is half done.
    #[cold]
    pub(super) fn passed(&self, crossing: Crossing, depth: u64) -> bool {
        if let Some(teller) = &self.teller {
            teller.depth(crossing).store(depth, Ordering::Relaxed);
        }
        // ORDERING(marks): AcqRel; pairs with itself in `tell`: the depth goes with the count.
        self.word.fetch_add(1 << COUNT_SHIFT, Ordering::AcqRel);
        self.teller.is_some()
    }

    /// Tells what was not told yet, unless another thread is doing so. User code. Returns how many calls panicked.
    pub(super) fn tell(&self, profile: &Profile) -> u64 {
        let Some(teller) = &self.teller else { return 0 };
        let mut seen = self.word.load(Ordering::Relaxed);
        while seen & (CALLING | ENDED) == 0 {
            match self.change(seen, seen | CALLING) {
                Ok(_) => {
                    return frames::enter(profile.bus, profile.id, || self.tell_all(teller, profile, seen));
                }
                Err(now) => seen = now,
            }
        }
        0
    }

    /// CALLING is ours, and there were as many crossings as `seen` says.
    fn tell_all(&self, teller: &Teller, profile: &Profile, mut seen: u64) -> u64 {
        let mut panics = 0;
        loop {
            // SAFETY: CALLING is ours.
            panics += unsafe { teller.tell_until(seen >> COUNT_SHIFT, profile) };
            match self.change(seen | CALLING, seen) {
                Ok(_) => return panics,
                Err(now) if now & ENDED != 0 => {
                    // SAFETY: CALLING stays, so nobody else comes.
                    unsafe { teller.drop_callback(profile) };
                    return panics;
                }
                Err(_) if mutated!("marks.newer") => return panics,
                Err(now) => seen = now & !CALLING,
            }
        }
    }

    /// The subscription has ended: nobody is told any more, and the callback goes.
    pub(super) fn end(&self, profile: &Profile) {
        let Some(teller) = &self.teller else { return };
        if self.word.fetch_or(ENDED, Ordering::AcqRel) & (CALLING | ENDED) == 0 {
            // SAFETY: nobody calls, and after ENDED nobody begins to.
            unsafe { teller.drop_callback(profile) };
        }
    }

    fn change(&self, seen: u64, next: u64) -> Result<u64, u64> {
        // ORDERING(marks): AcqRel; pairs with itself: who sets CALLING sees the cells as the last one left them. Acquire
        // also where it fails: the depths of the crossings that came meanwhile are told next.
        self.word.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire)
    }
}

impl Teller {
    fn depth(&self, crossing: Crossing) -> &AtomicU64 {
        match crossing {
            Crossing::High => &self.high_depth,
            Crossing::Low => &self.low_depth,
        }
    }

    /// # Safety
    ///
    /// The caller set CALLING.
    unsafe fn tell_until(&self, crossings: u64, profile: &Profile) -> u64 {
        let mut panics = 0;
        // SAFETY: as the caller says.
        let told = self.told.with_mut(|told| std::mem::replace(unsafe { &mut *told }, crossings));
        for number in told + 1..=crossings {
            let crossing = if number % 2 == 1 { Crossing::High } else { Crossing::Low };
            let mark = WaterMark {
                subscription: profile.name.to_string(),
                id: profile.id,
                crossing,
                depth: self.depth(crossing).load(Ordering::Relaxed),
                number,
            };
            self.callback.with_mut(|callback| {
                // SAFETY: as above.
                let Some(callback) = (unsafe { &mut *callback }) else { return };
                let call = || callback(&mark);
                panics += u64::from(profile.fence.run(&profile.name, PanicPlace::WaterMark, call).is_none());
            });
        }
        panics
    }

    /// # Safety
    ///
    /// Nobody calls it, and nobody will.
    unsafe fn drop_callback(&self, profile: &Profile) {
        // SAFETY: as the caller says.
        let callback = self.callback.with_mut(|callback| unsafe { (*callback).take() });
        frames::enter(profile.bus, profile.id, || {
            profile.fence.run(&profile.name, PanicPlace::HandlerDrop, || drop(callback))
        });
    }
}
