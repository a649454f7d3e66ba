//! The handle of a running subscription.

use crate::dispatch::latch::Latch;
use crate::dispatch::{pool, waits};
use crate::error::{FilterError, WaitError};
use crate::mailbox::{Dispatch, Filter, Receipt, SyncOutcome};
use crate::message::{EndReason, Message};
use crate::stats::SubscriptionStats;
use crate::sync::time::Deadline;
use crate::sync::{Arc, mutated};
use crate::topic::Topic;
use crate::topic::following::Around;
use crate::topic::member::{CannotWait, Member, Sink};
use crate::topic::walk::Walk;
use std::fmt;
use std::time::Duration;

/// A running subscription; ends when dropped.
///
/// Ending never waits and never discards: everything already queued is delivered, then exactly one final message (a
/// [`SubscriptionChange`](crate::SubscriptionChange) that names this subscription), whatever the filter, and nothing
/// after it.
#[must_use = "dropping it ends the subscription; call detach() to keep it for the life of the bus"]
pub struct Subscription {
    member: Arc<Member>,
    keep: bool,
}

/// What became of a message published by [`Subscription::publish_sync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Handled {
    /// The handler has returned (or panicked). A stream: the reader came back for the next message.
    Yes,
    /// The subscription has ended; nothing was waited for.
    Gone,
    /// Its filter does not want the message; nothing was waited for.
    Filtered,
    /// Its mailbox dropped the message.
    Dropped,
    /// The publish was refused as a whole: see [`Refusal`](crate::Refusal).
    Refused,
}

impl From<CannotWait> for WaitError {
    fn from(why: CannotWait) -> Self {
        match why {
            CannotWait::Circle => Self::WouldDeadlock,
            CannotWait::NoSeat => Self::TooManyWaiting,
            CannotWait::TimedOut => Self::TimedOut,
        }
    }
}

impl Subscription {
    pub(super) fn new(member: Arc<Member>) -> Self {
        Self { member, keep: false }
    }

