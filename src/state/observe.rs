//! Those who hear of subscribers.

use super::core::{Core, Hold};
use super::{StateManager, StateView};
use crate::dispatch::fence::{PanicPlace, caught};
use crate::dispatch::frames;
use crate::sync::{Arc, Mutex};
use std::fmt;

/// Hears when states get subscribers and lose them.
///
/// Called on the thread that subscribes or leaves, under no lock: it may do anything, also add and remove observers, and
/// publish, subscribe or ask in the same manager. A panic is caught and told to the bus's hook.
pub trait StateObserver: Send + Sync {
    /// A subscriber has come. The state is held; a subscription that it has is not visible yet.
    fn on_subscribe(&self, state: &StateView<'_>) {
        let _ = state;
    }

    /// A subscriber is leaving. Its subscription, if it has one, has been ended; the state is held until this returns.
    fn on_unsubscribe(&self, state: &StateView<'_>) {
        let _ = state;
    }
}

/// An observer that is told; it is not any more when this is dropped.
///
/// A subscriber that comes after the drop has returned is not told of; one that comes at the same time may be.
#[must_use = "dropping it removes the observer; call detach() to keep it for the life of the manager"]
pub struct StateObservation {
    core: Arc<Core>,
    number: u64,
    keep: bool,
}

#[derive(Clone)]
struct Observer {
    number: u64,
    call: Arc<Guarded>,
}

/// An observer, whose drop may panic as well.
struct Guarded(Option<Box<dyn StateObserver>>);

impl Drop for Guarded {
    fn drop(&mut self) {
        let observer = self.0.take();
        let _ = caught(|| drop(observer));
    }
}

/// A list that is replaced whole, so that nobody is called under its lock.
pub(super) struct Observers(Mutex<Arc<[Observer]>>);

impl Observers {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Arc::new([])))
    }

    fn edit(&self, change: impl FnOnce(&mut Vec<Observer>)) {
        let mut list = self.0.lock();
        let mut edited = list.to_vec();
        change(&mut edited);
        let old = std::mem::replace(&mut *list, edited.into());
        drop(list);
        drop(old);
    }

    /// Tells all of them of `hold`'s state.
    pub(super) fn tell(&self, hold: &Hold, tell: fn(&dyn StateObserver, &StateView<'_>)) {
        let list = self.0.lock().clone();
        if list.is_empty() {
            return;
        }
        let (view, topic) = (StateView::new(&hold.core, &hold.state), hold.core.topic.core());
        let exchange = &topic.exchange;
        for observer in &*list {
            let Some(call) = &observer.call.0 else { continue };
            frames::enter(exchange.id, hold.core.number, || {
                exchange.fence.run(&topic.name, PanicPlace::Observer, || tell(&**call, &view))
            });
        }
    }
}

impl StateManager {
    /// From now on `observer` hears of subscribers, until the handle is dropped.
    ///
    /// An observer that keeps a handle of the manager keeps the manager: it gets one from what it is shown.
    pub fn add_observer(&self, observer: impl StateObserver + 'static) -> StateObservation {
        let number = crate::ids::next();
        let call = Arc::new(Guarded(Some(Box::new(observer))));
        self.0.observers.edit(|list| list.push(Observer { number, call }));
        StateObservation { core: self.0.clone(), number, keep: false }
    }
}

impl StateObservation {
    /// Keeps the observer for the life of the manager.
    pub fn detach(mut self) {
        self.keep = true;
    }
}

impl Drop for StateObservation {
    fn drop(&mut self) {
        if !self.keep {
            self.core.observers.edit(|list| list.retain(|observer| observer.number != self.number));
        }
    }
}

impl fmt::Debug for StateObservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateObservation").field("manager", &self.core.topic.name()).finish()
    }
}
