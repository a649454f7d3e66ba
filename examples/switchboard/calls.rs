//! The calls that are up, as an operator sees them: a row of lines, each with a call or free.
//!
//! Several switches share the row: a call has the first line that is free, whoever has the call.

use crate::event::{
    BridgeChange, BridgeEvent, ChannelChange, ChannelEvent, DialEvent, DialStep, Event, LocalEvent,
    ParkEvent, Party, Stamp, TransferEvent,
};
use stasis_bus::Origin;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long a line still shows the call that has ended, unless there are very many.
const AFTERGLOW: Duration = Duration::from_millis(1500);
/// Most lines that are kept for ended calls.
const LINES_KEPT: usize = 64;

/// Give it every event of a call in the order of the stream.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// A call keeps its line. None: a free one.
    lines: Vec<Option<Line>>,
    nodes: HashMap<Option<Origin>, Node>,
    /// Whose events are taken.
    origin: Option<Origin>,
    changed: BTreeSet<usize>,
    pub(crate) totals: Totals,
    /// Time of the last event.
    now: Stamp,
}

/// What one switch has.
#[derive(Debug, Default)]
struct Node {
    /// Lines of the calls that are up, by what Asterisk calls their linked id.
    up: HashMap<String, usize>,
    channels: HashMap<String, Channel>,
    /// How many channels are in each bridge.
    bridges: HashMap<String, usize>,
}

/// How the calls ended, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) begun: u64,
    ended: [u64; Ending::ALL.len()],
}

/// A line and its last call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// From 0, and the same as text.
    pub(crate) number: usize,
    pub(crate) id: String,
    /// Whose call it is, and which.
    pub(crate) origin: Option<Origin>,
    pub(crate) linkedid: String,
    /// The caller's number and name.
    from: String,
    /// What was dialled, and who was tried or reached last.
    dialled: String,
    reached: String,
    since: Stamp,
    channels: usize,
    dials: usize,
    app: String,
    status: String,
    was_up: bool,
    has_talked: bool,
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    how: Ending,
    lasted: Duration,
    at: Instant,
}

#[derive(Debug)]
struct Channel {
    linkedid: String,
    bridge: Option<String>,
}

/// What a call is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Talking,
    Ringing,
    /// In an application of the dialplan: an announcement, a queue, a menu.
    In(String),
    Over(Ending),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Two or more have talked.
    Answered,
    Busy,
    Unanswered,
    /// The switch itself has answered: announcements, menus.
    Served,
    Failed,
}

/// What a line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) state: State,
    pub(crate) lasted: Duration,
}

/// How many calls there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) channels: usize,
    pub(crate) calls: usize,
    pub(crate) talking: usize,
    pub(crate) ringing: usize,
}

impl Ending {
    pub(crate) const ALL: [Self; 5] =
        [Self::Answered, Self::Busy, Self::Unanswered, Self::Served, Self::Failed];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::Unanswered => "unanswered",
            Self::Served => "served",
            Self::Failed => "failed",
        }
    }
}

impl Totals {
    pub(crate) fn of(&self, ending: Ending) -> u64 {
        self.ended[ending as usize]
    }
}

/// The name of a line.
pub(crate) fn line_id(number: usize) -> String {
    number.to_string()
}

impl Calls {
    /// An event of a switch.
    pub(crate) fn take(&mut self, origin: Option<Origin>, event: &Event) {
        self.origin = origin;
        self.now = event.at().unwrap_or(self.now);
        match event {
            Event::Channel(event) => self.channel(event),
            Event::Dial(event) => self.dial(event),
            Event::Bridge(event) => self.bridge(event),
            Event::Local(LocalEvent { one, two, .. }) => {
                self.see(one);
                self.see(two);
            }
            Event::Transfer(TransferEvent { transferer, .. }) => self.see(transferer),
            Event::Park(event) => self.park(event),
            Event::Other(_) | Event::AnswerKey(_) => {}
        }
    }

    /// Nobody of that switch is there any more, and nobody has hung up.
    pub(crate) fn forget(&mut self, origin: Option<Origin>) {
        self.nodes.remove(&origin);
        for (index, line) in self.lines.iter_mut().enumerate() {
            if line.take_if(|line| line.origin == origin).is_some() {
                self.changed.insert(index);
            }
        }
    }

