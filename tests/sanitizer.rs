//! One consumer of JSON sees less than the others.

#![cfg(feature = "json")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use serde_json::{Value, json};
use stasis_bus::{Bus, JsonSanitizer, Message, MessageType, PanicPlace};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone, serde::Serialize)]
struct Channel {
    name: String,
    secret: String,
}

fn channel(name: &str) -> Channel {
    Channel { name: name.to_owned(), secret: "s3cret".to_owned() }
}

struct Bridge {
    channels: Vec<Channel>,
    /// By id only.
    spied_by: Vec<String>,
}

struct Yard {
    bus: Bus,
    channels: MessageType<Channel>,
    bridges: MessageType<Bridge>,
}

fn yard() -> Yard {
    let bus = Bus::builder().manual().build().unwrap();
    let channels = bus.define("channel").serialize().declare().unwrap();
    let bridges = bus
        .define::<Bridge>("bridge")
        .json_for(|bridge, _, sanitizer| {
            let channels: Vec<_> =
                bridge.channels.iter().filter(|channel| !sanitizer.hides(*channel)).collect();
            let spied_by: Vec<_> =
                bridge.spied_by.iter().filter(|id| !sanitizer.hides_id("channel", id)).collect();
            Some(json!({ "channels": channels, "spied_by": spied_by }))
        })
        .declare()
        .unwrap();
    Yard { bus, channels, bridges }
}

impl Yard {
    fn bridge(&self) -> Message {
        let channels = ["alice", "Local/x", "bob"].map(channel).into();
        self.bridges.message(Bridge { channels, spied_by: vec!["Local/spy".to_owned(), "carol".to_owned()] })
    }
}

fn without_local() -> JsonSanitizer {
    JsonSanitizer::new()
        .hide_where(|channel: &Channel| channel.name.starts_with("Local/"))
        .hide_id("channel", |id| id.starts_with("Local/"))
}

fn names(json: &Value) -> Vec<&str> {
    json["channels"].as_array().unwrap().iter().map(|channel| channel["name"].as_str().unwrap()).collect()
}

#[test]
fn formatters_leave_hidden_objects_out() {
    let _watched = watched();
    let yard = yard();
    let message = yard.bridge();
    let seen = message.to_json_with(&without_local()).unwrap();
    assert_eq!((names(&seen), &seen["spied_by"]), (vec!["alice", "bob"], &json!(["carol"])));
    let all = message.to_json().unwrap();
    assert_eq!(names(&all), ["alice", "Local/x", "bob"], "other consumers see everything");
    assert_eq!(message.to_json_with(&JsonSanitizer::new()), Some(all));
}

#[test]
fn a_message_whose_subject_is_hidden_has_no_form() {
    let _watched = watched();
    let yard = yard();
    let sanitizer = without_local();
    let hidden = yard.channels.message(channel("Local/x"));
    assert_eq!(hidden.to_json_with(&sanitizer), None, "the plain serde formatter asks nothing, and need not");
    assert!(hidden.to_json().is_some());
    assert!(yard.channels.message(channel("alice")).to_json_with(&sanitizer).is_some());
    let stranger = JsonSanitizer::new().hide_type("bridge");
    assert_eq!(yard.bridge().to_json_with(&stranger), None);
    assert!(yard.channels.message(channel("Local/x")).to_json_with(&stranger).is_some());
}

#[test]
fn ids_are_hidden_by_class() {
    let sanitizer = without_local().hide_id("device", |_| true);
    assert!(sanitizer.hides_id("channel", "Local/1") && !sanitizer.hides_id("channel", "SIP/1"));
    assert!(sanitizer.hides_id("device", "SIP/1") && !sanitizer.hides_id("bridge", "Local/1"));
    assert!(sanitizer.hides(&channel("Local/")) && !sanitizer.hides(&"Local/"), "by Rust type");
}

