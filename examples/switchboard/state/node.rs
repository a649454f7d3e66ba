//! What one switch says of its channels, bridges and devices, event by event.

use super::devices::{Device, DeviceState};
use super::objects::Objects;
use crate::ami::Block;
use crate::event::{BridgeChange, BridgeEvent, ChannelChange, ChannelEvent, Event, Party, Stamp};
use crate::snapshots::{Bridge, Channel};
use stasis_bus::{Origin, Timestamp};

pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) channels: Objects<Channel>,
    pub(super) bridges: Objects<Bridge>,
    pub(super) devices: Objects<Device>,
    /// What it says is not believed any more.
    pub(super) is_dropped: bool,
}

/// When an event happened, in both forms.
#[derive(Clone, Copy)]
pub(super) struct When {
    pub(super) stamp: Stamp,
    pub(super) time: Timestamp,
}

impl Node {
    /// Nothing is known of it any more.
    pub(super) fn forget(&mut self) {
        self.channels.forget();
        self.bridges.forget();
        self.devices.forget();
    }

    pub(super) fn take(&mut self, event: &Event, at: When) {
        match event {
            Event::Channel(event) => self.channel(event, at),
            Event::Dial(event) => {
                self.see(&event.callee, at);
                event.caller.iter().for_each(|caller| self.see(caller, at));
            }
            Event::Bridge(event) => self.bridge(event, at),
            Event::Local(event) => {
                self.see(&event.one, at);
                self.see(&event.two, at);
            }
            Event::Transfer(event) => {
                self.see(&event.transferer, at);
                event.transferee.iter().for_each(|transferee| self.see(transferee, at));
            }
            Event::Park(event) => self.see(&event.parkee, at),
            Event::Other(event) => self.other(&event.block, at),
            Event::AnswerKey(_) => {}
        }
    }

    fn channel(&mut self, event: &ChannelEvent, at: When) {
        let party = &event.channel;
        match &event.change {
            ChannelChange::Created if self.channels.get(&party.uniqueid).is_none() => {
                self.channels.set(&Channel::new(party, at.stamp), at.time);
            }
            ChannelChange::Hangup { .. } => {
                self.leave(&party.uniqueid, at);
                self.channels.clear(&party.uniqueid);
            }
            ChannelChange::Application { name, data } => {
                self.channels.change(&party.uniqueid, at.time, |channel| {
                    channel.update(party);
                    channel.app.clone_from(name);
                    channel.data.clone_from(data);
                });
            }
            _ => self.see(party, at),
        }
    }

    /// News of a channel. One that is not there is not made by it: it may have ended already.
    fn see(&mut self, party: &Party, at: When) {
        if self.channels.get(&party.uniqueid).is_some_and(|channel| !channel.shows(party)) {
            self.channels.change(&party.uniqueid, at.time, |channel| channel.update(party));
        }
    }

    fn bridge(&mut self, event: &BridgeEvent, at: When) {
        let id = &event.bridge.id;
        match &event.change {
            BridgeChange::Created if self.bridges.get(id).is_none() => self.open(event, at),
            BridgeChange::Entered(party) => {
                self.see(party, at);
                self.enter(party, event, at);
            }
            BridgeChange::Left(party) => {
                self.see(party, at);
                self.leave(&party.uniqueid, at);
            }
            BridgeChange::Destroyed => self.destroy(id, at),
            BridgeChange::Created | BridgeChange::Other => {}
        }
    }

    fn open(&mut self, event: &BridgeEvent, at: When) {
        let (id, kind) = (event.bridge.id.clone(), event.bridge.kind.clone());
        self.bridges.set(&Bridge { id, kind, channels: Vec::new(), since: at.stamp }, at.time);
    }

    /// Whoever enters a bridge has left the one before.
    fn enter(&mut self, party: &Party, event: &BridgeEvent, at: When) {
        let (channel, bridge) = (&party.uniqueid, &event.bridge.id);
        if self.channels.get(channel).is_none() {
            return;
        }
        self.leave(channel, at);
        if self.bridges.get(bridge).is_none() {
            self.open(event, at);
        }
        self.bridges.change(bridge, at.time, |bridge| bridge.channels.push(channel.clone()));
        self.channels.change(channel, at.time, |channel| channel.bridge = Some(bridge.clone()));
    }

    fn leave(&mut self, channel: &str, at: When) {
        if let Some(bridge) = self.channels.get(channel).and_then(|channel| channel.bridge.clone()) {
            self.bridges.change(&bridge, at.time, |bridge| bridge.channels.retain(|id| id != channel));
            self.channels.change(channel, at.time, |channel| channel.bridge = None);
        }
    }

    fn destroy(&mut self, id: &str, at: When) {
        let left = self.bridges.get(id).map(|bridge| bridge.channels.clone()).unwrap_or_default();
        left.iter().for_each(|channel| self.leave(channel, at));
        self.bridges.clear(id);
    }

    fn other(&mut self, block: &Block, at: When) {
        let value = |key| block.get(key).filter(|value| !value.is_empty());
        match (block.name.as_str(), value("Device"), value("State")) {
            ("DeviceStateChange", Some(device), Some(state)) => {
                let state = DeviceState::parse(state);
                self.devices.set(&Device { name: device.to_owned(), state }, at.time);
            }
            ("Rename", ..) => {
                if let (Some(id), Some(name)) = (value("Uniqueid"), value("Newname")) {
                    self.channels.change(id, at.time, |channel| name.clone_into(&mut channel.name));
                }
            }
            _ => {}
        }
    }
}
