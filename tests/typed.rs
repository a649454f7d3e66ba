//! Handlers for one type, and what is called at the end: `start_typed`, `inline_typed`, `on_end`.

mod common;

use common::{Census, Gate, HANDLER_MODES, Log, ON_PURPOSE, end, eventually, numbers, on_drop, watched};
use stasis_bus::{
    Bus, Delivery, Dispatch, EndReason, Formatters, MessageType, OnPanic, Overflow, PanicPlace,
    SubscribeError, Subscription, SubscriptionBuilder,
};
use std::sync::{Arc, Mutex};
use std::thread;

/// Starts a typed subscription in `mode`.
fn typed<T: Send + Sync + 'static>(
    builder: SubscriptionBuilder<'_>,
    mode: Dispatch,
    kind: &MessageType<T>,
    handler: impl Fn(&T, &Delivery<'_>) + Send + Sync + 'static,
) -> Subscription {
    let builder = builder.dispatch(mode);
    let started = match mode {
        Dispatch::Inline => builder.inline_typed(kind, handler),
        _ => builder.start_typed(kind, handler),
    };
    started.unwrap()
}

/// What was called, with which number, on which thread.
type Calls = Log<(&'static str, Option<u64>, Option<EndReason>)>;

#[test]
fn g6_the_final_message_of_a_typed_handler_goes_to_on_end_alone() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (topic, other) = (bus.topic("t").unwrap(), bus.message_type::<u8>("other").unwrap());
    for mode in HANDLER_MODES {
        let calls = Calls::new();
        let (in_handler, in_end) = (calls.clone(), calls.clone());
        let changes = bus.subscription_changes().clone();
        let builder = topic.subscription("typed").on_end(move |last| {
            assert!(last.is_final() && changes.read(last.message()).is_some());
            in_end.push(("end", None, last.end()));
        });
        let typed = typed(builder, mode, &kind, move |number, delivery| {
            in_handler.push(("handler", Some(*number), delivery.end()));
        });
        topic.publish(kind.message(1));
        topic.publish(other.message(2));
        topic.publish(kind.message(3));
        assert!(typed.unsubscribe());
        typed.join().unwrap();
        let expected = [
            ("handler", Some(1), None),
            ("handler", Some(3), None),
            ("end", None, Some(EndReason::Unsubscribed)),
        ];
        assert_eq!(calls.all(), expected, "{mode}");
        assert_eq!(typed.stats().accepted, 2, "{mode}: the other type never reached it");
    }
    end(&bus);
}

#[test]
fn g6_without_on_end_a_typed_subscription_ends_all_the_same() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let census = Census::new();
        let alive = census.born();
        let typed = typed(topic.subscription("typed"), mode, &kind, move |_, _| {
            let _ = &alive;
        });
        typed.unsubscribe();
        typed.join().unwrap();
        assert_eq!(census.alive(), 0, "{mode}");
    }
    end(&bus);
}

/// Its type may be that of the final message.
#[test]
fn g6_a_handler_of_changes_is_told_of_others_and_not_of_its_own_end() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (topic, changes) = (bus.topic("t").unwrap(), bus.subscription_changes().clone());
    for mode in HANDLER_MODES {
        let calls: Log<String> = Log::new();
        let (in_handler, in_end) = (calls.clone(), calls.clone());
        let builder = topic.subscription("own").on_end(move |_| in_end.push("end".to_owned()));
        let own =
            typed(builder, mode, &changes, move |change, _| in_handler.push(change.subscription.clone()));
        let other = topic.subscription("other").accept(&changes).start(|_| {}).unwrap();
        bus.run_until_idle();
        own.unsubscribe_and_join().unwrap();
        assert_eq!(calls.all(), ["own", "other", "end"], "{mode}");
        drop(other);
    }
}

#[test]
fn g6_on_end_follows_the_final_call_of_an_untyped_handler() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let calls = Calls::new();
        let (in_handler, in_end) = (calls.clone(), calls.clone());
        let number = kind.clone();
        let handler = move |delivery: &Delivery<'_>| {
            in_handler.push(("handler", delivery.read(&number).copied(), delivery.end()));
        };
        let builder = topic.subscription("h").accept(&kind).dispatch(mode);
        let builder = builder.on_end(move |last| in_end.push(("end", None, last.end())));
        let untyped = match mode {
            Dispatch::Inline => builder.inline(handler).unwrap(),
            _ => builder.start(handler).unwrap(),
        };
        topic.publish(kind.message(1));
        untyped.unsubscribe();
        untyped.join().unwrap();
        let reason = Some(EndReason::Unsubscribed);
        let expected = [("handler", Some(1), None), ("handler", None, reason), ("end", None, reason)];
        assert_eq!(calls.all(), expected, "{mode}");
    }
    end(&bus);
}

