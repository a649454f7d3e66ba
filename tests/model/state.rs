//! What every subscription must get, and when.

use super::script::{FilterSpec, Kind, Mode, Policy, TOPICS};
use stasis_bus::{EndReason, Grow, Report};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Handlers may nest so deep; a publish below that is refused.
const NESTING_MAX: usize = 64;
/// A group leaves a mailbox at once.
const GROUP_MAX: usize = 16;

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Value(u64),
    Began(usize),
    Ended(usize),
}

/// A message as filters see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Of(Kind),
    Change,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    seq: u64,
    spilled: bool,
}

/// What was seen at one call (or read from a stream).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) key: Key,
    pub(crate) missed: u64,
    pub(crate) seq: u64,
    pub(crate) end: Option<EndReason>,
}

#[derive(Debug)]
pub(crate) struct Sub {
    pub(crate) topic: u8,
    pub(crate) mode: Mode,
    filter: FilterSpec,
    capacity: usize,
    policy: Policy,
    /// Others' publishes reach it.
    visible: bool,
    pub(crate) ended: Option<EndReason>,
    /// The call that ended it has returned.
    closed: bool,
    pub(crate) finished: bool,
    /// Its queue may be thrown away.
    discarded: bool,
    queue: VecDeque<Entry>,
    group: VecDeque<Entry>,
    spilling: bool,
    running: usize,
    pub(crate) accepted: u64,
    /// Refused, not told yet.
    pending: u64,
    /// Taken out by newer ones since the last group.
    evicted: u64,
    pub(crate) missed: u64,
    pub(crate) over_capacity: u64,
    pub(crate) calls: u64,
    pub(crate) panics: u64,
    /// The last message that a handler was called with.
    handled: BTreeSet<Key>,
}

/// One publish under way.
#[derive(Debug)]
struct Frame {
    key: Key,
    kind: Type,
    topics: BTreeSet<u8>,
    except: Option<usize>,
    /// Inline subscriptions that stood at its beginning, whether they want it or not.
    standing: BTreeSet<usize>,
    subs_then: usize,
    called: BTreeSet<usize>,
    report: Report,
    /// An inline subscription came or went meanwhile.
    moved: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) subs: Vec<Sub>,
    edges: BTreeMap<(u8, u8), usize>,
    frames: Vec<Frame>,
    /// Subscriptions whose `Subscribe` the others have not been told of, as far as was seen.
    announcing: Vec<usize>,
    depth: usize,
    pub(crate) wrong: Option<String>,
}

impl FilterSpec {
    fn takes(self, kind: Type) -> bool {
        if !(self.plain || self.formatted || self.changes || self.ami) {
            return true;
        }
        match kind {
            Type::Of(Kind::Plain) => self.plain,
            Type::Of(Kind::Formatted) => self.formatted || self.ami,
            Type::Of(Kind::Declined) => false,
            Type::Change => self.changes || self.ami,
        }
    }
}

