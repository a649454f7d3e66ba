//! The bytes that are allocated, counted exactly: what the system says a process has also holds what its allocator keeps for
//! later, and moves by megabytes for no reason of ours.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

const CELLS: usize = 32;

/// Threads have different ones, as a rule: a shared one would be the busiest line of the run.
#[repr(align(128))]
struct Count(AtomicI64);

/// More may be given back than was taken in one of them; their sum is exact.
static COUNTS: [Count; CELLS] = [const { Count(AtomicI64::new(0)) }; CELLS];

std::thread_local! {
    /// Where it lies tells threads apart. It has no destructor and is never made: an allocator may use it at any time.
    static PLACE: Cell<u8> = const { Cell::new(0) };
}

fn add(bytes: i64) {
    let place = PLACE.try_with(|place| place.as_ptr().addr()).unwrap_or_default();
    // Blocks of thread-locals are pages apart.
    COUNTS[(place >> 12) % CELLS].0.fetch_add(bytes, Ordering::Relaxed);
}

/// How many bytes are in use.
pub(crate) fn bytes() -> u64 {
    let sum: i64 = COUNTS.iter().map(|count| count.0.load(Ordering::Relaxed)).sum();
    u64::try_from(sum).unwrap_or(0)
}

/// The system's allocator, with a count.
struct Counting;

// SAFETY: each call is the system's, with what the caller guarantees; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as i64);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as i64);
        // SAFETY: as the caller says.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size as i64 - layout.size() as i64);
        // SAFETY: as the caller says.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        add(-(layout.size() as i64));
        // SAFETY: as the caller says.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
