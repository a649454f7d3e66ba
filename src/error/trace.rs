//! Why a bus is not traced.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Why a bus is not traced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceError {
    /// A time is out of its range.
    OutOfRange {
        /// Which one.
        field: &'static str,
        /// What it was.
        value: Duration,
        /// What it may be.
        allowed: RangeInclusive<Duration>,
    },
    /// The bus is traced already: end that one first.
    Traced,
    /// The bus has ended.
    Closed,
    /// The system refused to start the thread, in its words.
    Thread(String),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { field, value, allowed } => {
                let (least, most) = (allowed.start(), allowed.end());
                write!(f, "tracing: {field} is {value:?}; allowed are {least:?} to {most:?}")
            }
            Self::Traced => f.write_str("tracing: the bus is traced already"),
            Self::Closed => f.write_str("tracing: the bus has ended"),
            Self::Thread(why) => write!(f, "tracing: no thread could be started: {why}"),
        }
    }
}
