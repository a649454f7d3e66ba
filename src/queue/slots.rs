//! The slots of a ring: made by the first message, so that an idle mailbox stays small.

use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::sync::hint;
use std::ptr;

/// Slots in a cache line.
pub(super) const LINE: u64 = 8;

/// A pointer to `mask + 1` slots, or null.
pub(super) struct Slots(AtomicPtr<AtomicUsize>);

impl Slots {
    pub(super) fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The slots; null if no message came yet.
    #[inline]
    pub(super) fn peek(&self) -> *mut AtomicUsize {
        // ORDERING(ring.slots): Acquire; pairs with the AcqRel in `install`: the slots are seen zeroed.
        self.0.load(Ordering::Acquire)
    }

    /// The slots, made now if there are none.
    #[inline]
    pub(super) fn get(&self, mask: usize) -> *mut AtomicUsize {
        let slots = self.peek();
        if slots.is_null() { self.install(mask) } else { slots }
    }

    /// Two first messages race; one wins.
    #[cold]
    fn install(&self, mask: usize) -> *mut AtomicUsize {
        let made: Box<[AtomicUsize]> = (0..=mask).map(|_| AtomicUsize::new(0)).collect();
        let made = Box::into_raw(made).cast::<AtomicUsize>();
        // ORDERING(ring.slots): AcqRel; pairs with the Acquire in `peek`.
        match self.0.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(winner) => {
                // SAFETY: `made` was never shown to anybody.
                unsafe { free(made, mask) };
                winner
            }
        }
    }

    /// # Safety
    ///
    /// Nobody uses the slots any more, and `mask` is the one they were made with.
    pub(super) unsafe fn free(&mut self, mask: usize) {
        let slots = self.0.load(Ordering::Acquire);
        if !slots.is_null() {
            // SAFETY: as the caller says.
            unsafe { free(slots, mask) };
        }
    }
}

/// # Safety
///
/// `slots` came from `install` with `mask`, and nobody uses it any more.
unsafe fn free(slots: *mut AtomicUsize, mask: usize) {
    // SAFETY: as the caller says; the length is the one it was made with.
    drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(slots, mask + 1)) });
}

#[inline]
pub(super) fn slot<'a>(slots: *mut AtomicUsize, index: u64, mask: usize) -> &'a AtomicUsize {
    // SAFETY: `slots` came from `install` with `mask + 1` elements and lives as long as the ring that every caller
    // borrows; the mask keeps the offset inside.
    unsafe { &*slots.add(index as usize & mask) }
}

/// The slot at `index`, and those on its line, are written soon.
#[inline]
pub(super) fn prefetch(slots: *mut AtomicUsize, index: u64, mask: usize) {
    hint::prefetch_write(slots.wrapping_add(index as usize & mask));
}
