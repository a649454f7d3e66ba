//! G5: the updates of each (type, id, origin), and of each aggregate, are one chain: each `old` is the very message that
//! was `new` before it, whoever publishes, through whatever topics, to whatever kind of subscription.

mod common;
mod states;

use common::{EVERY_MODE, Listener, Log, eventually, listen, watched};
use stasis_bus::{
    Bus, Cache, CacheUpdate, CachingTopic, Dispatch, Forward, Message, MessageType, Overflow, Subscription,
    SubscriptionBuilder, Topic,
};
use states::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const PUBLISHERS: u64 = 4;
const EACH: u64 = 300;
const KEYS: [&str; 3] = ["alice", "bob", "carol"];

/// Two topics, each kept by a caching topic of its own in one cache, and a topic that gets everything: the raw messages,
/// and the updates of both by two ways.
struct Web {
    bus: Bus,
    kind: MessageType<State>,
    cache: Cache,
    sources: [Topic; 2],
    all: Topic,
    _cached: [CachingTopic; 2],
    _forwards: Vec<Forward>,
}

impl Web {
    fn new(make: impl Fn(&Bus, &MessageType<State>) -> Cache) -> Self {
        let (bus, kind) = states();
        let cache = make(&bus, &kind);
        let topic = |name| bus.topic(name).unwrap();
        let sources = [topic("one"), topic("two")];
        let cached = sources.each_ref().map(|topic| topic.caching(&cache).unwrap());
        let (way, all) = (topic("way"), topic("all"));
        let mut forwards = vec![way.forward_to(&all).unwrap()];
        for (source, cached) in sources.iter().zip(&cached) {
            forwards.push(source.forward_to(&all).unwrap());
            forwards.push(cached.topic().forward_to(&all).unwrap());
            forwards.push(cached.topic().forward_to(&way).unwrap());
        }
        Self { bus, kind, cache, sources, all, _cached: cached, _forwards: forwards }
    }

    fn updates(&self) -> &MessageType<CacheUpdate> {
        self.bus.cache_updates()
    }

    /// Four threads publish `EACH` states each, on both topics in turn, of the same keys.
    fn publish(&self, origin: impl Fn(u64) -> stasis_bus::Origin + Sync) {
        thread::scope(|scope| {
            for by in 0..PUBLISHERS {
                let origin = origin(by);
                scope.spawn(move || {
                    for n in 0..EACH {
                        let state = state(KEYS[(n % 3) as usize], by * EACH + n);
                        let message = self.kind.build(state).origin(origin).finish();
                        self.sources[((n + by) % 2) as usize].publish(message);
                    }
                });
            }
        });
    }

    fn local(&self) -> stasis_bus::Origin {
        self.kind.message(state("", 0)).origin().unwrap()
    }
}

/// A listener that notes every message.
fn note(builder: SubscriptionBuilder<'_>, mode: Dispatch) -> (Listener, Log<Message>) {
    let log = Log::new();
    let noted = log.clone();
    (listen(builder, mode, move |heard| noted.push(heard.message)), log)
}

fn count<T: Send + Sync + 'static>(kind: &MessageType<T>, heard: &[Message]) -> usize {
    heard.iter().filter(|message| kind.read(message).is_some()).count()
}

/// Waits for `due` updates, and for no more of them than that.
fn await_updates(updates: &MessageType<CacheUpdate>, log: &Log<Message>, due: u64) -> Vec<Message> {
    eventually(|| count(updates, &log.all()) as u64 >= due);
    let heard = log.all();
    assert_eq!(count(updates, &heard) as u64, due);
    heard
}

/// Every slot's updates are a chain that ends with what is in the cache. Returns how many updates there were.
fn check_chains(web: &Web, mode: Dispatch, heard: &[Message]) -> usize {
    let mut total = 0;
    for ((id, origin), chain) in chains(web.updates(), heard) {
        let numbers = match mode {
            Dispatch::Inline => assert_chain_in_some_order(&web.kind, &chain),
            _ => assert_chain(&web.kind, &chain),
        };
        let stands = number_of(&web.kind, web.cache.get_by_origin(&web.kind, &id, origin));
        assert_eq!(numbers.last().copied().flatten(), stands, "the last of {id}");
        total += chain.len();
    }
    total
}

