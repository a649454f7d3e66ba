//! G11: a shutdown ends everything, names what it could not end, and leaves nothing behind.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{
    Bus, Dispatch, EndReason, Forward, Handled, MessageType, Overflow, ShutdownError, SubscribeError,
    Subscription, ThreadInfo, ThreadKind, Topic,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const PATIENT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(30);

/// A bus that is counted: the hook is held by everything that keeps a bus's inside alive.
fn counted(census: &Census, name: &str) -> (Bus, MessageType<u64>) {
    let alive = census.born();
    let builder = Bus::builder().thread_name(name).on_panic(move |_| {
        let _ = &alive;
    });
    let bus = builder.build().unwrap();
    let kind = bus.message_type("number").unwrap();
    (bus, kind)
}

#[test]
fn g11_everything_queued_is_handled_and_every_subscription_gets_its_final() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let logs = EVERY_MODE.map(|mode| {
        let (log, kind2) = (Log::new(), kind.clone());
        let noted = log.clone();
        let builder = topic.subscription("s").accept(&kind);
        let listener = listen(builder, mode, move |heard| noted.push((heard.number(&kind2), heard.end)));
        (listener, log)
    });
    (0..2_000).for_each(|number| {
        topic.publish(kind.message(number));
    });
    let report = bus.shutdown(PATIENT).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.ended, 5);
    for (listener, log) in &logs {
        let expected =
            (0..2_000).map(|number| (Some(number), None)).chain([(None, Some(EndReason::ShutDown))]);
        assert!(log.await_len(2_001).into_iter().eq(expected), "{}", listener.dispatch());
        assert!(!listener.is_subscribed() && !listener.unsubscribe());
        listener.join().unwrap();
    }
    assert!(bus.stats().subscriptions.is_empty());
}

#[test]
fn g11_publishing_and_subscribing_from_outside_end_at_once() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (gate, inside) = (Gate::new(), Gate::new());
    let (gate2, inside2) = (gate.clone(), inside.clone());
    let stuck = listen(topic.subscription("stuck").accept(&kind), Dispatch::Pool, move |_| {
        inside2.open();
        gate2.pass();
    });
    topic.publish(kind.message(0));
    inside.pass();
    thread::scope(|scope| {
        let shutdown = scope.spawn(|| bus.shutdown(PATIENT));
        eventually(|| topic.publish(kind.message(1)).is_closed());
        assert_eq!(topic.subscribe("late", |_| {}).unwrap_err(), SubscribeError::Closed);
        assert_eq!(stuck.publish_sync(kind.message(1), None), Ok(Handled::Refused));
        assert!(topic.publish_with(&kind, || 1).is_closed());
        assert!(!shutdown.is_finished());
        gate.open();
        assert!(shutdown.join().unwrap().unwrap().is_clean());
    });
    assert!(topic.publish(kind.message(2)).is_closed());
    assert!(bus.topic("after").unwrap().publish(kind.message(2)).is_closed());
    assert_eq!(topic.subscribe("late", |_| {}).unwrap_err(), SubscribeError::Closed);
}

