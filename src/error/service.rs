//! What can go wrong with the services: topic pools.

use super::{NAME_BYTES_MAX, NameError, check_name};
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

impl PoolError {
    /// Checks the own name of a member.
    pub(crate) fn check(pool: &str, member: &str) -> Result<(), Self> {
        let most = NAME_BYTES_MAX.saturating_sub(pool.len() + 1);
        match check_name(member) {
            Err(NameError::TooLong(_)) => {}
            Err(why) => return Err(Self::Name { member: member.to_owned(), why }),
            Ok(()) if member.len() <= most => return Ok(()),
            Ok(()) => {}
        }
        Err(Self::TooLong { pool: pool.to_owned(), bytes: member.len(), allowed: 1..=most })
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { member, why } => write!(f, "member {member:?} of a topic pool: {why}"),
            Self::TooLong { pool, allowed, .. } if allowed.is_empty() => {
                write!(
                    f,
                    "topic pool {pool:?} has a name of {} bytes; its members need one of at most 253",
                    pool.len()
                )
            }
            Self::TooLong { pool, bytes, allowed } => write!(
                f,
                "member of topic pool {pool:?} has a name of {bytes} bytes; allowed are {} to {}",
                allowed.start(),
                allowed.end()
            ),
        }
    }
}
