//! A subscription without a mailbox: its handler runs inside `publish`, on the publisher's thread.
//!
//! Calls may overlap. What keeps a call from coming after the final one is the walk gate of its topic (`topic::gate`):
//! handlers are called by walks that are counted there, and the final call is made by whoever finds the gate closed
//! and empty.

use super::{Arrival, Ending, Profile, Told};
use crate::dispatch::frames;
use crate::dispatch::latch::Latch;
use crate::message::EndReason;
use crate::stats::{HandlerTime, SubscriptionStats};
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::ptr::NonNull;

pub(crate) type InlineHandler = Box<dyn Fn(&Arrival<'_>) + Send + Sync>;

/// Where a handler is, for lists: a walk that calls it reads nothing else of its subscription.
#[derive(Clone, Copy)]
pub(crate) struct Entrance(NonNull<dyn Fn(&Arrival<'_>) + Send + Sync>);

// SAFETY: a shared reference to the handler by another name.
unsafe impl Send for Entrance {}
// SAFETY: as above.
unsafe impl Sync for Entrance {}

impl Entrance {
    /// Calls the handler. The caller runs this inside the panic fence and the frame of its walk.
    ///
    /// # Safety
    ///
    /// The caller is inside the gate of a snapshot that lists the subscription.
    #[inline]
    pub(crate) unsafe fn call(self, arrival: &Arrival<'_>) {
        // SAFETY: inside the gate the handler is where it was, and only read.
        let handler = unsafe { self.0.as_ref() };
        handler(arrival);
    }
}

pub(crate) struct Inline {
    profile: Profile,
    /// Shared by walks inside the gate, taken by who delivers the end.
    handler: UnsafeCell<Option<InlineHandler>>,
    ending: UnsafeCell<Option<Ending>>,
    /// Calls, counted only from when a filter may make them differ from what reached the topic.
    calls: AtomicU64,
    panics: AtomicU64,
    handling: HandlerTime,
    /// Somebody began to end it, for this reason (0: nobody).
    end: AtomicU8,
    over: AtomicBool,
    done: Latch<()>,
}

// SAFETY: the cells are read by who makes it visible, before that, and taken by the one thread that drained its gate
// (topic::gate). Walks have an `Entrance`, and call the handler by it inside the gate, so never beside that. Contents
// are Send and Sync. Walks read no cell that loom could watch: it watches what a handler uses, `Used::open` in
// loom_tests/gate.rs.
unsafe impl Sync for Inline {}

impl Inline {
    pub(crate) fn new(profile: Profile, handler: InlineHandler, ending: Ending) -> Self {
        Self {
            profile,
            handler: UnsafeCell::new(Some(handler)),
            ending: UnsafeCell::new(Some(ending)),
            calls: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            handling: HandlerTime::new(),
            end: AtomicU8::new(0),
            over: AtomicBool::new(false),
            done: Latch::new(),
        }
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Where its number is.
    #[inline]
    pub(crate) fn id(&self) -> &u64 {
        &self.profile.id
    }

    pub(crate) fn done(&self) -> &Latch<()> {
        &self.done
    }

    /// Its handler's figures.
    pub(crate) fn fill(&self, stats: &mut SubscriptionStats) {
        stats.panics = self.panics.load(Ordering::Relaxed);
        stats.handler = self.handling.read();
        stats.slow = self.handling.slow();
    }

    /// How long its calls take: noted by walks that are timed.
    pub(crate) fn handling(&self) -> &HandlerTime {
        &self.handling
    }

    pub(crate) fn counted_calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The way to its handler.
    ///
    /// # Safety
    ///
    /// Nobody ends it meanwhile.
    pub(crate) unsafe fn entrance(&self) -> Option<Entrance> {
        // SAFETY: as the caller says, so it is only read.
        self.handler.with(|handler| unsafe { (*handler).as_deref().map(|handler| Entrance(handler.into())) })
    }

    /// A call is made that nobody else counts.
    #[inline]
    pub(crate) fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A handler panicked.
    pub(crate) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins the end. False: somebody did already.
    pub(crate) fn close(&self, reason: EndReason) -> bool {
        // ORDERING(inline.end): AcqRel; pairs with the Acquire in `finish` (the gate's own word carries the reason too).
        self.end.compare_exchange(0, reason.code(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The final call, then the handler goes, then the bus forgets it, then who waits is told.
    ///
    /// # Safety
    ///
    /// No walk is inside a gate of a snapshot that lists this subscription, and none will be.
    pub(crate) unsafe fn finish(&self) {
        if self.over.swap(true, Ordering::AcqRel) {
            return;
        }
        // SAFETY: as the caller says, and `over` was set once.
        let handler = self.handler.with_mut(|handler| unsafe { (*handler).take() });
        // SAFETY: as above.
        let ending = self.ending.with_mut(|ending| unsafe { (*ending).take() });
        frames::enter(self.profile.bus, self.profile.id, || {
            if let (Some(handler), Some(ending)) = (handler, ending) {
                // ORDERING(inline.end): Acquire; pairs with the AcqRel in `close`.
                let reason = EndReason::from_code(self.end.load(Ordering::Acquire));
                let told = Told { end: Some(reason.unwrap_or(EndReason::ShutDown)), ..Told::default() };
                ending.run(&self.profile, told, handler, |panics| {
                    self.panics.fetch_add(panics, Ordering::Relaxed);
                });
            }
        });
        self.done.set(());
    }
}
