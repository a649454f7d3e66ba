//! What happens: a list of acts, and what handlers do when called.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Topics there are.
pub(crate) const TOPICS: u8 = 4;

/// More acts than this find nothing that fewer do not.
const ACTS_MAX: usize = 200;

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) acts: Vec<Act>,
    /// What handlers do; subscriptions refer to them by number.
    pub(crate) reactions: Vec<Reaction>,
    pub(crate) ending: Ending,
}

impl Arbitrary<'_> for Script {
    /// A few reactions, then acts to the end of the input: a longer input is a longer case.
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let ending = u.arbitrary()?;
        let reactions = (0..u.int_in_range(0..=6)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let mut acts = Vec::new();
        while !u.is_empty() && acts.len() < ACTS_MAX {
            acts.push(u.arbitrary()?);
        }
        Ok(Self { acts, reactions, ending })
    }
}

impl Arbitrary<'_> for Reaction {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let acts = (0..u.int_in_range(0..=4)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        Ok(Self { every: u.int_in_range(0..=5)?, acts, panics: u.ratio(1, 8)? })
    }
}

/// What a handler does at one of its calls.
#[derive(Clone, Debug)]
pub(crate) struct Reaction {
    /// At every so manieth call (0: at the final one only).
    pub(crate) every: u8,
    pub(crate) acts: Vec<Act>,
    pub(crate) panics: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Act {
    Publish { topic: u8, kind: Kind },
    PublishTwice { topic: u8, other: u8, kind: Kind },
    PublishWith { topic: u8, kind: Kind },
    Flood { topic: u8, kind: Kind, count: u8 },
    Subscribe { topic: u8, mode: Mode, filter: FilterSpec, capacity: u8, policy: Policy, reaction: u8 },
    Unsubscribe { sub: u8 },
    Forward { from: u8, to: u8 },
    Cancel { forward: u8 },
    Read { sub: u8, count: u8, poll: bool },
    DropStream { sub: u8 },
    DropTopic { topic: u8 },
    PublishSync { sub: u8, kind: Kind },
    Join { sub: u8 },
    Run,
}

/// Which message type.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Has an AMI form.
    Formatted,
    Declined,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Inline,
    Serial,
    Pool,
    Dedicated,
    Stream,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct FilterSpec {
    pub(crate) plain: bool,
    pub(crate) formatted: bool,
    pub(crate) changes: bool,
    pub(crate) ami: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Policy {
    Grow(u8),
    DropNewest,
    DropOldest,
    Block,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// Everything is run and unsubscribed, then all handles go.
    Unsubscribe,
    /// `Bus::shutdown`.
    Shutdown,
    /// The handle of the bus is dropped, while things are queued.
    DropBus,
}
