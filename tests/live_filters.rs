//! Filters that change while the bus runs: `Filter`, `set_filter`, `SubscriptionBuilder::filter`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::{EVERY_MODE, Gate, HANDLER_MODES, Log, end, eventually, listen, numbers, watched};
use stasis_bus::{
    Bus, Dispatch, Error, Filter, FilterError, Formatters, Handled, MessageType, SubscribeError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// A bus with two types of numbers.
fn two_types() -> (Bus, MessageType<u64>, MessageType<i64>) {
    let (bus, up) = numbers();
    let down = bus.message_type("down").unwrap();
    (bus, up, down)
}

fn nothing() -> Filter {
    Filter::all().accept_formatters(Formatters::NONE)
}

// ---- the filter as data ---------------------------------------------------------------------------------------------

#[test]
fn filters_are_data() {
    let (bus, up, down) = two_types();
    let other = Bus::new().unwrap().message_type::<u64>("elsewhere").unwrap();
    assert_eq!(Filter::default(), Filter::all());
    assert_eq!(
        Filter::all().accept(&up).accept(&down),
        Filter::all().accept(&down).accept(&up).accept(&down)
    );
    assert_ne!(Filter::all().accept(&up), Filter::all().accept(&down));
    assert_ne!(Filter::all().accept(&up), Filter::all().accept(&other));
    assert_ne!(nothing(), Filter::all());
    assert_eq!(format!("{:?}", Filter::all()), "Filter(everything)");
    let both = Filter::all().accept(&down).accept(&up).accept_formatters(Formatters::AMI);
    let copy = both.clone().accept_formatters(Formatters::NONE);
    assert_eq!(format!("{copy:?}"), r#"Filter { types: ["number", "down"], formatters: {AMI} }"#);
    assert_eq!(both, copy);
    end(&bus);
}

#[test]
fn a_builder_takes_a_whole_filter() {
    let _watched = watched();
    let (bus, up, down) = two_types();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let replaced = topic.subscription("s").accept(&up).filter(Filter::all().accept(&down));
        let listener = listen(replaced, mode, |_| {});
        assert_eq!(
            listener.filter(),
            Some(Filter::all().accept(&down)),
            "{mode}: instead of what was said before"
        );
        assert_eq!(topic.publish(up.message(1)).accepted, 0, "{mode}");
        assert_eq!(topic.publish(down.message(1)).accepted, 1, "{mode}");
    }
    let added = topic.subscription("s").filter(Filter::all().accept(&down)).accept(&up).stream().unwrap();
    assert_eq!(added.handle().filter(), Some(Filter::all().accept(&up).accept(&down)));
    drop(added);
    end(&bus);
}

#[test]
fn what_cannot_be_filtered_is_refused_and_changes_nothing() {
    let _watched = watched();
    let (bus, up, down) = two_types();
    let foreign = Bus::new().unwrap().message_type::<u8>("elsewhere").unwrap();
    let topic = bus.topic("t").unwrap();
    let wrong = Filter::all().accept(&up).accept(&foreign);
    assert_eq!(
        topic.subscription("s").filter(wrong.clone()).start(|_| {}).unwrap_err(),
        SubscribeError::ForeignType("elsewhere".to_owned())
    );
    for mode in EVERY_MODE {
        let filter = Filter::all().accept(&up);
        let listener = listen(topic.subscription("s").filter(filter.clone()), mode, |_| {});
        let error = listener.set_filter(&wrong).unwrap_err();
        assert_eq!(error, FilterError::ForeignType("elsewhere".to_owned()), "{mode}");
        assert_eq!(listener.filter(), Some(filter), "{mode}");
        listener.unsubscribe();
        assert_eq!(listener.set_filter(&Filter::all()), Err(FilterError::Ended), "{mode}");
        assert_eq!(listener.filter(), None, "{mode}");
    }
    let typed = [
        topic.subscription("typed").start_typed(&up, |_, _| {}).unwrap(),
        topic.subscription("typed").inline_typed(&up, |_, _| {}).unwrap(),
    ];
    for typed in &typed {
        assert_eq!(typed.set_filter(&Filter::all().accept(&down)), Err(FilterError::Typed));
        assert_eq!(typed.filter(), Some(Filter::all().accept(&up)));
    }
    for error in [FilterError::Typed, FilterError::Ended, FilterError::ForeignType("elsewhere".to_owned())] {
        assert_eq!(Error::from(error.clone()).to_string(), error.to_string());
        assert!(error.to_string().starts_with("filter: "));
    }
    drop(typed);
    end(&bus);
}

// ---- changes ----------------------------------------------------------------------------------------------------------

#[test]
fn g1_after_a_change_has_returned_the_new_filter_stands() {
    let _watched = watched();
    let (bus, up, down) = two_types();
    let (topic, source) = (bus.topic("t").unwrap(), bus.topic("source").unwrap());
    let _forward = source.forward_to(&topic).unwrap();
    for mode in EVERY_MODE {
        let (log, up_too, down_too) = (Log::new(), up.clone(), down.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription("s").accept(&up), mode, move |heard| {
            let number = up_too.read(&heard.message).map(|up| *up as i64);
            if let Some(number) = number.or(down_too.read(&heard.message).copied()) {
                noted.push(number);
            }
        });
        let publish = |number: i64| {
            let first = source.publish(up.message(number as u64));
            let second = topic.publish(down.message(-number));
            (first.accepted, first.filtered, second.accepted, second.filtered)
        };
        let filters = [
            (Filter::all().accept(&down), (0, 1, 1, 0)),
            (Filter::all(), (1, 0, 1, 0)),
            (nothing(), (0, 1, 0, 1)),
            (Filter::all().accept(&up).accept(&down), (1, 0, 1, 0)),
            (Filter::all().accept(&up), (1, 0, 0, 1)),
        ];
        assert_eq!(publish(1), (1, 0, 0, 1), "{mode}");
        for (number, (filter, expected)) in (2..).zip(filters) {
            listener.set_filter(&filter).unwrap();
            assert_eq!(listener.filter(), Some(filter.clone()));
            assert_eq!(publish(number), expected, "{mode}: {filter:?}");
            assert_eq!(topic.wants(&up), expected.0 == 1, "{mode}");
            assert_eq!(source.wants(&down), expected.2 == 1, "{mode}");
        }
        assert_eq!(log.await_len(7), [1, -2, 3, -3, 5, -5, 6], "{mode}");
    }
    end(&bus);
}

/// What was accepted is delivered, whatever the filter says by then.
#[test]
fn g1_queued_messages_stay_when_the_filter_changes() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (log, number) = (Log::new(), kind.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription("s").accept(&kind), mode, move |heard| {
            noted.push(heard.number(&number))
        });
        topic.publish(kind.message(1));
        listener.set_filter(&nothing()).unwrap();
        topic.publish(kind.message(2));
        bus.run_until_idle();
        assert_eq!(log.all(), [Some(1)], "{mode}");
    }
    let mut stream = topic.subscription("stream").accept(&kind).stream().unwrap();
    topic.publish(kind.message(1));
    stream.set_filter(&nothing()).unwrap();
    topic.publish(kind.message(2));
    assert_eq!(stream.recv().and_then(|received| received.read(&kind).copied()), Some(1));
    assert!(stream.try_recv().is_err());
}

