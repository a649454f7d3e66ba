//! G6: a subscription ends once, everything queued comes before its final message, and nothing after it.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Change, Dispatch, EndReason, MessageType, Subscription, Topic, WaitError};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Publishes until dropped, on threads of its own.
struct Publishers {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Publishers {
    fn start(count: u64, topic: &Topic, kind: &MessageType<u64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count)
            .map(|publisher| {
                let (stop, topic, kind) = (stop.clone(), topic.clone(), kind.clone());
                thread::spawn(move || {
                    let mut number = publisher << 32;
                    while !stop.load(Ordering::Relaxed) {
                        topic.publish(kind.message(number));
                        number += 1;
                        if number.is_multiple_of(64) {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Publishers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn g6_the_final_message_comes_once_and_last_while_publishers_run() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (source, topic) = (bus.topic("source").unwrap(), bus.topic("t").unwrap());
    let _edge = source.forward_to(&topic).unwrap();
    let publishers = Publishers::start(2, &source, &kind);
    let late = Arc::new(AtomicUsize::new(0));
    for round in 0..150 {
        for mode in EVERY_MODE {
            let (finals, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (finals2, heard2, late2) = (finals.clone(), heard.clone(), late.clone());
            let listener = listen(topic.subscription("x").accept(&kind), mode, move |delivery| {
                if finals2.load(Ordering::SeqCst) > 0 {
                    late2.fetch_add(1, Ordering::SeqCst);
                }
                heard2.fetch_add(1, Ordering::SeqCst);
                finals2.fetch_add(usize::from(delivery.end.is_some()), Ordering::SeqCst);
            });
            if round % 2 == 0 {
                eventually(|| heard.load(Ordering::SeqCst) > 2);
            }
            listener.unsubscribe();
            listener.join().unwrap();
            if mode != Dispatch::Stream {
                assert_eq!(finals.load(Ordering::SeqCst), 1, "{mode}: join returns after the final call");
            }
            eventually(|| finals.load(Ordering::SeqCst) == 1);
        }
    }
    drop(publishers);
    assert_eq!(late.load(Ordering::SeqCst), 0, "calls after the final one");
    end(&bus);
}

#[test]
fn g6_everything_queued_is_delivered_before_the_final_message() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream] {
        let gate = Gate::new();
        let (log, gate2, kind2) = (Log::new(), gate.clone(), kind.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription("q").accept(&kind).capacity(16), mode, move |heard| {
            gate2.pass();
            noted.push((heard.number(&kind2), heard.end));
        });
        for number in 0..100 {
            topic.publish(kind.message(number));
        }
        assert!(listener.unsubscribe());
        topic.publish(kind.message(100));
        assert!(log.all().is_empty() && !listener.is_done(), "{mode}: unsubscribe waits for nothing");
        gate.open();
        listener.join().unwrap();
        let heard = log.await_len(101);
        let expected = (0..100).map(|number| (Some(number), None));
        assert!(heard.iter().copied().eq(expected.chain([(None, Some(EndReason::Unsubscribed))])), "{mode}");
    }
    end(&bus);
}

#[test]
fn g6_the_final_message_names_the_subscription_whatever_its_filter() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("calls").unwrap();
    let changes = bus.subscription_changes().clone();
    for mode in EVERY_MODE {
        let (log, changes) = (Log::new(), changes.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription("cdr").accept(&kind), mode, move |heard| {
            noted.push((changes.read(&heard.message).cloned(), heard.end));
        });
        let id = listener.id();
        listener.unsubscribe();
        let heard = log.await_len(1);
        let (change, reason) = heard[0].clone();
        let change = change.unwrap();
        assert_eq!(
            (change.topic.as_str(), change.subscription.as_str(), change.id),
            ("calls", "cdr", id),
            "{mode}"
        );
        assert_eq!(change.change, Change::Unsubscribe(EndReason::Unsubscribed));
        assert_eq!(reason, Some(EndReason::Unsubscribed));
        assert_eq!(heard.len(), 1, "{mode}: nothing else passes the filter");
    }
}

#[test]
fn g6_unsubscribing_inside_ones_own_handler() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let own: Own = Own::default();
        let (log, own2, kind2) = (Log::new(), own.clone(), kind.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription("own").accept(&kind), mode, move |heard| {
            noted.push((heard.number(&kind2), "begins"));
            if heard.number(&kind2) == Some(0) {
                let own = own2.wait();
                assert!(own.unsubscribe() && !own.unsubscribe() && !own.is_subscribed());
            }
            noted.push((heard.number(&kind2), "ends"));
        });
        assert!(own.set(listener).is_ok());
        topic.publish(kind.message(0));
        assert_eq!(topic.publish(kind.message(1)).closed, 0);
        let own = own.wait();
        let heard = log.await_len(4);
        own.join().unwrap();
        // The final call is not nested in the one that unsubscribed; what was queued meanwhile comes first.
        assert_eq!(heard[..2], [(Some(0), "begins"), (Some(0), "ends")], "{mode}");
        eventually(|| log.all().last() == Some(&(None, "ends")));
        assert_eq!(log.all().iter().filter(|(number, _)| number.is_none()).count(), 2, "{mode}");
    }
    end(&bus);
}

#[test]
fn g6_unsubscribing_from_the_drop_of_a_value() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let kind = bus.message_type::<DropAction>("drops").unwrap();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let own: Own = Own::default();
        let log = Log::new();
        let noted = log.clone();
        let listener =
            listen(topic.subscription("v").accept(&kind), mode, move |heard| noted.push(heard.end));
        assert!(own.set(listener).is_ok());
        let own2 = own.clone();
        topic.publish(kind.message(on_drop(move || {
            own2.wait().unsubscribe();
        })));
        own.wait().join().unwrap();
        assert_eq!(log.await_len(2), [None, Some(EndReason::Unsubscribed)], "{mode}");
    }
    end(&bus);
}

#[test]
fn g6_only_the_first_unsubscribe_counts() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let (listener, log) = note_numbers(topic.subscription("twice").accept(&kind), mode, &kind);
        assert!(listener.is_subscribed() && !listener.is_done());
        let won: usize = thread::scope(|scope| {
            let racers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| usize::from(listener.unsubscribe()))).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(won, 1, "{mode}");
        listener.join().unwrap();
        assert!(!listener.is_subscribed() && listener.is_done());
        assert!(!listener.unsubscribe());
        assert_eq!(log.await_len(1), [None], "{mode}");
    }
    end(&bus);
}

