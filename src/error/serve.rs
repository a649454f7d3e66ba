//! Why an HTTP server was not started.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// Why an HTTP server was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServeError {
    /// What it should listen on is no address.
    Address {
        /// What it was.
        value: String,
        /// What the system has to say about it.
        why: String,
    },
    /// Somebody listens there already.
    InUse(SocketAddr),
    /// The system refused the address.
    Refused {
        /// Which one.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// A number, or a time in milliseconds, is out of range.
    OutOfRange {
        /// Which one.
        field: &'static str,
        /// What it was.
        value: u64,
        /// What it may be.
        allowed: RangeInclusive<u64>,
    },
    /// An allowed host is no host name.
    Host(String),
    /// The system refused what a thread for it needs.
    Thread(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { value, why } => {
                write!(f, "listen is {value:?}, which is no address: {why}; one is 127.0.0.1:9464")
            }
            Self::InUse(address) => {
                write!(f, "listen is {address}, where somebody listens already; port 0 takes any free one")
            }
            Self::Refused { address, why } => {
                write!(f, "listen is {address}, which the system refused: {why}")
            }
            Self::OutOfRange { field, value, allowed } => {
                write!(f, "{field} is {value}; allowed are {} to {}", allowed.start(), allowed.end())
            }
            Self::Host(value) => write!(
                f,
                "allow_host is {value:?}; allowed is a host name of 1 to 253 letters, digits, dots, hyphens and \
                 underscores, without port"
            ),
            Self::Thread(why) => write!(f, "the system refused a thread for the HTTP server: {why}"),
        }
    }
}
