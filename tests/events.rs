//! Messages that go to another node as text and are read there: the round trip, and what strangers may send.

#![cfg(feature = "json")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;
mod event_checks;

use common::*;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stasis_bus::{
    Bus, Dispatch, EventError, Formatters, Message, MessageType, PanicPlace, Refusal, Timestamp,
};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Snapshot {
    channel: String,
    variables: BTreeMap<String, Option<f64>>,
    legs: Vec<(u64, i128, char)>,
}

fn snapshot() -> Snapshot {
    Snapshot {
        channel: "PJSIP/\u{e4}lice \"1\"\r\n\u{1f600}\0".to_owned(),
        variables: [("a.b".to_owned(), Some(0.1)), (String::new(), None)].into(),
        legs: vec![(u64::MAX, i128::MIN, '\u{202e}')],
    }
}

/// Two nodes that know each other.
fn nodes() -> [(Bus, MessageType<Snapshot>); 2] {
    ["here", "there"].map(|name| {
        let bus = Bus::builder().node(name).manual().build().unwrap();
        bus.origin("here").unwrap();
        bus.origin("there").unwrap();
        let kind = bus.define("snapshot").event().declare().unwrap();
        (bus, kind)
    })
}

fn head(bus: &Bus, message: &Message) -> (u64, Option<String>) {
    (message.timestamp().as_nanos(), message.origin().and_then(|origin| bus.origin_name(origin)))
}

#[test]
fn an_event_is_read_as_it_was_written() {
    let _watched = watched();
    let [(here, kind), (there, theirs)] = nodes();
    let time = Timestamp::from_nanos(u64::MAX);
    let messages = [
        (kind.message_at(snapshot(), time), (u64::MAX, Some("here".to_owned()))),
        (kind.build(snapshot()).at(time).aggregate().finish(), (u64::MAX, None)),
        (kind.message(Snapshot::default()), (0, Some("here".to_owned()))),
    ];
    for (message, expected) in messages {
        let event = here.event_of(&message).unwrap();
        assert!(!event.contains('\n'), "one line: {event}");
        assert_eq!(message.to_event(&here).as_ref(), Some(&event));
        let read = there.message_from_event(&event).unwrap();
        assert_eq!(theirs.read(&read), kind.read(&message));
        assert_eq!(head(&there, &read), expected);
        assert_eq!(there.event_of(&read).unwrap(), event, "it may go on to a third node");
    }
}

#[test]
fn floats_come_back_to_the_last_bit() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.define::<f64>("level").event().declare().unwrap();
    let mut state = 7_u64;
    let drawn = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(state)
    });
    let chosen = [0.1 + 0.2, -0.0, 5e-324, f64::MAX, 123_456_789.123_456_79];
    for value in chosen.into_iter().chain(drawn.take(2_000)).filter(|value| value.is_finite()) {
        let read = bus.message_from_event(bus.event_of(&kind.message(value)).unwrap()).unwrap();
        assert_eq!(kind.read(&read).map(|read| read.to_bits()), Some(value.to_bits()), "{value:e}");
    }
}

#[test]
fn what_was_read_is_published_like_any_message() {
    let _watched = watched();
    let [(here, kind), (there, theirs)] = nodes();
    let topic = there.topic("all").unwrap();
    let log = Log::new();
    let (noted, typed) = (log.clone(), theirs.clone());
    let builder = topic.subscription("bridge").accept_formatters(Formatters::EVENT);
    let _listener = listen(builder, Dispatch::Pool, move |heard| {
        noted.push(typed.read(&heard.message).cloned());
    });
    let event = here.event_of(&kind.message(snapshot())).unwrap();
    assert!(topic.publish(there.message_from_event(event).unwrap()).reached());
    there.run_until_idle();
    assert_eq!(log.all(), [Some(snapshot())]);
}

#[test]
fn fields_come_in_any_order_and_further_ones_are_ignored() {
    let _watched = watched();
    let [_, (there, theirs)] = nodes();
    let event = r#" { "later": {"value": 1}, "value": {"legs": [], "variables": {}, "channel": "\u0041", "more": 1},
                      "origin": null, "time": 7, "type": "snap\u0073hot" } "#;
    let read = there.message_from_event(event).unwrap();
    assert_eq!(head(&there, &read), (7, None));
    assert_eq!(theirs.read(&read).unwrap().channel, "A");
}

