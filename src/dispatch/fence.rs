//! Around every call into user code: a panic is caught, counted and told, and the bus goes on.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What was running when user code panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PanicPlace {
    /// A subscription's handler.
    Handler,
    /// What was given to [`SubscriptionBuilder::on_end`](crate::SubscriptionBuilder::on_end).
    OnEnd,
    /// The drop of a handler, after the subscription's final message; of a router's route also when it was removed.
    HandlerDrop,
    /// A key function of [`Overflow::Conflate`](crate::Overflow::Conflate).
    Key,
    /// A callback that hears of water marks.
    WaterMark,
    /// A waker of a stream.
    Waker,
    /// A formatter of a message type, a sanitizer that it asked, or the code that reads the type's events.
    Formatter,
    /// The drop of a message's value.
    ValueDrop,
    /// The hook for the start of a thread.
    ThreadStart,
    /// A function that gives the ids of a cache's messages.
    CacheId,
    /// The comparison of two states, or of two aggregates, of a cache.
    CacheEquality,
    /// The aggregate function of a cache.
    Aggregate,
    /// What is called when an aggregate has changed.
    Announce,
    /// A [`StateObserver`](crate::StateObserver).
    Observer,
    /// A recorder of metrics, called at an interval.
    Recorder,
    /// A subscriber of the `tracing` facade.
    TraceSubscriber,
}

/// One caught panic, as the hook sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct PanicReport<'a> {
    /// The subscription's name; the message type's for formatters and values; the cache's for its functions; the
    /// manager's for observers; the thread's for the start of one, for recorders and for
    /// subscribers of traces.
    pub name: &'a str,
    /// What was running.
    pub place: PanicPlace,
    /// The panic's text, if it had one.
    pub message: &'a str,
}

impl fmt::Display for PanicReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panic in {:?} of {:?}: {}", self.place, self.name, self.message)
    }
}

pub(crate) type Hook = Arc<dyn Fn(&PanicReport<'_>) + Send + Sync>;

/// Who hears of panics, for one bus.
pub(crate) struct Fence {
    /// Locked for the moment of a clone, and only when something panicked.
    hook: Mutex<Option<Hook>>,
    /// Who traces the bus, and hears of panics too.
    tracer: Mutex<Option<Hook>>,
    caught: AtomicU64,
}

impl Fence {
    pub(crate) fn new(hook: Option<Hook>) -> Self {
        Self { hook: Mutex::new(hook), tracer: Mutex::new(None), caught: AtomicU64::new(0) }
    }

    /// `tracer` hears of panics as well. False: somebody else does already.
    #[cfg(feature = "tracing")]
    pub(crate) fn trace(&self, tracer: Hook) -> bool {
        let mut place = self.tracer.lock();
        let is_free = place.is_none();
        if is_free {
            *place = Some(tracer);
        }
        is_free
    }

    /// Nobody traces the bus any more.
    #[cfg(feature = "tracing")]
    pub(crate) fn untrace(&self) {
        let gone = self.tracer.lock().take();
        drop(gone);
    }

    /// The bus has ended: the hook, which may hold a topic and so the bus's inside, goes. Later panics are counted only.
    pub(crate) fn close(&self) {
        let (hook, tracer) = (self.hook.lock().take(), self.tracer.lock().take());
        let _ = caught(|| drop(hook));
        drop(tracer);
    }

    /// How many panics were caught.
    pub(crate) fn caught(&self) -> u64 {
        self.caught.load(Ordering::Relaxed)
    }

    /// Runs user code. `None`: it panicked, which has been counted and told.
    pub(crate) fn run<R>(&self, name: &str, place: PanicPlace, code: impl FnOnce() -> R) -> Option<R> {
        caught(code).map_err(|payload| self.tell(name, place, payload)).ok()
    }

    /// Counts and tells of a panic that [`caught`] returned.
    #[cold]
    pub(crate) fn tell(&self, name: &str, place: PanicPlace, payload: Payload) {
        self.caught.fetch_add(1, Ordering::Relaxed);
        let hooks = [self.hook.lock().clone(), self.tracer.lock().clone()];
        for hook in hooks.into_iter().flatten() {
            let report = PanicReport { name, place, message: text(&payload) };
            // A hook that panics is caught too, and not told of itself.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(&report)));
        }
        drop_payload(payload);
    }
}

/// What a panic carried.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs user code and catches its panic.
#[inline]
pub(crate) fn caught<R>(code: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(code))
}

/// Even the payload's drop is foreign code.
pub(crate) fn drop_payload(payload: Payload) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
}

fn text<'a>(payload: &'a Payload) -> &'a str {
    let payload: &'a (dyn Any + Send) = &**payload;
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
