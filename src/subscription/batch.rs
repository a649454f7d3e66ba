//! Handlers of batches: what is queued, in one call.

use super::builder::SubscriptionBuilder;
use super::{Delivery, Subscription};
use crate::error::SubscribeError;
use crate::mailbox::{BatchItem, Batcher, Handler};
use crate::message::EndReason;
use crate::topic::Topic;
use std::fmt;
use std::ops::RangeInclusive;
use std::slice;

/// What [`SubscriptionBuilder::batch_max`] may be.
pub(super) const BATCH_MAX_ALLOWED: RangeInclusive<usize> = 1..=4096;
/// Unless told otherwise.
const BATCH_MAX_DEFAULT: usize = 64;

/// What was queued when a batch handler's turn came, in order: an iterator of [`Delivery`].
///
/// It has at least one message. Whatever the handler leaves counts as handled. The final message is a batch of its own,
/// after all others ([`is_final`](Self::is_final)).
///
/// ```
/// use stasis_bus::{Batch, Bus};
/// let bus = Bus::builder().manual().build()?;
/// let (line, topic) = (bus.message_type::<String>("line")?, bus.topic("log")?);
/// let (tell, told) = std::sync::mpsc::channel();
/// let line_too = line.clone();
/// let _file = topic.subscription("file").accept(&line).start_batch(move |batch: &mut Batch<'_>| {
///     let (lines, missed) = (batch.len(), batch.missed());
///     let text: String = batch.filter_map(|delivery| delivery.read(&line_too)).map(|line| format!("{line}\n")).collect();
///     // Here: one write and one fsync for all of them.
///     drop(tell.send((lines, missed, text)));
/// })?;
/// for word in ["one", "two", "three"] {
///     topic.publish(line.message(word.to_owned()));
/// }
/// bus.run_until_idle();
/// assert_eq!(told.try_recv(), Ok((3, 0, "one\ntwo\nthree\n".to_owned())));
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use]
pub struct Batch<'a> {
    left: slice::Iter<'a, BatchItem>,
    missed: u64,
    end: Option<EndReason>,
    topic: &'a Topic,
}

impl<'a> Batch<'a> {
    fn new(items: &'a [BatchItem], topic: &'a Topic) -> Self {
        let missed = items.iter().map(|item| item.told.missed).sum();
        let end = items.last().and_then(|item| item.told.end);
        Self { left: items.iter(), missed, end, topic }
    }

    /// How many messages are left.
    pub fn len(&self) -> usize {
        self.left.len()
    }

    /// Whether every message was taken out. At first, never.
    pub fn is_empty(&self) -> bool {
        self.left.as_slice().is_empty()
    }

    /// The messages that are left, without taking them out.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Delivery<'a>> + use<'a> {
        let topic = self.topic;
        self.left.clone().map(move |item| delivery(item, topic))
    }

    /// How many messages were lost between the previous batch and the last message of this one. Each
    /// [`Delivery::missed`] tells how many were lost before it.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The topic that was subscribed to.
    pub fn topic(&self) -> &'a Topic {
        self.topic
    }

    /// Whether this is the last call: the subscription has ended, and the batch is its final message.
    pub fn is_final(&self) -> bool {
        self.end.is_some()
    }

    /// Why the subscription has ended, if it has.
    pub fn end(&self) -> Option<EndReason> {
        self.end
    }
}

fn delivery<'a>(item: &'a BatchItem, topic: &'a Topic) -> Delivery<'a> {
    Delivery::of(item.message(), &item.told, topic)
}

impl<'a> Iterator for Batch<'a> {
    type Item = Delivery<'a>;

    fn next(&mut self) -> Option<Delivery<'a>> {
        Some(delivery(self.left.next()?, self.topic))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("left", &self.left.len())
            .field("missed", &self.missed)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl SubscriptionBuilder<'_> {
    /// The most messages that [`start_batch`](Self::start_batch) hands over in one call: 1 to 4,096; 64 unless told
    /// otherwise. The buffer grows to what was once needed, some 40 bytes a message, and is kept.
    pub fn batch_max(mut self, messages: usize) -> Self {
        self.batch_max = Some(messages);
        self
    }

    /// Subscribes with a handler of batches (Serial, Pool, Dedicated): what is queued is handed over in one call, up to
    /// [`batch_max`](Self::batch_max). For consumers whose cost is per call and not per message: a write to a disk, a
    /// statement to a database.
    ///
    /// A batch never waits for more messages: while one call runs, the next batch forms in the mailbox, so that the
    /// slower the consumer, the larger its batches. A batch counts as out of the mailbox when it is handed over:
    /// publishers have room for as many again.
    ///
    /// A panic in the handler is caught, counted once and reported to the bus's hook; its batch counts as handled, and
    /// the subscription goes on with the next one, unless [`on_panic`](Self::on_panic) says otherwise. Who waits in
    /// [`publish_sync`](Subscription::publish_sync) goes on when the call with his message has returned. The turn of a
    /// pool's worker ends after the batch that made it 64 messages or 200 us.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and if `batch_max` is out of range.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (state, topic) = (bus.message_type::<u8>("state")?, bus.topic("calls")?);
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let _all = topic.subscription("all").accept(&state).batch_max(2).start_batch(move |batch| {
    ///     drop(tell.send(batch.len()));
    /// })?;
    /// for value in 0..5 {
    ///     topic.publish(state.message(value));
    /// }
    /// bus.run_until_idle();
    /// assert_eq!(told.try_iter().collect::<Vec<_>>(), [2, 2, 1]);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn start_batch(
        self,
        mut handler: impl FnMut(&mut Batch<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        let most = self.batch_max.unwrap_or(BATCH_MAX_DEFAULT);
        if !BATCH_MAX_ALLOWED.contains(&most) {
            return Err(SubscribeError::BatchMax { value: most, allowed: BATCH_MAX_ALLOWED });
        }
        let (topic, watch) = (self.topic.clone(), self.panic_watch());
        let call = move |items: &[BatchItem]| watch.call(|| handler(&mut Batch::new(items, &topic)));
        self.start_mailbox("start_batch", Handler::Batch(Box::new(Batcher::new(Box::new(call), most))))
    }
}
