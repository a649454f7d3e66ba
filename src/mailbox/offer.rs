//! The publisher's side of a mailbox: into the ring, or why not.

use super::entry::Entry;
use super::losses::Loss;
use super::marks::Crossing;
use super::room::{Attempt, NoRoom};
use super::{Consumer, Grow, Key, Mailbox, OVERFLOWED, Overflow};
use crate::dispatch::fence::PanicPlace;
use crate::dispatch::job::{Budget, Ready, Soon};
use crate::dispatch::{frames, pool::Pool, waits};
use crate::message::{EndReason, Message};
use crate::queue::{Close, Push, WhenFull};
use crate::sync::time::Deadline;
use crate::sync::{Arc, hint, mutated, thread};
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;

/// How often an evicting publisher looks again at once.
const EVICT_SPINS: u64 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 64 };

/// What became of an offered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Offer {
    /// In. With `turn` the caller sees to it that the mailbox is run, with `crossed` that [`Mailbox::tell_crossings`] is
    /// called when nothing is half done.
    Accepted { turn: bool, over_capacity: bool, crossed: bool },
    /// Refused by the policy, and counted. The reference is the caller's again.
    Dropped,
    /// The same, and the subscription ends by it. With `turn` the caller sees to it that the mailbox is run.
    Disconnected { turn: bool },
    /// The subscription has ended; with `turn` as above. The reference is the caller's again.
    Closed { turn: bool },
}

/// How a publish waits: at most once, with one deadline for all mailboxes, that of the first full one.
pub(crate) struct Patience {
    /// False in handlers, for control messages, and in manual mode.
    pub(crate) may_wait: bool,
    deadline: Option<Deadline>,
    /// A wait's time has run out.
    in_vain: bool,
}

impl Patience {
    pub(crate) fn new(may_wait: bool) -> Self {
        Self { may_wait, deadline: None, in_vain: false }
    }

    /// For control messages and where nothing may wait.
    pub(crate) fn none() -> Self {
        Self::new(false)
    }

    /// Room came, and more messages of the same batch follow: the next wait has a time of its own. Once one was in vain
    /// no other follows.
    pub(crate) fn renew(&mut self) {
        if !self.in_vain {
            self.deadline = None;
        }
    }
}

/// A reading of the exact clock, shared by what happens at about the same time.
#[derive(Default)]
pub(crate) struct Moment(Option<u64>);

impl Mailbox {
    /// Offers one reference of a message to a mailbox of any kind, if it can be taken at once. `Some`: it was, and with
    /// `true` the caller sees to it that the mailbox is run. `None`: nothing was done, and another offer says what
    /// becomes of it.
    #[inline(always)]
    pub(crate) fn offer_straight(&self, word: NonZeroUsize, moment: &mut Moment) -> Option<bool> {
        if self.lane.is_some() {
            return None;
        }
        let (turn, index) = self.ring.push_at_once(word)?;
        self.note_accepted(index, || *moment.0.get_or_insert_with(|| self.clock.monotonic_ns()));
        Some(turn)
    }

    /// Offers one reference of a message to a mailbox that never waits. What it takes out to make room goes to
    /// `evicted`: dropping it is foreign code, for when nothing is half done.
    #[inline(always)]
    pub(crate) fn offer(&self, word: NonZeroUsize, evicted: &mut Vec<Entry>) -> Offer {
        match self.ring.push(word, self.when_full()) {
            Push::Accepted { turn, index, high, .. } => self.accepted_at(index, turn, false, high),
            Push::Full { .. } => self.offer_full(word, evicted),
            Push::Closed => self.came_late(),
        }
    }

    #[inline]
    fn when_full(&self) -> WhenFull {
        match &self.overflow {
            Overflow::Grow(grow) => self.spill(*grow),
            Overflow::DropOldest => WhenFull::Evict,
            Overflow::DropNewest | Overflow::Disconnect | Overflow::Block(_) | Overflow::Conflate(_) => {
                WhenFull::Refuse
            }
        }
    }

    fn spill(&self, grow: Grow) -> WhenFull {
        let limit = self.ring.capacity().saturating_add(grow.messages() as u64);
        // The ring compares depths as signed numbers.
        WhenFull::Spill { limit: limit.min(i64::MAX as u64) }
    }

