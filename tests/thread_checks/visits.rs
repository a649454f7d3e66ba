//! Subscriptions, forwards, filters and routers of one thread, which come and go while others publish. What this thread
//! publishes they hear exactly; of what others do, nothing that came in between is left out.

use super::heard::Ears;
use super::plan::How;
use super::publishing::Hand;
use super::{Note, PATIENCE, World, listen};
use stasis_bus::{
    Delivery, Dispatch, EndReason, Filter, Grow, Handled, Message, Overflow, RouteError, Router,
    RouterBuilder, SubscribeError, Subscription, SubscriptionBuilder, Topic,
};
use std::sync::{Arc, Mutex};
use std::thread;

type Started = Result<(Subscription, Option<thread::JoinHandle<()>>), SubscribeError>;

/// One that has come.
pub(crate) struct Visitor {
    handle: Subscription,
    reader: Option<thread::JoinHandle<()>>,
    ears: Arc<Ears>,
    mode: Dispatch,
}

impl Visitor {
    /// None: the bus is over.
    pub(crate) fn of(world: &World, started: Started, ears: Arc<Ears>, mode: Dispatch) -> Option<Self> {
        match started {
            Ok((handle, reader)) => Some(Self { handle, reader, ears, mode }),
            Err(SubscribeError::Closed) if world.is_over() => None,
            Err(error) => panic!("a valid subscription was refused: {error}"),
        }
    }

    /// It goes. Of this thread it has heard what was `due`.
    pub(crate) fn leave(self, world: &World, me: u32, due: &[u32]) {
        let Self { handle, reader, ears, mode } = self;
        let unsubscribed = handle.unsubscribe();
        match reader {
            Some(reader) => reader.join().expect("it has read to the end"),
            None => handle.join_timeout(PATIENCE).expect("it ends"),
        }
        let over = world.is_over();
        assert!(unsubscribed || over, "nobody else has its handle");
        let verdict = ears.verdict();
        assert!(verdict.is_none(), "a visitor, {mode:?}: {verdict:?}");
        let heard = ears.look();
        let of_me = heard.of(me);
        let right = if over { due.starts_with(of_me) } else { due == of_me };
        assert!(
            right && heard.missed == 0,
            "a visitor, {mode:?}, heard {of_me:?} of {due:?}, missed {}",
            heard.missed
        );
    }
}

impl World {
    fn visitor(&self, on: &Topic, mode: Dispatch, gapless: bool, open: bool) -> Option<Visitor> {
        let ears = Arc::new(Ears::new(mode, gapless));
        let builder = on.subscription("visitor").overflow(Overflow::Grow(Grow::unbounded()));
        let builder = if open { builder } else { builder.accept(&self.kind) };
        Visitor::of(self, listen(builder, mode, self.hearing(&ears)), ears, mode)
    }

