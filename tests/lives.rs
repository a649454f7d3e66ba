//! How long entries of a cache live, and who knows of it: leases, watches, the time to live, the bound.

mod common;
mod states;

use common::{Alive, Census, Gate, Log, ON_PURPOSE, OnDrop, end, eventually, on_drop, watched};
use futures_lite::future::block_on;
use stasis_bus::{
    AnyType, Bus, Cache, CacheBuilder, CachingTopic, Dispatch, EntryError, Lease, Message, MessageType,
    PanicPlace, Subscription, Topic, Watch, WatchEnded,
};
use states::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// A topic kept in a cache, and every update in its order.
struct Kept {
    bus: Bus,
    kind: MessageType<State>,
    cache: Cache,
    topic: Topic,
    cached: CachingTopic,
    updates: Log<Message>,
    _told: Subscription,
}

impl Kept {
    fn new(
        (bus, kind): (Bus, MessageType<State>),
        make: impl Fn(&Bus, &MessageType<State>) -> Cache,
    ) -> Self {
        let (cache, topic) = (make(&bus, &kind), bus.topic("states").unwrap());
        let cached = topic.caching(&cache).unwrap();
        let updates: Log<Message> = Log::new();
        let noted = updates.clone();
        let told = cached.subscription("told").dispatch(Dispatch::Serial).accept(bus.cache_updates());
        let told = told.start(move |delivery| noted.push(delivery.message().clone())).unwrap();
        Self { bus, kind, cache, topic, cached, updates, _told: told }
    }

    fn manual() -> Self {
        Self::new(manual_states(), cache)
    }

    fn publish(&self, id: &str, number: u64) {
        self.topic.publish(self.kind.message(state(id, number)));
    }

    fn now(&self, id: &str) -> Option<u64> {
        number_of(&self.kind, self.cache.get(&self.kind, id))
    }

    /// The updates of that id, as numbers.
    fn told(&self, id: &str) -> Vec<Option<u64>> {
        let updates = self.updates.all();
        let mut chains = chains(self.bus.cache_updates(), &updates);
        let local = self.kind.message(state("", 0)).origin();
        chains.remove(&(id.to_owned(), local)).map_or(Vec::new(), |chain| assert_chain(&self.kind, &chain))
    }

    fn lease(&self, id: &str) -> Lease<State> {
        self.cached.lease(&self.kind, id).unwrap()
    }
}

// ---- leases --------------------------------------------------------------------------------------------------------

#[test]
fn g5_a_dropped_lease_takes_its_state_along_and_tells() {
    let _watched = watched();
    let kept = Kept::manual();
    let lease = kept.lease("alice");
    assert!(kept.cache.is_empty() && kept.cache.dump(AnyType).is_empty(), "it only holds the place");
    assert_eq!((kept.cache.stats().entries, kept.cache.pin().iter(AnyType).count()), (0, 0));
    lease.publish(state("alice", 1));
    kept.publish("alice", 2);
    lease.publish_message(kept.kind.message(state("alice", 3)));
    assert_eq!((kept.now("alice"), kept.cache.len()), (Some(3), 1));
    assert!(lease.is_newest() && lease.id() == "alice" && number_of(&kept.kind, lease.get()) == Some(3));
    drop(lease);
    assert_eq!((kept.now("alice"), kept.cache.len()), (None, 0));
    assert_eq!(kept.told("alice"), [Some(1), Some(2), Some(3), None]);
    drop(kept.lease("alice"));
    assert_eq!(kept.told("alice").len(), 4, "nothing stood there, so nothing is told");
}

#[test]
fn the_newest_lease_owns_the_object() {
    let _watched = watched();
    let kept = Kept::manual();
    let first = kept.lease("alice");
    first.publish(state("alice", 1));
    let second = kept.lease("alice");
    assert!(!first.is_newest() && second.is_newest());
    drop(first);
    assert_eq!(kept.now("alice"), Some(1), "it is the second one's");
    kept.publish("alice", 2);
    drop(second);
    assert_eq!(kept.told("alice"), [Some(1), Some(2), None]);
    // The other way round, and with nothing there.
    let (first, second) = (kept.lease("bob"), kept.lease("bob"));
    drop(second);
    kept.publish("bob", 1);
    drop(first);
    assert_eq!(kept.now("bob"), Some(1));
    assert_eq!(kept.cache.len(), 1);
}