    #[inline(always)]
    pub(super) fn accepted_at(
        &self,
        index: u64,
        turn: bool,
        over_capacity: bool,
        high: Option<u64>,
    ) -> Offer {
        self.note_accepted(index, || self.clock.monotonic_ns());
        let crossed = high.is_some_and(|depth| self.congestion.passed(Crossing::High, depth));
        Offer::Accepted { turn, over_capacity, crossed }
    }

    #[cold]
    fn offer_full(&self, word: NonZeroUsize, evicted: &mut Vec<Entry>) -> Offer {
        match self.overflow {
            Overflow::DropOldest => self.offer_evicting(word, evicted),
            Overflow::Disconnect => self.disconnect(),
            _ => self.refuse(Loss::Refused),
        }
    }

    /// Counts a message that the next delivery tells of. If there is none any more, it came after the end.
    pub(super) fn refuse(&self, why: Loss) -> Offer {
        match self.losses.count_and_owe(why, 1) {
            true => Offer::Dropped,
            false => self.came_late(),
        }
    }

    /// The message that finds no room ends the subscription: one does, and the final message tells of it. Who comes
    /// second, to this or to any other end, closes as well: nothing is accepted after what was refused.
    fn disconnect(&self) -> Offer {
        let first = self.set_end(EndReason::Disconnected.code() | OVERFLOWED);
        // What waited may have been taken out meanwhile, and the mailbox be idle: then it has to be run once more.
        let turn = self.ring.close() == (Close::Now { turn: true }) && !mutated!("mailbox.overflow_turn");
        if first {
            return Offer::Disconnected { turn };
        }
        self.losses.count_late(1);
        Offer::Closed { turn }
    }

    /// The subscription had ended before.
    #[cold]
    pub(super) fn came_late(&self) -> Offer {
        self.losses.count_late(1);
        Offer::Closed { turn: false }
    }

    /// Takes the oldest out until there is room. The ring counts it, and the owner that finds the gap tells.
    fn offer_evicting(&self, word: NonZeroUsize, evicted: &mut Vec<Entry>) -> Offer {
        for tries in 0_u64.. {
            let head = match self.ring.push(word, WhenFull::Evict) {
                Push::Accepted { turn, index, high, .. } => {
                    return self.accepted_at(index, turn, false, high);
                }
                Push::Closed => return self.came_late(),
                Push::Full { head } => head,
            };
            match self.ring.evict(head) {
                // The owner is just moving a group out; if it was stopped there, it needs the processor.
                Ok(None) if tries < EVICT_SPINS => hint::spin_loop(),
                Ok(None) => thread::yield_now(),
                // SAFETY: taken out of the ring, so it is ours alone.
                Ok(Some(oldest)) => evicted.push(unsafe { Entry::from_word(oldest) }),
                Err(_) => break,
            }
        }
        self.refuse(Loss::Refused)
    }

    /// Offers one reference to a mailbox with `Block` or `Conflate`. `before_waiting` is called if it comes to that, or to
    /// user code.
    pub(crate) fn offer_patiently(
        &self,
        word: NonZeroUsize,
        patience: &mut Patience,
        before_waiting: impl FnOnce(),
    ) -> Offer {
        if let Some(lane) = &self.lane {
            return self.offer_conflating(lane, word, before_waiting);
        }
        let (Overflow::Block(timeout), Some(room)) = (&self.overflow, &self.room) else {
            return self.offer(word, &mut Vec::new());
        };
        if !patience.may_wait {
            return self.offer_beyond(word);
        }
        if let Attempt::Done(offer) = self.try_offer(word) {
            return offer;
        }
        before_waiting();
        let deadline = *patience.deadline.get_or_insert_with(|| Deadline::after(Some(*timeout)));
        // A circle can pass through a Serial mailbox whose turn this publish has taken: then it does not wait either.
        let Ok(_waiting) = waits::begin(&[self.profile.id]) else {
            room.note_circle();
            return self.offer_beyond(word);
        };
        match room.wait(deadline, self.enough(), &self.clock, || self.try_offer(word)) {
            Ok(offer) => offer,
            Err(NoRoom::GivenUp) => self.came_late(),
            Err(NoRoom::TimedOut) => {
                patience.in_vain = true;
                self.refuse(Loss::TimedOut)
            }
        }
    }

