//! The acts that begin, change, read and end subscriptions, and what their handlers do.

use super::drive::perform;
use super::reality::{Handle, Own, STATE_IDS, SUBS_MAX, World};
use super::script::{Act, FilterSpec, MEMBER, Mode, OUTPUT, PLACES, Policy, STATE, UPDATES, With};
use super::services::compare_told;
use super::sub::{Prelude, Seen, Sub};
use super::words::{Filter, Key, Table, Type, Which};
use futures_core::Stream as _;
use stasis_bus::{Delivery, Dispatch, Formatters, Received, RouterBuilder, Stream, SubscriptionBuilder};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What a handler that is to panic throws. It is no surprise to any panic hook: none is called.
struct Planned;

/// One that is to begin.
#[derive(Clone, Copy)]
struct Plan {
    place: u8,
    mode: Mode,
    filter: FilterSpec,
    capacity: usize,
    policy: Policy,
    reaction: u8,
    with: With,
}

pub(crate) fn pick(world: &World, number: u8) -> Option<usize> {
    usize::from(number).checked_rem(world.real().subs.len())
}

/// `publish_sync` and `join` from outside every handler.
pub(crate) fn with_outer_handle(world: &Arc<World>, number: u8, wait: impl FnOnce(usize, &Own)) {
    let Some(id) = pick(world, number).filter(|_| world.model().is_outside()) else { return };
    let own = world.real().subs[id].own.clone();
    if let Some(own) = own {
        wait(id, &own);
    }
}

// ---- beginning -----------------------------------------------------------------------------------------------

pub(crate) fn subscribe(world: &Arc<World>, act: Act) {
    let Act::Subscribe { place, mode, filter, capacity, policy, reaction, with } = act else { return };
    let place = place % PLACES;
    // Mostly small ones: they overflow.
    let capacity = usize::from(if capacity < 200 { capacity % 9 + 1 } else { capacity });
    let with = if with == With::Snapshot && !has_snapshot(world, place) { With::Nothing } else { with };
    // The first calls of these are among others already, and there is one at a time of a router's.
    let mode = if mode == Mode::Inline && with != With::Nothing { Mode::Serial } else { mode };
    let with = if mode == Mode::Stream && with == With::Routes { With::Nothing } else { with };
    let is_state = is_state(place);
    let with = if is_state && with == With::Routes { With::Nothing } else { with };
    if !is_state && world.topic(place).is_none() {
        return;
    }
    // At the limit of nesting a subscription that begins with a call is refused.
    let begins_here = matches!(mode, Mode::Inline | Mode::Serial);
    if world.model().subs.len() >= SUBS_MAX || (begins_here && world.model().is_too_deep()) {
        return;
    }
    begin(world, Plan { place, mode, filter, capacity, policy, reaction, with });
}

fn is_state(place: u8) -> bool {
    (STATE..MEMBER).contains(&place)
}

fn has_snapshot(world: &World, place: u8) -> bool {
    let keeps = |at: usize| world.real().keeping.get(at).is_some_and(Option::is_some);
    place == UPDATES || is_state(place) || place >= OUTPUT && keeps(usize::from(place - OUTPUT))
}

fn begin(world: &Arc<World>, plan: Plan) {
    let Plan { place, mode, filter, capacity, policy, with, .. } = plan;
    let mut sub = Sub::new(place, mode, Filter::from(filter), capacity, policy);
    if with == With::Routes {
        let table = table(filter);
        (sub.filter, sub.table) = (table.filter(), Some(table));
    }
    let standing = (with == With::Snapshot).then(|| standing(world, place, sub.filter));
    if is_state(place) {
        world.model().states.hold(place - STATE);
    }
    let id = world.model().begin(sub, standing);
    world.real().subs.push(Handle::default());
    let made = match () {
        () if is_state(place) => start_on_state(world, plan, id),
        () if with == With::Routes => start_router(world, plan, id),
        () => start_plain(world, plan, id),
    };
    world.real().subs[id] = made;
    world.model().began(id);
}

/// What it gets before everything else.
fn standing(world: &World, place: u8, filter: Filter) -> Prelude {
    let model = world.model();
    if is_state(place) {
        let last = model.states.last(place - STATE).filter(|said| filter.takes(Type::Of(said.say.kind)));
        return Prelude { standing: last.map(|said| said.key).into_iter().collect(), ..Prelude::default() };
    }
    let via = (place != UPDATES).then_some(place);
    let mut standing = model.cached.standing(via);
    standing.retain(|_| filter.takes(Type::Update));
    let end = Some(Key::SnapshotEnd(standing.len() as u64));
    Prelude { own: None, standing, end }
}

