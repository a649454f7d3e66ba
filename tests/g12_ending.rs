//! G12, G6, G11: a snapshot is delivered, waited for, ended and thrown away like everything that is queued.

mod common;
mod mirror;
mod states;

use common::{
    Census, Gate, Heard, Listener, Log, ON_PURPOSE, QUEUED_MODES, end, eventually, listen, watched,
};
use mirror::{Mirror, standing};
use stasis_bus::{
    Bus, Cache, Dispatch, EndReason, Filter, FilterError, Handled, MessageType, Overflow, SubscribeError,
    TryRecvError,
};
use states::{State, cache, manual_states, state, states};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A cache with so many entries.
fn filled(bus: &Bus, kind: &MessageType<State>, entries: u64) -> Cache {
    let cache = cache(bus, kind);
    let topic = bus.topic("states").unwrap();
    topic.caching(&cache).unwrap().detach();
    (0..entries).for_each(|n| _ = topic.publish(kind.message(state(&n.to_string(), n))));
    cache
}

/// Ended in the first message of the snapshot: all of it still comes, then what was queued, then the final message.
#[test]
fn g6_a_snapshot_is_delivered_before_the_final_message() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (bus, kind) = states();
        let cache = filled(&bus, &kind, 500);
        let (first, go_on, mirror) = (Gate::new(), Gate::new(), Mirror::new(&bus));
        let (came, passed, its) = (first.clone(), go_on.clone(), mirror.clone());
        let listener = listen(cache.snapshot_subscription("late"), mode, move |heard| {
            came.open();
            passed.pass();
            its.hear(&heard);
        });
        first.pass();
        bus.topic("states").unwrap().publish(kind.message(state("one more", 1)));
        assert!(listener.unsubscribe());
        let stats = listener.stats();
        assert!(stats.depth >= 485, "what stands before the ring counts: {stats}");
        go_on.open();
        listener.join().unwrap();
        mirror.assert_equals(&standing(&cache, &[&kind], |_| true), mode.name());
        mirror.look(|known| assert_eq!((known.snapshot, known.later, known.finals), (500, 1, 1)));
        end(&bus);
    }
}

/// A shutdown drains it, however long it is; at its deadline it throws the rest away, counted and told.
#[test]
fn g11_a_shutdown_drains_a_snapshot_or_throws_it_away() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (bus, kind) = states();
        let cache = filled(&bus, &kind, 2_000);
        let mirror = Mirror::new(&bus);
        let its = mirror.clone();
        let _listener = listen(cache.snapshot_subscription("drained"), mode, move |heard| its.hear(&heard));
        end(&bus);
        mirror.look(|known| assert_eq!((known.ended, known.finals, known.missed), (Some(2_000), 1, 0)));

        let (bus, kind) = states();
        let cache = filled(&bus, &kind, 2_000);
        let (first, go_on, mirror) = (Gate::new(), Gate::new(), Mirror::new(&bus));
        let (came, passed, its) = (first.clone(), go_on.clone(), mirror.clone());
        let listener = listen(cache.snapshot_subscription("thrown away"), mode, move |heard| {
            came.open();
            passed.pass();
            its.hear(&heard);
        });
        first.pass();
        let shutdown = thread::spawn(move || bus.shutdown(Duration::ZERO).unwrap());
        eventually(|| !listener.is_subscribed());
        go_on.open();
        let report = shutdown.join().unwrap();
        assert!(report.stragglers.iter().any(|late| late.queued >= 1_900), "{report}");
        mirror.await_final();
        mirror.look(|known| {
            assert_eq!(known.ended, None);
            assert_eq!(known.missed, listener.stats().lost.discarded);
            // The change of its own, the entries, the end.
            assert_eq!(known.missed + known.seqs.len() as u64, 2_000 + 2 + 1);
        });
    }
}

