//! Call records, by a handler on the bus's workers.
//!
//! The workers run one call of a handler at a time, so it may keep its state in plain variables.

use super::{Running, Terms, WAITING};
use crate::cdr::row::Row;
use crate::cdr::{Cdr, csv};
use crate::messages::{EVERYTHING, Kinds};
use crate::origins::Origins;
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
///
/// `sides`: the switches if several are heard at once. Each has calls of its own then; otherwise a call that one recording
/// leaves unfinished may end in the next.
pub(crate) fn start(
    bus: &Bus,
    out: Sink,
    judge: Judge,
    sides: Option<Origins>,
    terms: &Terms,
) -> Result<Running<Records>, Error> {
    let kinds = Kinds::of(bus)?;
    let (done, result) = mpsc::channel();
    let mut saboteur = terms.saboteur();
    let mut recorder = Recorder::new(kinds.clone(), out, judge, sides);
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
    sides: Option<Origins>,
    /// One for each side.
    cdrs: Vec<Cdr>,
    out: Sink,
    judge: Judge,
    handled: u64,
    open_channels: usize,
    open_rows: usize,
}

impl Recorder {
    fn new(kinds: Kinds, out: Sink, judge: Judge, sides: Option<Origins>) -> Self {
        let cdrs = (0..sides.as_ref().map_or(1, Origins::len)).map(|_| Cdr::new()).collect();
        Self { kinds, sides, cdrs, out, judge, handled: 0, open_channels: 0, open_rows: 0 }
    }

    fn take(&mut self, message: &Message) {
        let side = self.sides.as_ref().and_then(|sides| sides.index(message.origin()));
        let rows = self.apply(message, side.unwrap_or(0));
        for row in &rows {
            let mut line = String::new();
            csv::write(&mut line, row);
            self.out.write(line);
        }
        self.judge.add(side, rows);
        self.handled += 1;
    }

    /// A type reads the messages that it made, and no others.
    fn apply(&mut self, message: &Message, side: usize) -> Vec<Row> {
        let (kinds, cdr) = (&self.kinds, &mut self.cdrs[side]);
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
        for cdr in &mut self.cdrs {
            self.open_channels += cdr.open_channels();
            self.open_rows += std::mem::take(cdr).finish().len();
        }
    }

    fn finish(&mut self) -> Records {
        self.forget();
        let (verdicts, rows) = self.judge.finish();
        let (handled, open_channels, open_rows) = (self.handled, self.open_channels, self.open_rows);
        Records { written: self.out.finish(), handled, verdicts, rows, open_channels, open_rows }
    }
}
