//! Metrics: what a recorder is told agrees with the statistics, never goes back, and stays small.
#![cfg(feature = "metrics")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;
mod metrics_checks;

use common::*;
use metrics_checks::{Kept, Series, digit, family, gone_back, sum};
use stasis_bus::observe::{METRICS, MetricKind, Observer};
use stasis_bus::{Bus, Cache, Dispatch, MessageType, Overflow};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How long the series of a name are told after the last thing of it has gone, and a little more.
const LINGERED: Duration = Duration::from_secs(301);

/// What the observer tells now.
fn told(observer: &Observer) -> Series {
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || observer.publish());
    kept.take()
}

fn manual() -> (Bus, MessageType<u64>, Observer) {
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, observer) = (bus.message_type("number").unwrap(), Observer::new(&bus));
    (bus, kind, observer)
}

fn values(series: &Series, name: &str, label: &str) -> BTreeSet<String> {
    let own = series.keys().filter(|key| family(key) == name);
    let value = |key: &String| Some(key.split(&format!("{label}=\"")).nth(1)?.split('"').next()?.to_owned());
    own.filter_map(value).collect()
}

#[test]
fn a_busy_bus_tells_every_metric_of_the_table_and_nothing_else() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("calls").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, digit).build().unwrap();
    let _caching = topic.caching(&cache).unwrap();
    let handled = Log::new();
    let log = handled.clone();
    let _sub = topic.subscribe("log", move |_| log.push(())).unwrap();
    (0..500).for_each(|number| assert!(topic.publish(kind.message(number)).reached()));
    handled.await_len(500);
    let told = told(&Observer::new(&bus));
    let names: BTreeSet<&str> = told.keys().map(|key| family(key)).collect();
    let mut due = BTreeSet::new();
    for metric in METRICS {
        match metric.kind {
            MetricKind::Histogram => {
                due.extend(["_bucket", "_sum", "_count"].map(|part| [metric.name, part].concat()))
            }
            _ => _ = due.insert(metric.name.to_owned()),
        }
    }
    assert_eq!(names, due.iter().map(String::as_str).collect());
    end(&bus);
}

#[test]
fn counters_agree_with_the_statistics_when_the_bus_is_quiet() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let other = bus.message_type::<u8>("other").unwrap();
    let (here, there) = (bus.topic("here:1").unwrap(), bus.topic("there:1").unwrap());
    let _edge = here.forward_to(&there).unwrap();
    let narrow = |name| there.subscription(name).accept(&kind).capacity(4).overflow(Overflow::DropOldest);
    let subs: Vec<_> = EVERY_MODE.map(|mode| listen(narrow(mode.name()), mode, |_| {})).into();
    let panics = there.subscription("panics").accept(&kind).inline(|_| panic!("on purpose")).unwrap();
    let observer = Observer::new(&bus);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut before = told(&observer);
            while !is_over.load(Ordering::Acquire) {
                let later = told(&observer);
                assert_eq!(gone_back(&before, &later), [""; 0]);
                before = later;
            }
        });
        let publishers = [&here, &there, &here].map(|topic| {
            scope.spawn(|| {
                for number in 0..1_500 {
                    topic.publish(kind.message(number));
                    topic.publish(other.message(1));
                }
            })
        });
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        is_over.store(true, Ordering::Release);
        sampler.join().unwrap();
    });
    eventually(|| bus.subscription_stats().iter().all(|row| row.depth == 0));
    // One that has not seen what was under way.
    let (told, stats) = (told(&Observer::new(&bus)), bus.stats());
    let is =
        |name: &str, part: &str, due: u64| assert_eq!(sum(&told, name, part), due as f64, "{name} {part}");
    is("stasis_published_messages_total", "\"here\"", 6_000);
    is("stasis_published_messages_total", "", stats.totals.published);
    is("stasis_arrived_messages_total", "\"there\"", 6_000);
    is("stasis_unrouted_messages_total", "", stats.totals.unrouted);
    is("stasis_delivered_messages_total", "\"there\"", stats.totals.delivered);
    is("stasis_filtered_messages_total", "", stats.totals.filtered);
    is("stasis_handled_messages_total", "", stats.totals.handled);
    is("stasis_dropped_messages_total", "", stats.totals.missed);
    is("stasis_dropped_messages_total", "\"evicted\"", stats.totals.lost.evicted);
    is("stasis_bus_dropped_messages_total", "", stats.totals.missed);
    is("stasis_handler_panics_total", "subscription=\"panics\"", panics.stats().panics);
    is("stasis_handler_panics_total", "", 4_500);
    for sub in &subs {
        let (name, stats) = (format!("subscription={:?}", sub.name()), sub.stats());
        is("stasis_handled_messages_total", &name, stats.handled);
        is("stasis_dropped_messages_total", &name, stats.missed);
        is("stasis_handler_duration_seconds_count", &name, stats.handler.count);
        is("stasis_delivery_latency_seconds_count", &name, stats.delay.count);
        let mode = format!("dispatch={:?}", sub.dispatch().name());
        let inline = if sub.dispatch() == Dispatch::Inline { panics.stats().accepted } else { 0 };
        is("stasis_delivered_messages_total", &mode, stats.accepted + inline);
    }
    for row in &stats.message_types {
        is("stasis_made_messages_total", &format!("{:?}", row.name), row.made);
        is("stasis_unused_messages_total", &format!("{:?}", row.name), row.unused);
    }
    end(&bus);
}