#[test]
fn g12_a_stream_that_is_dropped_throws_its_snapshot_away() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let cache = filled(&bus, &kind, 100);
    let mut stream = cache.snapshot_subscription("reader").stream().unwrap();
    (0..10).for_each(|_| _ = stream.try_recv().unwrap());
    let handle = stream.handle();
    assert_eq!(handle.stats().depth, 102 - 16, "a group was taken out");
    drop(stream);
    let stats = handle.stats();
    assert_eq!((stats.depth, stats.lost.discarded, stats.handled), (0, 92, 10), "{stats}");
    assert!(handle.is_done());

    // One that is read to its end.
    let mut stream = cache.snapshot_subscription("reader").stream().unwrap();
    stream.unsubscribe();
    let mut received = Vec::new();
    while let Ok(item) = stream.try_recv() {
        received.push(item);
    }
    assert_eq!(received.len(), 102 + 1);
    assert_eq!(received.last().and_then(stasis_bus::Received::end), Some(EndReason::Unsubscribed));
    assert!(received.iter().map(stasis_bus::Received::seq).eq(0..103));
    assert_eq!(stream.try_recv().unwrap_err(), TryRecvError::Over);
}

/// Nothing of a snapshot stays behind, whoever ends it, wherever it is.
#[test]
fn g11_a_snapshot_leaves_nothing_behind() {
    let _watched = watched();
    let census = Census::new();
    {
        let bus = Bus::new().unwrap();
        let kind = bus.message_type::<(String, common::Alive)>("alive").unwrap();
        let cache = Cache::builder(&bus).id_of(&kind, |(id, _)| id).build().unwrap();
        let topic = bus.topic("alive").unwrap();
        topic.caching(&cache).unwrap().detach();
        (0..200).for_each(|n: u32| _ = topic.publish(kind.message((n.to_string(), census.born()))));
        let gate = Gate::new();
        let mut kept = Vec::new();
        for mode in QUEUED_MODES.into_iter().filter(|mode| *mode != Dispatch::Serial) {
            let passed = gate.clone();
            let listener = listen(cache.snapshot_subscription("stuck"), mode, move |_| passed.pass());
            kept.push(listener);
        }
        assert_eq!(census.alive(), 200);
        let opener = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            gate.open();
        });
        let _ = bus.shutdown(Duration::from_millis(5));
        opener.join().unwrap();
    }
    eventually(|| census.alive() == 0);
}

/// Whoever waits for a message that was published behind a snapshot waits for the snapshot.
#[test]
fn g10_publish_sync_waits_for_the_snapshot() {
    let _watched = watched();
    for mode in [Dispatch::Pool, Dispatch::Dedicated] {
        let (bus, kind) = states();
        let cache = filled(&bus, &kind, 300);
        let mirror = Mirror::new(&bus);
        let its = mirror.clone();
        let listener = listen(cache.snapshot_subscription("late"), mode, move |heard| its.hear(&heard));
        let handled = listener.publish_sync(kind.message(state("not kept", 0)), None).unwrap();
        assert_eq!(handled, Handled::Yes);
        mirror.look(|known| assert_eq!((known.ended, known.seqs.len()), (Some(300), 303)));
        end(&bus);
    }
}

/// A worker takes a long snapshot in turns: others get theirs in between.
#[test]
fn g9_a_long_snapshot_does_not_keep_its_worker() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let kind = bus.message_type::<State>("state").unwrap();
    let cache = filled(&bus, &kind, 5_000);
    let (log, other) = (Log::new(), bus.topic("other").unwrap());
    let noted = log.clone();
    let _quick = listen(other.subscription("quick").accept(&kind), Dispatch::Pool, move |heard| {
        if heard.end.is_none() {
            noted.push("other");
        }
    });
    let (noted, ends, made) = (log.clone(), bus.snapshot_ends().clone(), kind.clone());
    let _slow = listen(cache.snapshot_subscription("long"), Dispatch::Pool, move |heard: Heard| {
        if heard.seq == 0 {
            other.publish(made.message(state("x", 0)));
        } else if ends.read(&heard.message).is_some() {
            noted.push("end");
        }
    });
    assert_eq!(log.await_len(2), ["other", "end"]);
    end(&bus);
}

