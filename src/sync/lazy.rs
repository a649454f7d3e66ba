//! A box that is made when somebody needs it: what most of its owners never have.
//!
//! | who | step |
//! | --- | --- |
//! | everybody | loads the pointer; not null: has the value |
//! | who needs the value, and found null | makes one, outside of everything; sets the pointer from null to it, by compare-exchange |
//! | the same, somebody was first | drops its own again, and has that one's |
//!
//! So nobody waits for anybody. Two at once may make a value each: making one does nothing but allocate.

use super::atomic::{AtomicPtr, Ordering};
use std::marker::PhantomData;
use std::ptr;
use std::sync::OnceLock;

/// One word until it is made. Sent and shared as the standard library's cell that is set once.
pub(crate) struct LazyBox<T>(AtomicPtr<T>, PhantomData<OnceLock<T>>);

impl<T> LazyBox<T> {
    pub(crate) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }

    /// The value; `None`: nobody has needed it yet.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // ORDERING(lazy.made): Acquire; pairs with the AcqRel in `make`: the value is seen as it was made.
        let made = self.0.load(Ordering::Acquire);
        // SAFETY: null, or from `make`; it stays until `self` goes, which the caller borrows.
        unsafe { made.as_ref() }
    }

    /// The value, made now if there is none. `make` may be called in vain.
    #[inline]
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        self.get().unwrap_or_else(|| self.make(make()))
    }

    #[cold]
    fn make(&self, value: T) -> &T {
        let made = Box::into_raw(Box::new(value));
        // ORDERING(lazy.made): AcqRel; pairs with itself and with the Acquire in `get`.
        match self.0.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: just made; it stays until `self` goes.
            Ok(_) => unsafe { &*made },
            Err(first) => {
                // SAFETY: `made` was never shown to anybody, and `first` stays until `self` goes.
                unsafe {
                    drop(Box::from_raw(made));
                    &*first
                }
            }
        }
    }
}

impl<T> Drop for LazyBox<T> {
    fn drop(&mut self) {
        // Relaxed: who has `&mut self` comes after everybody else.
        let made = self.0.load(Ordering::Relaxed);
        if !made.is_null() {
            // SAFETY: from `make`, and `&mut self`: nobody borrows it any more.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}