/// What handlers publish while the bus drains goes through, stage after stage.
#[test]
fn g11_pipelines_are_drained() {
    let _watched = watched();
    const STAGES: usize = 6;
    for mode in HANDLER_MODES {
        let bus = Bus::builder().workers(1..=2).build().unwrap();
        let kind = bus.message_type::<u64>("number").unwrap();
        let topics: Vec<_> = (0..=STAGES).map(|n| bus.topic(&format!("stage:{n}")).unwrap()).collect();
        let (gate, arrived) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
        let stages: Vec<_> = (0..STAGES)
            .map(|n| {
                let (next, kind2, gate) = (topics[n + 1].clone(), kind.clone(), gate.clone());
                let mode = if n == 0 { Dispatch::Pool } else { mode };
                listen(topics[n].subscription(format!("stage {n}")).accept(&kind), mode, move |heard| {
                    if let Some(number) = heard.number(&kind2) {
                        gate.pass();
                        assert_eq!(next.publish(kind2.message(number)).accepted, 1);
                    }
                })
            })
            .collect();
        let counter = arrived.clone();
        let last =
            listen(topics[STAGES].subscription("last").accept(&kind), Dispatch::Dedicated, move |heard| {
                counter.fetch_add(usize::from(heard.end.is_none()), Ordering::SeqCst);
            });
        (0..300).for_each(|number| {
            topics[0].publish(kind.message(number));
        });
        thread::scope(|scope| {
            let shutdown = scope.spawn(|| bus.shutdown(PATIENT));
            eventually(|| bus.topic("probe").unwrap().publish(kind.message(0)).is_closed());
            gate.open();
            assert!(shutdown.join().unwrap().unwrap().is_clean(), "{mode}");
        });
        assert_eq!(arrived.load(Ordering::SeqCst), 300, "{mode}");
        assert!(stages.iter().all(|stage| stage.stats().panics == 0));
        drop(last);
    }
}

#[test]
fn g11_who_did_not_finish_is_named_and_its_queue_counted() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let gate = Gate::new();
    let mut listeners = Vec::new();
    for (name, mode) in [("stuck pool", Dispatch::Pool), ("stuck thread", Dispatch::Dedicated)] {
        let (gate, log, inside, kind2) = (gate.clone(), Log::new(), Gate::new(), kind.clone());
        let (noted, inside2) = (log.clone(), inside.clone());
        let listener = listen(topic.subscription(name).accept(&kind).capacity(4), mode, move |heard| {
            inside2.open();
            gate.pass();
            noted.push((heard.number(&kind2), heard.missed, heard.end));
        });
        topic.publish(kind.message(0));
        inside.pass();
        listeners.push((listener, log));
    }
    let (_idle, idle_log) = note_numbers(topic.subscription("idle").accept(&kind), Dispatch::Pool, &kind);
    (0..20).for_each(|number| {
        topic.publish(kind.message(number));
    });
    idle_log.await_len(20);
    let report = bus.shutdown(SHORT).unwrap();
    assert!(!report.is_clean());
    assert_eq!(report.ended, 3);
    let mut named: Vec<_> = report.stragglers.iter().map(|s| (s.name.as_str(), s.queued, s.ended)).collect();
    named.sort_unstable();
    assert_eq!(named, [("stuck pool", 21, false), ("stuck thread", 20, false)]);
    assert_eq!(report.threads_left.len(), 2, "{report}");
    assert!(report.threads_left.contains(&"stuck thread".to_owned()));
    assert!(report.to_string().contains("stuck pool") && report.to_string().contains("threads left behind"));
    assert_eq!(idle_log.all().last(), Some(&None), "the others got their final message");
    gate.open();
    for ((listener, log), missed) in listeners.iter().zip([21, 20]) {
        let expected = [(Some(0), 0, None), (None, missed, Some(EndReason::ShutDown))];
        assert_eq!(log.await_len(2), expected, "{}", listener.name());
        listener.join().unwrap();
        assert_eq!(listener.stats().missed, missed);
    }
}

/// An inline handler runs on somebody else's thread; the shutdown waits for it as for any other.
#[test]
fn g11_a_handler_inside_a_publish_is_waited_for_or_named() {
    let _watched = watched();
    for mode in [Dispatch::Inline, Dispatch::Serial] {
        for finishes in [true, false] {
            let (bus, kind) = numbers();
            let topic = bus.topic("t").unwrap();
            let (gate, inside) = (Gate::new(), Gate::new());
            let (gate2, inside2) = (gate.clone(), inside.clone());
            let listener = listen(topic.subscription("busy").accept(&kind), mode, move |_| {
                inside2.open();
                gate2.pass();
            });
            thread::scope(|scope| {
                scope.spawn(|| topic.publish(kind.message(0)));
                inside.pass();
                let shutdown = scope.spawn(|| bus.shutdown(if finishes { PATIENT } else { SHORT }));
                eventually(|| bus.topic("probe").unwrap().publish(kind.message(1)).is_closed());
                if finishes {
                    thread::sleep(SHORT);
                    gate.open();
                }
                let (report, done) = (shutdown.join().unwrap().unwrap(), listener.is_done());
                gate.open();
                assert_eq!((report.is_clean(), done), (finishes, finishes), "{mode}: {report}");
                assert!(finishes || report.stragglers[0].name == "busy", "{report}");
            });
            listener.join().unwrap();
        }
    }
}

