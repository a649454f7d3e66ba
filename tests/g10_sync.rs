//! G10: `publish_sync` returns when that subscription has handled the message, and never waits in a circle.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Dispatch, Handled, MessageType, Overflow, Topic, WaitError};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::Duration;

fn with_workers(workers: usize) -> (Bus, MessageType<u64>) {
    let bus = Bus::builder().workers(1..=workers).build().unwrap();
    let kind = bus.message_type("number").unwrap();
    (bus, kind)
}

#[test]
fn g10_it_returns_when_the_message_was_handled() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let (done, kind2) = (Arc::new(AtomicU64::new(0)), kind.clone());
        let noted = done.clone();
        let listener = listen(topic.subscription("s").accept(&kind), mode, move |heard| {
            if let Some(number) = heard.number(&kind2) {
                thread::sleep(Duration::from_millis(number % 2));
                noted.store(number, Ordering::Release);
            }
        });
        for number in 1..=50 {
            if number % 5 == 0 {
                topic.publish(kind.message(0));
            }
            assert_eq!(listener.publish_sync(kind.message(number), None), Ok(Handled::Yes), "{mode}");
            assert_eq!(done.load(Ordering::Acquire), number, "{mode}");
        }
        listener.unsubscribe();
    }
    end(&bus);
}

#[test]
fn g10_everybody_else_gets_it_as_usual_and_once() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let others = EVERY_MODE.map(|mode| note_numbers(topic.subscription("o").accept(&kind), mode, &kind));
    let (target, log) = note_numbers(topic.subscription("target").accept(&kind), Dispatch::Pool, &kind);
    for number in 0..50 {
        target.publish_sync(kind.message(number), None).unwrap();
    }
    assert_eq!(log.all(), (0..50).map(Some).collect::<Vec<_>>());
    for (other, log) in &others {
        other.unsubscribe();
        assert_eq!(
            log.await_len(51),
            (0..50).map(Some).chain([None]).collect::<Vec<_>>(),
            "{}",
            other.dispatch()
        );
    }
    end(&bus);
}

#[test]
fn g10_gone_filtered_dropped_and_refused_are_said_at_once() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let other = bus.message_type::<u8>("other").unwrap();
    let foreign = numbers().0.message_type::<u64>("foreign").unwrap();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let listener = listen(topic.subscription("s").accept(&kind), mode, |_| {});
        assert_eq!(listener.publish_sync(other.message(1), None), Ok(Handled::Filtered), "{mode}");
        assert_eq!(listener.publish_sync(foreign.message(1), None), Ok(Handled::Refused), "{mode}");
        listener.unsubscribe();
        assert_eq!(listener.publish_sync(kind.message(1), None), Ok(Handled::Gone), "{mode}");
        if mode != Dispatch::Stream {
            listener.join().unwrap();
        }
        assert_eq!(listener.publish_sync(kind.message(1), None), Ok(Handled::Gone), "{mode}");
    }
    // Full: the newest is dropped, and the waiter told.
    let stream =
        topic.subscription("full").accept(&kind).capacity(1).overflow(Overflow::DropNewest).stream().unwrap();
    topic.publish(kind.message(0));
    assert_eq!(stream.handle().publish_sync(kind.message(1), None), Ok(Handled::Dropped));
    drop(stream);
    // Full: its place is taken by another, and the waiter told.
    let stream =
        topic.subscription("full").accept(&kind).capacity(1).overflow(Overflow::DropOldest).stream().unwrap();
    let handle = stream.handle();
    thread::scope(|scope| {
        let waits = scope.spawn(|| handle.publish_sync(kind.message(1), None));
        eventually(|| stream.stats().depth == 1);
        topic.publish(kind.message(2));
        assert_eq!(waits.join().unwrap(), Ok(Handled::Dropped));
    });
    drop(stream);
    bus.shutdown(Duration::from_secs(10)).unwrap();
    assert_eq!(handle.publish_sync(kind.message(1), None), Ok(Handled::Refused));
}

