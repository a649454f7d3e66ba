//! Call records, by a handler on the bus's workers.
//!
//! The workers run one call of a handler at a time, so it may keep its state in plain variables.

use super::{Running, Terms, WAITING};
use crate::cdr::row::Row;
use crate::cdr::{Cdr, csv};
use crate::messages::{EVERYTHING, Kinds};
use crate::output::{Sink, Written};
use crate::rounds::PartBegins;
use crate::verdict::{Judge, Verdicts};
use stasis_bus::{Bus, Dispatch, Error, Message};
use std::sync::mpsc;

/// What the consumer has made.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) written: Written,
    /// Messages that it has handled.
    pub(crate) handled: u64,
    pub(crate) verdicts: Verdicts,
    /// All rows of the last recording, if there is something to compare them with.
    #[cfg_attr(not(test), expect(dead_code))]
    pub(crate) rows: Vec<Row>,
    /// Channels that never hung up, and their rows: Asterisk has not written these either.
    pub(crate) open_channels: usize,
    pub(crate) open_rows: usize,
}

/// Subscribes.
pub(crate) fn start(bus: &Bus, out: Sink, judge: Judge, terms: &Terms) -> Result<Running<Records>, Error> {
    let kinds = Kinds::of(bus)?;
    let (done, result) = mpsc::channel();
    let mut saboteur = terms.saboteur();
    let mut recorder = Recorder::new(kinds.clone(), out, judge);
    let everything = bus.topic(EVERYTHING)?;
    // What it does not accept is not even queued.
    let subscription = kinds
        .accept_calls(everything.subscription("cdr"))
        .dispatch(Dispatch::Pool)
        .capacity(WAITING)
        .overflow(terms.overflow())
        .start(move |delivery| {
            if delivery.is_final() {
                let _ = done.send(recorder.finish());
                return;
            }
            saboteur.strike();
            recorder.take(delivery.message());
        })?;
    Ok(Running { subscription, result })
}

struct Recorder {
    kinds: Kinds,
    cdr: Cdr,
    out: Sink,
    judge: Judge,
    handled: u64,
    open_channels: usize,
    open_rows: usize,
}

impl Recorder {
    fn new(kinds: Kinds, out: Sink, judge: Judge) -> Self {
        Self { kinds, cdr: Cdr::new(), out, judge, handled: 0, open_channels: 0, open_rows: 0 }
    }

    fn take(&mut self, message: &Message) {
        let rows = self.apply(message);
        for row in &rows {
            let mut line = String::new();
            csv::write(&mut line, row);
            self.out.write(line);
        }
        self.judge.add(rows);
        self.handled += 1;
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
        } else if let Some(part) = kinds.part.read(message) {
            self.begin(&part.clone());
        }
        Vec::new()
    }

    fn begin(&mut self, part: &PartBegins) {
        if part.recording == 0 {
            self.forget();
        }
        self.judge.begin(part);
    }

    /// Nobody hangs up any more.
    fn forget(&mut self) {
        self.open_channels += self.cdr.open_channels();
        self.open_rows += std::mem::take(&mut self.cdr).finish().len();
    }

    fn finish(&mut self) -> Records {
        self.forget();
        let (verdicts, rows) = self.judge.finish();
        let (handled, open_channels, open_rows) = (self.handled, self.open_channels, self.open_rows);
        Records { written: self.out.finish(), handled, verdicts, rows, open_channels, open_rows }
    }
}
