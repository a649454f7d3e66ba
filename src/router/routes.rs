//! The routes of a router, to be changed by anybody at any time.

use super::route::{Route, typed};
use super::shared::Core;
use super::table::Of;
use crate::error::{RouteError, WaitError};
use crate::message::{CacheUpdate, Formatters, MessageType};
use crate::subscription::Delivery;
use crate::sync::{Arc, Weak};
use std::fmt;

/// The routes of a [`Router`](crate::Router), to be changed from any thread at any time, also from inside a route.
///
/// Cheap to clone. It keeps nothing alive and ends nothing when dropped: a route may hold it. A router has all its
/// methods as well. Once the router has ended, adding is [`RouteError::Ended`] and removing finds nothing.
///
/// **What is in flight.** When a call here has returned, every message *handled* later goes by the changed routes, also one
/// that was queued before; and no publish that begins later uses the old filter. So: after an add, what was published
/// before and refused by the filter is gone; what is queued goes to the new route. After a remove or a replacement, a
/// call of the old route that was looked up before may still be under way on another thread, and it is the last:
/// [`remove_and_wait`](Self::remove_and_wait) waits for it. What is queued when a route goes, and finds no other one, is
/// dropped and counted ([`RouterStats::unrouted`](crate::RouterStats::unrouted)).
///
/// **Removed closures** are dropped under no lock: by the thread that removed them, or, if the router is in a call just
/// then, after that call by the thread that makes it. Those there at the end are dropped after the final message, before
/// [`join`](crate::Router::join) returns. A panic in that is caught, counted by the bus, and told to its hook.
///
/// **Cost** of a change: a copy of the table (a reference for each type number in use), and what
/// [`set_filter`](crate::Subscription::set_filter) costs: the topic's writer lock and a copy of its list. Neither
/// publishers nor the router wait for it.
///
/// ```
/// # let bus = stasis_bus::Bus::builder().manual().build()?;
/// let (rang, calls) = (bus.message_type::<String>("rang")?, bus.topic("calls")?);
/// let (tell, told) = std::sync::mpsc::channel();
/// let builder = calls.router("first call");
/// let (routes, kind) = (builder.routes(), rang.clone());
/// let router = builder
///     .route(&rang, move |who, _| {
///         drop(tell.send(who.clone()));
///         routes.remove(&kind);
///     })
///     .start()?;
/// calls.publish(rang.message("alice".to_owned()));
/// bus.run_until_idle();
/// assert!(!calls.wants(&rang), "nothing is delivered that has no route");
/// assert_eq!(told.iter().collect::<Vec<_>>(), ["alice"]);
/// # drop(router);
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone)]
pub struct Routes(Weak<Core>);

impl Routes {
    pub(super) fn of(core: &Arc<Core>) -> Self {
        Self(Arc::downgrade(core))
    }

    fn core(&self) -> Result<Arc<Core>, RouteError> {
        self.0.upgrade().ok_or(RouteError::Ended)
    }

    fn taken_out(&self, of: Of, kind: &MessageType<impl Sized>) -> Option<(Arc<Core>, Arc<Route>)> {
        let core = self.0.upgrade()?;
        let route = core.remove(of, kind.kind())?;
        Some((core, route))
    }

    /// Sends messages of this type to `route` from now on.
    ///
    /// # Errors
    ///
    /// If the type has a route already, belongs to another bus, or the router has ended; then nothing changes, and `route` is
    /// dropped.
    pub fn add<T: Send + Sync + 'static>(
        &self,
        kind: &MessageType<T>,
        route: impl FnMut(&T, &Delivery<'_>) + Send + 'static,
    ) -> Result<(), RouteError> {
        self.core()?.add(Of::Messages, kind.kind(), typed(kind, route))
    }

    /// The same in the place of the route it has, if it has one (then: true). No message finds neither.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), but for the route it has.
    pub fn replace<T: Send + Sync + 'static>(
        &self,
        kind: &MessageType<T>,
        route: impl FnMut(&T, &Delivery<'_>) + Send + 'static,
    ) -> Result<bool, RouteError> {
        self.core()?.replace(Of::Messages, kind.kind(), typed(kind, route))
    }

