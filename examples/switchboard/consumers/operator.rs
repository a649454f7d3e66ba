//! What the board shows of the calls, by a handler on the bus's workers.
//!
//! It is there only if the board is. Handler and board share what is known of the calls; the board
//! looks at it five times a second, so the lock is nearly always free.

use super::{LOSSLESS, WAITING};
use crate::board::frame;
use crate::calls::Calls;
use crate::messages::{EVERYTHING, Kinds};
use crate::rounds::PartBegins;
use stasis_bus::{Bus, Dispatch, Error, Message};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All copies show the same calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operator(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    calls: Calls,
    part: PartBegins,
}

impl Operator {
    /// Subscribes for the life of the bus.
    pub(crate) fn start(bus: &Bus) -> Result<Self, Error> {
        let (operator, kinds) = (Self::default(), Kinds::of(bus)?);
        let (calls, everything) = (operator.clone(), bus.topic(EVERYTHING)?);
        let subscription = kinds
            .accept_calls(everything.subscription("operator"))
            .dispatch(Dispatch::Pool)
            .capacity(WAITING)
            .overflow(LOSSLESS)
            .start(move |delivery| calls.known().take(&kinds, delivery.message()))?;
        subscription.detach();
        Ok(operator)
    }

    /// The round, and the calls in it.
    pub(crate) fn look(&self) -> (u32, frame::Calls) {
        let Known { calls, part } = &*self.known();
        let (count, lines) = (calls.count(), calls.lines());
        (part.round.number, frame::Calls { count, lines, totals: calls.totals, now: calls.now })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn take(&mut self, kinds: &Kinds, message: &Message) {
        let calls = &mut self.calls;
        if let Some(event) = kinds.channel.read(message) {
            calls.channel(event);
        } else if let Some(event) = kinds.dial.read(message) {
            calls.dial(event);
        } else if let Some(event) = kinds.bridge.read(message) {
            calls.bridge(event);
        } else if let Some(event) = kinds.local.read(message) {
            calls.local(event);
        } else if let Some(event) = kinds.transfer.read(message) {
            calls.transfer(event);
        } else if let Some(event) = kinds.park.read(message) {
            calls.park(event);
        } else if let Some(part) = kinds.part.read(message) {
            self.begin(part);
        }
    }

    fn begin(&mut self, part: &PartBegins) {
        if part.round != self.part.round {
            self.calls.forget();
        }
        self.part = part.clone();
    }
}
