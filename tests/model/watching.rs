//! The acts of watches and of time, and what a cache tells of by itself.

use super::reality::{World, object_name};
use super::script::{Kind, Say};
use super::words::Slot;
use stasis_bus::{AnyType, Message, Watch, WatchEnded};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// More than these show nothing that fewer do not.
const WATCHES_MAX: usize = 6;

/// Whether a waker was called.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Watching {
    slot: Slot,
    watch: Watch,
    /// How often the state had changed when it looked last.
    seen: u64,
    /// It looked, found nothing, and left this.
    asleep: Option<Arc<Flag>>,
}

type News = Result<Option<Message>, WatchEnded>;

impl Watching {
    fn poll(&mut self) -> Poll<News> {
        let flag = Arc::<Flag>::default();
        let polled = pin!(self.watch.changed()).poll(&mut Context::from_waker(&Waker::from(flag.clone())));
        self.asleep = polled.is_pending().then_some(flag);
        polled
    }

    fn is_awake(&self) -> Option<bool> {
        self.asleep.as_ref().map(|flag| flag.0.load(Ordering::Relaxed))
    }
}

pub(crate) fn watch(world: &World, say: Say) {
    let kind = if say.kind == Kind::Declined { Kind::Plain } else { say.kind };
    let Some(cache) = world.cache().filter(|_| world.real().watches.len() < WATCHES_MAX) else { return };
    let slot = Slot { kind, object: say.object, origin: 1 };
    let watch = cache.watch(world.kind(kind), &object_name(say.object)).expect("a valid id");
    let seen = world.model().cached.changes(kind, say.object);
    world.real().watches.push(Watching { slot, watch, seen, asleep: None });
}

pub(crate) fn unwatch(world: &World, which: u8) {
    let gone = take(world, which);
    drop(gone);
}

/// While it is looked at, the world has it not: whatever its waker does may look at the others.
fn take(world: &World, which: u8) -> Option<Watching> {
    let mut real = world.real();
    let at = usize::from(which).checked_rem(real.watches.len())?;
    Some(real.watches.swap_remove(at))
}

pub(crate) fn look(world: &World, which: u8) {
    let Some(mut watching) = take(world, which) else { return };
    let slot = watching.slot;
    let (changes, value) = {
        let model = world.model();
        (model.cached.changes(slot.kind, slot.object), model.cached.value(slot))
    };
    let said = watching.poll();
    let right = match &said {
        Poll::Pending => changes == watching.seen,
        Poll::Ready(Ok(state)) => changes != watching.seen && shows(world, state.as_ref(), value),
        Poll::Ready(Err(WatchEnded)) => false,
    };
    if !right {
        let seen = watching.seen;
        world.fail(|| {
            format!("a watch of {slot:?} said {said:?}; {value} stands, change {changes} after {seen}")
        });
    }
    watching.seen = changes;
    world.real().watches.push(watching);
}

fn shows(world: &World, state: Option<&Message>, value: u64) -> bool {
    state.and_then(|state| world.read(state)).map_or(0, |(_, _, id)| id) == value
}

/// What they show; who is to be awake is, and nobody else.
pub(crate) fn compare(world: &World) {
    let wrong = {
        let (real, model) = (world.real(), world.model());
        real.watches.iter().find_map(|watching| {
            let slot = watching.slot;
            let news = model.cached.changes(slot.kind, slot.object) != watching.seen;
            let value = model.cached.value(slot);
            let right = shows(world, watching.watch.get().as_ref(), value)
                && watching.is_awake().is_none_or(|awake| awake == news || real.bus.is_none());
            (!right).then(|| format!("{watching:?}, where {value} stands, news: {news}"))
        })
    };
    if let Some(wrong) = wrong {
        world.fail(|| wrong);
    }
    let told = std::mem::take(&mut *world.announced.lock().expect("nobody panics with it"));
    let wrong = world.model().cached.check_announced(told);
    if let Some(wrong) = wrong {
        world.fail(|| wrong);
    }
}

/// The bus is over: nobody waits any more, and once everything was told, that is said.
pub(crate) fn assert_over(world: &World) {
    let mut watches = std::mem::take(&mut world.real().watches);
    for watching in &mut watches {
        assert_ne!(watching.is_awake(), Some(false), "{watching:?} was not woken by the end");
        let slot = watching.slot;
        let news = world.model().cached.changes(slot.kind, slot.object) != watching.seen;
        let first = watching.poll();
        assert!(!news || matches!(first, Poll::Ready(Ok(_))), "{watching:?} has news and said {first:?}");
        let last = if news { watching.poll() } else { first };
        assert!(matches!(last, Poll::Ready(Err(WatchEnded))), "{watching:?} said {last:?} after the end");
    }
}

// ---- time ----------------------------------------------------------------------------------------------------

/// Everything ready is run, then time passes, and what has outlived its time goes.
pub(crate) fn pass(world: &Arc<World>, eighths: u8) {
    let (Some(bus), Some(cache)) = (world.bus(), world.cache()) else { return };
    if !world.model().is_outside() {
        return;
    }
    bus.run_until_idle();
    let Some((time, gone)) = world.model().cached.after(eighths) else { return };
    // They go in the order in which the cache has them.
    let all = cache.dump_all(AnyType);
    let slots = all.iter().filter_map(|state| world.slot_of(state)).filter(|slot| gone.contains(slot));
    let slots: Vec<_> = slots.collect();
    if !world.model().expire(&slots) {
        return;
    }
    let before = std::mem::replace(&mut world.model().cached.now, time);
    bus.advance(Duration::from_nanos(time - before));
    bus.run_until_idle();
}
