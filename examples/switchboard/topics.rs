//! Topics that come and go: one for each thing that lives, and one for all of its kind.

use stasis_bus::{Bus, Error, Forward, NameError, Topic};
use std::collections::HashMap;
use std::fmt;

/// The name in `channel:all`, which no single channel can have.
pub(crate) const ALL: &str = "all";

/// The topics of one kind of things: `channel:<id>` for each that is alive, forwarded to
/// `channel:all`.
///
/// A topic costs little and is gone without a trace when nobody holds it any more. So a consumer
/// that cares for one call subscribes to that call's topic and is not asked about any other; one
/// that cares for all of them subscribes to `channel:all`, once.
pub(crate) struct Topics {
    bus: Bus,
    kind: &'static str,
    all: Topic,
    alive: HashMap<String, Live>,
    /// How many there have been.
    pub(crate) opened: u64,
}

/// A topic lives while somebody has a handle, and the forward stands until it is dropped.
struct Live {
    topic: Topic,
    _forward: Forward,
}

/// Why a thing gets no topic of its own; its events go to the topic of all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Name(NameError),
    /// The topic of all has that name.
    Reserved,
}

impl Topics {
    /// The topic of all, forwarded to `everything`.
    pub(crate) fn new(bus: &Bus, kind: &'static str, everything: &Topic) -> Result<Self, Error> {
        let all = bus.topic_with(&format!("{kind}:{ALL}"), "every one of its kind")?;
        // This one stays for the life of the bus.
        all.forward_to(everything)?.detach();
        Ok(Self { bus: bus.clone(), kind, all, alive: HashMap::new(), opened: 0 })
    }

    /// Something appears: it gets a topic. What is known already keeps the one it has.
    pub(crate) fn open(&mut self, id: &str) -> Result<(), Refused> {
        if id == ALL {
            return Err(Refused::Reserved);
        }
        if !self.alive.contains_key(id) {
            let topic = self.bus.topic(&format!("{}:{id}", self.kind))?;
            if let Ok(forward) = topic.forward_to(&self.all) {
                self.alive.insert(id.to_owned(), Live { topic, _forward: forward });
                self.opened += 1;
            }
        }
        Ok(())
    }

    /// The topic of one thing, or of all if it has none.
    pub(crate) fn of(&self, id: &str) -> &Topic {
        self.alive.get(id).map_or(&self.all, |live| &live.topic)
    }

    /// The ids of all that are there.
    pub(crate) fn ids(&self) -> impl Iterator<Item = String> {
        self.alive.keys().cloned()
    }

    pub(crate) fn is_open(&self, id: &str) -> bool {
        self.alive.contains_key(id)
    }

    /// All of them are gone.
    pub(crate) fn close_all(&mut self) {
        self.alive.clear();
    }

    /// It is gone. Whoever has subscribed to its topic keeps that until he lets go.
    pub(crate) fn close(&mut self, id: &str) {
        self.alive.remove(id);
    }
}

impl From<NameError> for Refused {
    fn from(why: NameError) -> Self {
        Self::Name(why)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => why.fmt(f),
            Self::Reserved => write!(f, "{ALL:?} is the name of all"),
        }
    }
}
