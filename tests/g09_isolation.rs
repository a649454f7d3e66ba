//! G9: what one handler does to itself, it does not do to others: panics, blocking, slowness.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use futures_core::Stream as _;
use stasis_bus::{AmiEvent, Bus, Dispatch, EndReason, MessageType, OnPanic, PanicPlace};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

type Reports = Log<(String, PanicPlace, String)>;

/// A bus whose hook notes every report.
fn reporting() -> (Bus, MessageType<u64>, Reports) {
    let reports = Log::new();
    let noted = reports.clone();
    let bus = Bus::builder()
        .on_panic(move |report| noted.push((report.name.to_owned(), report.place, report.message.to_owned())))
        .build()
        .unwrap();
    let kind = bus.message_type("number").unwrap();
    (bus, kind, reports)
}

// ---- panics ---------------------------------------------------------------------------------------------------------

#[test]
fn g9_a_panic_costs_one_call_and_is_counted_and_reported() {
    let _watched = watched();
    let (bus, kind, reports) = reporting();
    let topic = bus.topic("t").unwrap();
    let (neighbour, neighbours_log) =
        note_numbers(topic.subscription("n").accept(&kind), Dispatch::Inline, &kind);
    for (n, mode) in HANDLER_MODES.into_iter().enumerate() {
        let (log, kind2) = (Log::new(), kind.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription(mode.name()).accept(&kind), mode, move |heard| {
            let Some(number) = heard.number(&kind2) else { return noted.push(None) };
            assert!(!number.is_multiple_of(3), "{ON_PURPOSE} {number}");
            noted.push(Some(number));
        });
        for number in 0..100 {
            assert_eq!(topic.publish(kind.message(number)).accepted, 2, "{mode}");
        }
        listener.unsubscribe();
        listener.join().unwrap();
        let spared = (0..100).filter(|number| number % 3 != 0).map(Some);
        assert_eq!(log.all(), spared.chain([None]).collect::<Vec<_>>(), "{mode}");
        assert_eq!(listener.stats().panics, 34, "{mode}");
        assert_eq!(bus.stats().panics, 34 * (n as u64 + 1));
        let reported = reports.all().split_off(34 * n);
        assert_eq!(reported.len(), 34);
        assert_eq!(reported[1], (mode.name().to_owned(), PanicPlace::Handler, format!("{ON_PURPOSE} 3")));
    }
    assert_eq!(neighbours_log.len(), 400, "the one beside it missed nothing");
    drop(neighbour);
    end(&bus);
}

#[test]
fn g9_several_inline_handlers_panic_in_one_publish() {
    let _watched = watched();
    let (bus, kind, reports) = reporting();
    let topic = bus.topic("t").unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let _subs: Vec<_> = (0..10)
        .map(|n| {
            let calls = calls.clone();
            topic.subscription(format!("s{n}")).accept(&kind).inline(move |delivery| {
                calls.fetch_add(1, Ordering::Relaxed);
                assert!(n % 2 == 0 || delivery.is_final(), "{ON_PURPOSE}");
            })
        })
        .collect();
    assert_eq!(topic.publish(kind.message(0)).accepted, 10);
    assert_eq!(calls.load(Ordering::Relaxed), 10);
    let names: Vec<_> = reports.all().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["s1", "s3", "s5", "s7", "s9"]);
}

#[test]
fn g9_a_panicking_drop_of_a_handler_is_reported() {
    let _watched = watched();
    let (bus, kind, reports) = reporting();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let bomb = on_drop(|| panic!("{ON_PURPOSE}"));
        let listener = listen(topic.subscription(mode.name()).accept(&kind), mode, move |_| {
            let _ = &bomb;
        });
        listener.unsubscribe();
        listener.join().unwrap();
    }
    let places: Vec<_> = reports.all().into_iter().map(|(name, place, _)| (name, place)).collect();
    assert_eq!(places, HANDLER_MODES.map(|mode| (mode.name().to_owned(), PanicPlace::HandlerDrop)));
    end(&bus);
}