    /// The lines that are not as they were when this was asked before.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.changed)
    }

    pub(crate) fn line(&self, number: usize) -> Option<&Line> {
        self.lines.get(number)?.as_ref()
    }

    fn channel(&mut self, event: &ChannelEvent) {
        let party = &event.channel;
        match &event.change {
            ChannelChange::Created => self.appear(party),
            ChannelChange::Hangup { cause } => self.hang_up(party, *cause),
            ChannelChange::Application { name, .. } => {
                self.see(party);
                self.with_line(party, |line| line.app.clone_from(name));
            }
            _ => self.see(party),
        }
    }

    fn dial(&mut self, event: &DialEvent) {
        self.see(&event.callee);
        let caller = event.caller.as_ref().unwrap_or(&event.callee);
        self.see(caller);
        self.with_line(caller, |line| match &event.step {
            DialStep::Begin => {
                line.dials += 1;
                line.reached = peer(&event.callee.name);
            }
            DialStep::Progress(_) => {}
            DialStep::End(status) => {
                line.dials = line.dials.saturating_sub(1);
                line.status.clone_from(status);
                if status == "ANSWER" {
                    line.reached = peer(&event.callee.name);
                }
            }
        });
    }

    fn bridge(&mut self, event: &BridgeEvent) {
        let id = &event.bridge.id;
        match &event.change {
            BridgeChange::Entered(party) => self.enter(party, id),
            BridgeChange::Left(party) => self.leave(&party.uniqueid),
            BridgeChange::Destroyed => drop(self.node().bridges.remove(id)),
            BridgeChange::Created | BridgeChange::Other => {}
        }
    }

    fn park(&mut self, event: &ParkEvent) {
        self.see(&event.parkee);
        self.with_line(&event.parkee, |line| line.app = format!("Park {}", event.space));
    }

    fn node(&mut self) -> &mut Node {
        self.nodes.entry(self.origin).or_default()
    }

    /// A channel that is not known yet; with it maybe a call.
    fn appear(&mut self, party: &Party) {
        let node = self.node();
        if !node.channels.contains_key(&party.uniqueid) {
            let channel = Channel { linkedid: party.linkedid.clone(), bridge: None };
            node.channels.insert(party.uniqueid.clone(), channel);
            self.join_call(party);
        }
    }

    /// It has one channel more, and begins if that is the first one.
    fn join_call(&mut self, party: &Party) {
        let index = match self.node().up.get(&party.linkedid) {
            Some(index) => *index,
            None => self.begin(party),
        };
        self.at(index, |line| line.channels += 1);
    }

    /// The call takes the first line that is free.
    fn begin(&mut self, party: &Party) -> usize {
        let is_crowded = self.lines.len() >= LINES_KEPT;
        let is_free = |line: &Option<Line>| line.as_ref().is_none_or(|line| line.is_free(is_crowded));
        let index = self.lines.iter().position(is_free).unwrap_or(self.lines.len());
        if index == self.lines.len() {
            self.lines.push(None);
        }
        self.lines[index] = Some(Line::new(index, self.origin, party, self.now));
        self.node().up.insert(party.linkedid.clone(), index);
        self.totals.begun += 1;
        index
    }

    /// News of a channel. It may have joined another call.
    fn see(&mut self, party: &Party) {
        let Some(channel) = self.node().channels.get_mut(&party.uniqueid) else {
            return;
        };
        if channel.linkedid != party.linkedid && !party.linkedid.is_empty() {
            let before = std::mem::replace(&mut channel.linkedid, party.linkedid.clone());
            self.leave_call(&before, 0);
            self.join_call(party);
        }
        if party.is_up() {
            self.with_line(party, |line| line.was_up = true);
        }
    }

    fn hang_up(&mut self, party: &Party, cause: u32) {
        self.see(party);
        self.leave(&party.uniqueid);
        if let Some(channel) = self.node().channels.remove(&party.uniqueid) {
            self.leave_call(&channel.linkedid, cause);
        }
    }

    /// The call ends with its last channel.
    fn leave_call(&mut self, linkedid: &str, cause: u32) {
        let Some(index) = self.node().up.get(linkedid).copied() else {
            return;
        };
        let (now, mut ended) = (self.now, None);
        self.at(index, |line| {
            line.channels -= 1;
            if line.channels == 0 {
                ended = Some(line.end(cause, now));
            }
        });
        if let Some(how) = ended {
            self.totals.ended[how as usize] += 1;
            self.node().up.remove(linkedid);
        }
    }

    fn enter(&mut self, party: &Party, bridge: &str) {
        self.see(party);
        self.leave(&party.uniqueid);
        let node = self.node();
        let Some(channel) = node.channels.get_mut(&party.uniqueid) else {
            return;
        };
        channel.bridge = Some(bridge.to_owned());
        *node.bridges.entry(bridge.to_owned()).or_default() += 1;
        for index in node.talking() {
            self.at(index, |line| line.has_talked = true);
        }
    }

    fn leave(&mut self, uniqueid: &str) {
        let node = self.node();
        let bridge = node.channels.get_mut(uniqueid).and_then(|channel| channel.bridge.take());
        if let Some(count) = bridge.as_ref().and_then(|bridge| node.bridges.get_mut(bridge)) {
            *count = count.saturating_sub(1);
        }
    }

    fn with_line(&mut self, party: &Party, act: impl FnOnce(&mut Line)) {
        let node = self.node();
        let linkedid = node.channels.get(&party.uniqueid).map(|channel| &channel.linkedid);
        if let Some(index) = linkedid.and_then(|linkedid| node.up.get(linkedid)).copied() {
            self.at(index, act);
        }
    }

    fn at(&mut self, index: usize, act: impl FnOnce(&mut Line)) {
        if let Some(line) = &mut self.lines[index] {
            act(line);
            self.changed.insert(index);
        }
    }
}

