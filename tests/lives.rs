//! How long entries of a cache live, and who knows of it: leases, watches, the time to live, the bound.

mod common;
#[path = "lives/limits.rs"]
mod limits;
mod states;
#[path = "lives/watching.rs"]
mod watching;

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
