//! What the handles of a router and its runner share. The protocol is in the folder's header.

use super::route::{Call, Owner, Route};
use super::table::{Of, Rest, Table};
use crate::dispatch::pool;
use crate::error::{RouteError, WaitError};
use crate::mailbox::Filter;
use crate::message::kind::Kind;
use crate::message::{CacheUpdate, EndReason, Formatters, MessageType};
use crate::subscription::{Delivery, SubscriptionBuilder};
use crate::sync::time::Deadline;
use crate::sync::{Arc, Mutex, Snapshot, Tally, Weak, mutated};
use crate::topic::TopicCore;
use crate::topic::member::{CannotWait, Member};

pub(super) struct Core {
    /// That of the subscription.
    id: u64,
    topic: Arc<TopicCore>,
    owner: Arc<Owner>,
    /// What was said of updates, whatever their routes.
    base: Filter,
    table: Snapshot<Table>,
    state: Mutex<State>,
    /// Messages that found no route. The runner counts.
    unrouted: Tally,
}

/// What edits agree upon, under the router's lock. Nothing of the user's is dropped under it.
struct State {
    /// What the newest table needs.
    filter: Filter,
    /// Once the subscription is visible.
    member: Option<Weak<Member>>,
    /// It is to end as soon as it is visible.
    is_leaving: bool,
    /// The final message has been handled, or there never was a subscription.
    is_over: bool,
}

