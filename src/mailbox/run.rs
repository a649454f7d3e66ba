//! The owner's side of a mailbox: groups out of the ring, handler calls, the end.

use super::entry::Entry;
use super::losses::Loss;
use super::{Arrival, Arrived, Batcher, Ending, Mailbox, Told};
use crate::dispatch::fence::PanicPlace;
use crate::dispatch::frames;
use crate::dispatch::job::{After, Budget, Job, PLENTY};
use crate::queue::{GROUP, GROUP_SMALL, Group, Items, Taken};
use crate::sync::time::Clock;
use crate::sync::{hint, mutated};

/// How often the owner looks at a half-written slot before it lets others run.
pub(super) const BUSY_SPINS: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 100 };
/// A group that took longer than this is followed by smaller ones, so that the budget is kept.
pub(super) const SLOW_GROUP_NS: u64 = 100_000;

/// One that took no longer is followed by larger ones.
const FAST_GROUP_NS: u64 = 10_000;

/// What is called.
pub(crate) enum Handler {
    /// With each message by itself.
    Each(EachHandler),
    /// With what is queued.
    Batch(Box<Batcher>),
}

pub(crate) type EachHandler = Box<dyn FnMut(&Arrival<'_>) + Send>;

/// What only the owner touches.
#[derive(Default)]
pub(crate) struct Work {
    pub(super) handler: Option<Handler>,
    ending: Option<Ending>,
    /// How many messages the next group may have; 0: nobody knows yet how long they take.
    pub(super) group: usize,
}

impl Mailbox {
    /// Gives it its handler, before it is visible to anybody.
    ///
    /// # Safety
    ///
    /// Nobody else has the mailbox yet.
    pub(crate) unsafe fn arm(&self, handler: Handler, ending: Ending) {
        // SAFETY: as the caller says.
        self.work.with_mut(|work| unsafe {
            (*work).handler = Some(handler);
            (*work).ending = Some(ending);
        });
    }

    fn run_work(&self, work: &mut Work, budget: Budget) -> After {
        let mut group = Group::default();
        let (mut handled, mut spins, mut began) = (0u32, 0, budget.now);
        let mut pace = Pace::default();
        let mut thin = false;
        loop {
            if budget.linger && handled > 0 && (thin || !self.has_more()) {
                self.note_run(began);
                return After::Linger(self.found(handled));
            }
            let most = if work.group == 0 { GROUP_SMALL } else { work.group };
            // SAFETY: `run`'s caller has the turn.
            let taken = unsafe { self.take(&mut group, most) };
            self.wake_owed();
            if group.passed_low().is_some() {
                self.tell_crossings();
            }
            match taken {
                Taken::Some { first, .. } => {
                    let is_full = group.len() == self.ring.group_of(most);
                    let is_first = handled == 0;
                    thin = !is_full;
                    handled = handled.saturating_add(group.len() as u32);
                    if is_full {
                        pace.begin(work.group, &self.clock);
                    }
                    self.deliver(work, &mut group, first);
                    // After a thin group nothing waits, as a rule, and the run ends by itself.
                    let late = match is_full {
                        true => {
                            let lap = pace.lap(&self.clock, &mut work.group);
                            began = self.note_group(&lap, began);
                            lap.run >= budget.nanoseconds
                        }
                        false => !is_first && self.is_late(&budget),
                    };
                    if late || handled >= budget.messages {
                        return After::Again;
                    }
                }
                Taken::Busy if spins < BUSY_SPINS => {
                    spins += 1;
                    hint::spin_loop();
                }
                Taken::Busy => return After::Busy,
                Taken::Empty(empty) => {
                    if handled > 0 {
                        began = self.note_run(began);
                    }
                    // SAFETY: the turn is ours, and this is what the last take found.
                    if unsafe { self.ring.set_idle(empty) } {
                        return After::Idle;
                    }
                }
                Taken::End => {
                    self.finish(work);
                    return After::Ended;
                }
            }
        }
    }

    /// Whether the next message is there already. The caller has the turn.
    #[inline]
    fn has_more(&self) -> bool {
        // SAFETY: as the caller says.
        unsafe { self.ring.has_written() || self.has_prelude() }
    }

    /// What a run that found so many messages says of it: a quarter of the room there is counts as plenty, so that nobody
    /// waits for room while more are waited for.
    pub(super) fn found(&self, handled: u32) -> u32 {
        if u64::from(handled) >= self.ring.capacity() / 4 { PLENTY } else { handled }
    }

    /// Tells publishers that wait: everything before `head` has been taken out.
    #[inline]
    pub(super) fn make_room(&self, head: u64) {
        if let Some(room) = &self.room {
            room.wake(head);
        }
    }

    /// After a thin group. As a rule nothing waits then, and the run ends by itself; but while a slow handler has one
    /// message, the next one comes. The coarse clock will do for that.
    #[inline]
    pub(super) fn is_late(&self, budget: &Budget) -> bool {
        budget.is_shared() && self.coarse_now().saturating_sub(budget.now) >= budget.nanoseconds
    }

    /// Hands a group to the handler; one fence around all calls, resumed behind a handler that panicked.
    fn deliver(&self, work: &mut Work, group: &mut Group, first: u64) {
        let handler = match &mut work.handler {
            Some(Handler::Each(handler)) if !self.is_discarding() => handler,
            _ => return self.throw_away(group),
        };
        let mut cursor = Cursor { index: first, base: self.seq_base(), entry: None };
        frames::enter(self.profile.bus, self.profile.id, || {
            while !group.is_empty() {
                let calls = || self.call_each(handler, group, &mut cursor);
                if self.profile.fence.run(&self.profile.name, PanicPlace::Handler, calls).is_none() {
                    self.losses.count_panics(1);
                    cursor.next();
                }
            }
        });
    }

    #[inline(always)]
    fn call_each(&self, handler: &mut EachHandler, group: &mut Group, cursor: &mut Cursor) {
        let untimed = if cursor.is_standing() { 0 } else { self.untimed() };
        for word in group {
            // SAFETY: taken out of the ring, so it is ours alone.
            let (entry, lost) = unsafe { self.open(word, Arrived::Called) };
            let entry = cursor.entry.insert(entry);
            let seq = cursor.index.wrapping_add(cursor.base);
            let missed = self.losses.tell(lost);

            let arrival = Arrival { message: entry.message(), told: Told { missed, seq, end: None } };
            match cursor.index & untimed {
                0 => self.reached_and_timed(cursor.index, seq, || handler(&arrival)),
                _ => handler(&arrival),
            }
            cursor.next();
        }
    }

    /// Counted, and told by the final message: nothing else is delivered any more.
    pub(super) fn throw_away<const N: usize>(&self, group: &mut Items<N>) {
        frames::enter(self.profile.bus, self.profile.id, || {
            for word in group {
                // SAFETY: taken out of the ring, so it is ours alone.
                let (found, _) = unsafe { self.find(word) };
                self.losses.count(Loss::Discarded, 1);
                drop(found);
            }
        });
    }

    /// Takes everything out of the ring and drops it, counted as missed.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(super) unsafe fn throw_away_queue(&self) {
        let mut group = Group::default();
        // SAFETY: as the caller says.
        unsafe { self.throw_away_prelude() };
        // SAFETY: as the caller says.
        while let Taken::Some { .. } = unsafe { self.take(&mut group, GROUP) } {
            self.throw_away(&mut group);
        }
    }

    /// The end: the final message, then the handler goes, then the bus forgets it, then who waits is told.
    #[cold]
    pub(super) fn finish(&self, work: &mut Work) {
        let Work { handler, ending, .. } = std::mem::take(work);
        if mutated!("mailbox.done_early") {
            self.done.set(());
        }
        frames::enter(self.profile.bus, self.profile.id, || {
            if let (Some(handler), Some(ending)) = (handler, ending) {
                let told = self.last_told();
                let count = |panics| self.losses.count_panics(panics);
                match handler {
                    Handler::Each(handler) => ending.run(&self.profile, told, handler, count),
                    Handler::Batch(batcher) => ending.run(&self.profile, told, batcher.last(), count),
                }
            }
        });
        self.congestion.end(&self.profile);
        self.done.set(());
    }

    /// What is told with the final message.
    pub(super) fn last_told(&self) -> Told {
        // One refused message may have been the end of it.
        let overflowed = self.is_overflowed() && !mutated!("mailbox.overflow_told");
        let missed = self.losses.tell_last(self.ring.evicted()) + u64::from(overflowed);
        Told { missed, seq: self.ring.accepted() + self.seq_base(), end: Some(self.end_reason()) }
    }
}

