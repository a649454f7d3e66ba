//! The states of one manager by name, and who holds them.

use super::held::State;
use super::observe::Observers;
use crate::error::StateError;
use crate::message::Message;
use crate::sync::{Arc, Mutex, mutated};
use crate::topic::Topic;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

const SHARDS: usize = if cfg!(any(bus_loom, bus_shuttle)) { 1 } else { 64 };

type Shard = HashMap<Arc<str>, Slot>;

struct Slot {
    state: Arc<State>,
    holds: usize,
}

/// What the handles of a manager share.
pub(super) struct Core {
    /// Unique in the process: what the calls of its observers are marked with.
    pub(super) number: u64,
    pub(super) topic: Topic,
    /// What the names of its states' topics begin with.
    prefix: Box<str>,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    pub(super) observers: Observers,
}

impl Core {
    pub(super) fn new(topic: &Topic) -> Self {
        let prefix = topic.name().replace('%', "%25").replace('/', "%2F") + "/";
        Self {
            number: crate::ids::next(),
            topic: topic.clone(),
            prefix: prefix.into(),
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
            hasher: RandomState::new(),
            observers: Observers::new(),
        }
    }

    fn shard(&self, id: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(id) as usize % SHARDS]
    }

    /// Holds the state of that name, which is made if there is none.
    pub(super) fn hold(self: &Arc<Self>, id: &str) -> Result<Hold, StateError> {
        if let Some(hold) = self.hold_live(id) {
            return Ok(hold);
        }
        StateError::check(self.topic.name(), &self.prefix, id)?;
        // Before the lock. If somebody else was faster, it goes after it.
        let made = self.make(id);
        let mut states = self.shard(id).lock();
        if mutated!("state.twin") {
            states.remove(&made.id);
        }
        let slot = states.entry(made.id.clone()).or_insert_with(|| Slot { state: made.clone(), holds: 0 });
        slot.holds += 1;
        let state = slot.state.clone();
        drop(states);
        Ok(Hold { core: self.clone(), state, counted: true })
    }

    /// Holds the state of that name, if there is one.
    pub(super) fn hold_live(self: &Arc<Self>, id: &str) -> Option<Hold> {
        let mut states = self.shard(id).lock();
        let slot = states.get_mut(id)?;
        slot.holds += 1;
        let state = slot.state.clone();
        drop(states);
        Some(Hold { core: self.clone(), state, counted: true })
    }

    fn make(&self, id: &str) -> Arc<State> {
        let all = self.topic.core();
        let topic = all.exchange.topic_like(&[&*self.prefix, id].concat(), all);
        topic.core().set_pooled(all, true);
        Arc::new(State::new(id, topic))
    }

    /// Gives a hold of `state` back. If it was the last, the state goes: this is its message.
    fn release(&self, state: &State) -> Option<Message> {
        let mut states = self.shard(&state.id).lock();
        let slot = states.get_mut(&state.id)?;
        slot.holds -= 1;
        if slot.holds > 0 {
            return None;
        }
        if mutated!("state.release") {
            drop(states);
            states = self.shard(&state.id).lock();
        }
        let slot = states.remove(&state.id);
        if states.capacity() > 64 && states.len() < states.capacity() / 8 {
            states.shrink_to_fit();
        }
        drop(states);
        drop(slot);
        state.retire()
    }

    /// The state of that name, not held.
    pub(super) fn find(&self, id: &str) -> Option<Arc<State>> {
        self.shard(id).lock().get(id).map(|slot| slot.state.clone())
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The states of one shard, not held.
    pub(super) fn states_of(&self, shard: usize) -> Vec<Arc<State>> {
        self.shards[shard].lock().values().map(|slot| slot.state.clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// Keeps a state where it is.
pub(super) struct Hold {
    pub(super) core: Arc<Core>,
    pub(super) state: Arc<State>,
    /// Not if somebody else has the count now.
    counted: bool,
}

impl Hold {
    /// From now on an origin has the count: it stays until [`adopt`](Self::adopt) takes it over.
    pub(super) fn leave_to_origin(&mut self) {
        self.counted = false;
    }

    /// The count that an origin had.
    pub(super) fn adopt(&self) -> Self {
        Self { core: self.core.clone(), state: self.state.clone(), counted: true }
    }

    /// Gives it back. If it was the last, this is the message of the state that is gone.
    #[must_use = "dropping it is foreign code"]
    pub(super) fn release(mut self) -> Option<Message> {
        self.give_back()
    }

    fn give_back(&mut self) -> Option<Message> {
        std::mem::take(&mut self.counted).then(|| self.core.release(&self.state)).flatten()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.give_back());
    }
}