impl Node {
    /// The lines on which somebody is in a bridge with somebody else.
    fn talking(&self) -> HashSet<usize> {
        let in_company = |channel: &&Channel| {
            channel.bridge.as_ref().and_then(|id| self.bridges.get(id)).is_some_and(|count| *count > 1)
        };
        let channels = self.channels.values().filter(in_company);
        channels.filter_map(|channel| self.up.get(&channel.linkedid).copied()).collect()
    }
}

impl Line {
    fn new(number: usize, origin: Option<Origin>, party: &Party, since: Stamp) -> Self {
        let name = if party.caller_name.is_empty() { peer(&party.name) } else { party.caller_name.clone() };
        Self {
            number,
            id: line_id(number),
            origin,
            linkedid: party.linkedid.clone(),
            from: joined(&party.caller_number, &name),
            dialled: party.exten.clone(),
            reached: String::new(),
            since,
            channels: 0,
            dials: 0,
            app: String::new(),
            status: String::new(),
            was_up: party.is_up(),
            has_talked: false,
            ended: None,
        }
    }

    /// Another call can have it.
    fn is_free(&self, is_crowded: bool) -> bool {
        self.ended.is_some_and(|ended| is_crowded || ended.at.elapsed() > AFTERGLOW)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.ended.is_none()
    }

    fn end(&mut self, cause: u32, now: Stamp) -> Ending {
        let how = self.ending(cause);
        self.ended = Some(Ended { how, lasted: since(self.since, now), at: Instant::now() });
        how
    }

    /// None: the call ended a while ago.
    pub(crate) fn show(&self, is_talking: bool, now: Stamp) -> Option<Shown> {
        let lasted = match self.ended {
            Some(ended) if ended.at.elapsed() > AFTERGLOW => return None,
            Some(ended) => ended.lasted,
            None => since(self.since, now),
        };
        let (from, to) = (self.from.clone(), joined(&self.dialled, &self.reached));
        Some(Shown { from, to, state: self.state(is_talking), lasted })
    }

    pub(crate) fn state(&self, is_talking: bool) -> State {
        match self.ended {
            Some(ended) => State::Over(ended.how),
            None if is_talking => State::Talking,
            None if self.dials > 0 => State::Ringing,
            None => State::In(self.app.clone()),
        }
    }

    /// Cause 17 is a busy signal that the switch itself has sent.
    fn ending(&self, cause: u32) -> Ending {
        match self.status.as_str() {
            _ if self.has_talked => Ending::Answered,
            "BUSY" => Ending::Busy,
            "NOANSWER" | "CANCEL" => Ending::Unanswered,
            "" | "ANSWER" if self.was_up => Ending::Served,
            "" if cause == 17 => Ending::Busy,
            _ => Ending::Failed,
        }
    }
}

/// Who it is by the channel's name: `IAX2/bob-15693` is bob.
fn peer(channel: &str) -> String {
    let name = channel.split_once('/').map_or(channel, |(_, name)| name);
    name.rsplit_once('-').map_or(name, |(name, _)| name).to_owned()
}

fn joined(number: &str, name: &str) -> String {
    match (number.is_empty(), name.is_empty()) {
        (false, false) if number != name => format!("{number} {name}"),
        (true, _) => name.to_owned(),
        _ => number.to_owned(),
    }
}

fn since(then: Stamp, now: Stamp) -> Duration {
    Duration::from_micros(u64::try_from(now.0 - then.0).unwrap_or(0))
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
