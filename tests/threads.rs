//! The threads of a bus: what they are called, and the hook that runs first on each.

#![cfg(target_os = "linux")]

mod common;

use common::{Gate, Log, ON_PURPOSE, end, eventually, threads_named, watched};
use stasis_bus::{Bus, BusBuilder, Dispatch, MessageType, PanicPlace, ThreadInfo, ThreadKind, WaitError};
use std::cell::Cell;
use std::thread;
use std::time::Duration;

thread_local! {
    static GREETED: Cell<u32> = const { Cell::new(0) };
}

fn noting(builder: BusBuilder) -> (Bus, MessageType<u64>, Log<ThreadInfo>) {
    let log = Log::new();
    let noted = log.clone();
    let bus = builder.on_thread_start(move |thread| {
        assert_eq!(thread::current().name(), Some(thread.name.as_str()));
        GREETED.set(GREETED.get() + 1);
        noted.push(thread.clone());
    });
    let bus = bus.build().unwrap();
    let kind = bus.message_type("number").unwrap();
    (bus, kind, log)
}

/// What the hook left in thread-locals is there when the first handler runs, on every thread, once.
#[test]
fn the_hook_runs_first_on_every_thread() {
    let _watched = watched();
    let (bus, kind, started) = noting(Bus::builder().workers(1..=3).thread_name("hooked"));
    let (topic, gate, greeted) = (bus.topic("numbers").unwrap(), Gate::new(), Log::new());
    for name in ["a", "b", "c", "own"] {
        let (gate, noted) = (gate.clone(), greeted.clone());
        let builder = topic.subscription(name).accept(&kind);
        let builder = if name == "own" { builder.dispatch(Dispatch::Dedicated) } else { builder };
        let handler = move |_: &stasis_bus::Delivery<'_>| {
            noted.push(GREETED.get());
            gate.pass();
        };
        builder.start(handler).unwrap().detach();
    }
    topic.publish(kind.message(1));
    // Three stuck pool handlers need three workers: one from the start, two that were standby.
    assert_eq!(greeted.await_len(4), [1; 4]);
    gate.open();
    end(&bus);
    let kinds: Vec<_> = started.all().into_iter().map(|thread| thread.kind).collect();
    assert!(
        kinds.contains(&ThreadKind::Worker(0)) && kinds.contains(&ThreadKind::Dedicated("own".to_owned()))
    );
    assert_eq!(kinds.iter().filter(|kind| **kind == ThreadKind::Standby).count(), 2, "{kinds:?}");
}

/// The thread that ends a bus whose last handle was dropped is one of the bus's as well.
#[test]
fn the_hook_hears_of_the_thread_that_ends_the_bus() {
    let _watched = watched();
    let (bus, kind, started) = noting(Bus::builder().workers(1..=1).thread_name("ends"));
    let topic = bus.topic("numbers").unwrap();
    topic.subscribe("a", |_| {}).unwrap().detach();
    topic.publish(kind.message(1));
    drop((bus, topic));
    eventually(|| started.all().iter().any(|thread| thread.kind == ThreadKind::Shutdown));
    eventually(|| threads_named("ends") == 0);
}

#[test]
fn g9_a_panic_in_the_hook_is_caught_counted_and_told() {
    let _watched = watched();
    let told = Log::new();
    let noted = told.clone();
    let bus = Bus::builder()
        .workers(1..=1)
        .thread_name("panics")
        .on_thread_start(|_| panic!("{ON_PURPOSE}"))
        .on_panic(move |report| noted.push((report.place, report.name.to_owned())))
        .build()
        .unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let handled = Log::new();
    let noted = handled.clone();
    let topic = bus.topic("numbers").unwrap();
    let all = topic.subscription("all").accept(&kind).start(move |_| noted.push(())).unwrap();
    topic.publish(kind.message(1));
    handled.await_len(1);
    assert_eq!(told.all(), [(PanicPlace::ThreadStart, "panics-0".to_owned())]);
    assert_eq!(bus.stats().panics, 1);
    all.unsubscribe_and_join().unwrap();
    end(&bus);
}

