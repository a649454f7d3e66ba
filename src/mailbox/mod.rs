//! Delivery to one subscription: filter, ring, overflow, wake-up, handler call.
//!
//! | file | what |
//! | --- | --- |
//! | [`policy`] | how a subscription is dispatched, and what happens when its mailbox is full |
//! | [`filter`] | which messages it wants, as data |
//! | [`entry`] | what a ring slot holds: a message, or an envelope with a waiter |
//! | [`offer`] | the publisher's side: into the ring, or why not |
//! | [`room`] | publishers that wait for room |
//! | [`run`] | the owner's side: groups, handler calls, the end |
//! | [`ending`] | the final message, and what follows it |
//! | [`dedicated`] | a thread of its own for one mailbox |
//! | [`reader`] | the owner's side of a stream |
//! | [`inline`] | a subscription without a mailbox |

pub(crate) mod dedicated;
pub(crate) mod ending;
pub(crate) mod entry;
pub(crate) mod filter;
pub(crate) mod inline;
pub(crate) mod offer;
pub(crate) mod policy;
pub(crate) mod reader;
pub(crate) mod room;
pub(crate) mod run;

pub(crate) use ending::{Ending, OnEnd};
pub(crate) use entry::{Entry, Receipt, SyncOutcome};
pub(crate) use filter::Filter;
pub(crate) use inline::{Inline, InlineHandler};
pub(crate) use offer::{Offer, Patience};
pub use policy::{Dispatch, Grow, OnPanic, Overflow};
pub(crate) use reader::{Next, Reader};
pub(crate) use run::Handler;
use run::Work;

use crate::dispatch::fence::Fence;
use crate::dispatch::latch::Latch;
use crate::dispatch::pool::Pool;
use crate::message::{EndReason, Message};
use crate::queue::{Close, Group, Ring, Shape, Taken};
use crate::stats::DelaySample;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use crate::sync::time::Clock;
use crate::sync::{Arc, Unparker, UnsafeCell, WakerCell};
use room::Room;
use std::sync::OnceLock;

/// One message on its way into user code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) message: &'a Message,
    pub(crate) told: Told,
}

/// What the handler is told with a message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Lost since the previous one.
    pub(crate) missed: u64,
    /// Its position in this subscription.
    pub(crate) seq: u64,
    /// Set on the final message.
    pub(crate) end: Option<EndReason>,
}

/// What a subscription is, apart from its handler.
#[derive(Clone)]
pub(crate) struct Profile {
    pub(crate) id: u64,
    pub(crate) name: Arc<str>,
    pub(crate) bus: u64,
    pub(crate) fence: Arc<Fence>,
}

/// Who is told that there is something.
pub(crate) enum Consumer {
    /// The run queue.
    Pool(Arc<Pool>),
    /// The publisher itself, at the end of its walk.
    Serial,
    /// A thread of its own, known once it runs.
    Dedicated(OnceLock<Unparker>),
    /// A task or a thread that reads.
    Stream(WakerCell),
}

/// Rare events, away from the lines that producers and the owner share.
struct Losses {
    /// Refused since the last delivery: told with the next one.
    pending: AtomicU64,
    /// Everything ever lost.
    missed: AtomicU64,
    over_capacity: AtomicU64,
    panics: AtomicU64,
}

/// One subscription's queue, with what happens when it is full, and its handler.
pub(crate) struct Mailbox {
    ring: Ring,
    overflow: Overflow,
    consumer: Consumer,
    profile: Profile,
    clock: Arc<Clock>,
    delay: DelaySample,
    losses: Losses,
    room: Room,
    /// The owner's: handler and what follows the end. Empty for streams.
    work: UnsafeCell<Work>,
    /// Why it ended; 0 while it stands. Set before CLOSED.
    end: AtomicU8,
    /// The queue is thrown away instead of handled.
    discard: AtomicBool,
    done: Latch<()>,
}

// SAFETY: `work` is touched by the owner alone (one at a time, handed on through the ring's turn), and its contents
// are Send; all else is Sync by itself.
unsafe impl Sync for Mailbox {}

