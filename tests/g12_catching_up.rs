//! G12: a subscription that catches up gets what stands, then every change: none missed and none twice.

mod common;
mod mirror;
mod states;

use common::{EVERY_MODE, Gate, Heard, Listener, Log, end, eventually, listen, watched};
use mirror::{Mirror, Slot, standing, taken};
use stasis_bus::{
    Bus, Cache, CacheBuilder, CachingTopic, Change, Dispatch, Filter, Message, MessageType, Origin, Overflow,
    Subscription, SubscriptionBuilder,
};
use states::{State, manual_states, state, summing};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const PUBLISHERS: u64 = 4;
const IDS: u64 = 40;

/// Two types, two topics, three origins, aggregates: everything that an entry can have.
struct World {
    bus: Bus,
    kinds: [MessageType<State>; 2],
    origins: [Origin; 3],
    cache: Cache,
    _cached: [CachingTopic; 2],
    next: AtomicU64,
}

impl World {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(option: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let bus = Bus::new().unwrap();
        let kinds = ["state", "other"].map(|name| bus.message_type(name).unwrap());
        let other = kinds[1].clone();
        let builder = summing(&bus, &kinds[0]).id_of(&other, |state: &State| &state.id);
        let cache = option(builder).build().unwrap();
        let _cached = ["one", "two"].map(|name| bus.topic(name).unwrap().caching(&cache).unwrap());
        let origins = [
            bus.message_type::<State>("state").unwrap().message(state("x", 0)).origin().unwrap(),
            bus.origin("second").unwrap(),
            bus.origin("third").unwrap(),
        ];
        Self { bus, kinds, origins, cache, _cached, next: AtomicU64::new(1) }
    }

    fn message(&self, pick: u64) -> Message {
        let kind = &self.kinds[usize::from(pick.is_multiple_of(5))];
        let id = format!("{}{}", ["a", "b"][(pick % 2) as usize], pick / 2 % IDS);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        kind.build(state(&id, number)).origin(self.origins[(pick / 7 % 3) as usize]).finish()
    }

    /// Changes something: as a rule a state, now and then it clears one, or all of an origin.
    fn change(&self, pick: u64) {
        let topic = self.bus.topic(["one", "two"][(pick % 2) as usize]).unwrap();
        let message = self.message(pick / 3);
        match pick % 97 {
            0 => _ = self.cache.clear_origin(self.origins[2]),
            1..=12 => _ = topic.publish(self.bus.clear(&message)),
            13..=20 => _ = topic.publish_batch(vec![message, self.message(pick / 5)]),
            _ => _ = topic.publish(message),
        }
    }

    fn fill(&self) {
        (0..6 * IDS).for_each(|n| _ = self.bus.topic("one").unwrap().publish(self.message(n)));
    }

