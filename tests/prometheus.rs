//! The page for Prometheus, read strictly.
#![cfg(feature = "prometheus")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;
mod metrics_checks;

use common::*;
use metrics_checks::{Kept, Page, Series, digit, family, gone_back, sum};
use stasis_bus::observe::{METRICS, Observer};
use stasis_bus::{Bus, Cache};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Series whose value depends on when somebody looks.
fn moving(key: &str) -> bool {
    ["stasis_metrics_sample_seconds", "stasis_worker"].iter().any(|name| family(key).starts_with(name))
}

fn quiet_bus() -> Bus {
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("calls").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, digit).build().unwrap();
    topic.caching(&cache).unwrap().detach();
    topic.subscription("log").accept(&kind).start(|_| {}).unwrap().detach();
    topic.subscription("inline").accept(&kind).inline(|_| {}).unwrap().detach();
    (0..1_000).for_each(|number| assert!(topic.publish(kind.message(number)).reached()));
    bus.run_until_idle();
    bus
}

#[test]
fn the_page_has_the_kinds_and_the_words_of_the_table() {
    let _watched = watched();
    let page = Page::read(&Observer::new(&quiet_bus()).render());
    for (name, (kind, says)) in &page.families {
        let metric = METRICS.iter().find(|metric| metric.name == name).expect(name);
        assert_eq!((kind.as_str(), says.as_str()), (metric.kind.name(), metric.help), "{name}");
        let own = page.series.keys().find(|key| family(key).trim_end_matches("_bucket") == name).expect(name);
        assert!(metric.labels.iter().all(|label| own.contains(&format!("{}=", label.name))), "{own}");
    }
    assert!(page.families.len() > METRICS.len() - 8, "a bus without workers has nearly all of them");
}

#[test]
fn histograms_are_made_of_the_bus_s_own_buckets() {
    let _watched = watched();
    let bus = quiet_bus();
    let (page, stats) = (Page::read(&Observer::new(&bus).render()), bus.stats());
    let is =
        |name: &str, part: &str, due: f64| assert_eq!(sum(&page.series, name, part), due, "{name} {part}");
    is("stasis_publish_duration_seconds_count", "", stats.publishes.count as f64);
    is("stasis_publish_duration_seconds_sum", "", stats.publishes.total.as_secs_f64());
    for row in &stats.subscriptions {
        let part = format!("{:?}", row.name);
        is("stasis_handler_duration_seconds_count", &part, row.handler.count as f64);
        is("stasis_handler_duration_seconds_sum", &part, row.handler.total.as_secs_f64());
        is("stasis_delivery_latency_seconds_count", &part, row.delay.count as f64);
    }
    let counted = |bound: &str| sum(&page.series, "stasis_publish_duration_seconds_bucket", bound) as u64;
    let below = |bound: u128| {
        let buckets = stats.publishes.buckets.iter().filter(|bucket| bucket.at_most.as_nanos() < bound);
        buckets.map(|bucket| bucket.count).sum::<u64>()
    };
    assert_eq!(counted("\"0.000016384\""), below(16_384));
    assert_eq!(counted("\"1.073741824\""), below(1_073_741_824));
    assert!(counted("\"+Inf\"") > 0);
}

#[test]
fn names_of_any_kind_come_through_as_they_are() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<u64>(r#"kind "of" \ {thing}"#).unwrap();
    let names =
        [r#"say "hi""#, r"back\slash", r"end\", "ümläut 漢字", "a=b,c={}", r#"\n is no line"#, "<script>"];
    for name in names {
        let topic = bus.topic_in_class(&format!("of {name}"), name).unwrap();
        let _sub = topic.subscription(name).start(|_| {}).unwrap();
        let _cache = Cache::builder(&bus).id_of(&kind, |_| "").name(name).build().unwrap();
        (0..64).for_each(|number| _ = topic.publish(kind.message(number)));
        bus.run_until_idle();
        let page = Page::read(&Observer::new(&bus).render());
        for (series, label) in [
            ("stasis_published_messages_total", "topic_class"),
            ("stasis_handled_messages_total", "subscription"),
            ("stasis_handler_duration_seconds_count", "subscription"),
            ("stasis_cache_entries", "cache"),
        ] {
            let key = format!("{series}{{{label}={name:?}}}");
            assert!(page.series.contains_key(&key), "{key}");
        }
    }
}

#[test]
fn the_page_says_what_a_recorder_is_told() {
    let _watched = watched();
    let bus = quiet_bus();
    let (observer, kept) = (Observer::new(&bus), Kept::default());
    metrics::with_local_recorder(&kept, || observer.publish());
    let still = |series: Series| -> Series { series.into_iter().filter(|(key, _)| !moving(key)).collect() };
    assert_eq!(still(Page::read(&observer.render()).series), still(kept.take()));
}

#[test]
fn series_come_and_go_and_the_page_stays_as_long_as_it_is() {
    let _watched = watched();
    let bus = quiet_bus();
    let observer = Observer::new(&bus);
    let render = || Page::read(&observer.render()).series;
    let before = render();
    for round in 0..80 {
        let topic = bus.topic(&format!("round{round}:x")).unwrap();
        let sub = topic.subscribe(format!("sub{round}"), |_| {}).unwrap();
        assert!(render().contains_key(&format!("stasis_topics{{topic_class=\"round{round}\"}}")), "{round}");
        drop((topic, sub));
        bus.run_until_idle();
        bus.advance(Duration::from_secs(100));
    }
    // Nobody looks for a long time: what stands is all there.
    bus.advance(Duration::from_secs(10_000));
    let after = render();
    assert!(before.keys().eq(after.keys()), "the same series as before");
    assert_eq!(gone_back(&before, &after), [""; 0]);
}

#[test]
fn two_who_ask_at_once_get_a_whole_page_each() {
    let _watched = watched();
    let bus = quiet_bus();
    let observer = Observer::new(&bus);
    let keys = |text: String| Page::read(&text).series.into_keys().collect::<Vec<_>>();
    let (due, asked) = (keys(observer.render()), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..40 {
                    assert_eq!(keys(observer.render()), due);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(asked.into_inner(), 120);
}

#[test]
fn labels_of_the_service_are_on_every_line() {
    let _watched = watched();
    let bus = quiet_bus();
    let observer = Observer::labelled(&bus, &[("bus", r#"a "b""#)]).unwrap();
    let (page, plain) = (Page::read(&observer.render()), Page::read(&Observer::new(&bus).render()));
    assert_eq!(page.series.len(), plain.series.len());
    assert!(page.series.keys().all(|key| key.contains(r#"bus="a \"b\"""#)));
}

#[test]
fn there_is_no_page_of_a_bus_that_is_gone() {
    let bus = quiet_bus();
    let observer = Observer::new(&bus);
    bus.shutdown(Duration::from_secs(1)).unwrap();
    assert!(
        observer.render().contains("stasis_bus_published_messages_total 1000\n"),
        "after the end it still can be asked"
    );
    drop(bus);
    assert_eq!(observer.render(), "");
}
