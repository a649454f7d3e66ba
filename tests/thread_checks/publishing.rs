//! Every way to publish a note, and what is counted of it.

use super::plan::{How, Plan};
use super::{Note, World};
use stasis_bus::{Message, Publisher, Refusal, Topic};
use std::collections::HashMap;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// A thread with its publishers, which it keeps.
pub(crate) struct Hand {
    pub(crate) me: u32,
    publishers: HashMap<u8, Publisher>,
}

/// How many notes were published in one place.
#[derive(Debug, Default)]
pub(crate) struct Count {
    all: AtomicU64,
    /// Those whose publish had returned before the bus was asked to end.
    early: AtomicU64,
}

impl Count {
    pub(crate) fn add(&self, notes: u64, is_over: bool) {
        self.all.fetch_add(notes, Ordering::Relaxed);
        self.early.fetch_add(if is_over { 0 } else { notes }, Ordering::Relaxed);
    }

    pub(crate) fn range(&self) -> RangeInclusive<u64> {
        self.early.load(Ordering::Relaxed)..=self.all.load(Ordering::Relaxed)
    }
}

/// Wakes a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let (mut future, waker) = (pin!(future), Waker::from(Arc::new(Unpark(thread::current()))));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

impl Hand {
    pub(crate) fn new(me: u32) -> Self {
        Self { me, publishers: HashMap::new() }
    }

    fn publisher(&mut self, number: u8, topic: &Topic) -> &mut Publisher {
        self.publishers.entry(number).or_insert_with(|| topic.publisher())
    }
}

/// A note that was handed to the bus.
pub(crate) struct Said {
    /// Its number.
    pub(crate) n: u32,
    /// False: the bus is over, or nobody wanted it to be made.
    pub(crate) is_published: bool,
    /// None: it was made by the call.
    pub(crate) message: Option<Message>,
}

impl World {
    pub(super) fn publish(&self, hand: &mut Hand, topic: u8, object: &str, how: How) -> Said {
        let n = self.next_number(hand.me);
        if how == How::With {
            return Said { n, is_published: self.publish_with(hand, topic, object), message: None };
        }
        let message = self.note(hand.me, topic, object);
        let is_published = self.give(hand, topic, &message, how);
        self.count(topic, is_published.into());
        Said { n, is_published, message: Some(message) }
    }

    /// Some, each by another call. Returns their numbers, but for those that were refused.
    pub(super) fn publish_some(&self, hand: &mut Hand, topic: u8, object: &str, count: u8) -> Vec<u32> {
        let said = (0..count).map(|turn| self.publish(hand, topic, object, How::from(turn)));
        said.filter(|said| said.is_published).map(|said| said.n).collect()
    }

    fn give(&self, hand: &mut Hand, number: u8, message: &Message, how: How) -> bool {
        let (topic, message) = (self.topic(number), message.clone());
        let report = match how {
            How::Publisher => hand.publisher(number, topic).publish(message),
            How::Async => block_on(topic.publish_async(message)),
            How::Dropped => {
                let future = pin!(topic.publish_async(message));
                match future.poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(report) => report,
                    Poll::Pending => return true,
                }
            }
            How::Topic | How::With => topic.publish(message),
        };
        self.is_published(report.refusal)
    }

    /// What is published is refused by nobody but the end.
    pub(super) fn is_published(&self, refusal: Option<Refusal>) -> bool {
        let fine = refusal.is_none() || (refusal == Some(Refusal::Closed) && self.is_over());
        assert!(fine, "{refusal:?}");
        refusal.is_none()
    }

    /// The note is made only if somebody wants it.
    fn publish_with(&self, hand: &mut Hand, number: u8, object: &str) -> bool {
        let (mut made, me) = (false, hand.me);
        let value = || {
            made = true;
            self.value(me, number, object)
        };
        let report = hand.publisher(number, self.topic(number)).publish_with(&self.kind, value);
        let is_published = self.is_published(report.refusal) && made;
        self.count(number, is_published.into());
        is_published
    }

    pub(super) fn publish_batch(
        &self,
        hand: &mut Hand,
        number: u8,
        object: u8,
        count: u8,
        by_publisher: bool,
    ) {
        let object = format!("o{object}");
        let messages = (0..count).map(|_| self.note(hand.me, number, &object)).collect();
        let topic = self.topic(number);
        let report = match by_publisher {
            true => hand.publisher(number, topic).publish_batch(messages),
            false => topic.publish_batch(messages),
        };
        let due = if self.is_published(report.refusal) { u64::from(count) } else { 0 };
        assert_eq!(report.messages, due, "{report:?}");
        self.count(number, due);
    }

    /// So many were published on that topic.
    pub(super) fn count(&self, topic: u8, notes: u64) {
        self.published[usize::from(topic)].add(notes, self.is_over());
    }

    /// The cache shows what was published, or what somebody published later.
    pub(super) fn reads_its_own(&self, message: &Message, topic: u8, plan: &Plan) {
        let Some(cache) = self.cache.as_ref().filter(|_| plan.reaches(topic).contains(&0)) else { return };
        let Some(note) = self.kind.read(message) else { return };
        let shown = cache.get(&self.kind, &note.object);
        let shown = shown.as_ref().and_then(|shown| Note::read(&self.kind, shown));
        let stands = match shown {
            Some(shown) => shown.by != note.by || shown.n >= note.n,
            None => plan.clears(),
        };
        assert!(stands, "{shown:?} after {note:?}");
    }
}