/// How long the run has taken since its first full group ended, or began if that was timed; and how long what came since
/// then, or since the last lap: a full group, and maybe thin ones before it.
pub(super) struct Lap {
    pub(super) run: u64,
    pub(super) group: Option<u64>,
}

/// How long the full groups of one run take: behind those more may wait. For others the clock is not asked.
#[derive(Default)]
pub(super) struct Pace {
    /// When the first lap ended, or began if it was timed; and when the last one ended.
    laps: Option<(u64, u64)>,
}

impl Pace {
    /// A full group is about to be handled. The first of a run is timed as well if it may be large.
    pub(super) fn begin(&mut self, group: usize, clock: &Clock) {
        if self.laps.is_none() && group > GROUP_SMALL {
            let now = clock.monotonic_ns();
            self.laps = Some((now, now));
        }
    }

    /// A group was handled: sets how many messages the next one may have, and returns how long it all took.
    pub(super) fn lap(&mut self, clock: &Clock, group: &mut usize) -> Lap {
        let now = clock.monotonic_ns();
        let Some((first, last)) = self.laps.replace((now, now)) else {
            return Lap { run: 0, group: None };
        };
        self.laps = Some((first, now));
        let took = now.saturating_sub(last);
        *group = match took {
            0..=FAST_GROUP_NS => GROUP,
            _ if took <= SLOW_GROUP_NS => GROUP_SMALL,
            _ => 1,
        };
        Lap { run: now.saturating_sub(first), group: Some(took) }
    }
}