#[test]
fn g6_any_number_of_threads_may_join() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let done = Arc::new(AtomicBool::new(false));
        let noted = done.clone();
        let listener = listen(topic.subscription("j").accept(&kind), mode, move |heard| {
            if heard.end.is_some() {
                thread::sleep(Duration::from_millis(5));
                noted.store(true, Ordering::Release);
            }
        });
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    listener.join().unwrap();
                    assert!(done.load(Ordering::Acquire), "{mode}: before the final call returned");
                });
            }
            listener.unsubscribe();
        });
    }
    end(&bus);
}

#[test]
fn g6_join_may_give_up_after_a_while() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (gate, log) = (Gate::new(), Log::new());
        let (gate2, noted) = (gate.clone(), log.clone());
        let listener = listen(topic.subscription("slow").accept(&kind), mode, move |heard| {
            gate2.pass();
            noted.push(heard.end);
        });
        assert_eq!(
            listener.join_timeout(Duration::from_millis(5)),
            Err(WaitError::TimedOut),
            "still subscribed"
        );
        listener.unsubscribe();
        assert_eq!(
            listener.join_timeout(Duration::from_millis(5)),
            Err(WaitError::TimedOut),
            "in its final call"
        );
        assert_eq!(listener.join_timeout(Duration::ZERO), Err(WaitError::TimedOut));
        assert!(!listener.is_done() && log.all().is_empty());
        thread::scope(|scope| {
            scope.spawn(|| listener.join_timeout(Duration::MAX).unwrap());
            gate.open();
        });
        assert_eq!(listener.join_timeout(Duration::ZERO), Ok(()));
        assert_eq!(log.all(), [Some(EndReason::Unsubscribed)]);
    }
    end(&bus);
}

