//! Call detail records from manager events: for each call the rows that Asterisk's own CDR
//! engine writes.
//!
//! A calling channel has one or more legs; each becomes a row. A leg opens when the channel
//! appears, when it goes on in the dialplan after a leg has ended, when it dials once more, or
//! when another party joins its bridge; it ends when its dial fails, when one of the two leaves
//! the bridge, or when the channel hangs up. The rows appear when the channel hangs up.
//!
//! All rules, those of conferences, parking and transfers as well, are written down in `RULES.md`.
//!
//! The engine knows nothing but the values that it is given, in the order of the stream.

mod bridge;
mod channel;
pub(crate) mod compare;
pub(crate) mod csv;
mod leg;
pub(crate) mod row;

#[cfg(test)]
use crate::event::Event;
use crate::event::{
    BridgeEvent, ChannelChange, ChannelEvent, DialEvent, DialStep, LocalEvent, ParkEvent, ParkStep, Party,
    Stamp, TransferEvent,
};
use bridge::Bridge;
use channel::Channel;
use leg::{App, Leg, Stage};
use row::Row;
use std::collections::HashMap;

/// Rebuilds CDR rows. Give it every event of every channel in the order of the stream.
#[derive(Debug, Default)]
pub(crate) struct Cdr {
    channels: HashMap<String, Channel>,
    bridges: HashMap<String, Bridge>,
    appeared: u64,
    now: Stamp,
    strays: u64,
}

impl Cdr {
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes the next event of any family.
    #[cfg(test)]
    pub(crate) fn apply(&mut self, event: &Event) -> Vec<Row> {
        match event {
            Event::Channel(event) => return self.channel(event),
            Event::Dial(event) => self.dial(event),
            Event::Bridge(event) => self.bridge(event),
            Event::Local(event) => self.local(event),
            Event::Transfer(event) => self.transfer(event),
            Event::Park(event) => self.park(event),
            Event::Other(_) | Event::AnswerKey(_) => {}
        }
        Vec::new()
    }

    /// Says that the stream is over. The rows of the channels that are still there come out as
    /// if they hung up now; Asterisk has not written these.
    pub(crate) fn finish(&mut self) -> Vec<Row> {
        let mut open: Vec<(u64, String)> =
            self.channels.iter().map(|(id, channel)| (channel.age, id.clone())).collect();
        open.sort_unstable();
        let now = self.now;
        let rows = open.iter().flat_map(|(_, id)| self.hang_up(id, 0, now)).collect();
        self.bridges.clear();
        rows
    }

    /// Channels that have not hung up yet.
    #[must_use]
    pub(crate) fn open_channels(&self) -> usize {
        self.channels.len()
    }

