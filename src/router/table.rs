//! Which message goes where: one immutable table, indexed by the numbers of message types.

use super::route::Route;
use crate::error::RouteError;
use crate::mailbox::Filter;
use crate::message::kind::Kind;
use crate::message::{CacheUpdate, Formatters, MessageType};
use crate::subscription::Delivery;
use crate::sync::Arc;

#[derive(Clone, Default)]
pub(super) struct Table {
    plain: Numbered,
    updates: Numbered,
    rest: Option<Rest>,
}

/// What a route by type is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Messages of the type.
    Messages,
    /// Updates of cache entries of the type.
    Updates,
}

/// Where everything else goes.
#[derive(Clone)]
pub(super) struct Rest {
    pub(super) route: Arc<Route>,
    /// Only types with one of these; none: all types.
    pub(super) formatters: Option<Formatters>,
}

impl Table {
    /// Where the message goes. The final one is for everything else whatever its formatters are.
    #[inline]
    pub(super) fn find(&self, updates: &MessageType<CacheUpdate>, delivery: &Delivery<'_>) -> Option<&Route> {
        let kind = delivery.message().kind();
        let inner = delivery.read(updates).and_then(|update| self.updates.get(update.type_id()));
        let by_type = inner.or_else(|| self.plain.get(kind.id()));
        by_type.or_else(|| {
            let rest = self.rest.as_ref()?;
            (delivery.is_final() || rest.takes(kind)).then_some(&*rest.route)
        })
    }

    /// The filter that lets through what has a route, and no more; of updates, what `base` does.
    pub(super) fn filter(&self, base: &Filter, updates: &MessageType<CacheUpdate>) -> Filter {
        let formatters = match &self.rest {
            Some(Rest { formatters: None, .. }) => return base.clone(),
            Some(Rest { formatters: Some(formatters), .. }) => *formatters,
            None => Formatters::NONE,
        };
        let none = base.clone().accept_formatters(formatters);
        let filter = kinds(&self.plain).fold(none, Filter::accept_kind);
        if filter.accepts(updates.kind()) {
            // All updates go somewhere.
            return filter;
        }
        kinds(&self.updates).fold(filter, Filter::accept_update_of_kind)
    }

    /// Puts a route where there is none yet.
    pub(super) fn add(&mut self, of: Of, kind: &Arc<Kind>, route: &Arc<Route>) -> Result<(), RouteError> {
        let slot = self.routes(of).slot(kind.id());
        match slot {
            Some(_) => Err(RouteError::Taken { name: kind.name().to_owned(), updates: of == Of::Updates }),
            None => {
                *slot = Some(route.clone());
                Ok(())
            }
        }
    }

    /// Puts a route in the place of another one, if there is one, which is returned.
    pub(super) fn replace(&mut self, of: Of, kind: &Kind, route: &Arc<Route>) -> Option<Arc<Route>> {
        self.routes(of).slot(kind.id()).replace(route.clone())
    }

    pub(super) fn remove(&mut self, of: Of, kind: &Kind) -> Option<Arc<Route>> {
        self.routes(of).remove(kind.id())
    }

    pub(super) fn set_rest(&mut self, rest: Option<Rest>) -> Option<Arc<Route>> {
        std::mem::replace(&mut self.rest, rest).map(|rest| rest.route)
    }

    pub(super) fn has_rest(&self) -> bool {
        self.rest.is_some()
    }

    pub(super) fn count(&self, of: Of) -> usize {
        match of {
            Of::Messages => self.plain.iter().count(),
            Of::Updates => self.updates.iter().count(),
        }
    }

    /// All routes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        let rest = self.rest.iter().map(|rest| &rest.route);
        self.plain.iter().chain(self.updates.iter()).chain(rest)
    }

    fn routes(&mut self, of: Of) -> &mut Numbered {
        match of {
            Of::Messages => &mut self.plain,
            Of::Updates => &mut self.updates,
        }
    }
}

/// The types that have a route.
fn kinds(routes: &Numbered) -> impl Iterator<Item = &Kind> {
    routes.iter().filter_map(|route| route.kind())
}

impl Rest {
    fn takes(&self, kind: &Kind) -> bool {
        self.formatters.is_none_or(|wanted| wanted.intersects(kind.formatters()))
    }
}

/// Routes by the numbers of their types.
#[derive(Clone, Default)]
struct Numbered(Vec<Option<Arc<Route>>>);

impl Numbered {
    #[inline]
    fn get(&self, id: u32) -> Option<&Route> {
        self.0.get(id as usize)?.as_deref()
    }

    fn slot(&mut self, id: u32) -> &mut Option<Arc<Route>> {
        let at = id as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        &mut self.0[at]
    }

    fn remove(&mut self, id: u32) -> Option<Arc<Route>> {
        self.0.get_mut(id as usize)?.take()
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter().flatten()
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use crate::message::CacheUpdate;
    use crate::message::entry_key::EntryKey;
    use crate::{Bus, Message, MessageType, Router, Topic};
    use std::sync::mpsc::{Receiver, channel};

    struct Setup {
        bus: Bus,
        topic: Topic,
        state: MessageType<u8>,
        other: MessageType<u8>,
    }

    impl Setup {
        fn new() -> Self {
            let bus = Bus::builder().manual().build().unwrap();
            let topic = bus.topic("cached").unwrap();
            let (state, other) = (bus.message_type("state").unwrap(), bus.message_type("other").unwrap());
            Self { bus, topic, state, other }
        }

        fn update(&self, state: Message) {
            let update = CacheUpdate::new(0, EntryKey::new(state.type_id(), "id"), None, Some(state));
            self.topic.publish(update.into_message(self.bus.cache_updates()));
        }

        /// One update of each type, and where they went.
        fn updates(&self, went: &Receiver<&'static str>) -> Vec<&'static str> {
            self.update(self.state.message(1));
            self.update(self.other.message(1));
            self.bus.run_until_idle();
            went.try_iter().collect()
        }

        fn router(&self) -> (Router, Receiver<&'static str>) {
            let (went, told) = channel();
            let [inner, update, plain, rest] = [went.clone(), went.clone(), went.clone(), went];
            let updates = self.bus.cache_updates().clone();
            let router = self
                .topic
                .router("r")
                .route_update(&self.state, move |update, _| {
                    assert_eq!((update.id(), update.type_name()), ("id", "state"));
                    inner.send("state").unwrap();
                })
                .route(&updates, move |_, _| update.send("update").unwrap())
                .route(&self.state, move |_, _| plain.send("plain").unwrap())
                .route_default(move |delivery| {
                    if delivery.read(&updates).is_some() {
                        rest.send("default").unwrap();
                    }
                });
            (router.start().unwrap(), told)
        }
    }

    #[test]
    fn updates_go_by_their_inner_type_first() {
        let setup = Setup::new();
        let (router, went) = setup.router();
        assert_eq!(setup.updates(&went), ["state", "update"]);
        router.remove_update(&setup.state);
        assert_eq!(setup.updates(&went), ["update", "update"], "never to the plain route of the inner type");
        router.remove(setup.bus.cache_updates());
        assert_eq!(setup.updates(&went), ["default", "default"]);
        router.clear_default();
        assert_eq!(setup.updates(&went), [""; 0]);
        let (tell, told) = channel();
        router
            .add_update(&setup.state, move |update, _| tell.send(update.type_name().to_owned()).unwrap())
            .unwrap();
        assert_eq!(setup.updates(&went), [""; 0]);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["state"]);
        assert_eq!(router.stats().unrouted, 0, "the filter keeps the others away");
    }
}
