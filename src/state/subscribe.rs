//! Who listens to a state: subscribers that hold it, and subscriptions on its topic.

use super::StateManager;
use super::core::Hold;
use crate::error::{StateError, SubscribeError, WaitError};
use crate::message::{Message, MessageType};
use crate::subscription::{Delivery, Stream, Subscription, SubscriptionBuilder};
use crate::topic::Topic;
use std::fmt;

/// Holds one state and sees its last message; leaves when dropped, which observers are told of.
#[must_use = "dropping it lets go of the state; call detach() to hold it for the life of the bus"]
pub struct StateSubscriber {
    hold: Hold,
}

impl StateSubscriber {
    pub(super) fn new(hold: Hold) -> Self {
        hold.state.add_subscriber();
        hold.core.observers.tell(&hold, |observer, state| observer.on_subscribe(state));
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

    /// Holds the state, and so its manager, for the life of the bus.
    pub fn detach(self) {
        let exchange = self.topic().core().exchange.clone();
        exchange.keep_until_end(Box::new(self));
    }
}

impl Drop for StateSubscriber {
    fn drop(&mut self) {
        self.hold.core.observers.tell(&self.hold, |observer, state| observer.on_unsubscribe(state));
        self.hold.state.remove_subscriber();
    }
}

impl fmt::Debug for StateSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.hold.core.topic.name();
        f.debug_struct("StateSubscriber").field("manager", &name).field("id", &self.id()).finish()
    }
}

/// A subscription on one state's topic, which holds the state; ends when dropped.
#[must_use = "dropping it ends the subscription and lets go of the state; call detach() to keep both"]
pub struct StateSubscription {
    // In this order: it ends before observers are told that the subscriber leaves.
    subscription: Subscription,
    subscriber: StateSubscriber,
}

impl StateSubscription {
    /// The state's id.
    pub fn id(&self) -> &str {
        self.subscriber.id()
    }

    /// The state's last message.
    pub fn last(&self) -> Option<Message> {
        self.subscriber.last()
    }

    /// The subscriber by which it holds the state.
    pub fn subscriber(&self) -> &StateSubscriber {
        &self.subscriber
    }

    /// The subscription itself: its figures, its filter, its end. What its
    /// [`publish_sync`](Subscription::publish_sync) publishes is delivered on the state's topic, and not stored.
    pub fn handle(&self) -> &Subscription {
        &self.subscription
    }

    /// Keeps the subscription, and holds the state, for the life of the bus.
    pub fn detach(self) {
        self.subscription.detach();
        self.subscriber.detach();
    }

    /// Ends the subscription and waits for its end, and then lets go of the state.
    ///
    /// # Errors
    ///
    /// As [`Subscription::join`]; it ends all the same.
    pub fn unsubscribe_and_join(self) -> Result<(), WaitError> {
        self.subscription.unsubscribe();
        self.subscription.join()
    }
}

impl fmt::Debug for StateSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateSubscription")
            .field("id", &self.id())
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}

type Configure<'a> = Box<dyn for<'b> FnOnce(SubscriptionBuilder<'b>) -> SubscriptionBuilder<'b> + Send + 'a>;

/// A subscription on one state in the making.
#[must_use = "nothing is subscribed before start(), inline() or stream()"]
pub struct StateSubscriptionBuilder<'a> {
    manager: &'a StateManager,
    id: String,
    name: String,
    with_state: bool,
    configure: Option<Configure<'a>>,
}