/// A panic in the snapshot is one of its handler's: the next message comes.
#[test]
fn g9_a_panic_in_the_snapshot() {
    let _watched = watched();
    for mode in [Dispatch::Inline, Dispatch::Pool, Dispatch::Dedicated] {
        let (bus, kind) = states();
        let cache = filled(&bus, &kind, 100);
        let mirror = Mirror::new(&bus);
        let its = mirror.clone();
        let listener = listen(cache.snapshot_subscription("late"), mode, move |heard| {
            its.hear(&heard);
            assert!(!heard.seq.is_multiple_of(7) || heard.end.is_some(), "{ON_PURPOSE}");
        });
        mirror.await_end();
        assert_eq!(listener.publish_sync(kind.message(state("x", 0)), None).unwrap(), Handled::Yes);
        assert_eq!(listener.stats().panics, 15, "{mode}");
        mirror.assert_equals(&standing(&cache, &[&kind], |_| true), mode.name());
        end(&bus);
    }
}

/// From inside a handler, also of the same topic; Serial runs it right there.
#[test]
fn g12_catching_up_in_a_handler() {
    let _watched = watched();
    let (bus, kind) = states();
    let cache = filled(&bus, &kind, 50);
    let (mirror, kept) = (Mirror::new(&bus), Log::new());
    let (its, its_cache, kept_too, begun) =
        (mirror.clone(), cache.clone(), kept.clone(), AtomicBool::new(false));
    let _first = cache.updates().subscription("first").accept(bus.cache_updates()).inline(move |_| {
        if !begun.swap(true, Ordering::Relaxed) {
            let (its, cache) = (its.clone(), its_cache.clone());
            let builder = cache.snapshot_subscription("second").dispatch(Dispatch::Serial);
            let second = builder.start(move |delivery| its.hear(&delivery.into())).unwrap();
            kept_too.push(std::sync::Arc::new(second));
        }
    });
    let topic = bus.topic("states").unwrap();
    topic.publish(kind.message(state("0", 1_000)));
    mirror
        .look(|known| assert_eq!((known.ended, known.later), (Some(50), 0), "it had the update as an entry"));
    topic.publish(kind.message(state("0", 1_001)));
    mirror.assert_equals(&standing(&cache, &[&kind], |_| true), "in a handler");
    kept.all().clear();
    end(&bus);
}

/// Another filter counts from its call on; the snapshot, its end among it, is what the first one asked for.
#[test]
fn g12_the_end_comes_whatever_the_filter() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let cache = filled(&bus, &kind, 20);
    let log = Log::new();
    let noted = log.clone();
    let (updates, ends) = (bus.cache_updates().clone(), bus.snapshot_ends().clone());
    let handler = move |delivery: &stasis_bus::Delivery<'_>| {
        let update = delivery.read(&updates).map(|update| update.id().to_owned());
        let end = delivery.read(&ends).map(|end| format!("end of {}", end.entries));
        noted.push(update.or(end).unwrap_or_else(|| delivery.message().type_name().to_owned()));
    };
    let filter = Filter::all().accept_update_of(&kind).id_prefix("1");
    let subscription = cache.snapshot_subscription("late").filter(filter).start(handler).unwrap();
    subscription.set_filter(&Filter::all().accept_update_of(&kind).id_prefix("2")).unwrap();
    let topic = bus.topic("states").unwrap();
    for id in ["1", "2"] {
        topic.publish(kind.message(state(id, 77)));
    }
    bus.run_until_idle();
    let mut heard = log.all();
    heard[..11].sort_unstable();
    assert_eq!(heard[..3], ["1", "10", "11"]);
    assert_eq!(heard[11..], ["end of 11", "2"]);
    let foreign = Bus::builder().manual().build().unwrap().message_type::<u8>("foreign").unwrap();
    let refused = subscription.set_filter(&Filter::all().accept_update_of(&foreign));
    assert_eq!(refused, Err(FilterError::ForeignType("foreign".to_owned())));
    assert_eq!(
        cache.snapshot_subscription("x").accept_update_of(&foreign).start(|_| {}).unwrap_err(),
        SubscribeError::ForeignType("foreign".to_owned())
    );
}

