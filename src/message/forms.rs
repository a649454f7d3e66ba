//! The forms that messages can take: which there are, and the code of one type that makes them.

use super::kind::{Foreign, Kind};
use super::{AmiEvent, Message};
use std::fmt;
use std::ops::BitOr;

#[cfg(feature = "json")]
use super::{
    JsonSanitizer,
    event::{EventForm, Head},
};
#[cfg(feature = "json")]
use crate::{error::EventError, sync::Arc};

/// A set of forms that a message can take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Formatters(u8);

impl Formatters {
    /// None.
    pub const NONE: Self = Self(0);
    /// JSON.
    pub const JSON: Self = Self(1);
    /// The manager protocol's text.
    pub const AMI: Self = Self(2);
    /// The form that goes over a wire to another node, and is read there: `Bus::event_of`, with the feature `json`.
    pub const EVENT: Self = Self(4);

    /// Whether the two have a form in common.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn only_if(self, there: bool) -> Self {
        if there { self } else { Self::NONE }
    }
}

impl BitOr for Formatters {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Formatters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(Self::JSON, "JSON"), (Self::AMI, "AMI"), (Self::EVENT, "EVENT")];
        let mut set = f.debug_set();
        for (one, name) in names {
            if self.intersects(one) {
                set.entry(&format_args!("{name}"));
            }
        }
        set.finish()
    }
}

#[cfg(feature = "json")]
type ToJson = Box<dyn Fn(&Message, &JsonSanitizer) -> Option<serde_json::Value> + Send + Sync>;
type ToAmi = Box<dyn Fn(&Message) -> Option<AmiEvent> + Send + Sync>;

/// The formatters of one type.
#[derive(Default)]
pub(super) struct Forms {
    #[cfg(feature = "json")]
    pub(super) json: Option<ToJson>,
    pub(super) ami: Option<ToAmi>,
    #[cfg(feature = "json")]
    pub(super) event: Option<EventForm>,
}

impl Forms {
    /// Which there are.
    pub(super) fn set(&self) -> Formatters {
        let set = Formatters::AMI.only_if(self.ami.is_some());
        #[cfg(feature = "json")]
        let set = set
            | Formatters::JSON.only_if(self.json.is_some())
            | Formatters::EVENT.only_if(self.event.is_some());
        set
    }
}

impl Kind {
    /// What `sanitizer` leaves of a message's JSON form. A panic, the sanitizer's as well, shows nothing.
    #[cfg(feature = "json")]
    pub(super) fn to_json(&self, message: &Message, sanitizer: &JsonSanitizer) -> Option<serde_json::Value> {
        let format = self.forms().json.as_ref()?;
        self.caught(Foreign::Formatter, || {
            let json = if sanitizer.hides_type(self.name()) { None } else { format(message, sanitizer) };
            json.and_then(|json| sanitizer.apply(json))
        })
        .flatten()
    }

    #[cfg(feature = "json")]
    pub(crate) fn to_event(&self, message: &Message, origin: Option<&str>) -> Option<String> {
        let form = self.forms().event.as_ref()?;
        self.caught(Foreign::Formatter, || form.write(message, origin)).flatten()
    }

    #[cfg(feature = "json")]
    pub(crate) fn read_event(self: &Arc<Self>, head: &Head, value: &str) -> Result<Message, EventError> {
        let form = self.forms().event.as_ref();
        let form = form.ok_or_else(|| EventError::NoEventForm(self.name().to_owned()))?;
        self.caught(Foreign::Formatter, || form.read(self, head, value))
            .unwrap_or_else(|| Err(EventError::Panicked(self.name().to_owned())))
    }

    pub(super) fn to_ami(&self, message: &Message) -> Option<AmiEvent> {
        let format = self.forms().ami.as_ref()?;
        self.caught(Foreign::Formatter, || format(message)).flatten()
    }
}
