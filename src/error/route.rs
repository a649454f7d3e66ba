//! Why a router has no further route.

use std::fmt;

/// Why a route was not added to a router; then nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// The type has a route already.
    Taken {
        /// The type's name.
        name: String,
        /// Whether it is the route of cache updates of that type.
        updates: bool,
    },
    /// The type of that name belongs to another bus.
    ForeignType(String),
    /// The router has ended.
    Ended,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { name, updates: false } => write!(
                f,
                "message type {name:?} has a route already, and may have one; replace() puts another in its place"
            ),
            Self::Taken { name, updates: true } => write!(
                f,
                "cache updates of message type {name:?} have a route already, and may have one; replace_update() puts \
                 another in its place"
            ),
            Self::ForeignType(name) => {
                write!(
                    f,
                    "route: message type {name:?} belongs to another bus; get it from the bus of this topic"
                )
            }
            Self::Ended => f.write_str("route: the router has ended"),
        }
    }
}