#[test]
fn a_cleared_or_forgotten_state_and_its_lease() {
    let _watched = watched();
    let kept = Kept::manual();
    let lease = kept.lease("alice");
    lease.publish(state("alice", 1));
    assert!(kept.cache.clear(&kept.kind, "alice"));
    assert!(kept.cache.is_empty() && lease.is_newest());
    kept.publish("alice", 2);
    assert_eq!(kept.cache.unowned(AnyType).len(), 0, "it is the lease's again");
    lease.forget();
    assert_eq!(kept.now("alice"), Some(2));
    assert_eq!(sorted(&kept.kind, kept.cache.unowned(&kept.kind)), [2]);
    assert_eq!(kept.told("alice"), [Some(1), None, Some(2)]);
    kept.lease("carol").forget();
    assert_eq!(kept.cache.len(), 1);
}

#[test]
fn other_nodes_states_stay_and_aggregates_follow() {
    let _watched = watched();
    let kept = Kept::new(manual_states(), |bus, kind| summing(bus, kind).build().unwrap());
    let node = kept.bus.origin("node-2").unwrap();
    let lease = kept.lease("alice");
    assert!(kept.cache.get_aggregate(&kept.kind, "alice").is_none());
    lease.publish(state("alice", 1));
    lease.publish_message(kept.kind.build(state("alice", 10)).origin(node).finish());
    assert_eq!(number_of(&kept.kind, kept.cache.get_aggregate(&kept.kind, "alice")), Some(11));
    drop(lease);
    assert_eq!(number_of(&kept.kind, kept.cache.get_aggregate(&kept.kind, "alice")), Some(10));
    assert_eq!(kept.cache.get_all(&kept.kind, "alice").len(), 1);
    kept.cache.clear_origin(node);
    assert!(kept.cache.is_empty() && kept.cache.get_aggregate(&kept.kind, "alice").is_none());
    drop(kept.lease("alice"));
    assert!(kept.cache.is_empty());
}

#[test]
fn a_lease_clears_where_the_state_was_written_and_where_it_was_taken() {
    let _watched = watched();
    let kept = Kept::manual();
    let other = kept.bus.topic("others").unwrap();
    let cached = other.caching(&kept.cache).unwrap();
    let (log, kind) = (Log::new(), kept.kind.clone());
    let noted = log.clone();
    let _told = cached
        .subscription("told")
        .dispatch(Dispatch::Serial)
        .start_typed(kept.bus.cache_updates(), move |update, _| noted.push(step(&kind, update)))
        .unwrap();
    let lease = kept.lease("alice");
    other.publish(kept.kind.message(state("alice", 1)));
    drop(lease);
    assert_eq!(log.all(), [Step { old: None, new: Some(1) }, Step { old: Some(1), new: None }]);
    let own = kept.updates.all();
    let own: Vec<_> = own.iter().filter_map(|message| kept.bus.cache_updates().read(message)).collect();
    assert_eq!(
        own.iter().map(|update| step(&kept.kind, update)).collect::<Vec<_>>(),
        [Step { old: Some(1), new: None }]
    );
}

#[test]
fn what_cannot_be_leased_says_why() {
    let _watched = watched();
    let kept = Kept::manual();
    let other = kept.bus.message_type::<u8>("other").unwrap();
    let foreign = Bus::builder().manual().build().unwrap().message_type::<State>("state").unwrap();
    let said = |error: EntryError| error.to_string();
    let empty = kept.cached.lease(&kept.kind, "").map(drop).unwrap_err();
    assert_eq!(said(empty), "id is empty; an object's id has at least 1 byte");
    let unknown = kept.cached.lease(&other, "x").map(drop).unwrap_err();
    assert_eq!(unknown, EntryError::NotCacheable("other".to_owned()));
    assert!(said(unknown).contains("\"other\""));
    let foreign = kept.cached.lease(&foreign, "x").map(drop).unwrap_err();
    assert_eq!(foreign, EntryError::OtherBus("state".to_owned()));
    assert!(said(foreign).contains("another bus"));
}

