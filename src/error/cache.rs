//! What can go wrong with caches.

use super::NameError;
use std::fmt;
use std::ops::RangeInclusive;

/// Why a cache was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheError {
    /// Its name was refused.
    Name(NameError),
    /// Nothing says what the id of a message is.
    NoId,
    /// A type that it was told of is of another bus.
    ForeignType(String),
    /// A number is out of range.
    OutOfRange {
        /// Which one.
        field: &'static str,
        /// What it was.
        value: u64,
        /// What it may be.
        allowed: RangeInclusive<u64>,
    },
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(f, "cache: {why}"),
            Self::OutOfRange { field, value, allowed } => {
                write!(f, "cache: {field} is {value}; allowed is {} to {}", allowed.start(), allowed.end())
            }
            Self::NoId => f.write_str(
                "cache: nothing says what the id of a message is; id_of() or id() does, one is needed",
            ),
            Self::ForeignType(name) => {
                write!(
                    f,
                    "cache: message type {name:?} belongs to another bus; get it from the bus of this cache"
                )
            }
        }
    }
}

impl From<NameError> for CacheError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

/// Why a topic is not kept in that cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CachingError {
    /// The cache is of another bus.
    OtherBus,
    /// The filter names a type of another bus.
    ForeignType(String),
    /// The topic is where the cache tells of its own updates.
    OwnUpdates,
}

impl fmt::Display for CachingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBus => f.write_str("caching: the cache belongs to another bus than the topic"),
            Self::ForeignType(name) => {
                write!(
                    f,
                    "caching: message type {name:?} belongs to another bus; get it from the bus of this topic"
                )
            }
            Self::OwnUpdates => {
                f.write_str("caching: a cache cannot keep its own updates; another cache can")
            }
        }
    }
}

/// Why an object cannot be leased or watched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// The message type, of this name, is of another bus.
    OtherBus(String),
    /// The cache has no id for messages of this type.
    NotCacheable(String),
    /// The id is empty.
    EmptyId,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBus(name) => {
                write!(f, "message type {name:?} belongs to another bus; get it from the bus of this cache")
            }
            Self::NotCacheable(name) => write!(
                f,
                "the cache has no id for messages of type {name:?}; say at its making with id_of() or id() what it is"
            ),
            Self::EmptyId => f.write_str("id is empty; an object's id has at least 1 byte"),
        }
    }
}

/// The bus is over: nothing that is watched changes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchEnded;

impl fmt::Display for WatchEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watch: the bus has ended, so nothing changes any more")
    }
}