/// The update of a state comes before the state itself. Not for listeners that are called for several publishes at once.
fn check_update_first(web: &Web, heard: &[Message]) {
    let mut told = std::collections::HashSet::new();
    for message in heard {
        if let Some(update) = web.updates().read(message) {
            told.extend(update.new.as_ref().map(|new| number(&web.kind, new)));
        } else if let Some(state) = web.kind.read(message) {
            assert!(told.contains(&state.number), "{} before its update", state.number);
        }
    }
}

#[test]
fn g5_four_publishers_make_one_chain_in_every_mode() {
    let _watched = watched();
    for mode in EVERY_MODE {
        let web = Web::new(cache);
        let (_all, log) = note(web.all.subscription("all"), mode);
        let local = web.local();
        web.publish(|_| local);
        let due = PUBLISHERS * EACH;
        let heard = await_updates(web.updates(), &log, due);
        assert_eq!(check_chains(&web, mode, &heard), due as usize, "{mode:?}");
        eventually(|| count(&web.kind, &log.all()) as u64 == due);
        if mode != Dispatch::Inline {
            check_update_first(&web, &log.all());
        }
        common::end(&web.bus);
    }
}

#[test]
fn g5_origins_have_chains_of_their_own() {
    let _watched = watched();
    let web = Web::new(cache);
    let (_all, log) = note(web.all.subscription("all"), Dispatch::Pool);
    web.publish(|by| web.bus.origin(&format!("node-{by}")).unwrap());
    let due = PUBLISHERS * EACH;
    let heard = await_updates(web.updates(), &log, due);
    assert_eq!(chains(web.updates(), &heard).len(), KEYS.len() * PUBLISHERS as usize);
    check_chains(&web, Dispatch::Pool, &heard);
    common::end(&web.bus);
}

/// A full mailbox that publishers wait for takes updates beyond its capacity: they are pushed under a lock.
#[test]
fn g5_a_full_blocking_mailbox_gets_the_whole_chain() {
    let _watched = watched();
    for mode in common::QUEUED_MODES {
        let web = Web::new(cache);
        let builder =
            web.all.subscription("all").capacity(2).overflow(Overflow::Block(Duration::from_secs(30)));
        let (_all, log) = note(builder, mode);
        let local = web.local();
        web.publish(|_| local);
        let due = PUBLISHERS * EACH;
        let heard = await_updates(web.updates(), &log, due);
        check_chains(&web, mode, &heard);
        eventually(|| count(&web.kind, &log.all()) as u64 == due);
        check_update_first(&web, &log.all());
        common::end(&web.bus);
    }
}

#[test]
fn g5_batch_handlers_get_the_whole_chain() {
    let _watched = watched();
    for mode in [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated] {
        let web = Web::new(cache);
        let log = Log::new();
        let noted = log.clone();
        let builder = web.all.subscription("all").dispatch(mode).batch_max(7);
        let all: Subscription = builder
            .start_batch(move |batch| {
                batch.iter().for_each(|delivery| noted.push(delivery.message().clone()))
            })
            .unwrap();
        let local = web.local();
        web.publish(|_| local);
        let heard = await_updates(web.updates(), &log, PUBLISHERS * EACH);
        check_chains(&web, mode, &heard);
        drop(all);
        common::end(&web.bus);
    }
}

/// Aggregates are announced beside the states they come from, each with a chain of its own.
#[test]
fn g5_aggregates_make_a_chain() {
    let _watched = watched();
    for mode in EVERY_MODE {
        let web = Web::new(|bus, kind| summing(bus, kind).build().unwrap());
        let (_all, log) = note(web.all.subscription("all"), mode);
        web.publish(|by| web.bus.origin(&format!("node-{by}")).unwrap());
        // How many aggregates there were depends on who came first.
        let aggregates = web.cache.stats().aggregates;
        let heard = await_updates(web.updates(), &log, PUBLISHERS * EACH + aggregates);
        check_chains(&web, mode, &heard);
        for id in KEYS {
            let aggregate = web.cache.get_aggregate(&web.kind, id).unwrap();
            let states = sorted(&web.kind, web.cache.get_all(&web.kind, id));
            assert_eq!(number(&web.kind, &aggregate), states.iter().sum::<u64>(), "{mode:?}");
        }
        common::end(&web.bus);
    }
}

