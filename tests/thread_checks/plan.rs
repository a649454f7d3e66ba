//! What happens on which thread.

use arbitrary::{Arbitrary, Result, Unstructured};
use stasis_bus::Dispatch;

pub(crate) const TOPICS: u8 = 3;
pub(crate) const OBJECTS: u8 = 4;
/// Of the state manager.
pub(crate) const STATES: u8 = 2;
const SUBS_MAX: u8 = 6;
pub(crate) const THREADS_MAX: u8 = 3;
const STEPS_MAX: usize = 40;

/// One case.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workers: usize,
    pub(crate) forwards: Vec<(u8, u8)>,
    pub(crate) subs: Vec<Sub>,
    /// The first topic is kept in a cache; who listens to its updates.
    pub(crate) cached: Option<Dispatch>,
    pub(crate) threads: Vec<Vec<Step>>,
}

/// By which call something is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Topic,
    Publisher,
    With,
    Async,
    /// A future that is polled once and dropped.
    Dropped,
}

impl From<u8> for How {
    fn from(number: u8) -> Self {
        [Self::Topic, Self::Publisher, Self::With, Self::Async, Self::Dropped][usize::from(number % 5)]
    }
}

impl Plan {
    pub(crate) fn has(&self, which: impl Fn(&Step) -> bool) -> bool {
        self.threads.iter().flatten().any(which)
    }

    /// Whether states of the cache go that others wrote.
    pub(crate) fn clears(&self) -> bool {
        self.has(|step| matches!(step, Step::Clear { .. }))
    }

    /// The topics that a message there comes to.
    pub(crate) fn reaches(&self, from: u8) -> Vec<u8> {
        let mut reached = vec![from];
        for _ in 0..TOPICS {
            let more = self.forwards.iter().filter(|(from, _)| reached.contains(from)).map(|(_, to)| *to);
            reached.extend(more.collect::<Vec<_>>());
        }
        reached
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sub {
    pub(crate) topic: u8,
    pub(crate) mode: Dispatch,
    pub(crate) capacity: usize,
    pub(crate) policy: Policy,
    /// It has no filter.
    pub(crate) open: bool,
    pub(crate) reaction: Reaction,
    /// It does so at every so manieth call.
    pub(crate) every: u64,
}

impl Sub {
    /// Nothing is left out while it stands.
    pub(crate) fn is_lossless(&self) -> bool {
        self.policy.is_lossless(self.mode)
    }
}

impl Policy {
    fn is_lossless(self, mode: Dispatch) -> bool {
        self == Self::Grow || mode == Dispatch::Inline
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Grow,
    GrowLittle,
    Block,
    DropNewest,
    DropOldest,
    Conflate,
    Disconnect,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Reaction {
    Nothing,
    Panic,
    Reply { topic: u8 },
    Unsubscribe { sub: u8 },
    Yield,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Publish {
        topic: u8,
        object: u8,
        how: How,
    },
    Batch {
        topic: u8,
        object: u8,
        count: u8,
        by_publisher: bool,
    },
    /// The same edge once more, and away again.
    Double {
        edge: u8,
    },
    Unsubscribe {
        sub: u8,
    },
    /// A subscription that hears a few messages of this thread, all of them.
    Visit {
        topic: u8,
        mode: Dispatch,
        count: u8,
    },
    /// Until that subscription has handled it.
    Sync {
        sub: u8,
    },
    Yield,
    /// Its filter is another one, which wants notes as well.
    Widen {
        sub: u8,
        how: u8,
    },
    /// A forward that comes and goes, to a topic that only this thread listens to.
    Detour {
        topic: u8,
        mode: Dispatch,
        count: u8,
    },
    /// One whose filter wants no notes for a while.
    Deaf {
        topic: u8,
        mode: Dispatch,
        count: u8,
    },
    /// A router of its own, whose routes change.
    Routes {
        topic: u8,
        mode: Dispatch,
        count: u8,
    },
    /// The router that all share goes another way.
    Reroute {
        how: u8,
    },
    /// By a call, or by a message.
    Clear {
        object: u8,
        by_message: bool,
    },
    /// Of objects that only this thread writes.
    Lease {
        count: u8,
        end: u8,
    },
    /// Who begins with what stands: of the cache, or of the topic that is kept.
    CatchUp {
        whole: bool,
        mode: Dispatch,
        count: u8,
    },
    /// Publishes a state, by a publisher or by an origin.
    State {
        state: u8,
        count: u8,
        by_origin: bool,
    },
    /// Who begins with the last message of a state.
    Observe {
        state: u8,
        mode: Dispatch,
        count: u8,
    },
    /// In the midst of everything.
    Shutdown,
}

fn below(u: &mut Unstructured<'_>, count: u8) -> Result<u8> {
    Ok(u.arbitrary::<u8>()? % count)
}

fn mode(u: &mut Unstructured<'_>) -> Result<Dispatch> {
    let modes = [
        Dispatch::Pool,
        Dispatch::Serial,
        Dispatch::Inline,
        Dispatch::Dedicated,
        Dispatch::Stream,
        Dispatch::Pool,
    ];
    Ok(modes[usize::from(below(u, 6)?)])
}

impl Arbitrary<'_> for Plan {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let workers = usize::from(below(u, 4)?) + 1;
        let forwards = (0..below(u, 5)?).map(|_| Ok((below(u, TOPICS)?, below(u, TOPICS)?)));
        let forwards = forwards.collect::<Result<_>>()?;
        let subs = (0..=below(u, SUBS_MAX)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let cached = if below(u, 2)? == 1 { Some(mode(u)?) } else { None };
        let mut threads = vec![Vec::new(); usize::from(below(u, THREADS_MAX)?) + 1];
        while !u.is_empty() && threads.iter().all(|steps| steps.len() < STEPS_MAX) {
            let thread = usize::from(below(u, THREADS_MAX)?) % threads.len();
            threads[thread].push(u.arbitrary()?);
        }
        Ok(Self { workers, forwards, subs, cached, threads })
    }
}

impl Arbitrary<'_> for Sub {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        use Policy::{Block, Conflate, Disconnect, DropNewest, DropOldest, Grow, GrowLittle};
        let (topic, mode) = (below(u, TOPICS)?, mode(u)?);
        let room = u.arbitrary::<u8>()?;
        let policies = [Grow, Block, DropNewest, DropOldest, GrowLittle, Conflate, Disconnect, Grow];
        let policy = policies[usize::from(below(u, 8)?)];
        // One that misses something would not know whether it was a note. With much room, messages go in straight.
        let open = room / 9 % 2 == 1 && policy.is_lossless(mode);
        let capacity = usize::from(room % 9) + if open { 12 } else { 1 };
        let reaction = match below(u, 8)? {
            0 => Reaction::Panic,
            1..=2 => Reaction::Reply { topic: below(u, TOPICS)? },
            3 => Reaction::Unsubscribe { sub: u.arbitrary()? },
            4 => Reaction::Yield,
            _ => Reaction::Nothing,
        };
        Ok(Self { topic, mode, capacity, policy, open, reaction, every: u64::from(below(u, 5)?) + 1 })
    }
}

impl Arbitrary<'_> for Step {
    /// The lower half of the first byte are the plainer steps.
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let which = u.arbitrary::<u8>()?;
        if which >= 128 {
            return Self::coming_and_going(u, which);
        }
        Ok(match which % 16 {
            0..=1 => {
                let (topic, object, count) = (below(u, TOPICS)?, below(u, OBJECTS)?, u.arbitrary::<u8>()?);
                Self::Batch { topic, object, count: count % 40, by_publisher: count / 40 % 2 == 1 }
            }
            2 => Self::Double { edge: u.arbitrary()? },
            3 => Self::Unsubscribe { sub: u.arbitrary()? },
            4 => Self::Visit { topic: below(u, TOPICS)?, mode: mode(u)?, count: below(u, 6)? },
            5 => Self::Sync { sub: u.arbitrary()? },
            6 => Self::Yield,
            _ => {
                let topic = u.arbitrary::<u8>()?;
                let (topic, how) = (topic % TOPICS, How::from(topic / TOPICS));
                Self::Publish { topic, object: below(u, OBJECTS)?, how }
            }
        })
    }
}

