//! A thread that can be woken by name: park and unpark with one remembered token.

use super::thread;
use std::time::Duration;

/// The sleeping half. It belongs to the thread that made it.
#[derive(Debug)]
pub(crate) struct Parker {
    thread: thread::Thread,
}

/// The waking half, shared freely.
#[derive(Clone, Debug)]
pub(crate) struct Unparker {
    thread: thread::Thread,
}

impl Parker {
    /// A parker for the calling thread.
    pub(crate) fn current() -> Self {
        Self { thread: thread::current() }
    }

    pub(crate) fn unparker(&self) -> Unparker {
        Unparker { thread: self.thread.clone() }
    }

    /// Sleeps until unparked, spuriously woken, or `limit` (none: for ever) has passed.
    ///
    /// An unpark that came since the last park returned makes it return at once. Callers check what they wait
    /// for before and after: a token may be stale.
    pub(crate) fn park(&self, limit: Option<Duration>) {
        match limit {
            None => thread::park(),
            Some(limit) => thread::park_timeout(limit),
        }
    }
}

impl Unparker {
    /// For a thread that was just started, without waiting for it.
    pub(crate) fn of<T>(started: &thread::JoinHandle<T>) -> Self {
        Self { thread: started.thread() }
    }

    /// Wakes the thread, or makes its next park return at once. What the caller wrote before is visible to it.
    pub(crate) fn unpark(&self) {
        self.thread.unpark();
    }
}
