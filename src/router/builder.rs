//! Everything about a router, said before it is visible.

use super::route::typed;
use super::shared::{Core, Runner};
use super::table::Of;
use super::{Router, Routes};
use crate::dispatch::wait::Wait;
use crate::error::{RouteError, SubscribeError};
use crate::mailbox::{Dispatch, OnPanic, Overflow, WaterMark};
use crate::message::{CacheUpdate, Formatters, MessageType};
use crate::subscription::{Delivery, SubscriptionBuilder};
use crate::sync::Arc;
use crate::topic::Topic;
use std::fmt;

/// A router in the making: the options of a [subscription](SubscriptionBuilder), then its first routes.
///
/// Nothing is visible before [`start`](Self::start); then all of it is, at once. Options not said are a subscription's
/// defaults. There is no filter to be said: it follows the routes.
///
/// ```
/// use stasis_bus::{Bus, Formatters};
/// let bus = Bus::builder().manual().build()?;
/// let (rang, hung_up) = (bus.message_type::<String>("rang")?, bus.message_type::<u32>("hung_up")?);
/// let calls = bus.topic("calls")?;
/// let router = calls
///     .router("cdr")
///     .capacity(4096)
///     .route(&rang, |who, _| println!("{who} rang"))
///     .route(&hung_up, |cause, _| println!("hung up: {cause}"))
///     .start()?;
/// assert_eq!(calls.publish(rang.message("alice".to_owned())).accepted, 1);
/// bus.run_until_idle();
/// router.unsubscribe_and_join()?;
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use = "nothing is routed before start()"]
pub struct RouterBuilder<'a> {
    subscription: SubscriptionBuilder<'a>,
    core: Arc<Core>,
    refused: Option<RouteError>,
}

impl Topic {
    /// Begins a router of that name: one subscription on this topic, whose messages go to routes by their types.
    ///
    /// Per message it costs what a subscription costs, and the look-up: one snapshot load and one indexed load,
    /// however many routes there are.
    pub fn router(&self, name: impl Into<String>) -> RouterBuilder<'_> {
        self.subscription(name).router()
    }
}

impl<'a> SubscriptionBuilder<'a> {
    /// Makes it a router: its messages go to routes by their types, with the options said so far.
    ///
    /// What was said of updates ([`id_prefix`](Self::id_prefix), [`update_origin`](Self::update_origin)) stands, whatever their
    /// routes; types are not to be named here. A [snapshot](crate::Cache::snapshot_subscription) has the entries whose updates
    /// have a route when the router starts; a route that is added later gets changes alone. Its end comes in any case, and is
    /// not counted if it has no route.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (state, topic) = (bus.message_type::<String>("state")?, bus.topic("states")?);
    /// let cache = stasis_bus::Cache::builder(&bus).id_of(&state, |state| state).build()?;
    /// let _cached = topic.caching(&cache)?;
    /// topic.publish(state.message("alice".to_owned()));
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let late = cache.snapshot_subscription("late").router();
    /// let late = late.route_update(&state, move |update, _| tell.send(update.id().to_owned()).unwrap()).start()?;
    /// bus.run_until_idle();
    /// assert_eq!(told.try_recv().as_deref(), Ok("alice"));
    /// # drop(late);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn router(self) -> RouterBuilder<'a> {
        let core = Core::new(&self);
        RouterBuilder { subscription: self, core, refused: None }
    }
}

