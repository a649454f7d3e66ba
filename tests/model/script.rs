//! What happens: a list of acts, and what handlers do when called. Read from bytes one by one, so that a byte changed is
//! one thing changed.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Topics that anybody may publish on.
pub(crate) const TOPICS: u8 = 4;
/// Where subscriptions may stand: topics, then these.
pub(crate) const UPDATES: u8 = TOPICS;
pub(crate) const OUTPUT: u8 = UPDATES + 1;
/// So many caching topics at most, one after the other.
pub(crate) const OUTPUTS: u8 = 3;
/// The topic of all states, then that of each.
pub(crate) const MANAGER: u8 = OUTPUT + OUTPUTS;
pub(crate) const STATE: u8 = MANAGER + 1;
pub(crate) const STATES: u8 = 2;
/// Members of the pool of the first topic.
pub(crate) const MEMBER: u8 = STATE + STATES;
pub(crate) const MEMBERS: u8 = 2;
pub(crate) const PLACES: u8 = MEMBER + MEMBERS;

/// Objects that messages speak of.
pub(crate) const OBJECTS: u8 = 4;
/// Nodes there are; the first is this one.
pub(crate) const NODES: u8 = 3;

/// More acts than this find nothing that fewer do not.
const ACTS_MAX: usize = 200;

/// What the cache does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CacheSpec {
    /// It has so many entries at most; none: it computes aggregates.
    pub(crate) limit: Option<u8>,
    /// States go with time.
    pub(crate) ttl: bool,
    /// Equal states and aggregates of the plain type are left out.
    pub(crate) suppresses: bool,
    /// Aggregates are told to a function.
    pub(crate) announces: bool,
}

impl From<u8> for CacheSpec {
    fn from(byte: u8) -> Self {
        let (limit, more) = ((byte % 7).checked_sub(1), byte / 7);
        Self { limit, ttl: more & 1 > 0, suppresses: more & 2 > 0, announces: more & 4 > 0 }
    }
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) acts: Vec<Act>,
    /// What handlers do; subscriptions refer to them by number.
    pub(crate) reactions: Vec<Reaction>,
    pub(crate) cache: CacheSpec,
    pub(crate) ending: Ending,
}

impl Arbitrary<'_> for Script {
    /// A few reactions, then acts to the end of the input: a longer input is a longer case.
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let ending = match below(u, 3)? {
            0 => Ending::Unsubscribe,
            1 => Ending::Shutdown,
            _ => Ending::DropBus,
        };
        let cache = CacheSpec::from(byte(u)?);
        let reactions = (0..below(u, 7)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let mut acts = Vec::new();
        while !u.is_empty() && acts.len() < ACTS_MAX {
            acts.push(u.arbitrary()?);
        }
        Ok(Self { acts, reactions, cache, ending })
    }
}

impl Arbitrary<'_> for Reaction {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let acts = (0..below(u, 5)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        Ok(Self { every: below(u, 6)?, acts, panics: below(u, 8)? == 0 })
    }
}

fn below(u: &mut Unstructured<'_>, count: u8) -> Result<u8> {
    Ok(byte(u)? % count)
}

/// Zero when there are no more.
fn byte(u: &mut Unstructured<'_>) -> Result<u8> {
    u.arbitrary()
}

