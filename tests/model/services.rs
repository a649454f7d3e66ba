//! The acts of the cache, and what it must show after each act.

use super::frames::Said;
use super::publishing::publish;
use super::reality::{World, object_name};
use super::script::{Kind, NODES, OBJECTS, OUTPUT, OUTPUTS, Say};
use super::words::{Key, Slot};
use stasis_bus::{AnyType, Cache, Filter, Message};
use std::sync::Arc;

/// One byte of the script as the state it speaks of, with this node for what speaks for all.
fn slot_of(say: Say) -> Slot {
    let kind = if say.kind == Kind::Declined { Kind::Plain } else { say.kind };
    Slot { kind, object: say.object, origin: say.origin.max(1) }
}

pub(crate) fn keep(world: &World, topic: u8, only_plain: bool) {
    let (Some(cache), Some(on)) = (world.cache(), world.topic(topic)) else { return };
    if world.real().keeping.len() >= usize::from(OUTPUTS) {
        return;
    }
    let filter = if only_plain { Filter::all().accept(&world.plain) } else { Filter::all() };
    let keeping = on.caching_with(&cache, filter).expect("both are of one bus");
    world.add_output(keeping);
    world.model().cached.keep(topic, only_plain);
}

pub(crate) fn stop_keeping(world: &World, which: u8) {
    let (at, keeping) = {
        let mut real = world.real();
        let Some(at) = usize::from(which).checked_rem(real.keeping.len()) else { return };
        (at, real.keeping[at].take())
    };
    if let Some(keeping) = keeping {
        world.model().cached.stop_keeping(at);
        keeping.unsubscribe();
    }
}

/// By a call: this node's state, or all of a node that has one at most.
pub(crate) fn clear(world: &World, say: Say) {
    let Some(cache) = world.cache() else { return };
    let slot = slot_of(say);
    let node = world.node(slot.origin).expect("some node");
    if slot.origin == 1 {
        let due = world.model().edit_cache(|cached, jobs| cached.clear(slot, jobs));
        let said = cache.clear(world.kind(slot.kind), &object_name(slot.object));
        assert_told(world, said == due, || format!("clear of {slot:?} said {said}"));
    } else if world.model().cached.count_of(slot.origin) <= 1 {
        let all = (0..OBJECTS)
            .flat_map(|object| [Kind::Plain, Kind::Formatted].map(|kind| Slot { kind, object, ..slot }));
        let there = {
            let model = world.model();
            all.into_iter().find(|slot| model.cached.value(*slot) > 0)
        };
        let due = world.model().edit_cache(|cached, jobs| cached.clear(there?, jobs));
        let said = cache.clear_origin(node);
        assert_told(world, said == usize::from(due), || {
            format!("clear_origin of {} said {said}", slot.origin)
        });
    }
}

/// What is done to the cache has returned.
fn assert_told(world: &World, right: bool, what: impl FnOnce() -> String) {
    world.model().published(None);
    if !right {
        world.fail(what);
    }
}

/// By a message, which names the state by itself.
pub(crate) fn publish_clear(world: &Arc<World>, place: u8, say: Say) {
    let (Some(cache), Some(bus)) = (world.cache(), world.bus()) else { return };
    let slot = slot_of(say);
    let Some(state) = get(world, &cache, slot) else { return };
    let clear = bus.clear(&state);
    let key = Key::Clear(world.read(&state).map_or(0, |(_, _, id)| id));
    world.real().clears.push((clear.clone(), key));
    let say = Say { kind: slot.kind, object: slot.object, origin: slot.origin };
    publish(world, place, Said { key, say, clears: true }, clear);
}

// ---- leases --------------------------------------------------------------------------------------------------

pub(crate) fn lease(world: &World, which: u8, say: Say) {
    let slot = Slot { origin: 1, ..slot_of(say) };
    let number = world.real().leases.len();
    let lease = {
        let real = world.real();
        let Some(at) = usize::from(which).checked_rem(real.keeping.len()) else { return };
        let keeping = real.keeping[at].as_ref();
        keeping.map(|keeping| {
            (OUTPUT + at as u8, keeping.lease(world.kind(slot.kind), &object_name(slot.object)))
        })
    };
    let Some((output, lease)) = lease else { return };
    world.model().cached.lease(slot, number);
    world.real().leases.push(Some((slot, output, lease.expect("a valid id"))));
}

pub(crate) fn end_lease(world: &World, which: u8, forget: bool) {
    let (number, lease) = {
        let mut real = world.real();
        let Some(number) = usize::from(which).checked_rem(real.leases.len()) else { return };
        (number, real.leases[number].take())
    };
    let Some((slot, output, lease)) = lease else { return };
    if forget {
        world.model().cached.forget_lease(slot, number);
        return lease.forget();
    }
    world.model().edit_cache(|cached, jobs| cached.end_lease(slot, number, output, jobs));
    drop(lease);
    world.model().published(None);
}

// ---- what it shows -------------------------------------------------------------------------------------------

fn get(world: &World, cache: &Cache, slot: Slot) -> Option<Message> {
    cache.get_by_origin(world.kind(slot.kind), &object_name(slot.object), world.node(slot.origin))
}

/// Reads show what was published, and nothing else.
pub(crate) fn compare(world: &World) {
    let Some(cache) = world.cache() else { return };
    for kind in [Kind::Plain, Kind::Formatted] {
        for object in 0..OBJECTS {
            (0..=NODES).for_each(|origin| compare_slot(world, &cache, Slot { kind, object, origin }));
        }
    }
    let shown = (cache.len(), cache.dump_all(AnyType).len());
    let due = {
        let model = world.model();
        (model.cached.len(), model.cached.states())
    };
    if shown != due {
        world.fail(|| format!("the cache has {shown:?} objects and states; due were {due:?}"));
    }
    compare_leases(world);
}

pub(crate) fn compare_slot(world: &World, cache: &Cache, slot: Slot) {
    let shown = get(world, cache, slot).and_then(|message| world.read(&message));
    let due = world.model().cached.value(slot);
    if shown.map_or((slot.kind, 0), |(kind, _, id)| (kind, id)) != (slot.kind, due) {
        world.fail(|| format!("the cache shows {shown:?} as {slot:?}; due was {due}"));
    }
}

fn compare_leases(world: &World) {
    let wrong = {
        let (real, model) = (world.real(), world.model());
        let leases = real.leases.iter().enumerate();
        let mut leases = leases.filter_map(|(number, lease)| Some((number, lease.as_ref()?)));
        let is_wrong =
            |(number, (slot, _, lease)): &(usize, &(Slot, u8, stasis_bus::Lease<super::reality::Value>))| {
                lease.is_newest() != model.cached.is_newest(*slot, *number)
            };
        leases.find(is_wrong).map(|(number, _)| number)
    };
    if let Some(number) = wrong {
        world.fail(|| format!("lease {number} is not what it should be"));
    }
}

/// An update is never seen before the cache shows it, or something later.
pub(crate) fn compare_told(world: &World, key: Key) {
    if let (Key::Update(told), Some(cache)) = (key, world.cache()) {
        compare_slot(world, &cache, told.slot);
    }
}
