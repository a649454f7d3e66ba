//! Who listens on one topic and where its messages go on to: replaced whole, loaded without waiting.

use super::TopicCore;
use super::catch_up::{CatchUp, Place};
use super::gate::Gate;
use super::tap::Tap;
use crate::mailbox::{Arrival, Entrance, Filter, Glance, Inline, Mailbox};
use crate::message::Message;
use crate::message::kind::Kind;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, mutated};

/// A mailbox and what it wants.
#[derive(Clone)]
pub(crate) struct Route {
    /// The filter's.
    glance: Glance,
    filter: Filter,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Route {
    pub(crate) fn new(filter: Filter, mailbox: Arc<Mailbox>) -> Self {
        Self { glance: filter.glance(), filter, mailbox }
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether the filter takes it.
    #[inline]
    pub(super) fn takes(&self, message: &Message) -> bool {
        self.glance.takes(message.kind().id()).unwrap_or_else(|| self.filter.takes(message))
    }
}

/// An inline handler and what it wants.
#[derive(Clone)]
pub(crate) struct InlineRoute {
    /// The filter's.
    glance: Glance,
    filter: Filter,
    /// It has a filter or had one: from then on its calls are counted, as they differ from what reaches the topic.
    pub(crate) counted: bool,
    /// The handler's.
    entrance: Entrance,
    pub(crate) inline: Arc<Inline>,
}

impl InlineRoute {
    /// Calls the handler.
    ///
    /// # Safety
    ///
    /// The caller is inside the gate of a list that has the route.
    #[inline]
    pub(super) unsafe fn call(&self, arrival: &Arrival<'_>) {
        // SAFETY: as the caller says.
        unsafe { self.entrance.call(arrival) };
    }

    /// Whether the filter takes it. `kind` is the number of its type.
    #[inline]
    pub(super) fn takes(&self, kind: u32, message: &Message) -> bool {
        self.glance.takes(kind).unwrap_or_else(|| self.filter.takes(message))
    }
}

/// A forward, as its source sees it. It stands until as many handles are gone as were made, and while its source is a
/// member of the target's pool.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) target: Arc<TopicCore>,
    handles: u32,
    /// The pool's own: nobody has a handle of it, so it keeps its source no longer than others do.
    pooled: bool,
}

impl Edge {
    fn stands(&self) -> bool {
        self.handles > 0 || self.pooled
    }
}

#[derive(Clone)]
pub(crate) struct Subscribers {
    /// Each list shown has a higher one than the list before it.
    version: u64,
    /// Those that never wait, then from `waiting` on those that may, or ask for a key first.
    pub(super) routes: Vec<Route>,
    waiting: usize,
    /// No route has a filter.
    open: bool,
    /// What every route takes.
    open_to: Glance,
    /// There is nothing but routes, and something that all of them take.
    straight: bool,
    /// What some route takes.
    glance: Glance,
    inline: Vec<InlineRoute>,
    /// Every inline handler takes everything, and no call is counted.
    inline_open: bool,
    /// And there is nothing but them.
    called_straight: bool,
    /// What some inline handler takes.
    inline_glance: Glance,
    edges: Vec<Edge>,
    pub(super) taps: Vec<Arc<Tap>>,
    /// Who is catching up just now, with its marks. Nearly always nobody.
    pub(super) catching: Vec<(u64, Arc<CatchUp>)>,
    /// Made with the first inline subscription.
    gate: Option<Arc<Gate>>,
}

impl Subscribers {
    /// Nobody. One such list does for all topics of a bus that nobody has subscribed to yet.
    pub(super) fn empty() -> Self {
        Self {
            version: 0,
            routes: Vec::new(),
            waiting: 0,
            open: true,
            open_to: Glance::ALL,
            straight: false,
            glance: Glance::NOTHING,
            inline: Vec::new(),
            inline_open: true,
            called_straight: false,
            inline_glance: Glance::NOTHING,
            edges: Vec::new(),
            taps: Vec::new(),
            catching: Vec::new(),
            gate: None,
        }
    }

    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether what is announced there comes to `route` by its look at what stands, so that it must not come now as well.
    #[inline]
    pub(super) fn is_behind(&self, route: &Route, place: Option<Place>) -> bool {
        let Some(place) = place.filter(|_| !self.catching.is_empty()) else { return false };
        let id = route.mailbox.profile().id;
        self.catching.iter().any(|(other, marks)| *other == id && marks.lacks(place))
    }

