//! One registered waker, taken by whoever has something to tell.
//!
//! The idea is known as an atomic waker (tokio, futures-rs and smol each have one). Two parties: one *task* that
//! registers, any number of *wakers* that wake. State word, two bits:
//!
//! | state | cell belongs to | register | wake |
//! | --- | --- | --- | --- |
//! | `WAITING` (0) | nobody | takes `REGISTERING`, writes the cell | takes `WAKING`, takes the waker out, wakes it |
//! | `REGISTERING` | the task | (one task only) | sets `WAKING` beside it and leaves: the task will see it |
//! | `WAKING` | the waking thread | wakes itself and comes again | leaves: somebody is waking already |
//! | both | the task | on finishing: takes its waker back and wakes it | leaves |
//!
//! So a wake that began after `register` returned always reaches the registered waker, and one that overlapped it
//! reaches it too. Whoever registers looks once more at what it waits for afterwards.
//!
//! Wakers are foreign code: cloning, waking and dropping happen outside the two states' windows, except for the
//! move of the waker itself.

use super::atomic::{AtomicUsize, Ordering};
use super::{UnsafeCell, mutated};
use std::task::Waker;

const WAITING: usize = 0;
const REGISTERING: usize = 0b01;
const WAKING: usize = 0b10;

pub(crate) struct WakerCell {
    state: AtomicUsize,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: the cell is touched only by the thread that moved `state` out of WAITING (table above), so never by two
// at once; `Waker` is Send. Loom checks the windows in loom_tests/waker.rs.
unsafe impl Send for WakerCell {}
// SAFETY: as above.
unsafe impl Sync for WakerCell {}

impl WakerCell {
    pub(crate) fn new() -> Self {
        Self { state: AtomicUsize::new(WAITING), waker: UnsafeCell::new(None) }
    }

    /// Remembers `waker` in place of an earlier one. One task at a time may call this.
    pub(crate) fn register(&self, waker: &Waker) {
        let fresh = waker.clone();
        // ORDERING(waker.cell): Acquire; pairs with the Release that left the cell in `wake` or `register`.
        match self.state.compare_exchange(WAITING, REGISTERING, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {
                // SAFETY: REGISTERING is ours, so the cell is.
                let old = self.waker.with_mut(|cell| unsafe { (*cell).replace(fresh) });
                self.finish_registering();
                drop(old);
            }
            // Somebody is waking right now: it may have taken an older waker, so this one is told directly.
            Err(_) if mutated!("waker.late") => {}
            Err(_) => fresh.wake(),
        }
    }

    fn finish_registering(&self) {
        // ORDERING(waker.cell): Release hands the written cell to the next `wake`; Acquire on failure sees what
        // the waking thread wrote before it set WAKING.
        let left = self.state.compare_exchange(REGISTERING, WAITING, Ordering::AcqRel, Ordering::Acquire);
        if left.is_err() {
            // A wake came in between and left the work to us.
            // SAFETY: both bits are set: the cell stays ours until the state is WAITING again.
            let waker = self.waker.with_mut(|cell| unsafe { (*cell).take() });
            // ORDERING(waker.cell): Release; pairs with the Acquire of the next register or wake.
            self.state.swap(WAITING, Ordering::AcqRel);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Wakes the registered waker, if there is one, and forgets it.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.take() {
            waker.wake();
        }
    }

    fn take(&self) -> Option<Waker> {
        // ORDERING(waker.cell): Acquire takes the cell over from `register`; Release shows the task, if it is
        // registering, what was written before this wake.
        match self.state.fetch_or(WAKING, Ordering::AcqRel) {
            WAITING => {
                // SAFETY: we moved the state from WAITING to WAKING, so the cell is ours.
                let waker = self.waker.with_mut(|cell| unsafe { (*cell).take() });
                // ORDERING(waker.cell): Release gives the cell back.
                self.state.fetch_and(!WAKING, Ordering::Release);
                waker
            }
            _ => None,
        }
    }
}
