//! What can go wrong, one small type per operation, and one that they all convert into.
//!
//! Publishing is not here: it never fails, its [`Report`](crate::Report) tells what became of the message.

mod brief;
mod cache;
#[cfg(feature = "config")]
mod config_text;
#[cfg(feature = "json")]
mod event;
#[cfg(feature = "metrics")]
mod observe;
mod route;
#[cfg(any(feature = "console", feature = "prometheus"))]
mod serve;
mod service;
#[cfg(feature = "tracing")]
mod trace;

pub(crate) use brief::Brief;
pub use cache::{CacheError, CachingError, EntryError, WatchEnded};
#[cfg(feature = "config")]
pub use config_text::{ConfigProblem, ConfigTextError};
#[cfg(feature = "json")]
pub use event::EventError;
#[cfg(feature = "metrics")]
pub use observe::ObserveError;
pub use route::RouteError;
#[cfg(any(feature = "console", feature = "prometheus"))]
pub use serve::ServeError;
pub use service::{PoolError, StateError};
#[cfg(feature = "tracing")]
pub use trace::TraceError;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Why a name was refused. Names are 1 to 255 bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It has so many bytes.
    TooLong(usize),
    /// It has this control character at this byte.
    ControlCharacter(char, usize),
}

/// Checks a name of a topic, type, subscription or node.
pub(crate) fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(name.len()));
    }
    match name.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, c)) => Err(NameError::ControlCharacter(c, at)),
        None => Ok(()),
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("name is empty; it needs 1 to 255 bytes"),
            Self::TooLong(bytes) => write!(f, "name has {bytes} bytes; at most 255 are allowed"),
            Self::ControlCharacter(c, at) => {
                write!(f, "name has the control character {c:?} at byte {at}; none is allowed")
            }
        }
    }
}

/// Why a bus was not built: the field, its value, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is out of range.
    OutOfRange {
        /// Which one.
        field: &'static str,
        /// What it was.
        value: u64,
        /// What it may be.
        allowed: RangeInclusive<u64>,
    },
    /// A name was refused.
    BadName {
        /// Which one.
        field: &'static str,
        /// What it was.
        value: String,
        /// Why.
        why: NameError,
    },
    /// An option has a value that is not for it.
    NotAllowed {
        /// Which one.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A control type was declined.
    DeclinedControl {
        /// Which one.
        name: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { field, value, allowed } => {
                write!(f, "{field} is {value}; allowed are {} to {}", allowed.start(), allowed.end())
            }
            Self::BadName { field, value, why } => write!(f, "{field} {:?}: {why}", Brief(value)),
            Self::NotAllowed { field, value, allowed } => write!(f, "{field} is {value}; {allowed}"),
            Self::DeclinedControl { name } => {
                write!(f, "decline {name:?}: a control type cannot be declined; any other type can")
            }
        }
    }
}

/// Why there is no such message type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypeError {
    /// The name was refused.
    Name(NameError),
    /// The name stands for another Rust type already.
    OtherType(String),
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(f, "message type: {why}"),
            Self::OtherType(name) => {
                write!(f, "message type {name:?} stands for another Rust type already; choose another name")
            }
        }
    }
}