    /// What a handler does that only hears.
    pub(super) fn hearing(
        &self,
        ears: &Arc<Ears>,
    ) -> impl Fn(&Message, u64, Option<EndReason>) -> bool + Send + Sync + 'static {
        let (ears, kind) = (ears.clone(), self.kind.clone());
        move |message: &Message, missed, end| {
            ears.enter(Note::read(&kind, message), missed, end);
            ears.leave();
            false
        }
    }

    /// Who comes, hears what is published, and goes.
    pub(super) fn visit(&self, hand: &mut Hand, topic: u8, mode: Dispatch, count: u8) {
        let Some(visitor) = self.visitor(self.topic(topic), mode, true, count > 1) else { return };
        let due = self.publish_some(hand, topic, "o0", count);
        visitor.leave(self, hand.me, &due);
    }

    /// A forward to a topic that nobody else knows: while it stands, everything takes it, and then nothing.
    pub(super) fn detour(&self, hand: &mut Hand, topic: u8, mode: Dispatch, count: u8) {
        let side = self.bus.topic(&format!("side{}", hand.me)).expect("a valid name");
        let Some(visitor) = self.visitor(&side, mode, true, true) else { return };
        let forward = || self.topic(topic).forward_to(&side).expect("both are of one bus");
        self.publish_some(hand, topic, "o1", 2);
        let (first, second) = (forward(), forward());
        let mut due = self.publish_some(hand, topic, "o1", count);
        drop(first);
        due.extend(self.publish_some(hand, topic, "o1", count));
        second.cancel();
        // By the publisher, which keeps lists.
        self.publish(hand, topic, "o1", How::Publisher);
        visitor.leave(self, hand.me, &due);
    }

    /// Its filter wants no notes for a while.
    pub(super) fn deaf(&self, hand: &mut Hand, topic: u8, mode: Dispatch, count: u8) {
        let Some(visitor) = self.visitor(self.topic(topic), mode, false, false) else { return };
        let set = |filter: &Filter| {
            let said = visitor.handle.set_filter(filter);
            assert!(said.is_ok() || self.is_over(), "{said:?}");
        };
        let mut due = self.publish_some(hand, topic, "o2", count);
        set(&Filter::all().accept(&self.spare));
        self.publish_some(hand, topic, "o2", 2);
        set(&Filter::all().accept(&self.spare).accept(&self.kind));
        due.extend(self.publish_some(hand, topic, "o2", count));
        visitor.leave(self, hand.me, &due);
    }

    // ---- routers ---------------------------------------------------------------------------------------------

    /// Its route for notes is replaced, removed and added, beside one for everything else. What is published after a
    /// change goes the new way, or a later one.
    pub(super) fn routes(&self, hand: &mut Hand, topic: u8, mode: Dispatch, count: u8) {
        if mode == Dispatch::Stream {
            return self.bare_routes(hand, topic, count);
        }
        let ears = Arc::new(Ears::new(Dispatch::Serial, true));
        let way: Arc<Mutex<Vec<(u32, u8)>>> = Arc::default();
        let me = hand.me;
        let to = |number: u8| {
            let (hear, way, kind) = (self.hearing(&ears), way.clone(), self.kind.clone());
            move |told: &Delivery<'_>| {
                if let Some(note) = told.read(&kind).filter(|note| note.by == me) {
                    way.lock().expect("nobody panics with it").push((note.n, number));
                }
                hear(told.message(), told.missed(), told.end());
            }
        };
        let note = |number: u8| {
            let to = to(number);
            move |_: &Note, told: &Delivery<'_>| to(told)
        };
        let builder = self.topic(topic).router("routes").overflow(Overflow::Grow(Grow::unbounded()));
        let builder = builder.dispatch(mode).route(&self.kind, note(0)).route_default(to(2));
        let Some(router) = self.start(builder) else { return };
        let fine = |said: Result<bool, RouteError>| assert!(said.is_ok() || self.is_over(), "{said:?}");
        let mut due = Vec::new();
        for number in 0..4 {
            match number {
                0 => {}
                1 => fine(router.replace(&self.kind, note(1))),
                2 => assert!(router.remove_and_wait(&self.kind).is_ok_and(|was| was || self.is_over())),
                _ => fine(router.add(&self.kind, note(3)).map(|()| true)),
            }
            let said = self.publish_some(hand, topic, "o3", count);
            due.extend(said.into_iter().map(|n| (n, number)));
        }
        router.unsubscribe();
        router.join_timeout(PATIENCE).expect("it ends");
        let (verdict, way) = (ears.verdict(), way.lock().expect("nobody panics with it"));
        assert!(verdict.is_none(), "a router, {mode:?}: {verdict:?}");
        let right = way.len() == due.len() || (self.is_over() && way.len() < due.len());
        let right = right && way.iter().zip(&due).all(|(went, due)| went.0 == due.0 && went.1 >= due.1);
        assert!(right, "a router, {mode:?}: {way:?}; due were {due:?}, or later ways");
    }

    /// One that has no way for the rest: what it wants follows its routes.
    fn bare_routes(&self, hand: &mut Hand, topic: u8, count: u8) {
        let ears = Arc::new(Ears::new(Dispatch::Serial, false));
        let end = self.hearing(&ears);
        let builder = self.topic(topic).router("bare").overflow(Overflow::Grow(Grow::unbounded()));
        let builder = builder.route(&self.spare, |(), _| {});
        let builder = builder.on_end(move |told| _ = end(told.message(), told.missed(), told.end()));
        let Some(router) = self.start(builder) else { return };
        let mut due = Vec::new();
        for _ in 0..2 {
            self.publish_some(hand, topic, "o3", 2);
            let hear = self.hearing(&ears);
            let hear =
                move |_: &Note, told: &Delivery<'_>| _ = hear(told.message(), told.missed(), told.end());
            let added = router.add(&self.kind, hear);
            assert!(added.is_ok() || self.is_over(), "{added:?}");
            due.extend(self.publish_some(hand, topic, "o3", count));
            // Until all are handled: what waits when its route goes has none.
            let n = self.next_number(hand.me);
            let said = router.publish_sync(self.note(hand.me, topic, "o3"), Some(PATIENCE));
            assert!(said == Ok(Handled::Yes) || self.is_over(), "{said:?}");
            if said != Ok(Handled::Refused) {
                self.count(topic, 1);
                due.push(n);
            }
            let removed = router.remove_and_wait(&self.kind);
            assert!(removed == Ok(true) || self.is_over(), "{removed:?}");
        }
        router.unsubscribe();
        router.join_timeout(PATIENCE).expect("it ends");
        let verdict = ears.verdict();
        assert!(verdict.is_none(), "a router: {verdict:?}");
        let heard = ears.look();
        let of_me = heard.of(hand.me);
        let right = if self.is_over() { due.starts_with(of_me) } else { due == of_me };
        assert!(right, "a router heard {of_me:?} of {due:?}");
    }

    /// None: the bus is over.
    fn start(&self, builder: RouterBuilder<'_>) -> Option<Router> {
        match builder.start() {
            Ok(router) => Some(router),
            Err(SubscribeError::Closed) if self.is_over() => None,
            Err(error) => panic!("a valid router was refused: {error}"),
        }
    }

    /// The router that all share: whichever way a note goes, it is heard once.
    pub(super) fn reroute(&self, how: u8) {
        let Some(router) = &self.router else { return };
        let hear = self.hearing(&self.routed);
        let hear = move |told: &Delivery<'_>| _ = hear(told.message(), told.missed(), told.end());
        let said = match how % 5 {
            0 | 1 => router.replace(&self.kind, move |_, told| hear(told)),
            2 => Ok(router.remove(&self.kind)),
            3 => match router.add(&self.kind, move |_, told| hear(told)) {
                Err(RouteError::Taken { .. }) => Ok(false),
                said => said.map(|()| true),
            },
            _ => router.set_default(hear),
        };
        assert!(said.is_ok() || self.is_over(), "{said:?}");
    }

    /// A filter of a subscription that wants notes as ever, and something else that nobody publishes, or not; or everything,
    /// where that cannot make it miss something else.
    pub(super) fn widen(&self, number: u8, how: u8) {
        let notes = Filter::all().accept(&self.kind);
        self.with_handle(number, |at, handle| {
            let filter = match how % 4 {
                0 => notes,
                2 if self.subs[at].is_lossless() => Filter::all(),
                _ => notes.accept(&self.spare),
            };
            // Unless it has ended.
            let _ = handle.set_filter(&filter);
        });
    }
}

/// Starts the router that all share.
pub(super) fn shared_router(builder: SubscriptionBuilder<'_>, world: &World) -> stasis_bus::Router {
    let builder = builder.overflow(Overflow::Grow(Grow::unbounded())).router();
    let (hear, others) = (world.hearing(&world.routed), world.hearing(&world.routed));
    let hear = move |_: &Note, told: &Delivery<'_>| _ = hear(told.message(), told.missed(), told.end());
    let others = move |told: &Delivery<'_>| _ = others(told.message(), told.missed(), told.end());
    builder.route(&world.kind, hear).route_default(others).start().expect("the options are valid")
}
