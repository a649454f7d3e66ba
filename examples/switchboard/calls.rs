//! The calls that are up, as an operator sees them: a row of lines, each with a call or free.

use crate::event::{
    BridgeChange, BridgeEvent, ChannelChange, ChannelEvent, DialEvent, DialStep, LocalEvent, ParkEvent,
    Party, Stamp, TransferEvent,
};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long a line still shows the call that has ended, unless there are very many.
const AFTERGLOW: Duration = Duration::from_millis(1500);
/// Most lines that are kept for ended calls.
const LINES_KEPT: usize = 64;

/// Give it every event of a call in the order of the stream.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// A call keeps its line.
    lines: Vec<Line>,
    /// Lines of the calls that are up, by what Asterisk calls their linked id.
    up: HashMap<String, usize>,
    channels: HashMap<String, Channel>,
    /// How many channels are in each bridge.
    bridges: HashMap<String, usize>,
    pub(crate) totals: Totals,
    /// Time of the last event.
    pub(crate) now: Stamp,
}

/// How the calls ended, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) begun: u64,
    ended: [u64; Ending::ALL.len()],
}

/// A line and its last call.
#[derive(Debug)]
struct Line {
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

#[derive(Clone, Copy, Debug)]
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

impl Calls {
    pub(crate) fn channel(&mut self, event: &ChannelEvent) {
        self.clock(event.at);
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

    pub(crate) fn dial(&mut self, event: &DialEvent) {
        self.clock(event.at);
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

    pub(crate) fn bridge(&mut self, event: &BridgeEvent) {
        self.clock(event.at);
        let id = &event.bridge.id;
        match &event.change {
            BridgeChange::Entered(party) => self.enter(party, id),
            BridgeChange::Left(party) => self.leave(&party.uniqueid),
            BridgeChange::Destroyed => drop(self.bridges.remove(id)),
            BridgeChange::Created | BridgeChange::Other => {}
        }
    }

    pub(crate) fn local(&mut self, event: &LocalEvent) {
        self.clock(event.at);
        self.see(&event.one);
        self.see(&event.two);
    }

    pub(crate) fn transfer(&mut self, event: &TransferEvent) {
        self.clock(event.at);
        self.see(&event.transferer);
    }

    pub(crate) fn park(&mut self, event: &ParkEvent) {
        self.clock(event.at);
        self.see(&event.parkee);
        self.with_line(&event.parkee, |line| line.app = format!("Park {}", event.space));
    }

    /// Nobody is there any more, and nobody has hung up.
    pub(crate) fn forget(&mut self) {
        *self = Self { totals: self.totals, now: self.now, ..Self::default() };
    }

    pub(crate) fn count(&self) -> Count {
        let talking = self.talking();
        let up = || self.lines.iter().enumerate().filter(|(_, line)| line.ended.is_none());
        let of = |state: &State| {
            up().filter(|(index, line)| line.state(talking.contains(index)) == *state).count()
        };
        Count {
            channels: self.channels.len(),
            calls: self.up.len(),
            talking: of(&State::Talking),
            ringing: of(&State::Ringing),
        }
    }

    /// The lines in their order; None is a free one.
    pub(crate) fn lines(&self) -> Vec<Option<Shown>> {
        let talking = self.talking();
        let lines = self.lines.iter().enumerate();
        lines.map(|(index, line)| line.show(talking.contains(&index), self.now)).collect()
    }

    /// The lines on which somebody is in a bridge with somebody else.
    fn talking(&self) -> HashSet<usize> {
        let in_company = |channel: &&Channel| {
            channel.bridge.as_ref().and_then(|id| self.bridges.get(id)).is_some_and(|count| *count > 1)
        };
        let channels = self.channels.values().filter(in_company);
        channels.filter_map(|channel| self.up.get(&channel.linkedid).copied()).collect()
    }

    fn clock(&mut self, at: Option<Stamp>) {
        self.now = at.unwrap_or(self.now);
    }

    /// A channel that is not known yet; with it maybe a call.
    fn appear(&mut self, party: &Party) {
        if self.channels.contains_key(&party.uniqueid) {
            return;
        }
        let channel = Channel { linkedid: party.linkedid.clone(), bridge: None };
        self.channels.insert(party.uniqueid.clone(), channel);
        let index = match self.up.get(&party.linkedid) {
            Some(index) => *index,
            None => self.begin(party),
        };
        self.lines[index].channels += 1;
    }

    /// The call takes the first line that is free.
    fn begin(&mut self, party: &Party) -> usize {
        let is_crowded = self.lines.len() >= LINES_KEPT;
        let is_free =
            |line: &Line| line.ended.is_some_and(|ended| is_crowded || ended.at.elapsed() > AFTERGLOW);
        let index = self.lines.iter().position(is_free).unwrap_or(self.lines.len());
        let line = Line::new(party, self.now);
        if index == self.lines.len() {
            self.lines.push(line);
        } else {
            self.lines[index] = line;
        }
        self.up.insert(party.linkedid.clone(), index);
        self.totals.begun += 1;
        index
    }

    /// News of a channel. It may have joined another call.
    fn see(&mut self, party: &Party) {
        let Some(channel) = self.channels.get_mut(&party.uniqueid) else {
            return;
        };
        if channel.linkedid != party.linkedid && !party.linkedid.is_empty() {
            let before = std::mem::replace(&mut channel.linkedid, party.linkedid.clone());
            self.leave_call(&before, 0);
            let index = match self.up.get(&party.linkedid) {
                Some(index) => *index,
                None => self.begin(party),
            };
            self.lines[index].channels += 1;
        }
        self.with_line(party, |line| line.was_up |= party.is_up());
    }

    fn hang_up(&mut self, party: &Party, cause: u32) {
        self.see(party);
        self.leave(&party.uniqueid);
        if let Some(channel) = self.channels.remove(&party.uniqueid) {
            self.leave_call(&channel.linkedid, cause);
        }
    }

    /// The call ends with its last channel.
    fn leave_call(&mut self, linkedid: &str, cause: u32) {
        let Some(index) = self.up.get(linkedid).copied() else {
            return;
        };
        let line = &mut self.lines[index];
        line.channels -= 1;
        if line.channels == 0 {
            let how = line.ending(cause);
            line.ended = Some(Ended { how, lasted: since(line.since, self.now), at: Instant::now() });
            self.totals.ended[how as usize] += 1;
            self.up.remove(linkedid);
        }
    }

    fn enter(&mut self, party: &Party, bridge: &str) {
        self.see(party);
        self.leave(&party.uniqueid);
        let Some(channel) = self.channels.get_mut(&party.uniqueid) else {
            return;
        };
        channel.bridge = Some(bridge.to_owned());
        *self.bridges.entry(bridge.to_owned()).or_default() += 1;
        for index in self.talking() {
            self.lines[index].has_talked = true;
        }
    }

    fn leave(&mut self, uniqueid: &str) {
        let bridge = self.channels.get_mut(uniqueid).and_then(|channel| channel.bridge.take());
        if let Some(count) = bridge.as_ref().and_then(|bridge| self.bridges.get_mut(bridge)) {
            *count = count.saturating_sub(1);
        }
    }

    fn with_line(&mut self, party: &Party, act: impl FnOnce(&mut Line)) {
        let linkedid = self.channels.get(&party.uniqueid).map(|channel| &channel.linkedid);
        if let Some(index) = linkedid.and_then(|linkedid| self.up.get(linkedid)) {
            act(&mut self.lines[*index]);
        }
    }
}

impl Line {
    fn new(party: &Party, since: Stamp) -> Self {
        let name = if party.caller_name.is_empty() { peer(&party.name) } else { party.caller_name.clone() };
        Self {
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

    fn show(&self, is_talking: bool, now: Stamp) -> Option<Shown> {
        let lasted = match self.ended {
            Some(ended) if ended.at.elapsed() > AFTERGLOW => return None,
            Some(ended) => ended.lasted,
            None => since(self.since, now),
        };
        let (from, to) = (self.from.clone(), joined(&self.dialled, &self.reached));
        Some(Shown { from, to, state: self.state(is_talking), lasted })
    }

    fn state(&self, is_talking: bool) -> State {
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