#[test]
fn g6_joining_oneself_is_an_error() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let own: Own = Own::default();
        let (log, own2) = (Log::new(), own.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription("self").accept(&kind), mode, move |_| {
            noted.push(own2.wait().join());
            noted.push(own2.wait().join_timeout(Duration::from_secs(100)));
        });
        assert!(own.set(listener).is_ok());
        topic.publish(kind.message(0));
        own.wait().unsubscribe();
        own.wait().join().unwrap();
        assert_eq!(log.all(), [Err(WaitError::WouldDeadlock); 4], "{mode}: in a call, and in the final one");
    }
    end(&bus);
}

/// Two (or three) handlers join each other in a ring: at least one is refused, the others go on.
#[test]
fn g6_joins_in_a_circle_are_refused() {
    let _watched = watched();
    for (size, workers) in [(2, 1), (2, 2), (3, 1), (3, 4)] {
        for mode in [Dispatch::Pool, Dispatch::Dedicated] {
            let bus = Bus::builder().workers(1..=workers).build().unwrap();
            let kind = bus.message_type::<u64>("number").unwrap();
            let ring: Arc<Vec<OnceLock<Listener>>> = Arc::new((0..size).map(|_| OnceLock::new()).collect());
            let (results, published) = (Log::new(), Gate::new());
            let topics: Vec<_> = (0..size).map(|n| bus.topic(&format!("t:{n}")).unwrap()).collect();
            for (n, topic) in topics.iter().enumerate() {
                let (ring2, results, published) = (ring.clone(), results.clone(), published.clone());
                let listener = listen(topic.subscription("ring").accept(&kind), mode, move |heard| {
                    if heard.end.is_none() {
                        published.pass();
                        let next = ring2[(n + 1) % ring2.len()].wait();
                        next.unsubscribe();
                        results.push(next.join());
                    }
                });
                assert!(ring[n].set(listener).is_ok());
            }
            topics.iter().for_each(|topic| {
                topic.publish(kind.message(0));
            });
            published.open();
            let results = results.await_len(size);
            ring.iter().for_each(|listener| listener.wait().join().unwrap());
            assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(WaitError::WouldDeadlock))));
            end(&bus);
        }
    }
}

/// Both handlers are in the middle of a call when they join each other: exactly one can be let in.
#[test]
fn g6_of_two_handlers_that_join_each_other_one_is_refused() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let pair: Arc<[OnceLock<Listener>; 2]> = Arc::default();
    let (results, inside) = (Log::new(), Arc::new(std::sync::Barrier::new(2)));
    let topics = ["one", "two"].map(|name| bus.topic(name).unwrap());
    for (n, topic) in topics.iter().enumerate() {
        let (pair2, results, inside) = (pair.clone(), results.clone(), inside.clone());
        let listener = listen(topic.subscription("p").accept(&kind), Dispatch::Dedicated, move |heard| {
            if heard.end.is_none() {
                inside.wait();
                pair2[1 - n].wait().unsubscribe();
                results.push(pair2[1 - n].wait().join());
            }
        });
        assert!(pair[n].set(listener).is_ok());
    }
    topics.iter().for_each(|topic| {
        topic.publish(kind.message(0));
    });
    let mut results = results.await_len(2);
    results.sort_by_key(|result| result.is_ok());
    assert_eq!(results, [Err(WaitError::WouldDeadlock), Ok(())]);
    end(&bus);
}

/// Its final waits for the walk that is running the handler which wants to join it.
#[test]
fn g6_an_inline_handler_cannot_join_another_of_the_same_publish() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let other: Own = Own::default();
    let (log, other2) = (Log::new(), other.clone());
    let noted = log.clone();
    let _joins = listen(topic.subscription("joins").accept(&kind), Dispatch::Inline, move |heard| {
        if heard.end.is_none() {
            other2.wait().unsubscribe();
            noted.push(other2.wait().join());
        }
    });
    assert!(other.set(listen(topic.subscription("other").accept(&kind), Dispatch::Inline, |_| {})).is_ok());
    topic.publish(kind.message(0));
    assert_eq!(log.all(), [Err(WaitError::WouldDeadlock)]);
    assert!(other.wait().is_done(), "the end of the publish was the end of the subscription");
}