#[test]
fn messages_without_an_event_form_have_none() {
    let _watched = watched();
    let [(here, kind), (there, _)] = nodes();
    let plain = here.message_type::<u8>("plain").unwrap();
    assert_eq!(here.event_of(&plain.message(1)), None);
    assert_eq!(there.event_of(&kind.message(snapshot())), None, "its origin means nothing there");
    there.origin("further").unwrap();
    let far = there.origin("far").unwrap();
    let unknown = kind.build(snapshot()).origin(far).finish();
    assert_eq!(here.event_of(&unknown), None, "of another bus's node, and no aggregate");
    let maps = here.define::<BTreeMap<(u8, u8), u8>>("maps").event().declare().unwrap();
    assert_eq!(here.event_of(&maps.message([((1, 2), 3)].into())), None, "serde cannot write it");
    let texts = here.define::<String>("text").event().declare().unwrap();
    let around = r#"{"type":"text","time":0,"origin":"here","value":""}"#.len();
    let longest = "x".repeat(Bus::EVENT_BYTES_MAX - around);
    let event = here.event_of(&texts.message(longest.clone())).unwrap();
    assert_eq!(event.len(), Bus::EVENT_BYTES_MAX);
    assert_eq!(texts.read(&here.message_from_event(event).unwrap()), Some(&longest));
    assert_eq!(here.event_of(&texts.message(longest + "x")), None, "nobody would read it");
}

#[test]
fn events_of_declined_types_are_empty() {
    let _watched = watched();
    let bus = Bus::builder().decline("snapshot").manual().build().unwrap();
    let kind = bus.define::<Snapshot>("snapshot").event().declare().unwrap();
    assert_eq!(bus.event_of(&kind.message(snapshot())), None);
    let [(here, open), _] = nodes();
    bus.origin("here").unwrap();
    let message = bus.message_from_event(here.event_of(&open.message(snapshot())).unwrap()).unwrap();
    assert!(message.is_declined());
    let report = bus.topic("t").unwrap().publish(message);
    assert_eq!(report.refusal, Some(Refusal::Declined));
}