#[test]
fn g10_the_end_releases_those_who_wait() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let stream = topic.subscription("unread").accept(&kind).stream().unwrap();
    let handle = stream.handle();
    thread::scope(|scope| {
        let waits: Vec<_> =
            (0..3).map(|_| scope.spawn(|| handle.publish_sync(kind.message(1), None))).collect();
        eventually(|| handle.stats().depth == 3);
        drop(stream);
        for waiter in waits {
            assert_eq!(waiter.join().unwrap(), Ok(Handled::Gone));
        }
    });
    end(&bus);
}

#[test]
fn g10_a_timeout_gives_up_and_leaves_the_message_queued() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (gate, log, kind2) = (Gate::new(), Log::new(), kind.clone());
        let (gate2, noted) = (gate.clone(), log.clone());
        let listener = listen(topic.subscription("slow").accept(&kind), mode, move |heard| {
            gate2.pass();
            noted.push(heard.number(&kind2));
        });
        for number in 0..2 {
            let result = listener.publish_sync(kind.message(number), Some(Duration::from_millis(5)));
            assert_eq!(result, Err(WaitError::TimedOut), "{mode}");
        }
        gate.open();
        assert_eq!(listener.publish_sync(kind.message(2), Some(Duration::MAX)), Ok(Handled::Yes));
        assert_eq!(log.all(), [Some(0), Some(1), Some(2)], "{mode}");
    }
    end(&bus);
}

#[test]
fn g10_a_stream_has_handled_it_when_its_reader_comes_again() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let mut stream = topic.subscription("s").accept(&kind).stream().unwrap();
    let handle = stream.handle();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| handle.publish_sync(kind.message(1), None));
        let received = stream.recv().unwrap();
        assert_eq!(received.read(&kind), Some(&1));
        thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished(), "read, but not handled yet");
        assert!(stream.try_recv().is_err());
        assert_eq!(waiter.join().unwrap(), Ok(Handled::Yes));
    });
    drop(stream);
    assert_eq!(handle.stats().missed, 0, "it was read");
}

/// Read, and then the stream is dropped: nothing was missed.
#[test]
fn g10_a_message_that_was_read_is_not_missed_when_its_stream_goes() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let mut stream = topic.subscription("s").accept(&kind).stream().unwrap();
    let handle = stream.handle();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| handle.publish_sync(kind.message(1), None));
        assert_eq!(stream.recv().unwrap().read(&kind), Some(&1));
        drop(stream);
        assert_eq!(waiter.join().unwrap(), Ok(Handled::Yes));
    });
    assert_eq!(handle.stats().missed, 0);
}

#[test]
fn g10_a_panic_counts_as_handled() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let listener = listen(topic.subscription("p").accept(&kind), mode, |heard| {
            assert!(heard.end.is_some(), "{ON_PURPOSE}");
        });
        assert_eq!(listener.publish_sync(kind.message(1), None), Ok(Handled::Yes), "{mode}");
        assert_eq!(listener.stats().panics, 1, "{mode}");
    }
    end(&bus);
}

#[test]
fn g10_one_worker_gets_through_a_chain_of_waits() {
    let _watched = watched();
    const CHAIN: usize = 20;
    for workers in 1..=2 {
        let (bus, kind) = with_workers(workers);
        let topics: Vec<Topic> = (0..CHAIN).map(|n| bus.topic(&format!("t{n}")).unwrap()).collect();
        let links: Arc<Vec<OnceLock<Listener>>> = Arc::new((0..CHAIN).map(|_| OnceLock::new()).collect());
        let log = Log::new();
        for n in 0..CHAIN {
            let (links2, noted, kind2) = (links.clone(), log.clone(), kind.clone());
            let listener =
                listen(topics[n].subscription("link").accept(&kind), Dispatch::Pool, move |heard| {
                    if heard.end.is_some() {
                        return;
                    }
                    if let Some(next) = links2.get(n + 1) {
                        assert_eq!(next.wait().publish_sync(kind2.message(0), None), Ok(Handled::Yes));
                    }
                    noted.push(n);
                });
            assert!(links[n].set(listener).is_ok());
        }
        assert_eq!(links[0].wait().publish_sync(kind.message(0), None), Ok(Handled::Yes));
        assert_eq!(log.all(), (0..CHAIN).rev().collect::<Vec<_>>());
        eventually(|| bus.stats().workers == 1 || workers > 1);
        end(&bus);
    }
}