#[test]
fn g6_a_shutdown_reaches_on_end_with_its_reason() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let reasons = Log::new();
    let running = HANDLER_MODES.map(|mode| {
        let noted = reasons.clone();
        let builder = topic.subscription(mode.name()).on_end(move |last| noted.push(last.end()));
        typed(builder, mode, &kind, |_, _| {})
    });
    end(&bus);
    assert_eq!(reasons.all(), vec![Some(EndReason::ShutDown); running.len()]);
}

#[test]
fn g6_handler_and_on_end_are_dropped_by_the_thread_that_made_the_final_call() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let log = Log::new();
        let note = |what: &'static str| {
            let log = log.clone();
            move || log.push((what, thread::current().id()))
        };
        let (called, end_dropped) = (note("end called"), on_drop(note("end dropped")));
        let handler_dropped = on_drop(note("handler dropped"));
        let builder = topic.subscription("h").on_end(move |_| {
            let _ = &end_dropped;
            called();
        });
        let subscription = typed(builder, mode, &kind, move |_, _| {
            let _ = &handler_dropped;
        });
        subscription.unsubscribe();
        subscription.join().unwrap();
        let events = log.all();
        let names: Vec<_> = events.iter().map(|(what, _)| *what).collect();
        assert_eq!(names, ["end called", "end dropped", "handler dropped"], "{mode}");
        assert!(events.iter().all(|(_, thread)| *thread == events[0].1), "{mode}");
    }
    end(&bus);
}

/// The rest of what was missed is told to `on_end`: nobody else is left to be told.
#[test]
fn g7_on_end_is_told_what_was_missed_since_the_last_call() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (topic, kind) = (bus.topic("t").unwrap(), bus.message_type::<u64>("number").unwrap());
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let missed = Log::new();
        let (in_handler, in_end) = (missed.clone(), missed.clone());
        let builder = topic.subscription("h").capacity(2).overflow(overflow);
        let builder = builder.on_end(move |last| in_end.push(last.missed()));
        let full = builder.start_typed(&kind, move |_, delivery| in_handler.push(delivery.missed())).unwrap();
        for number in 0..5 {
            topic.publish(kind.message(number));
        }
        bus.run_until_idle();
        full.unsubscribe_and_join().unwrap();
        assert_eq!(missed.len(), 3);
        assert_eq!(missed.all().iter().sum::<u64>(), 3, "each is told once");
    }
}

#[test]
fn g8_on_end_may_call_anything() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let (heard, number, inner) = (Log::new(), kind.clone(), topic.clone());
        let noted = heard.clone();
        let builder = topic.subscription("first").on_end(move |last| {
            let next = last.topic().subscription("second").inline_typed(&number, move |n, _| noted.push(*n));
            last.topic().publish(number.message(7));
            assert_eq!(inner.stats().subscriptions, 1);
            drop(next);
        });
        let first = typed(builder, mode, &kind, |_, _| {});
        first.unsubscribe();
        first.join().unwrap();
        assert_eq!(heard.all(), [7], "{mode}");
    }
    end(&bus);
}

type Reported = Arc<Mutex<Vec<(String, PanicPlace)>>>;

fn bus_that_reports() -> (Bus, Reported) {
    let reported = Reported::default();
    let noted = reported.clone();
    let hook = move |panic: &stasis_bus::PanicReport<'_>| {
        noted.lock().unwrap().push((panic.name.to_owned(), panic.place));
    };
    (Bus::builder().on_panic(hook).build().unwrap(), reported)
}

#[test]
fn g9_panics_of_the_final_call_and_of_on_end_are_each_caught_and_told() {
    let _watched = watched();
    let (bus, reported) = bus_that_reports();
    let (topic, kind) = (bus.topic("t").unwrap(), bus.message_type::<u64>("number").unwrap());
    for mode in HANDLER_MODES {
        let handler = |delivery: &Delivery<'_>| assert!(!delivery.is_final(), "{ON_PURPOSE}");
        let builder = topic.subscription("h").accept(&kind).dispatch(mode);
        let builder = builder.on_end(|_| panic!("{ON_PURPOSE}"));
        let subscription = match mode {
            Dispatch::Inline => builder.inline(handler).unwrap(),
            _ => builder.start(handler).unwrap(),
        };
        subscription.unsubscribe();
        subscription.join().unwrap();
        assert_eq!(subscription.stats().panics, 2, "{mode}");
        let told = std::mem::take(&mut *reported.lock().unwrap());
        assert_eq!(
            told,
            [("h".to_owned(), PanicPlace::Handler), ("h".to_owned(), PanicPlace::OnEnd)],
            "{mode}"
        );
    }
    end(&bus);
}

