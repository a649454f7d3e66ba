//! The scheduled side of the door: every thread is a coroutine of [shuttle]'s, and every access is a place where another one
//! may go on. What is behind it, and what it cannot show: shuttle_tests/README.md.
//!
//! Only tests are built with it (`--cfg bus_shuttle`). The types are the shipped ones with a [`step`] before each access: one
//! thread runs at a time, so every access is sequentially consistent, and arc-swap's and crossbeam's are one step each. What
//! waits is put to sleep in a [`world`] of its own, which also has the clock: no time passes while anybody can run.
//!
//! [shuttle]: https://docs.rs/shuttle

pub(crate) mod world;

use self::world::step;
use arc_swap::ArcSwap;
use crossbeam_queue::SegQueue;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::Ordering;
    use std::{ops::Deref, sync::atomic as real};

    macro_rules! atomics {
        ($($name:ident $(<$of:ident>)? of $value:ty,)+) => {$(
            #[derive(Debug, Default)]
            #[repr(transparent)]
            pub(crate) struct $name $(<$of>)? (real::$name $(<$of>)?);

            impl $(<$of>)? $name $(<$of>)? {
                pub(crate) const fn new(value: $value) -> Self {
                    Self(real::$name::new(value))
                }
            }

            impl $(<$of>)? Deref for $name $(<$of>)? {
                type Target = real::$name $(<$of>)?;
                fn deref(&self) -> &Self::Target {
                    super::step();
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

    /// Everything is in one order already.
    pub(crate) fn fence(_: Ordering) {}

    pub(crate) fn compiler_fence(_: Ordering) {}
}

pub(crate) mod hint {
    pub(crate) fn spin_loop() {
        super::world::give_way();
    }

    pub(crate) fn prefetch<T>(_: *const T) {}

    pub(crate) fn prefetch_write<T>(_: *const T) {}
}

/// What the clocks of the machine show: the world's time.
pub(crate) mod clock {
    use super::world;
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    pub(crate) fn now() -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_nanos(world::read_clock())
    }

    pub(crate) fn wall_ns() -> u64 {
        world::read_clock()
    }

    pub(crate) use wall_ns as coarse_ns;
    pub(crate) use wall_ns as coarse_wall_ns;
    pub(crate) use wall_ns as exact_ns;

    pub(crate) fn coarse_step_ns() -> u64 {
        0
    }
}

pub(crate) mod thread {
    pub(crate) use super::world::give_way as yield_now;
    use super::world::{self, address, step};
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::{io, time::Duration};

    /// The waking side of park.
    #[derive(Clone, Debug)]
    pub(crate) struct Thread(Arc<Token>);

    #[derive(Debug, Default)]
    struct Token {
        is_set: AtomicBool,
        has_ended: AtomicBool,
        name: String,
    }

    super::local! {
        static CURRENT: RefCell<Thread> = RefCell::new(Thread::named(String::new()));
    }

    impl Thread {
        fn named(name: String) -> Self {
            Self(Arc::new(Token { name, ..Token::default() }))
        }

        pub(crate) fn unpark(&self) {
            step();
            self.0.is_set.store(true, Relaxed);
            world::wake(address(&*self.0));
        }
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(|current| current.borrow().clone())
    }

    pub(crate) fn park() {
        park_until(None);
    }

    pub(crate) fn park_timeout(limit: Duration) {
        park_until(Some(world::after(limit)));
    }

    /// Not woken without a token: the world does so when it likes, if there is a limit.
    fn park_until(end: Option<u64>) {
        let Thread(token) = current();
        step();
        while !token.is_set.swap(false, Relaxed) {
            if !world::sleep(address(&*token), "an unpark", end) {
                return;
            }
        }
    }

    pub(crate) fn sleep(length: Duration) {
        let nobody = 0_u8;
        world::sleep(address(&nobody), "time", Some(world::after(length)));
    }

    /// A started thread. Nothing is left running: a run in which one stays asleep has failed.
    #[derive(Debug)]
    pub(crate) struct JoinHandle<T>(shuttle::thread::JoinHandle<T>, Thread);

    impl<T> JoinHandle<T> {
        pub(crate) fn is_finished(&self) -> bool {
            step();
            self.1.0.has_ended.load(Relaxed)
        }

        /// Waits for its end. Bus threads do not panic; if one did, the run has failed.
        pub(crate) fn join(self) {
            let _ = self.0.join();
        }

        pub(crate) fn thread(&self) -> Thread {
            self.1.clone()
        }

        pub(crate) fn name(&self) -> String {
            self.1.0.name.clone()
        }
    }

    pub(crate) fn spawn<T: Send + 'static>(
        name: String,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let thread = Thread::named(name.clone());
        let its = thread.clone();
        let named = move || {
            CURRENT.with(|current| *current.borrow_mut() = its.clone());
            let returned = body();
            its.0.has_ended.store(true, Relaxed);
            returned
        };
        let started = shuttle::thread::Builder::new().name(name).spawn(named)?;
        Ok(JoinHandle(started, thread))
    }
}

/// Whether the code is to be wrong here, in this run: the mutations that have names (loom_tests/mutations.tsv).
macro_rules! mutated {
    ($name:literal) => {
        crate::sync::shuttle::world::is_mutated($name)
    };
}
pub(crate) use mutated;

/// Thread-locals of the coroutines, which all live on one thread of the system.
macro_rules! local {
    ($($(#[$doc:meta])* static $name:ident: $of:ty = $first:expr;)+) => {
        shuttle::thread_local! { $($(#[$doc])* static $name: $of = $first;)+ }
    };
}
pub(crate) use local;

/// The standard mutex, never waited for by the system: only one coroutine runs.
#[derive(Debug)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T> {
    of: &'a Mutex<T>,
    /// None: being dropped.
    held: Option<std::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, T>, PoisonError<MutexGuard<'_, T>>> {
        step();
        let held = loop {
            match self.0.try_lock() {
                Ok(held) => break held,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => world::sleep(world::address(self), "a lock", None),
            };
        };
        Ok(MutexGuard { of: self, held: Some(held) })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.held.as_ref().expect("held until it is dropped")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("held until it is dropped")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        step();
        self.held = None;
        world::wake(world::address(self.of));
    }
}

#[derive(Debug)]
pub(crate) struct Condvar {
    notified: AtomicU64,
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self { notified: AtomicU64::new(0) }
    }

    pub(crate) fn notify_all(&self) {
        step();
        self.notified.fetch_add(1, Relaxed);
        world::wake(world::address(self));
    }

    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> Result<MutexGuard<'a, T>, PoisonError<MutexGuard<'a, T>>> {
        self.wait_until(guard, None)
    }

    /// The second is for the standard one's shape; nobody asks.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> std::sync::LockResult<(MutexGuard<'a, T>, ())> {
        let guard = self.wait_until(guard, Some(world::after(limit)));
        Ok((guard.unwrap_or_else(PoisonError::into_inner), ()))
    }

    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        end: Option<u64>,
    ) -> Result<MutexGuard<'a, T>, PoisonError<MutexGuard<'a, T>>> {
        let (of, seen) = (guard.of, self.notified.load(Relaxed));
        drop(guard);
        while self.notified.load(Relaxed) == seen && world::sleep(world::address(self), "a notification", end)
        {
        }
        of.lock()
    }
}

/// A cell that notices two accesses at once, one of them a write: others may run in the middle of each.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T> {
    value: std::cell::UnsafeCell<T>,
    /// So many read; [`WRITTEN`]: somebody writes.
    users: AtomicIsize,
}

const WRITTEN: isize = -1;

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { value: std::cell::UnsafeCell::new(value), users: AtomicIsize::new(0) }
    }

    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        assert_ne!(self.users.load(Relaxed), WRITTEN, "a cell is read while it is written");
        self.users.fetch_add(1, Relaxed);
        let _using = Using(&self.users, 1);
        step();
        read(self.value.get())
    }

    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        assert_eq!(self.users.swap(WRITTEN, Relaxed), 0, "a cell is written while somebody uses it");
        let _using = Using(&self.users, WRITTEN);
        step();
        write(self.value.get())
    }
}

struct Using<'a>(&'a AtomicIsize, isize);

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Relaxed);
    }
}

/// arc-swap's: each call is one step.
pub(crate) struct Snapshot<T>(ArcSwap<T>);

pub(crate) type SnapshotGuard<T> = arc_swap::Guard<Arc<T>>;

impl<T> Snapshot<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(ArcSwap::new(value))
    }

    pub(crate) fn load(&self) -> SnapshotGuard<T> {
        step();
        self.0.load()
    }

    pub(crate) fn load_owned(&self) -> SnapshotGuard<T> {
        step();
        SnapshotGuard::from_inner(self.0.load_full())
    }

    pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
        step();
        self.0.swap(value)
    }
}

/// crossbeam's: each call is one step.
pub(crate) struct Backlog<T>(SegQueue<T>);

impl<T> Backlog<T> {
    pub(crate) fn new() -> Self {
        Self(SegQueue::new())
    }

    pub(crate) fn push(&self, value: T) {
        step();
        self.0.push(value);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        step();
        self.0.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        step();
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        step();
        self.0.len()
    }
}
