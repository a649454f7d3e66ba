//! Why an event from another node was not read.

use super::Brief;
use std::fmt;

/// Why an event was not read. What a stranger sent is repeated in it shortened, and without control characters when
/// displayed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// It is too large.
    TooLarge {
        /// How large it was.
        bytes: usize,
        /// How large it may be.
        allowed: usize,
    },
    /// It is no JSON object, or has one of the fields twice: what and where.
    Malformed(String),
    /// It lacks this field.
    Missing {
        /// Which one.
        field: &'static str,
    },
    /// A field beside the value does not hold what it should.
    Field {
        /// Which one.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// No message type of this bus has that name.
    UnknownType(String),
    /// The message type of that name was declared without `event()`. Control types are.
    NoEventForm(String),
    /// This bus knows no node of that name: [`Bus::origin`](crate::Bus::origin) makes one known.
    UnknownOrigin(String),
    /// The value is none of that type.
    Value {
        /// The type's name.
        type_name: String,
        /// What it was.
        value: String,
        /// Why, and where in the value.
        why: String,
    },
    /// The code that reads values of that type panicked. The panic was counted as a formatter's.
    Panicked(String),
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, allowed } => {
                write!(f, "event has {bytes} bytes; at most {allowed} are allowed")
            }
            Self::Malformed(why) => {
                write!(f, "event is no JSON object with type, time, origin and value: {}", OneLine(why))
            }
            Self::Missing { field } => write!(f, "event has no {field}"),
            Self::Field { field, value, wanted } => {
                write!(f, "event: {field} is {}; allowed is {wanted}", OneLine(value))
            }
            Self::UnknownType(name) => {
                write!(f, "event: type is {:?}; allowed are the message types of this bus", Brief(name))
            }
            Self::NoEventForm(name) => {
                write!(f, "event: type is {:?}; allowed are types declared with event()", Brief(name))
            }
            Self::UnknownOrigin(name) => {
                write!(
                    f,
                    "event: origin is {:?}; allowed are nodes made known by Bus::origin(), and null",
                    Brief(name)
                )
            }
            Self::Value { type_name, value, why } => {
                write!(f, "event: value is {}, which is no {type_name:?}: {}", OneLine(value), OneLine(why))
            }
            Self::Panicked(name) => write!(f, "event: reading the value of {name:?} panicked"),
        }
    }
}

/// A stranger's text: nothing in it moves a terminal's cursor or begins a line of a log.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_debug()),
            false => write!(f, "{c}"),
        })
    }
}
