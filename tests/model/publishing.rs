//! The acts that publish on topics.

use super::frames::Said;
use super::reality::{Own, World};
use super::script::{Kind, Mode, Say};
use super::words::Type;
use stasis_bus::{BatchReport, Handled, Message, Refusal, Report, WaitError};
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn publish_new(world: &Arc<World>, place: u8, say: Say) {
    let (message, said) = world.message(say);
    publish(world, place, said, message);
}

pub(crate) fn publish_twice(world: &Arc<World>, place: u8, other: u8, say: Say) {
    let (message, said) = world.message(say);
    publish(world, place, said, message.clone());
    publish(world, other, said, message);
}

pub(crate) fn publish(world: &Arc<World>, place: u8, said: Said, message: Message) {
    let Some(handle) = world.topic(place) else { return };
    if let Some(refusal) = refusal(world, said) {
        let report = handle.publish(message);
        assert_refused(world, report, Some(refusal));
        return;
    }
    advance(world);
    world.model().publish(place, said);
    let report = match world.publisher(place, &handle) {
        // Nested in a publish of the same publisher, there is none to be had.
        None => handle.publish(message),
        Some(mut publisher) => {
            let report = publisher.publish(message);
            world.keep_publisher(place, publisher);
            report
        }
    };
    world.model().published(Some(report));
}

/// No two writes of a cache at one time: it could not say which was first.
pub(crate) fn advance(world: &World) {
    if let Some(bus) = world.bus() {
        bus.advance(Duration::from_nanos(1));
        world.model().cached.now += 1;
    }
}

pub(crate) fn refusal(world: &World, said: Said) -> Option<Refusal> {
    match said.say.kind {
        Kind::Declined if !said.clears => Some(Refusal::Declined),
        _ => world.model().is_too_deep().then_some(Refusal::NestedTooDeep),
    }
}

pub(crate) fn assert_refused(world: &World, report: Report, refusal: Option<Refusal>) {
    let mut due = Report::default();
    due.refusal = refusal;
    if report != due {
        world.fail(|| format!("publish said {report:?}; due was {due:?}"));
    }
}

pub(crate) fn flood(world: &Arc<World>, place: u8, say: Say, count: u8) {
    let count = (0..count).take_while(|_| world.spend()).count();
    // A member that comes back is in its pool.
    world.topic(place);
    match count % 2 == 1 && world.model().only_queues(place) {
        true => publish_batch(world, place, say, count),
        false => (0..count).for_each(|_| publish_new(world, place, say)),
    }
}

/// Where nothing but queues is reached, a batch is so many publishes.
fn publish_batch(world: &Arc<World>, place: u8, say: Say, count: usize) {
    let Some(handle) = world.topic(place) else { return };
    let made: Vec<_> = (0..count).map(|_| world.message(say)).collect();
    let mut due = BatchReport::default();
    match say.kind {
        Kind::Declined => due.declined = count as u64,
        _ => due.messages = count as u64,
    }
    for (_, said) in made.iter().filter(|_| say.kind != Kind::Declined) {
        let one = world.model().publish_queued(place, *said);
        due.unreached += u64::from(one.accepted == 0);
        due.accepted += u64::from(one.accepted);
        due.filtered += u64::from(one.filtered);
        due.dropped += u64::from(one.dropped);
        due.closed += u64::from(one.closed);
        due.over_capacity += u64::from(one.over_capacity);
    }
    let messages = made.into_iter().map(|(message, _)| message).collect();
    let report = match world.publisher(place, &handle) {
        None => handle.publish_batch(messages),
        Some(mut publisher) => {
            let report = publisher.publish_batch(messages);
            world.keep_publisher(place, publisher);
            report
        }
    };
    if report != due {
        world.fail(|| format!("a batch said {report:?}; due was {due:?}"));
    }
}

pub(crate) fn publish_with(world: &Arc<World>, place: u8, say: Say) {
    let Some(handle) = world.topic(place) else { return };
    let wanted = world.model().wants(place, say.kind);
    if handle.wants(world.kind(say.kind)) != wanted {
        world.fail(|| format!("topic {place} wants {say:?}: that should be {wanted}"));
    }
    if wanted {
        return publish_new(world, place, say);
    }
    let mut made = false;
    let report = handle.publish_with(world.kind(say.kind), || {
        made = true;
        world.value(say.object)
    });
    assert_refused(world, report, (say.kind == Kind::Declined).then_some(Refusal::Declined));
    if made {
        world.fail(|| "a value was made that nobody wants".to_owned());
    }
}

pub(crate) fn sync(world: &Arc<World>, id: usize, handle: &Own, say: Say) {
    let (message, said) = world.message(say);
    let declined = say.kind == Kind::Declined;
    let (place, mode, gone, wants) = {
        let model = world.model();
        let sub = &model.subs[id];
        (sub.place, sub.mode, sub.ended.is_some(), sub.takes(Type::Of(say.kind)))
    };
    if !declined {
        advance(world);
        world.model().publish(place, said);
    }
    let said_it = handle.publish_sync(message);
    if !declined {
        world.model().published(None);
    }
    let model = world.model();
    let sub = &model.subs[id];
    let due = match mode {
        _ if declined => Ok(Handled::Refused),
        _ if gone => Ok(Handled::Gone),
        _ if !wants => Ok(Handled::Filtered),
        Mode::Inline => Ok(Handled::Yes),
        Mode::Stream if sub.has_waiting(said.key) => Err(WaitError::TimedOut),
        _ if sub.was_handled(said.key) => Ok(Handled::Yes),
        _ if sub.ended.is_some() => Ok(Handled::Gone),
        _ => Ok(Handled::Dropped),
    };
    drop(model);
    if said_it != due {
        world.fail(|| format!("publish_sync to {mode:?} {id} said {said_it:?}; due was {due:?}"));
    }
}
