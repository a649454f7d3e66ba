//! A cache that two topics keep their messages in, under several publishers of the same objects.

use super::seen::{Alive, Census, Ending, LONG, Stage, block_on, spawn};
use super::{Witness, explore};
use crate::sync::shuttle::world;
use crate::sync::thread::{JoinHandle, sleep};
use crate::{
    Cache, CacheBuilder, CacheUpdate, CachingTopic, Delivery, Dispatch, EndReason, Message, MessageType,
    Subscription, Topic,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const OBJECTS: [&str; 6] = ["one", "other", "third", "fourth", "fifth", "sixth"];
/// By whom aggregates are.
const NOBODY: usize = usize::MAX;

/// Of which object, by whom, and its number; of an aggregate: the newest number.
struct State {
    of: usize,
    by: usize,
    number: usize,
    _alive: Alive,
}

/// Makes states anywhere.
#[derive(Clone)]
struct Made {
    kind: MessageType<State>,
    census: Census,
}

impl Made {
    fn state(&self, of: usize, by: usize, number: usize) -> State {
        State { of, by, number, _alive: self.census.born() }
    }

    fn message(&self, of: usize, by: usize, number: usize) -> Message {
        self.kind.message(self.state(of, by, number))
    }
}

type Value = (usize, usize);

struct Kept {
    stage: Stage,
    kind: MessageType<State>,
    made: Made,
    cache: Cache,
    topics: [Topic; 2],
    caching: [CachingTopic; 2],
}

impl Kept {
    /// With an aggregate that has the state's number, and by nobody.
    fn new() -> Self {
        Self::built(|builder| builder)
    }

    fn built(options: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let stage = Stage::new(1, 2);
        let kind = stage.bus.message_type::<State>("state").unwrap();
        let made = Made { kind: kind.clone(), census: stage.census.clone() };
        let its = made.clone();
        let builder = Cache::builder(&stage.bus).id_of(&kind, |state: &State| OBJECTS[state.of]).aggregate(
            move |entry| {
                let state = its.kind.read(entry.local()?)?;
                let all = its.state(state.of, NOBODY, state.number);
                Some(its.kind.build(all).aggregate().finish())
            },
        );
        let cache = options(builder).build().unwrap();
        let topics = ["a", "b"].map(|name| stage.topic(name));
        let caching = topics.each_ref().map(|topic| topic.caching(&cache).unwrap());
        Self { stage, kind, made, cache, topics, caching }
    }

    /// Publishes so many of each object, and finds each, or a newer one, at once.
    fn publisher(&self, by: usize, count: usize) -> JoinHandle<()> {
        let (topic, made, cache) = (self.topics[by % 2].clone(), self.made.clone(), self.cache.clone());
        spawn(move || {
            let kind = &made.kind;
            for number in 0..count {
                for of in [0, 1] {
                    assert_eq!(topic.publish(made.message(of, by, number)).cached, 1);
                    let found = cache.get(kind, OBJECTS[of]).expect("published, and not found");
                    let found = kind.read(&found).unwrap();
                    assert!(found.by != by || found.number >= number, "an older one");
                    let aggregate = cache.get_aggregate(kind, OBJECTS[of]).expect("no aggregate");
                    assert_eq!(kind.read(&aggregate).unwrap().by, NOBODY);
                }
            }
        })
    }

    fn listen(&self, mode: Dispatch) -> (Subscription, Chains) {
        let (chains, handler) = self.chains();
        let builder = self.cache.updates().subscription("told").dispatch(mode);
        (builder.start(handler).unwrap(), chains)
    }

    /// Of what is written by the first of the topics: a chain of each object that nobody writes by the other one.
    fn listen_to_a_part(&self) -> (Subscription, Chains) {
        let (chains, handler) = self.chains();
        let builder = self.caching[0].subscription("part").dispatch(Dispatch::Serial);
        (builder.start(handler).unwrap(), chains)
    }

    /// Catches up.
    fn listen_late(&self, mode: Dispatch) -> (Subscription, Chains) {
        let (chains, handler) = self.chains();
        let builder = self.cache.snapshot_subscription("late").dispatch(mode);
        (builder.start(handler).unwrap(), chains)
    }

    fn chains(&self) -> (Chains, impl FnMut(&Delivery<'_>) + Send + use<>) {
        let chains = Chains {
            kind: self.kind.clone(),
            stand: Arc::default(),
            went: Arc::default(),
            ending: Ending::default(),
        };
        let (its, updates) = (chains.clone(), self.stage.bus.cache_updates().clone());
        (chains, move |delivery: &Delivery<'_>| {
            its.ending.note(delivery);
            if let Some(update) = delivery.read(&updates) {
                its.follow(update);
            }
        })
    }

    /// Ends everything; what each was told of last is what stood, and then one final message.
    fn finish(self, told: Vec<(Subscription, Chains)>) {
        assert!(self.stage.bus.shutdown(LONG).unwrap().is_clean());
        for (subscription, chains) in told {
            subscription.join().unwrap();
            chains.ending.check(EndReason::ShutDown);
            for (at, id) in OBJECTS.into_iter().enumerate() {
                let read = |state: Option<Message>| state.and_then(|state| chains.value(&state));
                assert_eq!(chains.stands(at, false), read(self.cache.get(&self.kind, id)), "{id}");
                assert_eq!(
                    chains.stands(at, true),
                    read(self.cache.get_aggregate(&self.kind, id)),
                    "of all, {id}"
                );
            }
        }
        let Self { stage, kind, made, cache, topics, caching } = self;
        drop((kind, made, cache, topics, caching));
        stage.finish(Vec::new());
    }
}

/// What somebody was told stands: by object, and whether it is the aggregate.
#[derive(Clone)]
struct Chains {
    kind: MessageType<State>,
    stand: Arc<Mutex<BTreeMap<(usize, bool), Value>>>,
    /// How many states went.
    went: Arc<AtomicU64>,
    ending: Ending,
}

impl Chains {
    fn value(&self, state: &Message) -> Option<Value> {
        self.kind.read(state).map(|state| (state.by, state.number))
    }

    /// One link: it begins where the one before it ended.
    fn follow(&self, update: &CacheUpdate) {
        let read = |state: &Option<Message>| state.as_ref().and_then(|state| self.value(state));
        let (old, new) = (read(&update.old), read(&update.new));
        let state = update.new.as_ref().or(update.old.as_ref()).expect("one of the two");
        let key = (self.kind.read(state).unwrap().of, state.origin().is_none());
        let mut stand = self.stand.lock().unwrap();
        let before = match new {
            Some(new) => stand.insert(key, new),
            None => {
                self.went.fetch_add(u64::from(!key.1), SeqCst);
                stand.remove(&key)
            }
        };
        assert_eq!(before, old, "a gap before {new:?} of {key:?}");
    }

    fn went(&self) -> u64 {
        self.went.load(SeqCst)
    }

    fn stands(&self, of: usize, is_aggregate: bool) -> Option<Value> {
        self.stand.lock().unwrap().get(&(of, is_aggregate)).copied()
    }
}

/// Four publish the same objects by two topics: one chain for each, and what was published is found. Others catch up in the
/// middle, and hear of everything from there on.
#[test]
fn updates_are_one_chain() {
    explore(|| {
        let kept = Kept::new();
        let told = kept.listen(Dispatch::Pool);
        let publishers = [0, 1, 2, 3].map(|by| kept.publisher(by, 2));
        let late = [Dispatch::Pool, Dispatch::Dedicated].map(|mode| kept.listen_late(mode));
        publishers.into_iter().for_each(|publisher| publisher.join());
        kept.finish([told].into_iter().chain(late).collect());
    });
}

/// Objects are cleared while they are published: by hand, and by leases that come and go.
#[test]
fn objects_come_and_go() {
    static WENT: Witness = Witness::new();
    static STAYED: Witness = Witness::new();
    explore(|| {
        let kept = Kept::new();
        let told = kept.listen(Dispatch::Serial);
        let leasing = [0, 1].map(|at| {
            let (caching, made) = (kept.caching[at].cache().clone(), kept.made.clone());
            let (topic, kept_by) = (kept.topics[at].clone(), kept.topics[at].caching(&caching).unwrap());
            spawn(move || {
                for number in 0..2 {
                    let lease = kept_by.lease(&made.kind, OBJECTS[0]).unwrap();
                    assert_eq!(lease.publish(made.state(0, 4 + at, number)).cached, 1);
                    drop(lease);
                    topic.publish(made.message(1, 4 + at, number));
                }
            })
        });
        let (cache, kind) = (kept.cache.clone(), kept.kind.clone());
        let clearing = spawn(move || {
            for id in &OBJECTS[..2] {
                if cache.clear(&kind, id) {
                    WENT.see();
                }
            }
        });
        let (topic, made) = (kept.topics[1].clone(), kept.made.clone());
        let publishing = spawn(move || {
            for number in 0..3 {
                topic.publish(made.message(number % 2, 7, number));
            }
        });
        let late = kept.listen_late(Dispatch::Pool);
        for thread in leasing.into_iter().chain([clearing, publishing]) {
            thread.join();
        }
        if kept.cache.get(&kept.kind, OBJECTS[0]).is_some() {
            STAYED.see();
        }
        kept.finish(vec![told, late]);
    });
    assert!(WENT.was_seen() && STAYED.was_seen());
}

/// Tasks wait for changes of one object, until they have seen the last one; the end lets the last one go.
#[test]
fn watches_see_the_last_change() {
    explore(|| {
        let kept = Kept::new();
        let watching = [0, 1].map(|_| {
            let (mut watch, kind) = (kept.cache.watch(&kept.kind, OBJECTS[1]).unwrap(), kept.kind.clone());
            spawn(move || {
                let mut last = BTreeMap::new();
                while let Ok(state) = block_on(watch.changed()) {
                    let state = state.expect("nobody clears");
                    let state = kind.read(&state).unwrap();
                    let before = last.insert(state.by, state.number);
                    assert!(before.is_none_or(|before| before < state.number), "seen again");
                }
                assert!(watch.get().is_some());
                assert!(last.values().any(|number| *number == 2), "the last one was not seen");
            })
        });
        let publishers = [0, 1].map(|by| kept.publisher(by, 3));
        publishers.into_iter().for_each(|publisher| publisher.join());
        // They get their time: it passes when nobody else can run.
        sleep(Duration::from_secs(1));
        assert!(kept.stage.bus.shutdown(LONG).unwrap().is_clean());
        watching.into_iter().for_each(|thread| thread.join());
        kept.finish(Vec::new());
    });
}

/// Of the sleeps below some may end early, others not, so that looks come at all sorts of times.
const TTL: Duration = Duration::from_millis(24);

/// What is not written any more goes when its time has come, and not before: each owner finds its own, or it has not written
/// for that long. Who follows is told of each that went.
#[test]
fn states_go_in_time() {
    static WENT: Witness = Witness::new();
    static STAYED: Witness = Witness::new();
    explore(|| {
        let kept = Kept::built(|builder| builder.ttl(TTL));
        let told = kept.listen(Dispatch::Pool);
        let part = kept.listen_to_a_part();
        let owners = [0, 1, 2].map(|of| {
            let (topic, made, cache) = (kept.topics[of % 2].clone(), kept.made.clone(), kept.cache.clone());
            spawn(move || {
                for number in 0..3 {
                    let began = world::read_clock();
                    assert_eq!(topic.publish(made.message(of, of, number)).cached, 1);
                    // Some come back in time.
                    sleep(TTL * [11, 14, 20][of] / 16);
                    let is_there = cache.get(&made.kind, OBJECTS[of]).is_some();
                    let age = Duration::from_nanos(world::read_clock() - began);
                    assert!(is_there || age >= TTL, "gone after {age:?}");
                    if is_there { &STAYED } else { &WENT }.see();
                }
            })
        });
        let late = kept.listen_late(Dispatch::Serial);
        owners.into_iter().for_each(|owner| owner.join());
        sleep(10 * TTL);
        assert!(kept.cache.is_empty(), "they stay for ever");
        assert_eq!(told.1.went(), kept.cache.stats().expired);
        kept.finish(vec![told, part, late]);
    });
    assert!(WENT.was_seen() && STAYED.was_seen());
}

/// Three fill a cache that may have two entries: when they are done it has no more, and each that had to go was told of.
#[test]
fn entries_are_bounded() {
    static STAYED: Witness = Witness::new();
    explore(|| {
        const MOST: usize = 2;
        let kept = Kept::built(|builder| builder.max_entries(MOST));
        let told = kept.listen(Dispatch::Pool);
        let filling = [0, 1, 2].map(|by| {
            let (topic, made, cache) = (kept.topics[by % 2].clone(), kept.made.clone(), kept.cache.clone());
            spawn(move || {
                for number in 0..4 {
                    let of = (2 * by + number) % OBJECTS.len();
                    assert_eq!(topic.publish(made.message(of, by, number)).cached, 1);
                    if cache.get(&made.kind, OBJECTS[of]).is_some() {
                        STAYED.see();
                    }
                }
            })
        });
        let late = kept.listen_late(Dispatch::Dedicated);
        filling.into_iter().for_each(|thread| thread.join());
        assert!(kept.cache.len() <= MOST, "{} entries", kept.cache.len());
        // A mailbox that is run somewhere else: what it was told of is counted when it has been.
        assert!(kept.stage.bus.shutdown(LONG).unwrap().is_clean());
        let stats = kept.cache.stats();
        assert_eq!((told.1.went(), stats.evicted), (stats.cleared, stats.cleared));
        kept.finish(vec![told, late]);
    });
    assert!(STAYED.was_seen());
}

/// Who begins to watch while somebody writes is woken by that, and by nothing else: an object after the other.
#[test]
fn no_change_is_slept_through() {
    explore(|| {
        let kept = Kept::new();
        for (of, object) in OBJECTS.into_iter().enumerate() {
            let (mut watch, kind) = (kept.cache.watch(&kept.kind, object).unwrap(), kept.kind.clone());
            let watching = spawn(move || {
                let state = block_on(watch.changed()).expect("the bus stands").expect("nobody clears");
                assert_eq!(kind.read(&state).unwrap().of, of);
            });
            assert_eq!(kept.topics[0].publish(kept.made.message(of, 0, 0)).cached, 1);
            watching.join();
        }
        kept.finish(Vec::new());
    });
}

/// Who is told of a state finds it, or a newer one.
#[test]
fn what_is_told_is_found() {
    explore(|| {
        const EACH: usize = 4;
        let kept = Kept::new();
        let (cache, kind, updates) =
            (kept.cache.clone(), kept.kind.clone(), kept.stage.bus.cache_updates().clone());
        let reads = kept.cache.updates().subscription("reads").dispatch(Dispatch::Dedicated);
        let reads = reads.start(move |delivery| {
            let Some(new) = delivery.read(&updates).and_then(|update| update.new.as_ref()) else { return };
            let (told, found) =
                (kind.read(new).unwrap(), cache.get(&kind, OBJECTS[0]).expect("told, and not found"));
            assert!(kind.read(&found).unwrap().number >= told.number, "an older one is found");
        });
        let reads = reads.unwrap();
        for number in 0..EACH {
            assert_eq!(kept.topics[0].publish(kept.made.message(0, 0, number)).cached, 1);
        }
        reads.unsubscribe_and_join().unwrap();
        kept.finish(Vec::new());
    });
}

/// A lease that goes leaves the state of a newer one alone.
#[test]
fn older_lease_leaves_what_is_newer() {
    explore(|| {
        let kept = Kept::new();
        let lease = || kept.caching[0].lease(&kept.kind, OBJECTS[0]).unwrap();
        let old = lease();
        assert_eq!(old.publish(kept.made.state(0, 0, 0)).cached, 1);
        let goes = spawn(move || drop(old));
        let new = lease();
        assert_eq!(new.publish(kept.made.state(0, 1, 1)).cached, 1);
        goes.join();
        let stands = kept.cache.get(&kept.kind, OBJECTS[0]).expect("its lease is held");
        assert_eq!(kept.kind.read(&stands).unwrap().by, 1);
        drop((stands, new));
        assert!(kept.cache.get(&kept.kind, OBJECTS[0]).is_none());
        kept.finish(Vec::new());
    });
}
