//! A cache with aggregates, written through two topics by threads that read what they wrote; leases and watches come and
//! go, and so do whole caches.

use crate::dice::Dice;
use crate::verdict::{Count, Kind};
use crate::yard::{Alive, Yard};
use futures_lite::future::block_on;
use stasis_bus::{
    Cache, CacheEntry, CachingTopic, Error, Message, MessageBuilder, MessageType, Origin, Topic,
};
use std::sync::{Arc, RwLock};
use std::thread::{self, Scope};
use std::time::Duration;

const WRITERS: usize = 3;
const IDS: u64 = 96;
const BREATH: Duration = Duration::from_millis(2);

/// What is said of one object.
pub(crate) struct State {
    pub(crate) id: String,
    pub(crate) number: u64,
    /// The place of the topic that it was published through.
    pub(crate) via: Option<usize>,
    _alive: Alive,
}

/// The cache that is there all the time.
pub(crate) struct Store {
    pub(crate) kind: MessageType<State>,
    pub(crate) cache: Cache,
    topics: [Topic; 2],
    pub(crate) caching: [CachingTopic; 2],
    elsewhere: Origin,
    /// Writers read it for each of their steps: who has it to itself meets none of them.
    writing: RwLock<()>,
}

/// All states together: the sum of their numbers.
fn sum(yard: &Yard, kind: &MessageType<State>, entry: &CacheEntry<'_>) -> Option<Message> {
    let states = || entry.local().into_iter().chain(entry.remotes()).filter_map(|state| kind.read(state));
    let number = states().map(|state| state.number).sum();
    states().next()?;
    Some(build(yard, kind, entry.id(), number, None).aggregate().finish())
}

fn build<'a>(
    yard: &Yard,
    kind: &'a MessageType<State>,
    id: &str,
    number: u64,
    via: Option<usize>,
) -> MessageBuilder<'a, State> {
    kind.build(State { id: id.to_owned(), number, via, _alive: yard.census.born() })
}

impl Store {
    pub(crate) fn new(yard: &Arc<Yard>) -> Result<Self, Error> {
        let kind = yard.bus.message_type::<State>("state")?;
        let (summed, yard2) = (kind.clone(), Arc::downgrade(yard));
        let cache = Cache::builder(&yard.bus)
            .id_of(&kind, |state: &State| &state.id)
            .aggregate(move |entry| sum(&*yard2.upgrade()?, &summed, entry))
            .name("states")
            .build()?;
        let topics = [yard.bus.topic("cached:1")?, yard.bus.topic("cached:2")?];
        let caching = [topics[0].caching(&cache)?, topics[1].caching(&cache)?];
        let elsewhere = yard.bus.origin("elsewhere")?;
        Ok(Self { kind, cache, topics, caching, elsewhere, writing: RwLock::default() })
    }

    /// While nobody writes.
    pub(crate) fn at_rest<R>(&self, look: impl FnOnce() -> R) -> R {
        let _alone = self.writing.write().unwrap();
        look()
    }

    fn number(&self, message: Option<Message>) -> Option<u64> {
        message.as_ref().and_then(|message| self.kind.read(message)).map(|state| state.number)
    }
}

pub(crate) fn start<'s>(scope: &'s Scope<'s, '_>, yard: &Arc<Yard>, store: &Arc<Store>) {
    for writer in 0..WRITERS {
        let (yard, store) = (yard.clone(), store.clone());
        scope.spawn(move || Writer::new(&yard, &store, writer).run());
    }
    let yard = yard.clone();
    scope.spawn(move || come_and_go(&yard));
}