/// A handler of updates publishes the same key again, while others do.
#[test]
fn g5_a_handler_that_publishes_the_same_key_keeps_the_chain() {
    const AGAIN: u64 = 1_000_000;
    let _watched = watched();
    for mode in EVERY_MODE {
        let web = Web::new(cache);
        let (_all, log) = note(web.all.subscription("all").accept(web.updates()), Dispatch::Pool);
        let (updates, kind, source) = (web.updates().clone(), web.kind.clone(), web.sources[1].clone());
        let again = web.all.subscription("again").accept(web.updates());
        let _again = listen(again, mode, move |heard| {
            let update = updates.read(&heard.message).filter(|_| heard.end.is_none());
            let Some(new) = update.and_then(|update| update.new.as_ref()) else { return };
            let old = number(&kind, new);
            if old < AGAIN && old.is_multiple_of(5) {
                source.publish(kind.message(state(&kind.read(new).unwrap().id, AGAIN + old)));
            }
        });
        let local = web.local();
        web.publish(|_| local);
        let due = PUBLISHERS * EACH;
        let heard = await_updates(web.updates(), &log, due + due / 5);
        check_chains(&web, Dispatch::Pool, &heard);
        common::end(&web.bus);
    }
}

/// Clears and states of the same keys, by messages and by calls.
#[test]
fn g5_clears_are_links_of_the_chain() {
    let _watched = watched();
    let web = Web::new(cache);
    let (_all, log) = note(web.all.subscription("all").accept(web.updates()), Dispatch::Pool);
    thread::scope(|scope| {
        for by in 0..PUBLISHERS {
            let web = &web;
            scope.spawn(move || {
                for n in 0..EACH {
                    let message = web.kind.message(state(KEYS[(n % 3) as usize], by * EACH + n));
                    let source = &web.sources[((n + by) % 2) as usize];
                    source.publish(message.clone());
                    match n % 4 {
                        0 => _ = source.publish(web.bus.clear(&message)),
                        1 => _ = web.cache.clear(&web.kind, KEYS[(n % 3) as usize]),
                        2 if n % 20 == 2 => _ = web.cache.clear_origin(message.origin().unwrap()),
                        _ => {}
                    }
                }
            });
        }
    });
    let heard = await_updates(web.updates(), &log, web.cache.stats().updates);
    check_chains(&web, Dispatch::Pool, &heard);
    let clears = web.cache.stats().cleared;
    assert!(clears >= 1, "nothing was cleared");
    let told = heard.iter().filter_map(|message| web.updates().read(message));
    assert_eq!(told.filter(|update| update.new.is_none()).count() as u64, clears);
    common::end(&web.bus);
}

/// Four publish states that are often equal to what stands there: what is left out is no link, and no link is lost.
#[test]
fn g5_suppressed_states_leave_no_gap() {
    let _watched = watched();
    let web = Web::new(|bus, kind| builder(bus, kind).suppress_equal(kind).build().unwrap());
    let (_all, log) = note(web.all.subscription("all").accept(web.updates()), Dispatch::Pool);
    thread::scope(|scope| {
        for by in 0..PUBLISHERS {
            let web = &web;
            scope.spawn(move || {
                for n in 0..EACH {
                    let message = web.kind.message(state(KEYS[(n % 3) as usize], (n / 7 + by) % 3));
                    web.sources[((n + by) % 2) as usize].publish(message);
                }
            });
        }
    });
    let stats = web.cache.stats();
    assert_eq!(stats.updates + stats.suppressed, PUBLISHERS * EACH);
    assert!(stats.suppressed > 0 && stats.updates > 3);
    let heard = await_updates(web.updates(), &log, stats.updates);
    check_chains(&web, Dispatch::Pool, &heard);
    for update in heard.iter().filter_map(|message| web.updates().read(message)) {
        let Step { old, new } = step(&web.kind, update);
        assert_ne!(old, new, "of {}", update.id());
    }
    common::end(&web.bus);
}