/// Owners come and go on four threads, with a publisher that knows nothing of leases: the updates are one chain, and what
/// stands in the end is owned, or was published after the last owner went.
#[test]
fn g5_leases_and_publishers_make_one_chain() {
    let _watched = watched();
    let kept = Kept::new(states(), cache);
    let next = AtomicU64::new(1);
    let (next, kept2) = (&next, &kept);
    let number = || next.fetch_add(1, Ordering::Relaxed);
    thread::scope(|scope| {
        for by in 0..4 {
            scope.spawn(move || {
                for round in 0..200 {
                    if by == 3 {
                        kept2.publish("alice", number());
                        continue;
                    }
                    let lease = kept2.lease("alice");
                    lease.publish(state("alice", number()));
                    if round % 7 == 0 {
                        lease.forget();
                    }
                }
            });
        }
    });
    let told = kept.told("alice");
    assert!(told.iter().filter(|new| new.is_some()).count() == 800, "every publish was told");
    assert_eq!(told.last().copied().flatten(), kept.now("alice"));
    drop(kept.lease("alice"));
    assert_eq!(kept.now("alice"), None);
    assert!(kept.cache.is_empty());
    end(&kept.bus);
}

/// A lease goes while its successor is made and publishes: the successor's state stands.
#[test]
fn g4_a_newer_lease_keeps_what_it_published() {
    let _watched = watched();
    let kept = Kept::new(states(), cache);
    for round in 0..300 {
        let old = kept.lease("alice");
        old.publish(state("alice", 2 * round));
        let barrier = Barrier::new(2);
        let new = thread::scope(|scope| {
            let gone = scope.spawn(|| {
                barrier.wait();
                drop(old);
            });
            barrier.wait();
            let new = kept.lease("alice");
            new.publish(state("alice", 2 * round + 1));
            assert_eq!(kept.now("alice"), Some(2 * round + 1), "while the old one goes");
            gone.join().unwrap();
            new
        });
        assert_eq!(kept.now("alice"), Some(2 * round + 1), "afterwards");
        drop(new);
        assert_eq!(kept.now("alice"), None);
    }
    kept.told("alice");
    end(&kept.bus);
}

/// Whoever hears of a lease's end may use the cache, take the lease again, and drop others; values are dropped under no
/// lock.
#[test]
fn g8_a_lease_may_be_dropped_and_taken_anywhere() {
    let _watched = watched();
    let (bus, kind) = states();
    let (cache, topic) = (cache(&bus, &kind), bus.topic("states").unwrap());
    let cached = Arc::new(topic.caching(&cache).unwrap());
    let log = Log::new();
    let (weak, kind2, noted) = (Arc::downgrade(&cached), kind.clone(), log.clone());
    let _told = cached
        .subscription("told")
        .inline(move |delivery| {
            let Some(cached) = weak.upgrade() else { return };
            let Some(bus) = delivery.bus() else { return };
            let Some(update) = bus.cache_updates().read(delivery.message()) else { return };
            if update.new.is_none() && noted.len() < 5 {
                noted.push(());
                let again = cached.lease(&kind2, update.id()).unwrap();
                again.publish(state(update.id(), 7));
                drop(again);
            }
        })
        .unwrap();
    let lease = cached.lease(&kind, "alice").unwrap();
    lease.publish(state("alice", 1));
    drop(lease);
    assert_eq!((log.len(), cache.len()), (5, 0));

    // A value that owns a lease, in the cache that the lease is of.
    let owner = bus.message_type::<(String, OnDrop<Box<dyn FnMut() + Send + Sync>>)>("owner").unwrap();
    let owners = Cache::builder(&bus).id_of(&owner, |(id, _)| id).build().unwrap();
    let owned = topic.caching(&owners).unwrap();
    let gone = Log::new();
    let mut held = Some((owned.lease(&owner, "inner").unwrap(), gone.clone()));
    let inner = owned.lease(&owner, "inner-too").unwrap();
    inner.publish(("inner-too".to_owned(), on_drop(|| {})));
    topic.publish(owner.message((
        "outer".to_owned(),
        on_drop(move || {
            if let Some((lease, gone)) = held.take() {
                drop(lease);
                gone.push(());
            }
        }),
    )));
    owners.clear(&owner, "outer");
    eventually(|| gone.len() == 1);
    drop(inner);
    assert!(owners.is_empty());
    end(&bus);
}

