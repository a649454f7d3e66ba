//! What a client may want, and what it is answered.

use crate::ami::Block;
use crate::messages::{BRIDGE, CHANNEL};
use crate::topics::ALL;
use stasis_bus::Bus;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) struct Reply {
    pub(super) text: String,
    /// Nothing is said after it.
    pub(super) is_last: bool,
    /// Some: from now on.
    pub(super) wants_events: Option<bool>,
}

/// Names and keys are compared as a manager does: letters may be large or small.
pub(super) fn reply(bus: &Bus, action: &Block) -> Reply {
    let id = value(action, "ActionID");
    let text = match action.name.to_ascii_lowercase().as_str() {
        "login" => return login(id, action),
        "events" => return events(id, action),
        "logoff" => return goodbye(id, "as you wish"),
        "ping" => answer("Success", id, &[("Ping", "Pong"), ("Timestamp", &now())]),
        "coreshowchannels" => CHANNELS.list(bus, id),
        "bridgelist" => BRIDGES.list(bus, id),
        _ => error(
            id,
            "unknown action; known are Login, Logoff, Ping, Events, CoreShowChannels and BridgeList",
        ),
    };
    Reply::new(text)
}

impl Reply {
    fn new(text: String) -> Self {
        Self { text, is_last: false, wants_events: None }
    }
}

pub(super) fn error(id: Option<&str>, message: &str) -> String {
    answer("Error", id, &[("Message", message)])
}

pub(super) fn goodbye(id: Option<&str>, message: &str) -> Reply {
    Reply { is_last: true, ..Reply::new(answer("Goodbye", id, &[("Message", message)])) }
}

/// Everybody may listen; but who logs in without a name or a secret has made a mistake, and is told.
fn login(id: Option<&str>, action: &Block) -> Reply {
    let has = |key| value(action, key).is_some_and(|value| !value.is_empty());
    if !has("Username") || !has("Secret") {
        return Reply::new(error(id, "a login needs Username and Secret"));
    }
    let wants_events = value(action, "Events").map(wants);
    Reply { wants_events, ..Reply::new(answer("Success", id, &[("Message", "welcome")])) }
}

fn events(id: Option<&str>, action: &Block) -> Reply {
    let Some(wanted) = value(action, "EventMask").map(wants) else {
        return Reply::new(error(id, "Events needs an EventMask"));
    };
    let told = if wanted { "On" } else { "Off" };
    Reply { wants_events: Some(wanted), ..Reply::new(answer("Success", id, &[("Events", told)])) }
}

/// There is no choice between classes of events: all, or none.
fn wants(mask: &str) -> bool {
    !matches!(mask.to_ascii_lowercase().as_str(), "off" | "no" | "none" | "0" | "false" | "")
}

/// What there is of one kind. The bus knows it: each channel and each bridge has a topic as long as it lives.
struct Listing {
    kind: &'static str,
    item: &'static str,
    key: &'static str,
    complete: &'static str,
}

const CHANNELS: Listing =
    Listing { kind: CHANNEL, item: "CoreShowChannel", key: "Uniqueid", complete: "CoreShowChannelsComplete" };
const BRIDGES: Listing =
    Listing { kind: BRIDGE, item: "BridgeListItem", key: "BridgeUniqueid", complete: "BridgeListComplete" };

impl Listing {
    fn list(&self, bus: &Bus, id: Option<&str>) -> String {
        let mut text = answer("Success", id, &[("EventList", "start")]);
        let mut count = 0;
        for topic in bus.topics() {
            if let Some(about) = self.of(topic.name()) {
                text.push_str(&block("Event", self.item, id, &[(self.key, about)]));
                count += 1;
            }
        }
        let headers = [("EventList", "Complete"), ("ListItems", &count.to_string())];
        text + &block("Event", self.complete, id, &headers)
    }

    fn of<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let about = topic.strip_prefix(self.kind)?.strip_prefix(':')?;
        (about != ALL).then_some(about)
    }
}

fn answer(kind: &str, id: Option<&str>, headers: &[(&str, &str)]) -> String {
    block("Response", kind, id, headers)
}

/// All values are our own, names of topics, or a line that the reader has let through: none has a line end.
fn block(key: &str, kind: &str, id: Option<&str>, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{key}: {kind}\r\n");
    let id = id.map(|id| ("ActionID", id));
    for (key, value) in id.iter().chain(headers) {
        let _ = write!(text, "{key}: {value}\r\n");
    }
    text + "\r\n"
}

fn value<'a>(action: &'a Block, key: &str) -> Option<&'a str> {
    let header = action.headers.iter().find(|header| header.key.eq_ignore_ascii_case(key))?;
    Some(&header.value)
}

fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:06}", now.as_secs(), now.subsec_micros())
}