#[test]
fn g9_a_typed_handler_that_panics_goes_on_or_ends_as_asked() {
    let _watched = watched();
    let (bus, _) = bus_that_reports();
    let (topic, kind) = (bus.topic("t").unwrap(), bus.message_type::<u64>("number").unwrap());
    for mode in HANDLER_MODES {
        for (on_panic, reason) in
            [(OnPanic::Continue, EndReason::Unsubscribed), (OnPanic::Disconnect, EndReason::Disconnected)]
        {
            let calls = Calls::new();
            let (in_handler, in_end) = (calls.clone(), calls.clone());
            let builder = topic.subscription("h").on_panic(on_panic);
            let builder = builder.on_end(move |last| in_end.push(("end", None, last.end())));
            let subscription = typed(builder, mode, &kind, move |number, _| {
                in_handler.push(("handler", Some(*number), None));
                assert!(*number != 1, "{ON_PURPOSE}");
            });
            topic.publish(kind.message(1));
            calls.await_len(1);
            eventually(|| subscription.stats().panics == 1);
            if on_panic == OnPanic::Continue {
                topic.publish(kind.message(2));
                subscription.unsubscribe();
            }
            subscription.join().unwrap();
            let called = calls.all();
            assert_eq!(called.last(), Some(&("end", None, Some(reason))), "{mode}");
            assert_eq!(called.len(), if on_panic == OnPanic::Continue { 3 } else { 2 }, "{mode}");
        }
    }
    end(&bus);
}

/// The final waits for the publish under way, for typed inline handlers as for others.
#[test]
fn g6_an_inline_on_end_comes_after_the_publish_under_way() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (gate, inside, log) = (Gate::new(), Gate::new(), Log::new());
    let (in_handler, in_end) = (log.clone(), log.clone());
    let (gate2, inside2) = (gate.clone(), inside.clone());
    let builder = topic.subscription("h").on_end(move |_| in_end.push("end"));
    let subscription = builder
        .inline_typed(&kind, move |_, _| {
            inside2.open();
            gate2.pass();
            in_handler.push("handler");
        })
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(|| topic.publish(kind.message(1)));
        inside.pass();
        subscription.unsubscribe();
        assert_eq!(log.len(), 0, "unsubscribe does not wait, and the end does");
        gate.open();
    });
    assert_eq!(log.all(), ["handler", "end"]);
}

#[test]
fn what_typed_subscriptions_refuse() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (_, foreign) = numbers();
    let (topic, other) = (bus.topic("t").unwrap(), bus.message_type::<u8>("other").unwrap());
    let made = || topic.subscription("h");
    let unsuitable = |error: SubscribeError, option: &str, call: &str| {
        let text = error.to_string();
        assert!(matches!(error, SubscribeError::Unsuitable { .. }), "{text}");
        assert!(text.contains(option) && text.contains(&format!("{call}()")), "{text}");
    };
    unsuitable(made().accept(&other).start_typed(&kind, |_, _| {}).unwrap_err(), "filter", "start_typed");
    let both = made().accept(&kind).accept(&other);
    unsuitable(both.inline_typed(&kind, |_, _| {}).unwrap_err(), "filter", "inline_typed");
    let formatted = made().accept_formatters(Formatters::JSON);
    unsuitable(formatted.start_typed(&kind, |_, _| {}).unwrap_err(), "filter", "start_typed");
    unsuitable(made().on_end(|_| {}).stream().unwrap_err(), "on_end", "stream");
    assert_eq!(
        made().start_typed(&foreign, |_, _| {}).unwrap_err(),
        SubscribeError::ForeignType("number".into())
    );
    let wrong = |set, call| SubscribeError::Dispatch { set, call };
    let stream = made().dispatch(Dispatch::Stream);
    assert_eq!(stream.start_typed(&kind, |_, _| {}).unwrap_err(), wrong("stream", "start_typed"));
    let pool = made().dispatch(Dispatch::Pool);
    assert_eq!(pool.inline_typed(&kind, |_, _| {}).unwrap_err(), wrong("pool", "inline_typed"));
    assert!(made().accept(&kind).start_typed(&kind, |_, _| {}).is_ok(), "said twice is said once");
}