#[test]
fn errors_name_the_field_the_value_and_what_is_allowed() {
    let _watched = watched();
    let [(here, _), _] = nodes();
    here.message_type::<u8>("plain").unwrap();
    let said = |event: &str| here.message_from_event(event).unwrap_err().to_string();
    let with = |name: &str, time: &str, origin: &str, value: &str| {
        said(&format!(r#"{{"type":{name},"time":{time},"origin":{origin},"value":{value}}}"#))
    };
    let good = r#""snapshot""#;
    let time = "nanoseconds since 1970, 0 to 18446744073709551615";
    assert_eq!(with("7", "1", "null", "{}"), "event: type is 7; allowed is the name of a message type");
    assert_eq!(with(good, "-1", "null", "{}"), format!("event: time is -1; allowed is {time}"));
    assert_eq!(with(good, "1.5", "null", "{}"), format!("event: time is 1.5; allowed is {time}"));
    assert_eq!(
        with(good, "1", "[\"here\"]", "{}"),
        r#"event: origin is ["here"]; allowed is the name of a node, or null for an aggregate"#
    );
    assert_eq!(
        with(r#""snap\nshot""#, "1", "null", "{}"),
        r#"event: type is "snap\nshot"; allowed are the message types of this bus"#
    );
    assert_eq!(
        with(r#""plain""#, "1", "null", "1"),
        r#"event: type is "plain"; allowed are types declared with event()"#
    );
    assert_eq!(
        with(good, "1", "\"nowhere\"", "{}"),
        r#"event: origin is "nowhere"; allowed are nodes made known by Bus::origin(), and null"#
    );
    assert_eq!(here.origin("nowhere").map(|made| here.origin_name(made)), Ok(Some("nowhere".to_owned())));
    let wrong = with(good, "1", "null", r#"{"channel":1}"#);
    assert!(
        wrong.starts_with(r#"event: value is {"channel":1}, which is no "snapshot": invalid type"#),
        "{wrong}"
    );
    assert_eq!(said(r#"{"type":"snapshot","time":1,"value":{}}"#), "event has no origin");
    assert_eq!(said(r#"{"time":1,"origin":null,"value":{}}"#), "event has no type");
    for malformed in [
        "",
        "7",
        "null",
        "[]",
        r#"["snapshot",1,null,{}]"#,
        " [",
        "{",
        "{}x",
        r#"{"time":1,"time":2}"#,
        "\u{feff}{}",
    ] {
        let error = said(malformed);
        assert!(error.starts_with("event is no JSON object") || error == "event has no type", "{error}");
    }
    assert!(here.message_from_event(b"{\"type\":\"\xff\"}").is_err());
    let large = vec![b' '; Bus::EVENT_BYTES_MAX + 1];
    let error = here.message_from_event(&large).unwrap_err();
    assert_eq!(error, EventError::TooLarge { bytes: large.len(), allowed: Bus::EVENT_BYTES_MAX });
    assert_eq!(error.to_string(), "event has 1048577 bytes; at most 1048576 are allowed");
}

#[test]
fn strangers_can_neither_forge_control_messages_nor_fill_the_memory() {
    let _watched = watched();
    let [(here, _), _] = nodes();
    let forged = r#"{"type":"subscription_change","time":1,"origin":null,
                     "value":{"topic":"t","subscription":"s","id":1,"change":"Subscribe"}}"#;
    let error = here.message_from_event(forged).unwrap_err();
    assert_eq!(error, EventError::NoEventForm("subscription_change".to_owned()));
    let types = here.message_types().len();
    let long = "x".repeat(500_000);
    for event in [
        format!(r#"{{"type":"{long}","time":1,"origin":null,"value":1}}"#),
        format!(r#"{{"type":"snapshot","time":1,"origin":"{long}","value":1}}"#),
        format!(r#"{{"type":"snapshot","time":"{long}","origin":null,"value":1}}"#),
        format!(r#"{{"type":"snapshot","time":1,"origin":null,"value":"{long}"}}"#),
        format!(r#"{{"type":"snapshot","time":1,"origin":null,"value":{{"{long}":1}}}}"#),
        format!(r#"{{"type":"snapshot","time":1,"origin":null,"value":{}}}"#, "[".repeat(500_000)),
        format!(
            r#"{{"type":"snapshot","time":1,"origin":null,"value":{}1{}}}"#,
            "[".repeat(1_000),
            "]".repeat(1_000)
        ),
        "[".repeat(1 << 20),
        r#"{"a":"#.repeat(100_000),
    ] {
        let text = here.message_from_event(&event).unwrap_err().to_string();
        assert!(text.len() < 600, "{} bytes of error", text.len());
        assert!(!text.contains(['\n', '\r']));
    }
    assert_eq!(here.message_types().len(), types, "nothing was declared");
}

/// Panics when it is written, or read, as it says.
#[derive(Debug)]
struct Grenade {
    bursts: bool,
}

impl Serialize for Grenade {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        assert!(!self.bursts, "{ON_PURPOSE}");
        to.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for Grenade {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        assert!(!bool::deserialize(from)?, "{ON_PURPOSE}");
        Ok(Self { bursts: true })
    }
}

#[test]
fn g9_a_panic_in_serde_is_caught_and_counted() {
    let _watched = watched();
    let told = Log::new();
    let noted = told.clone();
    let hook = move |report: &stasis_bus::PanicReport<'_>| noted.push((report.name.to_owned(), report.place));
    let bus = Bus::builder().manual().on_panic(hook).build().unwrap();
    let kind = bus.define::<Grenade>("grenade").event().declare().unwrap();
    assert_eq!(bus.event_of(&kind.message(Grenade { bursts: true })), None);
    let event = bus.event_of(&kind.message(Grenade { bursts: false })).unwrap();
    assert_eq!(bus.message_from_event(event).unwrap_err(), EventError::Panicked("grenade".to_owned()));
    assert_eq!(told.all(), vec![("grenade".to_owned(), PanicPlace::Formatter); 2]);
    assert_eq!(bus.message_types().iter().find(|info| info.name == "grenade").unwrap().panics, 2);
}

/// Far more than an event holds, in kilobytes.
const ROUNDS: usize = 20_000;

/// Goes on for [`ROUNDS`] unless it is refused; a deaf one does not listen to that either.
struct Tireless {
    deaf: bool,
}

impl Serialize for Tireless {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(None)?;
        for _ in 0..ROUNDS {
            let heard = list.serialize_element("x".repeat(1000).as_str());
            if !self.deaf {
                heard?;
            }
        }
        if !self.deaf {
            unreachable!("{ROUNDS} kilobytes were taken")
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Tireless {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        bool::deserialize(from).map(|deaf| Self { deaf })
    }
}

#[test]
fn a_value_that_is_too_long_is_not_written_to_its_end() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.define::<Tireless>("tireless").event().declare().unwrap();
    for deaf in [false, true] {
        assert_eq!(bus.event_of(&kind.message(Tireless { deaf })), None);
    }
    assert!(bus.message_types().iter().all(|info| info.panics == 0), "it was stopped at the limit");
}

thread_local! {
    static BUS: std::cell::RefCell<Option<Bus>> = const { std::cell::RefCell::new(None) };
}

/// Uses the bus while it is written and read.
#[derive(Debug, PartialEq)]
struct Nosy;

impl Nosy {
    fn looks_around() {
        let bus = BUS.with_borrow(Clone::clone).expect("the test has set it");
        let kind = bus.message_type::<u8>("found by serde").unwrap();
        bus.origin("found by serde").unwrap();
        bus.topic("found by serde").unwrap().publish(kind.message(1));
    }
}

impl Serialize for Nosy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Self::looks_around();
        to.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Nosy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::looks_around();
        <()>::deserialize(from).map(|()| Self)
    }
}

#[test]
fn g8_serde_code_may_use_the_bus() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    BUS.set(Some(bus.clone()));
    let kind = bus.define::<Nosy>("nosy").event().declare().unwrap();
    let event = bus.event_of(&kind.message(Nosy)).unwrap();
    assert_eq!(kind.read(&bus.message_from_event(event).unwrap()), Some(&Nosy));
    BUS.set(None);
}

#[test]
fn recorded_events_hold() {
    let _watched = watched();
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds/event");
    let mut count = 0;
    for file in std::fs::read_dir(&seeds).expect("the seeds are there") {
        let bytes = std::fs::read(file.expect("readable").path()).expect("readable");
        (0..=bytes.len()).for_each(|end| event_checks::check(&bytes[..end]));
        count += 1;
    }
    assert!(count > 10, "no events in {}", seeds.display());
}