/// Why a subscription was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The name was refused.
    Name(NameError),
    /// The capacity is out of range.
    Capacity {
        /// What it was.
        value: usize,
        /// What it may be.
        allowed: RangeInclusive<usize>,
    },
    /// The water marks are no two numbers in order, or the mailbox never holds so much.
    WaterMarks {
        /// The high one.
        high: usize,
        /// The low one.
        low: usize,
        /// What the high one may be at most: the capacity, and how far it may grow beyond it.
        most: usize,
    },
    /// The size of batches is out of range.
    BatchMax {
        /// What it was.
        value: usize,
        /// What it may be.
        allowed: RangeInclusive<usize>,
    },
    /// A filter names a type of another bus.
    ForeignType(String),
    /// This finishing call cannot make that dispatch: `start` is for Serial, Pool and Dedicated, `inline` and `stream`
    /// are for themselves.
    Dispatch {
        /// What was set.
        set: &'static str,
        /// What the call makes.
        call: &'static str,
    },
    /// An option that does not go with this finishing call.
    Unsuitable {
        /// Which option.
        option: &'static str,
        /// Which call.
        call: &'static str,
        /// What goes with it.
        allowed: &'static str,
    },
    /// An option has a value that is not for it, or not for this dispatch.
    Option {
        /// Which one.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// 64 handlers are under way on this thread already, and an Inline or Serial subscription begins with a call right here:
    /// a handler that subscribes itself anew, without end.
    NestedTooDeep,
    /// The system refused to start the thread.
    Thread(String),
    /// One of a router's first routes was refused.
    Route(RouteError),
    /// The bus is shut down.
    Closed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(f, "subscription: {why}"),
            Self::Capacity { value, allowed } => {
                write!(f, "capacity is {value}; allowed are {} to {}", allowed.start(), allowed.end())
            }
            Self::WaterMarks { high, low, most } => write!(
                f,
                "water marks are {high} (high) and {low} (low); allowed are 1 to {most} for the high one and less \
                 than that for the low one"
            ),
            Self::BatchMax { value, allowed } => {
                write!(f, "batch_max is {value}; allowed are {} to {}", allowed.start(), allowed.end())
            }
            Self::ForeignType(name) => {
                write!(f, "message type {name:?} belongs to another bus; get it from the bus of this topic")
            }
            Self::Dispatch { set, call } => write!(
                f,
                "dispatch is {set}, but {call}() was called; start() makes serial, pool and dedicated \
                 subscriptions, inline() inline ones, stream() streams"
            ),
            Self::Unsuitable { option, call, allowed } => {
                write!(f, "{option} does not go with {call}(): {allowed}")
            }
            Self::Option { field, value, allowed } => write!(f, "{field} is {value}; {allowed}"),
            Self::NestedTooDeep => f.write_str(
                "an inline or serial subscription from inside 64 nested handlers; at most 63 are allowed",
            ),
            Self::Thread(why) => write!(f, "the system refused a thread for the subscription: {why}"),
            Self::Route(why) => why.fmt(f),
            Self::Closed => f.write_str("the bus is shut down"),
        }
    }
}

/// Why a subscription keeps the filter it has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// The filter names a type of another bus.
    ForeignType(String),
    /// The subscription's handler is typed: it takes that type and no others.
    Typed,
    /// The subscription has ended.
    Ended,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignType(name) => {
                write!(f, "filter: message type {name:?} belongs to another bus; get it from the bus of this topic")
            }
            Self::Typed => f.write_str(
                "filter: a typed handler takes messages of its own type and no others; start() makes a subscription \
                 whose filter may change",
            ),
            Self::Ended => f.write_str("filter: the subscription has ended"),
        }
    }
}

/// Why a forward was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardError {
    /// The two topics belong to different buses.
    OtherBus,
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot forward to a topic of another bus; subscribe there and publish here instead")
    }
}

/// Why waiting for a subscription was given up, or never begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// It would have waited for the calling thread itself, directly or through others.
    WouldDeadlock,
    /// No further thread could take the waiting worker's place: 32 wait already, or the system refused one.
    TooManyWaiting,
    /// The time was over first.
    TimedOut,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldDeadlock => "would wait for the calling thread itself; do it outside the handler",
            Self::TooManyWaiting => "too many workers wait for other subscriptions already",
            Self::TimedOut => "timed out",
        })
    }
}

/// Why a shutdown did not wait for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Called from a handler: the shutdown was started, but a handler cannot wait for itself.
    InHandler,
    /// Another call's shutdown had not ended in so long.
    StillRunning(Duration),
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InHandler => f.write_str("shutdown started; a handler cannot wait for its end"),
            Self::StillRunning(waited) => write!(f, "another shutdown is still running after {waited:?}"),
        }
    }
}

