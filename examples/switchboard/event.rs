//! Manager events as typed values: one struct per family of messages.
//!
//! Each value is plain data that knows the channels and the bridge it is about, when it happened,
//! and the block it was read from, so that a consumer needs nothing but the values: the CDR
//! engine reads the typed part, a feed writes the block out again whole.

use crate::ami::{Block, unescape};

/// What stands in a header that has no value to give.
const UNKNOWN: &str = "<unknown>";
/// Last second of the year 9999: no later time can be printed with a four-digit year.
const LAST_SECOND: i64 = 253_402_300_799;

/// A moment in microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stamp(pub(crate) i64);

impl Stamp {
    /// Reads `seconds.fraction` as the `Timestamp` header has it.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds = digits(whole)?;
        let mut micros = String::from(fraction.get(..fraction.len().min(6))?);
        while micros.len() < 6 {
            micros.push('0');
        }
        let known = (0..=LAST_SECOND).contains(&seconds);
        known.then_some(Self(seconds * 1_000_000 + digits(&micros)?))
    }
}

/// A number of at most 18 decimal digits; a sign is not one.
fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A channel as the headers of an event show it, names unescaped, `<unknown>` made empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) name: String,
    pub(crate) uniqueid: String,
    pub(crate) linkedid: String,
    /// `ChannelState` as a number; an event that does not tell it does not describe a channel. None only of one that
    /// ended unseen.
    pub(crate) state: Option<u8>,
    pub(crate) caller_number: String,
    pub(crate) caller_name: String,
    pub(crate) account: String,
    pub(crate) context: String,
    pub(crate) exten: String,
    pub(crate) priority: String,
}

/// `ChannelState` of a channel that has been answered.
const UP: u8 = 6;

impl Party {
    /// Of a channel that ended unseen nothing is known but its id.
    fn unseen(block: &Block) -> Option<Self> {
        let uniqueid = block.get("Uniqueid").filter(|id| !id.is_empty())?.to_owned();
        Some(Self { uniqueid, ..Self::default() })
    }

    /// The party whose headers begin with `prefix`; none without a name, an id and a state, for
    /// some events mention a channel in passing and must not pass for news of it.
    #[must_use]
    pub(crate) fn read(block: &Block, prefix: &str) -> Option<Self> {
        let mut party = Self::default();
        // Backwards, so that of a repeated header the first one counts.
        for header in block.headers.iter().rev() {
            if let Some(field) = header.key.strip_prefix(prefix) {
                party.set(field, &header.value);
            }
        }
        let known = !party.name.is_empty() && !party.uniqueid.is_empty() && party.state.is_some();
        known.then_some(party)
    }

    fn set(&mut self, field: &str, value: &str) {
        let target = match field {
            "Channel" => &mut self.name,
            "Uniqueid" => &mut self.uniqueid,
            "Linkedid" => &mut self.linkedid,
            "CallerIDNum" => &mut self.caller_number,
            "CallerIDName" => &mut self.caller_name,
            "AccountCode" => &mut self.account,
            "Context" => &mut self.context,
            "Exten" => &mut self.exten,
            "Priority" => &mut self.priority,
            "ChannelState" => {
                self.state = value.parse().ok();
                return;
            }
            _ => return,
        };
        *target = match value {
            UNKNOWN => String::new(),
            _ if field == "CallerIDName" => unescape(value).into_owned(),
            _ => value.to_owned(),
        };
    }

    #[must_use]
    pub(crate) fn is_up(&self) -> bool {
        self.state == Some(UP)
    }
}

/// One channel and what became of it. `at` is missing if the sender does not stamp its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChannelEvent {
    pub(crate) at: Option<Stamp>,
    pub(crate) channel: Party,
    pub(crate) change: ChannelChange,
    pub(crate) block: Block,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChannelChange {
    Created,
    State,
    /// The channel starts an application of the dialplan.
    Application {
        name: String,
        data: String,
    },
    CallerId,
    ConnectedLine,
    Account,
    Hangup {
        cause: u32,
    },
    /// Any other event of one channel: variables, digits, hold, queue, conference.
    Other,
}

/// An attempt of one channel to reach another. Without a caller the switch itself originates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialEvent {
    pub(crate) at: Option<Stamp>,
    pub(crate) caller: Option<Party>,
    pub(crate) callee: Party,
    pub(crate) step: DialStep,
    pub(crate) block: Block,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DialStep {
    Begin,
    Progress(String),
    End(String),
}