#[test]
fn g1_a_handler_may_change_its_own_filter_and_that_of_others() {
    let _watched = watched();
    let (bus, up, _) = two_types();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        let own = common::Own::default();
        let (log, number, inner) = (Log::new(), up.clone(), own.clone());
        let noted = log.clone();
        let listener = listen(topic.subscription("s").accept(&up), mode, move |heard| {
            if let Some(number) = heard.number(&number) {
                noted.push(number);
                inner.wait().set_filter(&nothing()).unwrap();
            }
        });
        assert!(own.set(listener).is_ok());
        topic.publish(up.message(1));
        eventually(|| own.wait().filter() == Some(nothing()));
        assert_eq!(topic.publish(up.message(2)).filtered, 1, "{mode}");
        own.wait().unsubscribe();
        own.wait().join().unwrap();
        assert_eq!(log.all(), [1], "{mode}");
    }
    end(&bus);
}

/// A walk inside the gate goes on with the list it has; the next one has the new filter.
#[test]
fn g1_a_publish_under_way_may_use_the_old_filter_and_the_next_one_does_not() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let (gate, inside, log) = (Gate::new(), Gate::new(), Log::new());
    let (gate2, inside2, noted, number) = (gate.clone(), inside.clone(), log.clone(), kind.clone());
    let _slow = topic.subscription("slow").accept(&kind).inline(move |delivery| {
        if !delivery.is_final() {
            inside2.open();
            gate2.pass();
        }
    });
    let second = topic.subscription("second").accept(&kind);
    let second = second.inline(move |delivery| noted.push(delivery.read(&number).copied())).unwrap();
    thread::scope(|scope| {
        let under_way = scope.spawn(|| topic.publish(kind.message(1)));
        inside.pass();
        second.set_filter(&nothing()).unwrap();
        gate.open();
        assert_eq!(under_way.join().unwrap().accepted, 2);
    });
    assert_eq!(topic.publish(kind.message(2)).accepted, 1);
    assert_eq!(log.all(), [Some(1)]);
}