impl Sub {
    pub(crate) fn new(topic: u8, mode: Mode, filter: FilterSpec, capacity: usize, policy: Policy) -> Self {
        Self {
            topic,
            mode,
            filter,
            capacity,
            policy,
            visible: false,
            ended: None,
            closed: false,
            finished: false,
            discarded: false,
            queue: VecDeque::new(),
            group: VecDeque::new(),
            spilling: false,
            running: 0,
            accepted: 0,
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

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.group.len()
    }

    pub(crate) fn depth(&self) -> usize {
        self.queue.len()
    }

    fn offer(&mut self, key: Key, report: &mut Report) {
        if self.mode != Mode::Stream && self.running == 0 && self.waiting() == 0 {
            self.spilling = false;
        }
        let full = self.queue.len() >= self.capacity;
        let beyond = match self.policy {
            Policy::Grow(limit) => usize::from(limit),
            Policy::Block => Grow::DEFAULT_LIMIT,
            Policy::DropNewest | Policy::DropOldest => 0,
        };
        if full && matches!(self.policy, Policy::DropOldest) {
            self.queue.pop_front();
            self.evicted += 1;
            self.missed += 1;
        } else if self.queue.len() >= self.capacity + beyond {
            self.pending += 1;
            self.missed += 1;
            report.dropped += 1;
            return;
        } else if full {
            self.spilling = true;
        }
        if self.spilling && matches!(self.policy, Policy::Block) {
            self.over_capacity += 1;
            report.over_capacity += 1;
        }
        report.accepted += 1;
        self.queue.push_back(Entry { key, seq: self.accepted, spilled: self.spilling });
        self.accepted += 1;
    }

    /// As many as leave the queue at once, all from the ring or all from the spill.
    fn take_group(&mut self) {
        let most = (self.capacity / 4).clamp(1, GROUP_MAX);
        let spilled = self.queue.front().is_some_and(|first| first.spilled);
        while self.group.len() < most && self.queue.front().is_some_and(|next| next.spilled == spilled) {
            self.group.extend(self.queue.pop_front());
        }
    }

    /// What is wrong with this coming now; nothing if it is what had to come.
    fn take(&mut self, seen: Seen) -> Option<String> {
        if self.finished {
            return Some("a call after the final one".to_owned());
        }
        if seen.end.is_some() {
            return self.take_final(seen);
        }
        let mut missed = 0;
        if self.group.is_empty() {
            self.take_group();
            missed = std::mem::take(&mut self.evicted);
        }
        missed += std::mem::take(&mut self.pending);
        let Some(due) = self.group.pop_front() else { return Some("nothing was due".to_owned()) };
        self.handled.insert(due.key);
        let due = (due.key, missed, due.seq);
        ((seen.key, seen.missed, seen.seq) != due).then(|| format!("due was (key, missed, seq) {due:?}"))
    }

    fn take_final(&mut self, seen: Seen) -> Option<String> {
        self.finished = true;
        let mut missed = std::mem::take(&mut self.pending) + std::mem::take(&mut self.evicted);
        if self.discarded {
            missed += self.waiting() as u64;
            self.queue.clear();
            self.group.clear();
        }
        if self.waiting() > 0 {
            return Some(format!("the final one with {} waiting", self.waiting()));
        }
        let due = (self.ended, missed, self.accepted);
        ((seen.end, seen.missed, seen.seq) != due).then(|| format!("due was (end, missed, seq) {due:?}"))
    }
}

impl Model {
    fn fail(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    // ---- forwards and reach ----------------------------------------------------------------------------------

    pub(crate) fn forward(&mut self, from: u8, to: u8) {
        *self.edges.entry((from, to)).or_default() += 1;
    }

    pub(crate) fn cancel(&mut self, from: u8, to: u8) {
        if let Some(handles) = self.edges.get_mut(&(from, to)) {
            *handles -= 1;
        }
        self.edges.retain(|_, handles| *handles > 0);
    }

    pub(crate) fn forwards_from(&self, topic: u8) -> usize {
        self.edges.keys().filter(|(from, _)| *from == topic).count()
    }

    pub(crate) fn subscriptions_on(&self, topic: u8) -> usize {
        self.subs.iter().filter(|sub| sub.topic == topic && sub.visible && sub.ended.is_none()).count()
    }

    fn reach(&self, from: u8) -> BTreeSet<u8> {
        let mut reached = BTreeSet::from([from]);
        for _ in 0..TOPICS {
            let next: Vec<u8> =
                self.edges.keys().filter(|(from, _)| reached.contains(from)).map(|(_, to)| *to).collect();
            reached.extend(next);
        }
        reached
    }

    /// Who is reached by a message on `topic`.
    fn standing(&self, topics: &BTreeSet<u8>, except: Option<usize>) -> BTreeSet<usize> {
        let stands = |sub: &Sub| sub.visible && sub.ended.is_none() && topics.contains(&sub.topic);
        let all = self.subs.iter().enumerate();
        all.filter(|(id, sub)| stands(sub) && Some(*id) != except).map(|(id, _)| id).collect()
    }

    pub(crate) fn wants(&self, topic: u8, kind: Kind) -> bool {
        let kind_of = Type::Of(kind);
        kind != Kind::Declined
            && self.standing(&self.reach(topic), None).iter().any(|&id| self.subs[id].filter.takes(kind_of))
    }

    // ---- publishing ------------------------------------------------------------------------------------------

    pub(crate) fn is_too_deep(&self) -> bool {
        self.depth >= NESTING_MAX
    }

    pub(crate) fn is_outside(&self) -> bool {
        self.depth == 0
    }

    /// A publish begins: every mailbox has it before any user code runs.
    pub(crate) fn publish(&mut self, topic: u8, key: Key, kind: Type, except: Option<usize>) {
        let topics = self.reach(topic);
        let (mut report, mut standing) = (Report::default(), BTreeSet::new());
        // Only the bus's own messages get here; they call nobody deeper.
        let too_deep = self.is_too_deep();
        for id in self.standing(&topics, except) {
            let sub = &mut self.subs[id];
            if sub.mode == Mode::Inline {
                standing.extend((!too_deep).then_some(id));
            } else if sub.filter.takes(kind) {
                sub.offer(key, &mut report);
            } else {
                report.filtered += 1;
            }
        }
        let subs_then = self.subs.len();
        let called = BTreeSet::new();
        self.frames.push(Frame {
            key,
            kind,
            topics,
            except,
            standing,
            subs_then,
            called,
            report,
            moved: false,
        });
    }

    /// Whether a message on `topic` reaches no handler that a publish would call.
    pub(crate) fn only_queues(&self, topic: u8) -> bool {
        let calls = |id: usize| matches!(self.subs[id].mode, Mode::Inline | Mode::Serial);
        !self.is_too_deep() && !self.standing(&self.reach(topic), None).into_iter().any(calls)
    }

    /// A publish that calls nobody.
    pub(crate) fn publish_queued(&mut self, topic: u8, key: Key, kind: Type) -> Report {
        self.publish(topic, key, kind, None);
        self.frames.pop().map(|frame| frame.report).unwrap_or_default()
    }

    /// A publish has returned; `report` is what it said, if it says anything.
    pub(crate) fn published(&mut self, report: Option<Report>) {
        let Some(mut frame) = self.frames.pop() else { return self.fail("a publish too many".to_owned()) };
        for &id in &frame.standing {
            let sub = &self.subs[id];
            let wants = sub.filter.takes(frame.kind);
            frame.report.filtered += u32::from(!wants);
            if wants && sub.ended.is_none() && !frame.called.contains(&id) {
                return self.fail(format!("inline {id} was not called with {:?}", frame.key));
            }
        }
        frame.report.accepted += frame.called.len() as u32;
        if let Some(mut report) = report {
            if frame.moved {
                report.filtered = frame.report.filtered;
            }
            if report != frame.report {
                self.fail(format!("publish of {:?} said {report:?}; due was {:?}", frame.key, frame.report));
            }
        }
    }

    fn inline_moved(&mut self) {
        self.frames.iter_mut().for_each(|frame| frame.moved = true);
    }

    // ---- subscriptions ---------------------------------------------------------------------------------------

    /// Its own `Subscribe` comes first; nobody else has been told.
    pub(crate) fn begin(&mut self, mut sub: Sub) -> usize {
        let id = self.subs.len();
        if sub.mode != Mode::Inline {
            sub.visible = true;
            if sub.filter.takes(Type::Change) {
                sub.offer(Key::Began(id), &mut Report::default());
            }
        }
        self.subs.push(sub);
        self.announcing.push(id);
        id
    }

    /// The call that subscribed has returned.
    pub(crate) fn began(&mut self, id: usize) {
        self.announce(id);
        self.published(None);
        let sub = &self.subs[id];
        if sub.mode == Mode::Inline && sub.filter.takes(Type::Change) && sub.calls == 0 {
            self.fail(format!("inline {id} did not get its own Subscribe"));
        }
    }

    /// The others are told now, if they were not.
    fn announce(&mut self, id: usize) {
        let Some(at) = self.announcing.iter().position(|&other| other == id) else { return };
        self.announcing.remove(at);
        if self.subs[id].mode == Mode::Inline {
            self.inline_moved();
        }
        self.subs[id].visible = true;
        self.publish(self.subs[id].topic, Key::Began(id), Type::Change, Some(id));
    }

    /// Somebody is about to end it. True: nobody has yet, and [`ended`](Self::ended) follows.
    pub(crate) fn end(&mut self, id: usize) -> bool {
        let sub = &mut self.subs[id];
        if sub.ended.is_some() {
            return false;
        }
        sub.ended = Some(EndReason::Unsubscribed);
        let (topic, inline) = (sub.topic, sub.mode == Mode::Inline);
        if inline {
            self.inline_moved();
        }
        self.publish(topic, Key::Ended(id), Type::Change, Some(id));
        true
    }

    /// The call that ended it has returned.
    pub(crate) fn ended(&mut self, id: usize) {
        self.published(None);
        self.subs[id].closed = true;
    }

    /// A stream was dropped: no final message, and nothing any more.
    pub(crate) fn abandoned(&mut self, id: usize) {
        let sub = &mut self.subs[id];
        sub.finished = true;
        sub.queue.clear();
        sub.group.clear();
    }

    /// The bus ends. What streams have not read is thrown away.
    pub(crate) fn shut_down(&mut self) {
        for sub in self.subs.iter_mut().filter(|sub| sub.mode == Mode::Stream && !sub.finished) {
            sub.discarded = sub.waiting() > 0;
            sub.missed += sub.waiting() as u64;
        }
        for sub in &mut self.subs {
            sub.ended.get_or_insert(EndReason::ShutDown);
            sub.closed = true;
        }
    }

    pub(crate) fn was_handled(&self, id: usize, key: Key) -> bool {
        self.subs[id].handled.contains(&key)
    }

    pub(crate) fn waits_for(&self, id: usize, key: Key) -> bool {
        let sub = &self.subs[id];
        sub.queue.iter().chain(&sub.group).any(|entry| entry.key == key)
    }

    // ---- calls -----------------------------------------------------------------------------------------------

    /// A handler was called. Returns which call of it this is.
    pub(crate) fn enter(&mut self, id: usize, seen: Seen) -> u64 {
        if let Key::Began(other) = seen.key
            && other != id
        {
            self.announce(other);
        }
        let wrong = match self.subs[id].mode {
            Mode::Inline => self.inline_called(id, seen),
            _ => self.subs[id].take(seen),
        };
        if let Some(wrong) = wrong {
            self.fail(format!("{:?} {id} got {seen:?}: {wrong}", self.subs[id].mode));
        }
        self.depth += 1;
        let sub = &mut self.subs[id];
        if sub.running > 0 && sub.mode != Mode::Inline {
            self.wrong.get_or_insert(format!("{id} was called while it was running"));
        }
        sub.running += 1;
        sub.calls += 1;
        sub.calls
    }

    pub(crate) fn leave(&mut self, id: usize, panics: bool) {
        self.depth -= 1;
        self.subs[id].running -= 1;
        self.subs[id].panics += u64::from(panics);
    }

    /// Something was read from a stream.
    pub(crate) fn read(&mut self, id: usize, seen: Option<Seen>, polled: bool) {
        let sub = &mut self.subs[id];
        let wrong = match seen {
            Some(seen) => sub.take(seen),
            None if sub.waiting() > 0 => Some("nothing, though messages wait".to_owned()),
            None if sub.closed && !sub.finished => Some("nothing, though the final one is due".to_owned()),
            None => {
                sub.spilling &= !polled;
                None
            }
        };
        if let Some(wrong) = wrong {
            self.fail(format!("stream {id} read {seen:?}: {wrong}"));
        }
    }

    fn inline_called(&mut self, id: usize, seen: Seen) -> Option<String> {
        let sub = &mut self.subs[id];
        if sub.finished {
            return Some("a call after the final one".to_owned());
        }
        if let Some(end) = seen.end {
            sub.finished = true;
            return (Some(end) != sub.ended || seen.missed != 0)
                .then(|| format!("it ended by {:?}", sub.ended));
        }
        if seen.key == Key::Began(id) {
            return (sub.calls > 0 || sub.visible).then(|| "its own Subscribe, and not first".to_owned());
        }
        let Some(frame) = self.frames.last_mut() else { return Some("no publish is under way".to_owned()) };
        if frame.key != seen.key {
            return Some(format!("{:?} is what is being published", frame.key));
        }
        let stood =
            frame.standing.contains(&id) || id >= frame.subs_then || frame.moved && sub.ended.is_none();
        let due =
            frame.topics.contains(&sub.topic) && sub.filter.takes(frame.kind) && frame.except != Some(id);
        if !stood || !due {
            return Some("it was not reached by that".to_owned());
        }
        (!frame.called.insert(id)).then(|| "a second time".to_owned())
    }

    // ---- between acts ----------------------------------------------------------------------------------------

    /// Nothing is under way. `idle`: and everything ready was run.
    pub(crate) fn check_rest(&mut self, idle: bool) {
        let mut wrong = None;
        if self.depth != 0 || !self.frames.is_empty() || !self.announcing.is_empty() {
            wrong = Some("something is still under way".to_owned());
        }
        for (id, sub) in self.subs.iter().enumerate() {
            let at_once = matches!(sub.mode, Mode::Inline | Mode::Serial);
            if sub.mode == Mode::Stream || !(at_once || idle) {
                continue;
            }
            if sub.waiting() > 0 {
                wrong = Some(format!("{:?} {id} was left with {} messages", sub.mode, sub.waiting()));
            } else if sub.ended.is_some() && !sub.finished {
                wrong = Some(format!("{:?} {id} did not get its final message", sub.mode));
            }
        }
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
    }
}
