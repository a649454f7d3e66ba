//! What every subscription must get, and when: topics, forwards, publishes, beginnings and ends.

use super::cached::Cached;
use super::frames::Frame;
use super::held::States;
use super::script::{Kind, MANAGER, MEMBER, MEMBERS, Mode, PLACES, STATE};
use super::sub::{Item, Prelude, Seen, Sub};
use super::words::{Key, Type};
use stasis_bus::{EndReason, Report};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) subs: Vec<Sub>,
    pub(super) edges: BTreeMap<(u8, u8), usize>,
    /// Which members the pool has.
    pub(crate) pooled: [bool; MEMBERS as usize],
    pub(crate) cached: Cached,
    pub(crate) states: States,
    pub(super) frames: Vec<Frame>,
    /// Subscriptions whose `Subscribe` the others have not been told of, as far as was seen.
    announcing: Vec<usize>,
    pub(super) depth: usize,
    pub(crate) wrong: Option<String>,
}

impl Model {
    pub(crate) fn fail(&mut self, what: String) {
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

    fn edges(&self) -> impl Iterator<Item = (u8, u8)> {
        let members = (MEMBER..).zip(self.pooled).filter(|(_, pooled)| *pooled).map(|(at, _)| (at, 0));
        let states = (STATE..MEMBER).map(|at| (at, MANAGER));
        self.edges.keys().copied().chain(members).chain(states)
    }

    pub(crate) fn forwards_from(&self, place: u8) -> usize {
        self.edges().filter(|(from, _)| *from == place).count()
    }

    pub(crate) fn subscriptions_on(&self, place: u8) -> usize {
        self.subs.iter().filter(|sub| sub.place == place && sub.stands()).count()
    }

    pub(super) fn reach(&self, from: impl IntoIterator<Item = u8>) -> BTreeSet<u8> {
        let mut reached = BTreeSet::from_iter(from);
        for _ in 0..PLACES {
            let next: Vec<u8> =
                self.edges().filter(|(from, _)| reached.contains(from)).map(|(_, to)| to).collect();
            reached.extend(next);
        }
        reached
    }

    /// Who is reached by a message on these topics.
    pub(super) fn standing(&self, topics: &BTreeSet<u8>, except: Option<usize>) -> BTreeSet<usize> {
        let stands = |sub: &Sub| sub.stands() && topics.contains(&sub.place);
        let all = self.subs.iter().enumerate();
        all.filter(|(id, sub)| stands(sub) && Some(*id) != except).map(|(id, _)| id).collect()
    }

    pub(crate) fn wants(&self, topic: u8, kind: Kind) -> bool {
        let (topics, kind_of) = (self.reach([topic]), Type::Of(kind));
        let somebody = || self.standing(&topics, None).iter().any(|&id| self.subs[id].takes(kind_of));
        kind != Kind::Declined && (somebody() || !self.cached.outputs(&topics, kind_of).is_empty())
    }

    // ---- subscriptions ---------------------------------------------------------------------------------------

    /// Its own `Subscribe` comes first; nobody else has been told. `standing`: what it gets before its mailbox.
    pub(crate) fn begin(&mut self, mut sub: Sub, standing: Option<Prelude>) -> usize {
        self.settle();
        let id = self.subs.len();
        let own = Some(Key::Began(id)).filter(|_| sub.takes(Type::Change));
        if sub.mode != Mode::Inline {
            sub.visible = true;
            match (standing, own) {
                (Some(standing), own) => sub.begin_with(Prelude { own, ..standing }),
                (None, Some(key)) => {
                    sub.offer(Item { key, kind: Type::Change, lane: None }, &mut Report::default());
                }
                (None, None) => {}
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
        if sub.mode == Mode::Inline && sub.takes(Type::Change) && sub.calls == 0 {
            self.fail(format!("inline {id} did not get its own Subscribe"));
        }
    }

    /// The others are told now, if they were not.
    fn announce(&mut self, id: usize) {
        self.settle();
        let Some(at) = self.announcing.iter().position(|&other| other == id) else { return };
        self.announcing.remove(at);
        if self.subs[id].mode == Mode::Inline {
            self.inline_moved();
        }
        self.subs[id].visible = true;
        self.announce_change(id, Key::Began(id));
    }

    /// What it wants is another thing now. False: it has ended.
    pub(crate) fn set_filter(&mut self, id: usize, filter: super::words::Filter) -> bool {
        let sub = &mut self.subs[id];
        let stands = sub.stands();
        if stands {
            sub.filter = filter;
            if sub.mode == Mode::Inline {
                self.inline_moved();
            }
        }
        stands
    }

    /// Somebody is about to end it, and [`ended`](Self::ended) follows. True: nothing has yet.
    pub(crate) fn end(&mut self, id: usize) -> bool {
        self.settle();
        let sub = &mut self.subs[id];
        let first = sub.ended.is_none();
        sub.ended.get_or_insert(EndReason::Unsubscribed);
        match std::mem::replace(&mut sub.left, true) {
            true => self.begin_frame(Vec::new(), Report::default(), None),
            false => {
                if sub.mode == Mode::Inline {
                    self.inline_moved();
                }
                self.announce_change(id, Key::Ended(id));
            }
        }
        first
    }

    /// The call that ended it has returned.
    pub(crate) fn ended(&mut self, id: usize) {
        self.published(None);
        self.subs[id].closed = true;
    }

    /// Its policy has ended it: the others are told when its final message has been handled.
    fn leave_list(&mut self, id: usize, depth: usize) {
        if self.subs[id].is_leaving() {
            self.subs[id].left = true;
            self.announce_change(id, Key::Ended(id));
            if let Some(frame) = self.frames.last_mut() {
                frame.by_itself = Some(depth);
            }
        }
    }

    /// A stream was dropped: no final message, and nothing any more.
    pub(crate) fn abandoned(&mut self, id: usize) {
        self.subs[id].finished = true;
        self.subs[id].discard();
    }

    /// The bus ends. What streams have not read is thrown away.
    pub(crate) fn shut_down(&mut self) {
        self.settle();
        for sub in self.subs.iter_mut().filter(|sub| sub.mode == Mode::Stream && !sub.finished) {
            sub.discarded = sub.waiting() > 0;
            sub.missed += sub.waiting() as u64;
        }
        for sub in &mut self.subs {
            sub.ended.get_or_insert(EndReason::ShutDown);
            (sub.left, sub.closed) = (true, true);
        }
    }

    // ---- calls -----------------------------------------------------------------------------------------------

    /// A handler was called. Returns which call of it this is.
    pub(crate) fn enter(&mut self, id: usize, seen: Seen) -> u64 {
        let of_last = |frame: &Frame| frame.parts.iter().any(|part| part.key == seen.key);
        if self.subs[id].mode != Mode::Inline || !self.frames.last().is_some_and(of_last) {
            self.settle();
        }
        match seen.key {
            Key::Began(other) if other != id => self.announce(other),
            Key::Ended(other) if other != id => self.leave_list(other, self.depth),
            _ => {}
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
        self.settle();
        if self.subs[id].finished {
            self.leave_list(id, self.depth - 1);
        }
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
                sub.rested(polled);
                None
            }
        };
        if let Some(wrong) = wrong {
            self.fail(format!("stream {id} read {seen:?}: {wrong}"));
        }
        if self.subs[id].finished {
            self.leave_list(id, self.depth);
        }
        self.settle();
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
        let Some(at) = frame.parts.iter().position(|part| part.key == seen.key) else {
            return Some(format!("that is not what is being published: {:?}", frame.parts));
        };
        if at < std::mem::replace(&mut frame.at, at) {
            return Some("after what follows from it".to_owned());
        }
        let part = &mut frame.parts[at];
        let wanted = part.standing.get(&id);
        let stood = wanted.is_some() || id >= frame.subs_then || frame.moved && sub.ended.is_none();
        let wants = wanted == Some(&true) || sub.takes(part.kind);
        let due = part.topics.contains(&sub.place) && wants && part.except != Some(id);
        if !stood || !due {
            return Some("it was not reached by that".to_owned());
        }
        (!part.called.insert(id)).then(|| "a second time".to_owned())
    }

    // ---- between acts ----------------------------------------------------------------------------------------

    /// Nothing is under way. `idle`: and everything ready was run.
    pub(crate) fn check_rest(&mut self, idle: bool) {
        self.settle();
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