#[test]
fn g11_leases_outlive_the_bus_and_nothing_is_left() {
    let _watched = watched();
    for lease_first in [false, true] {
        let census = Census::new();
        let bus = Bus::new().unwrap();
        let topic = bus.topic("states").unwrap();
        let kind = bus.message_type::<(String, Alive)>("state").unwrap();
        let cache = Cache::builder(&bus).id_of(&kind, |(id, _)| id).build().unwrap();
        let cached = topic.caching(&cache).unwrap();
        let lease = cached.lease(&kind, "alice").unwrap();
        for _ in 0..100 {
            lease.publish(("alice".to_owned(), census.born()));
        }
        if lease_first {
            drop(lease);
            end(&bus);
            assert_eq!(census.alive(), 0);
        } else {
            end(&bus);
            assert_eq!(census.alive(), 1, "what the lease owns");
            drop(lease);
            assert_eq!(census.alive(), 0);
        }
        drop((cached, cache));
    }
}

// ---- watching ------------------------------------------------------------------------------------------------------

#[test]
fn g4_a_watch_shows_what_a_read_shows() {
    let _watched = watched();
    let kept = Kept::manual();
    let mut watch = kept.cache.watch(&kept.kind, "alice").unwrap();
    let other = kept.cache.watch(&kept.kind, "bob").unwrap();
    assert!(watch.get().is_none() && watch.version() == 0 && watch.id() == "alice");
    assert!(kept.cache.is_empty() && kept.cache.dump_all(AnyType).is_empty(), "it only holds the place");
    let node = kept.bus.origin("node-2").unwrap();
    kept.topic.publish(kept.kind.build(state("alice", 100)).origin(node).finish());
    assert!(watch.get().is_none() && poll(&mut watch).is_pending(), "that is what another node says");
    let mut versions = vec![watch.version()];
    for number in [1, 2, 3] {
        kept.publish("alice", number);
        assert_eq!((number_of(&kept.kind, watch.get()), kept.now("alice")), (Some(number), Some(number)));
        versions.push(watch.version());
        if number == 1 {
            assert_eq!(changed(&kept.kind, &mut watch), Some(1));
        }
    }
    assert_eq!(changed(&kept.kind, &mut watch), Some(3), "two changes are one");
    assert!(poll(&mut watch).is_pending());
    kept.cache.clear(&kept.kind, "alice");
    versions.push(watch.version());
    assert!(watch.get().is_none() && changed(&kept.kind, &mut watch).is_none());
    let mut clone = watch.clone();
    kept.cache.clear_origin(node);
    assert!(kept.cache.is_empty() && poll(&mut watch).is_pending());
    kept.publish("alice", 4);
    versions.push(watch.version());
    assert_eq!(number_of(&kept.kind, watch.get()), Some(4), "cleared, and there again");
    drop(watch);
    assert_eq!(changed(&kept.kind, &mut clone), Some(4), "the clone goes on");
    assert!(versions.is_sorted() && versions.windows(2).all(|two| two[0] != two[1]), "{versions:?}");
    assert!(other.get().is_none() && other.version() == 0);
    // With a state there already.
    assert_eq!(number_of(&kept.kind, kept.cache.watch(&kept.kind, "alice").unwrap().get()), Some(4));
    assert_eq!(kept.told("alice"), [Some(1), Some(2), Some(3), None, Some(4)]);
}