    /// A handle that ends nothing when dropped.
    pub(super) fn borrowed(member: Arc<Member>) -> Self {
        Self { member, keep: true }
    }

    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.member.profile().name
    }

    /// Its number, unique in the process.
    pub fn id(&self) -> u64 {
        self.member.id()
    }

    /// The topic that was subscribed to.
    pub fn topic(&self) -> Topic {
        Topic(self.member.topic.clone())
    }

    /// On which thread its handler runs.
    pub fn dispatch(&self) -> Dispatch {
        self.member.dispatch
    }

    /// Its figures now.
    pub fn stats(&self) -> SubscriptionStats {
        self.member.stats()
    }

    /// Whether nobody has ended it yet.
    pub fn is_subscribed(&self) -> bool {
        self.member.is_subscribed()
    }

    /// Whether its final message has been handled.
    pub fn is_done(&self) -> bool {
        self.member.done().is_set()
    }

    /// Its filter now; `None` if it has ended.
    pub fn filter(&self) -> Option<Filter> {
        self.member.filter()
    }

    /// Gives it another filter, also while others publish.
    ///
    /// When this has returned, no publish that begins later uses the old filter; one that is under way may. Messages
    /// that are queued already are delivered whatever the new filter says. Figures go on counting.
    ///
    /// Cost: the topic's writer lock and one copy of its list, as subscribing. Publishers do not wait for it.
    ///
    /// # Errors
    ///
    /// If the filter names a type of another bus, the subscription is [typed](crate::SubscriptionBuilder::start_typed),
    /// or it has ended; then nothing changes.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (state, topic) = (bus.message_type::<u8>("state")?, bus.topic("calls")?);
    /// use stasis_bus::{Filter, Formatters};
    /// let quiet = Filter::all().accept_formatters(Formatters::NONE);
    /// let log = topic.subscription("log").filter(quiet.clone()).start(|_| {})?;
    /// assert!(!topic.wants(&state));
    /// log.set_filter(&Filter::all().accept(&state))?;
    /// assert!(topic.wants(&state));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn set_filter(&self, filter: &Filter) -> Result<(), FilterError> {
        self.member.set_filter(filter)
    }

    /// Ends it, if nobody has yet (then: true). Never waits. Inline and Serial handlers that are told of it run here, its
    /// own final call too if it is one of these and nobody else is in it.
    pub fn unsubscribe(&self) -> bool {
        self.member.end(EndReason::Unsubscribed)
    }

    /// Waits until the final call has returned, whoever ends the subscription. Any number of threads may wait. A
    /// [`Stream`](crate::Stream) is over when its reader has read the final message, so the thread that reads it should
    /// not wait here.
    ///
    /// # Errors
    ///
    /// [`WaitError::WouldDeadlock`] from inside its own handler, or wherever the end waits for the calling thread in
    /// any other way; [`WaitError::TooManyWaiting`] from a pool handler if no thread can take its worker's place.
    pub fn join(&self) -> Result<(), WaitError> {
        Ok(self.member.join(None)?)
    }

    /// The same, for at most so long.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join), and [`WaitError::TimedOut`].
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        Ok(self.member.join(Some(timeout))?)
    }

    /// Ends it and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join); the subscription ends all the same.
    pub fn unsubscribe_and_join(self) -> Result<(), WaitError> {
        self.unsubscribe();
        self.join()
    }

    /// Keeps the subscription for the life of the bus.
    pub fn detach(mut self) {
        self.keep = true;
    }

    /// Publishes on this subscription's topic, and returns when this subscription has handled the message; everybody
    /// else gets it as usual. With a timeout, waits at most so long after the publish itself (the message stays queued).
    ///
    /// From a pool handler it makes progress with one worker too: another thread takes the waiting worker's place.
    ///
    /// # Errors
    ///
    /// [`WaitError::WouldDeadlock`] if this subscription cannot handle it before the calling thread goes on: its own
    /// handler, or any longer circle of waits; then nothing was published. [`WaitError::TooManyWaiting`] likewise (but if the filter is changed
    /// to want the message at this very moment, it may be queued all the same).
    /// [`WaitError::TimedOut`]; in manual mode, where nothing waits, also without a timeout.
    ///
    /// ```
    /// use stasis_bus::{Bus, Handled};
    /// let bus = Bus::builder().build()?;
    /// let state = bus.message_type::<u8>("state")?;
    /// let all = bus.topic("all")?.subscribe("cdr", |_| {})?;
    /// assert_eq!(all.publish_sync(state.message(1), None)?, Handled::Yes);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn publish_sync(&self, message: Message, timeout: Option<Duration>) -> Result<Handled, WaitError> {
        let _waiting = self.begin_waiting()?;
        let (stood, wanted) = (self.is_subscribed(), self.member.wants(&message));
        if wanted == Some(true) {
            self.hand_over()?;
        }
        let mut receipt = Receipt::new(Latch::new());
        let around = Around::awaited(self.id(), receipt.clone());
        let report = Walk::from(&self.member.topic).with_around(&around).publish(message);
        // Its receipt is nobody's that took the message.
        drop(around);
        if report.refusal.is_some() {
            return Ok(Handled::Refused);
        }
        if !was_taken(&mut receipt) {
            // What its filter did not want was filtered, also if a handler of this very publish has ended it.
            let filtered = (stood && wanted == Some(false)) || self.is_subscribed();
            return Ok(if filtered { Handled::Filtered } else { Handled::Gone });
        }
        if wanted != Some(true) {
            // The filter has changed meanwhile.
            self.hand_over()?;
        }
        self.settle(&receipt, timeout)
    }

    /// An inline handler has returned when the publish has: nobody waits for it.
    fn begin_waiting(&self) -> Result<Option<waits::Waiting>, CannotWait> {
        match self.member.sink {
            Sink::Inline(_) => Ok(None),
            Sink::Mailbox(_) | Sink::Stream(_) => Ok(Some(self.member.begin_wait(&[self.id()])?)),
        }
    }

    fn hand_over(&self) -> Result<(), CannotWait> {
        let waits =
            !matches!(self.member.sink, Sink::Inline(_)) && !self.member.topic.exchange.pool.is_manual();
        if waits { Ok(pool::hand_over()?) } else { Ok(()) }
    }

    /// Waits for the message's end.
    fn settle(&self, receipt: &Receipt, timeout: Option<Duration>) -> Result<Handled, WaitError> {
        let mut limit = timeout;
        if self.member.topic.exchange.pool.is_manual() {
            self.member.run_alone();
            limit = Some(Duration::ZERO);
        }
        let gone = || self.member.mailbox().is_some_and(|mailbox| mailbox.is_closed());
        match receipt.wait(Deadline::after(limit)) {
            Some(SyncOutcome::Handled) => Ok(Handled::Yes),
            Some(SyncOutcome::Dropped) if gone() => Ok(Handled::Gone),
            Some(SyncOutcome::Dropped) => Ok(Handled::Dropped),
            None => Err(WaitError::TimedOut),
        }
    }
}

/// Whether a mailbox took the envelope, or an inline handler was called. If not, the subscription was off the topic's
/// list, or its filter there did not want the message.
fn was_taken(receipt: &mut Receipt) -> bool {
    // ORDERING(receipt): that of `get_mut`, an Acquire; pairs with the Release by which the envelope gave up its share of
    // the receipt: if there was one, what it set is seen.
    match Receipt::get_mut(receipt) {
        None => true,
        Some(receipt) => receipt.is_set() && !mutated!("receipt.set"),
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if !self.keep {
            self.unsubscribe();
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("topic", &self.member.topic.name)
            .field("dispatch", &self.dispatch())
            .field("subscribed", &self.is_subscribed())
            .finish_non_exhaustive()
    }
}
