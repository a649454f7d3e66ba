//! Call records, by a handler on the bus's workers.
//!
//! The workers run one call of a handler at a time, so it may keep its state in plain variables.

use super::{LOSSLESS, Running, WAITING};
use crate::cdr::row::Row;
use crate::cdr::{Cdr, csv};
use crate::messages::{EVERYTHING, Kinds};
use crate::output::{Sink, Written};
use stasis_bus::{Bus, Dispatch, Error, Message};
use std::sync::mpsc;

/// What the consumer has made.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) written: Written,
    /// All rows, if somebody wants to compare them.
    pub(crate) rows: Vec<Row>,
    /// Channels that never hung up, and their rows: Asterisk has not written these either.
    pub(crate) open_channels: usize,
    pub(crate) open_rows: usize,
}

/// Subscribes. Only with `keep` are the rows kept: a stream without end has rows without end.
pub(crate) fn start(bus: &Bus, out: Sink, keep: bool) -> Result<Running<Records>, Error> {
    let kinds = Kinds::of(bus)?;
    let (done, result) = mpsc::channel();
    let mut recorder = Recorder { kinds: kinds.clone(), cdr: Cdr::new(), out, keep, rows: Vec::new() };
    let subscription = bus
        .topic(EVERYTHING)?
        .subscription("cdr")
        // What it does not accept is not even queued.
        .accept(&kinds.channel)
        .accept(&kinds.dial)
        .accept(&kinds.bridge)
        .accept(&kinds.local)
        .accept(&kinds.transfer)
        .accept(&kinds.park)
        .dispatch(Dispatch::Pool)
        .capacity(WAITING)
        .overflow(LOSSLESS)
        .start(move |delivery| {
            recorder.take(delivery.message());
            if delivery.is_final() {
                let _ = done.send(recorder.finish());
            }
        })?;
    Ok(Running { subscription, result })
}

struct Recorder {
    kinds: Kinds,
    cdr: Cdr,
    out: Sink,
    keep: bool,
    rows: Vec<Row>,
}

impl Recorder {
    fn take(&mut self, message: &Message) {
        let rows = self.apply(message);
        for row in &rows {
            let mut line = String::new();
            csv::write(&mut line, row);
            self.out.write(line);
        }
        if self.keep {
            self.rows.extend(rows);
        }
    }

    /// A type reads the messages that it made, and no others.
    fn apply(&mut self, message: &Message) -> Vec<Row> {
        let (kinds, cdr) = (&self.kinds, &mut self.cdr);
        if let Some(event) = kinds.channel.read(message) {
            return cdr.channel(event);
        } else if let Some(event) = kinds.dial.read(message) {
            cdr.dial(event);
        } else if let Some(event) = kinds.bridge.read(message) {
            cdr.bridge(event);
        } else if let Some(event) = kinds.local.read(message) {
            cdr.local(event);
        } else if let Some(event) = kinds.transfer.read(message) {
            cdr.transfer(event);
        } else if let Some(event) = kinds.park.read(message) {
            cdr.park(event);
        }
        Vec::new()
    }

    fn finish(&mut self) -> Records {
        let open_channels = self.cdr.open_channels();
        let open_rows = self.cdr.finish().len();
        Records { written: self.out.finish(), rows: std::mem::take(&mut self.rows), open_channels, open_rows }
    }
}
