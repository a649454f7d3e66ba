//! G4: when a publish on a cached topic has returned, reads show its message, or a later one.

mod common;
mod states;

use common::{Log, eventually, listen, watched};
use stasis_bus::{AnyType, Dispatch, Message};
use states::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const PUBLISHERS: u64 = 4;
const EACH: u64 = 400;
const KEYS: [&str; 3] = ["alice", "bob", "carol"];

#[test]
fn g4_a_publish_is_seen_when_it_has_returned() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let (cache, topic) = (cache(&bus, &kind), bus.topic("states").unwrap());
    let _cached = topic.caching(&cache).unwrap();
    for number in 0..10 {
        let message = kind.message(state("alice", number));
        let report = topic.publish(message.clone());
        assert_eq!((report.accepted, report.cached), (0, 1));
        assert!(cache.get(&kind, "alice").unwrap().is_same(&message));
        assert_eq!(sorted(&kind, cache.dump(AnyType)), [number]);
    }
}

/// Whatever the call that publishes.
#[test]
fn g4_every_way_to_publish_is_seen() {
    let _watched = watched();
    let (bus, kind) = states();
    let (cache, topic) = (summing(&bus, &kind).build().unwrap(), bus.topic("states").unwrap());
    let _cached = topic.caching(&cache).unwrap();
    let upstream = bus.topic("upstream").unwrap();
    let _up = upstream.forward_to(&topic).unwrap();
    let listener = topic.subscribe("any", |_| {}).unwrap();
    let (mut publisher, mut number) = (upstream.publisher(), 0);
    let mut check = |what: &str, publish: &mut dyn FnMut(Message)| {
        number += 1;
        publish(kind.message(state("alice", number)));
        let both = [cache.get(&kind, "alice"), cache.get_aggregate(&kind, "alice")];
        assert_eq!(both.map(|found| number_of(&kind, found)), [Some(number); 2], "{what}");
    };
    check("publish", &mut |message| _ = topic.publish(message));
    check("forwarded", &mut |message| _ = upstream.publish(message));
    check("batch", &mut |message| _ = topic.publish_batch(vec![message]));
    check("publisher", &mut |message| _ = publisher.publish(message));
    check("publisher's batch", &mut |message| _ = publisher.publish_batch(vec![message]));
    check("async", &mut |message| _ = futures_lite::future::block_on(topic.publish_async(message)));
    check("sync", &mut |message| _ = listener.publish_sync(message, None).unwrap());
    common::end(&bus);
}

/// What a publisher saw when its publish had returned.
struct Sight {
    id: &'static str,
    own: u64,
    seen: u64,
}