/// What a handler does at one of its calls.
#[derive(Clone, Debug)]
pub(crate) struct Reaction {
    /// At every so manieth call (0: at the final one only).
    pub(crate) every: u8,
    pub(crate) acts: Vec<Act>,
    pub(crate) panics: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Publish {
        topic: u8,
        say: Say,
    },
    PublishTwice {
        topic: u8,
        other: u8,
        say: Say,
    },
    PublishWith {
        topic: u8,
        say: Say,
    },
    Flood {
        topic: u8,
        say: Say,
        count: u8,
    },
    Subscribe {
        place: u8,
        mode: Mode,
        filter: FilterSpec,
        capacity: u8,
        policy: Policy,
        reaction: u8,
        with: With,
    },
    Unsubscribe {
        sub: u8,
    },
    Forward {
        from: u8,
        to: u8,
    },
    Cancel {
        forward: u8,
    },
    Read {
        sub: u8,
        count: u8,
        poll: bool,
    },
    DropStream {
        sub: u8,
    },
    DropTopic {
        topic: u8,
    },
    PublishSync {
        sub: u8,
        say: Say,
    },
    Join {
        sub: u8,
    },
    Run,
    SetFilter {
        sub: u8,
        filter: FilterSpec,
    },
    /// Its routes are changed, if nothing waits for it.
    Route {
        sub: u8,
        which: u8,
        stands: bool,
    },
    /// The topic is kept in the cache from now on.
    Keep {
        topic: u8,
        only_plain: bool,
    },
    StopKeeping {
        which: u8,
    },
    /// By a call.
    Clear {
        say: Say,
    },
    /// By a message.
    PublishClear {
        topic: u8,
        say: Say,
    },
    Lease {
        which: u8,
        say: Say,
    },
    EndLease {
        which: u8,
        forget: bool,
    },
    HoldState {
        state: u8,
    },
    ReleaseState {
        which: u8,
        say: Say,
        finish: bool,
    },
    PublishState {
        which: u8,
        say: Say,
    },
    PublishByOrigin {
        state: u8,
        say: Say,
    },
    RemoveOrigin {
        state: u8,
        say: Say,
        last: bool,
    },
    DeleteMember {
        member: u8,
    },
    /// What this node says of that object is watched.
    Watch {
        say: Say,
    },
    /// Is there news? If not, it is to be woken when there is.
    Look {
        which: u8,
    },
    Unwatch {
        which: u8,
    },
    /// Time passes, by eighths of the time to live.
    Pass {
        eighths: u8,
    },
}

impl Arbitrary<'_> for Act {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let which = byte(u)?;
        if which >= OF_CACHES {
            return Self::of_caches(u, which);
        }
        Ok(match which % 36 {
            0 => Self::PublishTwice { topic: byte(u)?, other: byte(u)?, say: u.arbitrary()? },
            1 => Self::PublishWith { topic: byte(u)?, say: u.arbitrary()? },
            2 => Self::Flood { topic: byte(u)?, say: u.arbitrary()?, count: byte(u)? },
            3..=6 => Self::Subscribe {
                place: byte(u)?,
                mode: u.arbitrary()?,
                filter: u.arbitrary()?,
                capacity: byte(u)?,
                policy: u.arbitrary()?,
                reaction: byte(u)?,
                with: u.arbitrary()?,
            },
            7 => Self::Unsubscribe { sub: byte(u)? },
            8 => Self::Forward { from: byte(u)?, to: byte(u)? },
            9 => Self::Cancel { forward: byte(u)? },
            10 => Self::Read { sub: byte(u)?, count: byte(u)?, poll: below(u, 2)? == 1 },
            11 => Self::DropStream { sub: byte(u)? },
            12 => Self::DropTopic { topic: byte(u)? },
            13 => Self::PublishSync { sub: byte(u)?, say: u.arbitrary()? },
            14 => Self::Join { sub: byte(u)? },
            15..=16 => Self::Run,
            17 => Self::SetFilter { sub: byte(u)?, filter: u.arbitrary()? },
            18 => Self::Route { sub: byte(u)?, which: byte(u)?, stands: below(u, 2)? == 1 },
            19 => Self::Keep { topic: byte(u)?, only_plain: below(u, 4)? == 3 },
            20 => Self::StopKeeping { which: byte(u)? },
            21 => Self::Clear { say: u.arbitrary()? },
            22 => Self::PublishClear { topic: byte(u)?, say: u.arbitrary()? },
            23 => Self::Lease { which: byte(u)?, say: u.arbitrary()? },
            24 => Self::EndLease { which: byte(u)?, forget: below(u, 4)? == 3 },
            25 => Self::HoldState { state: byte(u)? },
            26 => Self::ReleaseState { which: byte(u)?, say: u.arbitrary()?, finish: below(u, 2)? == 1 },
            27 => Self::PublishState { which: byte(u)?, say: u.arbitrary()? },
            28 => Self::PublishByOrigin { state: byte(u)?, say: u.arbitrary()? },
            29 => Self::RemoveOrigin { state: byte(u)?, say: u.arbitrary()?, last: below(u, 2)? == 1 },
            30 => Self::DeleteMember { member: byte(u)? },
            _ => Self::Publish { topic: byte(u)?, say: u.arbitrary()? },
        })
    }
}