    /// Routes whose mailboxes never wait.
    #[inline]
    pub(super) fn prompt(&self) -> &[Route] {
        &self.routes[..self.waiting]
    }

    /// Routes whose mailboxes ask for a key, then those that may wait.
    #[inline]
    pub(super) fn waiting(&self) -> &[Route] {
        &self.routes[self.waiting..]
    }

    /// Whether every route takes everything.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether every route takes every message of that type, as far as a glance tells.
    #[inline]
    pub(super) fn is_open_to(&self, kind: &Kind) -> bool {
        self.open || self.open_to.takes(kind.id()) == Some(true)
    }

    /// Whether a message of that type meets nothing here but mailboxes that take it.
    #[inline]
    pub(super) fn is_straight_for(&self, kind: &Kind) -> bool {
        self.straight && self.is_open_to(kind)
    }

    /// Whether messages of some type do, and go on from here to nowhere else.
    pub(super) fn goes_straight(&self) -> bool {
        self.straight && self.edges.is_empty()
    }

    /// Whether no route takes messages of `kind`, as far as a glance tells.
    #[inline]
    pub(super) fn has_no_route_for(&self, kind: &Kind) -> bool {
        self.glance.takes(kind.id()) == Some(false)
    }

    pub(crate) fn inline(&self) -> &[InlineRoute] {
        &self.inline
    }

    /// Whether every inline handler takes everything, and no call is counted.
    #[inline]
    pub(super) fn is_inline_open(&self) -> bool {
        self.inline_open
    }

    /// Whether a message meets nothing here but inline handlers that take everything.
    #[inline]
    pub(super) fn is_called_straight(&self) -> bool {
        self.called_straight
    }

    /// Whether no inline handler takes messages of the type of that number, as far as a glance tells.
    #[inline]
    pub(super) fn has_no_inline_for(&self, kind: u32) -> bool {
        self.inline_glance.takes(kind) == Some(false)
    }

    /// Whether inline handlers are all that a message meets here.
    #[inline]
    pub(super) fn is_inline_only(&self) -> bool {
        self.routes.is_empty() && self.taps.is_empty()
    }

    pub(crate) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    #[inline]
    pub(super) fn taps(&self) -> &[Arc<Tap>] {
        &self.taps
    }

    /// What a walk that calls the inline handlers goes through.
    #[inline]
    pub(super) fn gate(&self) -> Option<&Arc<Gate>> {
        self.gate.as_ref()
    }

    /// The pools that it is a member of.
    pub(super) fn pools(&self) -> impl Iterator<Item = &Arc<TopicCore>> {
        self.edges.iter().filter(|edge| edge.pooled).map(|edge| &edge.target)
    }

    /// The edge to `target`, which is made if there is none and then does not stand yet.
    fn edge_to(&mut self, target: &Arc<TopicCore>) -> &mut Edge {
        let known = self.edges.iter().position(|edge| Arc::ptr_eq(&edge.target, target));
        let at = known.unwrap_or_else(|| {
            self.edges.reserve_exact(1);
            self.edges.push(Edge { target: target.clone(), handles: 0, pooled: false });
            self.edges.len() - 1
        });
        &mut self.edges[at]
    }

    pub(super) fn wants(&self, kind: &Kind) -> bool {
        self.routes.iter().any(|route| route.filter.accepts(kind))
            || self.inline.iter().any(|inline| inline.filter.accepts(kind))
            || self.taps.iter().any(|tap| tap.wants(kind))
    }

    /// The filter of a subscription, if it is on the list.
    pub(crate) fn filter_of(&self, id: u64) -> Option<&Filter> {
        let mut routes = self.routes.iter();
        let route = routes.find(|route| route.mailbox.profile().id == id).map(|route| &route.filter);
        route.or_else(|| self.inline_route(id).map(|route| &route.filter))
    }