#[test]
fn panics_of_the_last_calls_are_among_those_of_the_name() {
    let _watched = watched();
    let (bus, kind, observer) = manual();
    let topic = bus.topic("t").unwrap();
    let builder = || topic.subscription("ends").accept(&kind).on_end(|_| panic!("{ON_PURPOSE}"));
    let pool = builder().start(|delivery| assert!(!delivery.is_final(), "{ON_PURPOSE}")).unwrap();
    let inline = builder().inline(|delivery| assert!(!delivery.is_final(), "{ON_PURPOSE}")).unwrap();
    assert!(pool.unsubscribe() && inline.unsubscribe());
    bus.run_until_idle();
    assert_eq!((pool.stats().panics, inline.stats().panics), (2, 2));
    assert_eq!(sum(&told(&observer), "stasis_handler_panics_total", "subscription=\"ends\""), 4.0);
}

#[test]
fn caches_count_their_reads_and_what_became_of_their_states() {
    let _watched = watched();
    let (bus, kind, observer) = manual();
    let topic = bus.topic("states").unwrap();
    let make = |name: &str| Cache::builder(&bus).id_of(&kind, digit).name(name).build().unwrap();
    let (cache, twin, short) = (make("states"), make("states"), make("short"));
    let _caching = topic.caching(&cache).unwrap();
    (0..10).for_each(|number| assert!(topic.publish(kind.message(number)).reached()));
    (0..4).for_each(|number| assert!(topic.publish(kind.message(number)).reached()));
    (0..3).for_each(|number| assert!(cache.clear(&kind, &number.to_string())));
    assert!(cache.get(&kind, "9").is_some() && cache.get(&kind, "0").is_none());
    let pin = cache.pin();
    assert!(pin.get(&kind, "8").is_some() && pin.get(&kind, "1").is_none() && pin.get(&kind, "x").is_none());
    drop(pin);
    let is = |part: &str, due: [f64; 6]| {
        let told = told(&observer);
        let of = |name: &str, label: &str| {
            let own = told
                .iter()
                .filter(|(key, _)| family(key) == name && key.contains(part) && key.contains(label));
            own.map(|(_, value)| *value).sum::<f64>()
        };
        let updates =
            ["\"create\"", "\"update\"", "\"remove\""].map(|op| of("stasis_cache_updates_total", op));
        let lookups = ["\"hit\"", "\"miss\""].map(|result| of("stasis_cache_lookups_total", result));
        let entries = of("stasis_cache_entries", "");
        assert_eq!([updates[0], updates[1], updates[2], lookups[0], lookups[1], entries], due, "{part}");
    };
    is("\"states\"", [10.0, 4.0, 3.0, 2.0, 3.0, 7.0]);
    assert!(short.get(&kind, "1").is_none());
    drop(short);
    is("\"short\"", [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    assert!(twin.get(&kind, "1").is_none(), "counted with its namesake");
    is("\"states\"", [10.0, 4.0, 3.0, 2.0, 4.0, 7.0]);
    let stats = bus.cache_stats();
    assert_eq!((stats.len(), &*stats[0].name, stats[0].hits, stats[0].created), (2, "states", 2, 10));
}

#[test]
fn no_counter_goes_back_while_topics_subscriptions_and_caches_come_and_go() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let all = bus.topic("all").unwrap();
    let rounds = AtomicU64::new(0);
    let churn = |name: &'static str| {
        let (bus, kind, all, rounds) = (&bus, &kind, &all, &rounds);
        move || {
            for round in 0..150 {
                let topic = bus.topic(&format!("{name}:{round}")).unwrap();
                let edge = topic.forward_to(all).unwrap();
                let sub = topic.subscription(name).capacity(2).overflow(Overflow::DropOldest);
                let sub = listen(sub, EVERY_MODE[round % 5], |_| {});
                let cache = Cache::builder(bus).id_of(kind, digit).name(name).build().unwrap();
                let caching = topic.caching(&cache).unwrap();
                (0..20).for_each(|number| assert!(topic.publish(kind.message(number % 3)).reached()));
                assert!(cache.get(kind, "1").is_some());
                drop((edge, caching, cache));
                sub.unsubscribe();
                rounds.fetch_add(1, Ordering::Release);
            }
        }
    };
    let observer = Observer::new(&bus);
    thread::scope(|scope| {
        let churners = ["one", "two"].map(|name| scope.spawn(churn(name)));
        let (mut before, mut samples) = (told(&observer), 0);
        while rounds.load(Ordering::Acquire) < 300 {
            // Observers that have told nothing before: nobody who is just going counts twice.
            for _ in 0..5 {
                let fresh = told(&Observer::new(&bus));
                let most = bus.stats().totals.delivered as f64;
                for name in ["stasis_delivered_messages_total", "stasis_bus_delivered_messages_total"] {
                    let delivered = sum(&fresh, name, "");
                    assert!(delivered <= most, "{name}: {delivered} of {most}");
                }
            }
            let later = told(&observer);
            assert_eq!(gone_back(&before, &later), [""; 0]);
            assert!(
                before
                    .keys()
                    .filter(|key| family(key).starts_with("stasis_bus_"))
                    .all(|key| later.contains_key(key))
            );
            (before, samples) = (later, samples + 1);
        }
        churners.into_iter().for_each(|churner| churner.join().unwrap());
        assert!(samples > 1, "it looked only {samples} times");
    });
    eventually(|| bus.subscription_stats().is_empty());
    let (told, totals) = (told(&observer), bus.stats().totals);
    assert_eq!(totals.published, 6_000);
    for (labelled, whole, due) in [
        ("stasis_published_messages_total", "stasis_bus_published_messages_total", totals.published),
        ("stasis_delivered_messages_total", "stasis_bus_delivered_messages_total", totals.delivered),
        ("stasis_handled_messages_total", "stasis_bus_handled_messages_total", totals.handled),
        ("stasis_dropped_messages_total", "stasis_bus_dropped_messages_total", totals.missed),
    ] {
        assert_eq!([sum(&told, labelled, ""), sum(&told, whole, "")], [due as f64; 2], "{labelled}");
    }
    assert_eq!(sum(&told, "stasis_cache_updates_total", "create"), 900.0);
    assert_eq!(sum(&told, "stasis_cache_lookups_total", "hit"), 300.0);
    end(&bus);
}

