//! The vocabulary that the source and the consumers share: topics by name, and a message type for
//! each family of events.
//!
//! A message type is a value got from the bus. It makes messages of one Rust type, reads them, and
//! knows their text forms; who asks the bus for the same name and Rust type gets the same type.
//! So everybody calls [`Kinds::of`] for himself, and nothing has to be handed around.

use crate::ami::{Block, safe_key};
use crate::event::{
    BridgeEvent, ChannelEvent, DialEvent, Event, LocalEvent, OtherEvent, ParkEvent, Stamp, TransferEvent,
};
use crate::rounds::PartBegins;
use serde_json::{Map, Value, json};
use stasis_bus::{
    AmiEvent, Bus, Message, MessageBuilder, MessageType, Origin, SubscriptionBuilder, Timestamp, TypeError,
};

/// The topic that everything reaches, in the order of the stream.
pub(crate) const EVERYTHING: &str = "everything";
/// Events of no channel and no bridge.
pub(crate) const SYSTEM: &str = "system";
/// `channel:<id>` is the topic of one channel, `channel:all` that of all.
pub(crate) const CHANNEL: &str = "channel";
/// The same for bridges.
pub(crate) const BRIDGE: &str = "bridge";

/// One message type for each family of events.
#[derive(Clone, Debug)]
pub(crate) struct Kinds {
    pub(crate) channel: MessageType<ChannelEvent>,
    pub(crate) dial: MessageType<DialEvent>,
    pub(crate) bridge: MessageType<BridgeEvent>,
    pub(crate) local: MessageType<LocalEvent>,
    pub(crate) transfer: MessageType<TransferEvent>,
    pub(crate) park: MessageType<ParkEvent>,
    pub(crate) other: MessageType<OtherEvent>,
    /// No event: between two recordings.
    pub(crate) part: MessageType<PartBegins>,
}

impl Kinds {
    /// The message types of this bus; the first call makes them.
    pub(crate) fn of(bus: &Bus) -> Result<Self, TypeError> {
        Ok(Self {
            channel: declare(bus, "channel")?,
            dial: declare(bus, "dial")?,
            bridge: declare(bus, "bridge")?,
            local: declare(bus, "local")?,
            transfer: declare(bus, "transfer")?,
            park: declare(bus, "park")?,
            other: declare(bus, "other")?,
            part: bus.message_type("part")?,
        })
    }

    /// Lets a subscription accept all events, and nothing else: without that it would also be told
    /// who else subscribes.
    pub(crate) fn accept_all<'a>(&self, subscription: SubscriptionBuilder<'a>) -> SubscriptionBuilder<'a> {
        self.accept_families(subscription).accept(&self.other)
    }

    /// All that tells of calls, and where another recording begins.
    pub(crate) fn accept_calls<'a>(&self, subscription: SubscriptionBuilder<'a>) -> SubscriptionBuilder<'a> {
        self.accept_families(subscription).accept(&self.part)
    }

    fn accept_families<'a>(&self, subscription: SubscriptionBuilder<'a>) -> SubscriptionBuilder<'a> {
        subscription
            .accept(&self.channel)
            .accept(&self.dial)
            .accept(&self.bridge)
            .accept(&self.local)
            .accept(&self.transfer)
            .accept(&self.park)
    }

    /// The event as a message of its type. The answer key has none: nobody is to see it.
    pub(crate) fn message(
        &self,
        event: Event,
        at: Option<Timestamp>,
        origin: Option<Origin>,
    ) -> Option<Message> {
        Some(match event {
            Event::Channel(event) => make(&self.channel, event, at, origin),
            Event::Dial(event) => make(&self.dial, event, at, origin),
            Event::Bridge(event) => make(&self.bridge, event, at, origin),
            Event::Local(event) => make(&self.local, event, at, origin),
            Event::Transfer(event) => make(&self.transfer, event, at, origin),
            Event::Park(event) => make(&self.park, event, at, origin),
            Event::Other(event) => make(&self.other, event, at, origin),
            Event::AnswerKey(_) => return None,
        })
    }
}

/// A message type with its two text forms. A consumer that wants text asks the message for it
/// (`to_ami`, `to_json`) and need not know the type at all.
fn declare<T: Carried>(bus: &Bus, name: &str) -> Result<MessageType<T>, TypeError> {
    bus.define::<T>(name)
        .ami(|event, _| Some(to_ami(event.block())))
        .json(|event, message| Some(to_json(event, message)))
        .declare()
}

/// A message usually bears the time at which it is made and the name of the node that makes it; these give it the
/// event's own.
fn make<T: Carried>(
    kind: &MessageType<T>,
    event: T,
    at: Option<Timestamp>,
    origin: Option<Origin>,
) -> Message {
    let message = kind.build(event);
    let message = at.into_iter().fold(message, MessageBuilder::at);
    origin.into_iter().fold(message, MessageBuilder::origin).finish()
}

/// What all families have.
trait Carried: Send + Sync + 'static {
    fn block(&self) -> &Block;
    fn at(&self) -> Option<Stamp>;
}

macro_rules! carried {
    ($($family:ty),*) => {$(
        impl Carried for $family {
            fn block(&self) -> &Block {
                &self.block
            }

            fn at(&self) -> Option<Stamp> {
                self.at
            }
        }
    )*};
}

carried!(ChannelEvent, DialEvent, BridgeEvent, LocalEvent, TransferEvent, ParkEvent, OtherEvent);

/// The block as it came. `AmiEvent` sees to it that nothing breaks out of its line; that no key
/// begins an event of its own is left to us.
fn to_ami(block: &Block) -> AmiEvent {
    let event = AmiEvent::new(block.name.as_str());
    block
        .headers
        .iter()
        .fold(event, |event, header| event.header(safe_key(&header.key), header.value.as_str()))
}

/// `{"type", "event", "time_us", "headers"}`: the family, the event's name, its time in
/// microseconds since 1970 (null if it bears none) and its headers as they came.
fn to_json<T: Carried>(event: &T, message: &Message) -> Value {
    json!({
        "type": message.type_name(),
        "event": event.block().name,
        "time_us": event.at().map(|stamp| stamp.0),
        "headers": headers(event.block()),
    })
}

/// A key that occurs more than once has all its values, as a list.
fn headers(block: &Block) -> Map<String, Value> {
    let mut map = Map::new();
    for header in &block.headers {
        let value = Value::from(header.value.as_str());
        match map.get_mut(&header.key) {
            None => drop(map.insert(header.key.clone(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    map
}
