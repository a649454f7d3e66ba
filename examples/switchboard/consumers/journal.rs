//! One JSON object per line, by an async task.
//!
//! The stream works with every runtime; here the smallest one will do, a thread that blocks on it.

use super::{Running, Terms, WAITING};
use crate::messages::{EVERYTHING, Kinds};
use crate::output::{Sink, Written};
use crate::sabotage::Saboteur;
use futures_lite::StreamExt;
use stasis_bus::{Bus, Message, Stream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

/// What the task has made.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) written: Written,
    pub(crate) panics: u64,
}

/// Subscribes, and starts the task.
pub(crate) fn start(
    bus: &Bus,
    out: Sink,
    terms: &Terms,
) -> Result<Running<Noted>, Box<dyn std::error::Error>> {
    let (done, result) = mpsc::channel();
    let saboteur = terms.saboteur();
    let everything = bus.topic(EVERYTHING)?;
    let messages = Kinds::of(bus)?
        .accept_all(everything.subscription("journal"))
        .capacity(WAITING)
        .overflow(terms.overflow())
        .stream()?;
    // Whoever reads the stream owns it; others end it by a handle.
    let subscription = messages.handle();
    thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let noted = futures_lite::future::block_on(write(messages, out, saboteur));
        let _ = done.send(noted);
    })?;
    Ok(Running { subscription, result })
}

async fn write(mut messages: Stream, mut out: Sink, mut saboteur: Saboteur) -> Noted {
    let mut panics = 0;
    while let Some(received) = messages.next().await {
        if received.is_final() {
            break;
        }
        // A handler's panics are caught by the bus, a task's are its own affair. This one goes on: what
        // panics on purpose has touched nothing.
        let result = catch_unwind(AssertUnwindSafe(|| {
            saboteur.strike();
            add(&mut out, received.message());
        }));
        panics += u64::from(result.is_err());
    }
    Noted { written: out.finish(), panics }
}

fn add(out: &mut Sink, message: &Message) {
    if let Some(json) = message.to_json() {
        out.write(format_args!("{json}\n"));
    }
}
