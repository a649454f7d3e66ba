//! Figures: exact when the bus is quiet, and readable.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{Bus, Dispatch, Filter, Key, Overflow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn topics_count_what_was_published_and_what_came_by_a_forward() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let [a, b, c] = ["a", "b", "c"].map(|name| bus.topic(name).unwrap());
    let _edges = [a.forward_to(&b).unwrap(), b.forward_to(&c).unwrap(), a.forward_to(&c).unwrap()];
    (0..10).for_each(|number| {
        a.publish(kind.message(number));
    });
    (0..3).for_each(|number| {
        b.publish(kind.message(number));
    });
    c.publish_with(&kind, || unreachable!("nobody wants it"));
    let figures = |topic: &stasis_bus::Topic| {
        let stats = topic.stats();
        (stats.published, stats.reached, stats.unrouted, stats.subscriptions, stats.forwards)
    };
    assert_eq!(figures(&a), (10, 10, 10, 0, 2));
    assert_eq!(figures(&b), (3, 13, 3, 0, 1));
    assert_eq!(figures(&c), (1, 14, 1, 0, 0));
    let _sub = c.subscription("s").accept(&kind).inline(|_| {}).unwrap();
    a.publish(kind.message(0));
    assert_eq!(figures(&a), (11, 11, 10, 0, 2));
    // Its begin reached `c`, but nobody published it.
    assert_eq!(figures(&c), (1, 16, 1, 1, 0));
    assert_eq!(c.stats().arrived, 14);
}

#[test]
fn subscriptions_count_exactly_under_concurrent_publishers() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let other = bus.message_type::<u8>("other").unwrap();
    let (here, there) = (bus.topic("here").unwrap(), bus.topic("there").unwrap());
    let _edge = here.forward_to(&there).unwrap();
    let count = |calls: &Arc<AtomicU64>| {
        let calls = calls.clone();
        move |_: Heard| {
            calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    let mut subs = Vec::new();
    for mode in EVERY_MODE {
        for filtered in [false, true] {
            let calls = Arc::new(AtomicU64::new(0));
            let builder = there.subscription(mode.name());
            let builder = if filtered { builder.accept(&kind) } else { builder };
            subs.push((listen(builder, mode, count(&calls)), calls, filtered));
        }
    }
    thread::scope(|scope| {
        for topic in [&here, &there, &here] {
            scope.spawn(|| {
                for number in 0..2_000 {
                    topic.publish(kind.message(number));
                    topic.publish(other.message(1));
                }
            });
        }
    });
    for (sub, calls, filtered) in &subs {
        let stats = || sub.stats();
        eventually(|| stats().accepted == calls.load(Ordering::Relaxed) && stats().depth == 0);
        let mode = sub.dispatch();
        if *filtered {
            assert_eq!(stats().accepted, 6_000, "{mode}");
        } else {
            assert!(stats().accepted > 12_000, "{mode}: and the begins of later ones");
        }
        assert_eq!((stats().missed, stats().panics, stats().over_capacity), (0, 0, 0));
    }
    end(&bus);
}

#[test]
fn an_ended_subscription_does_not_go_on_counting() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for mode in HANDLER_MODES {
        for filtered in [false, true] {
            let builder = topic.subscription(mode.name());
            let builder = if filtered { builder.accept(&kind) } else { builder };
            let sub = listen(builder, mode, |_| {});
            (0..5).for_each(|number| {
                topic.publish(kind.message(number));
            });
            sub.unsubscribe();
            sub.join().unwrap();
            let ended = sub.stats();
            assert_eq!(
                ended.accepted,
                if filtered { 5 } else { 6 },
                "{mode}: with its own begin if it takes it"
            );
            (0..5).for_each(|number| {
                topic.publish(kind.message(number));
            });
            assert_eq!(sub.stats(), ended, "{mode}");
        }
    }
    end(&bus);
}

#[test]
fn depth_high_water_and_capacity() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    for waiting in [1, 3, 10, 15, 16, 17, 100, 1_000] {
        for capacity in [4, 1024] {
            let builder = topic.subscription("s").accept(&kind).capacity(capacity);
            let (sub, _) = note_numbers(builder, Dispatch::Pool, &kind);
            (0..waiting).for_each(|number| {
                topic.publish(kind.message(number));
            });
            let stats = sub.stats();
            assert_eq!((stats.depth, stats.high_water, stats.capacity), (waiting, waiting, capacity as u64));
            bus.run_until_idle();
            topic.publish(kind.message(0));
            let stats = sub.stats();
            assert_eq!((stats.depth, stats.accepted), (1, waiting + 1));
            assert_eq!(stats.high_water, waiting, "capacity {capacity}: what was seen is remembered");
        }
    }
}

