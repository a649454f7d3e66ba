//! What a handler gets.

use crate::mailbox::{Arrival, Told};
use crate::message::{EndReason, Message, MessageType};
use crate::topic::Topic;

/// One message on its way into a handler, with what the handler should know about it.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    message: &'a Message,
    told: &'a Told,
    topic: &'a Topic,
}

impl<'a> Delivery<'a> {
    #[inline]
    pub(super) fn new(arrival: &'a Arrival<'a>, topic: &'a Topic) -> Self {
        Self::of(arrival.message, &arrival.told, topic)
    }

    #[inline]
    pub(super) fn of(message: &'a Message, told: &'a Told, topic: &'a Topic) -> Self {
        Self { message, told, topic }
    }

    /// The message. Clone it to keep it.
    pub fn message(&self) -> &'a Message {
        self.message
    }

    /// Its value, if it is of this type. Shorthand for [`MessageType::read`].
    pub fn read<T: Send + Sync + 'static>(&self, kind: &MessageType<T>) -> Option<&'a T> {
        kind.read(self.message)
    }

    /// The topic that was subscribed to (the message may have come there by a forward).
    pub fn topic(&self) -> &'a Topic {
        self.topic
    }

    /// How many messages meant for this subscription were lost since its previous delivery.
    ///
    /// With [`DropOldest`](crate::Overflow::DropOldest) they were lost exactly here; with the other policies
    /// somewhere between the previous message and a little after this one.
    pub fn missed(&self) -> u64 {
        self.told.missed
    }

    /// The message's position in this subscription, counted from 0. A gap means that
    /// [`DropOldest`](crate::Overflow::DropOldest) lost messages there; what other policies refuse has no position.
    /// Always 0 for an inline subscription, whose calls have no order.
    pub fn seq(&self) -> u64 {
        self.told.seq
    }

    /// Whether this is the last call: the subscription has ended.
    pub fn is_final(&self) -> bool {
        self.told.end.is_some()
    }

    /// Why the subscription has ended, on its final message.
    pub fn end(&self) -> Option<EndReason> {
        self.told.end
    }
}
