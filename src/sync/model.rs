//! The modelled side of the door: loom's types, and stand-ins for what loom cannot look into.
//!
//! A stand-in offers what the real one documents and nothing stronger: a store that is seen by a load makes the
//! stored value's contents visible, and that is all. In particular no stand-in is built on loom's mutex, which
//! would add edges between two readers that the real one does not promise.

use self::atomic::{AtomicUsize, Ordering};
use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;

pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

/// Thread-locals of the modelled threads, which all live on one thread of the system.
macro_rules! local {
    ($($(#[$doc:meta])* static $name:ident: $of:ty = $first:expr;)+) => {
        loom::thread_local! { $($(#[$doc])* static $name: $of = $first;)+ }
    };
}
pub(crate) use local;

pub(crate) mod atomic;
pub(crate) mod mutation;

/// Whether the code is to be wrong here, in this run: [`mutation`].
macro_rules! mutated {
    ($name:literal) => {
        crate::sync::mutation::is($name)
    };
}
pub(crate) use mutated;

/// Stand-in for a fence that one side makes for both: each makes its own.
pub(crate) mod barrier {
    use super::atomic::{Ordering, fence};

    pub(crate) fn has_call() -> bool {
        true
    }

    pub(crate) fn light() {
        fence(Ordering::SeqCst);
    }

    pub(crate) fn heavy() {
        fence(Ordering::SeqCst);
    }
}

pub(crate) mod hint {
    pub(crate) use loom::hint::spin_loop;

    pub(crate) fn prefetch<T>(_: *const T) {}

    pub(crate) fn prefetch_write<T>(_: *const T) {}
}

pub(crate) mod thread {
    use super::{Condvar, Mutex};
    pub(crate) use loom::thread::yield_now;
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::{io, time::Duration};

    /// The waking side of park. Not loom's own, which wakes a thread whatever it waits for (a join, a mutex), and
    /// orders it behind the unpark even if it never parks.
    #[derive(Clone)]
    pub(crate) struct Thread(Arc<Token>);

    struct Token {
        is_set: Mutex<bool>,
        changed: Condvar,
    }

    local! {
        static CURRENT: RefCell<Thread> = RefCell::new(Thread::new());
    }

    impl std::fmt::Debug for Thread {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Thread")
        }
    }

    impl Thread {
        fn new() -> Self {
            Self(Arc::new(Token { is_set: Mutex::new(false), changed: Condvar::new() }))
        }

        pub(crate) fn unpark(&self) {
            *self.0.is_set.lock().unwrap() = !mutated!("park.token");
            self.0.changed.notify_one();
        }

        fn take_token(&self) -> bool {
            std::mem::take(&mut self.0.is_set.lock().unwrap())
        }
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(|current| current.borrow().clone())
    }

    pub(crate) fn park() {
        let Thread(token) = current();
        let mut is_set = token.is_set.lock().unwrap();
        while !std::mem::take(&mut *is_set) {
            is_set = token.changed.wait(is_set).unwrap();
        }
    }

    /// Time does not pass in a model: a wait with a limit is a chance for the others to run. Zero has passed already.
    pub(crate) fn park_timeout(limit: Duration) {
        let current = current();
        if !current.take_token() && !limit.is_zero() {
            yield_now();
            current.take_token();
        }
    }

    pub(crate) fn sleep(_length: Duration) {
        yield_now();
    }

    /// A started thread. Models start their own; nothing waits for these.
    #[derive(Debug)]
    pub(crate) struct JoinHandle<T>(loom::thread::JoinHandle<T>, Thread);

    impl<T> JoinHandle<T> {
        pub(crate) fn is_finished(&self) -> bool {
            true
        }

        /// Waits for its end. Bus threads do not panic; if one did, its end is an end as well.
        pub(crate) fn join(self) {
            let _ = self.0.join();
        }

        /// Wakes the thread.
        pub(crate) fn thread(&self) -> Thread {
            self.1.clone()
        }

        pub(crate) fn name(&self) -> String {
            String::new()
        }
    }

    pub(crate) fn spawn<T: Send + 'static>(
        _name: String,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let thread = Thread::new();
        let its = thread.clone();
        let named = move || {
            CURRENT.with(|current| *current.borrow_mut() = its);
            body()
        };
        Ok(JoinHandle(loom::thread::spawn(named), thread))
    }
}

pub(crate) use loom::cell::UnsafeCell;

/// Stand-in for [`LazyBox`](super::LazyBox) where that has figures in it, which order nothing: nothing to explore.
pub(crate) struct LazyFigures<T>(std::sync::OnceLock<T>);

impl<T> LazyFigures<T> {
    pub(crate) fn new() -> Self {
        Self(std::sync::OnceLock::new())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get()
    }

    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }
}

/// Stand-in for `Arc` where it is asked whether anybody else has it: the edges that the standard one documents for that.
pub(crate) struct Counted<T>(Arc<Shared<T>>);

struct Shared<T> {
    count: AtomicUsize,
    value: T,
}

impl<T> Counted<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Shared { count: AtomicUsize::new(1), value }))
    }

    /// `None`: somebody else has it.
    pub(crate) fn get_mut(this: &mut Self) -> Option<&T> {
        (this.0.count.load(Ordering::Acquire) == 1).then_some(&this.0.value)
    }
}

