//! What is known of each thing that is there, as a message of its own: the vocabulary of the cache.
//!
//! An event tells of a change; a snapshot tells all that is known after it. Whoever wants to know how things stand needs
//! no history then: the last snapshot of each thing is in the cache.
//!
//! | type | one for each | of which origin |
//! | --- | --- | --- |
//! | `channel_snapshot` | channel that is up | the switch that has it |
//! | `bridge_snapshot` | bridge | the same |
//! | `device_snapshot` | device, by each switch that knows it | the same; and of all together, as an aggregate |
//! | `line_snapshot` | line of the board, with the call that has it | this node: the board numbers the lines |
//! | `traffic_snapshot` | (one) | this node |

use crate::calls::{Line, Totals};
use crate::event::{Party, Stamp};
use crate::state::devices::{Device, DeviceState};
use stasis_bus::{AnyType, Bus, Cache, CacheEntry, CachePin, Error, Message, MessageType, Origin, TypeError};
use std::collections::BTreeMap;

/// A channel that is up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channel {
    /// What Asterisk calls its unique id.
    pub(crate) id: String,
    pub(crate) name: String,
    /// That of its call.
    pub(crate) linkedid: String,
    pub(crate) state: Option<u8>,
    pub(crate) caller_number: String,
    pub(crate) caller_name: String,
    pub(crate) account: String,
    pub(crate) context: String,
    pub(crate) exten: String,
    pub(crate) priority: String,
    /// The last application of the dialplan that it has begun.
    pub(crate) app: String,
    pub(crate) data: String,
    pub(crate) bridge: Option<String>,
    pub(crate) since: Stamp,
}

/// A bridge, and who is in it, in the order of entering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bridge {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) channels: Vec<String>,
    pub(crate) since: Stamp,
}

/// What is no thing of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Of the recordings, from 1.
    pub(crate) round: u32,
    pub(crate) totals: Totals,
    /// Recorded time, to the second: that of the switch that is played, or was the first of several to begin.
    pub(crate) now: Stamp,
    /// That of each switch.
    pub(crate) clocks: Vec<(Option<Origin>, Stamp)>,
}

impl Traffic {
    /// What the clock of a switch says, as far as anything was heard of it.
    pub(crate) fn clock(&self, origin: Option<Origin>) -> Stamp {
        let clock = self.clocks.iter().find(|(of, _)| *of == origin);
        clock.map_or(self.now, |(_, now)| *now)
    }
}

/// A value that can stand in the cache.
pub(crate) trait Snapshot: Clone + PartialEq + Send + Sync + 'static {
    /// Of the topics that its kind has.
    const POOL: &'static str;

    fn id(&self) -> &str;
}

impl Snapshot for Channel {
    const POOL: &'static str = "channels";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Snapshot for Bridge {
    const POOL: &'static str = "bridges";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Snapshot for Device {
    const POOL: &'static str = "devices";

    fn id(&self) -> &str {
        &self.name
    }
}

impl Snapshot for Line {
    const POOL: &'static str = "lines";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Snapshot for Traffic {
    const POOL: &'static str = "traffic";

    fn id(&self) -> &str {
        "all"
    }
}

impl Channel {
    pub(crate) fn new(party: &Party, since: Stamp) -> Self {
        let mut new = Self { id: party.uniqueid.clone(), since, ..Self::default() };
        new.update(party);
        new
    }

    /// Whether it says what the headers of an event say.
    pub(crate) fn shows(&self, party: &Party) -> bool {
        (party.linkedid.is_empty() || self.linkedid == party.linkedid)
            && (party.state.is_none() || self.state == party.state)
            && self.name == party.name
            && self.caller_number == party.caller_number
            && self.caller_name == party.caller_name
            && self.account == party.account
            && self.context == party.context
            && self.exten == party.exten
            && self.priority == party.priority
    }

    pub(crate) fn update(&mut self, party: &Party) {
        if !party.linkedid.is_empty() {
            self.linkedid.clone_from(&party.linkedid);
        }
        self.state = party.state.or(self.state);
        self.name.clone_from(&party.name);
        self.caller_number.clone_from(&party.caller_number);
        self.caller_name.clone_from(&party.caller_name);
        self.account.clone_from(&party.account);
        self.context.clone_from(&party.context);
        self.exten.clone_from(&party.exten);
        self.priority.clone_from(&party.priority);
    }
}

/// The message types of the snapshots. Whoever asks the bus for them gets the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    pub(crate) channel: MessageType<Channel>,
    pub(crate) bridge: MessageType<Bridge>,
    pub(crate) device: MessageType<Device>,
    pub(crate) line: MessageType<Line>,
    pub(crate) traffic: MessageType<Traffic>,
}