pub(crate) struct Writer<'a> {
    yard: &'a Yard,
    store: &'a Store,
    dice: Dice,
    id: usize,
    number: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(yard: &'a Yard, store: &'a Store, id: usize) -> Self {
        let dice = Dice::new(yard.options.seed, "writer", id);
        Self { yard, store, dice, id, number: 0 }
    }

    fn run(mut self) {
        while self.yard.goes_on() {
            for _ in 0..32 {
                let _writing = self.store.writing.read().unwrap();
                self.number += 1;
                match self.dice.below(32) {
                    0 => self.lease(),
                    1 => self.watch(),
                    2..6 => self.clear(),
                    6 => self.lose_elsewhere(),
                    7..12 => self.shared(),
                    12 => self.batch(),
                    _ => self.own(),
                }
            }
            thread::sleep(BREATH);
        }
        self.tidy();
    }

    /// An id that nobody else writes.
    fn own_id(&mut self, what: &str) -> String {
        format!("{what}-{}-{}", self.id, self.dice.below(IDS))
    }

    /// Through one of the topics.
    fn place(&mut self) -> usize {
        self.dice.index(self.store.topics.len())
    }

    fn state(&self, id: &str, via: usize) -> Message {
        build(self.yard, &self.store.kind, id, self.number, Some(via)).finish()
    }

    fn publish(&mut self, message: Message, via: usize) {
        let report = self.store.topics[via].publish(message);
        self.yard.expect_taken(&report);
    }

    pub(crate) fn write(&mut self, id: &str) {
        let via = self.place();
        self.publish(self.state(id, via), via);
    }

    /// What it has just written is what it reads.
    pub(crate) fn expect(&self, id: &str, due: Option<u64>) {
        let is = self.store.number(self.store.cache.get(&self.store.kind, id));
        self.yard.verdict.equal(is, due, Kind::Stale, id);
        self.yard.count(Count::Reads);
    }

    fn own(&mut self) {
        let id = self.own_id("own");
        self.write(&id);
        self.expect(&id, Some(self.number));
        let together = self.store.number(self.store.cache.get_aggregate(&self.store.kind, &id));
        self.yard.verdict.equal(together, Some(self.number), Kind::Stale, "aggregate");
    }

    /// Everybody writes these, and of some of them another node speaks.
    fn shared(&mut self) {
        let id = format!("shared-{}", self.dice.below(IDS));
        let via = self.place();
        let state = build(self.yard, &self.store.kind, &id, self.number, Some(via));
        let is_elsewhere = self.dice.one_in(3);
        let state = if is_elsewhere { state.origin(self.store.elsewhere) } else { state };
        self.publish(state.finish(), via);
    }

    fn clear(&mut self) {
        let id = self.own_id("own");
        if self.dice.one_in(2) {
            self.store.cache.clear(&self.store.kind, &id);
        } else {
            let via = self.place();
            self.publish(self.yard.bus.clear(&self.state(&id, via)), via);
        }
        self.expect(&id, None);
    }

    fn lose_elsewhere(&mut self) {
        if self.dice.one_in(64) {
            self.store.cache.clear_origin(self.store.elsewhere);
        }
    }

    fn batch(&mut self) {
        let ids: Vec<_> = (0..8).map(|_| self.own_id("own")).collect();
        let via = self.place();
        let messages = ids.iter().map(|id| self.state(id, via)).collect();
        self.store.topics[via].publish_batch(messages);
        ids.iter().for_each(|id| self.expect(id, Some(self.number)));
    }

    fn lease(&mut self) {
        let id = self.own_id("leased");
        let via = self.place();
        let lease = self.store.caching[via].lease(&self.store.kind, &id).expect("a lease");
        lease.publish_message(self.state(&id, via));
        self.expect(&id, Some(self.number));
        drop(lease);
        self.expect(&id, None);
        self.yard.count(Count::Leases);
    }

    fn watch(&mut self) {
        let id = self.own_id("own");
        let mut watch = self.store.cache.watch(&self.store.kind, &id).expect("a watch");
        self.write(&id);
        let changed = block_on(watch.changed()).expect("the bus stands");
        self.yard.verdict.equal(self.store.number(changed), Some(self.number), Kind::Stale, "watch");
        self.yard.count(Count::Reads);
    }

    /// Its own objects go.
    fn tidy(&self) {
        let _writing = self.store.writing.read().unwrap();
        for n in 0..IDS {
            self.store.cache.clear(&self.store.kind, &format!("own-{}-{n}", self.id));
        }
    }
}

/// Small caches with a bound: they are filled, and dropped in one order or the other.
fn come_and_go(yard: &Arc<Yard>) {
    let mut dice = Dice::new(yard.options.seed, "caches", 0);
    let kind = yard.bus.message_type::<State>("brief").expect("a type");
    while yard.goes_on() {
        let most = 1 + dice.index(200);
        let cache = Cache::builder(&yard.bus).id_of(&kind, |state: &State| &state.id).max_entries(most);
        let cache = cache.ttl(Duration::from_secs(3_600)).build().expect("a cache");
        let topic = yard.bus.topic(&format!("brief:{}", dice.below(3))).expect("a topic");
        let caching = topic.caching(&cache).expect("a caching topic");
        for number in 0..dice.below(1_000) {
            let id = format!("{}", dice.below(400));
            topic.publish(build(yard, &kind, &id, number, None).finish());
            let kept = cache.get(&kind, &id);
            let is = kept.as_ref().and_then(|message| kind.read(message)).map(|state| state.number);
            yard.verdict.equal(is, Some(number), Kind::Stale, "brief");
        }
        yard.verdict.expect(cache.len() <= most, Kind::Other, || format!("{} of {most}", cache.len()));
        match dice.one_in(2) {
            true => drop((cache, caching)),
            false => drop((caching, topic, cache)),
        }
        yard.count(Count::Caches);
        thread::sleep(Duration::from_millis(5));
    }
}
