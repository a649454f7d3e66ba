//! A topic and a message type of one name: for those who need no more.

use super::{PublishAsync, Report, Topic};
use crate::message::MessageType;
use std::fmt;

/// A topic together with one message type: values go in, values come out. Made by [`Bus::topic_of`](crate::Bus::topic_of).
///
/// It is two handles in one and nothing of its own: [`topic`](Self::topic) is an ordinary topic, on which messages of other
/// types may be published and others may subscribe, and [`kind`](Self::kind) an ordinary type. Cheap to clone.
///
/// ```
/// use stasis_bus::Bus;
/// let bus = Bus::builder().manual().build()?;
/// let orders = bus.topic_of::<String>("orders")?;
/// let (tell, told) = std::sync::mpsc::channel();
/// let _log = orders.subscribe("log", move |order, _| drop(tell.send(order.clone())))?;
/// orders.publish("two coffees".to_owned());
/// bus.run_until_idle();
/// assert_eq!(told.try_recv(), Ok("two coffees".to_owned()));
/// # Ok::<(), stasis_bus::Error>(())
/// ```
pub struct TopicOf<T> {
    topic: Topic,
    kind: MessageType<T>,
}

impl<T> TopicOf<T> {
    pub(crate) fn new(topic: Topic, kind: MessageType<T>) -> Self {
        Self { topic, kind }
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The type of its messages, of the same name as the topic.
    pub fn kind(&self) -> &MessageType<T> {
        &self.kind
    }
}

impl<T: Send + Sync + 'static> TopicOf<T> {
    /// Makes a message with `value` and publishes it. As [`Topic::publish`].
    pub fn publish(&self, value: T) -> Report {
        self.topic.publish(self.kind.message(value))
    }

    /// Makes a value only if somebody wants it, and publishes it. As [`Topic::publish_with`].
    pub fn publish_with(&self, value: impl FnOnce() -> T) -> Report {
        self.topic.publish_with(&self.kind, value)
    }

    /// Makes a message with `value` and publishes it from async code. As [`Topic::publish_async`].
    pub fn publish_async(&self, value: T) -> PublishAsync {
        self.topic.publish_async(self.kind.message(value))
    }
}

impl<T> Clone for TopicOf<T> {
    fn clone(&self) -> Self {
        Self::new(self.topic.clone(), self.kind.clone())
    }
}

impl<T> fmt::Debug for TopicOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicOf").field("topic", &self.topic).field("type", &self.kind.name()).finish()
    }
}