/// From here on the first byte of an act is of those that only concern caches.
const OF_CACHES: u8 = 232;

impl Act {
    fn of_caches(u: &mut Unstructured<'_>, which: u8) -> Result<Self> {
        Ok(match which - OF_CACHES {
            0..=5 => Self::Pass { eighths: below(u, 8)? + 1 },
            6..=13 => Self::Look { which: byte(u)? },
            14..=20 => Self::Watch { say: u.arbitrary()? },
            _ => Self::Unwatch { which: byte(u)? },
        })
    }
}

/// What a message says: its type, the object it speaks of, and for which node (none: for all together).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Say {
    pub(crate) kind: Kind,
    pub(crate) object: u8,
    /// From one on; zero: an aggregate.
    pub(crate) origin: u8,
}

impl Arbitrary<'_> for Say {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let what = byte(u)?;
        let kind = match what % 3 {
            0 => Kind::Plain,
            1 => Kind::Formatted,
            _ => Kind::Declined,
        };
        let origin = [1, 2, 3, 1, 0, 2, 1][usize::from(what / 12 % 7)];
        Ok(Self { kind, object: what / 3 % OBJECTS, origin })
    }
}

/// Which message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Plain,
    /// Has an AMI form.
    Formatted,
    Declined,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Inline,
    Serial,
    Pool,
    Dedicated,
    Stream,
}

impl Arbitrary<'_> for Mode {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok([Self::Inline, Self::Serial, Self::Pool, Self::Dedicated, Self::Stream][usize::from(below(u, 5)?)])
    }
}

/// What else a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Nothing,
    /// It begins with what stands, where something does.
    Snapshot,
    /// It is a router.
    Routes,
}

impl Arbitrary<'_> for With {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok([Self::Nothing, Self::Snapshot, Self::Routes, Self::Nothing][usize::from(below(u, 4)?)])
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FilterSpec {
    pub(crate) plain: bool,
    pub(crate) formatted: bool,
    pub(crate) changes: bool,
    pub(crate) ami: bool,
    pub(crate) updates: bool,
}

impl Arbitrary<'_> for FilterSpec {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let bits = byte(u)?;
        let bit = |at: u8| bits >> at & 1 == 1;
        // Half of them want everything.
        let some = bit(7);
        Ok(Self {
            plain: some && bit(0),
            formatted: some && bit(1),
            changes: some && bit(2),
            ami: some && bit(3),
            updates: some && bit(4),
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Policy {
    Grow(u8),
    DropNewest,
    DropOldest,
    Block,
    Disconnect,
    Conflate,
}

impl Arbitrary<'_> for Policy {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match below(u, 6)? {
            0 => Self::Grow(byte(u)?),
            1 => Self::DropNewest,
            2 => Self::DropOldest,
            3 => Self::Block,
            4 => Self::Disconnect,
            _ => Self::Conflate,
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// Everything is run and unsubscribed, then all handles go.
    Unsubscribe,
    /// `Bus::shutdown`.
    Shutdown,
    /// The handle of the bus is dropped, while things are queued.
    DropBus,
}