#[test]
fn the_whole_bus_in_two_tables() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let all = bus.topic("all").unwrap();
    let topics: Vec<_> = (0..50).map(|n| bus.topic(&format!("call:{n:02}")).unwrap()).collect();
    let _edges: Vec<_> = topics.iter().map(|topic| topic.forward_to(&all).unwrap()).collect();
    let builder = all.subscription("cdr").accept(&kind).capacity(8).overflow(Overflow::DropNewest);
    let (cdr, _) = note_numbers(builder, Dispatch::Pool, &kind);
    let _bad = all.subscription("bad").accept(&kind).inline(|_| panic!("{ON_PURPOSE}")).unwrap();
    topics.iter().take(10).for_each(|topic| {
        topic.publish(kind.message(1));
    });
    let stats = bus.stats();
    assert_eq!((stats.topics.len(), stats.subscriptions.len()), (51, 2));
    assert_eq!((stats.workers, stats.ready, stats.panics), (0, 1, 10));
    assert!(stats.topics.windows(2).all(|pair| pair[0].name < pair[1].name));
    let own = stats.subscriptions.iter().find(|row| row.id == cdr.id()).unwrap();
    assert_eq!((own.name.as_str(), own.topic.as_str(), own.dispatch), ("cdr", "all", "pool"));
    assert_eq!((own.accepted, own.missed, own.depth, own.panics), (8, 2, 8, 0));
    let text = stats.to_string();
    for part in
        ["topic ", "published", "subscription ", "missed", "... and 11 topics more", "2 subscriptions"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let cells_of = |start: &str| {
        let row =
            text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in\n{text}"));
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // Two begins reached it, and ten messages that came by forwards: `cdr` took eight of them, `bad` all; three begins were filtered.
    assert_eq!(cells_of("all ")[..9], ["all", "0", "10", "18", "3", "2", "0", "2", "0"]);
    assert_eq!(cells_of("cdr#")[1..8], ["pool", "waiting", "8", "2", "8", "8", "8"]);
    assert_eq!(cells_of("number ")[..3], ["number", "10", "8"]);
}

/// Reading the figures of a busy bus stops nothing and finds them in a sane relation.
#[test]
fn figures_can_be_read_at_any_time() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let listeners =
        EVERY_MODE.map(|mode| listen(topic.subscription("s").accept(&kind).capacity(8), mode, |_| {}));
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            (0..20_000).for_each(|number| {
                topic.publish(kind.message(number));
            })
        });
        let mut before = vec![0; 5];
        while !publisher.is_finished() {
            let stats = bus.stats();
            let accepted: Vec<_> = stats.subscriptions.iter().map(|row| row.accepted).collect();
            assert!(accepted.iter().zip(&before).all(|(now, before)| now >= before));
            assert!(accepted.iter().all(|accepted| *accepted <= 20_000));
            before = accepted;
        }
    });
    drop(listeners);
    end(&bus);
}