#[test]
fn the_series_of_the_dead_go_and_their_counts_stay() {
    let _watched = watched();
    let (bus, kind, observer) = manual();
    let topic = bus.topic("calls:1").unwrap();
    let sub = topic.subscription("log").accept(&kind).start(|_| {}).unwrap();
    (0..5).for_each(|number| assert!(topic.publish(kind.message(number)).reached()));
    bus.run_until_idle();
    drop((sub, topic));
    bus.run_until_idle();
    let handled = |series: &Series| values(series, "stasis_handled_messages_total", "subscription");
    let just_now = told(&observer);
    assert_eq!(handled(&just_now), ["log".to_owned()].into(), "its last counts are still to be seen");
    assert!(
        values(&just_now, "stasis_subscription_queue_messages", "subscription").is_empty(),
        "it has no queue"
    );
    assert!(values(&just_now, "stasis_topics", "topic_class").is_empty());
    bus.advance(LINGERED);
    let later = told(&observer);
    assert!(
        handled(&later).is_empty()
            && values(&later, "stasis_published_messages_total", "topic_class").is_empty()
    );
    assert_eq!(sum(&later, "stasis_bus_handled_messages_total", ""), 5.0);
    assert_eq!(sum(&later, "stasis_bus_published_messages_total", ""), 5.0);
    // The name comes back, and goes on.
    let topic = bus.topic("calls:2").unwrap();
    let _sub = topic.subscription("log").accept(&kind).start(|_| {}).unwrap();
    assert!(topic.publish(kind.message(1)).reached());
    bus.run_until_idle();
    let again = told(&observer);
    assert_eq!(sum(&again, "stasis_handled_messages_total", "\"log\""), 6.0);
    assert_eq!(sum(&again, "stasis_published_messages_total", "\"calls\""), 6.0);
}