impl Snapshots {
    pub(crate) fn of(bus: &Bus) -> Result<Self, TypeError> {
        Ok(Self {
            channel: bus.message_type("channel_snapshot")?,
            bridge: bus.message_type("bridge_snapshot")?,
            device: bus.message_type("device_snapshot")?,
            line: bus.message_type("line_snapshot")?,
            traffic: bus.message_type("traffic_snapshot")?,
        })
    }

    /// What the snapshot speaks of; None: it is no snapshot.
    pub(crate) fn id<'a>(&self, message: &'a Message) -> Option<&'a str> {
        fn id<'a, S: Snapshot>(kind: &MessageType<S>, message: &'a Message) -> Option<&'a str> {
            kind.read(message).map(Snapshot::id)
        }
        id(&self.channel, message)
            .or_else(|| id(&self.bridge, message))
            .or_else(|| id(&self.device, message))
            .or_else(|| id(&self.line, message))
            .or_else(|| id(&self.traffic, message))
    }

    /// A cache that knows what each snapshot speaks of, and how a device stands that several switches speak of.
    pub(crate) fn cache(&self, bus: &Bus) -> Result<Cache, Error> {
        let device = self.device.clone();
        let cache = Cache::builder(bus)
            .name("switchboard")
            .id_of(&self.channel, |channel: &Channel| channel.id())
            .id_of(&self.bridge, |bridge: &Bridge| bridge.id())
            .id_of(&self.device, |device: &Device| device.id())
            .id_of(&self.line, |line: &Line| line.id())
            .id_of(&self.traffic, |traffic: &Traffic| traffic.id())
            .aggregate(move |entry| aggregate(&device, entry))
            .build()?;
        Ok(cache)
    }
}

/// The state of a device by all that is said of it. None of anything else.
fn aggregate(kind: &MessageType<Device>, entry: &CacheEntry<'_>) -> Option<Message> {
    let states = entry.local().into_iter().chain(entry.remotes());
    let state = DeviceState::of_all(states.filter_map(|message| Some(kind.read(message)?.state)))?;
    let last = entry.aggregate().filter(|last| kind.read(last).is_some_and(|device| device.state == state));
    // What says the same stays: then nothing is announced.
    last.cloned()
        .or_else(|| Some(kind.build(Device { name: entry.id().to_owned(), state }).aggregate().finish()))
}

/// All that is known at one moment, sorted out: what the board shows and the table prints.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    pub(crate) channels: Vec<(Option<Origin>, &'a Channel)>,
    pub(crate) bridges: Vec<(Option<Origin>, &'a Bridge)>,
    /// By each origin; without one that of all together.
    pub(crate) devices: BTreeMap<&'a str, Vec<(Option<Origin>, DeviceState)>>,
    pub(crate) lines: Vec<&'a Line>,
    pub(crate) traffic: Traffic,
}

impl<'a> Known<'a> {
    /// Reads all that is in the cache. Others may write meanwhile: each snapshot is one that was there, and the whole is a
    /// look in passing.
    pub(crate) fn in_cache(snapshots: &Snapshots, pin: &'a CachePin<'_>) -> Self {
        Self::of(snapshots, pin.iter_all(AnyType).chain(pin.iter_by_origin(AnyType, None)))
    }

    pub(crate) fn of(snapshots: &Snapshots, messages: impl Iterator<Item = &'a Message>) -> Self {
        let mut known = Self::default();
        for message in messages {
            known.add(snapshots, message);
        }
        known.channels.sort_by_key(|(origin, channel)| (&*channel.name, &*channel.id, *origin));
        known.bridges.sort_by_key(|(origin, bridge)| (bridge.since, &*bridge.id, *origin));
        known.lines.sort_by_key(|line| line.number);
        known
    }

    fn add(&mut self, snapshots: &Snapshots, message: &'a Message) {
        let origin = message.origin();
        if let Some(channel) = snapshots.channel.read(message) {
            self.channels.push((origin, channel));
        } else if let Some(bridge) = snapshots.bridge.read(message) {
            self.bridges.push((origin, bridge));
        } else if let Some(device) = snapshots.device.read(message) {
            self.devices.entry(&device.name).or_default().push((origin, device.state));
        } else if let Some(line) = snapshots.line.read(message) {
            self.lines.push(line);
        } else if let Some(traffic) = snapshots.traffic.read(message) {
            self.traffic = traffic.clone();
        }
    }
}
