//! What can go wrong with the services: topic pools, state managers.

use super::{Brief, NAME_BYTES_MAX, NameError, SubscribeError, check_name};
use std::fmt;
use std::ops::RangeInclusive;

/// Why a topic pool has no such member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The member's own name was refused.
    Name {
        /// What it was.
        member: String,
        /// Why.
        why: NameError,
    },
    /// A topic `<pool>/<member>` would have too long a name.
    TooLong {
        /// The pool's name.
        pool: String,
        /// How many bytes the member's own has.
        bytes: usize,
        /// How many it may have; none if the pool's name is that long itself.
        allowed: RangeInclusive<usize>,
    },
}

/// Why a state manager has no such state, or a subscription on it was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The id was refused.
    Id {
        /// What it was.
        id: String,
        /// Why.
        why: NameError,
    },
    /// The state's topic would have too long a name.
    TooLong {
        /// The manager's name.
        manager: String,
        /// How many bytes the id has.
        bytes: usize,
        /// How many it may have; none if the manager's name is that long itself.
        allowed: RangeInclusive<usize>,
    },
    /// The subscription was refused.
    Subscribe(SubscribeError),
}

/// What is wrong with the last part of a name.
enum Wrong {
    Name(NameError),
    TooLong(RangeInclusive<usize>),
}

/// Checks `part`, which follows `before` bytes in a topic's name.
fn check_part(before: usize, part: &str) -> Result<(), Wrong> {
    let most = NAME_BYTES_MAX.saturating_sub(before);
    match check_name(part) {
        Ok(()) if part.len() <= most => Ok(()),
        Ok(()) | Err(NameError::TooLong(_)) => Err(Wrong::TooLong(1..=most)),
        Err(why) => Err(Wrong::Name(why)),
    }
}

impl PoolError {
    /// Checks the own name of a member.
    pub(crate) fn check(pool: &str, member: &str) -> Result<(), Self> {
        check_part(pool.len() + 1, member).map_err(|wrong| match wrong {
            Wrong::Name(why) => Self::Name { member: member.to_owned(), why },
            Wrong::TooLong(allowed) => Self::TooLong { pool: pool.to_owned(), bytes: member.len(), allowed },
        })
    }
}

impl StateError {
    /// Checks the id of a state whose topic's name begins with `prefix`.
    pub(crate) fn check(manager: &str, prefix: &str, id: &str) -> Result<(), Self> {
        check_part(prefix.len(), id).map_err(|wrong| match wrong {
            Wrong::Name(why) => Self::Id { id: id.to_owned(), why },
            Wrong::TooLong(allowed) => {
                Self::TooLong { manager: manager.to_owned(), bytes: id.len(), allowed }
            }
        })
    }
}

impl From<SubscribeError> for StateError {
    fn from(error: SubscribeError) -> Self {
        Self::Subscribe(error)
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id { id, why } => write!(f, "id {:?} of a state: {why}", Brief(id)),
            Self::TooLong { manager, allowed, .. } if allowed.is_empty() => write!(
                f,
                "state manager {:?} has a name of {} bytes, slashes and % signs counted threefold; its states need one of \
                 at most 253",
                Brief(manager),
                manager.len() + 2 * manager.matches(['/', '%']).count()
            ),
            Self::TooLong { manager, bytes, allowed } => write!(
                f,
                "id of a state of {:?} has {bytes} bytes; the names of its topics leave room for {} to {}",
                Brief(manager),
                allowed.start(),
                allowed.end()
            ),
            Self::Subscribe(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { member, why } => write!(f, "member {:?} of a topic pool: {why}", Brief(member)),
            Self::TooLong { pool, allowed, .. } if allowed.is_empty() => {
                write!(
                    f,
                    "topic pool {:?} has a name of {} bytes; its members need one of at most 253",
                    Brief(pool),
                    pool.len()
                )
            }
            Self::TooLong { pool, bytes, allowed } => write!(
                f,
                "member of topic pool {:?} has a name of {bytes} bytes; allowed are {} to {}",
                Brief(pool),
                allowed.start(),
                allowed.end()
            ),
        }
    }
}