#[test]
fn fields_are_hidden_by_path() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.define::<Value>("value").serialize().declare().unwrap();
    let message =
        kind.message(json!({ "a": { "b": 1, "c": 2 }, "list": [{ "b": 1 }, { "b": 2, "c": 3 }, 4], "b": 5 }));
    let seen = |path: &str| message.to_json_with(&JsonSanitizer::new().hide_field(path)).unwrap();
    let mut expected = message.to_json().unwrap();
    assert_eq!(seen("x"), expected);
    assert_eq!(seen(""), expected, "no field has an empty name");
    assert_eq!(seen("list.b"), expected, "an array is a step of its own");
    expected["a"].as_object_mut().unwrap().remove("b");
    assert_eq!(seen("a.b"), expected);
    assert_eq!(seen("list.*.b")["list"], json!([{}, { "c": 3 }, 4]));
    assert_eq!(seen("*.b"), expected, "one step each");
    assert_eq!(seen("list.1")["list"], json!([{ "b": 1 }, 4]));
    assert_eq!(seen("*"), json!({}));
    let two = JsonSanitizer::new().hide_field("list.0").hide_field("list.1").hide_field("a");
    assert_eq!(
        message.to_json_with(&two),
        Some(json!({ "list": [4], "b": 5 })),
        "places are those of the whole"
    );
}

#[test]
fn values_are_hidden_by_what_they_are() {
    let _watched = watched();
    let yard = yard();
    let secrets = JsonSanitizer::new().hide_value(|way, _| way.last().is_some_and(|name| name == "secret"));
    let seen = yard.bridge().to_json_with(&secrets).unwrap();
    assert!(!seen.to_string().contains("s3cret") && names(&seen).len() == 3);
    let bobless = JsonSanitizer::new().hide_value(|_, value| value["name"] == "bob");
    assert_eq!(names(&yard.bridge().to_json_with(&bobless).unwrap()), ["alice", "Local/x"]);
    let whole = JsonSanitizer::new().hide_value(|way, value| way.is_empty() && value["name"] == "bob");
    assert_eq!(yard.channels.message(channel("bob")).to_json_with(&whole), None);
    assert!(yard.channels.message(channel("alice")).to_json_with(&whole).is_some());
    let ways = Log::new();
    let noted = ways.clone();
    let curious = JsonSanitizer::new().hide_value(move |way, _| {
        noted.push(way.join("/"));
        false
    });
    yard.channels.message(channel("alice")).to_json_with(&curious).unwrap();
    assert_eq!(ways.all(), ["", "name", "secret"]);
}

#[test]
fn g8_a_sanitizer_may_use_the_bus() {
    let _watched = watched();
    let yard = yard();
    let (bus, kind) = (yard.bus.clone(), yard.channels.clone());
    let sanitizer = JsonSanitizer::new().hide_where(move |channel: &Channel| {
        let topic = bus.topic("asked").unwrap();
        topic.publish(kind.message(channel.clone())).refusal.is_some() || !bus.message_types().is_empty()
    });
    assert_eq!(yard.channels.message(channel("alice")).to_json_with(&sanitizer), None);
    assert_eq!(yard.bus.find_topic("asked").map(|topic| topic.stats().published), None, "nobody holds it");
}

#[test]
fn g9_a_panic_in_a_sanitizer_hides_the_message_and_is_counted() {
    let _watched = watched();
    let told = Log::new();
    let noted = told.clone();
    let hook = move |report: &stasis_bus::PanicReport<'_>| noted.push((report.name.to_owned(), report.place));
    let bus = Bus::builder().manual().on_panic(hook).build().unwrap();
    let kind = bus.define::<Value>("value").serialize().declare().unwrap();
    let message = kind.message(json!({ "a": 1 }));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let bursts = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        panic!("{ON_PURPOSE}")
    };
    let (one, two) = (bursts.clone(), bursts);
    let by_object = JsonSanitizer::new().hide_where(move |_: &Value| one());
    let by_value = JsonSanitizer::new().hide_value(move |_, _| two());
    assert_eq!(message.to_json_with(&by_object), None, "shows nothing rather than too much");
    assert_eq!(message.to_json_with(&by_value), None);
    assert!(message.to_json().is_some());
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(told.all(), vec![("value".to_owned(), PanicPlace::Formatter); 2]);
    assert_eq!(bus.message_types().iter().find(|info| info.name == "value").unwrap().panics, 2);
}
