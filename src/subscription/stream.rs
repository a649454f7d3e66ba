//! A subscription that is read: by a task, whatever its runtime, or by a thread.

use super::Subscription;
use crate::error::FilterError;
use crate::mailbox::reader::Item;
use crate::mailbox::{Filter, Next, Reader, Told};
use crate::message::{EndReason, Message, MessageType};
use crate::stats::SubscriptionStats;
use crate::sync::time::Deadline;
use crate::sync::{Arc, Parker, Unparker};
use crate::topic::Topic;
use crate::topic::member::Member;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Between two looks at a message that is just being written.
const SOON: Duration = Duration::from_micros(20);

/// A subscription whose messages are read: an async stream, and a blocking receiver.
///
/// It needs no runtime: any executor's waker will do, and [`recv`](Self::recv) needs none at all. The last item is the
/// final message ([`Received::is_final`]); after it the stream is over. Dropping the stream ends the subscription at
/// once: what is queued is discarded and counted, and there is no final message.
///
/// # Cancel safety
///
/// A read that is dropped before it is ready has taken nothing.
///
/// ```
/// use stasis_bus::Bus;
/// let bus = Bus::builder().build()?;
/// let state = bus.message_type::<u8>("state")?;
/// let topic = bus.topic("states")?;
/// let mut states = topic.subscription("ui").accept(&state).stream()?;
/// topic.publish(state.message(7));
/// let received = states.recv().expect("the subscription stands");
/// assert_eq!(received.read(&state), Some(&7));
/// states.unsubscribe();
/// assert!(states.recv().expect("the final message").is_final());
/// assert!(states.recv().is_none());
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use = "dropping it ends the subscription"]
pub struct Stream {
    member: Arc<Member>,
    reader: Arc<Reader>,
}

/// One message read from a [`Stream`].
#[derive(Debug)]
pub struct Received {
    message: Message,
    told: Told,
}

impl Received {
    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message, without what came with it.
    pub fn into_message(self) -> Message {
        self.message
    }

    /// Its value, if it is of this type.
    pub fn read<T: Send + Sync + 'static>(&self, kind: &MessageType<T>) -> Option<&T> {
        kind.read(&self.message)
    }

    /// How many messages were lost since the previous one. As [`Delivery::missed`](crate::Delivery::missed).
    pub fn missed(&self) -> u64 {
        self.told.missed
    }

    /// Its position in this subscription, counted from 0.
    pub fn seq(&self) -> u64 {
        self.told.seq
    }

    /// Whether this is the last one.
    pub fn is_final(&self) -> bool {
        self.told.end.is_some()
    }

    /// Why the subscription has ended, on its final message.
    pub fn end(&self) -> Option<EndReason> {
        self.told.end
    }
}

impl From<Item> for Received {
    fn from(item: Item) -> Self {
        let Item { message, told } = item;
        Self { message, told }
    }
}

/// Why nothing was read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// Nothing waits.
    Empty,
    /// The final message was read before.
    Over,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no message waits",
            Self::Over => "the subscription has ended",
        })
    }
}

impl std::error::Error for TryRecvError {}

/// Why nothing was read in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// Nothing came in time.
    TimedOut,
    /// The final message was read before.
    Over,
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "no message came in time",
            Self::Over => "the subscription has ended",
        })
    }
}

impl std::error::Error for RecvTimeoutError {}

impl Stream {
    pub(super) fn new(member: Arc<Member>, reader: Arc<Reader>) -> Self {
        Self { member, reader }
    }

    /// The next message, when it comes; `None` after the final one. Blocks the thread.
    pub fn recv(&mut self) -> Option<Received> {
        self.recv_until(Deadline::after(None)).ok()
    }

    /// The next message, if it comes in time. Blocks the thread for at most so long.
    ///
    /// # Errors
    ///
    /// If nothing came, or the final message was read before.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Received, RecvTimeoutError> {
        self.recv_until(Deadline::after(Some(timeout)))
    }

    fn recv_until(&mut self, deadline: Deadline) -> Result<Received, RecvTimeoutError> {
        let mut sleeper = None;
        // Times that it was woken and found nothing. Once in a while that is late news. More in a row: somebody is about to
        // wake it, is not run just now, and would not be while this thread spins at a higher priority.
        let mut in_vain = 0;
        loop {
            match self.reader.next() {
                Next::Item(item) => return Ok(item.into()),
                Next::Over => return Err(RecvTimeoutError::Over),
                Next::Soon => crate::sync::thread::sleep(SOON),
                Next::Nothing => {
                    if deadline.passed() {
                        return Err(RecvTimeoutError::TimedOut);
                    }
                    if in_vain > 1 {
                        crate::sync::thread::sleep(SOON);
                    }
                    in_vain += 1;
                    let (parker, waker) = sleeper.get_or_insert_with(|| {
                        let parker = Parker::current();
                        let waker = Waker::from(std::sync::Arc::new(Alarm(parker.unparker())));
                        (parker, waker)
                    });
                    match self.reader.poll(waker) {
                        Poll::Ready(Some(item)) => return Ok(item.into()),
                        Poll::Ready(None) => return Err(RecvTimeoutError::Over),
                        Poll::Pending => parker.park(deadline.left()),
                    }
                }
            }
        }
    }

    /// The next message, if one waits. Never blocks.
    ///
    /// # Errors
    ///
    /// If none waits, or the final message was read before.
    pub fn try_recv(&mut self) -> Result<Received, TryRecvError> {
        match self.reader.next() {
            Next::Item(item) => Ok(item.into()),
            Next::Over => Err(TryRecvError::Over),
            Next::Nothing | Next::Soon => Err(TryRecvError::Empty),
        }
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

    /// Its figures now.
    pub fn stats(&self) -> SubscriptionStats {
        self.member.stats()
    }

    /// Whether nobody has ended it yet.
    pub fn is_subscribed(&self) -> bool {
        self.member.is_subscribed()
    }

    /// Gives it another filter; as [`Subscription::set_filter`]. What is queued can still be read.
    ///
    /// # Errors
    ///
    /// If the filter names a type of another bus, or the subscription has ended.
    pub fn set_filter(&self, filter: &Filter) -> Result<(), FilterError> {
        self.member.set_filter(filter)
    }

    /// A handle that other threads can use to end it, to wait for its end, or to publish to it and wait. Dropping the
    /// handle ends nothing.
    pub fn handle(&self) -> Subscription {
        Subscription::borrowed(self.member.clone())
    }

    /// Ends it, if nobody has yet (then: true). What is queued can still be read, then the final message.
    pub fn unsubscribe(&self) -> bool {
        self.member.end(EndReason::Unsubscribed)
    }
}

/// Unparks a thread that reads.
struct Alarm(Unparker);

impl Wake for Alarm {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

impl futures_core::Stream for Stream {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        self.reader.poll(context.waker()).map(|item| item.map(Received::from))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.member.abandon();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("topic", &self.member.topic.name)
            .field("subscribed", &self.is_subscribed())
            .finish_non_exhaustive()
    }
}