/// Its options, whatever it is on.
fn configured<'a>(world: &World, plan: Plan, builder: SubscriptionBuilder<'a>) -> SubscriptionBuilder<'a> {
    let builder = world.configure(builder, plan.capacity, plan.policy);
    let builder = if plan.with == With::Routes { builder } else { builder.filter(world.filter(plan.filter)) };
    match plan.mode {
        Mode::Serial => builder.dispatch(Dispatch::Serial),
        Mode::Pool => builder.dispatch(Dispatch::Pool),
        Mode::Dedicated => builder.dispatch(Dispatch::Dedicated),
        Mode::Inline | Mode::Stream => builder,
    }
}

fn handler(world: &Arc<World>, plan: Plan, id: usize) -> impl Fn(&Delivery<'_>) + Send + Sync + 'static {
    let world = world.clone();
    move |delivery: &Delivery<'_>| called(&world, id, plan.reaction, delivery, 0)
}

fn start_plain(world: &Arc<World>, plan: Plan, id: usize) -> Handle {
    let (on, cache) = (world.topic(plan.place).expect("looked for"), world.cache().expect("it stands"));
    let name = format!("s{id}");
    let keeping = match (plan.with, plan.place) {
        (With::Snapshot, OUTPUT..STATE) => world.real().keeping[usize::from(plan.place - OUTPUT)].take(),
        _ => None,
    };
    let builder = match (&keeping, plan.with) {
        (Some(keeping), _) => keeping.snapshot_subscription(&*name),
        (None, With::Snapshot) => cache.snapshot_subscription(&*name),
        (None, _) => on.subscription(&*name),
    };
    let builder = configured(world, plan, builder);
    let handler = handler(world, plan, id);
    let made = match plan.mode {
        Mode::Stream => builder.stream().map(of_stream),
        Mode::Inline => builder.inline(handler).map(|own| of_own(Own::Plain(own))),
        _ => builder.start(handler).map(|own| of_own(Own::Plain(own))),
    };
    if let Some(keeping) = keeping {
        world.real().keeping[usize::from(plan.place - OUTPUT)] = Some(keeping);
    }
    made.unwrap_or_else(|error| panic!("a valid subscription was refused: {error}"))
}

fn start_on_state(world: &Arc<World>, plan: Plan, id: usize) -> Handle {
    let manager = world.manager().expect("it stands");
    let builder = manager.subscription(STATE_IDS[usize::from(plan.place - STATE)], format!("s{id}"));
    let builder = if plan.with == With::Snapshot { builder.with_state() } else { builder };
    let builder = builder.configure(|builder| configured(world, plan, builder));
    let handler = handler(world, plan, id);
    let made = match plan.mode {
        Mode::Stream => {
            builder.stream().map(|(holds, stream)| Handle { _holds: Some(holds), ..of_stream(stream) })
        }
        Mode::Inline => builder.inline(handler).map(|own| of_own(Own::State(own))),
        _ => builder.start(handler).map(|own| of_own(Own::State(own))),
    };
    made.unwrap_or_else(|error| panic!("a valid subscription was refused: {error}"))
}

fn of_own(own: Own) -> Handle {
    Handle { own: Some(Arc::new(own)), ..Handle::default() }
}

fn of_stream(stream: Stream) -> Handle {
    let own = of_own(Own::Plain(stream.handle()));
    Handle { stream: Some(stream), ..own }
}

// ---- routers -------------------------------------------------------------------------------------------------

/// The routes it begins with: numbers that nothing else has.
fn table(filter: FilterSpec) -> Table {
    Table {
        plain: filter.plain.then_some(1),
        formatted: filter.formatted.then_some(2),
        updates: filter.updates.then_some(3),
        rest: 4,
        rest_is_ami: filter.ami,
        next: 5,
    }
}

fn start_router(world: &Arc<World>, plan: Plan, id: usize) -> Handle {
    let on = world.topic(plan.place).expect("looked for");
    let table = table(plan.filter);
    let to = |route: u64| {
        let world = world.clone();
        move |delivery: &Delivery<'_>| called(&world, id, plan.reaction, delivery, route)
    };
    let mut builder: RouterBuilder<'_> = configured(world, plan, on.subscription(format!("s{id}"))).router();
    if let Some(route) = table.plain {
        let to = to(route);
        builder = builder.route(&world.plain, move |_, delivery| to(delivery));
    }
    if let Some(route) = table.formatted {
        let to = to(route);
        builder = builder.route(&world.formatted, move |_, delivery| to(delivery));
    }
    if let Some(route) = table.updates {
        let to = to(route);
        builder = builder.route(&world.updates, move |_, delivery| to(delivery));
    }
    let builder = match table.rest_is_ami {
        true => builder.route_formatters(Formatters::AMI, to(table.rest)),
        false => builder.route_default(to(table.rest)),
    };
    let made = builder.start();
    made.map_or_else(|error| panic!("a valid router was refused: {error}"), |own| of_own(Own::Router(own)))
}

/// Changed while nothing waits: so all that is handled has a route.
pub(crate) fn route(world: &Arc<World>, number: u8, which: u8, stands: bool) {
    let Some(id) = pick(world, number) else { return };
    let own = world.real().subs[id].own.clone();
    let Some(Own::Router(router)) = own.as_deref() else { return };
    let which = [Which::Plain, Which::Formatted, Which::Updates, Which::Rest][usize::from(which % 4)];
    let number = {
        let mut model = world.model();
        let sub = &model.subs[id];
        if sub.waiting() > 0 || !sub.stands() || sub.ended.is_some() {
            return;
        }
        model.subs[id].set_route(which, stands)
    };
    let inner = world.clone();
    let to = move |delivery: &Delivery<'_>| called(&inner, id, 0, delivery, number);
    let (updates, plain, formatted) = (&world.updates, &world.plain, &world.formatted);
    let said = match (which, stands) {
        (Which::Plain, true) => router.replace(plain, move |_, delivery| to(delivery)).map(|_| true),
        (Which::Formatted, true) => router.replace(formatted, move |_, delivery| to(delivery)).map(|_| true),
        (Which::Updates, true) => router.replace(updates, move |_, delivery| to(delivery)).map(|_| true),
        (Which::Plain, false) => Ok(router.remove(plain)),
        (Which::Formatted, false) => Ok(router.remove(formatted)),
        (Which::Updates, false) => Ok(router.remove(updates)),
        (Which::Rest, true) => router.set_default(to),
        (Which::Rest, false) => router.set_formatters(Formatters::AMI, to),
    };
    let stats = router.stats();
    if stats.unrouted > 0 || said.is_err() {
        world.fail(|| format!("router {id} said {said:?}, and has {stats:?}"));
    }
}

// ---- while it stands -----------------------------------------------------------------------------------------

fn called(world: &Arc<World>, id: usize, number: u8, delivery: &Delivery<'_>, route: u64) {
    let seen = Seen { route, ..world.delivered(delivery) };
    let call = world.model().enter(id, seen);
    compare_told(world, seen.key);
    let reaction = world.reaction(number, call, delivery.is_final());
    for act in reaction.iter().flat_map(|reaction| &reaction.acts) {
        perform(world, *act);
    }
    let panics = reaction.is_some_and(|reaction| reaction.panics);
    world.model().leave(id, panics);
    if panics {
        resume_unwind(Box::new(Planned));
    }
}

pub(crate) fn set_filter(world: &World, number: u8, spec: FilterSpec) {
    let Some(id) = pick(world, number) else { return };
    let own = world.real().subs[id].own.clone();
    let Some(own) = own.filter(|own| !matches!(**own, Own::Router(_))) else { return };
    let due = world.model().set_filter(id, Filter::from(spec));
    let said = own.set_filter(&world.filter(spec));
    if said.as_ref().map(Result::is_ok) != Some(due) {
        world.fail(|| format!("set_filter of {id} said {said:?}; due was {due}"));
    }
}

pub(crate) fn read(world: &World, id: usize, count: usize, poll: bool) {
    let Some(mut stream) = world.real().subs[id].stream.take() else { return };
    for _ in 0..=count {
        let item = if poll { poll_once(&mut stream) } else { stream.try_recv().ok() };
        let seen = item.as_ref().map(|item| world.received(item));
        world.model().read(id, seen, poll);
        if seen.is_none() {
            break;
        }
    }
    world.real().subs[id].stream = Some(stream);
}

fn poll_once(stream: &mut Stream) -> Option<Received> {
    match Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(item) => item,
        Poll::Pending => None,
    }
}

// ---- ending --------------------------------------------------------------------------------------------------

pub(crate) fn unsubscribe(world: &World, id: usize) {
    let Some(own) = world.real().subs[id].own.clone() else { return };
    let due = world.model().end(id);
    let said = own.unsubscribe();
    let mut model = world.model();
    model.ended(id);
    if said != due {
        model.fail(format!("unsubscribe of {id} said {said}; due was {due}"));
    }
}

pub(crate) fn drop_stream(world: &World, id: usize) {
    let Some(stream) = world.real().subs[id].stream.take() else { return };
    world.model().end(id);
    drop(stream);
    let mut model = world.model();
    model.ended(id);
    model.abandoned(id);
}

pub(crate) fn join(world: &World, id: usize, own: &Own) {
    let said = own.join_timeout(Duration::ZERO);
    let mut model = world.model();
    let sub = &model.subs[id];
    let due = sub.finished || (sub.ended.is_some() && sub.mode != Mode::Stream);
    if said.is_ok() != due || (due && !sub.finished) {
        model.fail(format!("join of {id} said {said:?}; over: {due}"));
    }
}