/// Its turn is held by the very walk whose inline handler wants to join it.
#[test]
fn g6_an_inline_handler_cannot_join_a_serial_one_of_the_same_publish() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let other: Own = Own::default();
    let (log, other2) = (Log::new(), other.clone());
    let noted = log.clone();
    let _joins = listen(topic.subscription("joins").accept(&kind), Dispatch::Inline, move |heard| {
        if heard.end.is_none() {
            other2.wait().unsubscribe();
            noted.push(other2.wait().join());
        }
    });
    assert!(other.set(listen(topic.subscription("other").accept(&kind), Dispatch::Serial, |_| {})).is_ok());
    topic.publish(kind.message(0));
    assert_eq!(log.all(), [Err(WaitError::WouldDeadlock)]);
    assert!(other.wait().is_done());
}

#[test]
fn g6_an_inline_final_waits_for_the_publish_under_way() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (gate, log) = (Gate::new(), Log::new());
    let (gate2, noted) = (gate.clone(), log.clone());
    let listener = listen(topic.subscription("i").accept(&kind), Dispatch::Inline, move |heard| {
        if heard.end.is_none() {
            noted.push(("begins", thread::current().id()));
            gate2.pass();
            noted.push(("ends", thread::current().id()));
        } else {
            noted.push(("final", thread::current().id()));
        }
    });
    let publisher = thread::spawn({
        let (topic, kind) = (topic.clone(), kind.clone());
        move || {
            topic.publish(kind.message(0));
        }
    });
    let walker = publisher.thread().id();
    log.await_len(1);
    assert!(listener.unsubscribe(), "returns at once");
    assert_eq!(topic.publish(kind.message(1)).accepted, 0, "no publish that begins now calls it");
    assert_eq!(listener.join_timeout(Duration::from_millis(5)), Err(WaitError::TimedOut));
    gate.open();
    listener.join().unwrap();
    assert_eq!(log.all(), [("begins", walker), ("ends", walker), ("final", walker)]);
    publisher.join().unwrap();
}

#[test]
fn g6_the_handler_is_dropped_after_its_final_call_by_the_thread_that_made_it() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let log: Log<(&str, ThreadId)> = Log::new();
        let (in_call, in_drop) = (log.clone(), log.clone());
        let dropped = on_drop(move || in_drop.push(("dropped", thread::current().id())));
        let listener = listen(topic.subscription("h").accept(&kind), mode, move |heard| {
            let _ = &dropped;
            if heard.end.is_some() {
                in_call.push(("final", thread::current().id()));
            }
        });
        topic.publish(kind.message(0));
        listener.unsubscribe();
        listener.join().unwrap();
        let events = log.all();
        assert_eq!(events.iter().map(|(what, _)| *what).collect::<Vec<_>>(), ["final", "dropped"], "{mode}");
        assert_eq!(events[0].1, events[1].1, "{mode}");
    }
    end(&bus);
}

/// A publish stuck in another's handler holds the list in which the ended subscription still is.
#[test]
fn g6_an_old_list_does_not_keep_a_handler_alive() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (gate, census, inside) = (Gate::new(), Census::new(), Gate::new());
    let (gate2, inside2) = (gate.clone(), inside.clone());
    let listeners = [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated].map(|mode| {
        let alive = census.born();
        listen(topic.subscription(mode.name()).accept(&kind), mode, move |_| {
            let _ = &alive;
        })
    });
    topic.publish(kind.message(0));
    let _stuck = topic.subscription("stuck").accept(&kind).inline(move |delivery| {
        if !delivery.is_final() {
            inside2.open();
            gate2.pass();
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| topic.publish(kind.message(1)));
        inside.pass();
        // The Serial one is the stuck publisher's to run: it has the turn.
        for listener in &listeners[1..] {
            listener.unsubscribe();
            listener.join().unwrap();
        }
        assert_eq!(census.alive(), 1);
        gate.open();
    });
    listeners[0].unsubscribe();
    assert_eq!(census.alive(), 0);
}

#[test]
fn g6_dropping_the_handle_ends_and_detaching_keeps() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (log, kept) = (Log::new(), Log::new());
    let (noted, kept2) = (log.clone(), kept.clone());
    let sub =
        topic.subscription("d").accept(&kind).start(move |delivery| noted.push(delivery.end())).unwrap();
    drop(sub);
    assert_eq!(log.await_len(1), [Some(EndReason::Unsubscribed)]);
    topic.subscription("k").accept(&kind).start(move |delivery| kept2.push(delivery.end())).unwrap().detach();
    assert_eq!(topic.publish(kind.message(0)).accepted, 1);
    assert_eq!(kept.await_len(1), [None]);
    drop(topic);
    assert!(bus.find_topic("t").is_some(), "held by the detached subscription");
    end(&bus);
    assert_eq!(kept.all(), [None, Some(EndReason::ShutDown)]);
}