/// Options of the subscription.
impl RouterBuilder<'_> {
    /// On which thread the routes run: Serial, [Pool](Dispatch::Pool) (the default) or Dedicated.
    ///
    /// Inline is taken as Serial: publishers run the routes in both, and routes are called one at a time. A Stream has
    /// nobody who would call them, and is refused by [`start`](Self::start).
    pub fn dispatch(self, dispatch: Dispatch) -> Self {
        self.with(|subscription| subscription.dispatch(dispatch))
    }

    /// As [`SubscriptionBuilder::capacity`].
    pub fn capacity(self, messages: usize) -> Self {
        self.with(|subscription| subscription.capacity(messages))
    }

    /// As [`SubscriptionBuilder::overflow`].
    pub fn overflow(self, overflow: Overflow) -> Self {
        self.with(|subscription| subscription.overflow(overflow))
    }

    /// As [`SubscriptionBuilder::water_marks`].
    pub fn water_marks(self, high: usize, low: usize) -> Self {
        self.with(|subscription| subscription.water_marks(high, low))
    }

    /// As [`SubscriptionBuilder::on_water_mark`].
    pub fn on_water_mark(self, callback: impl FnMut(&WaterMark) + Send + 'static) -> Self {
        self.with(|subscription| subscription.on_water_mark(callback))
    }

    /// As [`SubscriptionBuilder::on_panic`], of a panic in any route.
    pub fn on_panic(self, on_panic: OnPanic) -> Self {
        self.with(|subscription| subscription.on_panic(on_panic))
    }

    /// As [`SubscriptionBuilder::on_end`]: called with the final message in any case, after the route it went to, if any.
    pub fn on_end(self, on_end: impl FnOnce(&Delivery<'_>) + Send + 'static) -> Self {
        self.with(|subscription| subscription.on_end(on_end))
    }

    /// As [`SubscriptionBuilder::wait`].
    pub fn wait(self, wait: Wait) -> Self {
        self.with(|subscription| subscription.wait(wait))
    }

    /// As [`SubscriptionBuilder::thread_name`].
    pub fn thread_name(self, name: impl Into<String>) -> Self {
        self.with(|subscription| subscription.thread_name(name))
    }

    fn with(self, option: impl FnOnce(SubscriptionBuilder<'_>) -> SubscriptionBuilder<'_>) -> Self {
        Self { subscription: option(self.subscription), ..self }
    }
}

/// The first routes.
impl RouterBuilder<'_> {
    /// Sends messages of this type to `route`, which is called with the value. A type has one route; that a second one was
    /// said is an error of [`start`](Self::start) that names the type.
    pub fn route<T: Send + Sync + 'static>(
        self,
        kind: &MessageType<T>,
        route: impl FnMut(&T, &Delivery<'_>) + Send + 'static,
    ) -> Self {
        self.edit(|core| core.add(Of::Messages, kind.kind(), typed(kind, route)))
    }

    /// Sends updates of cache entries of this type to `route`. Such an update goes here, not to a route of the type
    /// [`CacheUpdate`] itself.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (state, topic) = (bus.message_type::<u8>("state")?, bus.topic("cached")?);
    /// let router = topic
    ///     .router("ui")
    ///     .route_update(&state, |update, _| println!("{} is {:?}", update.id(), update.new))
    ///     .start()?;
    /// assert!(topic.wants(bus.cache_updates()));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn route_update<T>(
        self,
        kind: &MessageType<T>,
        route: impl FnMut(&CacheUpdate, &Delivery<'_>) + Send + 'static,
    ) -> Self {
        self.edit(|core| core.add(Of::Updates, kind.kind(), typed(core.updates(), route)))
    }

    /// Sends everything that has no route to `route`, and so lets **every message of the topic** through the filter. Where
    /// that is too much: [`route_formatters`](Self::route_formatters). Of these two, what was said last stands.
    pub fn route_default(self, route: impl FnMut(&Delivery<'_>) + Send + 'static) -> Self {
        self.edit(|core| core.set_rest(None, Box::new(route)).map(drop))
    }

    /// Sends messages whose type has one of these formatters, and no route, to `route`. The filter keeps away what has
    /// neither.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// use stasis_bus::{AmiEvent, Formatters};
    /// let hangup = bus.define::<u8>("hangup").ami(|_, _| Some(AmiEvent::new("Hangup"))).declare()?;
    /// let (debug, calls) = (bus.message_type::<String>("debug")?, bus.topic("calls")?);
    /// let manager = calls
    ///     .router("manager")
    ///     .route_formatters(Formatters::AMI, |delivery| println!("{:?}", delivery.message().to_ami()))
    ///     .start()?;
    /// assert!(calls.wants(&hangup) && !calls.wants(&debug));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn route_formatters(
        self,
        formatters: Formatters,
        route: impl FnMut(&Delivery<'_>) + Send + 'static,
    ) -> Self {
        self.edit(|core| core.set_rest(Some(formatters), Box::new(route)).map(drop))
    }

    /// Its routes, for a route that changes them: cheap to clone, and keeps nothing alive.
    pub fn routes(&self) -> Routes {
        Routes::of(&self.core)
    }

    /// The first error is kept for [`start`](Self::start).
    fn edit(mut self, edit: impl FnOnce(&Core) -> Result<(), RouteError>) -> Self {
        let done = edit(&self.core);
        self.refused = self.refused.or(done.err());
        self
    }

    /// Subscribes: what was said becomes visible, at once.
    ///
    /// # Errors
    ///
    /// As [`SubscriptionBuilder::start`]; if a type was given two routes, or belongs to another bus; if the dispatch is Stream, or
    /// a filter was said that names types.
    /// Then all routes are dropped.
    pub fn start(self) -> Result<Router, SubscribeError> {
        let Self { subscription, core, refused } = self;
        let mut runner = Runner::new(&core);
        if let Some(refused) = refused {
            return Err(refused.into());
        }
        let dispatch = check(&subscription)?;
        let filter = core.filter();
        let subscription = subscription.dispatch(dispatch).filter(filter.clone());
        let subscription = subscription.start(move |delivery| runner.route(delivery))?;
        core.is_visible(subscription.member(), &filter);
        Ok(Router::new(subscription, core))
    }
}

/// How it is dispatched, if that and its filter are for a router.
fn check(subscription: &SubscriptionBuilder<'_>) -> Result<Dispatch, SubscribeError> {
    let refused = |option, allowed| Err(SubscribeError::Unsuitable { option, call: "router", allowed });
    if subscription.said_filter().names_types() {
        return refused("a filter that names types", "the filter of a router follows its routes");
    }
    match subscription.said_dispatch() {
        Dispatch::Inline => Ok(Dispatch::Serial),
        Dispatch::Stream => refused(
            "dispatch stream",
            "routes are called by the bus: serial, pool, dedicated; inline is serial",
        ),
        dispatch => Ok(dispatch),
    }
}

impl fmt::Debug for RouterBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterBuilder")
            .field("subscription", &self.subscription)
            .field("routes", &self.routes())
            .finish_non_exhaustive()
    }
}
