//! The acts of the state manager, and what it must show after each act.

use super::publishing::{assert_refused, refusal};
use super::reality::{STATE_IDS, World};
use super::script::{STATES, Say};
use stasis_bus::{Message, Report};
use std::sync::Arc;

pub(crate) fn hold(world: &World, state: u8) {
    let (Some(manager), state) = (world.manager(), state % STATES) else { return };
    let publisher = manager.publisher(STATE_IDS[usize::from(state)]).expect("a valid id");
    world.real().publishers_of_states.push(Some((state, publisher)));
    world.model().states.hold(state);
}

fn take(world: &World, which: u8) -> Option<(usize, u8, stasis_bus::StatePublisher)> {
    let mut real = world.real();
    let at = usize::from(which).checked_rem(real.publishers_of_states.len())?;
    let (state, publisher) = real.publishers_of_states[at].take()?;
    Some((at, state, publisher))
}

/// A message is published by `call`, which gets it; what it says is checked.
fn store(world: &Arc<World>, state: u8, say: Say, origin: Option<u8>, call: impl FnOnce(Message) -> Report) {
    let (message, said) = world.message(say);
    if let Some(refusal) = refusal(world, said) {
        return assert_refused(world, call(message), Some(refusal));
    }
    if let Some(origin) = origin {
        world.model().states.hold_by_origin(state, origin);
    }
    world.model().publish_state(state, said);
    let report = call(message);
    world.model().published(Some(report));
}

pub(crate) fn publish(world: &Arc<World>, which: u8, say: Say) {
    let Some((at, state, publisher)) = take(world, which) else { return };
    store(world, state, say, None, |message| publisher.publish(message));
    world.real().publishers_of_states[at] = Some((state, publisher));
}

pub(crate) fn release(world: &Arc<World>, which: u8, last: Option<Say>) {
    let Some((_, state, publisher)) = take(world, which) else { return };
    if let Some(say) = last {
        store(world, state, say, None, |message| publisher.publish(message));
    }
    world.model().states.release(state);
    drop(publisher);
}

pub(crate) fn publish_by_origin(world: &Arc<World>, state: u8, say: Say) {
    let (Some(manager), state) = (world.manager(), state % STATES) else { return };
    let (id, origin) = (STATE_IDS[usize::from(state)], say.origin.max(1));
    let node = world.node(origin).expect("some node");
    store(world, state, say, Some(origin), |message| {
        manager.publish_by_origin(id, node, message).expect("a valid id")
    });
}

/// It leaves, with or without a last word.
pub(crate) fn remove_origin(world: &Arc<World>, state: u8, say: Say, last: bool) {
    let (Some(manager), state) = (world.manager(), state % STATES) else { return };
    let (id, origin) = (STATE_IDS[usize::from(state)], say.origin.max(1));
    let node = world.node(origin).expect("some node");
    if !world.model().states.has_origin(state, origin) {
        let said = manager.remove_origin(id, node, None);
        return if said.is_some() {
            world.fail(|| format!("origin {origin} was no holder: {said:?}"))
        };
    }
    let (message, said) = world.message(say);
    match refusal(world, said) {
        None if last => {
            world.model().publish_state(state, said);
            world.model().states.remove_origin(state, origin);
            let report = manager.remove_origin(id, node, Some(message));
            world.model().published(report);
        }
        refusal => {
            world.model().states.remove_origin(state, origin);
            let report = manager.remove_origin(id, node, last.then_some(message)).unwrap_or_default();
            assert_refused(world, report, refusal.filter(|_| last));
        }
    }
}

/// The states there are, and what was published last of each.
pub(crate) fn compare(world: &World) {
    let Some(manager) = world.manager() else { return };
    for (state, id) in (0..STATES).zip(STATE_IDS) {
        let last = manager.last(id).and_then(|message| world.read(&message)).map(|(_, _, id)| id);
        let shown = (manager.exists(id), last.map(super::words::Key::Value));
        let due = {
            let model = world.model();
            (model.states.exists(state), model.states.last_key(state))
        };
        if shown != due {
            world.fail(|| format!("state {id} is {shown:?}; due was {due:?}"));
        }
    }
}
