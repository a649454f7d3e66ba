//! Who meets whom in a bridge, and whose row it is.

use super::channel::Channel;
use super::leg::{Leg, Stage};
use super::{Cdr, parked_leg, remember};
use crate::event::{BridgeChange, BridgeInfo, Party, Stamp};

/// The channels in one bridge, in the order in which they entered.
#[derive(Debug)]
pub(super) struct Bridge {
    members: Vec<String>,
}

impl Bridge {
    /// Takes a channel out; tells whether anyone remains.
    pub(super) fn lose(&mut self, id: &str) -> bool {
        self.members.retain(|member| member != id);
        !self.members.is_empty()
    }
}

impl Cdr {
    pub(super) fn bridge_changes(&mut self, bridge: &BridgeInfo, change: &BridgeChange, at: Stamp) {
        match change {
            BridgeChange::Entered(party) => self.enters(bridge, party, at),
            BridgeChange::Left(party) => self.leaves(bridge, party, at),
            BridgeChange::Destroyed => {
                self.bridges.remove(&bridge.id);
            }
            BridgeChange::Created | BridgeChange::Other => {}
        }
    }

    fn enters(&mut self, bridge: &BridgeInfo, party: &Party, at: Stamp) {
        self.see(party, at);
        let id = party.uniqueid.as_str();
        if bridge.is_parking() {
            self.with(party, |channel| {
                parked_leg(channel, at);
            });
            return;
        }
        let others = self.join_members(&bridge.id, id);
        self.meet_dialled(&bridge.id, id, &others, at);
        self.meet_first(&bridge.id, id, &others, at);
        for other in &others {
            self.pair(&bridge.id, id, other);
        }
    }

    /// Notes who is in the bridge; gives those who were there before.
    fn join_members(&mut self, bridge: &str, id: &str) -> Vec<String> {
        let bridge = self.bridges.entry(bridge.to_owned()).or_insert(Bridge { members: Vec::new() });
        bridge.lose(id);
        let others = bridge.members.clone();
        bridge.members.push(id.to_owned());
        others
    }

