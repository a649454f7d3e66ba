//! The stream once more as manager text, by a handler with a thread of its own.
//!
//! It does not know what it writes: every message type brings its own manager form.

use super::{LOSSLESS, Running, WAITING};
use crate::messages::{EVERYTHING, Kinds};
use crate::output::{Sink, Written};
use stasis_bus::{Bus, Dispatch, Error};
use std::sync::mpsc;

/// Subscribes.
pub(crate) fn start(bus: &Bus, mut out: Sink) -> Result<Running<Written>, Error> {
    let (done, result) = mpsc::channel();
    let everything = bus.topic(EVERYTHING)?;
    let subscription = Kinds::of(bus)?
        .accept_all(everything.subscription("feed"))
        .dispatch(Dispatch::Dedicated)
        .capacity(WAITING)
        .overflow(LOSSLESS)
        .start(move |delivery| {
            if delivery.is_final() {
                let _ = done.send(out.finish());
            } else if let Some(event) = delivery.message().to_ami() {
                out.write(event);
            }
        })?;
    Ok(Running { subscription, result })
}
