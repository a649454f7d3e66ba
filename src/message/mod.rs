//! Messages and their types: one allocation, a thin pointer, an intrusive count.
//!
//! | file | what |
//! | --- | --- |
//! | [`packet`] | the allocation: header, count, value |
//! | [`home`] | where the memory comes back to, and when values are dropped |
//! | [`owed`] | references that a worker has to give back, added up |
//! | [`kind`] | the named, typed handle that makes and reads messages |
//! | `tally` | how many were made, and are gone |
//! | [`forms`] | which forms a message can take |
//! | [`ami`] | the manager-protocol form of a message, safe against injection |
//! | [`event`] | the form that goes to another node and is read there |
//! | [`sanitizer`] | what one consumer of JSON does not get to see |
//! | [`change`] | the control message that tells of a subscription's beginning and end |
//! | [`update`] | the control messages of caches |

pub(crate) mod ami;
pub(crate) mod change;
pub(crate) mod entry_key;
#[cfg(feature = "json")]
pub(crate) mod event;
pub(crate) mod forms;
pub(crate) mod home;
pub(crate) mod kind;
pub(crate) mod owed;
pub(crate) mod packet;
#[cfg(feature = "json")]
mod sanitizer;
mod tally;
pub(crate) mod update;

pub use ami::AmiEvent;
pub use change::{Change, EndReason, SubscriptionChange};
pub use forms::Formatters;
pub use kind::{MessageBuilder, MessageType, TypeInfo};
pub use packet::Message;
#[cfg(feature = "json")]
pub use sanitizer::JsonSanitizer;
pub(crate) use tally::Event;
pub use update::{CacheClear, CacheUpdate, SnapshotEnd};

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The names of the bus's own types, which cannot be declined.
pub(crate) const CONTROL_TYPES: [&str; 4] =
    [SubscriptionChange::TYPE_NAME, CacheUpdate::TYPE_NAME, CacheClear::TYPE_NAME, SnapshotEnd::TYPE_NAME];

/// The node whose state a message speaks of: 4 bytes, interned by the bus that made it.
///
/// A message without an origin speaks of all nodes together (an *aggregate*). Asterisk calls this the entity id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Origin(pub(crate) std::num::NonZeroU32);

/// Wall-clock time in nanoseconds since 1970 (UTC).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// `ns` nanoseconds since 1970.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since 1970.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The same moment as the standard library writes it.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}