/// What it says at once, without being woken.
fn poll(watch: &mut Watch) -> Poll<Result<Option<Message>, WatchEnded>> {
    Pin::new(&mut watch.changed()).poll(&mut Context::from_waker(Waker::noop()))
}

fn changed(kind: &MessageType<State>, watch: &mut Watch) -> Option<u64> {
    number_of(kind, block_on(watch.changed()).unwrap())
}

/// Watchers on threads of their own, four publishers, and somebody who clears: each watcher sees versions grow, and nobody
/// sleeps through the last change.
#[test]
fn g4_no_watcher_sleeps_through_a_change() {
    let _watched = watched();
    const LAST: u64 = u64::MAX;
    for _ in 0..10 {
        let kept = Kept::new(states(), cache);
        let next = AtomicU64::new(1);
        thread::scope(|scope| {
            for _ in 0..3 {
                let mut watch = kept.cache.watch(&kept.kind, "alice").unwrap();
                let kind = &kept.kind;
                scope.spawn(move || {
                    let (mut before, mut version) = (Some(0), 0);
                    while before != Some(LAST) {
                        let now = changed(kind, &mut watch);
                        assert!(now != before || now.is_none(), "told twice of {now:?}");
                        assert!(watch.version() >= version);
                        (before, version) = (now, watch.version());
                    }
                });
            }
            let publishers = [0, 1, 2, 3].map(|by| {
                let (kept, next) = (&kept, &next);
                scope.spawn(move || {
                    for round in 0..200 {
                        kept.publish("alice", next.fetch_add(1, Ordering::Relaxed));
                        if (by, round % 20) == (0, 0) {
                            kept.cache.clear(&kept.kind, "alice");
                        }
                    }
                })
            });
            publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
            kept.publish("alice", LAST);
        });
        end(&kept.bus);
    }
}

/// A waker that runs a closure.
struct Run<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Run<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn leave_waker(watch: &mut Watch, code: impl Fn() + Send + Sync + 'static) {
    let waker = Waker::from(Arc::new(Run(code)));
    assert!(Pin::new(&mut watch.changed()).poll(&mut Context::from_waker(&waker)).is_pending());
}

/// Wakers are called under no lock, once everybody has the update, and a panic in one harms nobody.
#[test]
fn g8_wakers_of_watches_may_do_anything() {
    let _watched = watched();
    let told = Log::new();
    let noted = told.clone();
    let bus = Bus::builder().on_panic(move |report| noted.push((report.name.to_owned(), report.place)));
    let bus = bus.build().unwrap();
    let kind = bus.message_type("state").unwrap();
    let kept = Kept::new((bus, kind), |bus, kind| builder(bus, kind).name("states").build().unwrap());
    let (done, heard) = (Log::new(), kept.updates.clone());
    let mut watches: Vec<_> = (0..3).map(|_| kept.cache.watch(&kept.kind, "alice").unwrap()).collect();
    leave_waker(&mut watches[0], || panic!("{ON_PURPOSE}"));
    let (noted, cache, kind, topic) =
        (done.clone(), kept.cache.clone(), kept.kind.clone(), kept.topic.clone());
    leave_waker(&mut watches[1], move || {
        assert!(heard.len() <= 1, "not before the update's turn");
        noted.push(number_of(&kind, cache.get(&kind, "alice")));
        topic.publish(kind.message(state("alice", 2)));
        noted.push(number_of(&kind, cache.watch(&kind, "alice").unwrap().get()));
        cache.clear(&kind, "alice");
    });
    let own = Mutex::new(Some(kept.cache.watch(&kept.kind, "alice").unwrap()));
    leave_waker(&mut watches[2], move || drop(own.lock().unwrap().take()));
    kept.publish("alice", 1);
    assert_eq!(done.all(), [Some(1), Some(2)]);
    assert_eq!(told.all(), [("states".to_owned(), PanicPlace::Waker)]);
    assert_eq!(kept.now("alice"), None);
    assert_eq!(changed(&kept.kind, &mut watches[0]), None);
    drop(watches);
    assert_eq!(kept.told("alice"), [Some(1), Some(2), None]);
    end(&kept.bus);
}