impl Mailbox {
    pub(crate) fn new(
        profile: Profile,
        overflow: Overflow,
        capacity: usize,
        consumer: Consumer,
        clock: Arc<Clock>,
    ) -> Self {
        let evicting = matches!(overflow, Overflow::DropOldest);
        Self {
            ring: Ring::new(Shape { capacity, evicting }),
            overflow,
            consumer,
            profile,
            clock,
            delay: DelaySample::new(),
            losses: Losses {
                pending: AtomicU64::new(0),
                missed: AtomicU64::new(0),
                over_capacity: AtomicU64::new(0),
                panics: AtomicU64::new(0),
            },
            room: Room::new(),
            work: UnsafeCell::new(Work::default()),
            end: AtomicU8::new(0),
            discard: AtomicBool::new(false),
            done: Latch::new(),
        }
    }

    /// Ends it, for `reason` unless it ended before. Everything queued is delivered, then the final message.
    pub(crate) fn close(&self, reason: EndReason) -> Close {
        // ORDERING(mailbox.end): Release; pairs with the Acquire in `end_reason`. First reason stands.
        let _ = self.end.compare_exchange(0, reason.code(), Ordering::Release, Ordering::Relaxed);
        let closed = self.ring.close();
        self.room.wake_all();
        closed
    }

    fn end_reason(&self) -> EndReason {
        // ORDERING(mailbox.end): Acquire; pairs with the Release in `close`.
        EndReason::from_code(self.end.load(Ordering::Acquire)).unwrap_or(EndReason::ShutDown)
    }

    /// From now on queued messages are counted as missed instead of handled.
    pub(crate) fn discard(&self) {
        // ORDERING(mailbox.discard): Release; pairs with the Acquire in `is_discarding`.
        self.discard.store(true, Ordering::Release);
    }

    fn is_discarding(&self) -> bool {
        // ORDERING(mailbox.discard): Acquire; pairs with the Release in `discard`.
        self.discard.load(Ordering::Acquire)
    }

    /// Publishers that wait for room give up.
    pub(crate) fn release_waiting(&self) {
        self.room.give_up();
    }

    /// Moves the next items into `group`; what was evicted before them is counted.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    unsafe fn take(&self, group: &mut Group, most: usize) -> Taken {
        // SAFETY: as the caller says.
        let taken = unsafe { self.ring.take(group, most) };
        if let Taken::Some { missed, .. } | Taken::End { missed } = taken
            && missed > 0
        {
            self.lose(missed);
        }
        taken
    }

    fn lose(&self, count: u64) {
        self.losses.missed.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts a message that the next delivery tells of.
    fn refuse(&self) {
        self.lose(1);
        // ORDERING(mailbox.pending): Release; pairs with the Acquire in `take_pending`: a claim made after this
        // refusal is told of it.
        self.losses.pending.fetch_add(1, Ordering::Release);
    }

    #[inline]
    fn take_pending(&self) -> u64 {
        // ORDERING(mailbox.pending): Acquire; pairs with the Release in `refuse`. A load first: nearly always 0.
        match self.losses.pending.load(Ordering::Acquire) {
            0 => 0,
            _ => self.losses.pending.swap(0, Ordering::AcqRel),
        }
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    pub(crate) fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    pub(crate) fn overflow(&self) -> Overflow {
        self.overflow
    }

    pub(crate) fn done(&self) -> &Latch<()> {
        &self.done
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Nothing queued and nobody running it.
    pub(crate) fn is_idle(&self) -> bool {
        self.ring.is_idle()
    }

    pub(crate) fn depth(&self) -> u64 {
        self.ring.depth()
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.ring.accepted()
    }

    pub(crate) fn missed(&self) -> u64 {
        self.losses.missed.load(Ordering::Relaxed) + self.ring.evicted_unseen()
    }

    /// The rest of its figures.
    pub(crate) fn fill(&self, stats: &mut crate::stats::SubscriptionStats) {
        stats.accepted = self.accepted();
        stats.depth = self.depth();
        stats.high_water = self.ring.high_water();
        stats.capacity = self.ring.capacity();
        stats.missed = self.missed();
        stats.over_capacity = self.losses.over_capacity.load(Ordering::Relaxed);
        stats.panics = self.losses.panics.load(Ordering::Relaxed);
        stats.delay = self.delay.read();
    }
}

impl Drop for Mailbox {
    /// Whatever is still queued goes with it: only a bus that never got to deliver the end leaves something.
    fn drop(&mut self) {
        // SAFETY: `&mut self`: nobody has the turn any more.
        unsafe { self.throw_away_queue() };
    }
}
