//! What is built on topics: routers, states by name, pools of topics.

use super::seen::{Ending, LONG, Stage, Told, spawn};
use super::{Witness, explore};
use crate::sync::shuttle::world;
use crate::{Delivery, Dispatch, EndReason};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Routes come and go under three publishers: what is let through finds a route or is counted, and a route that was removed, and
/// waited for, is not called any more.
#[test]
fn routes_come_and_go() {
    static UNROUTED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let (ending, calls) = (Ending::default(), Arc::new(AtomicUsize::new(0)));
        let ends = ending.clone();
        let router = topic.router("router").dispatch(Dispatch::Pool).on_end(move |end| ends.note(end));
        let router = router.start().unwrap();
        let publishers = [0, 1, 2].map(|by| stage.publisher(by, 3, &topic));
        let (routes, kind, counted) = (router.routes().clone(), stage.kind.clone(), calls.clone());
        let ends = ending.clone();
        let changing = spawn(move || {
            for _ in 0..2 {
                let (counted, is_gone) = (counted.clone(), Arc::new(AtomicBool::new(false)));
                let (gone, ends) = (is_gone.clone(), ends.clone());
                let called = move |_: &super::seen::Item, delivery: &Delivery<'_>| {
                    ends.note(delivery);
                    world::step();
                    assert!(!gone.load(SeqCst), "called after it was waited for");
                    counted.fetch_add(1, SeqCst);
                };
                routes.add(&kind, called).unwrap();
                assert_eq!(routes.remove_and_wait(&kind), Ok(true));
                is_gone.store(true, SeqCst);
            }
        });
        let told = Told::of_all(publishers);
        changing.join();
        assert!(stage.bus.shutdown(LONG).unwrap().is_clean());
        ending.check(EndReason::ShutDown);
        let unrouted = router.stats().unrouted;
        assert_eq!(calls.load(SeqCst) as u64 + unrouted, u64::from(told.accepted));
        if unrouted > 0 {
            UNROUTED.see();
        }
        drop(router);
        stage.finish(Vec::new());
    });
    assert!(UNROUTED.was_seen());
}

/// Publishers and subscribers of a few states come and go: what is delivered last is what is stored, a subscription that
/// begins with the state has it, and nothing is left of a state that nobody holds.
#[test]
fn states_live_while_somebody_holds_them() {
    explore(|| {
        let stage = Stage::new(1, 2);
        let states = stage.bus.state_manager("states").unwrap();
        let all = Arc::new(Mutex::new(Vec::new()));
        let (noted, kind, ending) = (all.clone(), stage.kind.clone(), Ending::default());
        let ends = ending.clone();
        let every = states.all_topic().subscription("all").accept(&stage.kind).dispatch(Dispatch::Pool);
        let every = every
            .start(move |delivery| {
                ends.note(delivery);
                noted.lock().unwrap().extend(delivery.read(&kind).map(|item| item.name));
            })
            .unwrap();
        let holder = states.subscriber("0").unwrap();
        let publishing = [0, 1, 2].map(|by| {
            let (states, maker) = (states.clone(), stage.maker());
            spawn(move || {
                for number in 0..2 {
                    let publisher = states.publisher(&(number % 2).to_string()).unwrap();
                    assert_eq!(publisher.publish(maker.item(by, number)).refusal, None);
                    let last = publisher.last().expect("published, and not there");
                    let last = maker.kind.read(&last).unwrap().name;
                    assert!(last.0 != by || last.1 >= number);
                }
            })
        });
        let (other, maker) = (states.clone(), stage.maker());
        let subscribing = spawn(move || {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let (noted, kind, ending) = (seen.clone(), maker.kind.clone(), Ending::default());
            let ends = ending.clone();
            let builder = other.subscription("1", "late").with_state();
            let late = builder.start(move |delivery| {
                ends.note(delivery);
                noted.lock().unwrap().extend(delivery.read(&kind).map(|item| item.name));
            });
            let late = late.unwrap();
            let last = late.last().map(|message| maker.kind.read(&message).unwrap().name);
            late.unsubscribe_and_join().unwrap();
            ending.check(EndReason::Unsubscribed);
            assert!(last.is_none_or(|last| seen.lock().unwrap().contains(&last)), "stood, and was not told");
        });
        for thread in publishing.into_iter().chain([subscribing]) {
            thread.join();
        }
        let stored = states.last("0").map(|message| stage.kind.read(&message).unwrap().name);
        assert_eq!(states.len(), 1, "nobody holds the other one");
        every.unsubscribe_and_join().unwrap();
        ending.check(EndReason::Unsubscribed);
        let last = all.lock().unwrap().iter().rfind(|name| name.1 == 0).copied();
        assert_eq!(stored, last, "another one was delivered last");
        drop(holder);
        assert!(states.is_empty());
        drop(states);
        stage.finish(Vec::new());
    });
}

