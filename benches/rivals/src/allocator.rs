//! Which allocator serves this process: said by its environment, read at its first allocation.
//!
//! A global allocator is chosen when a program is built. This one passes every call on to the one that was chosen, for
//! one load and one branch that is always taken the same way; every contestant pays the same. The bench runs its
//! repetitions in processes of their own, one for each allocator.

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

/// The environment variable that says which.
pub const VARIABLE: &str = "RIVALS_ALLOCATOR";

/// Who may serve a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Allocator {
    Mimalloc = 1,
    System = 2,
    /// mimalloc, and every byte is counted: for what is weighed, not for what is timed.
    Counted = 3,
}

impl Allocator {
    /// As the environment says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mimalloc => "mimalloc",
            Self::System => "system",
            Self::Counted => "counted",
        }
    }

    /// As a row names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mimalloc | Self::Counted => "mimalloc",
            Self::System => "system",
        }
    }
}

/// The bytes that stand allocated, as large as the allocator made them. Only where it is [`Allocator::Counted`].
pub fn live_bytes() -> i64 {
    assert_eq!(chosen(), Allocator::Counted as u8, "nobody counts bytes in this process");
    LIVE.load(Ordering::SeqCst)
}

static CHOSEN: AtomicU8 = AtomicU8::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

pub struct Switch;

// SAFETY: every block is made, resized and freed by the same allocator, since the choice is made once and for all, and
// each of them keeps the contract of `GlobalAlloc`.
unsafe impl GlobalAlloc for Switch {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on as they are, here and below.
        unsafe {
            match chosen() {
                1 => MiMalloc.alloc(layout),
                2 => System.alloc(layout),
                _ => counted(MiMalloc.alloc(layout)),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe {
            match chosen() {
                1 => MiMalloc.dealloc(block, layout),
                2 => System.dealloc(block, layout),
                _ => MiMalloc.dealloc(uncounted(block), layout),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            match chosen() {
                1 => MiMalloc.alloc_zeroed(layout),
                2 => System.alloc_zeroed(layout),
                _ => counted(MiMalloc.alloc_zeroed(layout)),
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            match chosen() {
                1 => MiMalloc.realloc(block, layout, size),
                2 => System.realloc(block, layout, size),
                _ => counted(MiMalloc.realloc(uncounted(block), layout, size)),
            }
        }
    }
}

#[inline]
fn chosen() -> u8 {
    match CHOSEN.load(Ordering::Relaxed) {
        0 => choose(),
        chosen => chosen,
    }
}

/// mimalloc if nothing is said. Allocates nothing itself.
#[cold]
fn choose() -> u8 {
    // SAFETY: the name ends in a zero. The answer, a text that ends in one, stays: nobody here changes the environment.
    let said = unsafe { libc::getenv(c"RIVALS_ALLOCATOR".as_ptr()) };
    // SAFETY: looked at only if there is an answer.
    let first = if said.is_null() { 0 } else { unsafe { said.read() } };
    let chosen = match u8::try_from(first) {
        Ok(b's') => Allocator::System,
        Ok(b'c') => Allocator::Counted,
        _ => Allocator::Mimalloc,
    };
    CHOSEN.store(chosen as u8, Ordering::Relaxed);
    chosen as u8
}

/// # Safety
/// `block` is null or a live block of mimalloc.
unsafe fn counted(block: *mut u8) -> *mut u8 {
    // SAFETY: the caller's promise.
    LIVE.fetch_add(unsafe { size(block) }, Ordering::Relaxed);
    block
}

/// # Safety
/// As [`counted`].
unsafe fn uncounted(block: *mut u8) -> *mut u8 {
    // SAFETY: the caller's promise.
    LIVE.fetch_sub(unsafe { size(block) }, Ordering::Relaxed);
    block
}

/// # Safety
/// As [`counted`].
unsafe fn size(block: *mut u8) -> i64 {
    // SAFETY: the caller's promise.
    let bytes = unsafe { MiMalloc.usable_size(block) };
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
