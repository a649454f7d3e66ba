//! G3: what is true when `publish` returns, and what it never waits for.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::Dispatch;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks of it.
struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn g3_publish_returns_after_every_inline_handler() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let _edge = here.forward_to(&there).unwrap();
    let returned = Arc::new(AtomicU64::new(0));
    let subs = [&here, &there, &there].map(|topic| {
        let returned = returned.clone();
        topic.subscription("slow").accept(&kind).inline(move |_| {
            thread::yield_now();
            returned.fetch_add(1, Ordering::Relaxed);
        })
    });
    for publishes in 1..=1_000 {
        here.publish(kind.message(0));
        assert_eq!(returned.load(Ordering::Relaxed), 3 * publishes);
    }
    drop(subs);
}

#[test]
fn g3_publish_returns_after_an_idle_serial_handler() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let returned = Arc::new(AtomicU64::new(0));
    let counter = returned.clone();
    let _serial = topic.subscription("s").accept(&kind).dispatch(Dispatch::Serial).start(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    for publishes in 1..=1_000 {
        topic.publish(kind.message(0));
        assert_eq!(returned.load(Ordering::Relaxed), publishes);
    }
}

/// Two publishers at once: each finds its own message readable, whatever the other is doing.
#[test]
fn g3_the_message_is_in_every_mailbox_when_publish_returns() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let stop = AtomicBool::new(false);
    let mut streams = [0, 1].map(|_| topic.subscription("s").accept(&kind).stream().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..5_000 {
                topic.publish(kind.message(0));
                thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
        });
        let mut own = 1;
        while !stop.load(Ordering::Relaxed) {
            topic.publish(kind.message(own));
            for stream in &mut streams {
                // Nothing is between a claim and its write for longer than the other publisher sleeps there.
                let mut heard = || stream.try_recv().ok().and_then(|received| received.read(&kind).copied());
                eventually_some(|| heard().filter(|number| *number == own));
            }
            own += 1;
        }
    });
}

fn eventually_some<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        thread::yield_now();
    }
}

#[test]
fn g3_alone_the_message_can_be_read_at_once() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let _edge = here.forward_to(&there).unwrap();
    let mut streams = [&here, &there].map(|topic| topic.subscription("s").accept(&kind).stream().unwrap());
    for number in 0..2_000 {
        here.publish(kind.message(number));
        for stream in &mut streams {
            assert_eq!(stream.try_recv().unwrap().read(&kind), Some(&number));
        }
    }
}

#[test]
fn g3_publish_waits_for_no_handler() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let gate = Gate::new();
    let listeners = [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Serial].map(|mode| {
        let gate = gate.clone();
        listen(topic.subscription(mode.name()).accept(&kind).capacity(4), mode, move |_| gate.pass())
    });
    // The Serial one is stuck on a thread of its own.
    let publisher = thread::spawn({
        let (topic, kind) = (topic.clone(), kind.clone());
        move || topic.publish(kind.message(0))
    });
    eventually(|| listeners[2].stats().accepted > 0);
    for number in 0..1_000 {
        assert_eq!(topic.publish(kind.message(number)).accepted, 3);
    }
    assert!(!gate.is_open());
    gate.open();
    publisher.join().unwrap();
    for listener in &listeners {
        listener.unsubscribe();
        listener.join().unwrap();
        assert_eq!((listener.stats().accepted, listener.stats().missed), (1_001, 0));
    }
    end(&bus);
}

/// The inline handler waits for what the others do with the same message: they have it already, and know of it.
#[test]
fn g3_an_inline_handler_delays_no_mailbox() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let _edge = here.forward_to(&there).unwrap();
    let handled = Arc::new(AtomicU64::new(0));
    let seen = handled.clone();
    let _inline = here.subscription("waits").accept(&kind).inline(move |delivery| {
        if !delivery.is_final() {
            eventually(|| seen.load(Ordering::Relaxed) == 6);
        }
    });
    let mut listeners = Vec::new();
    for topic in [&here, &there] {
        for mode in [Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream] {
            let handled = handled.clone();
            listeners.push(listen(topic.subscription("m").accept(&kind), mode, move |heard| {
                handled.fetch_add(u64::from(heard.end.is_none()), Ordering::Relaxed);
            }));
        }
    }
    assert_eq!(here.publish(kind.message(0)).accepted, 7);
}

#[test]
fn g3_a_delivery_allocates_nothing() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let _edge = here.forward_to(&there).unwrap();
    let _inline = here.subscription("i").accept(&kind).inline(|_| {});
    let _serial = there.subscription("s").accept(&kind).dispatch(Dispatch::Serial).start(|_| {});
    let _streams: Vec<_> = (0..16)
        .map(|n| if n % 2 == 0 { &here } else { &there })
        .map(|topic| topic.subscription("m").accept(&kind).stream().unwrap())
        .collect();
    let message = kind.message(1);
    // The first message makes the rings, the first publish that is timed the histograms.
    for _ in 0..128 {
        here.publish(message.clone());
    }
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..500 {
        assert_eq!(here.publish(message.clone()).accepted, 18);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    drop(kind.message(2));
    let before = ALLOCATIONS.with(Cell::get);
    drop(kind.message(3));
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "a message dropped by its maker is used again");
}