#[test]
fn g11_whoever_watches_hears_of_the_end() {
    let _watched = watched();
    for drop_only in [false, true] {
        let kept = Kept::new(states(), cache);
        kept.publish("alice", 1);
        let mut watch = kept.cache.watch(&kept.kind, "alice").unwrap();
        let mut late = watch.clone();
        let (cache, kind) = (kept.cache.clone(), kept.kind.clone());
        let waiter = thread::spawn(move || block_on(watch.changed()).map(drop));
        kept.publish("bob", 2);
        let mut changes = cache.watch(&kind, "bob").unwrap();
        kept.publish("bob", 3);
        match drop_only {
            true => drop(kept),
            false => end(&kept.bus),
        }
        assert_eq!(waiter.join().unwrap(), Err(WatchEnded));
        assert_eq!(block_on(late.changed()).map(drop), Err(WatchEnded));
        assert_eq!(changed(&kind, &mut changes), Some(3), "what came before is given first");
        assert_eq!(block_on(changes.changed()).map(drop), Err(WatchEnded));
        assert_eq!(number_of(&kind, late.get()), Some(1), "it may still be read");
        assert!(WatchEnded.to_string().contains("ended"));
    }
}

#[test]
fn g11_a_watch_holds_no_dead_value() {
    let _watched = watched();
    let census = Census::new();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<(String, Alive)>("state").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, |(id, _)| id).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    let watch = cache.watch(&kind, "alice").unwrap();
    for _ in 0..100 {
        topic.publish(kind.message(("alice".to_owned(), census.born())));
    }
    bus.run_until_idle();
    assert_eq!(census.alive(), 1);
    cache.clear(&kind, "alice");
    bus.run_until_idle();
    assert_eq!(census.alive(), 0);
    drop(watch);
    end(&bus);
}

// ---- time to live --------------------------------------------------------------------------------------------------

const MINUTE: Duration = Duration::from_secs(60);

fn with_ttl(ttl: Duration) -> impl Fn(&Bus, &MessageType<State>) -> Cache {
    move |bus, kind| builder(bus, kind).ttl(ttl).suppress_equal(kind).build().unwrap()
}

impl Kept {
    fn pass(&self, time: Duration) {
        self.bus.advance(time);
        self.bus.run_until_idle();
    }
}

#[test]
fn g5_what_nobody_writes_for_long_goes_and_is_told() {
    let _watched = watched();
    let kept = Kept::new(manual_states(), with_ttl(MINUTE));
    let node = kept.bus.origin("node-2").unwrap();
    let lease = kept.lease("leased");
    lease.publish(state("leased", 1));
    kept.publish("alice", 1);
    kept.pass(MINUTE / 2);
    kept.topic.publish(kept.kind.build(state("alice", 100)).origin(node).finish());
    kept.publish("bob", 1);
    let carol = kept.kind.message(state("carol", 1));
    kept.topic.publish(carol.clone());
    kept.publish("dave", 1);
    kept.pass(MINUTE / 2 - Duration::from_nanos(1));
    assert_eq!(kept.cache.len(), 5, "none is due");
    kept.pass(Duration::from_nanos(1));
    assert_eq!((kept.now("alice"), kept.now("leased"), kept.now("bob")), (None, None, Some(1)));
    assert_eq!(kept.cache.get_all(&kept.kind, "alice").len(), 1, "what the other node says is younger");
    assert!(lease.is_newest());
    // Written again, by the same message, or by an equal one that is left out: all of them stay.
    kept.publish("bob", 2);
    kept.topic.publish(carol);
    kept.publish("dave", 1);
    kept.pass(MINUTE / 2);
    assert!(kept.cache.get_all(&kept.kind, "alice").is_empty());
    assert_eq!(["bob", "carol", "dave"].map(|id| kept.now(id)), [Some(2), Some(1), Some(1)]);
    lease.publish(state("leased", 2));
    kept.pass(MINUTE / 2);
    assert_eq!((kept.cache.len(), kept.now("leased")), (1, Some(2)));
    kept.pass(10 * MINUTE);
    assert!(kept.cache.is_empty());
    assert_eq!(kept.told("alice"), [Some(1), None]);
    assert_eq!(kept.told("bob"), [Some(1), Some(2), None]);
    assert_eq!(kept.told("leased"), [Some(1), None, Some(2), None]);
    let stats = kept.cache.stats();
    assert_eq!((stats.expired, stats.evicted, stats.cleared), (7, 0, 7));
    kept.publish("alice", 5);
    kept.pass(MINUTE);
    assert_eq!(kept.now("alice"), None, "the alarm is set anew");
}

