//! One subscription as its topic and its bus see it, and how it ends.

use super::TopicCore;
use super::walk::Walk;
use crate::dispatch::frames;
use crate::dispatch::latch::Latch;
use crate::dispatch::pool::{self, NoSeat};
use crate::dispatch::waits::{self, Circle};
use crate::error::FilterError;
use crate::mailbox::{Dispatch, Filter, Host, Inline, Mailbox, Profile, Reader};
use crate::message::{Change, EndReason, Message, SubscriptionChange};
use crate::queue::Close;
use crate::stats::labels::Label;
use crate::stats::sums::SubscriptionSums;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::time::Deadline;
use crate::sync::{Arc, Tally};
use std::time::Duration;

/// What receives.
pub(crate) enum Sink {
    Mailbox(Arc<Mailbox>),
    Stream(Arc<Reader>),
    Inline(Arc<Inline>),
}

impl Sink {
    fn profile(&self) -> &Profile {
        match self {
            Self::Inline(inline) => inline.profile(),
            Self::Mailbox(mailbox) => mailbox.profile(),
            Self::Stream(reader) => reader.mailbox().profile(),
        }
    }
}

pub(crate) struct Member {
    pub(crate) topic: Arc<TopicCore>,
    pub(crate) dispatch: Dispatch,
    pub(crate) sink: Sink,
    /// What its figures count under.
    label: Arc<Label<SubscriptionSums>>,
    /// Its handler takes one type: its filter stays.
    is_typed: bool,
    /// Inline: what had reached the topic when its calls began to be counted. Before that they are what reached it.
    counted_from: AtomicU64,
    /// What had reached the topic when this one became visible; figures are asked before that.
    joined_at: AtomicU64,
    /// What had when it was taken off the topic's list.
    left_at: AtomicU64,
    ending: AtomicBool,
    /// Which of the gone ones this is, once its figures are among theirs; 0: it is not.
    fold: Tally,
}

/// Why waiting for a subscription's end was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CannotWait {
    Circle,
    NoSeat,
    TimedOut,
}

impl From<Circle> for CannotWait {
    fn from(_: Circle) -> Self {
        Self::Circle
    }
}

impl From<NoSeat> for CannotWait {
    fn from(_: NoSeat) -> Self {
        Self::NoSeat
    }
}

impl TopicCore {
    fn change_of(&self, subscription: &Profile, change: Change) -> Message {
        self.exchange.changes.message(SubscriptionChange {
            topic: self.name.to_string(),
            subscription: subscription.name.to_string(),
            id: subscription.id,
            change,
        })
    }
}

impl Host for TopicCore {
    fn farewell(&self, subscription: &Profile, reason: EndReason) -> Message {
        self.change_of(subscription, Change::Unsubscribe(reason))
    }

    fn forget(&self, subscription: &Profile) {
        if let Some(member) = self.exchange.forget(subscription.id) {
            member.ended();
        }
    }
}

impl Member {
    pub(crate) fn new(topic: Arc<TopicCore>, dispatch: Dispatch, is_typed: bool, sink: Sink) -> Self {
        let exchange = &topic.exchange;
        let label =
            exchange.labels.subscriptions.of(&sink.profile().name, exchange.clock.coarse_monotonic_ns());
        Self {
            topic,
            dispatch,
            sink,
            label,
            is_typed,
            counted_from: AtomicU64::new(u64::MAX),
            joined_at: AtomicU64::new(u64::MAX),
            left_at: AtomicU64::new(u64::MAX),
            ending: AtomicBool::new(false),
            fold: Tally::new(),
        }
    }

    pub(super) fn fold(&self) -> &Tally {
        &self.fold
    }

    /// Notes that the calling thread waits for `targets`, unless that would close a circle.
    pub(crate) fn begin_wait(&self, targets: &[u64]) -> Result<waits::Waiting, Circle> {
        self.topic.exchange.begin_wait(targets)
    }

    pub(crate) fn id(&self) -> u64 {
        self.profile().id
    }

    pub(crate) fn profile(&self) -> &Profile {
        self.sink.profile()
    }

