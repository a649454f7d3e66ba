//! What one subscription must get, and when.

use super::script::{Mode, Policy};
use super::words::{Filter, Key, Lane, Table, Told, Type, Which};
use stasis_bus::{EndReason, Grow, Report};
use std::collections::{BTreeSet, VecDeque};

/// A group leaves a mailbox at once.
const GROUP_MAX: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    kind: Type,
    seq: u64,
    spilled: bool,
    lane: Option<Lane>,
    /// How many stood in its place before.
    lost: u64,
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) key: Key,
    pub(crate) kind: Type,
    pub(crate) lane: Option<Lane>,
}

/// What was seen at one call (or read from a stream).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) key: Key,
    pub(crate) kind: Type,
    pub(crate) missed: u64,
    pub(crate) seq: u64,
    pub(crate) end: Option<EndReason>,
    /// Which route of a router was called.
    pub(crate) route: u64,
}

/// What a subscription that catches up gets first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prelude {
    pub(crate) own: Option<Key>,
    /// In any order.
    pub(crate) standing: BTreeSet<Key>,
    pub(crate) end: Option<Key>,
}

impl Prelude {
    fn len(&self) -> usize {
        self.standing.len() + usize::from(self.own.is_some()) + usize::from(self.end.is_some())
    }

    /// Whether that is what may come next.
    fn take(&mut self, key: Key) -> bool {
        match (self.own, self.standing.is_empty()) {
            (Some(own), _) => {
                self.own = None;
                own == key
            }
            (None, false) => self.standing.remove(&key),
            (None, true) => self.end.take() == Some(key),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Sub {
    pub(crate) place: u8,
    pub(crate) mode: Mode,
    pub(crate) filter: Filter,
    /// Of a router.
    pub(crate) table: Option<Table>,
    capacity: usize,
    policy: Policy,
    /// Others' publishes reach it.
    pub(crate) visible: bool,
    pub(crate) ended: Option<EndReason>,
    /// It is off its topic's list.
    pub(crate) left: bool,
    /// The call that ended it has returned.
    pub(crate) closed: bool,
    pub(crate) finished: bool,
    /// Its queue may be thrown away.
    pub(crate) discarded: bool,
    pub(crate) prelude: Prelude,
    queue: VecDeque<Entry>,
    group: VecDeque<Entry>,
    /// Of a mailbox that conflates: so many of the queue have left it as far as its depth goes.
    tokens: usize,
    spilling: bool,
    pub(crate) running: usize,
    pub(crate) accepted: u64,
    /// Positions given out.
    next_seq: u64,
    /// So many stood before the ring.
    brought: u64,
    /// Taken out of a mailbox that conflates, whose positions are given out then.
    taken: u64,
    /// Refused, not told yet.
    pending: u64,
    /// Taken out by newer ones since the last group.
    evicted: u64,
    pub(crate) missed: u64,
    pub(crate) over_capacity: u64,
    pub(crate) calls: u64,
    pub(crate) panics: u64,
    /// Everything a handler was called with.
    handled: BTreeSet<Key>,
}

impl Sub {
    pub(crate) fn new(place: u8, mode: Mode, filter: Filter, capacity: usize, policy: Policy) -> Self {
        Self {
            place,
            mode,
            filter,
            table: None,
            capacity,
            policy,
            visible: false,
            ended: None,
            left: false,
            closed: false,
            finished: false,
            discarded: false,
            prelude: Prelude::default(),
            queue: VecDeque::new(),
            group: VecDeque::new(),
            tokens: 0,
            spilling: false,
            running: 0,
            accepted: 0,
            next_seq: 0,
            brought: 0,
            taken: 0,
            pending: 0,
            evicted: 0,
            missed: 0,
            over_capacity: 0,
            calls: 0,
            panics: 0,
            handled: BTreeSet::new(),
        }
    }

    pub(crate) fn takes(&self, kind: Type) -> bool {
        self.filter.takes(kind)
    }

    /// On its topic's list, as far as others are concerned.
    pub(crate) fn stands(&self) -> bool {
        self.visible && !self.left
    }

    /// Its policy has ended it, and nobody was told yet.
    pub(crate) fn is_leaving(&self) -> bool {
        self.ended == Some(EndReason::Disconnected) && !self.left
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.group.len() + self.prelude.len()
    }

    pub(crate) fn depth(&self) -> usize {
        self.queue.len() - self.tokens + self.prelude.len()
    }

    pub(crate) fn was_handled(&self, key: Key) -> bool {
        self.handled.contains(&key)
    }

    pub(crate) fn has_waiting(&self, key: Key) -> bool {
        self.queue.iter().chain(&self.group).any(|entry| entry.key == key)
    }

    /// What stands comes before the ring, and counts as accepted.
    pub(crate) fn begin_with(&mut self, prelude: Prelude) {
        self.accepted += prelude.len() as u64;
        self.next_seq += prelude.len() as u64;
        self.brought = prelude.len() as u64;
        self.prelude = prelude;
    }

    /// A route of it is another one now: it wants what has a route.
    pub(crate) fn set_route(&mut self, which: Which, stands: bool) -> u64 {
        let Some(table) = &mut self.table else { return 0 };
        let number = table.set(which, stands);
        self.filter = table.filter();
        number
    }

    /// Its reader found nothing.
    pub(crate) fn rested(&mut self, polled: bool) {
        self.spilling &= !polled;
    }

    /// What waits is thrown away.
    pub(crate) fn discard(&mut self) {
        self.prelude = Prelude::default();
        self.queue.clear();
        self.group.clear();
        self.tokens = 0;
    }

    pub(crate) fn offer(&mut self, item: Item, report: &mut Report) {
        if self.ended.is_some() {
            report.closed += 1;
            return;
        }
        if let Policy::Conflate = self.policy {
            report.accepted += 1;
            return self.conflate(item);
        }
        if self.mode != Mode::Stream && self.running == 0 && self.queue.len() + self.group.len() == 0 {
            self.spilling = false;
        }
        let full = self.queue.len() >= self.capacity;
        let beyond = match self.policy {
            Policy::Grow(limit) => usize::from(limit),
            Policy::Block => Grow::DEFAULT_LIMIT,
            _ => 0,
        };
        if full && matches!(self.policy, Policy::DropOldest) {
            self.queue.pop_front();
            self.evicted += 1;
            self.missed += 1;
        } else if self.queue.len() >= self.capacity + beyond {
            self.missed += 1;
            report.dropped += 1;
            if let Policy::Disconnect = self.policy {
                // The final message tells of it.
                self.ended = Some(EndReason::Disconnected);
                self.closed = true;
            } else {
                self.pending += 1;
            }
            return;
        } else if full {
            self.spilling = true;
        }
        if self.spilling && matches!(self.policy, Policy::Block) {
            self.over_capacity += 1;
            report.over_capacity += 1;
        }
        report.accepted += 1;
        self.push(item);
    }

    fn push(&mut self, item: Item) {
        let Item { key, kind, lane } = item;
        self.queue.push_back(Entry { key, kind, seq: self.next_seq, spilled: self.spilling, lane, lost: 0 });
        self.accepted += 1;
        self.next_seq += 1;
    }

    /// It replaces what has its key, or what waits longest.
    fn conflate(&mut self, item: Item) {
        let same = self.queue.iter_mut().find(|entry| item.lane.is_some() && entry.lane == item.lane);
        if let Some(entry) = same {
            entry.lost += 1;
            entry.key = merged(entry.key, item.key);
            entry.kind = item.kind;
            self.missed += 1;
            self.accepted += 1;
        } else if self.queue.len() >= self.capacity {
            let oldest = self.queue.pop_front().expect("it is full");
            self.pending += 1 + oldest.lost;
            self.missed += 1;
            // It has the place of the one that left.
            self.push(item);
            self.next_seq -= 1;
        } else {
            self.push(item);
        }
    }

    /// As many as leave the queue at once, all from the ring or all from the spill.
    fn take_group(&mut self) {
        let most = (self.capacity / 4).clamp(1, GROUP_MAX);
        if let Policy::Conflate = self.policy {
            self.tokens = self.queue.len().min(most);
            return;
        }
        let spilled = self.queue.front().is_some_and(|first| first.spilled);
        while self.group.len() < most && self.queue.front().is_some_and(|next| next.spilled == spilled) {
            self.group.extend(self.queue.pop_front());
        }
    }

    /// The next one, and how many were missed before it.
    fn next(&mut self) -> Option<(Entry, u64)> {
        let mut missed = 0;
        if self.group.is_empty() && self.tokens == 0 {
            self.take_group();
            missed = std::mem::take(&mut self.evicted);
        }
        let entry = match self.policy {
            Policy::Conflate => {
                self.tokens = self.tokens.saturating_sub(1);
                self.taken += u64::from(!self.queue.is_empty());
                let seq = (self.brought + self.taken).saturating_sub(1);
                self.queue.pop_front().map(|entry| Entry { seq, ..entry })
            }
            _ => self.group.pop_front(),
        }?;
        Some((entry, missed + entry.lost))
    }

    /// What is wrong with this coming now; nothing if it is what had to come.
    pub(crate) fn take(&mut self, seen: Seen) -> Option<String> {
        if self.finished {
            return Some("a call after the final one".to_owned());
        }
        if seen.end.is_some() {
            return self.take_final(seen);
        }
        let wrong = self.take_next(seen);
        let route = self.table.map_or(0, |table| table.route(seen.kind));
        wrong.or_else(|| (seen.route != route).then(|| format!("that is for route {route}")))
    }

    fn take_next(&mut self, seen: Seen) -> Option<String> {
        if self.prelude.len() > 0 {
            let seq = self.next_seq_of_prelude();
            let told = std::mem::take(&mut self.pending);
            let due = (told, seq);
            self.handled.insert(seen.key);
            let fits = self.prelude.take(seen.key) && (seen.missed, seen.seq) == due;
            return (!fits).then(|| format!("due was (missed, seq) {due:?}, then {:?}", self.prelude));
        }
        let Some((due, missed)) = self.next() else { return Some("nothing was due".to_owned()) };
        let missed = missed + std::mem::take(&mut self.pending);
        self.handled.insert(due.key);
        let due = (due.key, missed, due.seq);
        ((seen.key, seen.missed, seen.seq) != due).then(|| format!("due was (key, missed, seq) {due:?}"))
    }

    fn next_seq_of_prelude(&self) -> u64 {
        self.brought - self.prelude.len() as u64
    }

    fn take_final(&mut self, seen: Seen) -> Option<String> {
        self.finished = true;
        let mut missed = std::mem::take(&mut self.pending) + std::mem::take(&mut self.evicted);
        missed += u64::from(self.ended == Some(EndReason::Disconnected));
        if self.discarded {
            missed += self.waiting() as u64 + self.queue.iter().map(|entry| entry.lost).sum::<u64>();
            self.discard();
        }
        if self.waiting() > 0 {
            return Some(format!("the final one with {} waiting", self.waiting()));
        }
        let due = (self.ended, missed, self.next_seq);
        ((seen.end, seen.missed, seen.seq) != due).then(|| format!("due was (end, missed, seq) {due:?}"))
    }
}

/// Of two updates of one entry: from before the first to after the last. Of anything else the last.
fn merged(first: Key, last: Key) -> Key {
    match (first, last) {
        (Key::Update(first), Key::Update(last)) => {
            Key::Update(Told { slot: last.slot, old: first.old, new: last.new, snapshot: false })
        }
        _ => last,
    }
}
