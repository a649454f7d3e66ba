//! Does what the script says, on the real bus and in the model.

use super::reality::{Handle, SUBS_MAX, World};
use super::script::{Act, Ending, FilterSpec, Kind, Mode, Policy, Script, TOPICS};
use super::state::{Key, Sub, Type};
use futures_core::Stream as _;
use stasis_bus::{
    BatchReport, Delivery, Dispatch, Handled, Message, Refusal, Report, Stream, Subscription, WaitError,
};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What a handler that is to panic throws. It is no surprise to any panic hook: none is called.
struct Planned;

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

fn check(world: &World, idle: bool) {
    let mut model = world.model();
    model.check_rest(idle);
    if let Some(wrong) = model.wrong.take() {
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
    let model = world.model();
    let live: Vec<String> =
        (0..model.subs.len()).filter(|&id| !model.subs[id].finished).map(|id| format!("s{id}")).collect();
    let listed: Vec<&str> = stats.subscriptions.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(listed, live, "the subscriptions there are");
    for (row, id) in stats.subscriptions.iter().zip((0..).filter(|&id: &usize| !model.subs[id].finished)) {
        let sub = &model.subs[id];
        assert_eq!(row.panics, sub.panics, "panics of {row:?}");
        if sub.mode != Mode::Inline {
            let seen = (row.accepted, row.depth, row.missed, row.over_capacity);
            let due = (sub.accepted, sub.depth() as u64, sub.missed, sub.over_capacity);
            assert_eq!(seen, due, "accepted, depth, missed and over capacity of {row:?}");
        }
    }
    for row in &stats.topics {
        let number: u8 = row.name[1..].parse().expect("our own name");
        let due = (model.subscriptions_on(number), model.forwards_from(number));
        assert_eq!((row.subscriptions, row.forwards), due, "subscriptions and forwards of {row:?}");
    }
}

/// False: the case has had enough, and nothing was done.
fn perform(world: &Arc<World>, act: Act) -> bool {
    let goes_on = world.spend();
    if goes_on {
        carry_out(world, act);
    }
    goes_on
}

fn carry_out(world: &Arc<World>, act: Act) {
    match act {
        Act::Publish { topic, kind } => publish_new(world, topic, kind),
        Act::PublishTwice { topic, other, kind } => {
            let (message, key) = world.message(kind);
            publish(world, topic, kind, message.clone(), key);
            publish(world, other, kind, message, key);
        }
        Act::PublishWith { topic, kind } => publish_with(world, topic, kind),
        Act::Flood { topic, kind, count } => {
            let count = (0..count % 64).take_while(|_| world.spend()).count();
            match count % 2 == 1 && world.model().only_queues(topic % TOPICS) {
                true => publish_batch(world, topic, kind, count),
                false => (0..count).for_each(|_| publish_new(world, topic, kind)),
            }
        }
        Act::Subscribe { topic, mode, filter, capacity, policy, reaction } => {
            // Mostly small ones: they overflow.
            let capacity = if capacity < 200 { capacity % 9 + 1 } else { capacity };
            subscribe(world, topic % TOPICS, mode, filter, capacity.into(), policy, reaction);
        }
        Act::Unsubscribe { sub } => {
            if let Some(id) = pick(world, sub) {
                unsubscribe(world, id);
            }
        }
        Act::Forward { from, to } => forward(world, from % TOPICS, to % TOPICS),
        Act::Cancel { forward } => cancel(world, forward),
        Act::Read { sub, count, poll } => {
            if let Some(id) = pick(world, sub) {
                read(world, id, count.into(), poll);
            }
        }
        Act::DropStream { sub } => {
            if let Some(id) = pick(world, sub) {
                drop_stream(world, id);
            }
        }
        Act::DropTopic { topic } => world.drop_topic(topic),
        Act::PublishSync { sub, kind } => {
            with_outer_handle(world, sub, |id, handle| sync(world, id, handle, kind))
        }
        Act::Join { sub } => with_outer_handle(world, sub, |id, handle| join(world, id, handle)),
        Act::Run => {
            world.bus().map(|bus| bus.run_until_idle());
        }
    }
}

// ---- publishing ----------------------------------------------------------------------------------------------

fn publish_new(world: &Arc<World>, topic: u8, kind: Kind) {
    let (message, key) = world.message(kind);
    publish(world, topic, kind, message, key);
}

fn publish(world: &Arc<World>, topic: u8, kind: Kind, message: Message, key: Key) {
    let Some(handle) = world.topic(topic) else { return };
    let refusal = match kind {
        Kind::Declined => Some(Refusal::Declined),
        _ => world.model().is_too_deep().then_some(Refusal::NestedTooDeep),
    };
    if refusal.is_some() {
        let report = handle.publish(message);
        assert_refused(world, report, refusal);
        return;
    }
    world.model().publish(topic % TOPICS, key, Type::Of(kind), None);
    let report = match world.publisher(topic, &handle) {
        // Nested in a publish of the same publisher, there is none to be had.
        None => handle.publish(message),
        Some(mut publisher) => {
            let report = publisher.publish(message);
            world.keep_publisher(topic, publisher);
            report
        }
    };
    world.model().published(Some(report));
}

/// Where nothing but queues is reached, a batch is so many publishes.
fn publish_batch(world: &Arc<World>, topic: u8, kind: Kind, count: usize) {
    let Some(handle) = world.topic(topic) else { return };
    let made: Vec<_> = (0..count).map(|_| world.message(kind)).collect();
    let mut due = BatchReport::default();
    match kind {
        Kind::Declined => due.declined = count as u64,
        _ => due.messages = count as u64,
    }
    for (_, key) in made.iter().filter(|_| kind != Kind::Declined) {
        let one = world.model().publish_queued(topic % TOPICS, *key, Type::Of(kind));
        due.unreached += u64::from(one.accepted == 0);
        due.accepted += u64::from(one.accepted);
        due.filtered += u64::from(one.filtered);
        due.dropped += u64::from(one.dropped);
        due.over_capacity += u64::from(one.over_capacity);
    }
    let messages = made.into_iter().map(|(message, _)| message).collect();
    let report = match world.publisher(topic, &handle) {
        None => handle.publish_batch(messages),
        Some(mut publisher) => {
            let report = publisher.publish_batch(messages);
            world.keep_publisher(topic, publisher);
            report
        }
    };
    if report != due {
        world.model().wrong.get_or_insert(format!("a batch said {report:?}; due was {due:?}"));
    }
}

fn assert_refused(world: &World, report: Report, refusal: Option<Refusal>) {
    let mut due = Report::default();
    due.refusal = refusal;
    if report != due {
        world.model().wrong.get_or_insert(format!("publish said {report:?}; due was {due:?}"));
    }
}

fn publish_with(world: &Arc<World>, topic: u8, kind: Kind) {
    let Some(handle) = world.topic(topic) else { return };
    let wanted = world.model().wants(topic % TOPICS, kind);
    if handle.wants(world.kind(kind)) != wanted {
        world.model().wrong.get_or_insert(format!("topic {topic} wants {kind:?}: that should be {wanted}"));
    }
    if wanted {
        return publish_new(world, topic, kind);
    }
    let mut made = false;
    let report = handle.publish_with(world.kind(kind), || {
        made = true;
        world.value()
    });
    assert_refused(world, report, (kind == Kind::Declined).then_some(Refusal::Declined));
    if made {
        world.model().wrong.get_or_insert("a value was made that nobody wants".to_owned());
    }
}

fn sync(world: &Arc<World>, id: usize, handle: &Subscription, kind: Kind) {
    let (message, key) = world.message(kind);
    let (topic, mode, gone) = {
        let model = world.model();
        let sub = &model.subs[id];
        (sub.topic, sub.mode, sub.ended.is_some())
    };
    let wants = kind != Kind::Declined && world.model().subs[id].takes(Type::Of(kind));
    if kind != Kind::Declined {
        world.model().publish(topic, key, Type::Of(kind), None);
    }
    let said = handle.publish_sync(message, Some(Duration::ZERO));
    if kind != Kind::Declined {
        world.model().published(None);
    }
    let model = world.model();
    let due = match mode {
        _ if kind == Kind::Declined => Ok(Handled::Refused),
        _ if gone => Ok(Handled::Gone),
        _ if !wants => Ok(Handled::Filtered),
        Mode::Inline => Ok(Handled::Yes),
        Mode::Stream if model.waits_for(id, key) => Err(WaitError::TimedOut),
        _ if model.was_handled(id, key) => Ok(Handled::Yes),
        _ if model.subs[id].ended.is_some() => Ok(Handled::Gone),
        _ => Ok(Handled::Dropped),
    };
    drop(model);
    if said != due {
        world
            .model()
            .wrong
            .get_or_insert(format!("publish_sync to {mode:?} {id} said {said:?}; due was {due:?}"));
    }
}

fn join(world: &Arc<World>, id: usize, handle: &Subscription) {
    let said = handle.join_timeout(Duration::ZERO);
    let mut model = world.model();
    let sub = &model.subs[id];
    let due = sub.finished || (sub.ended.is_some() && sub.mode != Mode::Stream);
    if said.is_ok() != due || (due && !sub.finished) {
        model.wrong.get_or_insert(format!("join of {id} said {said:?}; over: {due}"));
    }
}

// ---- subscriptions -------------------------------------------------------------------------------------------

fn pick(world: &World, number: u8) -> Option<usize> {
    usize::from(number).checked_rem(world.real().subs.len())
}

/// `publish_sync` and `join` from outside every handler.
fn with_outer_handle(world: &Arc<World>, number: u8, wait: impl FnOnce(usize, &Subscription)) {
    let Some(id) = pick(world, number).filter(|_| world.model().is_outside()) else { return };
    let handle = world.real().subs[id].handle.clone();
    if let Some(handle) = handle {
        wait(id, &handle);
    }
}

fn subscribe(
    world: &Arc<World>,
    topic: u8,
    mode: Mode,
    filter: FilterSpec,
    capacity: usize,
    policy: Policy,
    reaction: u8,
) {
    let Some(on) = world.topic(topic) else { return };
    // At the limit of nesting a subscription that begins with a call is refused.
    let begins_here = matches!(mode, Mode::Inline | Mode::Serial);
    if world.model().subs.len() >= SUBS_MAX || (begins_here && world.model().is_too_deep()) {
        return;
    }
    let id = world.model().begin(Sub::new(topic, mode, filter, capacity, policy));
    world.real().subs.push(Handle::default());
    let builder = world.configure(on.subscription(format!("s{id}")), filter, capacity, policy);
    let inner = world.clone();
    let handler = move |delivery: &Delivery<'_>| called(&inner, id, reaction, delivery);
    let made = match mode {
        Mode::Inline => builder.inline(handler).map(handle),
        Mode::Serial => builder.dispatch(Dispatch::Serial).start(handler).map(handle),
        Mode::Pool => builder.dispatch(Dispatch::Pool).start(handler).map(handle),
        Mode::Dedicated => builder.dispatch(Dispatch::Dedicated).start(handler).map(handle),
        Mode::Stream => builder
            .stream()
            .map(|stream| Handle { handle: Some(Arc::new(stream.handle())), stream: Some(stream) }),
    };
    match made {
        Ok(made) => world.real().subs[id] = made,
        Err(error) => panic!("a valid subscription was refused: {error}"),
    }
    world.model().began(id);
}

fn handle(subscription: Subscription) -> Handle {
    Handle { handle: Some(Arc::new(subscription)), stream: None }
}

fn called(world: &Arc<World>, id: usize, number: u8, delivery: &Delivery<'_>) {
    let seen = world.delivered(delivery);
    let call = world.model().enter(id, seen);
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

fn unsubscribe(world: &World, id: usize) {
    let Some(handle) = world.real().subs[id].handle.clone() else { return };
    let first = world.model().end(id);
    let said = handle.unsubscribe();
    let mut model = world.model();
    if first {
        model.ended(id);
    }
    if said != first {
        model.wrong.get_or_insert(format!("unsubscribe of {id} said {said}"));
    }
}

fn read(world: &World, id: usize, count: usize, poll: bool) {
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

fn poll_once(stream: &mut Stream) -> Option<stasis_bus::Received> {
    match Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(item) => item,
        Poll::Pending => None,
    }
}

fn drop_stream(world: &World, id: usize) {
    let Some(stream) = world.real().subs[id].stream.take() else { return };
    let first = world.model().end(id);
    drop(stream);
    let mut model = world.model();
    if first {
        model.ended(id);
    }
    model.abandoned(id);
}

// ---- forwards ------------------------------------------------------------------------------------------------

fn forward(world: &World, from: u8, to: u8) {
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

// ---- the end -------------------------------------------------------------------------------------------------

fn end(world: &Arc<World>, how: Ending) {
    let bus = world.bus().expect("it stands");
    match how {
        Ending::Unsubscribe => {
            bus.run_until_idle();
            check(world, true);
            world.close();
            let subs = world.model().subs.len();
            (0..subs).for_each(|id| unsubscribe(world, id));
            bus.run_until_idle();
            read_all(world);
            check(world, true);
        }
        Ending::Shutdown => {
            bus.run_until_idle();
            check(world, true);
            world.close();
            shut_down(world, &bus);
            read_all(world);
            check(world, true);
        }
        Ending::DropBus => {
            world.close();
            world.model().shut_down();
            world.real().bus = None;
            drop(bus);
            read_all(world);
            check(world, true);
            return drop(std::mem::take(&mut *world.real()));
        }
    }
    let real = std::mem::take(&mut *world.real());
    drop(real);
    assert_eq!(bus.topics().len(), 0, "topics that nobody holds are alive");
    assert_eq!(bus.stats().subscriptions.len(), 0, "subscriptions are alive");
}

fn shut_down(world: &World, bus: &stasis_bus::Bus) {
    let (mut late, live) = {
        let model = world.model();
        let subs = model.subs.iter().enumerate();
        let late = subs.filter(|(_, sub)| !sub.finished && sub.waiting() > 0);
        let late: Vec<_> = late.map(|(id, sub)| (format!("s{id}"), sub.waiting() as u64)).collect();
        (late, model.subs.iter().filter(|sub| !sub.finished).count())
    };
    world.model().shut_down();
    let report = bus.shutdown(Duration::from_secs(5)).expect("outside every handler");
    let mut said: Vec<_> = report.stragglers.iter().map(|s| (s.name.clone(), s.queued)).collect();
    late.sort();
    said.sort();
    assert_eq!((report.ended, said), (live, late), "ended, and who had not finished");
    assert!(report.threads_left.is_empty());
    let refused = world.topic(0).expect("topics can be named").publish(world.message(Kind::Plain).0);
    assert!(refused.is_closed(), "published after the end: {refused:?}");
}

fn read_all(world: &World) {
    let streams = world.real().subs.len();
    (0..streams).for_each(|id| read(world, id, usize::from(u16::MAX), id % 2 == 0));
    let model = world.model();
    let unfinished = model.subs.iter().position(|sub| sub.mode == Mode::Stream && !sub.finished);
    assert!(unfinished.is_none() || model.wrong.is_some(), "stream {unfinished:?} gave no final message");
}
