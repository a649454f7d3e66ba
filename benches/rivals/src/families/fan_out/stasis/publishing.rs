//! The publishers' side: through the topic or a `Publisher`, one by one or in batches.

use super::Run;
use crate::families::fan_out::credits::{Allowance, Credits};
use crate::families::fan_out::load::{BATCH, Payload};
use crate::families::fan_out::race::{Note, Race};
use stasis_bus::{BatchReport, Message, MessageType, Publisher, Report, Topic};
use std::sync::Arc;

#[derive(Clone, Copy)]
pub enum How {
    /// All of them the same topic.
    Topic,
    /// Each a handle of its own.
    Publisher,
}

type Publish = Box<dyn FnMut(u64) + Send>;

/// One for each publishing thread.
pub fn publishers(run: &Run<'_>, how: How) -> Vec<Publish> {
    (0..run.race.load.publishers).map(|_| publisher(run, how)).collect()
}

fn publisher(run: &Run<'_>, how: How) -> Publish {
    let (check, messages) = (Check(run.race.clone()), messages(run));
    let allowance = run.credits.as_ref().map(Credits::allowance);
    match (how, run.race.load.batches) {
        (How::Topic, false) => one_by_one(run.topic.clone(), messages, allowance, check),
        (How::Publisher, false) => one_by_one(run.topic.publisher(), messages, allowance, check),
        (How::Topic, true) => in_batches(run.topic.clone(), messages, check),
        (How::Publisher, true) => in_batches(run.topic.publisher(), messages, check),
    }
}

/// Makes one publisher's messages.
struct Messages {
    note: MessageType<Note>,
    /// Published again and again.
    same: Option<Message>,
}

impl Messages {
    #[inline]
    fn next(&self, number: u64) -> Message {
        match &self.same {
            Some(same) => same.clone(),
            None => self.note.message(Note::new(number)),
        }
    }
}

fn messages(run: &Run<'_>) -> Messages {
    let same = (run.race.load.payload == Payload::Same).then(|| run.note.message(Note::new(0)));
    Messages { note: run.note.clone(), same }
}

/// Every message must have been taken by everybody.
struct Check(Arc<Race>);

impl Check {
    #[inline]
    fn one(&self, report: Report) {
        if report.accepted as usize != self.0.load.subscribers {
            self.0.fail(format!("{report:?}"));
        }
    }

    fn batch(&self, report: BatchReport) {
        if report.accepted as usize != self.0.load.subscribers * BATCH {
            self.0.fail(format!("{report:?}"));
        }
    }
}

/// The two things that publish.
trait Publishes: Send + 'static {
    fn publish(&mut self, message: Message) -> Report;
    fn publish_batch(&mut self, messages: Vec<Message>) -> BatchReport;
}

impl Publishes for Topic {
    #[inline]
    fn publish(&mut self, message: Message) -> Report {
        Topic::publish(self, message)
    }

    fn publish_batch(&mut self, messages: Vec<Message>) -> BatchReport {
        Topic::publish_batch(self, messages)
    }
}

impl Publishes for Publisher {
    #[inline]
    fn publish(&mut self, message: Message) -> Report {
        Publisher::publish(self, message)
    }

    fn publish_batch(&mut self, messages: Vec<Message>) -> BatchReport {
        Publisher::publish_batch(self, messages)
    }
}

fn one_by_one(
    mut by: impl Publishes,
    messages: Messages,
    mut allowance: Option<Allowance>,
    check: Check,
) -> Publish {
    Box::new(move |number| {
        allowance.as_mut().map(Allowance::spend);
        check.one(by.publish(messages.next(number)));
    })
}

fn in_batches(mut by: impl Publishes, messages: Messages, check: Check) -> Publish {
    let mut batch = Vec::with_capacity(BATCH);
    Box::new(move |number| {
        batch.push(messages.next(number));
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            check.batch(by.publish_batch(full));
        }
    })
}