#[test]
fn g6_the_final_message_comes_whatever_the_new_filter() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let log = Log::new();
        let noted = log.clone();
        let listener =
            listen(topic.subscription("s").accept(&kind), mode, move |heard| noted.push(heard.end));
        listener.set_filter(&nothing()).unwrap();
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(log.await_len(1).len(), 1, "{mode}");
    }
    end(&bus);
}

#[test]
fn g10_publish_sync_goes_by_the_filter_that_stands() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let listener = listen(topic.subscription("s").accept(&kind), mode, |_| {});
        let sync = || listener.publish_sync(kind.message(1), None);
        assert_eq!(sync(), Ok(Handled::Yes), "{mode}");
        listener.set_filter(&nothing()).unwrap();
        assert_eq!(sync(), Ok(Handled::Filtered), "{mode}");
        listener.set_filter(&Filter::all()).unwrap();
        assert_eq!(sync(), Ok(Handled::Yes), "{mode}");
        listener.unsubscribe();
        assert_eq!(sync(), Ok(Handled::Gone), "{mode}");
    }
    end(&bus);
}

#[test]
fn figures_go_on_over_changes() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = calls.clone();
        let listener = listen(topic.subscription("s"), mode, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let mut accepted = 1; // its own Subscribe
        for filter in [Filter::all(), nothing(), Filter::all().accept(&kind), Filter::all(), nothing()] {
            let takes = filter != nothing();
            listener.set_filter(&filter).unwrap();
            for number in 0..10 {
                topic.publish(kind.message(number));
                accepted += u64::from(takes);
            }
            assert_eq!(listener.stats().accepted, accepted, "{mode}: {filter:?}");
        }
        listener.unsubscribe();
        topic.publish(kind.message(0));
        assert_eq!(listener.stats().accepted, accepted, "{mode}");
        if mode != Dispatch::Stream {
            listener.join().unwrap();
            assert_eq!(calls.load(Ordering::Relaxed), accepted + 1, "{mode}: all of these, and the final");
        }
    }
    end(&bus);
}

// ---- beside publishers ------------------------------------------------------------------------------------------------

/// Publishers and somebody who flips filters: every publish goes by one filter or the other, as its report says; after a
/// change has returned, by the new one alone.
#[test]
fn g1_stress_with_flips() {
    let _watched = watched();
    let (bus, up, down) = two_types();
    let topic = bus.topic("t").unwrap();
    for mode in EVERY_MODE {
        let heard = Arc::new(AtomicU64::new(0));
        let (counted, up_too, down_too) = (heard.clone(), up.clone(), down.clone());
        let listener = listen(topic.subscription("s").accept(&up), mode, move |heard| {
            let is_number = heard.number(&up_too).is_some() || down_too.read(&heard.message).is_some();
            counted.fetch_add(u64::from(is_number), Ordering::Relaxed);
        });
        let (stop, accepted) = (AtomicBool::new(false), AtomicU64::new(0));
        let publish = |on: &stasis_bus::Topic, number: u64| {
            let report = if number.is_multiple_of(2) {
                on.publish(up.message(number))
            } else {
                on.publish(down.message(1))
            };
            assert_eq!(report.accepted + report.filtered, 1, "{mode}");
            accepted.fetch_add(report.accepted.into(), Ordering::Relaxed);
            report.accepted == 1
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for number in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                        publish(&topic, number);
                        if number.is_multiple_of(64) {
                            thread::yield_now();
                        }
                    }
                });
            }
            for round in 0..5_000_u64 {
                let even = round.is_multiple_of(2);
                let filter = if even { Filter::all().accept(&up) } else { Filter::all().accept(&down) };
                listener.set_filter(&filter).unwrap();
                assert!(publish(&topic, round), "{mode}: what it takes now");
                assert!(!publish(&topic, round + 1), "{mode}: what it took before");
            }
            stop.store(true, Ordering::Relaxed);
        });
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!(heard.load(Ordering::Relaxed), accepted.load(Ordering::Relaxed), "{mode}");
        assert_eq!(listener.stats().accepted, accepted.load(Ordering::Relaxed), "{mode}");
    }
    end(&bus);
}