    pub(super) fn inline_route(&self, id: u64) -> Option<&InlineRoute> {
        self.inline.iter().find(|route| route.inline.profile().id == id)
    }

    /// Gives a subscription another filter. False: it is not on the list.
    fn set_filter(&mut self, id: u64, filter: &Filter) -> bool {
        let route = self.routes.iter_mut().find(|route| route.mailbox.profile().id == id);
        let inline = self.inline.iter_mut().find(|route| route.inline.profile().id == id);
        let (glance, place) = match (route, inline) {
            (Some(route), _) => (&mut route.glance, &mut route.filter),
            (None, Some(route)) => {
                route.counted = true;
                (&mut route.glance, &mut route.filter)
            }
            (None, None) => return false,
        };
        if !mutated!("list.filter") {
            (*glance, *place) = (filter.glance(), filter.clone());
        }
        true
    }

    pub(super) fn sort_out(&mut self) {
        self.routes.sort_by_key(|route| route.mailbox.overflow().rank());
        self.waiting = self.routes.partition_point(|route| route.mailbox.overflow().rank() == 0);
        self.open = self.routes.iter().all(|route| route.filter.is_all());
        self.open_to = self.routes.iter().fold(Glance::ALL, |sum, route| sum.and(route.glance));
        self.glance = self.routes.iter().fold(Glance::NOTHING, |sum, route| sum.or(route.glance));
        self.inline_open = self.inline.iter().all(|route| route.filter.is_all() && !route.counted);
        self.inline_glance = self.inline.iter().fold(Glance::NOTHING, |sum, route| sum.or(route.glance));
    }
}

/// A list that was replaced.
struct Old {
    list: Arc<Subscribers>,
    /// Threads may be reading it where they stand.
    is_shown: bool,
}

impl TopicCore {
    /// Replaces the list by an edited copy. The old one goes after the lock.
    pub(super) fn edit<R>(&self, change: impl FnOnce(&mut Subscribers) -> R) -> R {
        let early = mutated!("list.lock").then(|| Subscribers::clone(&self.subscribers.load()));
        let locked = self.writer.lock();
        let mut list = early.unwrap_or_else(|| Subscribers::clone(&self.subscribers.load()));
        let result = change(&mut list);
        let old = self.show(list);
        drop(locked);
        self.let_go(old);
        result
    }

    /// Puts an edited copy in the place of the list. The caller has the writer lock, and drops the old list after it.
    fn show(&self, mut list: Subscribers) -> Old {
        list.version += 1;
        let has_routes_only = !list.routes.is_empty() && list.inline.is_empty() && list.taps.is_empty();
        list.straight = has_routes_only && (list.open || list.open_to.takes_some());
        list.called_straight = list.inline_open && !list.inline.is_empty() && list.is_inline_only();
        let (version, list) = (list.version, Arc::new(list));
        let late = mutated!("list.late");
        if !late {
            self.tell_version(version);
        }
        let is_shown = self.hide(&list);
        let old = self.subscribers.swap(list.clone());
        if late {
            self.tell_version(version);
        }
        if is_shown {
            self.show_again(&list);
        }
        Old { list: old, is_shown }
    }

    /// A list that was replaced goes, behind the lock: with the last who reads it.
    fn let_go(&self, old: Old) {
        match old.is_shown {
            true => self.exchange.stands.retire(old.list),
            false => drop(old.list),
        }
    }

    /// Whoever keeps a list of an earlier version collects anew. Comes before the list itself is shown: see
    /// `topic::publisher`, also for why Relaxed is enough.
    fn tell_version(&self, version: u64) {
        self.version.store(version, Ordering::Relaxed);
    }

    pub(crate) fn add_route(&self, route: Route) {
        self.edit(|list| {
            list.routes.reserve_exact(1);
            list.routes.push(route);
            list.sort_out();
        });
    }