    /// `during` runs while four threads change the same keys all the time.
    fn in_traffic(&self, during: impl FnOnce()) {
        let (stop, started) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for by in 0..PUBLISHERS {
                let (stop, started) = (&stop, &started);
                scope.spawn(move || {
                    let mut random = by * 0x9E37_79B9 + 1;
                    while !stop.load(Ordering::Relaxed) {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        self.change(random >> 33);
                        started.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            eventually(|| started.load(Ordering::Relaxed) > 50);
            during();
            let now = started.load(Ordering::Relaxed);
            eventually(|| started.load(Ordering::Relaxed) > now + 200);
            stop.store(true, Ordering::Relaxed);
        });
    }

    fn standing(&self, shows: impl Fn(&Slot) -> bool) -> mirror::States {
        standing(&self.cache, &[&self.kinds[0], &self.kinds[1]], shows)
    }

    fn subscription(&self, name: &str) -> SubscriptionBuilder<'_> {
        self.cache.snapshot_subscription(name)
    }
}

/// Starts the subscription in `mode`, and follows what it is told.
fn follow(world: &World, builder: SubscriptionBuilder<'_>, mode: Dispatch) -> (Listener, Mirror) {
    let mirror = Mirror::new(&world.bus);
    let its = mirror.clone();
    let listener = listen(builder, mode, move |heard| its.hear(&heard));
    assert_eq!(listener.dispatch(), taken(mode));
    (listener, mirror)
}

fn finish(subscription: &Subscription, mirror: &Mirror) {
    subscription.unsubscribe();
    subscription.join().unwrap();
    mirror.await_final();
}

/// In every mode, again and again, while four threads change the same keys: what the subscriber knows in the end is what
/// stands, each update follows the one before, and no position is missing.
fn every_mode_follows(shows: impl Fn(&Slot) -> bool, filter: impl Fn(&World) -> Filter) {
    follow_all(World::new(), shows, filter);
}

fn follow_all(world: World, shows: impl Fn(&Slot) -> bool, filter: impl Fn(&World) -> Filter) {
    world.fill();
    let mut followers = Vec::new();
    world.in_traffic(|| {
        for _ in 0..3 {
            for mode in EVERY_MODE {
                let builder = world.subscription("late").filter(filter(&world));
                followers.push((follow(&world, builder, mode), mode));
                thread::yield_now();
            }
        }
    });
    for ((listener, mirror), mode) in &followers {
        finish(listener, mirror);
        mirror.assert_equals(&world.standing(&shows), mode.name());
        mirror.assert_positions(mode.name());
        assert_eq!(mirror.look(|known| known.missed), 0, "{mode}");
    }
    let stats = followers[0].0.0.stats();
    assert_eq!((stats.accepted, stats.depth), (stats.handled, 0), "{stats}");
    end(&world.bus);
}

#[test]
fn g12_every_mode_gets_what_stands_and_then_every_change() {
    let _watched = watched();
    every_mode_follows(|_| true, |_| Filter::all());
}

/// Entries go by themselves all the time, since there is no room for more.
#[test]
fn g12_with_a_bound() {
    let _watched = watched();
    follow_all(World::with(|builder| builder.max_entries(50)), |_| true, |_| Filter::all());
}

#[test]
fn g12_filtered_by_type() {
    let _watched = watched();
    let other = World::new().kinds[1].id();
    every_mode_follows(move |slot| slot.0 == other, |world| Filter::all().accept_update_of(&world.kinds[1]));
}

#[test]
fn g12_filtered_by_id() {
    let _watched = watched();
    every_mode_follows(
        |slot| slot.1.starts_with("a1") || slot.1.starts_with("b2"),
        |_| Filter::all().id_prefix("a1").id_prefix("b2"),
    );
}

#[test]
fn g12_filtered_by_origin() {
    let _watched = watched();
    let second = World::new().origins[1];
    every_mode_follows(
        move |slot| slot.2 == Some(second),
        |world| Filter::all().update_origin(Some(world.origins[1])).accept(world.bus.cache_updates()),
    );
}

#[test]
fn g12_aggregates_alone() {
    let _watched = watched();
    every_mode_follows(
        |slot| slot.2.is_none(),
        |world| Filter::all().update_origin(None).accept_update_of(&world.kinds[0]),
    );
}

#[test]
fn g12_typed_and_batch_handlers_follow() {
    let _watched = watched();
    let world = World::new();
    world.fill();
    let (typed, batches) = (Mirror::new(&world.bus), Mirror::new(&world.bus));
    let mut running = Vec::new();
    world.in_traffic(|| {
        let (its, last) = (typed.clone(), typed.clone());
        let builder = world.subscription("typed").id_prefix("a").on_end(move |end| last.hear(&end.into()));
        let started = builder.start_typed(world.bus.cache_updates(), move |update, delivery| {
            // A typed handler gets no end of the snapshot: the first change is one.
            if !update.is_snapshot() && its.look(|known| known.ended.is_none()) {
                its.end_here();
            }
            its.hear(&delivery.into());
        });
        running.push(started.unwrap());
        let its = batches.clone();
        let builder = world.subscription("batches").dispatch(Dispatch::Dedicated).batch_max(100);
        let started =
            builder.start_batch(move |batch| batch.for_each(|delivery| its.hear(&(&delivery).into())));
        running.push(started.unwrap());
    });
    finish(&running[0], &typed);
    finish(&running[1], &batches);
    typed.assert_equals(&world.standing(|slot| slot.1.starts_with('a')), "typed");
    batches.assert_equals(&world.standing(|_| true), "batches");
    batches.assert_positions("batches");
    end(&world.bus);
}

/// A caching topic's own: what was written last through it, and what it announces.
#[test]
fn g12_of_one_caching_topic() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let cache = summing(&bus, &kind).build().unwrap();
    let topics = ["one", "two"].map(|name| bus.topic(name).unwrap());
    let cached = topics.each_ref().map(|topic| topic.caching(&cache).unwrap());
    for (n, id) in ["a", "b", "c"].into_iter().enumerate() {
        topics[0].publish(kind.message(state(id, n as u64)));
    }
    topics[1].publish(kind.message(state("b", 7)));
    let mirror = Mirror::new(&bus);
    let its = mirror.clone();
    let subscription =
        cached[0].subscribe_with_snapshot("one", move |delivery| its.hear(&delivery.into())).unwrap();
    bus.run_until_idle();
    let own = |slot: &Slot| slot.1 != "b";
    mirror.assert_equals(&standing(&cache, &[&kind], own), "what was written through it");
    assert_eq!(mirror.look(|known| known.snapshot), 4, "two states and their aggregates");
    // It announces what it changes, whoever wrote that last.
    topics[0].publish(kind.message(state("a", 8)));
    topics[1].publish(kind.message(state("c", 9)));
    bus.run_until_idle();
    assert_eq!(mirror.look(|known| known.later), 2, "a state and its aggregate");
    drop(subscription);
}