/// Everything that prints, from one scripted run on a clock that only the test moves.
#[test]
fn tables_read_as_they_should() {
    let _watched = watched();
    let bus = Bus::builder().manual().workers(1..=4).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let all = bus.topic_with("all", "every call").unwrap();
    let long = "channel:PJSIP/a-very-long-name-that-nobody-wants-to-read-00000001";
    let channel = bus.topic(long).unwrap();
    let _up = channel.forward_to(&all).unwrap();
    let builder = all.subscription("cdr").accept(&kind).capacity(1_000).overflow(Overflow::DropNewest);
    let (cdr, _) = note_numbers(builder, Dispatch::Pool, &kind);
    (0..1_234).for_each(|number| {
        channel.publish(kind.message(number));
    });
    bus.advance(std::time::Duration::from_millis(1_500));
    let stats = bus.stats();
    let topics = "\
topic                                 published  arrived  delivered  filtered  missed  unrouted  subs  fwds  longest
all                                           0    1,234      1,000         1     234         0     1     0        -
channel:PJSIP/a-ve…-to-read-00000001      1,234        0          0         0       0       234     0     1        -
2 topics";
    assert_eq!(stats.topics.to_string(), topics);
    let types = "\
message type          made  alive   bytes  unused  declined  panics
number               1,234  1,000  46 KiB     234         -       0
subscription_change      1      0     0 B       0         -       0
2 message types";
    assert_eq!(stats.message_types.to_string(), types);
    let totals = "\
totals
  published           1,234, 234 of them unrouted
  delivered           1,000; 0 handled, 1 filtered, 234 missed
  refused             0 declined, 0 closed, 0 of another bus, 0 nested too deep
  publishers blocked  never
  waits               0 for a subscription; 0 not begun, they would have closed a circle";
    assert_eq!(stats.totals.to_string(), totals);
    let own = format!("cdr#{}", cdr.id());
    let row = format!("{own} pool waiting 1,000 1 1,000 1,000 1,000 1.5 s 234 0 - - -");
    let second = stats.subscriptions.to_string().lines().nth(1).map(squeezed);
    assert_eq!(second, Some(row.clone()));
    let subscription = format!(
        "\
subscription {own}
  topic               all
  dispatch            pool
  state               waiting
  accepted            1,000; 0 handled, 1 filtered
  queue               1,000 of 1,000, the oldest for 1.5 s; highest 1,000
  missed              234; 0 beyond the capacity
  waited              not measured yet
  handler             not measured yet
  slow, panicked      0 calls of 10 ms or more, 0 panics
  publishers blocked  never"
    );
    assert_eq!(cdr.stats().to_string(), subscription);
    let topic = "\
topic all
  detail           every call
  age              1.5 s
  published        0, 0 of them unrouted
  reached          1,235, 1,234 of them by a forward
  delivered        1,000; 1 filtered, 234 missed
  subscriptions    1, and 0 forwards to other topics
  longest publish  -
  forwards to      none
  forwards from    channel:PJSIP/a-very-long-name-that-nobody-wants-to-read-00000001
";
    let detail = bus.topic_stats("all").unwrap().to_string();
    assert!(detail.starts_with(topic), "{detail}");
    assert_eq!(detail.lines().nth_back(1).map(squeezed), Some(row));
    assert_eq!(bus.topic_stats("nobody"), None);
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Subscriptions and topics come and go; what they have counted stays, whoever looks in between.
#[test]
fn sums_never_go_back() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let all = bus.topic("all").unwrap();
    thread::scope(|scope| {
        let coming_and_going = scope.spawn(|| {
            for round in 0..200 {
                let topic = bus.topic(&format!("t:{round}")).unwrap();
                let _edge = topic.forward_to(&all).unwrap();
                let mode = HANDLER_MODES[round % HANDLER_MODES.len()];
                let sub = listen(all.subscription("s").accept(&kind), mode, |_| {});
                (0..10).for_each(|number| {
                    topic.publish(kind.message(number));
                });
                sub.unsubscribe();
                sub.join().unwrap();
            }
        });
        let mut before = bus.stats().totals;
        while !coming_and_going.is_finished() {
            let now = bus.stats().totals;
            let sums = |totals: &stasis_bus::Totals| {
                [totals.published, totals.delivered, totals.handled, totals.unrouted]
            };
            assert!(
                sums(&now).iter().zip(sums(&before)).all(|(now, before)| *now >= before),
                "{now}\n{before}"
            );
            before = now;
        }
    });
    let totals = bus.stats().totals;
    assert_eq!((totals.published, totals.delivered, totals.handled), (2_000, 2_000, 2_000));
    assert_eq!((totals.unrouted, totals.missed, totals.circles), (0, 0, 0));
    let types = bus.message_type_stats();
    assert_eq!(types.iter().find(|row| row.name == "number").map(|row| row.made), Some(2_000));
    end(&bus);
}

#[test]
fn every_message_is_counted_in_and_out() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let kept: Vec<_> = thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1_000).map(|n| kind.message(n)).step_by(4).collect::<Vec<_>>()))
            .collect();
        makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
    });
    let row = || bus.message_type_stats().iter().find(|row| row.name == "number").cloned().unwrap();
    assert_eq!((row().made, row().alive), (4_000, 1_000));
    assert_eq!(row().bytes, 1_000 * 48, "header and value");
    drop(kept);
    assert_eq!((row().alive, row().bytes), (0, 0));
}

#[cfg(feature = "json")]
#[test]
fn figures_are_json_too() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    let _cdr = topic.subscription("cdr").accept(&kind).start(|_| {}).unwrap();
    bus.advance(std::time::Duration::from_secs(1));
    (0..600).for_each(|number| {
        topic.publish(kind.message(number));
    });
    bus.advance(std::time::Duration::from_millis(2_500));
    let stats = serde_json::to_value(bus.stats()).unwrap();
    assert_eq!(stats["totals"]["published"], 600);
    let row = &stats["subscriptions"][0];
    assert_eq!(
        (&row["name"], &row["oldest"], &row["state"]),
        (&"cdr".into(), &2.5.into(), &"waiting".into())
    );
    let diagnosis = serde_json::to_value(bus.diagnose()).unwrap();
    assert_eq!(diagnosis["findings"][0]["troubles"][0]["Behind"]["time"], 2.5);
}

