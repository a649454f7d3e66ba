//! Delivery to one subscription: filter, ring, overflow, wake-up, handler call.
//!
//! | file | what |
//! | --- | --- |
//! | [`policy`] | how a subscription is dispatched, and what happens when its mailbox is full |
//! | [`filter`] | which messages it wants, as data |
//! | [`conflate`] | messages that replace each other while they wait |
//! | [`key`] | what they are told apart by |
//! | [`entry`] | what a ring slot holds: a message, or an envelope with a waiter |
//! | [`marks`] | congestion: who hears that a water mark was passed |
//! | [`offer`] | the publisher's side: into the ring, or why not |
//! | [`losses`] | what was lost, by reason, and what nobody was told of yet |
//! | `several` | the same for messages of a batch |
//! | [`room`] | publishers that wait for room |
//! | `tasks` | the same for tasks, which are not held up |
//! | `times` | how long messages wait and calls take |
//! | [`run`] | the owner's side: groups, handler calls, the end |
//! | [`batch`] | the same, for handlers of what is queued |
//! | [`ending`] | the final message, and what follows it |
//! | [`dedicated`] | a thread of its own for one mailbox |
//! | [`reader`] | the owner's side of a stream |
//! | [`prelude`] | what stands before the ring of a subscription that catches up |
//! | [`inline`] | a subscription without a mailbox |
//! | `figures` | what a mailbox tells of itself |

pub(crate) mod batch;
mod conflate;
pub(crate) mod dedicated;
pub(crate) mod ending;
pub(crate) mod entry;
mod figures;
pub(crate) mod filter;
mod glance;
pub(crate) mod inline;
pub(crate) mod key;
mod leg;
mod losses;
pub(crate) mod marks;
pub(crate) mod offer;
pub(crate) mod policy;
mod prelude;
pub(crate) mod reader;
pub(crate) mod room;
pub(crate) mod run;
mod several;
mod tasks;
mod times;

pub(crate) use batch::{BatchItem, Batcher};
pub(crate) use ending::{Ending, Host, OnEnd};
pub(crate) use entry::{Entry, Receipt, SyncOutcome};
pub use filter::Filter;
pub(crate) use glance::Glance;
pub(crate) use inline::{Entrance, Inline, InlineHandler};
pub use key::{ConflateKey, Key};
pub(crate) use leg::{Arrived, Leg};
pub use marks::{Crossing, WaterMark};
pub(crate) use marks::{OnWaterMark, default_marks};
pub(crate) use offer::{Moment, Offer, Patience};
pub(crate) use policy::Limits;
pub use policy::{Dispatch, Grow, OnPanic, Overflow};
pub(crate) use prelude::Standing;
pub(crate) use reader::{Next, Reader};
use run::Work;
pub(crate) use run::{EachHandler, Handler};
pub(crate) use several::Several;

use crate::dispatch::fence::Fence;
use crate::dispatch::latch::Latch;
use crate::dispatch::pool::Pool;
use crate::message::{EndReason, Message};
use crate::queue::{Close, Items, Ring, Shape, Taken};
use crate::stats::Lost;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use crate::sync::time::Clock;
use crate::sync::{Arc, LazyFigures, Tally, UnsafeCell, WakerCell, mutated};
use conflate::Lane;
use losses::Losses;
use marks::Congestion;
use prelude::Prelude;
use room::Room;
use times::Times;

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
    /// A thread of its own.
    Dedicated(Box<dedicated::Alone>),
    /// A task or a thread that reads.
    Stream(Box<WakerCell>),
}

impl Consumer {
    pub(crate) fn dedicated() -> Self {
        Self::Dedicated(Box::new(dedicated::Alone::new()))
    }

    pub(crate) fn stream() -> Self {
        Self::Stream(Box::new(WakerCell::new()))
    }
}

/// In a mailbox's `end`: its policy ended it.
const OVERFLOWED: u8 = 1 << 7;

/// One subscription's queue, with what happens when it is full, and its handler.
///
/// In this order what the owner writes lies beside the owner's end of the ring, and what publishers read apart from that.
/// What few mailboxes need is behind a pointer, and what needs a message is made by the first one: there may be many that
/// never get any.
#[repr(C)]
pub(crate) struct Mailbox {
    ring: Ring,
    /// The owner's: handler and what follows the end. Empty for streams.
    work: UnsafeCell<Work>,
    /// When the owner last found nothing left, by the coarse clock; 0: never noted.
    caught_up: Tally,
    times: LazyFigures<Times>,
    losses: Losses,
    congestion: Congestion,
    done: Latch<()>,
    /// Why it ended, with OVERFLOWED if its policy ended it; 0 while it stands. Set before CLOSED.
    end: AtomicU8,
    /// The queue is thrown away instead of handled.
    discard: AtomicBool,
    lane: Option<Box<Lane>>,
    /// Of a subscription that catches up.
    prelude: Option<Box<Prelude>>,
    /// Of one with `Block`.
    room: Option<Box<Room>>,
    overflow: Overflow,
    consumer: Consumer,
    clock: Arc<Clock>,
    profile: Profile,
    /// How far its owner had come when it last began to wait awake. Written once for each such wait, so it stands here,
    /// away from what publishers read.
    settled: AtomicU64,
}