#[test]
fn g11_an_unread_stream_holds_it_up_no_longer_than_the_deadline() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let mut unread = topic.subscription("unread").accept(&kind).stream().unwrap();
    (0..10).for_each(|number| {
        topic.publish(kind.message(number));
    });
    let report = bus.shutdown(SHORT).unwrap();
    assert_eq!(report.stragglers.len(), 1);
    assert_eq!((report.stragglers[0].name.as_str(), report.stragglers[0].queued), ("unread", 10));
    let last = unread.recv().unwrap();
    assert_eq!((last.is_final(), last.missed(), last.end()), (true, 10, Some(EndReason::ShutDown)));
    assert!(unread.recv().is_none());
}

#[test]
fn g11_a_stream_that_was_read_does_not_hold_it_up() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let mut read = topic.subscription("read").accept(&kind).stream().unwrap();
    // This one has its own begin unread.
    let _unread = topic.subscription("unread").stream().unwrap();
    topic.publish(kind.message(0));
    assert!(read.try_recv().is_ok());
    let report = bus.shutdown(SHORT).unwrap();
    assert_eq!(
        (report.ended, report.stragglers.len()),
        (2, 1),
        "only the other one has something unread: {report}"
    );
}

#[test]
fn g11_from_a_handler_it_starts_and_returns_an_error() {
    let _watched = watched();
    for mode in [Dispatch::Inline, Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated] {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let (log, bus2) = (Log::new(), bus.downgrade());
        let noted = log.clone();
        let builder = topic.subscription("ends it").accept(&kind);
        let listener = listen(builder, mode, move |heard| match heard.end {
            None => noted.push(bus2.upgrade().unwrap().shutdown(PATIENT).map(|_| None)),
            end => noted.push(Ok(end)),
        });
        topic.publish(kind.message(0));
        let heard = log.await_len(2);
        assert_eq!(heard, [Err(ShutdownError::InHandler), Ok(Some(EndReason::ShutDown))], "{mode}");
        listener.join().unwrap();
        assert!(bus.shutdown(PATIENT).unwrap().is_clean(), "{mode}");
        assert!(topic.publish(kind.message(1)).is_closed());
    }
}

#[test]
fn g11_a_second_call_waits_for_the_first() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (gate, inside, over) = (Gate::new(), Gate::new(), Arc::new(AtomicBool::new(false)));
    let (gate2, inside2, over2) = (gate.clone(), inside.clone(), over.clone());
    let _slow = listen(topic.subscription("slow").accept(&kind), Dispatch::Pool, move |heard| {
        inside2.open();
        gate2.pass();
        over2.store(heard.end.is_some(), Ordering::SeqCst);
    });
    topic.publish(kind.message(0));
    inside.pass();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let report = bus.shutdown(PATIENT).unwrap();
                    assert!(over.load(Ordering::SeqCst));
                    report
                })
            })
            .collect();
        eventually(|| topic.publish(kind.message(1)).is_closed());
        thread::sleep(SHORT);
        assert_eq!(bus.shutdown(Duration::ZERO), Err(ShutdownError::StillRunning(Duration::ZERO)));
        gate.open();
        let reports: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        assert!(reports.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(reports[0].ended, 1);
    });
}