#[test]
fn expired_states_leave_their_aggregates() {
    let _watched = watched();
    let kept = Kept::new(manual_states(), |bus, kind| summing(bus, kind).ttl(MINUTE).build().unwrap());
    let node = kept.bus.origin("node-2").unwrap();
    kept.publish("alice", 1);
    kept.pass(MINUTE / 2);
    kept.topic.publish(kept.kind.build(state("alice", 10)).origin(node).finish());
    let sum = || number_of(&kept.kind, kept.cache.get_aggregate(&kept.kind, "alice"));
    assert_eq!(sum(), Some(11));
    kept.pass(MINUTE / 2);
    assert_eq!(sum(), Some(10));
    kept.pass(MINUTE / 2);
    assert_eq!((sum(), kept.cache.len()), (None, 0));
}

/// By the real clock, with publishers under way: the chains hold, what is written all the time stays, and what nobody
/// writes any more goes, though nothing else happens.
#[test]
fn g5_states_expire_among_publishers() {
    let _watched = watched();
    let kept = Kept::new(states(), with_ttl(Duration::from_millis(20)));
    let next = AtomicU64::new(1);
    thread::scope(|scope| {
        for by in 0..4 {
            let (kept, next) = (&kept, &next);
            scope.spawn(move || {
                let id = ["alice", "bob"][by % 2];
                for round in 0..40 {
                    kept.publish(id, next.fetch_add(1, Ordering::Relaxed));
                    thread::sleep(Duration::from_millis(if round % 10 == 9 { 25 } else { 1 }));
                }
            });
        }
    });
    eventually(|| kept.cache.is_empty());
    eventually(|| kept.told("alice").last() == Some(&None) && kept.told("bob").last() == Some(&None));
    assert!(kept.cache.stats().expired >= 2);
    end(&kept.bus);
}

/// Handlers and drops that expiry leads to run on a worker, not where the clock is watched: one that is stuck does not
/// keep the next from being looked at.
#[test]
fn g9_what_expires_is_told_by_workers() {
    let _watched = watched();
    let bus = Bus::builder().workers(2..=2).thread_name("expiry").build().unwrap();
    let kind = bus.message_type("state").unwrap();
    let kept = Kept::new((bus, kind), with_ttl(Duration::from_millis(5)));
    let (stuck, gate, told) = (Gate::new(), Gate::new(), Log::new());
    let (kind, updates) = (kept.kind.clone(), kept.bus.cache_updates().clone());
    let (stuck2, gate2, noted) = (stuck.clone(), gate.clone(), told.clone());
    let _slow = kept
        .cached
        .subscription("slow")
        .inline(move |delivery| {
            let Some(update) = delivery.read(&updates).filter(|update| update.new.is_none()) else { return };
            let id = update.id().to_owned();
            noted.push((id.clone(), thread::current().name().map(str::to_owned)));
            if id == "alice" {
                stuck2.open();
                gate2.pass();
            }
        })
        .unwrap();
    kept.publish("alice", 1);
    stuck.pass();
    // The alarm is under way and stuck in foreign code; another cache's is not.
    let other = builder(&kept.bus, &kind).ttl(Duration::from_millis(5)).build().unwrap();
    let _cached = kept.bus.topic("others").unwrap().caching(&other).unwrap();
    kept.bus.topic("others").unwrap().publish(kind.message(state("bob", 1)));
    eventually(|| other.is_empty());
    gate.open();
    eventually(|| kept.cache.is_empty());
    let name = told.all()[0].1.clone().unwrap();
    assert!(name == "expiry-0" || name == "expiry-1", "{name} is no worker");
    end(&kept.bus);
}

