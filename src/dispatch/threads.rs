//! Starting threads: every thread of a bus is started here, and the user's hook runs on it before anything else does.

use super::fence::{Fence, PanicPlace, caught};
use super::frames;
use crate::sync::{Arc, Mutex, local, thread};
use std::cell::Cell;
use std::io;

/// What a thread of the bus is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThreadKind {
    /// Runs pool subscriptions, in this place of the pool (from 0; a place is taken over when its thread has left).
    Worker(usize),
    /// Watches whether the workers get on, and becomes one of them when they do not. The hook is not called again then.
    Standby,
    /// Runs the dedicated subscription of this name.
    Dedicated(String),
    /// Answers HTTP requests (features `prometheus` and `console`).
    Http,
    /// Publishes metrics at an interval (feature `metrics`).
    Metrics,
    /// Ends a bus whose last handle was dropped, or that a handler shut down.
    Shutdown,
}

/// A thread that the bus has just started: what the hook of
/// [`BusBuilder::on_thread_start`](crate::BusBuilder::on_thread_start) is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// What it is for.
    pub kind: ThreadKind,
    /// Its name, in full; Linux shows 15 bytes of it.
    pub name: String,
}

local! {
    /// This thread will be one of a pool, and is in the hook.
    static POOL_HOOK: Cell<bool> = Cell::new(false);
}

/// Whether the pool lacks the calling thread until a hook has returned: it waits for no subscription.
pub(super) fn in_pool_hook() -> bool {
    POOL_HOOK.try_with(Cell::get).unwrap_or(false)
}

pub(crate) type StartHook = Box<dyn Fn(&ThreadInfo) + Send + Sync>;

/// How one bus starts its threads.
pub(crate) struct Threads {
    /// Drops and hooks on its threads count as inside it.
    bus: u64,
    fence: Arc<Fence>,
    /// Locked for the moment of a clone.
    hook: Mutex<Option<Arc<StartHook>>>,
}

impl Threads {
    pub(crate) fn new(bus: u64, fence: Arc<Fence>, hook: Option<StartHook>) -> Arc<Self> {
        Arc::new(Self { bus, fence, hook: Mutex::new(hook.map(Arc::new)) })
    }

    /// Starts a thread, which calls the hook and then `body`.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        kind: ThreadKind,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<thread::JoinHandle<()>> {
        let info = ThreadInfo { kind, name: name.clone() };
        let threads = self.clone();
        thread::spawn(name, move || {
            threads.call_hook(&info);
            drop(threads);
            body();
        })
    }

    fn call_hook(&self, info: &ThreadInfo) {
        let Some(hook) = self.hook.lock().clone() else { return };
        let is_pool = matches!(info.kind, ThreadKind::Worker(_) | ThreadKind::Standby);
        frames::enter(self.bus, 0, || {
            POOL_HOOK.with(|now| now.set(is_pool));
            self.fence.run(&info.name, PanicPlace::ThreadStart, || hook(info));
            POOL_HOOK.with(|now| now.set(false));
            // The bus may have ended meanwhile, and left the last of it to us.
            let _ = caught(|| drop(hook));
        });
    }

    /// The bus has ended: the hook, which may hold a topic and so the bus's inside, goes.
    pub(crate) fn close(&self) {
        let hook = self.hook.lock().take();
        let _ = caught(|| drop(hook));
    }
}