/// Members of a pool are asked for, published on, deleted and dropped: what was published while it was a member arrives at the pool's
/// topic once.
#[test]
fn members_of_a_pool_come_and_go() {
    explore(|| {
        let stage = Stage::new(1, 2);
        let pool = stage.bus.topic_pool("pool").unwrap();
        let all = stage.listen(pool.topic(), Dispatch::Pool);
        let using = [0, 1, 2].map(|by| {
            let (pool, maker) = (pool.clone(), stage.maker());
            spawn(move || {
                for number in 0..3 {
                    let member = pool.member("member").unwrap();
                    assert_eq!(member.publish(maker.item(by, number)).accepted, 1);
                }
            })
        });
        let other = pool.clone();
        let deleting = spawn(move || {
            let member = other.member("passing").unwrap();
            assert!(other.delete("passing"));
            assert!(!other.exists("passing"));
            drop(member);
        });
        for thread in using.into_iter().chain([deleting]) {
            thread.join();
        }
        assert!(pool.is_empty(), "a member is left");
        drop(pool);
        stage.finish(vec![all]).iter().for_each(|seen| seen.check_all(3, 3));
    });
}

/// Those who hold a state of one name hold one state, also if they come and go at the same time: what any of them has published is
/// found there.
#[test]
fn holders_of_a_name_have_one_state() {
    explore(|| {
        let stage = Stage::new(1, 1);
        let states = stage.bus.state_manager("states").unwrap();
        let holding = [0, 1].map(|by| {
            let (states, maker) = (states.clone(), stage.maker());
            spawn(move || {
                for number in 0..3 {
                    let holder = states.publisher("state").unwrap();
                    assert_eq!(holder.publish(maker.item(by, number)).refusal, None);
                    let last = states.last("state").expect("published, and held");
                    let (by_whom, last) = maker.kind.read(&last).unwrap().name;
                    assert!(by_whom != by || last == number, "an older one");
                    world::step();
                }
            })
        });
        holding.into_iter().for_each(|thread| thread.join());
        assert!(states.is_empty());
        drop(states);
        stage.finish(Vec::new());
    });
}

/// Routes for two types that are added at once: the filter follows both.
#[test]
fn routes_added_at_once_are_all_wanted() {
    explore(|| {
        let stage = Stage::new(1, 1);
        let (topic, other) = (stage.topic("topic"), stage.bus.message_type::<u8>("other").unwrap());
        let router = topic.router("router").start().unwrap();
        let (routes, kind) = (router.routes().clone(), stage.kind.clone());
        let adding = spawn(move || routes.add(&kind, |_, _| {}).unwrap());
        router.routes().add(&other, |_, _| {}).unwrap();
        adding.join();
        let accepted = [stage.maker().item(0, 0), other.message(0)].map(|item| topic.publish(item).accepted);
        assert_eq!(accepted, [1, 1]);
        drop((router, other));
        stage.finish(Vec::new());
    });
}