    /// Offers one reference under a lock of the caller's: never waits, and runs no foreign code. A mailbox with `Block`
    /// takes it beyond its capacity; one with `Conflate` knows it by `key`; without one it is an update, known by its entry.
    #[inline(never)]
    pub(crate) fn offer_ordered(
        &self,
        word: NonZeroUsize,
        key: Option<&dyn Fn() -> Key>,
        evicted: &mut Vec<Entry>,
    ) -> Offer {
        match (&self.lane, &self.overflow) {
            (Some(lane), _) => {
                // SAFETY: the reference is the caller's until it is in, and not dropped here.
                let entry = ManuallyDrop::new(unsafe { Entry::from_word(word) });
                let by_entry = || entry.message().as_update().map(Key::of_update);
                self.offer_keyed(lane, word, key.map_or_else(by_entry, |key| Some(key())), evicted)
            }
            (None, Overflow::Block(_)) => self.offer_beyond(word),
            (None, _) => self.offer(word, evicted),
        }
    }

    /// Into a mailbox with `Block`, if there is room.
    #[inline(always)]
    pub(super) fn try_offer(&self, word: NonZeroUsize) -> Attempt<Offer> {
        match self.ring.push(word, WhenFull::Refuse) {
            Push::Accepted { turn, index, high, .. } => {
                Attempt::Done(self.accepted_at(index, turn, false, high))
            }
            Push::Closed => Attempt::Done(self.came_late()),
            Push::Full { head } => Attempt::FullAt(head),
        }
    }

    /// A thread that waits for room is woken when so much is taken out.
    fn enough(&self) -> u64 {
        self.ring.capacity().div_ceil(2)
    }

    /// Beyond the capacity rather than waiting.
    fn offer_beyond(&self, word: NonZeroUsize) -> Offer {
        match self.ring.push(word, self.spill(Grow::default())) {
            Push::Accepted { turn, index, spilled, high } => {
                if let (true, Some(room)) = (spilled, &self.room) {
                    room.count_beyond();
                }
                self.accepted_at(index, turn, spilled, high)
            }
            Push::Closed => self.came_late(),
            Push::Full { .. } => self.refuse(Loss::Refused),
        }
    }

    /// Puts the subscription's own first message in, before anybody can see the mailbox. True: the caller has the turn.
    pub(crate) fn begin(&self, first: Message) -> bool {
        let word = first.into_word();
        match self.offer_patiently(word, &mut Patience::none(), || {}) {
            Offer::Accepted { turn, .. } => turn,
            Offer::Dropped | Offer::Disconnected { .. } | Offer::Closed { .. } => {
                // SAFETY: refused, so it is ours alone.
                drop(unsafe { Entry::from_word(word) });
                false
            }
        }
    }

    /// Passes the turn on, which the caller has. True: a pool has a new job, and its `flush` is the caller's to call.
    pub(crate) fn pass_turn(&self) -> bool {
        match &self.consumer {
            Consumer::Pool(pool) => {
                self.push_ready(pool);
                return true;
            }
            Consumer::Serial => self.run_here(),
            Consumer::Dedicated(thread) => thread.wake(),
            Consumer::Stream(waker) => {
                let profile = &self.profile;
                frames::enter(profile.bus, profile.id, || {
                    profile.fence.run(&profile.name, PanicPlace::Waker, || waker.wake());
                });
            }
        }
        false
    }

    #[inline]
    fn push_ready(&self, pool: &Arc<Pool>) {
        // SAFETY: the caller has the turn; a pool mailbox holds itself until it has ended.
        pool.push(unsafe { Ready::new(self) });
    }

    /// A Serial mailbox: the thread that has its turn runs it until it is empty.
    fn run_here(&self) {
        frames::let_go(self.profile.id);
        // SAFETY: the caller has the turn; a Serial mailbox holds itself until it has ended.
        let mut ready = unsafe { Ready::new(self) };
        while let Some((again, soon)) = ready.run(Budget::CALLER) {
            if soon == Soon::Busy {
                thread::yield_now();
            }
            ready = again;
        }
    }
}
