//! Ends: of many buses, in odd places, and whatever is done after them.

use crate::common::*;
use stasis_bus::{Bus, Cache, Dispatch, Overflow, Refusal, ShutdownError, TryRecvError};
use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[test]
fn a_thousand_buses_at_once() {
    let _watched = watched();
    let census = Census::new();
    let houses: Vec<_> = (0..1_000)
        .map(|number| {
            let bus = Bus::builder().workers(1..=1).build().unwrap();
            let (kind, topic) = (bus.message_type::<(usize, Alive)>("n").unwrap(), bus.topic("t").unwrap());
            let mut stream = topic.subscription("s").accept(&kind).stream().unwrap();
            topic.publish(kind.message((number, census.born())));
            assert_eq!(stream.recv().and_then(|got| got.read(&kind).map(|value| value.0)), Some(number));
            (bus, stream)
        })
        .collect();
    // The first ten work with threads, next to each other.
    let came = Log::new();
    let listeners: Vec<_> = houses[..10]
        .iter()
        .map(|(bus, _)| {
            let came = came.clone();
            bus.topic("t").unwrap().subscribe("pool", move |_| came.push(())).unwrap()
        })
        .collect();
    came.await_len(10);
    drop(listeners);
    drop(houses);
    eventually(|| census.alive() == 0);
}

#[test]
fn a_bus_may_be_dropped_where_it_calls_out() {
    let _watched = watched();
    type Last = Arc<Mutex<Option<Bus>>>;
    let places: [fn(&Bus, Last, &Census); 4] = [
        |bus, last, census| {
            let (kind, alive) = (bus.message_type::<u8>("n").unwrap(), census.born());
            let by = Overflow::conflate(move |_| {
                let _alive = &alive;
                drop(last.lock().unwrap().take());
                None
            });
            let topic = bus.topic("t").unwrap();
            topic.subscription("key").accept(&kind).overflow(by).start(|_| {}).unwrap().detach();
        },
        |bus, last, census| {
            let (kind, alive) = (bus.message_type::<u8>("n").unwrap(), census.born());
            let builder = bus.topic("t").unwrap();
            let builder = builder.subscription("mark").accept(&kind).water_marks(1, 0);
            let mark = move |_: &stasis_bus::WaterMark| {
                let _alive = &alive;
                drop(last.lock().unwrap().take());
            };
            builder.on_water_mark(mark).start(|_| {}).unwrap().detach();
        },
        |bus, last, census| {
            let alive = census.born();
            let cache = Cache::builder(bus).id(move |_| {
                let _alive = &alive;
                drop(last.lock().unwrap().take());
                Some("id".into())
            });
            let cache = cache.build().unwrap();
            bus.topic("t").unwrap().caching(&cache).unwrap().detach();
        },
        |bus, last, census| {
            let kind = bus.message_type::<DropAction>("drops").unwrap();
            let alive = census.born();
            let drops = on_drop(move || {
                let _alive = &alive;
                drop(last.lock().unwrap().take());
            });
            bus.topic("t").unwrap().publish(kind.message(drops));
        },
    ];
    for (number, place) in places.into_iter().enumerate() {
        let census = Census::new();
        let bus = Bus::new().unwrap();
        let last: Last = Arc::default();
        place(&bus, last.clone(), &census);
        let (topic, kind) = (bus.topic("t").unwrap(), bus.message_type::<u8>("n").unwrap());
        match last.lock() {
            Ok(mut place) => *place = Some(bus),
            Err(_) => unreachable!(),
        }
        topic.publish(kind.message(1));
        drop(last);
        drop((topic, kind));
        eventually(|| census.alive() == 0);
        assert_eq!(census.alive(), 0, "place {number}");
    }
}