/// A topic's row counts what its subscriptions have counted once, also while they end.
#[test]
fn topics_count_subscriptions_that_are_just_ending_once() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    for _ in 0..5 {
        let before = topic.stats().delivered;
        let subs: Vec<_> =
            (0..200).map(|_| topic.subscription("s").accept(&kind).start(|_| {}).unwrap()).collect();
        (0..10).for_each(|number| assert!(topic.publish(kind.message(number)).reached()));
        thread::scope(|scope| {
            let ends = scope.spawn(|| subs.into_iter().for_each(|sub| sub.unsubscribe_and_join().unwrap()));
            while !ends.is_finished() {
                assert_eq!(topic.stats().delivered, before + 2_000);
                assert_eq!(bus.stats().topics[0].delivered, before + 2_000);
            }
        });
    }
    end(&bus);
}

/// Whatever comes, goes and loses messages meanwhile; and what is new has no past.
#[test]
fn sums_never_go_back_under_load() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let other = bus.message_type::<u8>("other").unwrap();
    let topic = bus.topic("t").unwrap();
    let listen = |name| topic.subscription(name).capacity(4);
    let _standing = [
        listen("evicts").overflow(Overflow::DropOldest).start(|_| {}).unwrap(),
        listen("refuses").overflow(Overflow::DropNewest).start(|_| {}).unwrap(),
        listen("inline").inline(|_| {}).unwrap(),
    ];
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = topic.publisher();
            while !over.load(Ordering::Relaxed) {
                publisher.publish(kind.message(0));
                topic.publish(kind.message(1));
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let queued = listen("queued").accept(&other).start(|_| {}).unwrap();
                let inline = listen("inline").inline(|_| {}).unwrap();
                inline.set_filter(&Filter::all().accept(&other)).unwrap();
                drop(queued);
            }
        });
        let sums = || {
            let totals = bus.stats().totals;
            [totals.published, totals.unrouted, totals.delivered, totals.handled, totals.missed]
        };
        let looks: Vec<_> = (0..1_000).map(|_| sums()).collect();
        over.store(true, Ordering::Relaxed);
        for pair in looks.windows(2) {
            assert!(pair[0].iter().zip(&pair[1]).all(|(before, now)| before <= now), "{pair:?}");
            let [published, _, delivered, ..] = pair[1];
            assert!(delivered <= 4 * (published + 10_000), "{delivered} delivered of {published} published");
        }
    });
    end(&bus);
}

/// A publish counts before its messages are offered: what a look finds in between is no filter's, and is not kept.
#[test]
fn nothing_is_filtered_where_nobody_filters() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let sub = topic.subscription("s").start(|_| {}).unwrap();
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for _ in 0..200 {
                topic.publish_batch((0..200).map(|number| kind.message(number)).collect());
            }
        });
        while !publisher.is_finished() {
            bus.stats();
        }
    });
    assert_eq!((sub.stats().filtered, bus.stats().totals.filtered), (0, 0));
    end(&bus);
}

#[test]
fn what_was_replaced_was_not_handled() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("t").unwrap();
    let all_one = Overflow::conflate(|_| Some(Key::from(0_u64)));
    let sub = topic.subscription("s").accept(&kind).overflow(all_one).start(|_| {}).unwrap();
    for round in 1..=3 {
        (0..5).for_each(|number| {
            topic.publish(kind.message(number));
        });
        bus.run_until_idle();
        let stats = sub.stats();
        assert_eq!((stats.accepted, stats.handled, stats.lost.conflated), (5 * round, round, 4 * round));
    }
}

/// A worker that waits leaves its seat; the time that it ran there stays.
#[test]
fn a_seat_keeps_its_time_when_it_is_handed_over() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let [slow, other] = ["slow", "other"].map(|name| bus.topic(name).unwrap());
    let (ran, wait, waited) = (Gate::new(), Gate::new(), Gate::new());
    let (ran2, wait2, waited2, kind2) = (ran.clone(), wait.clone(), waited.clone(), kind.clone());
    let target = other.subscription("target").start(|_| {}).unwrap();
    let _runs = slow.subscription("runs").accept(&kind).start(move |delivery| {
        if !delivery.is_final() {
            thread::sleep(Duration::from_millis(50));
            ran2.open();
            wait2.pass();
            target.publish_sync(kind2.message(1), None).unwrap();
            waited2.open();
        }
    });
    slow.publish(kind.message(0));
    ran.pass();
    let before = bus.worker_stats()[0].busy;
    wait.open();
    waited.pass();
    assert!(bus.worker_stats()[0].busy >= before, "{before:?}, then {:?}", bus.worker_stats()[0].busy);
    end(&bus);
}