/// One message that reaches two caching topics of a cache is kept once, and its update reaches each subscription once.
#[test]
fn g5_one_publish_through_several_caching_topics_is_one_update() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let (cache, updates) = (cache(&bus, &kind), bus.cache_updates());
    let topic = |name| bus.topic(name).unwrap();
    let (one, two, all) = (topic("one"), topic("two"), topic("all"));
    let _onward = one.forward_to(&two).unwrap();
    let cached = [&one, &two].map(|topic| topic.caching(&cache).unwrap());
    let _up = cached.each_ref().map(|cached| cached.topic().forward_to(&all).unwrap());
    let listen = |topic: &Topic, name| note(topic.subscription(name).accept(updates), Dispatch::Serial);
    let logs = [
        listen(&all, "all"),
        listen(cached[0].topic(), "one"),
        listen(cached[1].topic(), "two"),
        listen(cache.updates(), "whole"),
    ];
    let report = one.publish(kind.message(state("alice", 1)));
    assert_eq!(report.cached, 1);
    assert_eq!(logs.each_ref().map(|(_, log)| log.len()), [1; 4]);
    // Both tell of the end of what both were told of.
    assert!(cache.clear(&kind, "alice"));
    assert_eq!(logs.each_ref().map(|(_, log)| log.len()), [2; 4]);
    // What came by one of them alone is told by that one.
    two.publish(kind.message(state("bob", 2)));
    assert!(cache.clear(&kind, "bob"));
    assert_eq!(logs.each_ref().map(|(_, log)| log.len()), [4, 2, 4, 4]);
}

/// Two caches may have entries of the same type, id and origin. Who listens to both gets two chains, also where updates
/// of one entry take the place of each other.
#[test]
fn g5_updates_of_two_caches_are_never_made_into_one() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let caches = [cache(&bus, &kind), cache(&bus, &kind)];
    let topic = |name| bus.topic(name).unwrap();
    let (sources, all) = ([topic("one"), topic("two")], topic("all"));
    let pairs = || sources.iter().zip(&caches);
    let cached: Vec<_> = pairs().map(|(source, cache)| source.caching(cache).unwrap()).collect();
    let _up: Vec<_> = cached.iter().map(|cached| cached.topic().forward_to(&all).unwrap()).collect();
    let builder = all.subscription("slow").accept(bus.cache_updates());
    let (_slow, log) = note(builder.overflow(Overflow::conflate_by_entry()), Dispatch::Pool);
    for number in [1, 2] {
        sources[0].publish(kind.message(state("alice", number)));
        sources[1].publish(kind.message(state("alice", 10 * number)));
    }
    bus.run_until_idle();
    let heard = log.all();
    let steps: Vec<_> =
        heard.iter().map(|message| step(&kind, bus.cache_updates().read(message).unwrap())).collect();
    let due = [2, 20].map(|number| Step { old: None, new: Some(number) });
    assert_eq!(steps, due);
}

/// Subscriptions that come and go while four threads write: each hears a run of the chain. (Holds by the order in which a list
/// and its version are shown, which the models `topic::two_ways_...` have; here the window is a few instructions wide.)
#[test]
fn g5_who_comes_and_goes_has_a_chain_without_a_hole() {
    let _watched = watched();
    let web = Web::new(cache);
    let writers_done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for by in 0..PUBLISHERS {
            let (web, writers_done) = (&web, &writers_done);
            scope.spawn(move || {
                for n in 0..5 * EACH {
                    web.sources[(n % 2) as usize].publish(web.kind.message(state("alice", by << 32 | n)));
                }
                writers_done.fetch_add(1, Ordering::Release);
            });
        }
        // Inline handlers are called by several at once, in any order.
        let modes = EVERY_MODE.into_iter().filter(|mode| *mode != Dispatch::Inline).cycle();
        for mode in modes.take_while(|_| writers_done.load(Ordering::Acquire) < 4) {
            let log = Log::new();
            let noted = log.clone();
            let builder = web.all.subscription("brief").accept(web.updates());
            let listener = listen(builder, mode, move |heard| noted.push(heard.message));
            thread::yield_now();
            listener.unsubscribe();
            listener.join().unwrap();
            let heard = log.all();
            let updates: Vec<_> = heard.iter().filter_map(|message| web.updates().read(message)).collect();
            for pair in updates.windows(2) {
                let (new, old) = (pair[0].new.as_ref().unwrap(), pair[1].old.as_ref().unwrap());
                assert!(new.is_same(old), "{mode}: {:?} after {:?}", pair[1], pair[0]);
            }
        }
    });
    common::end(&web.bus);
}
