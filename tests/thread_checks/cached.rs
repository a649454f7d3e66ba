//! The cache of the first topic: its updates are one chain, and what it shows in the end is where that ends. Leases,
//! clears, and who begins with what stands.

use super::heard::Ears;
use super::plan::{How, Plan};
use super::publishing::Hand;
use super::visits::Visitor;
use super::{Note, World, listen};
use stasis_bus::{AnyType, Bus, Dispatch, Grow, Message, Overflow, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

/// Who listens to all updates from the beginning on.
pub(crate) struct Cached {
    ears: Arc<Ears>,
    mode: Dispatch,
    handle: Subscription,
    reader: Option<thread::JoinHandle<()>>,
}

/// What a subscription to updates does when it is called.
fn following(
    bus: &Bus,
    world: &World,
    ears: &Arc<Ears>,
) -> impl Fn(&Message, u64, Option<stasis_bus::EndReason>) -> bool + Send + Sync + 'static {
    let (updates, ends, kind) =
        (bus.cache_updates().clone(), bus.snapshot_ends().clone(), world.kind.clone());
    let ears = ears.clone();
    move |message: &Message, missed, end| {
        ears.enter(None, missed, end);
        if let Some(update) = updates.read(message) {
            ears.follow(update, update.new.as_ref().and_then(|new| Note::read(&kind, new)));
        } else if let Some(end) = ends.read(message) {
            ears.caught_up(end);
        }
        ears.leave();
        false
    }
}

impl Cached {
    pub(crate) fn new(bus: &Bus, world: &World, mode: Dispatch) -> Option<Self> {
        let keeping = world.keeping.as_ref()?;
        // Inline calls overlap, and then have no order.
        let ears = Arc::new(Ears::new(mode, false));
        let builder = keeping.subscription("updates").accept(bus.cache_updates());
        let builder = builder.overflow(Overflow::Grow(Grow::unbounded()));
        let (handle, reader) =
            listen(builder, mode, following(bus, world, &ears)).expect("the options are valid");
        Some(Self { ears, mode, handle, reader })
    }

    pub(crate) fn judge(self, world: &World, plan: &Plan) {
        let Self { ears, mode, handle, reader } = self;
        if let Some(reader) = reader {
            reader.join().expect("it has read to the end");
        }
        let verdict = ears.verdict();
        assert!(verdict.is_none(), "updates, {mode:?}: {verdict:?}");
        let Some(cache) = world.cache.as_ref() else { return };
        let (heard, stats) = (ears.look(), cache.stats());
        assert_eq!(heard.missed, 0, "updates, {mode:?}");
        let published = world.reaching(0, plan);
        // After the end nobody hears of what is cleared.
        let least = published.start() + if world.is_over() { 0 } else { stats.cleared };
        let right = (least..=published.end() + stats.cleared).contains(&heard.received);
        assert!(right, "updates, {mode:?}: {} told, {published:?} published, {stats}", heard.received);
        if world.is_over() {
            return;
        }
        assert_eq!(heard.received, stats.updates, "updates, {mode:?}");
        assert!(stats.cleared >= world.cleared.load(Ordering::Relaxed), "{stats}");
        let stands = cache.dump_all(AnyType);
        let stands =
            stands.iter().filter_map(|state| Note::read(&world.kind, state)).map(|note| &note.object);
        let objects: BTreeSet<&String> = stands.chain(heard.chain.keys()).collect();
        for object in objects.into_iter().filter(|_| mode != Dispatch::Inline) {
            let shown = cache.get(&world.kind, object);
            let told = heard.chain.get(object);
            let same = match (&shown, told) {
                (Some(shown), Some(told)) => shown.is_same(told),
                (None, None) => true,
                _ => false,
            };
            assert!(same, "{shown:?} stands, {told:?} was told last");
        }
        drop(handle);
    }
}

impl World {
    pub(super) fn clear(&self, hand: &mut Hand, object: u8, by_message: bool) {
        let (Some(cache), object) = (&self.cache, format!("o{object}")) else { return };
        if !by_message {
            let cleared = cache.clear(&self.kind, &object);
            self.cleared.fetch_add(cleared.into(), Ordering::Relaxed);
        } else if let Some(state) = cache.get(&self.kind, &object) {
            let report = self.topic(0).publish(self.bus.clear(&state));
            self.is_published(report.refusal);
            self.cleared.fetch_add(report.cached.into(), Ordering::Relaxed);
        } else {
            let _ = self.publish(hand, 0, &object, How::Topic);
        }
    }

    /// Of an object that nobody else writes: its state stands while the newest lease does, or for good.
    pub(super) fn lease(&self, hand: &mut Hand, count: u8, end: u8) {
        let (Some(cache), Some(keeping)) = (&self.cache, &self.keeping) else { return };
        let object = format!("own{}", hand.me);
        let shown = || cache.get(&self.kind, &object);
        let lease = || keeping.lease(&self.kind, &object).expect("a valid id");
        let first = lease();
        for _ in 0..=count {
            let message = self.note(hand.me, 0, &object);
            let report = first.publish_message(message.clone());
            let is_published = self.is_published(report.refusal);
            self.count(0, is_published.into());
            let stands = shown().is_some_and(|state| state.is_same(&message));
            assert!(stands || !is_published, "{:?} after {message:?}", shown());
        }
        let (stood, second) = (shown(), (end % 2 == 1).then(lease));
        assert!(first.is_newest() != second.is_some());
        let newest = match second {
            Some(second) => {
                drop(first);
                second
            }
            None => first,
        };
        let same = |a: &Option<Message>, b: &Option<Message>| match (a, b) {
            (Some(a), Some(b)) => a.is_same(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        assert!(same(&shown(), &stood), "an older lease was dropped: {stood:?} stood, and now {:?}", shown());
        if end % 4 < 2 {
            drop(newest);
            assert!(shown().is_none() || self.is_over(), "its lease is gone: {:?}", shown());
        } else {
            newest.forget();
            assert!(same(&shown(), &stood), "its lease was given up: {stood:?} stood, and now {:?}", shown());
        }
    }

    /// Who begins with what stands, hears what this thread publishes, and goes.
    pub(super) fn catch_up(&self, hand: &mut Hand, whole: bool, mode: Dispatch, count: u8) {
        let (Some(cache), Some(keeping)) = (&self.cache, &self.keeping) else { return };
        let ears = Arc::new(Ears::catching_up(mode));
        let builder = match whole {
            true => cache.snapshot_subscription("follower"),
            false => keeping.snapshot_subscription("follower"),
        };
        // Inline is taken as Serial.
        let builder = builder.accept(self.bus.cache_updates());
        let started = listen(builder, mode, following(&self.bus, self, &ears));
        let Some(visitor) = Visitor::of(self, started, ears, mode) else { return };
        let due = self.publish_some(hand, 0, "o0", count);
        visitor.leave(self, hand.me, &due);
    }
}