#[cfg(all(target_arch = "x86_64", not(any(bus_loom, bus_shuttle))))]
const _: () = assert!(size_of::<Mailbox>() <= 7 * 64, "with its reference counts it has 512 bytes");

// SAFETY: `work` is touched by the owner alone (one at a time, handed on through the ring's turn), and its contents
// are Send; all else is Sync by itself.
unsafe impl Sync for Mailbox {}

impl Mailbox {
    pub(crate) fn new(profile: Profile, limits: Limits, consumer: Consumer, clock: Arc<Clock>) -> Self {
        let Limits { overflow, capacity, marks, on_water_mark } = limits;
        let evicting = matches!(overflow, Overflow::DropOldest);
        Self {
            ring: Ring::new(Shape { capacity, evicting, marks }),
            work: UnsafeCell::new(Work::default()),
            caught_up: Tally::new(),
            times: LazyFigures::new(),
            losses: Losses::new(),
            congestion: Congestion::new(on_water_mark, marks),
            done: Latch::new(),
            end: AtomicU8::new(0),
            discard: AtomicBool::new(false),
            lane: Lane::of(&overflow),
            prelude: None,
            room: matches!(overflow, Overflow::Block(_)).then(Box::default),
            overflow,
            consumer,
            clock,
            profile,
            settled: AtomicU64::new(dedicated::NEVER),
        }
    }

    /// Ends it, for `reason` unless it ended before. Everything queued is delivered, then the final message. When the turn
    /// is passed on, the caller [wakes tasks](Self::wake_tasks) that wait for room.
    pub(crate) fn close(&self, reason: EndReason) -> Close {
        self.begin_end(reason);
        let closed = self.ring.close();
        if let Some(room) = &self.room {
            room.wake_threads();
        }
        closed
    }

    /// Says why it ends, before it does. The first reason stands; false: there is one already.
    pub(crate) fn begin_end(&self, reason: EndReason) -> bool {
        self.set_end(reason.code())
    }

    fn set_end(&self, code: u8) -> bool {
        // ORDERING(mailbox.end): Release; pairs with the Acquire in `end_code`.
        self.end.compare_exchange(0, code, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    fn end_code(&self) -> u8 {
        // ORDERING(mailbox.end): Acquire; pairs with the Release in `set_end`.
        self.end.load(Ordering::Acquire)
    }

    /// Whether it has a reason to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.end_code() != 0
    }

    pub(crate) fn end_reason(&self) -> EndReason {
        EndReason::from_code(self.end_code() & !OVERFLOWED).unwrap_or(EndReason::ShutDown)
    }

    /// Whether [`Overflow::Disconnect`] ended it, by the one message that it refused.
    fn is_overflowed(&self) -> bool {
        self.end_code() & OVERFLOWED != 0
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
        if let Some(room) = &self.room {
            self.wake(room.give_up());
        }
    }

    /// Moves the next items into `group`; what was evicted before them is owed.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    unsafe fn take<const N: usize>(&self, group: &mut Items<N>, most: usize) -> Taken {
        // SAFETY: as the caller says.
        if let Some(taken) = unsafe { self.take_prelude(group, most) } {
            return taken;
        }
        // SAFETY: as the caller says.
        let taken = unsafe { self.ring.take(group, most) };
        if let Taken::Some { first, missed } = taken {
            if missed > 0 {
                self.losses.owe(missed);
            }
            self.make_room(first + group.len() as u64);
        }
        if let Some(left) = group.passed_low() {
            self.congestion.passed(Crossing::Low, left);
        }
        taken
    }

    /// Somebody passed a water mark, and has nothing half done any more: tells who wants to know. User code.
    #[cold]
    pub(crate) fn tell_crossings(&self) {
        self.losses.count_panics(self.congestion.tell(&self.profile));
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    pub(crate) fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    pub(crate) fn overflow(&self) -> &Overflow {
        &self.overflow
    }

    pub(crate) fn done(&self) -> &Latch<()> {
        &self.done
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Nothing queued and nothing being handled.
    pub(crate) fn is_idle(&self) -> bool {
        self.ring.is_idle() || self.is_settled()
    }

    pub(crate) fn depth(&self) -> u64 {
        self.ring.depth() + self.prelude_count().1
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.ring.accepted() + self.accepted_in_lane() + self.prelude_count().0
    }

    /// What was lost so far, by reason.
    fn lost(&self) -> Lost {
        let mut lost = self.losses.read();
        lost.evicted += self.ring.evicted();
        lost.disconnected = u64::from(self.is_overflowed());
        lost
    }
}

impl Drop for Mailbox {
    /// Whatever is still queued goes with it: only a bus that never got to deliver the end leaves something.
    fn drop(&mut self) {
        if mutated!("reader.drop") {
            return;
        }
        // SAFETY: `&mut self`: nobody has the turn any more.
        unsafe { self.throw_away_queue() };
    }
}
