//! The options of a bus from a text: what is read, what is refused and how that is said.

#![cfg(feature = "config")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;
mod config_checks;

use common::*;
use stasis_bus::{
    Bus, BusConfig, ConfigError, ConfigProblem, Dispatch, Error, Grow, Overflow, SubscriptionStats, Wait,
};
use std::path::Path;
use std::time::Duration;

const SAMPLE: &str = include_str!("../docs/stasis-bus.toml");

fn read(text: &str) -> BusConfig {
    BusConfig::from_toml(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The error, without its column.
fn refused(text: &str) -> String {
    let error = BusConfig::from_toml(text).map(|config| format!("{config:?}")).unwrap_err();
    error.to_string().replacen(&format!(", column {}:", error.column), ":", 1)
}

/// What a builder would do.
fn options(text: &str) -> String {
    format!("{:?}", Bus::builder().config(&read(text)))
}

/// The figures of a subscription that says nothing itself.
fn plain_subscription(bus: &Bus) -> (stasis_bus::Subscription, SubscriptionStats) {
    let sub = bus.topic("t").unwrap().subscribe("plain", |_| {}).unwrap();
    let stats = sub.stats();
    (sub, stats)
}

#[test]
fn the_sample_has_every_field_at_its_default() {
    let _watched = watched();
    let defaults = format!("{:?}", Bus::builder());
    assert_eq!(options(SAMPLE), defaults);
    assert_eq!(options(""), defaults);
    // Every field there is: the error about a stranger in each table names them.
    let tables = [("", ""), ("[pool]\n", "pool."), ("[subscriptions]\n", "subscriptions.")];
    for (head, path) in tables {
        let error =
            BusConfig::from_toml(&format!("{head}\"\u{6f22}\u{5b57}\u{6f22}\u{5b57}\" = 1")).unwrap_err();
        assert_eq!(error.field, format!("{path}\u{6f22}\u{5b57}\u{6f22}\u{5b57}"));
        let ConfigProblem::Unknown { nearest: None, known } = error.problem else { panic!("{error:?}") };
        for name in known {
            let there = |line: &str| line.starts_with(&format!("{name} = ")) || line == format!("[{name}]");
            assert!(SAMPLE.lines().any(there), "{path}{name} is not in the sample");
        }
        assert!(!known.is_empty());
    }
}

#[test]
fn every_field_is_read() {
    let _watched = watched();
    let text = r#"
        node = "pbx-1"
        decline = ["one", "two"]
        [pool]
        workers_min = 2
        workers_max = 0x03
        grow_after = "5ms"
        idle_timeout = "never"
        wait = { spin = "20us" }
        thread_name = "w"
        [subscriptions]
        capacity = 1_000
        overflow = { policy = "grow", limit = 7 }
        [subscriptions.water_marks]
        high = 1_007
        low = 0
    "#;
    let said = Bus::builder()
        .node("pbx-1")
        .decline("one")
        .decline("two")
        .workers(2..=3)
        .grow_after(Duration::from_millis(5))
        .idle_timeout(None)
        .wait(Wait::SpinThenPark(Duration::from_micros(20)))
        .thread_name("w")
        .default_capacity(1_000)
        .default_overflow(Overflow::Grow(Grow::limit(7)))
        .default_water_marks(1_007, 0);
    assert_eq!(options(text), format!("{said:?}"));
    let bus = Bus::from_config(&read(text)).unwrap();
    assert!(bus.message_type::<u8>("two").unwrap().is_declined());
    let origin = bus.message_type::<u8>("three").unwrap().message(1).origin().unwrap();
    assert_eq!(bus.origin_name(origin).as_deref(), Some("pbx-1"));
    assert_eq!(plain_subscription(&bus).1.capacity, 1_000);
    end(&bus);
}

#[test]
fn overflow_is_a_name_or_a_table() {
    let forms = [
        ("\"grow\"", Overflow::default()),
        ("{ policy = \"grow\" }", Overflow::default()),
        ("{ policy = \"grow\", limit = \"unbounded\" }", Overflow::Grow(Grow::unbounded())),
        ("{ policy = \"grow\", limit = 0 }", Overflow::Grow(Grow::limit(0))),
        ("\"drop_newest\"", Overflow::DropNewest),
        ("\"drop_oldest\"", Overflow::DropOldest),
        ("\"block\"", Overflow::block()),
        ("{ policy = \"block\", timeout = \"250ms\" }", Overflow::Block(Duration::from_millis(250))),
        ("{ policy = \"block\", timeout = \"forever\" }", Overflow::block_forever()),
        ("\"disconnect\"", Overflow::Disconnect),
    ];
    for (text, overflow) in forms {
        let expected = format!("{:?}", Bus::builder().default_overflow(overflow));
        assert_eq!(options(&format!("subscriptions.overflow = {text}")), expected, "{text}");
    }
}

#[test]
fn what_is_refused_is_said_with_line_field_value_and_range() {
    let cases = [
        ("node = 7", "line 1: node is 7; allowed are names of 1 to 255 bytes without control characters"),
        (
            "\n\nnode = \"\"",
            "line 3: node is \"\"; allowed are names of 1 to 255 bytes without control characters",
        ),
        ("decline = \"x\"", "line 1: decline is \"x\"; allowed are a list of names of message types"),
        (
            "decline = [\n  \"x\",\n  \"subscription_change\",\n]",
            "line 3: decline is \"subscription_change\"; allowed are names of types that are not the bus's own",
        ),
        ("pool = 1", "line 1: pool is 1; allowed are tables"),
        ("[pool]\nworkers_max = 65", "line 2: pool.workers_max is 65; allowed are 1 to 64 and \"auto\""),
        ("[pool]\nworkers_max = 2\nworkers_min = 3", "line 3: pool.workers_min is 3; allowed are 1 to 2"),
        ("[pool]\nworkers_min = -1", "line 2: pool.workers_min is -1; allowed are 1 to 64"),
        ("pool.grow_after = 2", "line 1: pool.grow_after is 2; allowed are 100us to 10s"),
        ("pool.grow_after = \"1h\"", "line 1: pool.grow_after is \"1h\"; allowed are 100us to 10s"),
        (
            "pool.idle_timeout = \"0s\"",
            "line 1: pool.idle_timeout is \"0s\"; allowed are 1ms to 24h and \"never\"",
        ),
        (
            "pool.wait = \"spin\"",
            "line 1: pool.wait is \"spin\"; allowed are \"park\" and { spin = \"20us\" }",
        ),
        ("pool.wait = { spin = \"2s\" }", "line 1: pool.wait.spin is \"2s\"; allowed are 0s to 1s"),
        ("pool.wait = {}", "line 1: pool.wait.spin is missing"),
        ("[subscriptions]\ncapacity = 0", "line 2: subscriptions.capacity is 0; allowed are 1 to 16777216"),
        (
            "subscriptions.overflow = { policy = \"drop_newest\", limit = 5 }",
            "line 1: subscriptions.overflow.limit is 5; allowed are no limits but with policy = \"grow\"",
        ),
        (
            "subscriptions.overflow = { policy = \"grow\", timeout = \"5s\" }",
            "line 1: subscriptions.overflow.timeout is \"5s\"; allowed are no timeouts but with policy = \"block\"",
        ),
        (
            "subscriptions.water_marks = { high = 1025, low = 1 }\nsubscriptions.overflow = \"disconnect\"",
            "line 1: subscriptions.water_marks.high is 1025; allowed are 1 to 1024",
        ),
        (
            "subscriptions.water_marks = { high = 10, low = 10 }",
            "line 1: subscriptions.water_marks.low is 10; allowed are 0 to 9",
        ),
        ("[subscriptions.water_marks]\nhigh = 10", "line 1: subscriptions.water_marks.low is missing"),
        ("nod = \"a\"", "line 1: nod is unknown; did you mean node?"),
        ("node = \"a\"\nworker_max = 1", "line 2: worker_max is unknown; did you mean pool.workers_max?"),
        ("[pol]\nworkers_max = 1", "line 1: pol is unknown; did you mean pool?"),
        (
            "[pool]\ncolour = 1",
            "line 2: pool.colour is unknown; known are workers_min, workers_max, grow_after, idle_timeout, wait, thread_name",
        ),
    ];
    for (text, said) in cases {
        assert_eq!(refused(text), said, "{text}");
    }
    let policies = refused("subscriptions.overflow = \"drop\"");
    assert!(
        policies.starts_with("line 1: subscriptions.overflow is \"drop\"; allowed are \"grow\""),
        "{policies}"
    );
    for text in ["node = ", "node = \"a\"\nnode = \"b\"", "[pool", "node = \"a", "\n\n=", "[[pool]]\n[pool]"]
    {
        assert!(refused(text).starts_with("line "), "{text}");
    }
    let long = refused(&format!("node = \"{}\"", "x".repeat(100_000)));
    assert!(long.len() < 300, "{long}");
    assert!(!refused("\"a\\nb\" = 1").contains('\n'));
}

#[test]
fn columns_are_counted_in_characters() {
    let cases = [
        ("node = 7", (1, 8)),
        ("# \u{e4}\n  \"n\u{f6}de\" = 1", (2, 3)),
        ("pool = { wait = \"\u{e4}\", workers_min = nan }", (1, 36)),
        ("decline = [\n  \"\u{e4}\", 5,\n]", (2, 8)),
        ("[pool]\n\tcolour = 1", (2, 2)),
        ("[pool", (1, 6)),
        ("node = \"a\"\nnode = \"b\"", (2, 1)),
    ];
    for (text, place) in cases {
        let error = BusConfig::from_toml(text).unwrap_err();
        assert_eq!((error.line, error.column), place, "{error}");
    }
}

#[test]
fn no_number_of_the_wrong_kind_is_taken() {
    let values = [
        "-1",
        "0",
        "1.0",
        "1e3",
        "nan",
        "-inf",
        "'8'",
        "true",
        "[8]",
        "{ a = 8 }",
        "1979-05-27",
        "99999999999999999999",
    ];
    for value in values {
        let said = format!("line 1: pool.workers_min is {value}; allowed are 1 to 64");
        assert_eq!(refused(&format!("pool.workers_min = {value}")), said);
    }
}

#[test]
fn hostile_texts_are_refused() {
    let _watched = watched();
    let texts = [
        "[".repeat(1 << 20),
        format!("pool={}", "{wait=".repeat(50_000)),
        format!("{}=1", vec!["pool"; 50_000].join(".")),
        format!("[{}]", vec!["pool"; 50_000].join(".")),
        "[[pool]]\n".repeat(50_000),
        (0..1 << 20).map(|at| char::from((33 + (at % 997 * 7_919 + at / 13) % 93) as u8)).collect(),
        (0..50_000).map(|at| format!("k{at}=1\n")).collect(),
        format!("pool.workers_min = {}", "9".repeat(200_000)),
        format!("pool.grow_after = '{}s'", "9".repeat(200_000)),
        format!("decline = [{}'']", "'a',".repeat(50_000)),
    ];
    for text in texts {
        assert!(BusConfig::from_toml(&text).is_err(), "{}", &text[..10]);
        config_checks::check(&text);
    }
    let long = BusConfig::from_toml(&"#".repeat((1 << 20) + 1)).unwrap_err();
    assert_eq!(long.to_string(), "the text is too long; allowed are 1048576 bytes");
    read(&"#".repeat(1 << 20));
}

#[test]
fn errors_of_files_name_the_file() {
    let refused = |name: &str, bytes: &[u8]| {
        let file = format!("config-{name}-{}.toml", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        std::fs::write(&path, bytes).unwrap();
        let error = BusConfig::from_file(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(error.file.as_ref(), Some(&path));
        error.to_string().replace(&path.display().to_string(), "FILE")
    };
    let range = "FILE: line 2, column 15: pool.workers_min is 0; allowed are 1 to 64";
    assert_eq!(refused("range", b"[pool]\nworkers_min = 0"), range);
    assert_eq!(refused("latin", b"# caf\xe9\nnode = 'a'"), "FILE: line 1, column 6: this is not UTF-8");
    let long = "FILE: the text is too long; allowed are 1048576 bytes";
    assert_eq!(refused("long", &[b'#'; (1 << 20) + 1]), long);
    let gone = BusConfig::from_file("/no/such/file.toml").unwrap_err();
    assert!(gone.to_string().starts_with("/no/such/file.toml: ") && gone.line == 0, "{gone}");
    assert!(BusConfig::from_file(env!("CARGO_TARGET_TMPDIR")).is_err(), "a folder");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stasis-bus.toml");
    let read = BusConfig::from_file(sample).unwrap();
    assert_eq!(format!("{:?}", Bus::builder().config(&read)), format!("{:?}", Bus::builder()));
}

#[test]
fn code_and_configuration_go_together() {
    let _watched = watched();
    let config = read("[pool]\nworkers_min = 8");
    let both = |builder: stasis_bus::BusBuilder| format!("{:?}", builder.config(&config));
    let expected = format!("{:?}", Bus::builder().workers(8..=8).node("n"));
    assert_eq!(both(Bus::builder().workers(1..=4).node("n")), expected, "the maximum moves along");
    let config = read("pool.workers_max = 2");
    let expected = format!("{:?}", Bus::builder().workers(2..=2));
    assert_eq!(format!("{:?}", Bus::builder().workers(4..=6).config(&config)), expected);
    let declined = Bus::builder().decline("one").config(&read("decline = [\"two\"]"));
    assert_eq!(format!("{declined:?}"), format!("{:?}", Bus::builder().decline("one").decline("two")));
    let error: Error = BusConfig::from_toml("x = 1").unwrap_err().into();
    assert!(matches!(error, Error::ConfigText(_)));
}

#[test]
fn auto_in_a_text_goes_before_what_code_said() {
    let _watched = watched();
    let defaults = format!("{:?}", Bus::builder());
    let other = || Bus::builder().workers(1..=3).default_water_marks(9, 3);
    let text = "pool.workers_max = \"auto\"\nsubscriptions.water_marks = \"auto\"";
    assert_eq!(format!("{:?}", other().config(&read(text))), defaults);
    assert_eq!(format!("{:?}", other().config(&read(""))), format!("{:?}", other()));
    let set = other()
        .workers(2..=5)
        .grow_after(Duration::from_secs(1))
        .idle_timeout(None)
        .wait(Wait::BusySpin)
        .thread_name("other")
        .node("other")
        .default_capacity(7)
        .default_overflow(Overflow::Disconnect);
    assert_eq!(format!("{:?}", set.config(&read(SAMPLE))), defaults, "the sample says everything");
    let least = "pool = { workers_min = 64, workers_max = \"auto\" }";
    assert_eq!(options(least), format!("{:?}", Bus::builder().workers(64..=64)));
}

#[test]
fn g7_the_bus_says_what_subscriptions_do_not() {
    let _watched = watched();
    let text =
        "[subscriptions]\ncapacity = 4\noverflow = \"drop_oldest\"\nwater_marks = { high = 3, low = 1 }";
    let bus = Bus::builder().config(&read(text)).manual().build().unwrap();
    let (topic, kind) = (bus.topic("t").unwrap(), bus.message_type::<u64>("number").unwrap());
    let start = |name: &str| topic.subscription(name).accept(&kind);
    let plain = start("plain").start(|_| {}).unwrap();
    let own = start("own").capacity(8).overflow(Overflow::DropNewest).start(|_| {}).unwrap();
    let tiny = start("tiny").capacity(2).start(|_| {}).unwrap();
    let (listener, log) = note_numbers(start("noted"), Dispatch::Pool, &kind);
    (0..3).for_each(|number| assert!(topic.publish(kind.message(number)).reached()));
    assert!(plain.stats().congested && own.stats().congested, "from the third on");
    assert!(tiny.stats().congested, "its marks are its own: 50 %");
    (3..10).for_each(|number| assert!(topic.publish(kind.message(number)).reached()));
    assert_eq!((plain.stats().capacity, plain.stats().lost.evicted), (4, 6));
    assert_eq!((own.stats().capacity, own.stats().lost.refused), (8, 2));
    assert_eq!((tiny.stats().capacity, tiny.stats().lost.evicted), (2, 8));
    bus.run_until_idle();
    assert_eq!(log.all(), [6, 7, 8, 9].map(Some));
    drop(listener);
}

#[test]
fn defaults_set_in_code_are_checked() {
    let error = |builder: stasis_bus::BusBuilder| match builder.build().unwrap_err() {
        Error::Config(ConfigError::OutOfRange { field, value, .. }) => (field, value),
        other => panic!("{other:?}"),
    };
    assert_eq!(error(Bus::builder().default_capacity(0)), ("default_capacity", 0));
    assert_eq!(error(Bus::builder().default_capacity((1 << 24) + 1)), ("default_capacity", (1 << 24) + 1));
    let marks = |high, low| {
        Bus::builder()
            .default_capacity(10)
            .default_overflow(Overflow::DropOldest)
            .default_water_marks(high, low)
    };
    assert_eq!(error(marks(11, 1)), ("default_water_marks (high)", 11));
    assert_eq!(error(marks(0, 0)), ("default_water_marks (high)", 0));
    assert_eq!(error(marks(5, 5)), ("default_water_marks (low)", 5));
    assert!(marks(10, 9).build().is_ok());
}

#[test]
fn recorded_texts_hold() {
    let _watched = watched();
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds/config");
    let mut count = 0;
    for file in std::fs::read_dir(&seeds).expect("the seeds are there") {
        let text = std::fs::read_to_string(file.expect("readable").path()).expect("readable");
        let ends = (0..=text.len()).filter(|end| text.is_char_boundary(*end));
        ends.for_each(|end| config_checks::check(&text[..end]));
        count += 1;
    }
    assert!(count > 5, "no texts in {}", seeds.display());
    config_checks::check(SAMPLE);
    for hostile in ["a = ".to_owned() + &"[".repeat(100_000), "a.".repeat(50_000), "[a.b]\n".repeat(2)] {
        config_checks::check(&hostile);
    }
}