/// For ever is a deadline too: the final call may take its time, and a second call may wait for it.
#[test]
fn g11_without_a_deadline_it_waits_for_slow_final_calls() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let _slow = listen(topic.subscription("slow").accept(&kind), Dispatch::Dedicated, |_| {
        thread::sleep(Duration::from_millis(600));
    });
    thread::scope(|scope| {
        let calls = [0, 1].map(|_| scope.spawn(|| bus.shutdown(Duration::MAX)));
        for call in calls {
            let report = call.join().unwrap().unwrap();
            assert!(report.is_clean(), "{report}");
        }
    });
}

// ---- nothing is left --------------------------------------------------------------------------------------------------

#[cfg(target_os = "linux")]
#[test]
fn g11_threads_are_gone_after_it() {
    let _watched = watched();
    let census = Census::new();
    for _ in 0..20 {
        let (bus, kind) = counted(&census, "g11gone");
        let topic = bus.topic("t").unwrap();
        let subs: Vec<_> = [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Serial]
            .map(|mode| listen(topic.subscription("g11gone").accept(&kind), mode, |_| {}))
            .into();
        (0..100).for_each(|number| {
            topic.publish(kind.message(number));
        });
        eventually(|| threads_named("g11gone") > 0);
        assert!(bus.shutdown(PATIENT).unwrap().is_clean());
        // Joined; the system may list a thread for a moment longer.
        eventually(|| threads_named("g11gone") == 0);
        drop((subs, topic, kind, bus));
    }
    assert_eq!(census.alive(), 0);
}

#[test]
fn g11_dropping_the_last_bus_is_the_same_without_waiting() {
    let _watched = watched();
    let census = Census::new();
    let (bus, kind) = counted(&census, "g11last");
    let topic = bus.topic("t").unwrap();
    let (gate, log) = (Gate::new(), Log::new());
    let (gate2, noted, kind2) = (gate.clone(), log.clone(), kind.clone());
    let listener = listen(topic.subscription("slow").accept(&kind), Dispatch::Pool, move |heard| {
        gate2.pass();
        noted.push((heard.number(&kind2), heard.end));
    });
    (0..100).for_each(|number| {
        topic.publish(kind.message(number));
    });
    let (clone, weak) = (bus.clone(), bus.downgrade());
    drop(bus);
    assert!(topic.publish(kind.message(100)).reached(), "a clone is left");
    drop(clone);
    assert!(log.all().is_empty() && weak.upgrade().is_none(), "the drop does not wait");
    assert!(topic.publish(kind.message(101)).is_closed());
    gate.open();
    let expected = (0..=100).map(|number| (Some(number), None)).chain([(None, Some(EndReason::ShutDown))]);
    assert!(log.await_len(102).into_iter().eq(expected), "everything queued is handled");
    listener.join().unwrap();
    drop((topic, kind, listener));
    eventually(|| census.alive() == 0);
}

/// The last handle goes inside a handler, a value's drop on a worker included.
#[test]
fn g11_the_last_bus_may_be_dropped_by_a_handler() {
    let _watched = watched();
    for mode in HANDLER_MODES {
        for in_value in [false, true] {
            let census = Census::new();
            let (bus, _) = counted(&census, "g11inside");
            let kind = bus.message_type::<std::sync::Mutex<Option<Bus>>>("bus").unwrap();
            let topic = bus.topic("t").unwrap();
            let (log, kind2) = (Log::new(), kind.clone());
            let noted = log.clone();
            let listener = listen(topic.subscription("last").accept(&kind), mode, move |heard| {
                if let (Some(bus), false) = (kind2.read(&heard.message), in_value) {
                    bus.lock().unwrap().take();
                }
                noted.push(heard.end);
            });
            topic.publish(kind.message(std::sync::Mutex::new(Some(bus))));
            assert_eq!(log.await_len(2), [None, Some(EndReason::ShutDown)], "{mode}");
            listener.join().unwrap();
            drop((listener, kind, topic));
            eventually(|| census.alive() == 0);
        }
    }
}

