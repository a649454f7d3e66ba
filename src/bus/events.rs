//! Messages that go to other nodes and come from them.

use super::Bus;
use crate::error::EventError;
use crate::message::Message;
use crate::message::event::{BYTES_MAX, Envelope, Head, shortened};

impl Bus {
    /// The largest event there is: 1 MiB.
    pub const EVENT_BYTES_MAX: usize = BYTES_MAX;

    /// The form of `message` that goes to another node: one line of JSON with the type's name, the time, the name of the
    /// origin (or `null`) and the value.
    ///
    /// `None` if its type was declared without [`event`](crate::TypeBuilder::event) or is declined, if it was made by
    /// another bus or speaks of an origin that this bus does not know, if serde cannot write the value (or panics, which
    /// is counted as a formatter's), or if the event would be larger than [`EVENT_BYTES_MAX`](Self::EVENT_BYTES_MAX), at
    /// which writing stops. Costs what serde's JSON costs, an allocation for the text, and a lock for the origin's name.
    /// Floats come back to the last bit; one that is no number becomes `null`, as JSON has none.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use stasis_bus::{Bus, Formatters, Timestamp};
    ///
    /// #[derive(Serialize, Deserialize, Debug, PartialEq)]
    /// struct DeviceState { device: String, busy: bool }
    ///
    /// let here = Bus::builder().node("node-1").manual().build()?;
    /// let states = here.define::<DeviceState>("device_state").event().declare()?;
    /// assert_eq!(states.formatters(), Formatters::EVENT);
    /// let state = DeviceState { device: "PJSIP/alice".to_owned(), busy: true };
    /// let event = here.event_of(&states.message_at(state, Timestamp::from_nanos(5))).unwrap();
    /// assert_eq!(
    ///     event,
    ///     r#"{"type":"device_state","time":5,"origin":"node-1","value":{"device":"PJSIP/alice","busy":true}}"#
    /// );
    ///
    /// let there = Bus::builder().node("node-2").manual().build()?;
    /// let their_states = there.define::<DeviceState>("device_state").event().declare()?;
    /// let node_1 = there.origin("node-1")?; // the nodes that are believed are made known first
    /// let message = there.message_from_event(&event)?;
    /// assert_eq!(message.origin(), Some(node_1));
    /// assert!(their_states.read(&message).unwrap().busy);
    ///
    /// let error = there.message_from_event(event.replace("node-1", "node-9")).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"event: origin is "node-9"; allowed are nodes made known by Bus::origin(), and null"#
    /// );
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn event_of(&self, message: &Message) -> Option<String> {
        if !message.belongs_to(self) {
            return None;
        }
        let origin = match message.origin() {
            // One that this bus does not know is no aggregate.
            Some(origin) => Some(self.origin_name(origin)?),
            None => None,
        };
        message.kind().to_event(message, origin.as_deref())
    }

    /// The message that another node's [`event_of`](Self::event_of) wrote, with that node's time and origin. Publishing it
    /// is up to the caller.
    ///
    /// The event is not trusted: its type must have been declared here with [`event`](crate::TypeBuilder::event), which
    /// the bus's own types are not, and its origin must be one that [`origin`](Self::origin) has made known, so that no
    /// stranger can speak for a node or fill the memory with names. If the type is declined here, the message is empty.
    ///
    /// # Errors
    ///
    /// [`EventError`] names the field, its value and what is allowed. Fields that this version does not know are
    /// no error.
    pub fn message_from_event(&self, event: impl AsRef<[u8]>) -> Result<Message, EventError> {
        let (event, allowed) = (event.as_ref(), Self::EVENT_BYTES_MAX);
        if event.len() > allowed {
            return Err(EventError::TooLarge { bytes: event.len(), allowed });
        }
        let Envelope { type_name, time, origin, value } = Envelope::read(event)?;
        let kind = self.0.types.find(&type_name);
        let kind = kind.ok_or_else(|| EventError::UnknownType(shortened(&type_name)))?;
        let known = |name: String| {
            let origin = self.0.types.known_origin(&name);
            origin.ok_or_else(|| EventError::UnknownOrigin(shortened(&name)))
        };
        let origin = origin.map(known).transpose()?;
        kind.read_event(&Head { time, origin }, value)
    }
}

impl Message {
    /// The form of this message that goes to another node: [`Bus::event_of`].
    pub fn to_event(&self, bus: &Bus) -> Option<String> {
        bus.event_of(self)
    }
}
