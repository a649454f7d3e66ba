//! The ring itself: slots, the spill, and the three parties' steps. The protocol is in the module's header.

use super::group::{GROUP, Items};
use super::parts::{Between, Consumer, Position, Producers};
use super::shape::{Shape, WhenFull};
use super::slots::{LINE, Slots, prefetch, slot};
use super::spill::Spill;
use super::word::{Close, Head, State, Tail};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{LazyBox, Line, Tally, UnsafeCell, hint, mutated};
use std::num::NonZeroUsize;
use std::ptr;

/// A lost claim waits a little longer each time, up to this many tries.
const BACKOFF_TRIES_MAX: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 16 };
/// How often an evicting producer tries again when the oldest item is still being written.
const EVICT_TRIES_MAX: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 1 } else { 8 };
/// A ring of more is one of so many.
const CAPACITY_MAX: usize = 1 << 30;
/// `spill_from` before anything was spilled: no index gets that far.
const NEVER: u64 = u64::MAX;

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Push {
    /// In, at `index`. With `turn` the caller has the turn and passes it on. `high`: it passed the high mark, and so many
    /// items waited then.
    Accepted { turn: bool, index: u64, spilled: bool, high: Option<u64> },
    /// No room; the oldest item waiting was at `head`.
    Full { head: u64 },
    /// The ring was closed.
    Closed,
}

/// What the owner found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Taken {
    /// `group` has items; the first has this index; so many were evicted before it since the last group.
    Some { first: u64, missed: u64 },
    /// Somebody is between a claim and its write: come again, and keep the turn meanwhile.
    Busy,
    /// Nothing is left and nobody came: [`Ring::set_idle`] is next.
    Empty(Empty),
    /// Nothing is left and the ring is closed: the end. What was evicted since the last group nobody else tells.
    End,
}

/// Proof that the ring was found empty, needed to give the turn up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Empty(State);

impl std::fmt::Debug for Empty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Empty(at {})", self.0.index())
    }
}

#[cfg(all(target_arch = "x86_64", not(any(bus_loom, bus_shuttle))))]
const _: () = assert!(size_of::<Ring>() == 3 * 64, "a line each");

/// A bounded ring of non-zero words for many producers and one owner.
#[repr(C)]
pub(crate) struct Ring {
    pub(super) producers: Line<Producers>,
    pub(super) between: Line<Between>,
    pub(super) consumer: Line<Consumer>,
}

