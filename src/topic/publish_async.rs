//! A publish whose caller awaits room instead of being held up.
//!
//! The first poll is the publish: every mailbox that has room, or never waits, has its message when it returns, and
//! Serial subscriptions found idle have been run. What is left are full mailboxes with `Block`; each later poll offers the
//! message to those that are still full, and leaves its waker with them (the protocol is in `mailbox::room`). When the
//! last one has it, inline handlers are called, so that what they publish comes after their cause for every mailbox.
//!
//! No turn, lock, gate or guard is held from one poll to the next: only memory.

use super::collect::{Reached, collect_owned};
use super::errands::Errands;
use super::subscribers::Route;
use super::walk::{Fanout, Walk};
use super::{Report, Topic};
use crate::dispatch::frames;
use crate::mailbox::{Mailbox, Offer, Overflow, Patience};
use crate::message::{Event, Message};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A publish that awaits room: a future of its [`Report`]. Made by [`Topic::publish_async`].
///
/// # Cancel safety
///
/// Dropped before its first poll, it publishes nothing. Dropped while it waits, the message stays where it is already;
/// for the mailboxes that are still full it counts as lost ([`Lost::timed_out`](crate::Lost::timed_out)), their
/// subscriptions are told as usual, and inline handlers are called, by the dropping thread.
#[must_use = "nothing is published before it is polled"]
pub struct PublishAsync {
    topic: Topic,
    state: State,
}

enum State {
    New(Message),
    Waiting(Box<Waiting>),
    Over,
}

/// What is left after the first poll.
struct Waiting {
    /// By which mailboxes know the task.
    number: u64,
    rest: Rest,
    /// For the inline handlers, at the end. Held by the topic above, and by one another.
    reached: Vec<Reached>,
}

impl Topic {
    /// Publishes `message` from async code: awaits room in full [`Block`](crate::Overflow::Block) mailboxes instead of
    /// holding its thread up.
    ///
    /// Nothing happens before the first poll. That is the publish: everybody who never waits has the message when it
    /// returns, and usually it is the last. While a mailbox with `Block` is full, the future is pending; it is woken when
    /// its consumer has made room, or when the subscription or the bus ends (then the report says `closed` for it). There
    /// is no deadline: whoever wants one drops the future. Inline handlers are called when the last mailbox has the
    /// message, by the thread that polls.
    ///
    /// It needs no runtime: any executor's waker will do. Any number of tasks and threads may wait for one mailbox; each
    /// news wakes all of them, and those that find no room wait on. Polled inside a handler, or in manual mode, it does
    /// not wait: a full mailbox takes the message beyond its capacity, as it does with [`publish`](Self::publish).
    ///
    /// If it was ready before another publish began, every subscription that gets both messages gets this one first.
    ///
    /// ```
    /// use stasis_bus::{Bus, Overflow};
    /// let bus = Bus::builder().build()?;
    /// let (level, topic) = (bus.message_type::<u32>("level")?, bus.topic("levels")?);
    /// let _slow = topic.subscription("slow").capacity(1).overflow(Overflow::block()).start(|_| {})?;
    /// futures_lite::future::block_on(async {
    ///     for value in 0..10 {
    ///         assert!(topic.publish_async(level.message(value)).await.reached());
    ///     }
    /// });
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn publish_async(&self, message: Message) -> PublishAsync {
        PublishAsync { topic: self.clone(), state: State::New(message) }
    }
}

impl Future for PublishAsync {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Report> {
        let Self { topic, state } = &mut *self;
        if let State::New(_) = state {
            let State::New(message) = std::mem::replace(state, State::Over) else {
                unreachable!("seen above")
            };
            match begin(topic, message) {
                Ok(report) => return Poll::Ready(report),
                Err(waiting) => *state = State::Waiting(waiting),
            }
        }
        let State::Waiting(waiting) = state else { panic!("polled after it was ready") };
        // In place: a waker that panics when it is cloned leaves everything as it was.
        waiting.offer(topic, context.waker());
        if !waiting.rest.full.is_empty() {
            return Poll::Pending;
        }
        match std::mem::replace(state, State::Over) {
            State::Waiting(waiting) => Poll::Ready(waiting.finish(topic)),
            State::New(_) | State::Over => unreachable!("seen above"),
        }
    }
}

fn begin(topic: &Topic, message: Message) -> Result<Report, Box<Waiting>> {
    let walk = Walk::from(&topic.0);
    if let Some(refusal) = walk.refusal(&message) {
        return Ok(walk.refuse(refusal));
    }
    walk.numbered(topic.0.published.fetch_add(1, Ordering::Relaxed));
    let reached = collect_owned(&topic.0, 1);
    walk.deliver_at_once(&reached, message)
        .map_err(|rest| Box::new(Waiting { number: crate::ids::next(), rest, reached }))
}

impl Waiting {
    /// Offers the message to those that were full, and leaves the waker with those that still are.
    fn offer(&mut self, topic: &Topic, waker: &Waker) {
        let mut errands = Errands::default();
        let word = self.rest.message.share();
        let mut at = 0;
        while let Some(mailbox) = self.rest.full.get(at) {
            let polled = match frames::depth() {
                0 => mailbox.poll_offer(word, self.number, waker),
                _ => {
                    mailbox.forget_task(self.number);
                    Poll::Ready(mailbox.offer_patiently(word, &mut Patience::none(), || {}))
                }
            };
            let Poll::Ready(offer) = polled else {
                at += 1;
                continue;
            };
            let mailbox = self.rest.full.remove(at);
            self.note(&mailbox, offer, &mut errands);
            // At once: the next waker may panic when it is cloned.
            errands.flush(&topic.0.exchange);
        }
        errands.turns.run_serial();
    }