#[test]
fn too_many_names_share_a_series_and_are_counted() {
    let _watched = watched();
    let (bus, kind, observer) = manual();
    let topics: Vec<_> = (0..100).map(|n| bus.topic(&format!("class{n:03}:x")).unwrap()).collect();
    let subs: Vec<_> = (0..70).map(|n| topics[0].subscribe(format!("sub{n:03}"), |_| {}).unwrap()).collect();
    let kinds: Vec<_> = (0..80).map(|n| bus.message_type::<u8>(&format!("kind{n:03}")).unwrap()).collect();
    topics.iter().for_each(|topic| _ = topic.publish(kind.message(1)));
    kinds.iter().for_each(|kind| _ = topics[0].publish(kind.message(1)));
    bus.run_until_idle();
    let series = told(&observer);
    let labels = [
        ("stasis_published_messages_total", "topic_class"),
        ("stasis_handled_messages_total", "subscription"),
        ("stasis_made_messages_total", "message_type"),
    ];
    for (name, label) in labels {
        let values = values(&series, name, label);
        assert!((61..=65).contains(&values.len()) && values.contains("other"), "{name}: {}", values.len());
        let folded = sum(&series, "stasis_metrics_label_overflow_total", &format!("{label:?}"));
        assert!(folded >= 6.0, "{label}: {folded}");
    }
    assert_eq!(sum(&series, "stasis_metrics_label_overflow_total", "\"topic_class\""), 36.0);
    assert_eq!(sum(&series, "stasis_metrics_label_overflow_total", "\"subscription\""), 6.0);
    assert_eq!(sum(&series, "stasis_published_messages_total", ""), 180.0, "nothing is lost");
    assert_eq!(sum(&series, "stasis_published_messages_total", "\"other\""), 36.0);
    assert_eq!(sum(&series, "stasis_topics", "\"other\""), 36.0);
    let handled = bus.stats().totals.handled;
    assert_eq!(sum(&series, "stasis_handled_messages_total", ""), handled as f64);
    drop((topics, subs));
    bus.run_until_idle();
    // The names have rested: new ones have their places, and the number of series stays.
    let mut most = 0;
    for round in 0..5 {
        bus.advance(LINGERED);
        let _topics: Vec<_> = (0..64).map(|n| bus.topic(&format!("round{round}-{n}:x")).unwrap()).collect();
        let series = told(&observer);
        assert!(values(&series, "stasis_topics", "topic_class").contains(&format!("round{round}-63")));
        most = most.max(series.len());
    }
    assert!(most < 2_500, "{most} series");
}

