//! State managers: the last message of each of many things, for as long as somebody speaks of it or listens to it.
//!
//! | file | what |
//! | --- | --- |
//! | `core` | the states by name, and who holds them |
//! | `held` | one state: its last message, its topic, the origins that speak of it |
//! | `publish` | publishers, explicit and by origin |
//! | `subscribe` | subscribers, and subscriptions that begin with the state there is |
//! | `observe` | those who hear of subscribers |
//! | `view` | a state as it is shown to callbacks |
//!
//! A state stands in its manager's table with the number of its *holds*: one for each publisher, subscriber and origin,
//! and one for each call that is just looking at it. Whoever has a hold may store and announce. Two locks, bus code only:
//!
//! | who | step | under |
//! | --- | --- | --- |
//! | a hold is taken | the state of that name, or a new one without a message; holds + 1 | its shard |
//! | a hold is given back | holds - 1; was it the last: out of the table | its shard |
//! | | the last one's message is taken out | the state |
//! | publish | the message is stored, and pushed into every mailbox reached | the state |
//! | publish by origin | a hold; the origin is noted, if it is new, and keeps the hold; stored and pushed as above | the state |
//! | remove an origin | a hold; the note is taken away, with its hold; a last message is stored and pushed | the state |
//! | subscribe with the state | visible, and behind: it gets nothing that is announced here | |
//! | | the message there is is noted; it is behind no more (`topic::catch_up`) | the state |
//!
//! Stored and pushed under one lock: in every mailbox the messages of a state come in the order in which they were its
//! last message, so the last one delivered is the one stored. The lists are collected under that lock too, so a
//! subscription that has looked under it gets every message stored later, and none that is older than the one it found.
//!
//! | at the same time | what holds |
//! | --- | --- |
//! | the last hold given back, a new one taken | one of them has the shard first: the new hold finds the state, which then stays, or makes another one, and nobody has a hold of the old one |
//! | an origin is removed, and publishes | one of them has the state first. The publisher's own hold keeps the state until then: what it stores, it stores in the state that others find |
//! | two new states of one name | the second to lock the shard takes the first one's; its own was seen by nobody |
//! | an old state and the next one of its name | both have the same topic, while anybody uses it: the bus's registry has no other of that name |
//!
//! What user code there is runs after both locks: wake-ups, inline handlers, observers, drops of messages.

mod core;
mod held;
mod observe;
mod publish;
mod subscribe;
mod view;

pub use observe::{StateObservation, StateObserver};
pub use publish::StatePublisher;
pub use subscribe::{StateSubscriber, StateSubscription, StateSubscriptionBuilder};
pub use view::StateView;

use self::core::Core;
use crate::error::StateError;
use crate::message::Message;
use crate::sync::{Arc, Mutex, Weak};
use crate::topic::Topic;
use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;

/// The last message of each of many things, by name, with a topic for each and one for all.
///
/// Got by [`Bus::state_manager`](crate::Bus::state_manager); cheap to clone. A state is there while anybody holds it: a
/// [publisher](Self::publisher), a [subscriber](Self::subscriber), or an origin that
/// [published](Self::publish_by_origin) it. When the last of them leaves, the state goes, with its message.
///
/// Publishing stores the message and puts it into every mailbox as one step: whatever the number of publishers, in
/// every mailbox the messages of one state come in the order in which they were stored, and when nothing is under way
/// the last one delivered is the one stored. (Inline handlers, whose calls may overlap, have that order only between
/// publishes where one returned before the other began.) When a publish has returned, every read shows its message or a
/// later one.
///
/// Each state has the topic `<manager>/<id>`, forwarded to the manager's own (as a member of that topic's
/// [pool](crate::TopicPool)). Publish through the manager: what is
/// published directly on such a topic is delivered and not stored. Ids may contain slashes; in the topics of a manager
/// whose own name does, that name stands with `%2F` for `/` and `%25` for `%`, so that no two states share a topic.
///
/// The manager lives while anybody has a handle, or holds a state by a publisher or a subscriber. Origins alone keep the
/// states, not the manager.
///
/// Cost: a publish takes the state's lock, over bus code only, and is otherwise that of a topic with a forward.
/// (The idea is that of Stasis.)
///
/// ```
/// let bus = stasis_bus::Bus::builder().manual().build()?;
/// let state = bus.message_type::<&'static str>("device_state")?;
/// let devices = bus.state_manager("device")?;
/// let phone = devices.publisher("alice")?;
/// phone.publish(state.message("ringing"));
/// let watcher = devices.subscriber("alice")?;
/// drop(phone);
/// let last = watcher.last().expect("the watcher holds it");
/// assert_eq!(state.read(&last), Some(&"ringing"));
/// drop(watcher);
/// assert!(!devices.exists("alice"));
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone)]
pub struct StateManager(Arc<Core>);

impl StateManager {
    /// Its name.
    pub fn name(&self) -> &str {
        self.0.topic.name()
    }

    /// Where the messages of all states arrive as well.
    pub fn all_topic(&self) -> &Topic {
        &self.0.topic
    }

    /// A publisher of that state, which holds it. There may be several.
    ///
    /// # Errors
    ///
    /// If the id is empty, has control characters, or makes the topic's name longer than 255 bytes.
    pub fn publisher(&self, id: &str) -> Result<StatePublisher, StateError> {
        Ok(StatePublisher::new(self.0.hold(id)?))
    }

    /// A subscriber of that state, which holds it, sees its last message, and hears nothing. Observers are told.
    ///
    /// # Errors
    ///
    /// As [`publisher`](Self::publisher).
    pub fn subscriber(&self, id: &str) -> Result<StateSubscriber, StateError> {
        Ok(StateSubscriber::new(self.0.hold(id)?))
    }

    /// Whether there is such a state just now.
    pub fn exists(&self, id: &str) -> bool {
        self.0.find(id).is_some()
    }

    /// The last message of that state; `None` also if there is no such state.
    pub fn last(&self, id: &str) -> Option<Message> {
        self.0.find(id)?.last()
    }

    /// How many states there are just now.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` for every state, until it breaks.
    ///
    /// No lock is held while it runs: it may do anything, also with this manager. A state that is there during the whole
    /// call is visited once; one that comes or goes meanwhile, once or not at all. Memory: the names of a sixty-fourth of
    /// the states are noted at a time.
    pub fn for_each<B>(&self, mut visit: impl FnMut(&StateView<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        for shard in 0..self.0.shards() {
            for state in self.0.states_of(shard) {
                if !state.is_gone() {
                    visit(&StateView::new(&self.0, &state))?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The same for the states that have a subscriber.
    pub fn for_each_subscribed<B>(
        &self,
        mut visit: impl FnMut(&StateView<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.for_each(|view| if view.is_subscribed() { visit(view) } else { ControlFlow::Continue(()) })
    }
}

impl fmt::Debug for StateManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateManager").field("name", &self.name()).field("states", &self.len()).finish()
    }
}

/// The managers of a bus, by name. They live by their users.
pub(crate) struct Managers(Mutex<HashMap<Box<str>, Weak<Core>>>);

impl Managers {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// The manager of that topic: one for all who ask.
    pub(crate) fn get(&self, topic: &Topic) -> StateManager {
        let made = Arc::new(Core::new(topic));
        let mut managers = self.0.lock();
        if let Some(live) = managers.get(topic.name()).and_then(Weak::upgrade) {
            drop(managers);
            return StateManager(live);
        }
        managers.retain(|_, manager| manager.strong_count() > 0);
        managers.insert(topic.name().into(), Arc::downgrade(&made));
        StateManager(made)
    }
}
