//! Does what the script says, on the real bus and in the model.

use super::publishing::{flood, publish_new, publish_twice, publish_with, sync};
use super::reality::World;
use super::script::{Act, Ending, Mode, Script, TOPICS};
use super::{ending, services, states, subscribing, watching};
use std::sync::Arc;

/// Runs one case.
///
/// # Panics
///
/// If the bus did anything that the model does not allow.
pub(crate) fn run(script: &Script) {
    let world = World::new(script);
    for act in &script.acts {
        let done = perform(&world, *act);
        check(&world, done && matches!(act, Act::Run));
    }
    end(&world, script.ending);
    assert_eq!(world.live_values(), 0, "values that nobody can reach are alive");
    assert_eq!(Arc::strong_count(&world), 1, "handlers are alive after their final call");
}

fn end(world: &Arc<World>, how: Ending) {
    ending::end(world, how);
}

pub(crate) fn check(world: &World, idle: bool) {
    services::compare(world);
    watching::compare(world);
    states::compare(world);
    let mut model = world.model();
    model.check_rest(idle);
    if let Some(wrong) = model.wrong.take() {
        drop(model);
        panic!("{wrong}");
    }
    drop(model);
    if idle {
        check_figures(world);
    }
}

/// The figures of the bus against the model's.
fn check_figures(world: &World) {
    let Some(stats) = world.bus().map(|bus| bus.stats()) else { return };
    if let Some(cache) = world.cache().map(|cache| cache.stats()) {
        let model = world.model();
        let due = (model.cached.suppressed, model.cached.expired);
        assert_eq!((cache.suppressed, cache.expired), due, "suppressed and expired of {cache:?}");
    }
    {
        let model = world.model();
        let live: Vec<String> =
            (0..model.subs.len()).filter(|&id| !model.subs[id].finished).map(|id| format!("s{id}")).collect();
        let listed: Vec<&str> = stats.subscriptions.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(listed, live, "the subscriptions there are");
        for (row, id) in stats.subscriptions.iter().zip((0..).filter(|&id: &usize| !model.subs[id].finished))
        {
            let sub = &model.subs[id];
            assert_eq!(row.panics, sub.panics, "panics of {row:?}");
            if sub.mode != Mode::Inline {
                let seen = (row.accepted, row.depth, row.missed, row.over_capacity);
                let due = (sub.accepted, sub.depth() as u64, sub.missed, sub.over_capacity);
                assert_eq!(seen, due, "accepted, depth, missed and over capacity of {row:?}");
            }
        }
    }
    for row in &stats.topics {
        let Some(place) = world.place_of(&row.name) else { continue };
        let model = world.model();
        let due = (model.subscriptions_on(place), model.forwards_from(place));
        assert_eq!((row.subscriptions, row.forwards), due, "subscriptions and forwards of {row:?}");
    }
}

/// False: the case has had enough, and nothing was done.
pub(crate) fn perform(world: &Arc<World>, act: Act) -> bool {
    let goes_on = world.spend();
    if goes_on {
        carry_out(world, act);
    }
    goes_on
}

fn carry_out(world: &Arc<World>, act: Act) {
    match act {
        Act::Publish { topic, say } => publish_new(world, World::target(topic), say),
        Act::PublishTwice { topic, other, say } => {
            publish_twice(world, World::target(topic), World::target(other), say);
        }
        Act::PublishWith { topic, say } => publish_with(world, World::target(topic), say),
        Act::Flood { topic, say, count } => flood(world, World::target(topic), say, count % 64),
        Act::Subscribe { .. } => subscribing::subscribe(world, act),
        Act::Unsubscribe { sub } => {
            if let Some(id) = subscribing::pick(world, sub) {
                subscribing::unsubscribe(world, id);
            }
        }
        Act::Forward { from, to } => forward(world, from % 8, to % (TOPICS + 1)),
        Act::Cancel { forward } => cancel(world, forward),
        Act::Read { sub, count, poll } => {
            if let Some(id) = subscribing::pick(world, sub) {
                subscribing::read(world, id, count.into(), poll);
            }
        }
        Act::DropStream { sub } => {
            if let Some(id) = subscribing::pick(world, sub) {
                subscribing::drop_stream(world, id);
            }
        }
        Act::DropTopic { topic } => world.drop_topic(topic),
        Act::PublishSync { sub, say } => subscribing::with_outer_handle(world, sub, |id, handle| {
            sync(world, id, handle, say);
        }),
        Act::Join { sub } => {
            subscribing::with_outer_handle(world, sub, |id, handle| subscribing::join(world, id, handle));
        }
        Act::Run => {
            world.bus().map(|bus| bus.run_until_idle());
        }
        Act::SetFilter { sub, filter } => subscribing::set_filter(world, sub, filter),
        Act::Route { sub, which, stands } => subscribing::route(world, sub, which, stands),
        Act::Keep { topic, only_plain } => services::keep(world, topic % TOPICS, only_plain),
        Act::StopKeeping { which } => services::stop_keeping(world, which),
        Act::Clear { say } => services::clear(world, say),
        Act::PublishClear { topic, say } => services::publish_clear(world, World::target(topic), say),
        Act::Lease { which, say } => services::lease(world, which, say),
        Act::EndLease { which, forget } => services::end_lease(world, which, forget),
        Act::HoldState { state } => states::hold(world, state),
        Act::ReleaseState { which, say, finish } => states::release(world, which, finish.then_some(say)),
        Act::PublishState { which, say } => states::publish(world, which, say),
        Act::PublishByOrigin { state, say } => states::publish_by_origin(world, state, say),
        Act::RemoveOrigin { state, say, last } => states::remove_origin(world, state, say, last),
        Act::DeleteMember { member } => world.delete_member(member),
        Act::Watch { say } => watching::watch(world, say),
        Act::Look { which } => watching::look(world, which),
        Act::Unwatch { which } => watching::unwatch(world, which),
        Act::Pass { eighths } => watching::pass(world, eighths),
    }
}

// ---- forwards ------------------------------------------------------------------------------------------------

/// From topics and from what caches tell, to topics and to that of all states.
fn forward(world: &World, from: u8, to: u8) {
    let to = if to == TOPICS { super::script::MANAGER } else { to };
    let (Some(source), Some(target)) = (world.topic(from), world.topic(to)) else { return };
    let forward = source.forward_to(&target).expect("both are of one bus");
    world.real().forwards.push(Some((from, to, forward)));
    world.model().forward(from, to);
}

fn cancel(world: &World, number: u8) {
    let edge = {
        let mut real = world.real();
        let Some(at) = usize::from(number).checked_rem(real.forwards.len()) else { return };
        real.forwards[at].take()
    };
    if let Some((from, to, forward)) = edge {
        world.model().cancel(from, to);
        forward.cancel();
    }
}