/// Everything that outlives its bus answers: an error, a report, or nothing; no panic and no wait.
#[test]
fn every_handle_answers_after_the_end() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, |_| "one").build().unwrap();
    let caching = topic.caching(&cache).unwrap();
    let (lease, watch) = (caching.lease(&kind, "one").unwrap(), cache.watch(&kind, "one").unwrap());
    let states = bus.state_manager("states").unwrap();
    let state = states.publisher("one").unwrap();
    let pool = bus.topic_pool("pool").unwrap();
    let router = topic.router("r").route(&kind, |_, _| {}).start().unwrap();
    let listener = topic.subscribe("s", |_| {}).unwrap();
    let mut stream = topic.subscription("read").accept(&kind).stream().unwrap();
    let mut publisher = topic.publisher();
    let forward = topic.forward_to(&bus.topic("other").unwrap()).unwrap();
    assert!(bus.shutdown(Duration::from_secs(30)).unwrap().is_clean());

    let closed = Some(Refusal::Closed);
    assert_eq!(topic.publish(kind.message(1)).refusal, closed);
    assert_eq!(topic.publish_with(&kind, || 1).refusal, closed);
    assert_eq!(topic.publish_batch(vec![kind.message(1)]).refusal, closed);
    assert_eq!(publisher.publish(kind.message(1)).refusal, closed);
    assert_eq!(futures_lite::future::block_on(topic.publish_async(kind.message(1))).refusal, closed);
    assert_eq!(lease.publish(1).refusal, closed);
    assert_eq!(state.publish(kind.message(1)).refusal, closed);
    assert!(topic.subscribe("late", |_| {}).is_err() && topic.router("late").start().is_err());
    assert!(topic.subscription("late").stream().is_err());
    let _ = (topic.forward_to(&topic).map(drop), topic.caching(&cache).map(drop));
    assert!(listener.join().is_ok() && router.join().is_ok() && !listener.unsubscribe());
    assert_eq!(stream.try_recv().map(|last| last.is_final()), Ok(true));
    assert_eq!(stream.try_recv().map(drop), Err(TryRecvError::Over));
    let _ = (cache.get(&kind, "one"), cache.clear(&kind, "one"), cache.len(), watch.get());
    let _ = (pool.member("one").map(drop), pool.members().len(), states.len(), states.last("one"));
    let _ = (bus.stats().to_string(), bus.diagnose().to_string(), bus.topic("new").map(drop));
    assert_eq!(bus.shutdown(Duration::ZERO).map(|_| ()), Ok(()), "it is over already");
    drop((forward, lease, watch, state, caching, cache, router, listener, publisher));
}

#[test]
fn a_shutdown_from_a_handler_says_so_and_works() {
    let _watched = watched();
    for mode in HANDLER_MODES {
        let (bus, kind) = numbers();
        let topic = bus.topic("t").unwrap();
        let (said, bus2) = (Log::new(), bus.clone());
        let noted = said.clone();
        let listener = listen(topic.subscription("s").accept(&kind), mode, move |heard| {
            if heard.end.is_none() {
                noted.push(bus2.shutdown(Duration::from_secs(30)).map(|_| ()));
            }
        });
        topic.publish(kind.message(1));
        listener.join().unwrap();
        assert_eq!(said.all(), [Err(ShutdownError::InHandler)], "{mode}");
        assert!(bus.shutdown(Duration::from_secs(30)).unwrap().is_clean(), "{mode}");
    }
}

/// A thread's last variables may hold anything of a bus, the last handle of it included.
#[test]
fn a_thread_local_may_hold_the_last_of_a_bus() {
    let _watched = watched();
    thread_local! {
        static LAST: RefCell<Option<Box<dyn std::any::Any>>> = const { RefCell::new(None) };
    }
    let census = Census::new();
    for case in 0..4 {
        let (bus, alive) = (Bus::new().unwrap(), census.born());
        let thread = thread::spawn(move || {
            let kind = bus.message_type::<u64>("n").unwrap();
            let topic = bus.topic("t").unwrap();
            let listener = topic.subscribe("s", move |_| _ = &alive).unwrap();
            let stream = topic.subscription("read").stream().unwrap();
            let mut publisher = topic.publisher();
            publisher.publish(kind.message(1));
            let kept: Box<dyn std::any::Any> = match case {
                0 => Box::new((bus, listener)),
                1 => Box::new((listener, stream, bus)),
                2 => Box::new((publisher, topic, listener, kind.message(2), bus)),
                _ => Box::new(on_drop(move || {
                    let late = topic.subscribe("late", |_| {});
                    topic.publish(kind.message(3));
                    drop(late);
                    let _ = bus.shutdown(Duration::from_secs(10));
                    let _ = listener.unsubscribe();
                })),
            };
            LAST.set(Some(kept));
        });
        thread.join().unwrap();
        eventually(|| census.alive() == 0);
    }
}

/// Ten thousand subscriptions on one topic, and as many forwards into it, end in any order.
#[test]
fn ten_thousand_of_everything() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let came = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let many = if cfg!(debug_assertions) { 2_000 } else { 10_000 };
    let listeners: Vec<_> = (0..many)
        .map(|_| {
            let came = came.clone();
            let count = move |_: &stasis_bus::Delivery<'_>| {
                _ = came.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            };
            topic.subscription("s").accept(&kind).dispatch(Dispatch::Inline).inline(count).unwrap()
        })
        .collect();
    let forwards: Vec<_> = (0..many)
        .map(|number| bus.topic(&format!("from:{number}")).unwrap().forward_to(&topic).unwrap())
        .collect();
    let report = bus.topic("from:7").unwrap().publish(kind.message(1));
    assert_eq!((report.accepted as u64, came.load(std::sync::atomic::Ordering::Relaxed)), (many, many));
    drop(forwards);
    for (number, listener) in listeners.into_iter().enumerate() {
        if number % 2 == 0 { listener.unsubscribe_and_join().unwrap() } else { drop(listener) }
    }
    assert!(!topic.publish(kind.message(2)).reached());
    end(&bus);
}