#[test]
fn g9_a_panicking_waker_is_reported_and_does_not_reach_the_publisher() {
    let _watched = watched();
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("{ON_PURPOSE}");
        }
    }
    let (bus, kind, reports) = reporting();
    let topic = bus.topic("t").unwrap();
    let mut stream = topic.subscription("s").accept(&kind).stream().unwrap();
    let (_neighbour, log) = note_numbers(topic.subscription("n").accept(&kind), Dispatch::Pool, &kind);
    for number in 0..3 {
        let waker = Waker::from(Arc::new(Bomb));
        assert!(Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(topic.publish(kind.message(number)).accepted, 2);
        assert_eq!(stream.try_recv().unwrap().read(&kind), Some(&number));
    }
    assert_eq!(log.await_len(3).len(), 3);
    let expected = ("s".to_owned(), PanicPlace::Waker, ON_PURPOSE.to_owned());
    assert_eq!(reports.all(), vec![expected; 3]);
}

#[test]
fn g9_panicking_drops_of_values_and_formatters_are_counted_by_their_type() {
    let _watched = watched();
    let (bus, ..) = reporting();
    let bombs = bus.message_type::<DropAction>("bombs").unwrap();
    let topic = bus.topic("t").unwrap();
    let bomb = || bombs.message(on_drop(|| panic!("{ON_PURPOSE}")));
    topic.publish(bomb());
    for mode in EVERY_MODE {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        let listener = listen(topic.subscription("l").accept(&bombs), mode, move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        (0..5).for_each(|_| {
            topic.publish(bomb());
        });
        listener.unsubscribe();
        eventually(|| count.load(Ordering::SeqCst) == 6);
        assert_eq!(listener.stats().panics, 0, "{mode}: not the handler's fault");
    }
    let panics = |name: &str| bus.message_types().into_iter().find(|info| info.name == name).unwrap().panics;
    eventually(|| panics("bombs") == 26);
    let formatted = bus.define::<u8>("formatted").ami(|_, _| -> Option<AmiEvent> { panic!("{ON_PURPOSE}") });
    let formatted = formatted.declare().unwrap();
    assert_eq!(formatted.message(1).to_ami(), None);
    assert_eq!(panics("formatted"), 1);
    end(&bus);
}

#[test]
fn g9_what_a_panic_carries_may_be_anything() {
    let _watched = watched();
    let (bus, kind, reports) = reporting();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let listener = listen(topic.subscription("p").accept(&kind), mode, |heard| {
            if heard.end.is_none() {
                std::panic::resume_unwind(Box::new(on_drop(|| {
                    panic!("{ON_PURPOSE}: by the drop of a panic")
                })));
            }
        });
        topic.publish(kind.message(0));
        topic.publish(kind.message(1));
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(listener.stats().panics, 2, "{mode}");
    }
    assert!(reports.all().iter().all(|(_, _, text)| text == "(no text)"));
    end(&bus);
}

// ---- slow and blocked handlers ----------------------------------------------------------------------------------------

/// The handler of `a` waits for the handler of `b`: somebody has to notice, and nobody publishes any more.
#[test]
fn g9_the_pool_grows_while_a_handler_waits_for_another() {
    let _watched = watched();
    for workers in 2..=4 {
        for chain in 1..workers {
            let bus = Bus::builder().workers(1..=workers).build().unwrap();
            let kind = bus.message_type::<u64>("number").unwrap();
            let topics: Vec<_> = (0..=chain).map(|n| bus.topic(&format!("t{n}")).unwrap()).collect();
            let gates: Vec<_> = (0..=chain).map(|_| Gate::new()).collect();
            let subs: Vec<_> = (0..=chain)
                .map(|n| {
                    let (own, next) = (gates[n].clone(), gates.get(n + 1).cloned());
                    let (next_topic, kind2) = (topics.get(n + 1).cloned(), kind.clone());
                    topics[n].subscription("chain").accept(&kind).start(move |delivery| {
                        if let (Some(topic), Some(next), false) = (&next_topic, &next, delivery.is_final()) {
                            topic.publish(kind2.message(0));
                            next.pass();
                        }
                        own.open();
                    })
                })
                .collect();
            topics[0].publish(kind.message(0));
            gates[0].pass();
            assert!(bus.stats().workers > chain, "{chain} of them were stuck");
            drop(subs);
            end(&bus);
        }
    }
}