    fn note(&mut self, mailbox: &Arc<Mailbox>, offer: Offer, errands: &mut Errands) {
        if errands.note(mailbox, offer, &mut self.rest.report) {
            self.rest.unshared -= 1;
        }
    }

    /// Every mailbox has the message, or will not get it.
    fn finish(mut self, topic: &Topic) -> Report {
        let walk = Walk::from(&topic.0);
        if self.has_inline() && walk.may_nest() {
            let inline = walk.call_handlers(&self.reached, &self.rest.message);
            self.rest.report.accepted += inline.accepted;
            self.rest.report.filtered += inline.filtered;
        }
        if !self.rest.report.reached() {
            walk.count_unrouted(1);
            self.rest.message.kind().count(Event::Unused);
        }
        self.rest.report
    }

    fn has_inline(&self) -> bool {
        self.reached.iter().any(|reached| !reached.list.inline().is_empty())
    }

    /// The caller waits no more.
    fn give_up(&mut self) {
        for mailbox in std::mem::take(&mut self.rest.full) {
            mailbox.forget_task(self.number);
            self.note(&mailbox, mailbox.give_up_offer(), &mut Errands::default());
        }
    }
}

/// What is left of a publish that some mailboxes have no room for.
struct Rest {
    message: ManuallyDrop<Message>,
    /// References that are ours: one for each full mailbox, and those that nobody took.
    unshared: usize,
    report: Report,
    full: Vec<Arc<Mailbox>>,
}

impl Walk<'_> {
    /// Hands `message` to everybody without waiting. Where somebody has to wait, Serial mailboxes are run, inline handlers are not called,
    /// and the rest is the caller's.
    fn deliver_at_once(&self, reached: &[Reached], message: Message) -> Result<Report, Rest> {
        // Its reference is the walk's.
        let message = ManuallyDrop::new(message);
        let mut delivery = Fanout::new(self, &message, 1);
        delivery.count(reached);
        if delivery.has_taps {
            delivery.tap(reached);
        }
        for reached in reached {
            delivery.offer_all(reached.list.prompt(), None);
        }
        let mut full = Vec::new();
        for reached in reached {
            match self.may_wait() {
                true => delivery.offer_at_once(reached.list.waiting(), &mut full),
                false => delivery.offer_all(reached.list.waiting(), Some(&mut Patience::none())),
            }
        }
        delivery.errands.flush(&self.topic.exchange);
        if delivery.errands.has_more() {
            delivery.errands.settle(&self.topic.exchange);
        }
        if !full.is_empty() {
            return Err(delivery.stop(full));
        }
        if delivery.has_inline && self.may_nest() {
            delivery.call_inline(reached);
        }
        Ok(delivery.finish())
    }
}

impl Fanout<'_> {
    /// To mailboxes that ask for a key, and to those with `Block` that have room; the others are noted.
    fn offer_at_once(&mut self, routes: &[Route], full: &mut Vec<Arc<Mailbox>>) {
        for route in routes {
            if !self.takes(route) {
                continue;
            }
            let word = self.message.share();
            let offer = match route.mailbox.overflow() {
                Overflow::Block(_) => route.mailbox.offer_at_once(word),
                _ => {
                    let wake_others = || self.errands.flush(&self.walk.topic.exchange);
                    Some(route.mailbox.offer_patiently(word, &mut Patience::none(), wake_others))
                }
            };
            match offer {
                Some(offer) => self.note(&route.mailbox, word, offer),
                None => full.push(route.mailbox.clone()),
            }
        }
    }

    /// Stops before the end. A reference that inline handlers need is there, or one for a full mailbox.
    fn stop(mut self, full: Vec<Arc<Mailbox>>) -> Rest {
        self.errands.turns.run_serial();
        self.errands.close(&self.walk.topic.exchange);
        // SAFETY: the references go with it; `Fanout` gives back none unless it finishes.
        let message = ManuallyDrop::new(unsafe { std::ptr::read(self.message) });
        Rest { message, unshared: self.unshared, report: self.report, full }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        // SAFETY: taken once, here; `unshared` counts the references that are ours.
        unsafe { Message::release(ManuallyDrop::new(ManuallyDrop::take(&mut self.message)), self.unshared) };
    }
}

impl Drop for PublishAsync {
    fn drop(&mut self) {
        if let State::Waiting(mut waiting) = std::mem::replace(&mut self.state, State::Over) {
            waiting.give_up();
            waiting.finish(&self.topic);
        }
    }
}

impl fmt::Debug for PublishAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits_for = match &self.state {
            State::Waiting(waiting) => waiting.rest.full.len(),
            State::New(_) | State::Over => 0,
        };
        f.debug_struct("PublishAsync")
            .field("topic", &self.topic.name())
            .field("waits_for", &waits_for)
            .finish_non_exhaustive()
    }
}