/// The hook counts as inside the bus: it may publish, and cannot wait for a shutdown that waits for its thread.
#[test]
fn g8_the_hook_may_call_anything() {
    let _watched = watched();
    let reached = Log::<bool>::new();
    let noted = reached.clone();
    let cell = std::sync::Arc::new(std::sync::OnceLock::<stasis_bus::WeakBus>::new());
    let weak = cell.clone();
    let builder = Bus::builder().workers(1..=2).on_thread_start(move |thread| {
        let Some(bus) = weak.get().and_then(stasis_bus::WeakBus::upgrade) else { return };
        let kind = bus.message_type::<u64>("number").unwrap();
        let topic = bus.topic("hooks").unwrap();
        topic.publish(kind.message(1));
        if let ThreadKind::Dedicated(_) = thread.kind {
            topic.subscription("more").start(|_| {}).unwrap().detach();
            noted.push(bus.shutdown(Duration::from_secs(10)).is_err());
        }
    });
    let bus = builder.build().unwrap();
    let _ = cell.set(bus.downgrade());
    bus.topic("numbers")
        .unwrap()
        .subscription("own")
        .dispatch(Dispatch::Dedicated)
        .start(|_| {})
        .unwrap()
        .detach();
    assert_eq!(reached.await_len(1), [true]);
    end(&bus);
}

/// A worker's hook that waits for what only this worker would run.
#[test]
fn g10_the_hook_of_a_worker_waits_for_nobody() {
    let _watched = watched();
    let answers = Log::new();
    let noted = answers.clone();
    let target =
        std::sync::Arc::new(std::sync::OnceLock::<(stasis_bus::Subscription, MessageType<u64>)>::new());
    let waits_for = target.clone();
    let builder = Bus::builder().workers(1..=1).on_thread_start(move |_| {
        if let Some((target, kind)) = waits_for.get() {
            noted.push((target.publish_sync(kind.message(1), None), target.join()));
        }
    });
    let bus = builder.build().unwrap();
    let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("numbers").unwrap());
    let subscription = topic.subscription("only").accept(&kind).start(|_| {}).unwrap();
    assert!(target.set((subscription, kind.clone())).is_ok());
    topic.publish(kind.message(0));
    assert_eq!(answers.await_len(1), [(Err(WaitError::TooManyWaiting), Err(WaitError::TooManyWaiting))]);
    end(&bus);
}

#[test]
fn threads_are_named_so_that_the_system_shows_them_apart() {
    let _watched = watched();
    let (bus, kind, started) = noting(Bus::builder().workers(1..=1).thread_name("a-name-beyond-bytes"));
    let topic = bus.topic("numbers").unwrap();
    let own = |name: &str| topic.subscription(name).dispatch(Dispatch::Dedicated);
    let after_it = own("called-éäöüß-so").start(|_| {}).unwrap();
    let given = own("x").thread_name("given").start(|_| {}).unwrap();
    topic.subscribe("pool", |_| {}).unwrap().detach();
    topic.publish(kind.message(1));
    eventually(|| threads_named("a-name-beyond-0") == 1);
    eventually(|| threads_named("called-éäöü") == 1 && threads_named("given") == 1);
    let names: Vec<_> = started.all().into_iter().map(|thread| thread.name).collect();
    assert!(names.contains(&"a-name-beyond-bytes-0".to_owned()), "in full: {names:?}");
    for dispatch in [Dispatch::Pool, Dispatch::Serial] {
        let refused = topic.subscription("x").dispatch(dispatch).thread_name("y").start(|_| {}).unwrap_err();
        assert!(refused.to_string().starts_with("thread_name is \"y\"; it is for dispatch dedicated"));
    }
    assert!(
        own("x").thread_name("a\nb").start(|_| {}).unwrap_err().to_string().contains("control character")
    );
    drop((after_it, given));
    end(&bus);
}
