//! The shipped side of the door: the standard library, arc-swap, crossbeam.

use arc_swap::ArcSwap;
use crossbeam_queue::SegQueue;
use std::sync::Arc;

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

/// Types of our own around the standard ones: clippy goes by what a name stands for, and so can tell code that came
/// through the door from code that went round it.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::Ordering;
    use std::{ops::Deref, sync::atomic as real};

    macro_rules! atomics {
        ($($name:ident $(<$of:ident>)? of $value:ty,)+) => {$(
            #[derive(Debug, Default)]
            #[repr(transparent)]
            pub(crate) struct $name $(<$of>)? (real::$name $(<$of>)?);

            impl $(<$of>)? $name $(<$of>)? {
                #[inline]
                pub(crate) const fn new(value: $value) -> Self {
                    Self(real::$name::new(value))
                }
            }

            impl $(<$of>)? Deref for $name $(<$of>)? {
                type Target = real::$name $(<$of>)?;
                #[inline]
                fn deref(&self) -> &Self::Target {
                    &self.0
                }
            }
        )+};
    }

    atomics! {
        AtomicBool of bool,
        AtomicPtr<T> of *mut T,
        AtomicU8 of u8,
        AtomicU32 of u32,
        AtomicU64 of u64,
        AtomicUsize of usize,
    }

    #[inline]
    pub(crate) fn fence(order: Ordering) {
        real::fence(order);
    }

    /// For the compiler alone.
    #[inline]
    pub(crate) fn compiler_fence(order: Ordering) {
        real::compiler_fence(order);
    }
}

pub(crate) mod hint {
    #[inline]
    pub(crate) fn spin_loop() {
        std::hint::spin_loop();
    }

    /// The line at `place` is read soon: it may come from memory while this one goes on. A hint, as below.
    #[inline(always)]
    pub(crate) fn prefetch<T>(place: *const T) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: faults at no address, reads nothing.
        unsafe {
            std::arch::x86_64::_mm_prefetch(place.cast(), std::arch::x86_64::_MM_HINT_T0)
        };
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = place;
    }

    /// The line at `place` is written soon: it may come from the core that has it while this one goes on. A hint: nothing
    /// is read, written or ordered by it, and any address will do.
    #[inline(always)]
    pub(crate) fn prefetch_write<T>(place: *const T) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            // Not `_mm_prefetch`: without a target feature that is a prefetch to read, and the line is asked for twice.
            // SAFETY: faults at no address, changes neither memory nor flags; a processor without it does nothing.
            unsafe { std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags)) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = place;
    }
}

pub(crate) mod thread {
    pub(crate) use std::thread::{Thread, current, park, park_timeout};
    use std::{io, thread::Builder, time::Duration};

    pub(crate) fn sleep(time: Duration) {
        std::thread::sleep(time);
    }

    pub(crate) fn yield_now() {
        std::thread::yield_now();
    }

    /// A started thread; dropping it leaves the thread running.
    #[derive(Debug)]
    pub(crate) struct JoinHandle<T>(std::thread::JoinHandle<T>);

    impl<T> JoinHandle<T> {
        /// Whether its body has returned.
        pub(crate) fn is_finished(&self) -> bool {
            self.0.is_finished()
        }

        /// Waits for its end. Bus threads do not panic; if one did, its end is an end as well.
        pub(crate) fn join(self) {
            let _ = self.0.join();
        }

        /// Wakes the thread.
        pub(crate) fn thread(&self) -> Thread {
            self.0.thread().clone()
        }

        pub(crate) fn name(&self) -> String {
            self.0.thread().name().unwrap_or_default().to_owned()
        }
    }

    /// Starts a named thread. The operating system may refuse; the caller says what that means.
    pub(crate) fn spawn<T: Send + 'static>(
        name: String,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let shown = shown(&name);
        let named = move || {
            show(shown);
            body()
        };
        Builder::new().name(name).spawn(named).map(JoinHandle)
    }

    /// What the system shows of a name that is too long for it: its beginning, and the number at its end.
    #[cfg(target_os = "linux")]
    pub(super) fn shown(name: &str) -> Option<String> {
        const BYTES: usize = 15;
        if name.len() <= BYTES {
            return None;
        }
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        let number = if name.len() - stem.len() <= BYTES / 2 { &name[stem.len()..] } else { "" };
        let cut = stem.floor_char_boundary(BYTES - number.len());
        Some(format!("{}{number}", &stem[..cut]))
    }

    /// The standard library has cut it already, anywhere.
    #[cfg(target_os = "linux")]
    fn show(name: Option<String>) {
        if let Some(name) = name.and_then(|name| std::ffi::CString::new(name).ok()) {
            let _ = rustix::thread::set_name(&name);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn shown(_: &str) {}

    #[cfg(not(target_os = "linux"))]
    fn show(_: ()) {}
}

/// Whether the code is to be wrong here, which only models want: `model.rs`. The word `false`, and nothing else.
macro_rules! mutated {
    ($name:literal) => {
        false
    };
}
pub(crate) use mutated;

/// Thread-locals with a constant first value.
macro_rules! local {
    ($($(#[$doc:meta])* static $name:ident: $of:ty = $first:expr;)+) => {
        std::thread_local! { $($(#[$doc])* static $name: $of = const { $first };)+ }
    };
}
pub(crate) use local;

/// A cell whose accesses loom can check.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// A value that readers load without waiting and writers replace whole.
pub(crate) struct Snapshot<T>(ArcSwap<T>);

/// A loaded value.
pub(crate) type SnapshotGuard<T> = arc_swap::Guard<Arc<T>>;

impl<T> Snapshot<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(ArcSwap::new(value))
    }

    /// Borrows the value that stands now; cheap, and safe to hold for a while.
    #[inline]
    pub(crate) fn load(&self) -> SnapshotGuard<T> {
        self.0.load()
    }

    /// The same with a reference of its own, to be kept for long and on any thread.
    pub(crate) fn load_owned(&self) -> SnapshotGuard<T> {
        SnapshotGuard::from_inner(self.0.load_full())
    }

    /// Replaces the value and returns the old one. Writers exclude each other by a lock of their own.
    pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
        self.0.swap(value)
    }
}

/// An unbounded queue for the run queue, where a bounded one cannot do.
pub(crate) struct Backlog<T>(SegQueue<T>);

impl<T> Backlog<T> {
    pub(crate) fn new() -> Self {
        Self(SegQueue::new())
    }

    pub(crate) fn push(&self, value: T) {
        self.0.push(value);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.0.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::thread::shown;

    #[test]
    fn long_names_keep_their_number_and_whole_characters() {
        let cut = |name| shown(name).unwrap();
        assert_eq!(shown("stasis-worker-7"), None);
        assert_eq!(cut("stasis-worker-12"), "stasis-worke-12");
        assert_eq!(cut("a-rather-long-name"), "a-rather-long-n");
        assert_eq!(cut("channel-12345678901234567890"), "channel");
        assert_eq!(cut("fourteen-bytesä"), "fourteen-bytes");
        assert_eq!(cut("0123456789012345"), "");
    }
}