    /// Takes the legs that dialled someone into the bridge. Whom they find there need not go on
    /// with a leg of its own.
    fn meet_dialled(&mut self, bridge: &str, id: &str, others: &[String], at: Stamp) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let dialled = channel.legs.iter_mut().filter(|leg| is_dialled_leg(leg));
        let met: Vec<&String> = dialled.filter_map(|leg| enter_after_dial(leg, bridge, others, at)).collect();
        for other in met {
            self.rest_alone(bridge, other, at);
        }
    }

    /// A leg without another party takes the first one in the bridge over whom it comes first;
    /// if there is none, it rests.
    fn meet_first(&mut self, bridge: &str, id: &str, others: &[String], at: Stamp) {
        let chosen = others.iter().find(|other| self.is_first(id, other)).cloned();
        let other = chosen.as_ref().and_then(|other| self.channels.get(other)).map(Channel::as_other);
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let Some(leg) = channel.legs.iter_mut().find(|leg| is_lone_leg(leg)) else {
            return;
        };
        leg.enter(bridge);
        match (other, chosen) {
            (Some(other), Some(chosen)) => {
                leg.join(other);
                self.know_caller(&chosen, id);
                self.rest_alone(bridge, &chosen, at);
            }
            _ if others.is_empty() => {}
            _ => leg.rest(at),
        }
    }

    /// Makes sure that two channels in a bridge have one row together. It belongs to the one
    /// that comes first and starts with the last that was heard of it.
    fn pair(&mut self, bridge: &str, newcomer: &str, resident: &str) {
        let (first, second) =
            if self.is_first(newcomer, resident) { (newcomer, resident) } else { (resident, newcomer) };
        if self.are_paired(bridge, first, second) || self.are_paired(bridge, second, first) {
            return;
        }
        let Some(other) = self.channels.get(second).map(Channel::as_other) else {
            return;
        };
        self.know_caller(second, first);
        let Some(channel) = self.channels.get_mut(first) else {
            return;
        };
        let alone = |leg: &Leg| leg.is_in(bridge) && leg.other.is_none();
        let leg = match channel.legs.iter().position(alone) {
            Some(index) => &mut channel.legs[index],
            None => channel.open(channel.changed),
        };
        leg.enter(bridge);
        leg.join(other);
    }

    fn leaves(&mut self, bridge: &BridgeInfo, party: &Party, at: Stamp) {
        self.notice(party, at);
        self.lose_member(&bridge.id, &party.uniqueid);
        let mut callers = Vec::new();
        self.with(party, |channel| {
            let here = |leg: &&mut Leg| match leg.stage {
                Stage::Parked => bridge.is_parking(),
                _ => leg.is_in(&bridge.id),
            };
            channel.legs.iter_mut().filter(here).for_each(|leg| leg.close(at));
            channel.left_bridge();
            callers.clone_from(&channel.callers);
        });
        for caller in callers {
            self.party_left(&caller, &bridge.id, &party.uniqueid, at);
        }
    }

    fn lose_member(&mut self, bridge: &str, id: &str) {
        if let Some(members) = self.bridges.get_mut(bridge)
            && !members.lose(id)
        {
            self.bridges.remove(bridge);
        }
    }

    fn party_left(&mut self, caller: &str, bridge: &str, id: &str, at: Stamp) {
        let Some(channel) = self.channels.get_mut(caller) else {
            return;
        };
        for leg in channel.legs.iter_mut().filter(|leg| leg.is_in(bridge) && leg.is_with(id)) {
            leg.close(at);
        }
    }

    /// Of two channels the one whose row it is: the one that was not dialled, else the older
    /// one. Of two dialled ones it is the newcomer, for the resident has been dialled by someone
    /// whose row already tells of it.
    fn is_first(&self, newcomer: &str, resident: &str) -> bool {
        let (Some(left), Some(right)) = (self.channels.get(newcomer), self.channels.get(resident)) else {
            return false;
        };
        match (left.is_dialled(), right.is_dialled()) {
            (true, true) => true,
            (false, false) => left.age < right.age,
            (_, is_right_dialled) => is_right_dialled,
        }
    }

    fn are_paired(&self, bridge: &str, first: &str, second: &str) -> bool {
        let joins = |leg: &Leg| leg.is_in(bridge) && leg.is_with(second);
        self.channels.get(first).is_some_and(|channel| channel.legs.iter().any(joins))
    }

    /// Somebody's row tells of this channel from now on; a leg of its own has nothing to add.
    fn rest_alone(&mut self, bridge: &str, id: &str, at: Stamp) {
        if let Some(channel) = self.channels.get_mut(id) {
            let alone = channel.legs.iter_mut().filter(|leg| leg.is_in(bridge) && leg.other.is_none());
            alone.for_each(|leg| leg.rest(at));
        }
    }

    fn know_caller(&mut self, id: &str, caller: &str) {
        if let Some(channel) = self.channels.get_mut(id) {
            remember(&mut channel.callers, caller);
        }
    }
}

/// A leg goes on in the bridge if the one it dialled is there, or may still come. Among strangers
/// an answered leg has lost its other and rests; one whose dial still goes on waits for its end.
fn enter_after_dial<'a>(leg: &mut Leg, bridge: &str, others: &'a [String], at: Stamp) -> Option<&'a String> {
    let found = others.iter().find(|other| leg.is_with(other));
    if found.is_some() || others.is_empty() {
        leg.enter(bridge);
    } else if leg.stage == Stage::Answered {
        leg.enter(bridge);
        leg.rest(at);
    }
    found
}

/// A leg that has dialled someone.
fn is_dialled_leg(leg: &Leg) -> bool {
    leg.other.is_some() && matches!(leg.stage, Stage::Dialing | Stage::Answered)
}

/// A leg that concerns nobody else so far.
fn is_lone_leg(leg: &Leg) -> bool {
    leg.other.is_none() && matches!(leg.stage, Stage::Dialplan | Stage::Dialing | Stage::Answered)
}
