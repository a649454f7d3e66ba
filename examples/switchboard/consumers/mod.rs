//! The consumers: three ordinary subscriptions to everything, each dispatched in another way.
//!
//! | consumer | dispatch | its handler runs on |
//! | --- | --- | --- |
//! | [`cdr`] | `Pool` | the workers of the bus, one call at a time |
//! | [`feed`] | `Dedicated` | a thread of its own |
//! | [`journal`] | `Stream` | (none: an async task reads) |
//!
//! All three must miss nothing and must not fill the memory. So their mailboxes hold [`WAITING`]
//! messages, and a publisher that finds one full waits for room ([`LOSSLESS`]). Only one that the user
//! slows down on purpose loses messages instead: nobody is to wait for that one.

pub(crate) mod cdr;
pub(crate) mod feed;
pub(crate) mod journal;

use crate::options::Fault;
use crate::sabotage::Saboteur;
use crate::stop::Stop;
use stasis_bus::{Overflow, Subscription, SubscriptionStats};
use std::fmt;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// How many messages may wait for a consumer.
pub(crate) const WAITING: usize = 1024;
/// A publisher waits as long as it takes. With a shorter time the message would be dropped after
/// it, and counted as missed.
pub(crate) const LOSSLESS: Overflow = Overflow::Block(Duration::MAX);

/// What a consumer is to do besides its work.
pub(crate) struct Terms {
    fault: Fault,
    /// Nothing more is published.
    over: Stop,
}

/// A consumer at work, which has a result when it is done.
pub(crate) struct Running<R> {
    subscription: Subscription,
    result: Receiver<R>,
}

impl Terms {
    pub(crate) fn new(fault: Fault, over: Stop) -> Self {
        Self { fault, over }
    }

    fn saboteur(&self) -> Saboteur {
        Saboteur::new(self.fault, self.over.clone())
    }

    fn overflow(&self) -> Overflow {
        if self.fault.delays() { Overflow::DropNewest } else { LOSSLESS }
    }
}

impl<R> Running<R> {
    pub(crate) fn new(subscription: Subscription, result: Receiver<R>) -> Self {
        Self { subscription, result }
    }

    /// Ends the subscription. Nothing that was published before is lost: the consumer gets it all,
    /// then a final message, and then it gives its result.
    pub(crate) fn finish(self) -> Result<(SubscriptionStats, R), Gone> {
        self.subscription.unsubscribe();
        let gone = || Gone(self.subscription.name().to_owned());
        let result = self.result.recv().map_err(|_| gone())?;
        self.subscription.join().map_err(|_| gone())?;
        Ok((self.subscription.stats(), result))
    }
}

/// A consumer that ended without a result.
#[derive(Debug)]
pub(crate) struct Gone(String);

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has died; what it made is incomplete", self.0)
    }
}

impl std::error::Error for Gone {}
