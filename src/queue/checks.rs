//! The ring against a plain queue and crossbeam's bounded one, for any sequence of operations; for tests and for fuzzing.
//!
//! Each operation is two bytes. The plain queue has what the ring promises beyond a queue: indices, the turn, the spill,
//! the marks, what was evicted. `ArrayQueue` says of the same items, on its own, what a bounded queue does with them.

#![allow(clippy::disallowed_types, reason = "an oracle must not be our own")]

use super::{CLAIM_MAX, Close, GROUP, Group, Marks, Push, PushSeveral, Ring, Shape, Taken, WhenFull};
use crossbeam_queue::ArrayQueue;
use std::collections::VecDeque;
use std::num::NonZeroUsize;

#[derive(Clone, Copy, Debug)]
struct Item {
    value: usize,
    spilled: bool,
}

/// What the ring should be.
#[derive(Debug)]
struct Model {
    shape: Shape,
    /// How many more than the capacity a spilling push allows.
    beyond: u64,
    queue: VecDeque<Item>,
    accepted: u64,
    /// Evicted since the owner's last group.
    evicted: u64,
    evicted_ever: u64,
    deepest: u64,
    spilling: bool,
    high: bool,
    closed: bool,
    idle: bool,
    is_over: bool,
}

struct Check<'i> {
    ring: Ring,
    model: Model,
    /// Has what waits, as long as nothing was spilled.
    other: ArrayQueue<usize>,
    group: Group,
    input: std::slice::Iter<'i, u8>,
    last: usize,
}

/// Runs what `input` says. Panics if the ring does anything that it should not.
pub(crate) fn check(input: &[u8]) {
    let mut input = input.iter();
    let mut byte = || input.next().copied().unwrap_or_default();
    let capacity = match byte() {
        small @ 0..200 => usize::from(small) % 9 + 1,
        large => usize::from(large),
    };
    let (evicting, high, low, beyond) = (byte() % 2 == 1, byte(), byte(), byte());
    let marks = match high {
        0 => Marks { high: u64::MAX, low: 0 },
        _ => Marks { high: u64::from(high), low: u64::from(low % high) },
    };
    let shape = Shape { capacity, evicting, marks };
    let mut check = Check {
        ring: Ring::new(shape),
        model: Model::new(shape, beyond.into()),
        other: ArrayQueue::new(capacity),
        group: Group::default(),
        input,
        last: 0,
    };
    while !check.model.is_over && check.step() {
        check.compare();
    }
    check.end();
}

impl Model {
    fn new(shape: Shape, beyond: u64) -> Self {
        Self {
            shape,
            beyond,
            queue: VecDeque::new(),
            accepted: 0,
            evicted: 0,
            evicted_ever: 0,
            deepest: 0,
            spilling: false,
            high: false,
            closed: false,
            idle: true,
            is_over: false,
        }
    }

    fn depth(&self) -> u64 {
        self.queue.len() as u64
    }

    fn head(&self) -> u64 {
        self.accepted - self.depth()
    }

    /// It is in.
    fn accept(&mut self, value: usize, spilled: bool) {
        self.spilling |= spilled;
        self.idle = false;
        self.accepted += 1;
        self.queue.push_back(Item { value, spilled });
        self.deepest = self.deepest.max(self.depth());
    }

    fn push(&mut self, value: usize, limit: u64) -> Push {
        if self.closed {
            return Push::Closed;
        }
        let depth = self.depth();
        let joins = self.spilling || depth >= self.shape.capacity as u64;
        if joins && depth >= limit {
            return Push::Full { head: self.head() };
        }
        let passes = !self.high && depth + 1 >= self.shape.marks.high;
        let (turn, index) = (self.idle, self.accepted);
        self.high |= passes;
        self.accept(value, joins);
        Push::Accepted { turn, index, spilled: joins, high: passes.then_some(depth + 1) }
    }

