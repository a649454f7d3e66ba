//! The handle of a running router.

use super::Routes;
use super::shared::Core;
use super::table::Of;
use crate::error::WaitError;
use crate::mailbox::{Dispatch, Filter};
use crate::message::Message;
use crate::stats::SubscriptionStats;
use crate::subscription::{Handled, Subscription};
use crate::sync::Arc;
use crate::topic::Topic;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// A running router: one subscription whose messages go to routes; ends when dropped.
///
/// Made by [`Topic::router`]. Routes are called one at a time, in the order of the messages, with everything that the
/// [guarantees](crate) say of a subscription: bounded mailbox, overflow policy, `missed`, panics caught and told with the
/// router's name, exactly one final message.
///
/// | a message | goes to |
/// | --- | --- |
/// | a cache update of an entry of type `T` | the [update route](crate::RouterBuilder::route_update) of `T`, if there is one |
/// | of type `T` (also an update) | the [route](crate::RouterBuilder::route) of `T`, if there is one |
/// | anything else | the [default route](crate::RouterBuilder::route_default), if there is one; of [formatters](crate::RouterBuilder::route_formatters) only what has one of them |
/// | that finds none | nobody: counted, [`RouterStats::unrouted`] |
///
/// Only what has a route is delivered: the subscription's filter follows the routes, whenever they change. So without a
/// default route, little is ever unrouted: what was queued when its route was removed.
///
/// The final message (see [`Bus::subscription_changes`](crate::Bus::subscription_changes)) goes to the route of that type, if there is one,
/// else to the default route, whatever its formatters; and then to [`on_end`](crate::RouterBuilder::on_end). The router's
/// own `Subscribe`, and those of others, come if their type has a route or the default takes it.
///
/// All methods of [`Routes`] are the router's as well.
#[must_use = "dropping it ends the router; call detach() to keep it for the life of the bus"]
pub struct Router {
    subscription: Subscription,
    routes: Routes,
    core: Arc<Core>,
}

impl Router {
    pub(super) fn new(subscription: Subscription, core: Arc<Core>) -> Self {
        Self { subscription, routes: Routes::of(&core), core }
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        self.subscription.name()
    }

    /// The number of its subscription, unique in the process.
    pub fn id(&self) -> u64 {
        self.subscription.id()
    }

    /// The topic that was subscribed to.
    pub fn topic(&self) -> Topic {
        self.subscription.topic()
    }

    /// On which thread its routes run.
    pub fn dispatch(&self) -> Dispatch {
        self.subscription.dispatch()
    }

    /// What its routes let through now; `None` if it has ended.
    pub fn filter(&self) -> Option<Filter> {
        self.subscription.filter()
    }

    /// Its routes, to be handed on. Cheap to clone; ends nothing when dropped.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Its figures now.
    pub fn stats(&self) -> RouterStats {
        RouterStats {
            subscription: self.subscription.stats(),
            routes: self.core.count(Of::Messages),
            update_routes: self.core.count(Of::Updates),
            has_default: self.core.has_rest(),
            unrouted: self.core.unrouted(),
        }
    }

    /// Whether nobody has ended it yet.
    pub fn is_subscribed(&self) -> bool {
        self.subscription.is_subscribed()
    }

    /// Whether its final message has been routed, the last call of any route has returned, and the routes have been dropped.
    pub fn is_done(&self) -> bool {
        self.subscription.is_done()
    }

    /// Ends it, if nobody has yet (then: true). Never waits. What is queued is routed, then the final message.
    pub fn unsubscribe(&self) -> bool {
        self.subscription.unsubscribe()
    }

    /// Waits until [`is_done`](Self::is_done), whoever ends it. Any number of threads may wait.
    ///
    /// # Errors
    ///
    /// As [`Subscription::join`]: [`WaitError::WouldDeadlock`] from inside a route.
    pub fn join(&self) -> Result<(), WaitError> {
        self.subscription.join()
    }

    /// The same, for at most so long.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join), and [`WaitError::TimedOut`].
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.subscription.join_timeout(timeout)
    }

    /// Ends it and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join); the router ends all the same.
    pub fn unsubscribe_and_join(self) -> Result<(), WaitError> {
        self.subscription.unsubscribe_and_join()
    }

    /// Keeps it for the life of the bus. Its [`routes`](Self::routes) can still be changed.
    pub fn detach(self) {
        self.subscription.detach();
    }

    /// Publishes on this router's topic, and returns when the message has been routed here; everybody else gets it as usual.
    ///
    /// [`Handled::Filtered`]: no route, and no default that takes it.
    ///
    /// # Errors
    ///
    /// As [`Subscription::publish_sync`].
    pub fn publish_sync(&self, message: Message, timeout: Option<Duration>) -> Result<Handled, WaitError> {
        self.subscription.publish_sync(message, timeout)
    }
}

impl Deref for Router {
    type Target = Routes;
    fn deref(&self) -> &Routes {
        &self.routes
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("topic", &self.topic().name())
            .field("routes", &self.routes)
            .field("subscribed", &self.is_subscribed())
            .finish_non_exhaustive()
    }
}

/// One router's figures at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RouterStats {
    /// Those of its subscription.
    pub subscription: SubscriptionStats,
    /// Types that have a route.
    pub routes: usize,
    /// Types whose cache updates have one.
    pub update_routes: usize,
    /// Whether there is a route for everything else, or for formatters.
    pub has_default: bool,
    /// Messages delivered that found no route: queued when theirs was removed.
    pub unrouted: u64,
}
