//! Who speaks of a state: publishers that hold it by a handle, and origins that hold it by having published.

use super::StateManager;
use super::core::Hold;
use super::held::Held;
use crate::error::StateError;
use crate::message::{Message, Origin};
use crate::sync::mutated;
use crate::topic::errands::Errands;
use crate::topic::{Report, Topic};
use std::fmt;

/// Publishes one state, and holds it; leaves when dropped.
#[must_use = "dropping it lets go of the state"]
pub struct StatePublisher {
    hold: Hold,
}

impl StatePublisher {
    pub(super) fn new(hold: Hold) -> Self {
        Self { hold }
    }

    /// The state's id.
    pub fn id(&self) -> &str {
        &self.hold.state.id
    }

    /// The state's topic.
    pub fn topic(&self) -> &Topic {
        &self.hold.state.topic
    }

    /// Its manager.
    pub fn manager(&self) -> StateManager {
        StateManager(self.hold.core.clone())
    }

    /// The state's last message.
    pub fn last(&self) -> Option<Message> {
        self.hold.state.last()
    }

    /// Makes `message` the state's, and delivers it as a publish on the state's topic does, as one step.
    ///
    /// Never waits: a full [`Block`](crate::Overflow::Block) mailbox takes it beyond its capacity; one with
    /// [`Conflate`](crate::Overflow::Conflate) keeps the last one of each state, whatever its own key says. A message that
    /// is refused (its type is declined or of another bus, or the bus is shut down) is not stored.
    pub fn publish(&self, message: Message) -> Report {
        let state = &self.hold.state;
        if let Some(report) = state.refused(&message) {
            return report;
        }
        let mut errands = Errands::default();
        if mutated!("state.stored_first") {
            state.lock().last = Some(message.clone());
            let report = state.store(&mut Held::default(), message, &mut errands);
            return state.settle(errands, report);
        }
        let report = state.store(&mut state.lock(), message, &mut errands);
        state.settle(errands, report)
    }

    /// Publishes the last message, and leaves. Others who hold the state keep that message.
    pub fn finish(self, message: Message) -> Report {
        self.publish(message)
    }
}

impl fmt::Debug for StatePublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.hold.core.topic.name();
        f.debug_struct("StatePublisher").field("manager", &name).field("id", &self.id()).finish()
    }
}

impl StateManager {
    /// Makes `message` that state's, and delivers it, as [`StatePublisher::publish`] does. `origin` holds the state from
    /// now on, until it is [removed](Self::remove_origin); publishing again does not add to that.
    ///
    /// For states that come from elsewhere, whose publishers nobody here can own. A message that is refused changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`publisher`](Self::publisher).
    ///
    /// ```
    /// let bus = stasis_bus::Bus::builder().manual().build()?;
    /// let (state, node) = (bus.message_type::<u8>("device_state")?, bus.origin("pbx-2")?);
    /// let devices = bus.state_manager("device")?;
    /// devices.publish_by_origin("alice", node, state.message(1))?;
    /// assert!(devices.exists("alice"));
    /// assert!(devices.remove_origin("alice", node, None).is_some());
    /// assert!(!devices.exists("alice"));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn publish_by_origin(
        &self,
        id: &str,
        origin: Origin,
        message: Message,
    ) -> Result<Report, StateError> {
        let mut hold = self.0.hold(id)?;
        let state = hold.state.clone();
        if let Some(report) = state.refused(&message) {
            return Ok(report);
        }
        let mut errands = Errands::default();
        let mut held = state.lock();
        if !held.origins.contains(&origin) {
            held.origins.push(origin);
            if !mutated!("state.origin") {
                hold.leave_to_origin();
            }
        }
        let report = state.store(&mut held, message, &mut errands);
        drop(held);
        let_go([hold], &mut errands);
        Ok(state.settle(errands, report))
    }

    /// Takes back what `origin` holds of that state. With a message, that one is published and stored first: whoever
    /// else holds the state keeps it. `None`: the origin did not hold it, and nothing was done; otherwise what became of
    /// the message (if none was given, nothing did). A message that is refused is not stored; the origin goes all the same.
    pub fn remove_origin(&self, id: &str, origin: Origin, last: Option<Message>) -> Option<Report> {
        let hold = self.0.hold_live(id)?;
        let state = hold.state.clone();
        let refused = last.as_ref().and_then(|message| state.refused(message));
        let mut errands = Errands::default();
        let mut held = state.lock();
        let at = held.origins.iter().position(|&other| other == origin);
        let Some(at) = at else {
            drop(held);
            return None;
        };
        held.origins.swap_remove(at);
        let report = match (refused, last) {
            (Some(refused), _) => refused,
            (None, Some(message)) => state.store(&mut held, message, &mut errands),
            (None, None) => Report::default(),
        };
        drop(held);
        let_go([hold.adopt(), hold], &mut errands);
        Some(state.settle(errands, report))
    }

    /// Removes `origin` from every state that it holds: a node is gone. Returns how many those were.
    ///
    /// States that it begins to hold meanwhile may be missed. Cost: a look at every state.
    pub fn remove_origin_everywhere(&self, origin: Origin) -> usize {
        let states = (0..self.0.shards()).flat_map(|shard| self.0.states_of(shard));
        states.filter(|state| self.remove_origin(&state.id, origin, None).is_some()).count()
    }
}

/// Gives holds back before handlers run, which may ask whether the state is still there; what goes with it goes at the end.
fn let_go<const N: usize>(holds: [Hold; N], errands: &mut Errands) {
    for message in holds.into_iter().filter_map(Hold::release) {
        errands.bury(message);
    }
}