impl StateManager {
    /// Begins a subscription of that name on that state's topic.
    ///
    /// ```
    /// let bus = stasis_bus::Bus::builder().manual().build()?;
    /// let state = bus.message_type::<u8>("device_state")?;
    /// let devices = bus.state_manager("device")?;
    /// let phone = devices.publisher("alice")?;
    /// phone.publish(state.message(1));
    /// let (kind, seen) = (state.clone(), std::sync::mpsc::channel());
    /// let watcher = devices
    ///     .subscription("alice", "watcher")
    ///     .with_state()
    ///     .configure(|subscription| subscription.accept(&state).capacity(16))
    ///     .start(move |delivery| drop(seen.0.send(delivery.read(&kind).copied())))?;
    /// phone.publish(state.message(2));
    /// bus.run_until_idle();
    /// assert_eq!(seen.1.try_iter().collect::<Vec<_>>(), [Some(1), Some(2)]);
    /// # drop(watcher);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn subscription(&self, id: &str, name: impl Into<String>) -> StateSubscriptionBuilder<'_> {
        StateSubscriptionBuilder {
            manager: self,
            id: id.to_owned(),
            name: name.into(),
            with_state: false,
            configure: None,
        }
    }

    /// Subscribes to what is published on that state, with the workers of the bus and default limits. Shorthand for
    /// `subscription(id, name).start(handler)`.
    ///
    /// # Errors
    ///
    /// As [`StateSubscriptionBuilder::start`].
    pub fn subscribe(
        &self,
        id: &str,
        name: impl Into<String>,
        handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<StateSubscription, StateError> {
        self.subscription(id, name).start(handler)
    }
}

impl<'a> StateSubscriptionBuilder<'a> {
    /// Begins with the state's message, if it has one that the filter wants: after the subscription's own `Subscribe`,
    /// before everything else. What is stored later follows, none missed and none twice.
    ///
    /// The first message is subject to no overflow policy; later ones are. An inline handler is taken as Serial.
    pub fn with_state(mut self) -> Self {
        self.with_state = true;
        self
    }

    /// Everything else about the subscription: filter, dispatch, capacity, policy. Replaces what was said before.
    pub fn configure(
        mut self,
        configure: impl for<'b> FnOnce(SubscriptionBuilder<'b>) -> SubscriptionBuilder<'b> + Send + 'a,
    ) -> Self {
        self.configure = Some(Box::new(configure));
        self
    }

    /// Subscribes with a handler, as [`SubscriptionBuilder::start`] does.
    ///
    /// # Errors
    ///
    /// If the id is refused, or the subscription is.
    pub fn start(
        self,
        handler: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<StateSubscription, StateError> {
        self.finish(|builder| builder.start(handler)).map(StateSubscription::of)
    }

    /// Subscribes with a handler for values, as [`SubscriptionBuilder::start_typed`] does.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_typed<T: Send + Sync + 'static>(
        self,
        kind: &MessageType<T>,
        handler: impl FnMut(&T, &Delivery<'_>) + Send + 'static,
    ) -> Result<StateSubscription, StateError> {
        self.finish(|builder| builder.start_typed(kind, handler)).map(StateSubscription::of)
    }

    /// Subscribes with a handler that publishers call, as [`SubscriptionBuilder::inline`] does.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn inline(
        self,
        handler: impl Fn(&Delivery<'_>) + Send + Sync + 'static,
    ) -> Result<StateSubscription, StateError> {
        self.finish(|builder| builder.inline(handler)).map(StateSubscription::of)
    }

    /// Subscribes without a handler: messages wait until they are read. The subscriber holds the state.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn stream(self) -> Result<(StateSubscriber, Stream), StateError> {
        self.finish(|builder| builder.stream())
    }

    fn finish<S>(
        self,
        call: impl FnOnce(SubscriptionBuilder<'_>) -> Result<S, SubscribeError>,
    ) -> Result<(StateSubscriber, S), StateError> {
        let subscriber = self.manager.subscriber(&self.id)?;
        let mut builder = subscriber.topic().subscription(self.name);
        if let Some(configure) = self.configure {
            builder = configure(builder);
        }
        if self.with_state {
            builder = builder.catching_up(subscriber.hold.state.clone());
        }
        let made = call(builder)?;
        Ok((subscriber, made))
    }
}

impl StateSubscription {
    fn of((subscriber, subscription): (StateSubscriber, Subscription)) -> Self {
        Self { subscription, subscriber }
    }
}

impl fmt::Debug for StateSubscriptionBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateSubscriptionBuilder")
            .field("manager", &self.manager.name())
            .field("id", &self.id)
            .field("name", &self.name)
            .field("with_state", &self.with_state)
            .finish_non_exhaustive()
    }
}