#[test]
fn g11_the_end_waits_for_no_time_to_live() {
    let _watched = watched();
    let kept = Kept::new(states(), with_ttl(60 * MINUTE));
    kept.publish("alice", 1);
    end(&kept.bus);
    assert_eq!(kept.now("alice"), Some(1));
    kept.publish("alice", 2);
}

// ---- how many ------------------------------------------------------------------------------------------------------

#[test]
fn g5_one_entry_too_many_takes_the_oldest_out_and_tells() {
    let _watched = watched();
    for most in [1, 2, 8] {
        let kept =
            Kept::new(manual_states(), |bus, kind| builder(bus, kind).max_entries(most).build().unwrap());
        let ids: Vec<String> = (0..20).map(|n| format!("object-{n}")).collect();
        let node = kept.bus.origin("node-2").unwrap();
        for (n, id) in ids.iter().enumerate() {
            kept.bus.advance(Duration::from_millis(1));
            kept.publish(id, n as u64);
            kept.topic.publish(kept.kind.build(state(id, 100 + n as u64)).origin(node).finish());
            assert_eq!((kept.cache.len(), kept.now(id)), ((n + 1).min(most), Some(n as u64)));
        }
        // All of them are in the sample, so the newest are left.
        let left: Vec<u64> = (20 - most as u64..20).collect();
        assert_eq!(sorted(&kept.kind, kept.cache.dump(AnyType)), left);
        assert_eq!(kept.cache.dump_all(AnyType).len(), 2 * most);
        assert_eq!(kept.told("object-3"), [Some(3), None]);
        let stats = kept.cache.stats();
        assert_eq!(
            (stats.evicted, stats.cleared, stats.expired),
            (20 - most as u64, 40 - 2 * most as u64, 0)
        );
        // A place without a state does not count, and neither does what was there already.
        let watch = kept.cache.watch(&kept.kind, "other").unwrap();
        kept.publish("object-19", 7);
        assert_eq!(kept.cache.stats().evicted, 20 - most as u64);
        kept.publish("other", 8);
        assert_eq!((number_of(&kept.kind, watch.get()), kept.cache.len()), (Some(8), most));
    }
}

#[test]
fn g5_four_publishers_keep_within_the_bound() {
    let _watched = watched();
    for aggregates in [false, true] {
        let kept = Kept::new(states(), |bus, kind| {
            let builder = if aggregates { summing(bus, kind) } else { builder(bus, kind) };
            builder.max_entries(50).build().unwrap()
        });
        thread::scope(|scope| {
            for by in 0..4 {
                let kept = &kept;
                scope.spawn(move || {
                    for n in 0..250 {
                        kept.publish(&format!("{}", by * 250 + n), by * 250 + n);
                    }
                });
            }
        });
        // Not before: a length is the sum of the shards' lengths, each of another moment.
        let stats = kept.cache.stats();
        assert!((40..=50).contains(&kept.cache.len()) && stats.evicted >= 950, "{stats}");
        for chain in chains(kept.bus.cache_updates(), &kept.updates.all()).values() {
            assert_chain(&kept.kind, chain);
        }
        end(&kept.bus);
    }
}

#[test]
fn limits_out_of_their_range_are_refused() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let said = |builder: CacheBuilder| builder.build().unwrap_err().to_string();
    let ttl = |ttl| said(builder(&bus, &kind).ttl(ttl));
    let allowed = "allowed is 1000 to 31536000000000";
    assert_eq!(ttl(Duration::ZERO), format!("cache: ttl in microseconds is 0; {allowed}"));
    assert_eq!(ttl(Duration::from_micros(999)), format!("cache: ttl in microseconds is 999; {allowed}"));
    assert!(ttl(Duration::MAX).ends_with(allowed));
    let none = said(builder(&bus, &kind).max_entries(0));
    assert_eq!(none, "cache: max_entries is 0; allowed is 1 to 4294967295");
}