#[test]
fn g6_a_dropped_stream_ends_at_once_without_a_final_message() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let census = Census::new();
    let value = bus.message_type::<Alive>("value").unwrap();
    let stream = topic.subscription("s").stream().unwrap();
    let handle = stream.handle();
    (0..100).for_each(|_| {
        topic.publish(value.message(census.born()));
    });
    assert_eq!(census.alive(), 100);
    drop(stream);
    handle.join().unwrap();
    assert!(handle.is_done() && !handle.is_subscribed() && !handle.unsubscribe());
    assert_eq!(census.alive(), 0);
    assert_eq!(handle.stats().missed, 101, "its own begin, and the values");
    assert_eq!(topic.publish(kind.message(0)).accepted, 0);
    end(&bus);
}

/// Its filter stands from the first message on, also under publishers that run already.
#[test]
fn g6_a_subscription_is_configured_completely_before_it_is_visible() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let other = bus.message_type::<u8>("other").unwrap();
    let topic = bus.topic("t").unwrap();
    let publishers = Publishers::start(2, &topic, &kind);
    for mode in EVERY_MODE {
        for _ in 0..50 {
            let strange = Log::new();
            let (noted, other2) = (strange.clone(), other.clone());
            let listener = listen(topic.subscription("f").accept(&other), mode, move |heard| {
                if heard.end.is_none() && other2.read(&heard.message).is_none() {
                    noted.push(heard.message.type_name().to_owned());
                }
            });
            listener.unsubscribe();
            listener.join().unwrap();
            assert!(strange.all().is_empty(), "{mode}: {:?}", strange.all());
        }
    }
    drop(publishers);
    end(&bus);
}

#[test]
fn g6_a_panic_in_the_final_call_is_an_end_as_well() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let census = Census::new();
        let alive = census.born();
        let listener = listen(topic.subscription("p").accept(&kind), mode, move |_| {
            let _ = &alive;
            panic!("{ON_PURPOSE}");
        });
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(census.alive(), 0, "{mode}");
        assert_eq!(listener.stats().panics, 1, "{mode}");
    }
    end(&bus);
}

/// Inline subscriptions end from several threads while others publish and still others subscribe.
#[test]
fn g6_inline_endings_overlap() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (late, finals) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let publishers = Publishers::start(2, &topic, &kind);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let over = AtomicBool::new(false);
                    let (late, finals) = (late.clone(), finals.clone());
                    let sub = topic.subscription("i").accept(&kind).inline(move |delivery| {
                        if over.load(Ordering::SeqCst) {
                            late.fetch_add(1, Ordering::SeqCst);
                        }
                        if delivery.is_final() {
                            over.store(true, Ordering::SeqCst);
                            finals.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                    sub.unwrap().unsubscribe_and_join().unwrap();
                }
            });
        }
    });
    drop(publishers);
    assert_eq!((late.load(Ordering::SeqCst), finals.load(Ordering::SeqCst)), (0, 900));
}

/// Handles that sit in a place which their own handlers drop.
#[test]
fn g6_a_handler_may_drop_its_own_handle() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let place: Arc<Mutex<Option<Listener>>> = Arc::default();
        let (log, place2) = (Log::new(), place.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription("own").accept(&kind), mode, move |heard| {
            drop(place2.lock().unwrap().take());
            noted.push(heard.end);
        });
        *place.lock().unwrap() = Some(listener);
        topic.publish(kind.message(0));
        assert_eq!(log.await_len(2), [None, Some(EndReason::Unsubscribed)], "{mode}");
    }
    end(&bus);
}

#[test]
fn g6_unsubscribe_and_join_in_one() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    let sub: Subscription = topic
        .subscription("c")
        .accept(&kind)
        .start(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    (0..1_000).for_each(|number| {
        topic.publish(kind.message(number));
    });
    sub.unsubscribe_and_join().unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 1_001);
    end(&bus);
}
