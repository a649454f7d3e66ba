//! Things of one kind that are there now, each with a topic for its snapshots.

use crate::snapshots::Snapshot;
use stasis_bus::{Bus, Message, MessageType, Origin, Timestamp, Topic, TopicPool};
use std::collections::HashMap;

/// Those of one switch. The last snapshot of each is kept as the message that it was published in, which is the one that
/// the cache has.
pub(crate) struct Objects<S> {
    bus: Bus,
    kind: MessageType<S>,
    pool: TopicPool,
    /// None: this node's own.
    origin: Option<Origin>,
    there: HashMap<String, Object>,
}

/// Its topic stays as long as it does; the pool forwards what comes there to the topic of all.
struct Object {
    topic: Topic,
    last: Message,
}

impl<S: Snapshot> Objects<S> {
    pub(crate) fn new(bus: &Bus, kind: &MessageType<S>, pool: &TopicPool, origin: Option<Origin>) -> Self {
        Self { bus: bus.clone(), kind: kind.clone(), pool: pool.clone(), origin, there: HashMap::new() }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&S> {
        self.kind.read(&self.there.get(id)?.last)
    }

    /// Publishes it, if that is news.
    pub(crate) fn set(&mut self, next: &S, at: Timestamp) {
        if self.get(next.id()) != Some(next) {
            self.publish(next.clone(), at);
        }
    }

    /// Publishes what `change` makes of it, if it is there.
    pub(crate) fn change(&mut self, id: &str, at: Timestamp, change: impl FnOnce(&mut S)) {
        if let Some(mut next) = self.get(id).cloned() {
            change(&mut next);
            self.set(&next, at);
        }
    }

    /// It is gone: whoever keeps snapshots drops the last one.
    pub(crate) fn clear(&mut self, id: &str) {
        if let Some(Object { topic, last }) = self.there.remove(id) {
            topic.publish(self.bus.clear(&last));
        }
    }

    /// None is known any more, and nobody is told.
    pub(crate) fn forget(&mut self) {
        self.there.clear();
    }

    fn publish(&mut self, next: S, at: Timestamp) {
        let id = next.id().to_owned();
        let message =
            self.origin.into_iter().fold(self.kind.build(next).at(at), |made, origin| made.origin(origin));
        let message = message.finish();
        if let Some(object) = self.there.get_mut(&id) {
            object.last = message.clone();
            object.topic.publish(message);
            return;
        }
        // An id that cannot be part of a name has the topic of all.
        let topic = self.pool.member(&id).unwrap_or_else(|_| self.pool.topic().clone());
        topic.publish(message.clone());
        self.there.insert(id, Object { topic, last: message });
    }
}