/// Four publish the same keys; each looks after each publish. The updates say in which order the writes were made.
fn publish_and_look(batch: bool) {
    let (bus, kind) = states();
    let (cache, updates) = (cache(&bus, &kind), Log::new());
    let topics = [bus.topic("one").unwrap(), bus.topic("two").unwrap()];
    let _cached = topics.each_ref().map(|topic| topic.caching(&cache).unwrap());
    let noted = updates.clone();
    let all = cache.updates().subscription("all").accept(bus.cache_updates());
    let _all = listen(all, Dispatch::Pool, move |heard| noted.push(heard.message));

    let sights: Vec<Sight> = thread::scope(|scope| {
        let publish = |by: u64| {
            let (cache, kind, topics) = (&cache, &kind, &topics);
            move || {
                (0..EACH)
                    .map(move |n| {
                        let (id, own) = (KEYS[(n % 3) as usize], by * EACH + n);
                        let message = kind.message(state(id, own));
                        match batch {
                            true => _ = topics[(n % 2) as usize].publish_batch(vec![message]),
                            false => _ = topics[(n % 2) as usize].publish(message),
                        }
                        let seen = number_of(kind, cache.get(kind, id)).expect("just published");
                        Sight { id, own, seen }
                    })
                    .collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..PUBLISHERS).map(|by| scope.spawn(publish(by))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });

    let all = updates.await_len((PUBLISHERS * EACH) as usize);
    let mut place: HashMap<(String, u64), usize> = HashMap::new();
    for ((id, _), chain) in chains(bus.cache_updates(), &all) {
        let order = assert_chain(&kind, &chain);
        place.extend(order.into_iter().flatten().enumerate().map(|(at, number)| ((id.clone(), number), at)));
    }
    for Sight { id, own, seen } in sights {
        let at = |number| place[&(id.to_owned(), number)];
        assert!(at(seen) >= at(own), "{id}: {own} was published, and {seen} from before it was seen");
    }
    common::end(&bus);
}

#[test]
fn g4_four_publishers_see_their_own_message_or_a_later_one() {
    let _watched = watched();
    publish_and_look(false);
}

#[test]
fn g4_four_publishers_of_batches_see_theirs() {
    let _watched = watched();
    publish_and_look(true);
}

#[test]
fn g4_the_aggregate_takes_the_publish_into_account() {
    let _watched = watched();
    let (bus, kind) = states();
    let cache = summing(&bus, &kind).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    thread::scope(|scope| {
        for by in 0..PUBLISHERS {
            let (bus, kind, cache, topic) = (&bus, &kind, &cache, &topic);
            scope.spawn(move || {
                let origin = bus.origin(&format!("node-{by}")).unwrap();
                for n in 1..=EACH {
                    // So that each number says whose it is.
                    let (id, own) = (KEYS[(n % 3) as usize], n * PUBLISHERS + by);
                    topic.publish(kind.build(state(id, own)).origin(origin).finish());
                    let aggregate = cache.get_aggregate(kind, id).expect("there is a state");
                    let parts = &kind.read(&aggregate).unwrap().parts;
                    let mine = parts.iter().find(|part| *part % PUBLISHERS == by);
                    assert_eq!(mine, Some(&own), "of {parts:?}");
                }
            });
        }
    });
    common::end(&bus);
}

/// All four write the same slot, so that the aggregate of one may be computed from the state of another.
#[test]
fn g4_aggregates_of_one_slot_never_go_stale() {
    let _watched = watched();
    let (bus, kind) = states();
    let cache = summing(&bus, &kind).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    let order: Log<Message> = Log::new();
    let noted = order.clone();
    let all = cache.updates().subscription("all").accept(bus.cache_updates());
    let _all = listen(all, Dispatch::Pool, move |heard| noted.push(heard.message));
    let sights: Vec<(u64, u64)> = thread::scope(|scope| {
        let publish = |by: u64| {
            let (kind, cache, topic) = (&kind, &cache, &topic);
            move || {
                let one = |n: u64| {
                    topic.publish(kind.message(state("alice", by * EACH + n + 1)));
                    let aggregate = cache.get_aggregate(kind, "alice").expect("there is a state");
                    (by * EACH + n + 1, kind.read(&aggregate).unwrap().parts[0])
                };
                (0..EACH).map(one).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..PUBLISHERS).map(|by| scope.spawn(publish(by))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let local = |heard: &[Message]| {
        let updates = bus.cache_updates();
        let states = chains(updates, heard).into_iter().find(|((_, origin), _)| origin.is_some());
        states.map(|(_, chain)| chain).unwrap_or_default()
    };
    eventually(|| local(&order.all()).len() >= (PUBLISHERS * EACH) as usize);
    let writes: Vec<u64> = assert_chain(&kind, &local(&order.all())).into_iter().flatten().collect();
    let place: BTreeMap<u64, usize> = writes.iter().enumerate().map(|(at, number)| (*number, at)).collect();
    for (own, seen) in sights {
        assert!(place[&seen] >= place[&own], "{own} was published, the aggregate is of {seen} before it");
    }
    let last = cache.get_aggregate(&kind, "alice").unwrap();
    assert_eq!(kind.read(&last).unwrap().parts, [*writes.last().unwrap()]);
    common::end(&bus);
}

/// Whoever is told of an update finds it, or a later one, in the cache.
#[test]
fn g5_an_update_is_never_seen_before_get_sees_it() {
    let _watched = watched();
    for mode in common::EVERY_MODE {
        let (bus, kind) = states();
        let (cache, topic) = (cache(&bus, &kind), bus.topic("states").unwrap());
        let _cached = topic.caching(&cache).unwrap();
        let heard = Arc::new(AtomicU64::new(0));
        let (counted, updates, read, looked) =
            (heard.clone(), bus.cache_updates().clone(), kind.clone(), cache.clone());
        let builder = cache.updates().subscription("all").accept(bus.cache_updates());
        let _all = listen(builder, mode, move |delivery| {
            let Some(update) = updates.read(&delivery.message) else { return };
            let told = update.new.as_ref().map(|message| number(&read, message)).expect("nothing is cleared");
            let found = number_of(&read, looked.get(&read, update.id()));
            assert!(found >= Some(told), "told of {told}, found {found:?}");
            counted.fetch_add(1, Ordering::Relaxed);
        });
        for n in 0..2 * EACH {
            topic.publish(kind.message(state(KEYS[(n % 3) as usize], n)));
        }
        eventually(|| heard.load(Ordering::Relaxed) == 2 * EACH);
        assert_eq!(bus.stats().panics, 0);
        common::end(&bus);
    }
}
