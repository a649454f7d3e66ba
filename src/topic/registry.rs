//! Topics by name. In shards, each with a lock of its own, so that a look at a hundred thousand topics holds up nobody for
//! more than a few microseconds.

use super::{Topic, TopicCore};
use crate::sync::{Arc, HashMap, Mutex, RandomState, Weak};
use std::hash::BuildHasher;

const SHARDS: usize = 64;

type Shard = HashMap<Arc<str>, Weak<TopicCore>>;

pub(super) struct Registry {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

impl Registry {
    pub(super) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Self { shards, hasher: RandomState::new() }
    }

    fn shard(&self, name: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(name) as usize % SHARDS]
    }

    /// The live topic of that name, or the one that `make` makes.
    pub(super) fn get_or_make(&self, name: &str, make: impl FnOnce(Arc<str>) -> TopicCore) -> Topic {
        let mut topics = self.shard(name).lock();
        if let Some(live) = topics.get(name).and_then(Weak::upgrade) {
            return Topic(live);
        }
        let name: Arc<str> = name.into();
        let made = Arc::new(make(name.clone()));
        topics.insert(name, Arc::downgrade(&made));
        Topic(made)
    }

    pub(super) fn find(&self, name: &str) -> Option<Topic> {
        self.shard(name).lock().get(name).and_then(Weak::upgrade).map(Topic)
    }

    /// All live topics whose names begin so, in no order.
    pub(super) fn named(&self, prefix: &str) -> Vec<Topic> {
        let mut live = Vec::new();
        for shard in &self.shards {
            let topics = shard.lock();
            let named = topics.iter().filter(|(name, _)| name.starts_with(prefix));
            let weak: Vec<_> = named.map(|(_, topic)| topic.clone()).collect();
            drop(topics);
            // Outside the lock: the last handle of a topic may be among these, and its drop takes the lock.
            live.extend(weak.iter().filter_map(Weak::upgrade).map(Topic));
        }
        live
    }

    /// Shows all live topics to `visit`, one shard at a time, under no lock.
    #[cfg(feature = "metrics")]
    pub(super) fn visit(&self, mut visit: impl FnMut(&TopicCore)) {
        for shard in &self.shards {
            let weak: Vec<_> = shard.lock().values().cloned().collect();
            weak.iter().filter_map(Weak::upgrade).for_each(|topic| visit(&topic));
        }
    }

    /// A topic is going. Its name may stand for a younger one already.
    pub(super) fn forget(&self, name: &str, gone: *const TopicCore) {
        let mut topics = self.shard(name).lock();
        if topics.get(name).is_some_and(|weak| std::ptr::eq(weak.as_ptr(), gone)) {
            topics.remove(name);
            if topics.capacity() > 64 && topics.len() < topics.capacity() / 8 {
                topics.shrink_to_fit();
            }
        }
    }
}