#[test]
fn g10_one_worker_gets_through_joins() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Serial, Dispatch::Inline] {
        let (bus, kind) = with_workers(1);
        let (topic, other) = (bus.topic("t").unwrap(), bus.topic("other").unwrap());
        let (target, log) = (Arc::new(OnceLock::new()), Log::new());
        assert!(target.set(listen(other.subscription("target").accept(&kind), mode, |_| {})).is_ok());
        let (target2, noted, other2, kind2) = (target.clone(), log.clone(), other.clone(), kind.clone());
        let _joins = listen(topic.subscription("joins").accept(&kind), Dispatch::Pool, move |heard| {
            if heard.end.is_none() {
                let target: &Listener = target2.wait();
                (0..100).for_each(|number| {
                    other2.publish(kind2.message(number));
                });
                target.unsubscribe();
                noted.push(target.join());
            }
        });
        topic.publish(kind.message(0));
        assert_eq!(log.await_len(1), [Ok(())], "{mode}");
        end(&bus);
    }
}

/// So many may wait without a seat; one more is told so, and all come through.
#[test]
fn g10_too_many_waits_are_an_error() {
    let _watched = watched();
    const CHAIN: usize = 40;
    let (bus, kind) = with_workers(1);
    let topics: Vec<Topic> = (0..CHAIN).map(|n| bus.topic(&format!("t{n}")).unwrap()).collect();
    let links: Arc<Vec<OnceLock<Listener>>> = Arc::new((0..CHAIN).map(|_| OnceLock::new()).collect());
    let log = Log::new();
    for n in 0..CHAIN {
        let (links2, noted, kind2) = (links.clone(), log.clone(), kind.clone());
        let listener = listen(topics[n].subscription("link").accept(&kind), Dispatch::Pool, move |heard| {
            if let (None, Some(next)) = (heard.end, links2.get(n + 1)) {
                noted.push((n, next.wait().publish_sync(kind2.message(0), None)));
            }
        });
        assert!(links[n].set(listener).is_ok());
    }
    assert_eq!(links[0].wait().publish_sync(kind.message(0), None), Ok(Handled::Yes));
    let results = log.all();
    assert_eq!(results.len(), 33, "{results:?}");
    assert_eq!(results[0], (32, Err(WaitError::TooManyWaiting)), "32 wait already");
    assert!(results[1..].iter().all(|(_, result)| *result == Ok(Handled::Yes)));
    end(&bus);
}

#[test]
fn g10_ones_own_subscription_is_refused_before_anything_is_published() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated] {
        let own: Own = Own::default();
        let (log, own2, kind2) = (Log::new(), own.clone(), kind.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription("own").accept(&kind), mode, move |heard| {
            if heard.end.is_none() {
                noted.push(own2.wait().publish_sync(kind2.message(1), None));
            }
        });
        assert!(own.set(listener).is_ok());
        topic.publish(kind.message(0));
        assert_eq!(log.await_len(1), [Err(WaitError::WouldDeadlock)], "{mode}");
        own.wait().unsubscribe();
        own.wait().join().unwrap();
        assert_eq!(own.wait().stats().accepted, 1, "{mode}");
    }
    assert_eq!(topic.stats().published, 3, "those that were refused are not counted");
    end(&bus);
}

#[test]
fn g10_circles_are_refused_before_they_begin() {
    let _watched = watched();
    for size in [2, 3, 5] {
        for mode in [Dispatch::Pool, Dispatch::Dedicated] {
            for workers in [1, 8] {
                let (bus, kind) = with_workers(workers);
                let topics: Vec<Topic> = (0..size).map(|n| bus.topic(&format!("t{n}")).unwrap()).collect();
                let ring: Arc<Vec<OnceLock<Listener>>> =
                    Arc::new((0..size).map(|_| OnceLock::new()).collect());
                let log = Log::new();
                for n in 0..size {
                    let (ring2, noted, kind2) = (ring.clone(), log.clone(), kind.clone());
                    let listener = listen(topics[n].subscription("ring").accept(&kind), mode, move |heard| {
                        if heard.end.is_none() {
                            noted.push(
                                ring2[(n + 1) % ring2.len()].wait().publish_sync(kind2.message(0), None),
                            );
                        }
                    });
                    assert!(ring[n].set(listener).is_ok());
                }
                topics[0].publish(kind.message(0));
                let results = log.await_len(size);
                assert_eq!(
                    results[0],
                    Err(WaitError::WouldDeadlock),
                    "{mode}: the last of {size} closes the circle"
                );
                assert_eq!(results[1..], vec![Ok(Handled::Yes); size - 1]);
                end(&bus);
            }
        }
    }
}

