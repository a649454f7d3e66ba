//! The form of a message that goes over a wire to another node and is read there: one JSON object.
//!
//! | field | what |
//! | --- | --- |
//! | `type` | the type's name |
//! | `time` | nanoseconds since 1970, an integer: readers that keep numbers as doubles lose the last digits |
//! | `origin` | the node whose state it is, or `null` for an aggregate of all |
//! | `value` | the value, as serde writes it |
//!
//! The order is free, further fields are ignored, and a field that is there twice is an error. The value is read last,
//! by its type alone.

use super::kind::Kind;
use super::{Message, Timestamp};
use crate::error::EventError;
use crate::message::Origin;
use crate::sync::Arc;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::{fmt, io};

type Write = Box<dyn Fn(&Message, Option<&str>) -> Option<String> + Send + Sync>;
type Read = Box<dyn Fn(&Arc<Kind>, &Head, &str) -> Result<Message, serde_json::Error> + Send + Sync>;

/// How the values of one type are written into events and read out of them.
pub(crate) struct EventForm {
    write: Write,
    read: Read,
}

/// What a message has beside its value.
pub(crate) struct Head {
    pub(crate) time: Timestamp,
    pub(crate) origin: Option<Origin>,
}

#[derive(Serialize)]
struct Written<'a, T> {
    r#type: &'a str,
    time: u64,
    origin: Option<&'a str>,
    value: &'a T,
}

impl EventForm {
    /// `value` finds the `T` in a message of the type.
    pub(super) fn new<T: Serialize + DeserializeOwned + Send + Sync + 'static>(
        value: impl Fn(&Message) -> Option<&T> + Send + Sync + 'static,
        make: impl Fn(&Arc<Kind>, &Head, T) -> Message + Send + Sync + 'static,
    ) -> Self {
        let write = move |message: &Message, origin: Option<&str>| {
            let (name, time) = (message.type_name(), message.timestamp().as_nanos());
            let event = Written { r#type: name, time, origin, value: value(message)? };
            let mut bounded = Bounded::default();
            let written = serde_json::to_writer(&mut bounded, &event);
            written.ok().and_then(|()| bounded.text())
        };
        let read = move |kind: &Arc<Kind>, head: &Head, text: &str| {
            serde_json::from_str(text).map(|value: T| make(kind, head, value))
        };
        Self { write: Box::new(write), read: Box::new(read) }
    }

    pub(super) fn write(&self, message: &Message, origin: Option<&str>) -> Option<String> {
        (self.write)(message, origin)
    }

    pub(super) fn read(&self, kind: &Arc<Kind>, head: &Head, text: &str) -> Result<Message, EventError> {
        let wrong = |why: serde_json::Error| EventError::Value {
            type_name: kind.name().to_owned(),
            value: shortened(text),
            why: shortened(&why.to_string()),
        };
        (self.read)(kind, head, text).map_err(wrong)
    }
}

/// The largest event there is.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// An event being written: a value without end stops at the limit, not when the memory is full.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    /// Foreign code may go on after it was refused.
    refused: bool,
}

impl Bounded {
    fn text(self) -> Option<String> {
        if self.refused { None } else { String::from_utf8(self.bytes).ok() }
    }
}

impl io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.refused |= more.len() > BYTES_MAX - self.bytes.len();
        if self.refused {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event whose value has not been read yet.
pub(crate) struct Envelope<'a> {
    pub(crate) type_name: String,
    pub(crate) time: Timestamp,
    pub(crate) origin: Option<String>,
    pub(crate) value: &'a str,
}

/// A field as it was written; none if it is missing (`null` is not).
#[derive(Default)]
struct Field<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(from).map(|raw| Self(Some(raw)))
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    r#type: Field<'a>,
    #[serde(borrow, default)]
    time: Field<'a>,
    #[serde(borrow, default)]
    origin: Field<'a>,
    #[serde(borrow, default)]
    value: Field<'a>,
}

impl<'a> Field<'a> {
    fn text(&self, field: &'static str) -> Result<&'a str, EventError> {
        self.0.map(RawValue::get).ok_or(EventError::Missing { field })
    }

    fn read<T: Deserialize<'a>>(&self, field: &'static str, wanted: &'static str) -> Result<T, EventError> {
        let text = self.text(field)?;
        let wrong = |_| EventError::Field { field, value: shortened(text), wanted };
        serde_json::from_str(text).map_err(wrong)
    }
}

impl<'a> Envelope<'a> {
    pub(crate) fn read(event: &'a [u8]) -> Result<Self, EventError> {
        // serde would read an array of four as well.
        if event.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
            return Err(EventError::Malformed("it does not begin with a brace".to_owned()));
        }
        let malformed = |why: serde_json::Error| EventError::Malformed(shortened(&why.to_string()));
        let fields: Fields<'a> = serde_json::from_slice(event).map_err(malformed)?;
        Ok(Self {
            type_name: fields.r#type.read("type", "the name of a message type")?,
            time: Timestamp::from_nanos(
                fields.time.read("time", "nanoseconds since 1970, 0 to 18446744073709551615")?,
            ),
            origin: fields.origin.read("origin", "the name of a node, or null for an aggregate")?,
            value: fields.value.text("value")?,
        })
    }
}

/// So much of what a stranger sent is repeated in an error.
const REPEATED_CHARS_MAX: usize = 100;

pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(REPEATED_CHARS_MAX) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}...", &text[..at]),
    }
}

impl fmt::Debug for EventForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventForm").finish_non_exhaustive()
    }
}
