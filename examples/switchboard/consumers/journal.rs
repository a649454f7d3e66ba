//! One JSON object per line, by an async task.
//!
//! The stream works with every runtime; here the smallest one will do, a thread that blocks on it.

use super::{LOSSLESS, Running, WAITING};
use crate::messages::{EVERYTHING, Kinds};
use crate::output::{Sink, Written};
use futures_lite::StreamExt;
use stasis_bus::{Bus, Stream};
use std::sync::mpsc;
use std::thread;

/// Subscribes, and starts the task.
pub(crate) fn start(bus: &Bus, out: Sink) -> Result<Running<Written>, Box<dyn std::error::Error>> {
    let (done, result) = mpsc::channel();
    let everything = bus.topic(EVERYTHING)?;
    let messages = Kinds::of(bus)?
        .accept_all(everything.subscription("journal"))
        .capacity(WAITING)
        .overflow(LOSSLESS)
        .stream()?;
    // Whoever reads the stream owns it; others end it by a handle.
    let subscription = messages.handle();
    thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let written = futures_lite::future::block_on(write(messages, out));
        let _ = done.send(written);
    })?;
    Ok(Running { subscription, result })
}

async fn write(mut messages: Stream, mut out: Sink) -> Written {
    while let Some(received) = messages.next().await {
        if received.is_final() {
            break;
        }
        if let Some(json) = received.message().to_json() {
            out.write(format_args!("{json}\n"));
        }
    }
    out.finish()
}