#[test]
fn topics_of_objects_count_under_their_class() {
    let _watched = watched();
    let (bus, kind, observer) = manual();
    let pool = bus.topic_pool("device:state").unwrap();
    let states = bus.state_manager("presence:state").unwrap();
    let own = |number: u64| bus.topic_in_class(&number.to_string(), "by number").unwrap();
    let members: Vec<_> = (0..200).map(|n| pool.member(&format!("SIP/{n}")).unwrap()).collect();
    let numbered: Vec<_> = (0..200).map(own).collect();
    let plain = [
        bus.topic("channel:PJSIP/1").unwrap(),
        bus.topic("channel/2").unwrap(),
        bus.topic("channel").unwrap(),
    ];
    let publisher = states.publisher("alice").unwrap();
    publisher.publish(kind.message(1));
    members.iter().chain(&numbered).chain(&plain).for_each(|topic| _ = topic.publish(kind.message(1)));
    assert_eq!((members[7].class(), numbered[7].class()), ("device:state", "by number"));
    assert_eq!(bus.find_topic("device:state").unwrap().stats().class, "device:state");
    assert!(bus.topic_in_class("x", "").is_err() && bus.topic_in_class("", "x").is_err());
    let series = told(&observer);
    let is = |name: &str, class: &str, due: f64| {
        assert_eq!(sum(&series, name, &format!("{class:?}")), due, "{class}")
    };
    is("stasis_topics", "device:state", 201.0);
    is("stasis_forwards", "device:state", 200.0);
    is("stasis_published_messages_total", "device:state", 200.0);
    is("stasis_arrived_messages_total", "device:state", 200.0);
    is("stasis_published_messages_total", "presence:state", 1.0);
    is("stasis_topics", "by number", 200.0);
    is("stasis_published_messages_total", "channel", 3.0);
    assert_eq!(values(&series, "stasis_topics", "topic_class").len(), 4);
}

#[test]
fn queues_are_told_of_as_they_stand() {
    let _watched = watched();
    let (bus, kind, observer) = manual();
    let topic = bus.topic("calls").unwrap();
    let start = |capacity| topic.subscription("log").accept(&kind).capacity(capacity).start(|_| {}).unwrap();
    let (_one, _other) = (start(100), start(1_000));
    (0..80).for_each(|number| assert!(topic.publish(kind.message(number)).reached()));
    bus.advance(Duration::from_secs(3));
    let series = told(&observer);
    let is = |name: &str, due: f64| assert_eq!(sum(&series, name, "\"log\""), due, "{name}");
    is("stasis_subscription_queue_messages", 160.0);
    is("stasis_subscription_queue_capacity_messages", 1_100.0);
    is("stasis_subscription_queue_fill_ratio", 0.8);
    is("stasis_subscription_queue_peak_messages", 80.0);
    is("stasis_subscriptions_congested", 1.0);
    is("stasis_subscription_watermark_alerts_total", 1.0);
    is("stasis_subscriptions", 2.0);
    let oldest = sum(&series, "stasis_subscription_queue_oldest_age_seconds", "\"log\"");
    assert!((3.0..4.0).contains(&oldest), "{oldest}");
    bus.run_until_idle();
    let series = told(&observer);
    assert_eq!(sum(&series, "stasis_subscription_queue_messages", ""), 0.0);
    assert_eq!(sum(&series, "stasis_subscription_queue_oldest_age_seconds", ""), 0.0);
    assert_eq!(sum(&series, "stasis_subscription_watermark_alerts_total", "\"clear\""), 1.0);
}