// SAFETY: `position` is touched by the owner alone, and the turn (one at a time, handed on by Release and Acquire on
// the tail) says who that is; all else is atomic. Checked by every model in loom_tests/ring.rs.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    pub(crate) fn new(shape: Shape) -> Self {
        let slots = shape.capacity.min(CAPACITY_MAX).next_power_of_two();
        // Depths are compared as signed numbers.
        let high = shape.marks.high.min(i64::MAX as u64);
        // `policy::CAPACITY_ALLOWED` is far below this.
        let capacity = shape.capacity.min(CAPACITY_MAX) as u32;
        Self {
            producers: Line(Producers {
                tail: Tail::new(),
                cached_head: AtomicU64::new(0),
                slots: Slots::none(),
                woken_at: Tally::new(),
                high,
                mask: (slots - 1) as u32,
                capacity,
                calm: high.saturating_sub(1).min(u64::from(capacity)) as u32,
                evicting: shape.evicting,
            }),
            between: Line(Between {
                low: shape.marks.low,
                group_max: (capacity / 4).clamp(1, GROUP as u32),
                spill_from: AtomicU64::new(NEVER),
                spill: LazyBox::new(),
            }),
            consumer: Line(Consumer {
                head: Head::new(),
                evicted: Tally::new(),
                position: UnsafeCell::new(Position {
                    next: 0,
                    handed_out: 0,
                    slots: ptr::null_mut(),
                    high_mark: high.min(u64::from(u32::MAX)) as u32,
                    in_spill: false,
                    high: false,
                    evicting: shape.evicting,
                    slots_log: slots.ilog2() as u8,
                }),
                deepest: AtomicU64::new(0),
                passed_high: AtomicBool::new(false),
            }),
        }
    }

    /// Puts `item` in, or says why not. Between the claim and the write nothing runs but stores.
    #[inline]
    pub(crate) fn push(&self, item: NonZeroUsize, when_full: WhenFull) -> Push {
        let producers = &*self.producers;
        let slots = self.slots();
        let mut tries = 0;
        loop {
            let seen = producers.tail.read();
            if seen.is_closed() && !mutated!("ring.closed") {
                return Push::Closed;
            }
            if seen.is_spilling() || !self.has_room(seen) {
                match self.push_closely(item, seen, when_full) {
                    Some(outcome) => return outcome,
                    None => continue,
                }
            }
            if producers.tail.claim(seen) {
                // ORDERING(ring.slot): Release; pairs with the Acquire in `take_written` and in `evict`: who takes the item
                // has its contents.
                slot(slots, seen.index(), producers.mask()).store(item.get(), Ordering::Release);
                return Push::Accepted {
                    turn: seen.is_idle() || mutated!("ring.turn"),
                    index: seen.index(),
                    spilled: false,
                    high: None,
                };
            }
            back_off(&mut tries);
        }
    }

    /// Room, and no mark to pass, as far as the cached head tells; the real one is read only when that says no.
    #[inline]
    pub(super) fn has_room(&self, seen: State) -> bool {
        let producers = &*self.producers;
        let bound = producers.bound(seen) as i64;
        // ORDERING(ring.head): Acquire; pairs with the Release in `refresh_head`, and through it with the owner's
        // `publish`: our write into a slot comes after the owner emptied it.
        let head = producers.cached_head.load(Ordering::Acquire);
        mutated!("ring.room") || waiting(seen, head) < bound || waiting(seen, self.refresh_head()) < bound
    }

    #[cold]
    pub(super) fn refresh_head(&self) -> u64 {
        let head = self.consumer.head.read();
        // ORDERING(ring.head): Release; pairs with the Acquire in `has_room`. An older value may overwrite a newer
        // one: it makes the next producer read the head itself, no more.
        self.producers.cached_head.store(head, Ordering::Release);
        head
    }

    /// There may be no room, or a mark to pass. `None`: the tail has moved on, look again.
    #[cold]
    fn push_closely(&self, item: NonZeroUsize, seen: State, when_full: WhenFull) -> Option<Push> {
        let producers = &*self.producers;
        // Read after `seen`, and believed only while `seen` still stands.
        let head = self.consumer.head.read();
        let depth = waiting(seen, head);
        let limit = match when_full {
            WhenFull::Spill { limit } => limit,
            // While the spill stands, what finds room joins it: so the order is kept.
            WhenFull::Refuse | WhenFull::Evict => producers.capacity(),
        };
        if depth >= limit as i64 {
            let is_proved = mutated!("ring.full_unproved") || producers.tail.read() == seen;
            return is_proved.then_some(Push::Full { head });
        }
        let spilled = seen.is_spilling() || depth >= i64::from(producers.capacity);
        let high = (!seen.is_high() || mutated!("ring.high")) && depth + 1 >= producers.high as i64;
        if !producers.tail.claim_setting(seen, spilled, high) {
            return None;
        }
        if high {
            // ORDERING(ring.high): Relaxed; the item's own Release comes after it, and the owner's Acquire before its look.
            self.consumer.passed_high.store(true, Ordering::Relaxed);
        }
        match spilled {
            true => self.spill_at(item, seen),
            // ORDERING(ring.slot): Release; pairs with the Acquire in `take_written` and in `evict`, as in `push`.
            false => slot(self.slots(), seen.index(), producers.mask()).store(item.get(), Ordering::Release),
        }
        let high = high.then_some(depth as u64 + 1);
        Some(Push::Accepted { turn: seen.is_idle(), index: seen.index(), spilled, high })
    }

    fn spill_at(&self, item: NonZeroUsize, seen: State) {
        if !seen.is_spilling() {
            // ORDERING(ring.spill): Release; pairs with the owner's Acquire in `look_closer`.
            self.between.spill_from.store(seen.index(), Ordering::Release);
        }
        self.between.spill.get_or_make(Spill::new).push(item);
    }

    /// Takes the item at `head` out of a full ring. `None`: somebody else moved the head, or the oldest item is
    /// still being written; `Err`: the latter for too long, the caller gives up.
    pub(crate) fn evict(&self, head: u64) -> Result<Option<NonZeroUsize>, StillWriting> {
        debug_assert!(self.producers.evicting, "only the owner moves the head of this ring");
        for _ in 0..=EVICT_TRIES_MAX {
            if !self.consumer.head.take_at(head) {
                return Ok(None);
            }
            // ORDERING(ring.slot): Acquire; pairs with the producer's Release: the item's contents are ours.
            let oldest = slot(self.slots(), head, self.producers.mask());
            let item = oldest.load(Ordering::Acquire);
            if let Some(item) = NonZeroUsize::new(item) {
                oldest.store(0, Ordering::Relaxed);
                // Before the head moves: who sees the gap finds it counted.
                self.consumer.evicted.bump(u64::from(!mutated!("ring.evicted")));
                self.consumer.head.publish(head + 1);
                return Ok(Some(item));
            }
            self.consumer.head.publish(head);
            hint::spin_loop();
        }
        Err(StillWriting)
    }

    /// Takes the turn without an item. Of a ring that nobody else has yet.
    pub(crate) fn hold(&self) {
        let held = self.producers.tail.hold();
        debug_assert!(held, "somebody has the turn");
    }

    pub(crate) fn close(&self) -> Close {
        self.producers.tail.close()
    }

    /// Moves the next items, at most `most` and at most a quarter of the capacity, into `group`.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(crate) unsafe fn take<const N: usize>(&self, group: &mut Items<N>, most: usize) -> Taken {
        group.clear();
        let most = self.group_of(most).min(N);
        // SAFETY: the caller has the turn, so nobody else touches the position.
        self.consumer.position.with_mut(|position| self.take_at(unsafe { &mut *position }, group, most))
    }

    /// How many items one `take` moves if asked for `most`.
    pub(crate) fn group_of(&self, most: usize) -> usize {
        most.clamp(1, self.between.group_max as usize)
    }

    /// Whether the next item is there already. Looks at its slot only: asking while producers are at work does not
    /// take the tail's line away from them. A hint: [`take`](Self::take) tells.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(crate) unsafe fn has_written(&self) -> bool {
        // SAFETY: the caller has the turn.
        self.consumer.position.with(|at| unsafe {
            let at = &*at;
            at.in_spill || at.item(self.slots_of(at), at.next) != 0
        })
    }

    fn take_at<const N: usize>(&self, at: &mut Position, group: &mut Items<N>, most: usize) -> Taken {
        if at.in_spill {
            self.take_spilled(at, group, most);
        } else if !self.take_written(at, group, most) {
            return Taken::Busy;
        }
        if group.is_empty() {
            return match self.look_closer(at, group) {
                None => self.take_at(at, group, most),
                Some(found) => found,
            };
        }
        let first = at.next - group.len() as u64;
        let missed = if mutated!("ring.gap") { 0 } else { first - at.handed_out };
        at.handed_out = at.next;
        // ORDERING(ring.high): Relaxed; see `push_closely`. Taken back before HIGH is, so that no later one is missed.
        if self.consumer.passed_high.load(Ordering::Relaxed) {
            self.consumer.passed_high.store(false, Ordering::Relaxed);
            at.high = true;
        }
        if at.high {
            self.look_for_low(at, group);
        }
        Taken::Some { first, missed }
    }

    /// The ring is congested, as far as the owner knows. `head` was published, so that nobody finds it high by an old one.
    fn look_for_low<const N: usize>(&self, at: &mut Position, group: &mut Items<N>) {
        loop {
            let seen = self.producers.tail.read();
            let left = seen.index() - at.next;
            at.high = seen.is_high();
            if !at.high || left > self.between.low {
                return;
            }
            if self.producers.tail.clear_high(seen).is_some() {
                at.high = false;
                return group.set_low(left);
            }
        }
    }

    /// From the slots. False: a producer is taking the oldest out at this moment.
    fn take_written<const N: usize>(&self, at: &mut Position, group: &mut Items<N>, most: usize) -> bool {
        at.slots = self.slots_of(at);
        if at.slots.is_null() {
            return true;
        }
        let (slots, mask) = (at.slots, at.mask());
        if at.evicting {
            let head = self.consumer.head.read();
            if !self.consumer.head.take_at(head) {
                return false;
            }
            at.next = head;
        }
        while group.len() < most {
            // ORDERING(ring.slot): Acquire; pairs with the Release in `push`: the item's contents are ours.
            let cell = slot(slots, at.next, mask);
            let item = cell.load(Ordering::Acquire);
            if item == 0 {
                break;
            }
            cell.store(0, Ordering::Relaxed);
            group.push(item);
            at.next += 1;
        }
        if group.len() == most {
            // More waits, as a rule, and comes from the producers' core while the handler has this group.
            for line in (0..most as u64).step_by(LINE as usize) {
                prefetch(slots, at.next + line, mask);
            }
        }
        if !group.is_empty() || at.evicting {
            self.note_depth(at, group.len(), most);
            self.consumer.head.publish(at.next);
        }
        true
    }

    fn take_spilled<const N: usize>(&self, at: &mut Position, group: &mut Items<N>, most: usize) {
        while group.len() < most {
            // SAFETY: we are the owner, whose position this is.
            match self.between.spill.get().and_then(|spill| unsafe { spill.pop() }) {
                Some(item) => group.push(item.get()),
                None => break,
            }
        }
        at.next += group.len() as u64;
        self.note_depth(at, group.len(), most);
        if !mutated!("ring.spill_head") {
            self.consumer.head.publish(at.next);
        }
    }

    /// No item at our position: why? `None`: the ring is used up and the spill comes next.
    #[cold]
    fn look_closer<const N: usize>(&self, at: &mut Position, group: &mut Items<N>) -> Option<Taken> {
        let mut seen = self.producers.tail.read();
        if seen.index() == at.next || mutated!("ring.half_written") {
            if seen.is_high() && !mutated!("ring.high_idle") {
                // Changed meanwhile: come again.
                let Some(low) = self.producers.tail.clear_high(seen) else { return Some(Taken::Busy) };
                (seen, at.high) = (low, false);
                group.set_low(0);
            }
            return Some(match seen.is_closed() {
                true => Taken::End,
                false => Taken::Empty(Empty(seen)),
            });
        }
        // ORDERING(ring.spill): Acquire; pairs with the Release in `spill_at`.
        let is_early =
            !mutated!("ring.spill_early") && self.between.spill_from.load(Ordering::Acquire) != at.next;
        if at.in_spill || !seen.is_spilling() || is_early {
            return Some(Taken::Busy);
        }
        at.in_spill = true;
        None
    }

    /// Before the head moves, so that what comes into the room it makes is not counted with what left. A full group
    /// hides more behind it, and one of the size of the high mark may have passed it: only then the tail is worth its line.
    fn note_depth(&self, at: &mut Position, taken: usize, most: usize) {
        let mut depth = taken as u64;
        if taken == most || depth >= u64::from(at.high_mark) {
            let seen = self.producers.tail.read();
            at.high = seen.is_high();
            depth = seen.index() - (at.next - taken as u64);
        }
        if depth > self.consumer.deepest.load(Ordering::Relaxed) {
            self.consumer.deepest.store(depth, Ordering::Relaxed);
        }
    }

    /// Gives the turn up. True: it is gone, and the caller touches nothing of the ring any more. False: something
    /// came meanwhile, and the caller goes on.
    ///
    /// # Safety
    ///
    /// The caller has the turn, and `empty` came from its last `take`.
    pub(crate) unsafe fn set_idle(&self, empty: Empty) -> bool {
        // SAFETY: the caller has the turn.
        let was = self.consumer.position.with_mut(|at| unsafe { std::mem::take(&mut (*at).in_spill) });
        let gone = self.producers.tail.set_idle(empty.0);
        if !gone && was && !mutated!("ring.in_spill") {
            // SAFETY: the turn is still the caller's.
            self.consumer.position.with_mut(|at| unsafe { (*at).in_spill = true });
        }
        gone
    }

    #[inline]
    pub(super) fn slots(&self) -> *mut AtomicUsize {
        self.producers.slots.get(self.producers.mask())
    }

    /// The slots as the owner knows them; null if no message came yet.
    #[inline]
    pub(super) fn slots_of(&self, at: &Position) -> *mut AtomicUsize {
        if at.slots.is_null() { self.producers.slots.peek() } else { at.slots }
    }
}

impl Drop for Ring {
    /// Frees the slots. Items still inside are the caller's to take out first.
    fn drop(&mut self) {
        let producers = &mut *self.producers;
        // SAFETY: `&mut self`: nobody else is left.
        unsafe { producers.slots.free(producers.mask()) };
    }
}

/// The producer that claimed the oldest index has not written it for a while.
#[derive(Debug)]
pub(crate) struct StillWriting;

/// How many items wait if the oldest is at `head`. Signed: a head read later than a stale tail may be ahead of it.
#[inline]
pub(super) fn waiting(seen: State, head: u64) -> i64 {
    match seen.index().wrapping_sub(head) as i64 {
        ahead if mutated!("ring.full_unproved") && ahead < 0 => i64::MAX,
        waiting => waiting,
    }
}

#[inline]
pub(super) fn back_off(tries: &mut u32) {
    *tries = (*tries + 1).min(BACKOFF_TRIES_MAX);
    for _ in 0..*tries {
        hint::spin_loop();
    }
}
