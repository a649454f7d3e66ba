//! The stream once more as manager text, by a handler with a thread of its own.
//!
//! It does not know what it writes: every message type brings its own manager form.

use super::{Running, Terms, WAITING};
use crate::messages::{EVERYTHING, Kinds};
use crate::output::{Sink, Written};
use stasis_bus::{Bus, Dispatch, Error};
use std::sync::mpsc;

/// Subscribes.
pub(crate) fn start(bus: &Bus, mut out: Sink, terms: &Terms) -> Result<Running<Written>, Error> {
    let (done, result) = mpsc::channel();
    let mut saboteur = terms.saboteur();
    let everything = bus.topic(EVERYTHING)?;
    let subscription = Kinds::of(bus)?
        .accept_all(everything.subscription("feed"))
        .dispatch(Dispatch::Dedicated)
        .capacity(WAITING)
        .overflow(terms.overflow())
        .start(move |delivery| {
            if delivery.is_final() {
                let _ = done.send(out.finish());
                return;
            }
            saboteur.strike();
            if let Some(event) = delivery.message().to_ami() {
                out.write(event);
            }
        })?;
    Ok(Running { subscription, result })
}