#[test]
fn g12_first_its_own_change_then_the_snapshot() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let cache = states::cache(&bus, &kind);
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    for (entries, mode) in EVERY_MODE.into_iter().enumerate() {
        let log = Log::new();
        let noted = log.clone();
        let builder = cache.snapshot_subscription("late").dispatch(mode);
        let its_own: Box<dyn Fn(&Heard) + Send + Sync> =
            Box::new(move |heard| noted.push(heard.message.clone()));
        let subscription = match mode {
            Dispatch::Inline => builder.inline(move |delivery| its_own(&delivery.into())).unwrap(),
            Dispatch::Stream => {
                let mut stream = builder.stream().unwrap();
                assert_eq!(stream.stats().depth, entries as u64 + 2);
                while let Ok(received) = stream.try_recv() {
                    log.push(received.into_message());
                }
                stream.handle()
            }
            _ => builder.start(move |delivery| its_own(&delivery.into())).unwrap(),
        };
        bus.run_until_idle();
        let heard = log.all();
        assert_eq!(heard.len(), entries + 2, "{mode}");
        let change = bus.subscription_changes().read(&heard[0]);
        assert!(
            change.is_some_and(|change| change.id == subscription.id() && change.change == Change::Subscribe)
        );
        let told = heard[1..=entries].iter().filter_map(|message| bus.cache_updates().read(message));
        assert_eq!(told.filter(|update| update.is_snapshot()).count(), entries);
        let last = bus.snapshot_ends().read(&heard[entries + 1]).map(|end| end.entries);
        assert_eq!(last, Some(entries as u64));
        topic.publish(kind.message(state(mode.name(), 1)));
    }
}

// ---- policies ---------------------------------------------------------------------------------------------------------

/// The handler is stuck in the first message until `open`; meanwhile updates come that do not fit.
fn overloaded(overflow: Overflow, check: impl Fn(&World, &Mirror, &Subscription)) {
    let world = World::new();
    world.fill();
    let stands = world.standing(|_| true).len() as u64;
    let (open, mirror) = (Gate::new(), Mirror::new(&world.bus));
    let (passed, its) = (open.clone(), mirror.clone());
    let builder = world.subscription("slow").capacity(8).overflow(overflow).accept(world.bus.cache_updates());
    let subscription = builder
        .start(move |delivery| {
            passed.pass();
            its.hear(&delivery.into());
        })
        .unwrap();
    (0..200).for_each(|n| world.change(n * 101 + 30));
    open.open();
    mirror.await_end();
    assert_eq!(mirror.look(|known| known.snapshot), stands, "no policy touches the snapshot");
    finish(&subscription, &mirror);
    check(&world, &mirror, &subscription);
    end(&world.bus);
}

#[test]
fn g12_policies_lose_no_snapshot_and_tell_what_they_lose() {
    let _watched = watched();
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Disconnect] {
        overloaded(overflow, |_, mirror, subscription| {
            let stats = subscription.stats();
            mirror.look(|known| {
                assert!(stats.lost.total() > 0 && known.later <= 8);
                assert_eq!(known.missed, stats.lost.total());
                assert_eq!(known.snapshot + known.later + 1, stats.handled, "with the end of the snapshot");
            });
        });
    }
}

#[test]
fn g12_block_takes_updates_beyond_its_capacity() {
    let _watched = watched();
    overloaded(Overflow::block(), |world, mirror, subscription| {
        mirror.assert_equals(&world.standing(|_| true), "block");
        assert!(subscription.stats().over_capacity > 0);
    });
}

/// Updates that replaced each other are one link of the chain: nothing is missing in what is known.
#[test]
fn g5_conflated_updates_form_a_chain() {
    let _watched = watched();
    for overflow in [Overflow::conflate_by_entry(), Overflow::conflate(|_| panic!("{}", common::ON_PURPOSE))]
    {
        let world = World::new();
        world.fill();
        let mut running = Vec::new();
        world.in_traffic(|| {
            for mode in EVERY_MODE {
                let builder = world.subscription("screen").overflow(overflow.clone()).capacity(100_000);
                let own = Mirror::new(&world.bus);
                let mirror = own.clone();
                let listener = listen(builder.accept(world.bus.cache_updates()), mode, move |heard| {
                    if heard.seq.is_multiple_of(32) {
                        thread::sleep(Duration::from_micros(100));
                    }
                    mirror.hear(&heard);
                });
                running.push((listener, own));
            }
        });
        for (listener, mirror) in &running {
            finish(listener, mirror);
            mirror.assert_equals(&world.standing(|_| true), listener.dispatch().name());
            let stats = listener.stats();
            assert_eq!(mirror.look(|known| known.missed), stats.lost.conflated, "{stats}");
            assert_eq!(stats.panics, 0, "nobody is asked for a key of an update");
        }
        end(&world.bus);
    }
}

/// However few there are: none of them has a place in the ring by which a call is timed.
#[test]
fn calls_with_what_stands_are_timed() {
    let (bus, kind) = manual_states();
    let topic = bus.topic("states").unwrap();
    let cached = topic.caching(&states::cache(&bus, &kind)).unwrap();
    (0..10).for_each(|id| _ = topic.publish(kind.message(state(&id.to_string(), id))));
    let sub = cached.subscribe_with_snapshot("late", |_| {}).unwrap();
    bus.run_until_idle();
    let stats = sub.stats();
    assert!(stats.accepted > 10 && stats.handler.samples > 0, "{stats}");
}
