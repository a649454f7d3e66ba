//! Who follows a cache: catches up with what stands, and hears of each change after it, in one chain for each slot.

use crate::caches::{State, Store};
use crate::dice::Dice;
use crate::verdict::{Count, Kind, Verdict};
use crate::yard::{Echo, Yard};
use stasis_bus::{
    CacheUpdate, Delivery, Dispatch, Handled, Message, MessageType, Origin, Overflow, SnapshotEnd,
    Subscription, SubscriptionBuilder,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Scope};
use std::time::Duration;

const PLACES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);
const MODES: [Dispatch; 4] = [Dispatch::Pool, Dispatch::Serial, Dispatch::Dedicated, Dispatch::Inline];

pub(crate) fn start<'s>(scope: &'s Scope<'s, '_>, yard: &Arc<Yard>, store: &Arc<Store>) {
    for place in 0..PLACES {
        let (yard, store) = (yard.clone(), store.clone());
        scope.spawn(move || {
            let mut dice = Dice::new(yard.options.seed, "follower", place);
            while yard.goes_on() {
                follow(&yard, &store, &mut dice);
            }
        });
    }
}

/// One that comes, stays for a while, and goes.
fn follow(yard: &Arc<Yard>, store: &Store, dice: &mut Dice) {
    let is_conflated = dice.one_in(2);
    let overflow = if is_conflated { Overflow::conflate_by_entry() } else { Overflow::default() };
    let (source, part) = source(yard, store, dice);
    // More than there are slots: nothing is evicted.
    let builder = source.capacity(4_096).dispatch(dice.pick(&MODES)).overflow(overflow);
    let known = Arc::new(Mutex::new(Known::default()));
    let caught_up = Arc::new(AtomicBool::new(false));
    let hears = Ear {
        yard: yard.clone(),
        updates: yard.bus.cache_updates().clone(),
        ends: yard.bus.snapshot_ends().clone(),
        known: known.clone(),
        caught_up: caught_up.clone(),
        is_conflated,
        is_whole: part.is_none(),
    };
    let handle = builder.start(move |delivery| hears.hear(delivery)).expect("a follower");
    for _ in 0..=dice.below(100) {
        thread::sleep(Duration::from_millis(10));
        if !yard.goes_on() {
            break;
        }
    }
    compare(yard, store, &handle, &known, part);
    handle.unsubscribe();
    match handle.join_timeout(PATIENCE) {
        Ok(()) => finish(yard, &known.lock().unwrap(), caught_up.load(Ordering::Acquire)),
        Err(why) => yard.verdict.complain(Kind::Hung, format!("a follower: {why}")),
    }
}

/// The whole cache, or what was written through one of its topics: that one.
fn source<'a>(yard: &Yard, store: &'a Store, dice: &mut Dice) -> (SubscriptionBuilder<'a>, Option<usize>) {
    match dice.index(4) {
        at @ 0..2 => {
            let part = store.caching[at].snapshot_subscription("follower");
            (part.accept_update_of::<State>(&store.kind).accept(&yard.echo), Some(at))
        }
        _ => (store.cache.snapshot_subscription("follower"), None),
    }
}

/// While nobody writes, and when it has heard everything up to then, it knows what stands.
fn compare(yard: &Yard, store: &Store, handle: &Subscription, known: &Mutex<Known>, part: Option<usize>) {
    store.at_rest(|| {
        let last = yard.echo.message(Echo { whose: 0, number: 0 });
        match handle.publish_sync(last, Some(PATIENCE)) {
            Ok(Handled::Yes) => {
                let known = known.lock().unwrap();
                known.compare(&yard.verdict, &standing(store), |state| via(store, state), part);
                yard.count(Count::Compared);
            }
            other => yard.verdict.complain(Kind::Hung, format!("a follower's last message: {other:?}")),
        }
    });
}

fn via(store: &Store, state: &Message) -> Option<usize> {
    store.kind.read(state)?.via
}

