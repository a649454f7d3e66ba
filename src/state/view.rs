//! A state as it is shown to callbacks.

use super::StateManager;
use super::core::Core;
use super::held::State;
use crate::message::Message;
use crate::sync::Arc;
use crate::topic::Topic;
use std::fmt;

/// One state, as callbacks of its [manager](StateManager) see it. It does not hold the state.
#[derive(Clone, Copy)]
pub struct StateView<'a> {
    core: &'a Arc<Core>,
    state: &'a Arc<State>,
}

impl<'a> StateView<'a> {
    pub(super) fn new(core: &'a Arc<Core>, state: &'a Arc<State>) -> Self {
        Self { core, state }
    }

    /// Its id.
    pub fn id(&self) -> &'a str {
        &self.state.id
    }

    /// Its topic.
    pub fn topic(&self) -> &'a Topic {
        &self.state.topic
    }

    /// Its last message now; none if nothing was published yet, or it has gone meanwhile.
    pub fn last(&self) -> Option<Message> {
        self.state.last()
    }

    /// Whether it has a subscriber now.
    pub fn is_subscribed(&self) -> bool {
        self.state.is_subscribed()
    }

    /// Its manager.
    pub fn manager(&self) -> StateManager {
        StateManager(self.core.clone())
    }
}

impl fmt::Debug for StateView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateView").field("manager", &self.core.topic.name()).field("id", &self.id()).finish()
    }
}