    /// Events of channels that are not there: hung up before, or never seen to appear.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn strays(&self) -> u64 {
        self.strays
    }

    /// One channel changes. Its rows come out when it hangs up, oldest first.
    pub(crate) fn channel(&mut self, event: &ChannelEvent) -> Vec<Row> {
        let at = self.clock(event.at);
        let party = &event.channel;
        match &event.change {
            ChannelChange::Created => self.appear(party, at),
            ChannelChange::State => self.see(party, at),
            ChannelChange::Application { name, data } => {
                self.appear(party, at);
                let app = App { name: name.clone(), data: data.clone() };
                self.with(party, |channel| channel.run(party, app, at));
            }
            ChannelChange::Hangup { cause } => {
                // Of a channel that ended unseen there is no news but that.
                if party.state.is_some() {
                    self.notice(party, at);
                }
                return self.hang_up(&party.uniqueid, *cause, at);
            }
            _ => self.notice(party, at),
        }
        Vec::new()
    }

    /// A dial begins or ends.
    pub(crate) fn dial(&mut self, event: &DialEvent) {
        let at = self.clock(event.at);
        match &event.step {
            DialStep::Begin => self.dial_begins(event.caller.as_ref(), &event.callee, at),
            DialStep::Progress(_) => self.notice_both(event, at),
            DialStep::End(status) => {
                self.notice_both(event, at);
                self.dial_ends(event.caller.as_ref(), &event.callee, status, at);
            }
        }
    }

    /// The halves of a Local channel; the bridges that they enter and leave tell the rest.
    pub(crate) fn local(&mut self, event: &LocalEvent) {
        let at = self.clock(event.at);
        self.notice(&event.one, at);
        self.notice(&event.two, at);
    }

    /// A transfer. What becomes of it follows from the bridges and the dialplan.
    pub(crate) fn transfer(&mut self, event: &TransferEvent) {
        let at = self.clock(event.at);
        self.notice(&event.transferer, at);
        if let Some(transferee) = &event.transferee {
            self.notice(transferee, at);
            if !event.is_attended {
                self.with(transferee, Channel::was_transferred);
            }
        }
    }

    /// A channel is given its parking space.
    pub(crate) fn park(&mut self, event: &ParkEvent) {
        let at = self.clock(event.at);
        self.notice(&event.parkee, at);
        if event.step == ParkStep::Parked {
            self.with(&event.parkee, |channel| {
                parked_leg(channel, at).name_space(&event.lot, &event.space);
            });
        }
    }

    /// Somebody enters or leaves a bridge.
    pub(crate) fn bridge(&mut self, event: &BridgeEvent) {
        let at = self.clock(event.at);
        self.bridge_changes(&event.bridge, &event.change, at);
    }

    /// An event without a time happened at the time of the last one that had one.
    fn clock(&mut self, at: Option<Stamp>) -> Stamp {
        self.now = at.unwrap_or(self.now);
        self.now
    }

    /// Makes the channel known. An id that is already known is told twice, not used twice.
    fn appear(&mut self, party: &Party, at: Stamp) {
        if !self.channels.contains_key(&party.uniqueid) {
            self.appeared += 1;
            let channel = Channel::new(party, self.appeared, at);
            self.channels.insert(party.uniqueid.clone(), channel);
        }
    }

    /// News of a channel that exists: if it is not known, its first event has been missed.
    fn see(&mut self, party: &Party, at: Stamp) {
        self.appear(party, at);
        self.notice(party, at);
    }

    /// News of a channel that may be gone.
    fn notice(&mut self, party: &Party, at: Stamp) {
        if !self.channels.contains_key(&party.uniqueid) {
            self.strays += 1;
        }
        self.with(party, |channel| channel.see(party, at));
    }

    fn notice_both(&mut self, event: &DialEvent, at: Stamp) {
        self.notice(&event.callee, at);
        if let Some(caller) = &event.caller {
            self.notice(caller, at);
        }
    }

    fn with(&mut self, party: &Party, act: impl FnOnce(&mut Channel)) {
        if let Some(channel) = self.channels.get_mut(&party.uniqueid) {
            act(channel);
        }
    }

    fn dial_begins(&mut self, caller: Option<&Party>, callee: &Party, at: Stamp) {
        self.see(callee, at);
        let Some(caller) = caller else {
            self.with(callee, originate);
            return;
        };
        self.see(caller, at);
        let mut other = None;
        self.with(callee, |channel| {
            channel.was_dialled();
            remember(&mut channel.callers, &caller.uniqueid);
            other = Some(channel.as_other());
        });
        self.with(caller, |channel| dialling_leg(channel, at).dial(other));
    }

    fn dial_ends(&mut self, caller: Option<&Party>, callee: &Party, status: &str, at: Stamp) {
        let is_meant = |leg: &Leg| match caller {
            Some(_) => leg.is_with(&callee.uniqueid),
            None => leg.other.is_none(),
        };
        self.with(caller.unwrap_or(callee), |channel| {
            let dialling = channel.legs.iter_mut().filter(|leg| leg.stage == Stage::Dialing);
            for leg in dialling.filter(|leg| is_meant(leg)) {
                leg.end_dial(status, at);
            }
        });
    }

    /// Ends everything that the channel has part in and gives its rows.
    fn hang_up(&mut self, id: &str, cause: u32, at: Stamp) -> Vec<Row> {
        let Some(mut channel) = self.channels.remove(id) else {
            return Vec::new();
        };
        self.bridges.retain(|_, bridge| bridge.lose(id));
        for caller in std::mem::take(&mut channel.callers) {
            self.party_gone(&caller, id, at);
        }
        let rows = channel.legs.into_iter().filter(Leg::has_row).map(|mut leg| {
            leg.close(at);
            leg.into_row(id, cause)
        });
        rows.collect()
    }

    /// Whoever talks to a channel that hangs up is alone now. A dial that is still going on ends
    /// with its own event.
    fn party_gone(&mut self, caller: &str, id: &str, at: Stamp) {
        let Some(channel) = self.channels.get_mut(caller) else {
            return;
        };
        for leg in channel.legs.iter_mut().filter(|leg| leg.is_with(id)) {
            if matches!(leg.stage, Stage::Bridged(_)) {
                leg.close(at);
            }
        }
    }
}

/// The leg that dials: the one of the dialplan, else a new one.
fn dialling_leg(channel: &mut Channel, at: Stamp) -> &mut Leg {
    for leg in channel.legs.iter_mut().filter(|leg| leg.stage == Stage::Answered) {
        leg.close(at);
    }
    match channel.legs.iter().position(|leg| leg.stage == Stage::Dialplan) {
        Some(index) => &mut channel.legs[index],
        None => channel.open(at),
    }
}

fn originate(channel: &mut Channel) {
    channel.was_originated();
    for leg in channel.legs.iter_mut().filter(|leg| leg.stage == Stage::Dialplan) {
        leg.dial(None);
    }
}

/// The leg that waits in the parking lot: the one of the dialplan, else a new one.
fn parked_leg(channel: &mut Channel, at: Stamp) -> &mut Leg {
    let waits = |leg: &Leg| matches!(leg.stage, Stage::Parked | Stage::Dialplan);
    let leg = match channel.legs.iter().position(waits) {
        Some(index) => &mut channel.legs[index],
        None => channel.open(at),
    };
    leg.park();
    leg
}

fn remember(ids: &mut Vec<String>, id: &str) {
    if !ids.iter().any(|known| known == id) {
        ids.push(id.to_owned());
    }
}

#[cfg(test)]
mod tests;