    /// How many go in by one claim.
    fn room(&self, wanted: usize) -> usize {
        let calm = match self.high {
            true => self.shape.capacity as u64,
            false => (self.shape.marks.high - 1).min(self.shape.capacity as u64),
        };
        let room = if self.spilling { 0 } else { calm.saturating_sub(self.depth()) };
        wanted.min(CLAIM_MAX).min(room as usize)
    }

    /// As many as leave at once, all from the slots or all from the spill; what was missed; whether the low mark was passed.
    fn take(&mut self, most: usize) -> (Vec<usize>, u64, Option<u64>) {
        let most = most.min(self.shape.capacity / 4).clamp(1, GROUP);
        let spilled = self.queue.front().is_some_and(|first| first.spilled);
        let count = self.queue.iter().take(most).take_while(|item| item.spilled == spilled).count();
        let group = self.queue.drain(..count).map(|item| item.value).collect();
        let low = self.high && self.depth() <= self.shape.marks.low;
        self.high &= !low;
        (group, std::mem::take(&mut self.evicted), low.then_some(self.depth()))
    }
}

impl Check<'_> {
    /// One operation. False: the input is used up.
    fn step(&mut self) -> bool {
        let (Some(&what), Some(&how)) = (self.input.next(), self.input.next()) else { return false };
        match what % 16 {
            0..=4 => self.push(how),
            5..=6 => self.push_at_once(),
            7..=8 => self.push_several(how),
            // A whole lap and more.
            9 => (0..how % 80).for_each(|_| self.push(how)),
            10..=13 => self.take(how),
            14 => (0..how % 80).for_each(|_| self.take(u8::MAX)),
            _ if how == 0 => self.close(),
            _ if self.model.idle && !self.model.closed && how < 50 => {
                self.ring.hold();
                self.model.idle = false;
            }
            _ => {}
        }
        true
    }

    fn next(&mut self) -> (usize, NonZeroUsize) {
        self.last += 1;
        (self.last, NonZeroUsize::new(self.last).expect("counted from one"))
    }

    /// What crossbeam's queue says of the same push.
    fn other_agrees(&self, value: usize, accepted: bool) {
        if !self.model.spilling && !self.model.closed {
            assert_eq!(self.other.push(value).is_ok(), accepted, "crossbeam's queue");
        }
    }

    fn push(&mut self, how: u8) {
        let (value, item) = self.next();
        let capacity = self.model.shape.capacity as u64;
        let (when_full, limit) = match (self.model.shape.evicting, how % 2) {
            (true, _) => (WhenFull::Evict, capacity),
            (false, 0) => (WhenFull::Refuse, capacity),
            _ => (WhenFull::Spill { limit: capacity + self.model.beyond }, capacity + self.model.beyond),
        };
        let said = self.ring.push(item, when_full);
        assert_eq!(said, self.model.push(value, limit), "{when_full:?}");
        self.other_agrees(value, matches!(said, Push::Accepted { .. }));
        if let (Push::Full { head }, WhenFull::Evict) = (said, when_full) {
            self.evict(value, item, head);
        }
    }

    /// The oldest goes, and there is room.
    fn evict(&mut self, value: usize, item: NonZeroUsize, head: u64) {
        assert!(matches!(self.ring.evict(head + 1), Ok(None)), "another one is the oldest");
        let oldest = self.ring.evict(head).expect("nobody writes").expect("nobody took it");
        let due = self.model.queue.pop_front().expect("it was full");
        self.model.evicted += 1;
        self.model.evicted_ever += 1;
        assert_eq!((oldest.get(), self.other.force_push(value)), (due.value, Some(due.value)), "evicted");
        assert!(matches!(self.ring.evict(head), Ok(None)), "it is gone");
        let said = self.ring.push(item, WhenFull::Evict);
        assert_eq!(said, self.model.push(value, self.model.shape.capacity as u64), "into the room made");
        assert!(matches!(said, Push::Accepted { .. }));
    }

    fn push_at_once(&mut self) {
        let (value, item) = self.next();
        let Some(said) = self.ring.push_at_once(item) else { return };
        let plain = !self.model.closed && !self.model.spilling;
        assert!(plain && self.model.room(1) == 1, "nothing is to be said of it");
        assert_eq!(said, (self.model.idle, self.model.accepted), "turn and index");
        self.model.accept(value, false);
        self.other_agrees(value, true);
    }

    fn push_several(&mut self, how: u8) {
        let items: Vec<_> = (0..how).map(|_| self.next()).collect();
        let said = self.ring.push_several(&items.iter().map(|(_, item)| *item).collect::<Vec<_>>());
        let count = self.model.room(items.len());
        let due = match count {
            _ if self.model.closed => PushSeveral::Closed,
            0 => PushSeveral::NoRoom,
            _ => PushSeveral::Accepted { turn: self.model.idle, first: self.model.accepted, count },
        };
        assert_eq!(said, due, "{how} items");
        if said != PushSeveral::Closed {
            for (value, _) in &items[..count] {
                self.model.accept(*value, false);
                self.other_agrees(*value, true);
            }
        }
    }

    /// The owner's step, by whoever has the turn.
    fn take(&mut self, how: u8) {
        if self.model.idle || self.model.is_over {
            return;
        }
        // SAFETY: somebody cleared IDLE, and there is one thread: it has the turn.
        let (more, at) = unsafe { (self.ring.has_more(), self.ring.position()) };
        assert!(more || self.model.queue.is_empty(), "something waits");
        assert!(self.model.shape.evicting || at == self.model.head(), "the next index to take");
        let most = usize::from(how % 70);
        // SAFETY: as above.
        match unsafe { self.ring.take(&mut self.group, most) } {
            Taken::Some { first, missed } => self.taken(first, missed, most),
            Taken::Busy => panic!("nobody is between a claim and its write"),
            Taken::Empty(empty) => {
                assert!(self.model.queue.is_empty() && !self.model.closed, "nothing, and no end");
                // SAFETY: as above.
                assert!(unsafe { self.ring.set_idle(empty) }, "nobody came");
                (self.model.idle, self.model.spilling) = (true, false);
            }
            Taken::End => {
                assert!(self.model.queue.is_empty() && self.model.closed, "the end");
                self.model.is_over = true;
            }
        }
    }

    fn taken(&mut self, first: u64, missed: u64, most: usize) {
        assert_eq!(first, self.model.head(), "the first one's index");
        let items: Vec<usize> = self.group.by_ref().map(NonZeroUsize::get).collect();
        let seen = (items, missed, self.group.passed_low());
        assert_eq!(seen, self.model.take(most), "(items, missed, low) of at most {most}");
        for value in seen.0 {
            // What was spilled is not there.
            let other = self.other.pop();
            assert!(other == Some(value) || self.model.spilling || self.model.closed, "{other:?}, {value}");
        }
    }

    fn close(&mut self) {
        let due = if self.model.closed { Close::Already } else { Close::Now { turn: self.model.idle } };
        assert_eq!(self.ring.close(), due);
        (self.model.closed, self.model.idle) = (true, false);
    }

    /// What it shows.
    fn compare(&self) {
        let (ring, model) = (&self.ring, &self.model);
        let shown = (ring.accepted_and_depth(), ring.head(), ring.depth());
        assert_eq!(shown, ((model.accepted, model.depth()), model.head(), model.depth()), "{model:?}");
        let shown = (ring.is_idle(), ring.is_closed(), ring.is_congested());
        assert_eq!(shown, (model.idle, model.closed, model.high), "idle, closed, congested");
        assert_eq!(ring.evicted(), model.evicted_ever);
        assert!(ring.high_water() >= model.depth() && ring.high_water() <= model.deepest);
        assert!(ring.is_open_at(model.accepted) != model.closed && !ring.is_open_at(model.accepted + 1));
        assert_eq!(ring.capacity(), model.shape.capacity as u64);
    }

    /// Closed, and everything comes out.
    fn end(&mut self) {
        self.close();
        while !self.model.is_over {
            self.take(u8::MAX);
            self.compare();
        }
        let (_, item) = self.next();
        assert_eq!(self.ring.push_at_once(item), None);
        self.push(0);
    }
}