/// Where in the group the handler is.
struct Cursor {
    index: u64,
    base: u64,
    entry: Option<Entry>,
}

impl Cursor {
    /// Whether it is at the first message of all, and that was there before the subscription: a look at what stands may be
    /// over before a number comes by at which a call is timed.
    #[inline(always)]
    fn is_standing(&self) -> bool {
        self.base != 0 && self.index.wrapping_add(self.base) == 0
    }

    /// The call is over: a waiter is told, the message goes. Outside the handler, inside the frame.
    #[inline(always)]
    fn next(&mut self) {
        self.index = self.index.wrapping_add(1);
        if let Some(entry) = self.entry.take() {
            entry.handled();
            entry.give_back();
        }
    }
}

impl Job for Mailbox {
    unsafe fn run(&self, budget: Budget) -> After {
        // SAFETY: the caller has the turn, so nobody else touches the work.
        self.work.with_mut(|work| match unsafe { &mut *work } {
            work @ Work { handler: Some(Handler::Batch(_)), .. } => self.run_batches(work, budget),
            work => self.run_work(work, budget),
        })
    }

    unsafe fn settle(&self, since: u64) {
        // SAFETY: as the caller says.
        unsafe { self.settle() };
        self.note_empty(since);
    }

    unsafe fn has_news(&self) -> bool {
        // SAFETY: as the caller says.
        unsafe { self.has_news() }
    }

    fn id(&self) -> u64 {
        self.profile.id
    }
}