#[test]
fn a_recorder_is_told_once_what_the_metrics_mean() {
    let _watched = watched();
    let (_bus, _, observer) = manual();
    let (kept, other) = (Kept::default(), Kept::default());
    for _ in 0..3 {
        metrics::with_local_recorder(&kept, || observer.publish());
    }
    let (described, names) = (kept.described(), kept.described().into_iter().collect::<BTreeSet<_>>());
    assert_eq!(described.len(), names.len(), "none twice");
    assert!(METRICS.iter().all(|metric| names.iter().any(|name| name.starts_with(metric.name))));
    metrics::with_local_recorder(&other, || observer.publish());
    assert_eq!(other.described().len(), described.len(), "another one is told as well");
}

#[test]
fn a_type_called_other_and_those_beyond_the_cap_are_one_series() {
    let _watched = watched();
    let (bus, _, observer) = manual();
    let own = bus.message_type::<u8>("other").unwrap();
    let kinds: Vec<_> = (0..80).map(|n| bus.message_type::<u8>(&format!("kind{n:03}")).unwrap()).collect();
    drop((own.message(1), kinds[78].message(1), kinds[79].message(1)));
    let series = told(&observer);
    assert_eq!(sum(&series, "stasis_made_messages_total", "\"other\""), 3.0);
}

#[test]
fn two_buses_go_to_one_recorder_with_a_label_each() {
    let _watched = watched();
    let kept = Kept::default();
    for (name, messages) in [("media", 3), ("signalling", 5)] {
        let (bus, kind, _) = manual();
        let topic = bus.topic("calls").unwrap();
        (0..messages).for_each(|number| _ = topic.publish(kind.message(number)));
        let observer = Observer::labelled(&bus, &[("bus", name), ("site", "a")]).unwrap();
        metrics::with_local_recorder(&kept, || observer.publish());
        for wrong in ["", "9", "a-b", "__a", "le", "topic_class", "reason", "ü"] {
            let error = Observer::labelled(&bus, &[(wrong, "x")]).expect_err(wrong);
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
        assert!(Observer::labelled(&bus, &[("a", "1"), ("a", "2")]).is_err());
    }
    let series = kept.take();
    let published = |bus: &str| sum(&series, "stasis_bus_published_messages_total", bus);
    assert_eq!([published("bus=\"media\""), published("bus=\"signalling\"")], [3.0, 5.0]);
    assert!(series.keys().all(|key| key.contains("site=\"a\"")));
}

#[test]
fn an_observer_keeps_no_bus_alive() {
    let _watched = watched();
    let (bus, _, observer) = manual();
    let weak = bus.downgrade();
    assert!(!told(&observer).is_empty());
    drop(bus);
    assert!(weak.upgrade().is_none() && told(&observer).is_empty());
}

/// Publishes made while samples of many topics are taken: if one stopped the publisher, there would be none, without end.
#[test]
fn sampling_stops_no_publisher() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let pool = bus.topic_pool("calls").unwrap();
    let members: Vec<_> = (0..20_000).map(|n| pool.member(&n.to_string()).unwrap()).collect();
    let (published, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let observer = Observer::new(&bus);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::Acquire) {
                members[number % members.len()].publish(kind.message(number as u64));
                published.fetch_add(1, Ordering::Relaxed);
                number += 1;
            }
        });
        let mut meanwhile = 0;
        while meanwhile < 20_000 {
            let before = published.load(Ordering::Relaxed);
            assert_eq!(sum(&told(&observer), "stasis_topics", "\"calls\""), 20_001.0);
            meanwhile += published.load(Ordering::Relaxed) - before;
        }
        is_over.store(true, Ordering::Release);
    });
    end(&bus);
}