impl Core {
    pub(super) fn new(subscription: &SubscriptionBuilder<'_>) -> Arc<Self> {
        let (topic, base) = (subscription.on().core().clone(), subscription.said_filter().clone());
        let owner = Owner { name: subscription.name().into(), fence: topic.exchange.fence.clone() };
        let table = Table::default();
        let filter = table.filter(&base, &topic.exchange.cached.updates);
        Arc::new(Self {
            id: subscription.id(),
            topic,
            owner: Arc::new(owner),
            base,
            table: Snapshot::new(Arc::new(table)),
            state: Mutex::new(State { filter, member: None, is_leaving: false, is_over: false }),
            unrouted: Tally::new(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.owner.name
    }

    pub(super) fn updates(&self) -> &MessageType<CacheUpdate> {
        &self.topic.exchange.cached.updates
    }

    pub(super) fn unrouted(&self) -> u64 {
        self.unrouted.get()
    }

    pub(super) fn count(&self, of: Of) -> usize {
        self.table.load().count(of)
    }

    pub(super) fn has_rest(&self) -> bool {
        self.table.load().has_rest()
    }

    /// But for what comes whatever the filter.
    #[cold]
    fn count_unrouted(&self, delivery: &Delivery<'_>) {
        let ends = &self.topic.exchange.cached.snapshot_ends;
        if !delivery.is_final() && delivery.read(ends).is_none() {
            self.unrouted.bump(1);
        }
    }

    // ---- edits -----------------------------------------------------------------------------------------------

    pub(super) fn add(&self, of: Of, kind: &Arc<Kind>, call: Call) -> Result<(), RouteError> {
        let route = Route::new(Some(kind), call, &self.owner);
        self.admits(kind)?;
        self.edit(|table| table.add(of, kind, &route))
    }

    /// True: another one went for it.
    pub(super) fn replace(&self, of: Of, kind: &Arc<Kind>, call: Call) -> Result<bool, RouteError> {
        let route = Route::new(Some(kind), call, &self.owner);
        self.admits(kind)?;
        Ok(self.edit(|table| Ok(table.replace(of, kind, &route)))?.is_some())
    }

    pub(super) fn remove(&self, of: Of, kind: &Kind) -> Option<Arc<Route>> {
        if kind.bus() != self.topic.exchange.id {
            return None;
        }
        self.edit(|table| Ok(table.remove(of, kind))).ok()?
    }

    pub(super) fn set_rest(&self, formatters: Option<Formatters>, call: Call) -> Result<bool, RouteError> {
        let route = Route::new(None, call, &self.owner);
        self.stands()?;
        let rest = Rest { route: route.clone(), formatters };
        Ok(self.edit(|table| Ok(table.set_rest(Some(rest))))?.is_some())
    }

    pub(super) fn clear_rest(&self) -> bool {
        self.edit(|table| Ok(table.set_rest(None))).is_ok_and(|route| route.is_some())
    }

    fn admits(&self, kind: &Kind) -> Result<(), RouteError> {
        if kind.bus() != self.topic.exchange.id {
            return Err(RouteError::ForeignType(kind.name().to_owned()));
        }
        self.stands()
    }

    /// Nobody has ended it yet.
    fn stands(&self) -> Result<(), RouteError> {
        let member = self.state.lock().member.clone();
        let ended =
            member.is_some_and(|member| !member.upgrade().is_some_and(|member| member.is_subscribed()));
        if ended { Err(RouteError::Ended) } else { Ok(()) }
    }

    /// Replaces the table by a changed copy, and lets the filter follow. `change` keeps no last reference to a route.
    fn edit<R>(&self, change: impl FnOnce(&mut Table) -> Result<R, RouteError>) -> Result<R, RouteError> {
        let mut state = self.state.lock();
        if state.is_over && !mutated!("router.over") {
            return Err(RouteError::Ended);
        }
        let mut table = Table::clone(&self.table.load());
        let result = change(&mut table)?;
        state.filter = table.filter(&self.base, self.updates());
        let old = self.table.swap(Arc::new(table));
        drop(state);
        self.show_filter();
        drop(old);
        Ok(result)
    }

    /// Shows on the topic's list what the newest table needs. Nothing while the subscription is not on it.
    fn show_filter(&self) {
        if mutated!("router.unshown") {
            return;
        }
        if mutated!("router.filter_early") {
            let filter = self.filter();
            self.topic.set_filter_by(self.id, || filter);
            return;
        }
        self.topic.set_filter_by(self.id, || self.filter());
    }

    pub(super) fn filter(&self) -> Filter {
        self.state.lock().filter.clone()
    }

    // ---- from beginning to end -------------------------------------------------------------------------------

    /// The subscription is visible, with a filter that was right a while ago.
    pub(super) fn is_visible(&self, member: &Arc<Member>, filter: &Filter) {
        let mut state = self.state.lock();
        state.member = Some(Arc::downgrade(member));
        let (is_leaving, is_stale) = (state.is_leaving, state.filter != *filter);
        drop(state);
        if is_stale {
            self.show_filter();
        }
        if is_leaving {
            member.end(EndReason::Unsubscribed);
        }
    }

    /// Ends the subscription, if nobody has yet; if it is not visible yet, as soon as it is.
    pub(super) fn unsubscribe(&self) -> bool {
        let mut state = self.state.lock();
        let Some(member) = state.member.clone() else {
            return !std::mem::replace(&mut state.is_leaving, true) && !state.is_over;
        };
        drop(state);
        member.upgrade().is_some_and(|member| member.end(EndReason::Unsubscribed))
    }

    /// Lets go of a removed route, and waits until its closure is gone: until the call under way has returned.
    pub(super) fn wait_for(&self, removed: Arc<Route>) -> Result<(), WaitError> {
        let gone = removed.gone().clone();
        drop(removed);
        if gone.is_set() || mutated!("router.unwaited") {
            return Ok(());
        }
        let exchange = &self.topic.exchange;
        let _waiting = exchange.begin_wait(&[self.id]).map_err(CannotWait::from)?;
        if !exchange.pool.is_manual() {
            pool::hand_over().map_err(CannotWait::from)?;
        }
        gone.wait(Deadline::after(None));
        Ok(())
    }
}

/// The router's handler. There is one, and whoever runs the subscription has it.
pub(super) struct Runner(Arc<Core>);

impl Runner {
    /// For a router that has none yet.
    pub(super) fn new(core: &Arc<Core>) -> Self {
        Self(core.clone())
    }

    #[inline]
    pub(super) fn route(&mut self, delivery: &Delivery<'_>) {
        let core = &*self.0;
        let table = core.table.load();
        match table.find(core.updates(), delivery) {
            // SAFETY: the runner is one, and this borrows it whole.
            Some(route) => unsafe { route.call(delivery) },
            None => core.count_unrouted(delivery),
        }
    }
}

impl Drop for Runner {
    /// The subscription is over, or was never made.
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_over = true;
        let table = self.0.table.swap(Arc::default());
        drop(state);
        for route in table.iter() {
            // SAFETY: as in `route`.
            unsafe { route.clear() };
        }
    }
}