impl<T> Clone for Counted<T> {
    fn clone(&self) -> Self {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Release);
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

std::thread_local! {
    static LETS_GO: Cell<bool> = const { Cell::new(false) };
}

/// From now on, in models of this thread, what is replaced in a [`Snapshot`] goes with the last who has it. Not before: then
/// loads may find older values too, which is more than the real one lets happen, and shows more.
#[cfg(test)]
pub(crate) fn let_replaced_go() {
    LETS_GO.set(true);
}

/// Stand-in for arc-swap: an arena that only grows, and one modelled index into it.
pub(crate) struct Snapshot<T> {
    current: AtomicUsize,
    arena: std::sync::Mutex<Vec<Option<Arc<T>>>>,
}

pub(crate) struct SnapshotGuard<T>(Arc<T>);

impl<T> Deref for SnapshotGuard<T> {
    type Target = Arc<T>;
    fn deref(&self) -> &Arc<T> {
        &self.0
    }
}

impl<T> Snapshot<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self { current: AtomicUsize::new(0), arena: std::sync::Mutex::new(vec![Some(value)]) }
    }

    pub(crate) fn load(&self) -> SnapshotGuard<T> {
        let index = self.current.load(Ordering::Acquire);
        // Gone: the real one looks twice, and finds another value.
        let found = self.at(index).or_else(|| self.at(self.current.fetch_add(0, Ordering::Acquire)));
        SnapshotGuard(found.expect("the newest one is there"))
    }

    fn at(&self, index: usize) -> Option<Arc<T>> {
        self.arena.lock().unwrap()[index].clone()
    }

    pub(crate) fn load_owned(&self) -> SnapshotGuard<T> {
        self.load()
    }

    pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
        let index = {
            let mut arena = self.arena.lock().unwrap();
            arena.push(Some(value));
            arena.len() - 1
        };
        let old = self.current.swap(index, Ordering::AcqRel);
        let value = match LETS_GO.get() {
            true => self.arena.lock().unwrap()[old].take(),
            false => self.at(old),
        };
        value.expect("nobody else replaced it")
    }
}

/// Stand-in for `SegQueue`: the order is kept by an unmodelled lock, the edges by one modelled counter.
///
/// A pop that finds the queue empty learns nothing, exactly as with the real one; a pop that takes an element
/// synchronises with the pushes before it.
pub(crate) struct Backlog<T> {
    length: AtomicUsize,
    items: std::sync::Mutex<VecDeque<T>>,
}

impl<T> Backlog<T> {
    pub(crate) fn new() -> Self {
        Self { length: AtomicUsize::new(0), items: std::sync::Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn push(&self, value: T) {
        self.items.lock().unwrap().push_back(value);
        self.length.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let mut length = self.length.load(Ordering::Acquire);
        while length > 0 {
            match self.length.compare_exchange(length, length - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return self.items.lock().unwrap().pop_front(),
                Err(now) => length = now,
            }
        }
        None
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }
}