    pub(crate) fn remove_route(&self, id: u64) {
        self.edit(|list| {
            list.routes.retain(|route| route.mailbox.profile().id != id);
            list.catching.retain(|(other, _)| *other != id);
            list.sort_out();
        });
    }

    /// Shows an inline subscription that nobody else has yet.
    pub(crate) fn add_inline(&self, filter: Filter, inline: Arc<Inline>) {
        let counted = !filter.is_all();
        let glance = filter.glance();
        // SAFETY: nobody else has it yet, so nobody ends it.
        let Some(entrance) = (unsafe { inline.entrance() }) else { return };
        self.edit(|list| {
            list.gate.get_or_insert_with(Gate::new);
            list.inline.reserve_exact(1);
            list.inline.push(InlineRoute { glance, filter, counted, entrance, inline });
            list.sort_out();
        });
    }

    /// Gives a subscription another filter: every walk that loads the list after this has returned finds it. Returns
    /// what had reached the topic by then; nothing if the subscription is not on the list.
    pub(super) fn set_filter(&self, id: u64, filter: &Filter) -> Option<u64> {
        self.set_filter_by(id, || filter.clone())
    }

    /// The same with a filter that is asked for under the writer lock: of two who do this, the later one asks later.
    /// Bus code.
    pub(crate) fn set_filter_by(&self, id: u64, filter: impl FnOnce() -> Filter) -> Option<u64> {
        self.edit(|list| {
            let found = list.set_filter(id, &filter());
            list.sort_out();
            found.then(|| self.reached())
        })
    }

    /// Takes `inline` off the list, says that it is `off`, and parks its final at the gate. `Some`: nobody is inside, and
    /// the caller drains.
    pub(crate) fn remove_inline(&self, inline: &Arc<Inline>, off: impl FnOnce()) -> Option<Arc<Gate>> {
        let locked = self.writer.lock();
        let mut list = Subscribers::clone(&self.subscribers.load());
        list.inline.retain(|other| !Arc::ptr_eq(&other.inline, inline));
        list.sort_out();
        let gate = list.gate.get_or_insert_with(Gate::new).clone();
        // SAFETY: under the writer lock, and the current list's gate is never retired.
        list.gate = Some(unsafe { gate.succeed(vec![inline.clone()]) });
        if mutated!("gate.early") {
            gate.retire();
        }
        let old = self.show(list);
        gate.retire();
        drop(locked);
        off();
        let is_left = gate.seal(&self.ledger);
        // Behind the seal: what goes with it may be foreign, and finals wait for the seal.
        self.let_go(old);
        is_left.then_some(gate)
    }

    /// Delivers what is parked at `gate`.
    pub(crate) fn drain(&self, gate: Arc<Gate>) {
        gate.drain(&self.ledger);
    }

    pub(super) fn add_edge(&self, target: &Arc<TopicCore>) {
        self.edit(|list| list.edge_to(target).handles += 1);
    }

    pub(super) fn remove_edge(&self, target: &Arc<TopicCore>) {
        self.edit(|list| {
            list.edge_to(target).handles -= 1;
            list.edges.retain(Edge::stands);
        });
    }

    /// Whether it is a member of that topic's pool.
    pub(crate) fn is_pooled_in(&self, pool: &Arc<TopicCore>) -> bool {
        self.subscribers.load().pools().any(|other| Arc::ptr_eq(other, pool))
    }

    /// Makes it a member of that topic's pool, or no member any more. False: it was so before.
    pub(crate) fn set_pooled(&self, pool: &Arc<TopicCore>, pooled: bool) -> bool {
        if self.is_pooled_in(pool) == pooled {
            return false;
        }
        self.edit(|list| {
            let edge = list.edge_to(pool);
            let changed = edge.pooled != pooled;
            edge.pooled = pooled;
            list.edges.retain(Edge::stands);
            match (changed, pooled) {
                (true, true) => _ = pool.pooled.fetch_add(1, Ordering::Relaxed),
                (true, false) => _ = pool.pooled.fetch_sub(1, Ordering::Relaxed),
                (false, _) => {}
            }
            changed
        })
    }
}