/// Any error of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A name was refused.
    Name(NameError),
    /// A bus was not built.
    Config(ConfigError),
    /// The text of a configuration was refused.
    #[cfg(feature = "config")]
    ConfigText(ConfigTextError),
    /// No such message type.
    Type(TypeError),
    /// A subscription was not made.
    Subscribe(SubscribeError),
    /// A filter was not changed.
    Filter(FilterError),
    /// A route was not added.
    Route(RouteError),
    /// An event of another node was not read.
    #[cfg(feature = "json")]
    Event(EventError),
    /// A forward was not made.
    Forward(ForwardError),
    /// A cache was not made.
    Cache(CacheError),
    /// A topic is not kept in a cache.
    Caching(CachingError),
    /// An object was not leased or watched.
    Entry(EntryError),
    /// Nothing is watched any more.
    Watch(WatchEnded),
    /// A topic pool has no such member.
    Pool(PoolError),
    /// A state manager has no such state.
    State(StateError),
    /// An HTTP server was not started.
    #[cfg(any(feature = "console", feature = "prometheus"))]
    Serve(ServeError),
    /// Waiting was given up.
    Wait(WaitError),
    /// A shutdown did not wait for the end.
    Shutdown(ShutdownError),
    /// Metrics are not given out as asked for.
    #[cfg(feature = "metrics")]
    Observe(ObserveError),
    /// A bus is not traced.
    #[cfg(feature = "tracing")]
    Trace(TraceError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            #[cfg(feature = "config")]
            Self::ConfigText(error) => error.fmt(f),
            Self::Type(error) => error.fmt(f),
            Self::Subscribe(error) => error.fmt(f),
            Self::Filter(error) => error.fmt(f),
            Self::Route(error) => error.fmt(f),
            #[cfg(feature = "json")]
            Self::Event(error) => error.fmt(f),
            Self::Forward(error) => error.fmt(f),
            Self::Cache(error) => error.fmt(f),
            Self::Caching(error) => error.fmt(f),
            Self::Entry(error) => error.fmt(f),
            Self::Watch(error) => error.fmt(f),
            Self::Pool(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            #[cfg(any(feature = "console", feature = "prometheus"))]
            Self::Serve(error) => error.fmt(f),
            Self::Wait(error) => error.fmt(f),
            Self::Shutdown(error) => error.fmt(f),
            #[cfg(feature = "metrics")]
            Self::Observe(error) => error.fmt(f),
            #[cfg(feature = "tracing")]
            Self::Trace(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! each {
    ($($variant:ident($error:ty)),*) => {$(
        impl std::error::Error for $error {}

        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

each!(
    Name(NameError),
    Config(ConfigError),
    Type(TypeError),
    Subscribe(SubscribeError),
    Filter(FilterError),
    Route(RouteError),
    Forward(ForwardError),
    Cache(CacheError),
    Caching(CachingError),
    Entry(EntryError),
    Watch(WatchEnded),
    Pool(PoolError),
    State(StateError),
    Wait(WaitError),
    Shutdown(ShutdownError)
);
#[cfg(feature = "config")]
each!(ConfigText(ConfigTextError));
#[cfg(feature = "json")]
each!(Event(EventError));
#[cfg(any(feature = "console", feature = "prometheus"))]
each!(Serve(ServeError));
#[cfg(feature = "metrics")]
each!(Observe(ObserveError));
#[cfg(feature = "tracing")]
each!(Trace(TraceError));

impl From<NameError> for TypeError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<NameError> for SubscribeError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<RouteError> for SubscribeError {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_wrong() {
        assert_eq!(check_name("channel:PJSIP/älice"), Ok(()));
        assert_eq!(check_name(""), Err(NameError::Empty));
        assert_eq!(check_name(&"x".repeat(256)), Err(NameError::TooLong(256)));
        assert_eq!(check_name("a\r\nb"), Err(NameError::ControlCharacter('\r', 1)));
        assert!(check_name("a\u{85}").is_err());
    }
}