/// A bridge, and for enter and leave the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BridgeEvent {
    pub(crate) at: Option<Stamp>,
    pub(crate) bridge: BridgeInfo,
    pub(crate) change: BridgeChange,
    pub(crate) block: Block,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BridgeInfo {
    pub(crate) id: String,
    /// `basic`, `base`, `parking`, ...
    pub(crate) kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BridgeChange {
    Created,
    Entered(Party),
    Left(Party),
    Destroyed,
    /// Any other event of one bridge: conference start and end, merge.
    Other,
}

/// The two halves of a Local channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalEvent {
    pub(crate) at: Option<Stamp>,
    pub(crate) one: Party,
    pub(crate) two: Party,
    pub(crate) step: LocalStep,
    pub(crate) block: Block,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalStep {
    Joined,
    OptimizationBegin,
    OptimizationEnd,
}

/// A party hands a call on to someone else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransferEvent {
    pub(crate) at: Option<Stamp>,
    pub(crate) transferer: Party,
    pub(crate) transferee: Option<Party>,
    pub(crate) is_attended: bool,
    pub(crate) block: Block,
}

/// A channel is put into a parking lot or comes out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParkEvent {
    pub(crate) at: Option<Stamp>,
    pub(crate) parkee: Party,
    pub(crate) lot: String,
    pub(crate) space: String,
    pub(crate) step: ParkStep,
    pub(crate) block: Block,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParkStep {
    Parked,
    Retrieved,
    GaveUp,
    TimedOut,
}

/// An event of no channel and no bridge: registrations, device states, logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherEvent {
    pub(crate) at: Option<Stamp>,
    pub(crate) block: Block,
}

/// Any manager event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Channel(ChannelEvent),
    Dial(DialEvent),
    Bridge(BridgeEvent),
    Local(LocalEvent),
    Transfer(TransferEvent),
    Park(ParkEvent),
    Other(OtherEvent),
    /// A CDR as the switch itself wrote it. Whoever rebuilds CDRs must not look at it.
    AnswerKey(Block),
}

impl From<Block> for Event {
    /// Never fails: an event that lacks what its name promises is one of a more general family.
    fn from(block: Block) -> Self {
        let special = match block.name.as_str() {
            "Cdr" => return Self::AnswerKey(block),
            "DialBegin" | "DialState" | "DialEnd" => dial(block),
            "LocalBridge" | "LocalOptimizationBegin" | "LocalOptimizationEnd" => local(block),
            "BlindTransfer" => transfer(block, "Transferer", false),
            "AttendedTransfer" => transfer(block, "OrigTransferer", true),
            "ParkedCall" => park(block, ParkStep::Parked),
            "UnParkedCall" => park(block, ParkStep::Retrieved),
            "ParkedCallGiveUp" => park(block, ParkStep::GaveUp),
            "ParkedCallTimeOut" => park(block, ParkStep::TimedOut),
            "BridgeCreate" | "BridgeEnter" | "BridgeLeave" | "BridgeDestroy" => bridge(block),
            _ => Err(block),
        };
        special.unwrap_or_else(general)
    }
}

/// A constructor gives the block back if it cannot make its kind of event from it.
type Attempt = Result<Event, Block>;

fn time(block: &Block) -> Option<Stamp> {
    Stamp::parse(block.get("Timestamp")?)
}

fn text(block: &Block, key: &str) -> String {
    block.get(key).unwrap_or_default().to_owned()
}

fn dial(block: Block) -> Attempt {
    let Some(callee) = Party::read(&block, "Dest") else {
        return Err(block);
    };
    let status = || text(&block, "DialStatus");
    let step = match block.name.as_str() {
        "DialBegin" => DialStep::Begin,
        "DialState" => DialStep::Progress(status()),
        _ => DialStep::End(status()),
    };
    let (at, caller) = (time(&block), Party::read(&block, ""));
    Ok(Event::Dial(DialEvent { at, caller, callee, step, block }))
}

fn local(block: Block) -> Attempt {
    let (Some(one), Some(two)) = (Party::read(&block, "LocalOne"), Party::read(&block, "LocalTwo")) else {
        return Err(block);
    };
    let step = match block.name.as_str() {
        "LocalBridge" => LocalStep::Joined,
        "LocalOptimizationBegin" => LocalStep::OptimizationBegin,
        _ => LocalStep::OptimizationEnd,
    };
    let at = time(&block);
    Ok(Event::Local(LocalEvent { at, one, two, step, block }))
}

fn transfer(block: Block, by: &str, is_attended: bool) -> Attempt {
    let Some(transferer) = Party::read(&block, by) else {
        return Err(block);
    };
    let (at, transferee) = (time(&block), Party::read(&block, "Transferee"));
    Ok(Event::Transfer(TransferEvent { at, transferer, transferee, is_attended, block }))
}

fn park(block: Block, step: ParkStep) -> Attempt {
    let Some(parkee) = Party::read(&block, "Parkee") else {
        return Err(block);
    };
    let (at, lot, space) = (time(&block), text(&block, "Parkinglot"), text(&block, "ParkingSpace"));
    Ok(Event::Park(ParkEvent { at, parkee, lot, space, step, block }))
}