/// All states and aggregates in the cache.
fn standing(store: &Store) -> HashMap<Slot, Message> {
    let mut slots = HashMap::new();
    for state in store.cache.dump_all(&store.kind) {
        let Some(id) = store.kind.read(&state).map(|state| state.id.clone()) else { continue };
        if let Some(aggregate) = store.cache.get_aggregate(&store.kind, &id) {
            slots.insert((aggregate.type_id(), id.clone(), None), aggregate);
        }
        slots.insert((state.type_id(), id, state.origin()), state);
    }
    slots
}

fn finish(yard: &Yard, known: &Known, caught_up: bool) {
    yard.verdict.equal(known.finals, 1, Kind::Ending, "finals of a follower");
    yard.verdict.expect(caught_up, Kind::Lost, || "a follower was never told the end of its snapshot".into());
    yard.counts.add(Count::Links, known.links);
    yard.count(Count::Followers);
}

pub(crate) type Slot = (u32, String, Option<Origin>);

#[derive(Default)]
pub(crate) struct Known {
    stands: HashMap<Slot, Option<Message>>,
    links: u64,
    finals: u32,
}

struct Ear {
    yard: Arc<Yard>,
    updates: MessageType<CacheUpdate>,
    ends: MessageType<SnapshotEnd>,
    known: Arc<Mutex<Known>>,
    caught_up: Arc<AtomicBool>,
    /// Several updates may come as one.
    is_conflated: bool,
    /// It hears of every change of every slot.
    is_whole: bool,
}

impl Ear {
    fn hear(&self, delivery: &Delivery<'_>) {
        let (verdict, mut known) = (&self.yard.verdict, self.known.lock().unwrap());
        if known.finals > 0 {
            verdict.complain(Kind::Ending, "a follower hears after its final message");
        }
        if delivery.missed() > 0 && !self.is_conflated {
            verdict.complain(Kind::Lost, format!("a follower missed {}", delivery.missed()));
        }
        if delivery.is_final() {
            known.finals += 1;
        } else if delivery.read(&self.ends).is_some() {
            self.caught_up.store(true, Ordering::Release);
        } else if let Some(update) = delivery.read(&self.updates) {
            known.link(verdict, update, self.is_whole);
        }
    }
}

fn is_same(one: Option<&Message>, other: Option<&Message>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

impl Known {
    /// With what stands. Who hears of a `part` knows of each state that came `via` that topic, and of no other one; what it knows
    /// may have been replaced through another one since.
    pub(crate) fn compare(
        &self,
        verdict: &Verdict,
        standing: &HashMap<Slot, Message>,
        via: impl Fn(&Message) -> Option<usize>,
        part: Option<usize>,
    ) {
        for (slot, state) in standing {
            let knows = is_same(self.stands.get(slot).and_then(Option::as_ref), Some(state));
            let is_due = part.is_none() || (slot.2.is_some() && via(state) == part);
            verdict.expect(knows || !is_due, Kind::Stale, || {
                format!("a follower of {part:?} knows {:?} of {slot:?}, not {state:?}", self.stands.get(slot))
            });
        }
        for (slot, state) in self.stands.iter().filter_map(|(slot, state)| Some((slot, state.as_ref()?))) {
            let may = match part {
                None => standing.contains_key(slot),
                part => slot.2.is_none() || via(state) == part,
            };
            verdict
                .expect(may, Kind::Stale, || format!("a follower of {part:?} knows {state:?} of {slot:?}"));
        }
    }

    /// The old state is the very message that was the new one before it. Who hears of a part of the changes sees none
    /// twice.
    pub(crate) fn link(&mut self, verdict: &Verdict, update: &CacheUpdate, is_whole: bool) {
        self.links += 1;
        let slot = (update.type_id(), update.id().to_owned(), update.origin());
        let before = self.stands.insert(slot, update.new.clone()).flatten();
        let follows = |state: &Option<Message>| is_same(before.as_ref(), state.as_ref());
        if is_whole {
            verdict.expect(follows(&update.old), Kind::Chain, || format!("{update:?} after {before:?}"));
        } else if before.is_some() && follows(&update.new) {
            verdict.complain(Kind::Duplicated, format!("{update:?} came twice"));
        }
    }
}