#[test]
fn g9_blocked_handlers_do_not_stop_others() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=4).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    let (gate, inside) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let stuck: Vec<_> = (0..3)
        .map(|_| {
            let (gate, inside) = (gate.clone(), inside.clone());
            topic.subscription("stuck").accept(&kind).start(move |_| {
                inside.fetch_add(1, Ordering::SeqCst);
                gate.pass();
            })
        })
        .collect();
    let (_free, log) = note_numbers(topic.subscription("free").accept(&kind), Dispatch::Pool, &kind);
    (0..1_000).for_each(|number| {
        topic.publish(kind.message(number));
    });
    assert_eq!(log.await_len(1_000).len(), 1_000);
    eventually(|| inside.load(Ordering::SeqCst) == 3);
    assert_eq!(bus.stats().workers, 4, "the maximum");
    gate.open();
    drop(stuck);
    end(&bus);
}

/// Load that keeps moving is no reason for another thread, however much of it there is.
#[test]
fn g9_load_that_moves_does_not_grow_the_pool() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=4).grow_after(Duration::from_millis(200)).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let subs: Vec<_> = (0..8)
        .map(|_| {
            let handled = handled.clone();
            topic.subscription("busy").accept(&kind).start(move |_| {
                thread::sleep(Duration::from_millis(1));
                handled.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    // 800 ms of work and more, four times as long as a pool that stands still is tolerated.
    (0..100).for_each(|number| {
        topic.publish(kind.message(number));
    });
    eventually(|| handled.load(Ordering::SeqCst) == 800);
    assert_eq!(bus.stats().workers, 1);
    drop(subs);
    end(&bus);
}

#[test]
fn g9_the_pool_shrinks_when_it_has_nothing_to_do() {
    let _watched = watched();
    let bus = Bus::builder().workers(2..=6).idle_timeout(Some(Duration::from_millis(5))).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    for _ in 0..3 {
        let (gate, inside) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
        let stuck: Vec<_> = (0..6)
            .map(|_| {
                let (gate, inside) = (gate.clone(), inside.clone());
                topic.subscription("stuck").accept(&kind).start(move |_| {
                    inside.fetch_add(1, Ordering::SeqCst);
                    gate.pass();
                })
            })
            .collect();
        topic.publish(kind.message(0));
        eventually(|| inside.load(Ordering::SeqCst) == 6);
        assert_eq!(bus.stats().workers, 6);
        gate.open();
        drop(stuck);
        eventually(|| bus.stats().workers == 2);
        thread::sleep(Duration::from_millis(20));
        // One more may have come to help with what the end left to do.
        assert!(bus.stats().workers >= 2, "no fewer than the minimum");
    }
    end(&bus);
}

#[cfg(target_os = "linux")]
#[test]
fn g9_threads_start_with_the_first_pool_work() {
    let _watched = watched();
    // However slow they are to come to the first job: nobody is to help them.
    let builder = Bus::builder().workers(2..=4).grow_after(Duration::from_secs(10));
    let bus = builder.thread_name("g9first").build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    let (_inline, _) = note_numbers(topic.subscription("i").accept(&kind), Dispatch::Inline, &kind);
    let (_serial, _) = note_numbers(topic.subscription("s").accept(&kind), Dispatch::Serial, &kind);
    topic.publish(kind.message(0));
    assert_eq!((threads_named("g9first"), bus.stats().workers), (0, 0));
    let (_pool, log) = note_numbers(topic.subscription("p").accept(&kind), Dispatch::Pool, &kind);
    topic.publish(kind.message(1));
    log.await_len(1);
    assert_eq!(bus.stats().workers, 2);
    end(&bus);
    eventually(|| threads_named("g9first") == 0);
}

/// A subscription whose handler is slow has its own queue; the others' messages pass it by.
#[test]
fn g9_a_slow_dedicated_handler_delays_nobody() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let gate = Gate::new();
    let gate2 = gate.clone();
    let slow = listen(topic.subscription("slow").accept(&kind), Dispatch::Dedicated, move |_| gate2.pass());
    let others =
        EVERY_MODE.map(|mode| note_numbers(topic.subscription(mode.name()).accept(&kind), mode, &kind));
    (0..100).for_each(|number| {
        topic.publish(kind.message(number));
    });
    for (listener, log) in &others {
        assert_eq!(log.await_len(100).len(), 100, "{}", listener.dispatch());
    }
    assert_eq!(slow.stats().accepted, 100);
    gate.open();
    end(&bus);
}

#[test]
fn g9_a_panic_ends_the_subscription_if_that_was_asked_for() {
    let _watched = watched();
    let (bus, kind, reports) = reporting();
    let topic = bus.topic("t").unwrap();
    for (n, mode) in HANDLER_MODES.into_iter().enumerate() {
        let (log, kind2) = (Log::new(), kind.clone());
        let noted = log.clone();
        let builder = topic.subscription(mode.name()).accept(&kind).on_panic(OnPanic::Disconnect);
        let listener = listen(builder, mode, move |heard| {
            noted.push((heard.number(&kind2), heard.end));
            assert!(heard.number(&kind2) != Some(1), "{ON_PURPOSE}");
        });
        topic.publish(kind.message(0));
        topic.publish(kind.message(1));
        listener.join().unwrap();
        assert!(!listener.is_subscribed());
        assert_eq!(topic.publish(kind.message(2)).accepted, 0, "{mode}");
        let last = (None, Some(EndReason::Disconnected));
        assert_eq!(log.all(), [(Some(0), None), (Some(1), None), last], "{mode}");
        assert_eq!(reports.all().len(), n + 1);
        assert_eq!(topic.stats().subscriptions, 0);
    }
}

/// Its own begin is handled before anybody can see it: it ends as soon as it is there.
#[test]
fn g9_a_panic_at_the_begin_ends_the_subscription_too() {
    let _watched = watched();
    let (bus, _, reports) = reporting();
    let topic = bus.topic("t").unwrap();
    for (n, mode) in HANDLER_MODES.into_iter().enumerate() {
        let ends = Log::new();
        let noted = ends.clone();
        let builder = topic.subscription(mode.name()).on_panic(OnPanic::Disconnect);
        let listener = listen(builder, mode, move |heard| match heard.end {
            Some(end) => noted.push(end),
            None => panic!("{ON_PURPOSE}"),
        });
        listener.join().unwrap();
        assert_eq!(ends.all(), [EndReason::Disconnected], "{mode}");
        assert!(reports.all().len() > n);
        assert_eq!(topic.stats().subscriptions, 0, "{mode}");
    }
}

/// One message of a slow handler's is always there: its worker looks after the others all the same.
#[test]
fn g9_a_slow_handler_of_single_messages_gives_its_worker_away() {
    let _watched = watched();
    for in_batches in [false, true] {
        let bus = Bus::builder().workers(1..=1).build().unwrap();
        let kind = bus.message_type::<u64>("number").unwrap();
        let (own, others) = (bus.topic("own").unwrap(), bus.topic("others").unwrap());
        let (calls, until_other) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (counted, noted) = (calls.clone(), until_other.clone());
        let other = others.subscription("other").accept(&kind).start(move |delivery| {
            if !delivery.is_final() {
                noted.store(counted.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        });
        let (other, next, number) = (other.unwrap(), own.clone(), kind.clone());
        let work = move |is_final: bool| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            if is_final || call >= 60 {
                return;
            }
            if call == 0 {
                others.publish(number.message(0));
            }
            // Longer than a turn; and there is always one more.
            thread::sleep(Duration::from_millis(5));
            next.publish(number.message(call));
        };
        let slow = own.subscription("slow").accept(&kind);
        let slow = match in_batches {
            false => slow.start(move |delivery| work(delivery.is_final())),
            true => slow.start_batch(move |batch| work(batch.is_final())),
        };
        own.publish(kind.message(0));
        eventually(|| until_other.load(Ordering::Relaxed) > 0);
        assert!(until_other.load(Ordering::Relaxed) < 30, "{}", until_other.load(Ordering::Relaxed));
        slow.unwrap().unsubscribe_and_join().unwrap();
        other.unsubscribe_and_join().unwrap();
        end(&bus);
    }
}