    pub(crate) fn label(&self) -> &Label<SubscriptionSums> {
        &self.label
    }

    /// Its filter now; none if it has ended. The topic's list has the only one.
    pub(crate) fn filter(&self) -> Option<Filter> {
        self.topic.subscribers.load().filter_of(self.id()).cloned()
    }

    /// Whether its filter takes the message now; none if it has ended.
    pub(crate) fn wants(&self, message: &Message) -> Option<bool> {
        let list = self.topic.subscribers.load();
        list.filter_of(self.id()).map(|filter| filter.takes(message))
    }

    /// From now on it has this filter: no publish that begins later uses another one.
    pub(crate) fn set_filter(&self, filter: &Filter) -> Result<(), FilterError> {
        if self.is_typed {
            return Err(FilterError::Typed);
        }
        if let Some(name) = filter.foreign_to(self.topic.exchange.id) {
            return Err(FilterError::ForeignType(name.to_owned()));
        }
        let reached = self.topic.set_filter(self.id(), filter).ok_or(FilterError::Ended)?;
        // Off by those who publish just now; only the first change of a subscription that had no filter matters.
        self.counted_from.fetch_min(reached, Ordering::Relaxed);
        Ok(())
    }

    /// Its mailbox; inline subscriptions have none.
    pub(crate) fn mailbox(&self) -> Option<&Arc<Mailbox>> {
        match &self.sink {
            Sink::Mailbox(mailbox) => Some(mailbox),
            Sink::Stream(reader) => Some(reader.mailbox()),
            Sink::Inline(_) => None,
        }
    }

    pub(crate) fn change(&self, change: Change) -> Message {
        self.topic.change_of(self.profile(), change)
    }

    /// The member has just become visible.
    pub(crate) fn joined(&self, filter: &Filter) {
        let reached = self.topic.reached();
        if !filter.is_all() {
            self.counted_from.store(reached, Ordering::Relaxed);
        }
        // ORDERING(member.joined): Release; pairs with the Acquire in `since_joined`: who counts from here knows how.
        self.joined_at.store(reached, Ordering::Release);
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        !self.ending.load(Ordering::Acquire) && !self.mailbox().is_some_and(|mailbox| mailbox.is_ending())
    }

    pub(crate) fn done(&self) -> &Latch<()> {
        match &self.sink {
            Sink::Mailbox(mailbox) => mailbox.done(),
            Sink::Stream(reader) => reader.mailbox().done(),
            Sink::Inline(inline) => inline.done(),
        }
    }

    /// Ends it: off the topic's list, the others are told (unless the bus itself ends), then its own end begins.
    /// False: it was ended before. Never waits.
    pub(crate) fn end(&self, reason: EndReason) -> bool {
        if self.ending.swap(true, Ordering::AcqRel) {
            return false;
        }
        // Its policy may have ended it before: then it leaves the list here, for that reason.
        let mailbox = self.mailbox();
        let first = mailbox.is_none_or(|mailbox| mailbox.begin_end(reason));
        let reason = mailbox.map_or(reason, |mailbox| mailbox.end_reason());
        let leaves = || self.left_at.store(self.topic.reached(), Ordering::Relaxed);
        let drained = match &self.sink {
            Sink::Inline(inline) => {
                inline.close(reason);
                self.topic.remove_inline(inline, leaves)
            }
            Sink::Mailbox(_) | Sink::Stream(_) => {
                self.topic.remove_route(self.id());
                leaves();
                None
            }
        };
        // The end goes on when those who are told, and the finals drained here, have returned: none may wait for it.
        let bus = self.topic.exchange.id;
        if reason != EndReason::ShutDown {
            let change = self.change(Change::Unsubscribe(reason));
            frames::mark(bus, self.id(), || Walk::from(&self.topic).control(self.id()).publish(change));
        }
        if let Some(gate) = drained {
            frames::mark(bus, self.topic.id, || self.topic.drain(gate));
        }
        if let Some(mailbox) = mailbox {
            self.close(mailbox, reason);
        }
        first
    }