    /// Takes the route of this type away. False: there is none.
    pub fn remove<T>(&self, kind: &MessageType<T>) -> bool {
        self.taken_out(Of::Messages, kind).is_some()
    }

    /// The same, and waits until its closure has been dropped: so no call of it is under way any more.
    ///
    /// It waits for the one call that the router is in, if it is in one. From a pool handler it makes progress with one
    /// worker too: another thread takes the waiting worker's place.
    ///
    /// # Errors
    ///
    /// [`WaitError::WouldDeadlock`] from inside any route of this router, or if the call under way waits for the calling
    /// thread in any other way that the bus knows of; [`WaitError::TooManyWaiting`] from a pool handler if no thread can
    /// take its worker's place. The route is removed all the same.
    pub fn remove_and_wait<T>(&self, kind: &MessageType<T>) -> Result<bool, WaitError> {
        let Some((core, route)) = self.taken_out(Of::Messages, kind) else { return Ok(false) };
        core.wait_for(route)?;
        Ok(true)
    }

    /// Sends updates of cache entries of this type to `route` from now on, before any route of the type
    /// [`CacheUpdate`] itself.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_update<T>(
        &self,
        kind: &MessageType<T>,
        route: impl FnMut(&CacheUpdate, &Delivery<'_>) + Send + 'static,
    ) -> Result<(), RouteError> {
        let core = self.core()?;
        core.add(Of::Updates, kind.kind(), typed(core.updates(), route))
    }

    /// The same in the place of the route they have, if they have one (then: true).
    ///
    /// # Errors
    ///
    /// As [`replace`](Self::replace).
    pub fn replace_update<T>(
        &self,
        kind: &MessageType<T>,
        route: impl FnMut(&CacheUpdate, &Delivery<'_>) + Send + 'static,
    ) -> Result<bool, RouteError> {
        let core = self.core()?;
        core.replace(Of::Updates, kind.kind(), typed(core.updates(), route))
    }

    /// Takes the route of updates of cache entries of this type away. False: there is none.
    pub fn remove_update<T>(&self, kind: &MessageType<T>) -> bool {
        self.taken_out(Of::Updates, kind).is_some()
    }

    /// The same, and waits as [`remove_and_wait`](Self::remove_and_wait) does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn remove_update_and_wait<T>(&self, kind: &MessageType<T>) -> Result<bool, WaitError> {
        let Some((core, route)) = self.taken_out(Of::Updates, kind) else { return Ok(false) };
        core.wait_for(route)?;
        Ok(true)
    }

    /// Sends everything that has no route to `route` from now on, and lets **every message of the topic** through the
    /// filter. Where that is too much: [`set_formatters`](Self::set_formatters). One such route stands: this one takes the
    /// place of the one there is (then: true).
    ///
    /// # Errors
    ///
    /// If the router has ended.
    pub fn set_default(&self, route: impl FnMut(&Delivery<'_>) + Send + 'static) -> Result<bool, RouteError> {
        self.core()?.set_rest(None, Box::new(route))
    }

    /// Sends messages whose type has one of these formatters, and no route, to `route` from now on. The filter keeps away
    /// what has neither. Otherwise as [`set_default`](Self::set_default), whose place it takes.
    ///
    /// # Errors
    ///
    /// If the router has ended.
    pub fn set_formatters(
        &self,
        formatters: Formatters,
        route: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Result<bool, RouteError> {
        self.core()?.set_rest(Some(formatters), Box::new(route))
    }

    /// Takes the route of everything else away, and lets only routed types through again. False: there is none.
    pub fn clear_default(&self) -> bool {
        self.0.upgrade().is_some_and(|core| core.clear_rest())
    }

    /// Ends the router, if nobody has yet (then: true), as [`Subscription::unsubscribe`](crate::Subscription::unsubscribe)
    /// does. Never waits. A router that has not started yet ends when it has.
    pub fn unsubscribe(&self) -> bool {
        self.0.upgrade().is_some_and(|core| core.unsubscribe())
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(core) = self.0.upgrade() else { return f.write_str("Routes(ended)") };
        f.debug_struct("Routes")
            .field("router", &core.name())
            .field("routes", &core.count(Of::Messages))
            .field("update_routes", &core.count(Of::Updates))
            .field("has_default", &core.has_rest())
            .finish()
    }
}
