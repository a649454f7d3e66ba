//! How one subscription is to be.

use crate::dice::Dice;
use crate::temper::Temper;
use crate::yard::Yard;
use stasis_bus::{Dispatch, Grow, OnPanic, Overflow, SubscriptionBuilder};

const MODES: [Dispatch; 5] =
    [Dispatch::Pool, Dispatch::Serial, Dispatch::Inline, Dispatch::Dedicated, Dispatch::Stream];
const POLICIES: [Policy; 6] = [
    Policy::Grow,
    Policy::Block,
    Policy::DropOldest,
    Policy::DropNewest,
    Policy::Disconnect,
    Policy::Conflate,
];
const CAPACITIES: [usize; 4] = [1, 16, 256, 1_024];
/// Handlers that block for seconds must not fill the memory.
const GROW: Grow = Grow::limit(20_000);

/// What happens when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Grow,
    Block,
    DropOldest,
    DropNewest,
    Disconnect,
    Conflate,
}

/// How its messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Each,
    Batch,
    /// Read by a thread, by a task, and dropped with what is queued.
    Recv,
    Poll,
    Abandon,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) mode: Dispatch,
    pub(crate) policy: Policy,
    pub(crate) capacity: usize,
    pub(crate) form: Form,
    pub(crate) temper: Temper,
    /// A panic ends it.
    pub(crate) is_fragile: bool,
    /// After so many messages it goes.
    pub(crate) stay: u64,
}

impl Terms {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mode = dice.pick(&MODES);
        let forms: &[Form] = match mode {
            Dispatch::Inline => &[Form::Each],
            Dispatch::Stream => &[Form::Recv, Form::Poll, Form::Abandon],
            _ => &[Form::Each, Form::Batch],
        };
        let (policy, capacity) = (dice.pick(&POLICIES), dice.pick(&CAPACITIES));
        // Who makes publishers wait for every few messages does not do so for long.
        let is_brake = policy == Policy::Block && capacity < 256;
        Self {
            mode,
            policy,
            capacity,
            form: dice.pick(forms),
            temper: Temper::draw(dice, mode),
            is_fragile: dice.one_in(8),
            stay: 100 + dice.below(if is_brake { 500 } else { 50_000 }),
        }
    }

    /// Whether every message must come.
    pub(crate) fn is_lossless(&self) -> bool {
        self.mode == Dispatch::Inline || self.policy == Policy::Block
    }

    fn overflow(&self, yard: &Yard) -> Overflow {
        match self.policy {
            Policy::Grow => Overflow::Grow(GROW),
            Policy::Block => Overflow::block_forever(),
            Policy::DropOldest => Overflow::DropOldest,
            Policy::DropNewest => Overflow::DropNewest,
            Policy::Disconnect => Overflow::Disconnect,
            Policy::Conflate => {
                let kind = yard.kind.clone();
                Overflow::conflate(move |message| {
                    kind.read(message).map(|stamp| (stamp.publisher as u64).into())
                })
            }
        }
    }

    pub(crate) fn builder<'a>(&self, yard: &'a Yard) -> SubscriptionBuilder<'a> {
        let on_panic = if self.is_fragile { OnPanic::Disconnect } else { OnPanic::Continue };
        yard.all
            .subscription("tenant")
            .accept(&yard.kind)
            .accept(&yard.echo)
            .dispatch(self.mode)
            .overflow(self.overflow(yard))
            .capacity(self.capacity)
            .on_panic(on_panic)
    }
}