/// A shutdown comes while others subscribe: each either is refused or comes to its end, with its snapshot or without.
#[test]
fn g11_shutdown_against_catching_up() {
    let _watched = watched();
    for round in 0..20 {
        let (bus, kind) = states();
        let cache = filled(&bus, &kind, 200);
        let (started, ended) = (AtomicU64::new(0), Log::new());
        thread::scope(|scope| {
            for mode in [Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated] {
                let (cache, ended, started) = (&cache, &ended, &started);
                scope.spawn(move || {
                    loop {
                        let last = ended.clone();
                        let builder = cache.snapshot_subscription("late").dispatch(mode);
                        let builder = builder.on_end(move |end| last.push(end.end()));
                        match builder.start(|_| {}) {
                            Ok(subscription) => subscription.detach(),
                            Err(refused) => return assert_eq!(refused, SubscribeError::Closed),
                        }
                        started.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            eventually(|| started.load(Ordering::Relaxed) >= 6);
            let patient = round % 2 == 0;
            let deadline = if patient { Duration::from_secs(30) } else { Duration::ZERO };
            let report = bus.shutdown(deadline).unwrap();
            assert!(report.is_clean() || !patient, "{report}");
        });
        ended.await_len(started.load(Ordering::Relaxed) as usize);
    }
}

/// Many entries, all the time changed; several catch up one after the other. `BUS_ENTRIES` says how many.
#[test]
fn g12_while_hundreds_of_thousands_change() {
    let _watched = watched();
    let entries: u64 = match std::env::var("BUS_ENTRIES") {
        Ok(entries) => entries.parse().unwrap(),
        Err(_) if cfg!(debug_assertions) => 20_000,
        Err(_) => 200_000,
    };
    let (bus, kind) = states();
    let cache = filled(&bus, &kind, entries);
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut running: Vec<(Listener, Mirror)> = Vec::new();
    thread::scope(|scope| {
        for by in 0..4 {
            let (bus, kind, stop, written) = (&bus, &kind, &stop, &written);
            scope.spawn(move || {
                let topic = bus.topic("states").unwrap();
                for n in (by..).step_by(4).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let message = kind.message(state(&(n * 7919 % entries).to_string(), entries + n));
                    topic.publish(if n % 10 < 4 { bus.clear(&message) } else { message });
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for mode in [Dispatch::Pool, Dispatch::Stream, Dispatch::Serial] {
            let before = written.load(Ordering::Relaxed);
            eventually(|| written.load(Ordering::Relaxed) > before + 100);
            let (mirror, overflow) = (Mirror::new(&bus), Overflow::conflate_by_entry());
            let its = mirror.clone();
            let builder = cache.snapshot_subscription("late").overflow(overflow).capacity(1 << 20);
            running.push((listen(builder, mode, move |heard| its.hear(&heard)), mirror));
        }
        running.iter().for_each(|(_, mirror)| mirror.await_end());
        stop.store(true, Ordering::Relaxed);
    });
    for (listener, mirror) in &running {
        listener.unsubscribe();
        mirror.await_final();
        mirror.assert_equals(&standing(&cache, &[&kind], |_| true), listener.dispatch().name());
        let told = mirror.look(|known| (known.snapshot, known.later));
        println!("{}: {} entries, then {} updates", listener.dispatch(), told.0, told.1);
    }
    end(&bus);
}

/// A panic in the snapshot that ends the subscription: the rest still comes, then the final message says why.
#[test]
fn g9_a_panic_in_the_snapshot_may_end_it() {
    let _watched = watched();
    for mode in [Dispatch::Inline, Dispatch::Pool, Dispatch::Dedicated] {
        let (bus, kind) = states();
        let cache = filled(&bus, &kind, 100);
        let log = Log::new();
        let noted = log.clone();
        let builder = cache.snapshot_subscription("late").on_panic(stasis_bus::OnPanic::Disconnect);
        let listener = listen(builder, mode, move |heard| {
            noted.push((heard.seq, heard.end));
            assert!(heard.seq != 10, "{ON_PURPOSE}");
        });
        listener.join().unwrap();
        let heard = log.all();
        assert_eq!(heard.last(), Some(&(102, Some(EndReason::Disconnected))), "{mode}");
        assert_eq!(heard.len(), 103);
        end(&bus);
    }
}