/// Every part of a small bus, dropped in every order, before or after a shutdown or without one.
#[test]
fn g11_any_order_of_drops_leaves_nothing() {
    let _watched = watched();
    enum Part {
        Bus(#[expect(dead_code, reason = "dropped")] Bus),
        Topics(#[expect(dead_code, reason = "dropped")] [Topic; 2]),
        Kind(#[expect(dead_code, reason = "dropped")] MessageType<Alive>),
        Forward(#[expect(dead_code, reason = "dropped")] [Forward; 2]),
        Subs(#[expect(dead_code, reason = "dropped")] Vec<Subscription>),
        Stream(#[expect(dead_code, reason = "dropped")] stasis_bus::Stream),
        Messages(#[expect(dead_code, reason = "dropped")] Vec<stasis_bus::Message>),
    }
    const PARTS: usize = 7;
    let census = Census::new();
    // Each step of this generator gives another of the 5,040 orders.
    let orders = (0..5_040usize).step_by(37).map(|n| {
        let (mut n, mut rest, mut order) = (n, (0..PARTS).collect::<Vec<_>>(), Vec::new());
        for left in (1..=PARTS).rev() {
            order.push(rest.remove(n % left));
            n /= left;
        }
        order
    });
    for (round, order) in orders.enumerate() {
        let alive = census.born();
        let bus = Bus::builder()
            .on_panic(move |_| {
                let _ = &alive;
            })
            .build()
            .unwrap();
        let kind = bus.message_type::<Alive>("value").unwrap();
        let topics = ["a", "b"].map(|name| bus.topic(name).unwrap());
        let edges = [topics[0].forward_to(&topics[1]).unwrap(), topics[1].forward_to(&topics[0]).unwrap()];
        if round % 3 == 0 {
            topics[1].forward_to(&topics[1]).unwrap().detach();
            topics[1].subscribe("detached", |_| {}).unwrap().detach();
        }
        let subs = [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated].map(|mode| {
            let alive = census.born();
            let builder =
                topics[1].subscription("s").dispatch(mode).capacity(2).overflow(Overflow::DropOldest);
            builder
                .start(move |_| {
                    let _ = &alive;
                })
                .unwrap()
        });
        let alive = census.born();
        let inline = topics[0]
            .subscription("i")
            .inline(move |_| {
                let _ = &alive;
            })
            .unwrap();
        let stream = topics[1].subscription("st").accept(&kind).stream().unwrap();
        let messages: Vec<_> = (0..10).map(|_| kind.message(census.born())).collect();
        messages.iter().for_each(|message| {
            topics[0].publish(message.clone());
        });
        if round % 2 == 0 {
            bus.shutdown(Duration::ZERO).unwrap();
        }
        let mut parts = [
            Part::Bus(bus),
            Part::Topics(topics),
            Part::Kind(kind),
            Part::Forward(edges),
            Part::Subs(subs.into_iter().chain([inline]).collect()),
            Part::Stream(stream),
            Part::Messages(messages),
        ]
        .map(Some);
        order.into_iter().for_each(|n| drop(parts[n].take()));
        eventually(|| census.alive() == 0);
    }
}

#[test]
fn g11_a_forward_detached_after_the_end_keeps_nothing() {
    let _watched = watched();
    let census = Census::new();
    let (bus, _) = counted(&census, "g11edge");
    let edge = bus.topic("a").unwrap().forward_to(&bus.topic("b").unwrap()).unwrap();
    bus.topic("b").unwrap().forward_to(&bus.topic("c").unwrap()).unwrap().detach();
    bus.shutdown(PATIENT).unwrap();
    edge.detach();
    drop(bus);
    eventually(|| census.alive() == 0);
}

/// Subscriptions that are made just as the bus ends are ended as well, whoever sees them.
#[test]
fn g11_subscribing_while_it_shuts_down() {
    let _watched = watched();
    let census = Census::new();
    for round in 0..150 {
        let (bus, kind) = counted(&census, "g11race");
        let topic = bus.topic("t").unwrap();
        // The workers are there already, and go with the shutdown.
        topic.subscribe("first", |_| {}).unwrap().unsubscribe_and_join().unwrap();
        thread::scope(|scope| {
            for mode in [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Serial, Dispatch::Inline] {
                let (topic, kind, census) = (&topic, &kind, &census);
                scope.spawn(move || {
                    loop {
                        let (finals, alive) = (Arc::new(AtomicUsize::new(0)), census.born());
                        let finals2 = finals.clone();
                        let handler = move |delivery: &stasis_bus::Delivery<'_>| {
                            let _ = &alive;
                            finals2.fetch_add(usize::from(delivery.is_final()), Ordering::SeqCst);
                        };
                        let builder = topic.subscription("racer").accept(kind).dispatch(mode);
                        let made = match mode {
                            Dispatch::Inline => builder.inline(handler),
                            _ => builder.start(handler),
                        };
                        let Ok(sub) = made else { return };
                        sub.unsubscribe();
                        sub.join().unwrap();
                        assert_eq!(finals.load(Ordering::SeqCst), 1, "{mode}");
                    }
                });
            }
            if round % 2 == 0 {
                thread::sleep(Duration::from_micros(round * 7));
            }
            bus.shutdown(PATIENT).unwrap();
        });
        assert!(topic.publish(kind.message(0)).is_closed());
    }
    eventually(|| census.alive() == 0);
}

/// A handler that never returns keeps its thread; nothing else of the bus is held up.
#[test]
fn g11_a_stuck_handler_keeps_nothing_but_its_thread() {
    let _watched = watched();
    let census = Census::new();
    let gate = Gate::new();
    {
        let (bus, _) = numbers();
        let values = bus.message_type::<Alive>("values").unwrap();
        let topic = bus.topic("t").unwrap();
        let (gate2, inside) = (gate.clone(), Gate::new());
        let inside2 = inside.clone();
        topic
            .subscription("stuck")
            .accept(&values)
            .start(move |_| {
                inside2.open();
                gate2.pass();
            })
            .unwrap()
            .detach();
        (0..50).for_each(|_| {
            topic.publish(values.message(census.born()));
        });
        inside.pass();
        let report = bus.shutdown(SHORT).unwrap();
        assert_eq!(report.stragglers.len(), 1);
    }
    gate.open();
    eventually(|| census.alive() == 0);
}

/// Dead values wait for their maker only while traffic runs, whatever count fills a tray to the brim.
#[test]
fn g11_a_quiet_bus_holds_no_dead_value() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let bus = Bus::builder().workers(1..=1).build().unwrap();
        let kind = bus.message_type::<Arc<()>>("value").unwrap();
        let topic = bus.topic("t").unwrap();
        let _sub = topic.subscription("s").accept(&kind).dispatch(mode).start(|_| {}).unwrap();
        let value = Arc::new(());
        for count in 1..=130 {
            (0..count).for_each(|_| {
                topic.publish(kind.message(value.clone()));
            });
            eventually(|| Arc::strong_count(&value) == 1);
        }
    }
}

/// Nothing is left to do, and one thread is slow to come, as on a machine with too much to do: the deadline is not over.
#[test]
fn g11_a_thread_that_is_slow_is_joined_within_the_deadline() {
    let _watched = watched();
    let hook = |thread: &ThreadInfo| {
        if matches!(thread.kind, ThreadKind::Worker(1)) {
            thread::sleep(Duration::from_millis(700));
        }
    };
    let bus = Bus::builder().workers(2..=2).on_thread_start(hook).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    let (listener, log) = note_numbers(topic.subscription("l").accept(&kind), Dispatch::Pool, &kind);
    topic.publish(kind.message(1));
    log.await_len(1);
    end(&bus);
    assert_eq!(log.all(), [Some(1), None]);
    drop(listener);
}