impl Step {
    fn coming_and_going(u: &mut Unstructured<'_>, which: u8) -> Result<Self> {
        let visit =
            |u: &mut Unstructured<'_>| Ok::<_, arbitrary::Error>((below(u, TOPICS)?, mode(u)?, below(u, 6)?));
        Ok(match which % 32 {
            // Seldom: afterwards nothing comes any more.
            _ if which == u8::MAX => Self::Shutdown,
            0..=3 => {
                let (topic, mode, count) = visit(u)?;
                Self::Detour { topic, mode, count }
            }
            4..=6 => {
                let (topic, mode, count) = visit(u)?;
                Self::Deaf { topic, mode, count }
            }
            7..=9 => {
                let (topic, mode, count) = visit(u)?;
                Self::Routes { topic, mode, count }
            }
            10..=12 => Self::Widen { sub: u.arbitrary()?, how: u.arbitrary()? },
            13..=15 => Self::Reroute { how: u.arbitrary()? },
            16..=17 => Self::Clear { object: below(u, OBJECTS)?, by_message: below(u, 2)? == 1 },
            18..=20 => Self::Lease { count: below(u, 5)?, end: u.arbitrary()? },
            21..=24 => Self::CatchUp { whole: below(u, 2)? == 1, mode: mode(u)?, count: below(u, 6)? },
            25..=27 => {
                Self::State { state: below(u, STATES)?, count: below(u, 8)?, by_origin: below(u, 3)? == 2 }
            }
            _ => Self::Observe { state: below(u, STATES)?, mode: mode(u)?, count: below(u, 6)? },
        })
    }
}