fn bridge(block: Block) -> Attempt {
    let id = text(&block, "BridgeUniqueid");
    let channel = Party::read(&block, "");
    let change = match (block.name.as_str(), channel) {
        _ if id.is_empty() => return Err(block),
        ("BridgeCreate", _) => BridgeChange::Created,
        ("BridgeDestroy", _) => BridgeChange::Destroyed,
        ("BridgeEnter", Some(channel)) => BridgeChange::Entered(channel),
        ("BridgeLeave", Some(channel)) => BridgeChange::Left(channel),
        _ => BridgeChange::Other,
    };
    let info = BridgeInfo { id, kind: text(&block, "BridgeType") };
    Ok(Event::Bridge(BridgeEvent { at: time(&block), bridge: info, change, block }))
}

/// Sorts an event by what it is about: a channel, else a bridge, else nothing in particular.
fn general(block: Block) -> Event {
    let at = time(&block);
    let unseen = || (block.name == "Hangup").then(|| Party::unseen(&block)).flatten();
    if let Some(channel) = Party::read(&block, "").or_else(unseen) {
        let change = change(&block);
        return Event::Channel(ChannelEvent { at, channel, change, block });
    }
    match block.get("BridgeUniqueid").or_else(|| block.get("ToBridgeUniqueid")) {
        Some(id) if !id.is_empty() => {
            let bridge = BridgeInfo { id: id.to_owned(), kind: text(&block, "BridgeType") };
            let change = BridgeChange::Other;
            Event::Bridge(BridgeEvent { at, bridge, change, block })
        }
        _ => Event::Other(OtherEvent { at, block }),
    }
}

fn change(block: &Block) -> ChannelChange {
    match block.name.as_str() {
        "Newchannel" => ChannelChange::Created,
        "Newstate" => ChannelChange::State,
        "Newexten" => {
            ChannelChange::Application { name: text(block, "Application"), data: text(block, "AppData") }
        }
        "NewCallerid" => ChannelChange::CallerId,
        "NewConnectedLine" => ChannelChange::ConnectedLine,
        "NewAccountCode" => ChannelChange::Account,
        "Hangup" => ChannelChange::Hangup { cause: cause(block) },
        _ => ChannelChange::Other,
    }
}

/// Zero stands for a cause that is not known, as in Asterisk.
fn cause(block: &Block) -> u32 {
    block.get("Cause").and_then(|cause| cause.parse().ok()).unwrap_or(0)
}

impl Event {
    #[must_use]
    pub(crate) fn at(&self) -> Option<Stamp> {
        match self {
            Self::Channel(event) => event.at,
            Self::Dial(event) => event.at,
            Self::Bridge(event) => event.at,
            Self::Local(event) => event.at,
            Self::Transfer(event) => event.at,
            Self::Park(event) => event.at,
            Self::Other(event) => event.at,
            Self::AnswerKey(block) => time(block),
        }
    }

    /// The block it was read from, complete and still escaped.
    #[must_use]
    pub(crate) fn block(&self) -> &Block {
        match self {
            Self::Channel(event) => &event.block,
            Self::Dial(event) => &event.block,
            Self::Bridge(event) => &event.block,
            Self::Local(event) => &event.block,
            Self::Transfer(event) => &event.block,
            Self::Park(event) => &event.block,
            Self::Other(event) => &event.block,
            Self::AnswerKey(block) => block,
        }
    }

    /// The channel on whose topic the event belongs: of two the one that acts.
    #[must_use]
    pub(crate) fn channel(&self) -> Option<&Party> {
        match self {
            Self::Channel(event) => Some(&event.channel),
            Self::Dial(event) => Some(event.caller.as_ref().unwrap_or(&event.callee)),
            Self::Bridge(event) => event.change.channel(),
            Self::Local(event) => Some(&event.one),
            Self::Transfer(event) => Some(&event.transferer),
            Self::Park(event) => Some(&event.parkee),
            Self::Other(_) | Self::AnswerKey(_) => None,
        }
    }

    /// The bridge that the event is about.
    #[must_use]
    pub(crate) fn bridge(&self) -> Option<&BridgeInfo> {
        match self {
            Self::Bridge(event) => Some(&event.bridge),
            _ => None,
        }
    }
}

impl BridgeInfo {
    /// Whether channels wait in it for somebody who fetches them.
    #[must_use]
    pub(crate) fn is_parking(&self) -> bool {
        self.kind == "parking"
    }
}

impl BridgeChange {
    /// The channel that enters or leaves.
    #[must_use]
    pub(crate) fn channel(&self) -> Option<&Party> {
        match self {
            Self::Entered(channel) | Self::Left(channel) => Some(channel),
            Self::Created | Self::Destroyed | Self::Other => None,
        }
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
pub(crate) mod tests;