    /// Its consumer has come to the end. Who ended it took it off the list; where its policy did, that is left to do.
    fn ended(&self) {
        self.end(EndReason::Disconnected);
    }

    fn close(&self, mailbox: &Mailbox, reason: EndReason) {
        if mailbox.close(reason) == (Close::Now { turn: true }) && mailbox.pass_turn() {
            self.topic.exchange.pool.flush();
        }
        mailbox.wake_tasks();
    }

    /// The reader of a stream is gone: it ends at once, without a final message.
    pub(crate) fn abandon(&self) {
        self.end(EndReason::Unsubscribed);
        if let Sink::Stream(reader) = &self.sink {
            reader.abandon();
        }
    }

    /// Waits until the final call has returned.
    pub(crate) fn join(&self, timeout: Option<Duration>) -> Result<(), CannotWait> {
        if self.done().is_set() {
            return Ok(());
        }
        // The final of an inline subscription waits for the walks of its topic as well.
        let targets = [self.id(), self.topic.id];
        let targets = if let Sink::Inline(_) = self.sink { &targets[..] } else { &targets[..1] };
        let _waiting = self.begin_wait(targets)?;
        if self.topic.exchange.pool.is_manual() {
            self.run_alone();
            // Nobody else runs anything: what has not ended now never does while this thread waits.
            return if self.done().is_set() { Ok(()) } else { Err(CannotWait::Circle) };
        }
        pool::hand_over()?;
        self.done().wait(Deadline::after(timeout)).ok_or(CannotWait::TimedOut)
    }

    /// Manual mode: runs this one subscription, on the calling thread.
    pub(crate) fn run_alone(&self) {
        if let Sink::Mailbox(mailbox) = &self.sink {
            self.topic.exchange.pool.run_only(Arc::as_ptr(mailbox).cast());
        }
    }

    /// Nothing waits and nobody runs it. Inline: nothing to wait for.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.sink {
            Sink::Mailbox(mailbox) => mailbox.is_idle(),
            Sink::Stream(reader) => reader.is_drained(),
            Sink::Inline(_) => true,
        }
    }

    /// What reached the topic while it stood there.
    pub(super) fn met(&self) -> u64 {
        self.since_joined(|reached| reached.min(self.left_at.load(Ordering::Relaxed)))
    }

    /// What had reached the topic at a moment found from what has, less what had when this one joined.
    fn since_joined(&self, until: impl FnOnce(u64) -> u64) -> u64 {
        // ORDERING(member.joined): Acquire; pairs with the Release in `joined`.
        let joined = self.joined_at.load(Ordering::Acquire);
        until(self.topic.reached()).saturating_sub(joined)
    }

    pub(crate) fn accepted(&self) -> u64 {
        match &self.sink {
            Sink::Inline(inline) => {
                let uncounted = self.since_joined(|reached| {
                    let ends = [&self.left_at, &self.counted_from].map(|end| end.load(Ordering::Relaxed));
                    ends.into_iter().fold(reached, u64::min)
                });
                uncounted + inline.counted_calls()
            }
            Sink::Mailbox(_) | Sink::Stream(_) => self.mailbox().map_or(0, |mailbox| mailbox.accepted()),
        }
    }

    /// The queue is thrown away, counted as missed. Returns how much was queued.
    pub(crate) fn discard(&self) -> u64 {
        let Some(mailbox) = self.mailbox() else { return 0 };
        let queued = mailbox.depth();
        mailbox.discard();
        match &self.sink {
            // Its reader may have taken a part of the queue out already.
            Sink::Stream(reader) => reader.throw_away(),
            _ => queued,
        }
    }

    /// Publishers that wait for room in it give up.
    pub(crate) fn release_waiting(&self) {
        if let Some(mailbox) = self.mailbox() {
            mailbox.release_waiting();
        }
    }

    /// Whether its end comes by itself. A stream's comes when somebody reads it.
    pub(crate) fn is_run(&self) -> bool {
        !matches!(self.sink, Sink::Stream(_))
    }
}