/// Both are in the middle of a call; a join on one side, a publish on the other. And across two buses.
#[test]
fn g10_a_join_and_a_publish_make_a_circle_too_even_across_buses() {
    let _watched = watched();
    let buses = [numbers(), numbers()];
    let pair: Arc<[OnceLock<Listener>; 2]> = Arc::default();
    let (log, inside) = (Log::new(), Arc::new(Barrier::new(2)));
    for n in 0..2 {
        let (pair2, noted, inside, other) =
            (pair.clone(), log.clone(), inside.clone(), buses[1 - n].1.clone());
        let topic = buses[n].0.topic("t").unwrap();
        let own = buses[n].1.clone();
        let listener = listen(topic.subscription("p").accept(&buses[n].1), Dispatch::Pool, move |heard| {
            // The one that is waited for, if this side is refused first, is not another beginning.
            if heard.end.is_some() || heard.number(&own) == Some(1) {
                return;
            }
            inside.wait();
            let peer = pair2[1 - n].wait();
            noted.push(match n {
                0 => peer.publish_sync(other.message(1), None).is_ok(),
                _ => {
                    peer.unsubscribe();
                    peer.join().is_ok()
                }
            });
        });
        assert!(pair[n].set(listener).is_ok());
    }
    for (n, (bus, kind)) in buses.iter().enumerate() {
        bus.find_topic("t").unwrap().publish(kind.message(0));
        assert!(pair[n].get().is_some());
    }
    let mut results = log.await_len(2);
    results.sort_unstable();
    assert_eq!(results, [false, true]);
    buses.iter().for_each(|(bus, _)| end(bus));
}

/// Handlers of all modes wait for each other at random, never in a circle: all come through.
#[test]
fn g10_many_waits_at_once() {
    let _watched = watched();
    let (bus, kind) = with_workers(2);
    const RANKS: usize = 12;
    let topics: Vec<Topic> = (0..RANKS).map(|n| bus.topic(&format!("t{n}")).unwrap()).collect();
    let ranks: Arc<Vec<OnceLock<Listener>>> = Arc::new((0..RANKS).map(|_| OnceLock::new()).collect());
    let handled = Arc::new(AtomicUsize::new(0));
    for n in 0..RANKS {
        let (ranks2, handled, kind2) = (ranks.clone(), handled.clone(), kind.clone());
        let mode = [Dispatch::Pool, Dispatch::Dedicated][n % 2];
        let listener = listen(topics[n].subscription("rank").accept(&kind), mode, move |heard| {
            let Some(number) = heard.number(&kind2) else { return };
            // Only upwards.
            let above = n + 1 + number as usize % 3;
            if let Some(next) = ranks2.get(above) {
                assert_eq!(next.wait().publish_sync(kind2.message(number / 3), None), Ok(Handled::Yes));
            }
            handled.fetch_add(1, Ordering::Relaxed);
        });
        assert!(ranks[n].set(listener).is_ok());
    }
    thread::scope(|scope| {
        for publisher in 0..4 {
            let (ranks, kind) = (&ranks, &kind);
            scope.spawn(move || {
                for number in 0..200 {
                    let target = ranks[(number as usize + publisher) % 4].wait();
                    assert_eq!(target.publish_sync(kind.message(number * 7), None), Ok(Handled::Yes));
                }
            });
        }
    });
    assert!(handled.load(Ordering::Relaxed) >= 800);
    assert!(ranks.iter().all(|rank| rank.wait().stats().panics == 0));
    end(&bus);
}
