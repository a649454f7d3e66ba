//! Messages and their types: names, making and reading, origins and times, formatters, declining.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

use common::*;
use stasis_bus::{
    AmiEvent, Bus, Change, ConfigError, EndReason, Error, Formatters, NameError, Refusal, SubscriptionChange,
    Timestamp, TypeError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

#[test]
fn the_same_name_and_type_are_the_same_message_type() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let first = bus.message_type::<String>("greeting").unwrap();
    let again = bus.message_type::<String>("greeting").unwrap();
    let other = bus.message_type::<String>("Greeting").unwrap();
    assert_eq!(first, again);
    assert_eq!((first.name(), first.id()), ("greeting", again.id()));
    assert_ne!(first, other, "names are case-sensitive");
    assert_ne!(first.id(), other.id());
    assert_eq!(bus.find_message_type::<String>("greeting"), Some(first.clone()));
    assert_eq!(bus.find_message_type::<u8>("greeting"), None, "another value type");
    assert_eq!(bus.find_message_type::<String>("unheard of"), None);
    let elsewhere = Bus::new().unwrap().message_type::<String>("greeting").unwrap();
    assert_ne!(first, elsewhere, "another bus, another type");
}

#[test]
fn a_name_stands_for_one_value_type() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    bus.message_type::<u8>("level").unwrap();
    let error = bus.message_type::<u16>("level").unwrap_err();
    assert_eq!(error, TypeError::OtherType("level".to_owned()));
    assert!(error.to_string().contains("\"level\""));
    assert_eq!(
        bus.message_type::<u8>("a\nb").unwrap_err(),
        TypeError::Name(NameError::ControlCharacter('\n', 1))
    );
    assert_eq!(bus.message_type::<u8>("").unwrap_err(), TypeError::Name(NameError::Empty));
    assert!(bus.message_type::<u8>(&"x".repeat(255)).is_ok());
    assert_eq!(
        bus.message_type::<u8>(&"x".repeat(256)).unwrap_err(),
        TypeError::Name(NameError::TooLong(256))
    );
    assert!(
        bus.message_type::<SubscriptionChange>(SubscriptionChange::TYPE_NAME).is_ok(),
        "the bus's own can be found"
    );
}

#[test]
fn racing_threads_get_the_same_type() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let ids: Vec<u32> = std::thread::scope(|scope| {
        let racers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| bus.message_type::<u8>("raced").unwrap().id())).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_message_is_read_by_its_own_type_only() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let (one, two) = (bus.message_type::<u64>("one").unwrap(), bus.message_type::<u64>("two").unwrap());
    let message = one.message(7);
    assert_eq!(
        (one.read(&message), two.read(&message)),
        (Some(&7), None),
        "the same value type is not enough"
    );
    assert_eq!((message.type_name(), message.type_id()), ("one", one.id()));
    let elsewhere = Bus::new().unwrap();
    let namesake = elsewhere.message_type::<u64>("one").unwrap();
    assert_eq!(namesake.read(&message), None);
    assert!(message.belongs_to(&bus) && !message.belongs_to(&elsewhere));
}

#[test]
fn a_message_of_another_bus_is_refused() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (other, _) = numbers();
    let topic = other.topic("t").unwrap();
    let (_listener, log) = note_numbers(topic.subscription("l"), stasis_bus::Dispatch::Inline, &kind);
    let report = topic.publish(kind.message(1));
    assert_eq!((report.refusal, report.accepted), (Some(Refusal::ForeignType), 0));
    assert!(log.all().is_empty());
    drop(bus);
}

#[test]
fn clones_share_one_value_that_goes_with_the_last() {
    let _watched = watched();
    let census = Census::new();
    let bus = Bus::new().unwrap();
    let kind = bus.message_type::<Alive>("value").unwrap();
    let message = kind.message(census.born());
    let clones: Vec<_> = (0..10).map(|_| message.clone()).collect();
    assert_eq!(message.reference_count(), 11);
    assert!(clones.iter().all(|clone| clone.is_same(&message)));
    assert!(!message.is_same(&kind.message(census.born())));
    drop(message);
    assert_eq!(census.alive(), 1);
    drop(bus);
    drop(clones);
    assert_eq!(census.alive(), 0, "messages outlive their bus");
}

#[test]
fn values_of_any_size_and_alignment() {
    let _watched = watched();
    #[repr(align(128))]
    #[derive(Debug, PartialEq)]
    struct Wide(u8);
    let bus = Bus::new().unwrap();
    let (nothing, wide) =
        (bus.message_type::<()>("nothing").unwrap(), bus.message_type::<Wide>("wide").unwrap());
    let large = bus.message_type::<[u64; 4096]>("large").unwrap();
    for _ in 0..200 {
        assert_eq!(nothing.read(&nothing.message(())), Some(&()));
        let message = wide.message(Wide(7));
        let value = wide.read(&message).unwrap();
        assert_eq!((value, std::ptr::from_ref(value).addr() % 128), (&Wide(7), 0));
        assert_eq!(large.read(&large.message([9; 4096])).unwrap()[4095], 9);
    }
}

#[test]
fn origins_are_names_of_nodes() {
    let _watched = watched();
    let bus = Bus::builder().node("here").build().unwrap();
    let kind = bus.message_type::<u8>("state").unwrap();
    let (here, there) = (bus.origin("here").unwrap(), bus.origin("there").unwrap());
    assert_ne!(here, there);
    assert_eq!(bus.origin("there"), Ok(there));
    assert_eq!(bus.origin_name(there).as_deref(), Some("there"));
    assert_eq!(kind.message(1).origin(), Some(here), "unless told otherwise");
    assert_eq!(kind.build(1).origin(there).finish().origin(), Some(there));
    assert_eq!(kind.build(1).aggregate().finish().origin(), None);
    assert_eq!(kind.build(1).aggregate().origin(there).finish().origin(), Some(there));
    assert_eq!(bus.origin("a\0b"), Err(NameError::ControlCharacter('\0', 1)));
    assert_eq!(size_of::<stasis_bus::Origin>(), 4);
    assert_eq!(size_of::<Option<stasis_bus::Message>>(), 8, "a thin pointer");
}

#[test]
fn timestamps_are_the_time_of_making_or_the_sources_own() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let coarse = bus.message_type::<u8>("coarse").unwrap();
    let exact = bus.define::<u8>("exact").exact_time().declare().unwrap();
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let (before, message, after) = (now(), exact.message(1), now());
    assert!((before..=after).contains(&message.timestamp().as_nanos()));
    let stepped = coarse.message(1).timestamp().as_nanos();
    assert!(now().abs_diff(stepped) < 3_600_000_000_000, "the same clock");
    let own = Timestamp::from_nanos(1_234_567_890);
    let message = coarse.build(1).at(own).finish();
    assert_eq!(message.timestamp(), own);
    assert_eq!(own.to_system_time(), SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_890));
    assert_eq!(format!("{own:?}"), "1.234567890");
}

#[test]
fn declined_types_make_empty_messages_that_reach_nobody() {
    let _watched = watched();
    let census = Census::new();
    let bus = Bus::builder().decline("verbose").build().unwrap();
    let kind = bus.message_type::<Alive>("verbose").unwrap();
    let topic = bus.topic("t").unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let sub = topic.subscription("all").inline(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let sub = sub.unwrap();
    let own = calls.load(Ordering::Relaxed);
    assert!(kind.is_declined());
    let message = kind.message(census.born());
    assert_eq!(census.alive(), 0, "the value is dropped at once");
    assert!(message.is_declined() && kind.read(&message).is_none());
    let report = topic.publish(message);
    assert!(report.is_declined() && !report.reached());
    assert!(!topic.wants(&kind));
    assert!(topic.publish_with(&kind, || unreachable!("declined")).is_declined());
    assert_eq!(sub.publish_sync(kind.message(census.born()), None), Ok(stasis_bus::Handled::Refused));
    assert_eq!(calls.load(Ordering::Relaxed), own);
    let info = bus.message_types().into_iter().find(|info| info.name == "verbose").unwrap();
    assert!(info.declined);
}

#[test]
fn control_types_cannot_be_declined() {
    let _watched = watched();
    let error = Bus::builder().decline(SubscriptionChange::TYPE_NAME).build().unwrap_err();
    assert!(
        matches!(&error, Error::Config(ConfigError::DeclinedControl { name }) if name == "subscription_change")
    );
    assert!(error.to_string().contains("subscription_change"));
}

#[test]
fn formatters_make_what_they_are_told() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let plain = bus.message_type::<u8>("plain").unwrap();
    let ami = bus
        .define::<u8>("ami")
        .ami(|value, message| {
            (*value > 0).then(|| AmiEvent::new(message.type_name()).header("Value", value.to_string()))
        })
        .declare()
        .unwrap();
    assert_eq!((plain.formatters(), ami.formatters()), (Formatters::NONE, Formatters::AMI));
    assert_eq!(plain.message(1).to_ami(), None);
    assert_eq!(ami.message(0).to_ami(), None, "this message has none");
    assert_eq!(ami.message(5).to_ami().unwrap().to_string(), "Event: ami\r\nValue: 5\r\n\r\n");
    let again = bus.define::<u8>("ami").declare().unwrap();
    assert_eq!(again.formatters(), Formatters::AMI, "a known type stays as it is");
    assert!(Formatters::AMI.intersects(Formatters::AMI | Formatters::JSON));
    assert!(!Formatters::AMI.intersects(Formatters::JSON) && Formatters::NONE.is_empty());
    assert_eq!(format!("{:?}", Formatters::AMI | Formatters::JSON), "{JSON, AMI}");
}

#[cfg(feature = "json")]
#[test]
fn json_forms() {
    let _watched = watched();
    let bus = Bus::new().unwrap();
    let own =
        bus.define::<u8>("own").json(|value, _| Some(serde_json::json!({ "v": value }))).declare().unwrap();
    let serde = bus.define::<Vec<u8>>("serde").serialize().declare().unwrap();
    assert_eq!(own.message(3).to_json(), Some(serde_json::json!({ "v": 3 })));
    assert_eq!(serde.message(vec![1, 2]).to_json(), Some(serde_json::json!([1, 2])));
    assert_eq!((own.formatters(), serde.formatters()), (Formatters::JSON, Formatters::JSON));
    assert!(format!("{:?}", own.message(3)).contains("{\"v\":3}"), "shown where there is a form");
    assert_eq!(bus.message_type::<u8>("none").unwrap().message(1).to_json(), None);
}

#[test]
fn debug_says_what_one_wants_to_know() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let message = kind.build(1).at(Timestamp::from_nanos(5)).aggregate().finish();
    let text = format!("{message:?}");
    assert!(text.contains("number") && text.contains("0.000000005") && text.contains("aggregate"), "{text}");
    let text = format!("{kind:?} {:?}", kind.build(1));
    assert!(text.contains("\"number\"") && text.contains("declined: false"), "{text}");
    let topic = bus.topic("hall").unwrap();
    let sub = topic.subscribe("guest", |_| {}).unwrap();
    let text = format!("{topic:?} {sub:?} {bus:?} {:?} {:?}", topic.subscription("made"), bus.downgrade());
    for part in ["hall", "guest", "subscriptions: 1", "Pool", "made", "stands: true"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn change_messages_have_forms_of_their_own() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let topic = bus.topic("evil\u{a0}name").unwrap();
    let mut changes = topic.subscription("c: d").accept(bus.subscription_changes()).stream().unwrap();
    let begin = changes.recv().unwrap();
    let id = changes.id();
    let expected = format!(
        "Event: SubscriptionChange\r\nTopic: evil\u{a0}name\r\nSubscription: c: d\r\nId: {id}\r\n\
         Description: Subscribe\r\n\r\n"
    );
    assert_eq!(begin.message().to_ami().unwrap().to_string(), expected);
    changes.unsubscribe();
    let end = changes.recv().unwrap().into_message();
    assert!(
        end.to_ami().unwrap().to_string().contains("Description: Unsubscribe\r\nReason: unsubscribed\r\n")
    );
    let change = bus.subscription_changes().read(&end).unwrap();
    assert_eq!(change.change, Change::Unsubscribe(EndReason::Unsubscribed));
    #[cfg(feature = "json")]
    assert_eq!(end.to_json().unwrap()["reason"], "unsubscribed");
}

/// Whatever a value holds, the text is one event with exactly its headers.
#[test]
fn nothing_breaks_out_of_an_ami_event() {
    let _watched = watched();
    let nasty = [
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "\0",
        "\u{85}",
        "\u{9b}",
        "\x1b[2J",
        "a\r\nAction: Originate",
        ":",
        ": :",
        "",
        " ",
        "\t",
        "é\r\nß",
        "\u{7f}",
    ];
    for name in nasty {
        for key in nasty {
            for value in nasty {
                let event = AmiEvent::new(name).header(key, value).header(value, key).header("Last", "x");
                let text = event.to_string();
                assert!(text.ends_with("\r\nLast: x\r\n\r\n"), "{text:?}");
                let lines: Vec<_> = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
                assert_eq!(lines.len(), 4, "{text:?}");
                assert!(lines[0].starts_with("Event: "));
                let unclean = |c: char| c.is_control() && c != '\t';
                assert!(lines.iter().all(|line| !line.contains(unclean)), "{text:?}");
                for line in &lines {
                    let (key, _) = line.split_once(": ").unwrap();
                    assert!(!key.is_empty() && !key.contains(':'), "{text:?}");
                }
                assert_eq!(event.headers()[0], (key.to_owned(), value.to_owned()), "as they were given");
            }
        }
    }
}

/// A worker adds up the references that it gives back; what somebody kept for longer than it had work goes with that.
#[test]
fn a_message_that_was_kept_goes_when_it_is_let_go_of() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let (kind, topic) = (bus.message_type::<Alive>("flag").unwrap(), bus.topic("flags").unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let subscriptions: Vec<_> = (0..8)
        .map(|_| {
            let calls = calls.clone();
            topic.subscribe("counts", move |_| _ = calls.fetch_add(1, Ordering::SeqCst)).unwrap()
        })
        .collect();
    let begun = calls.load(Ordering::SeqCst);
    let census = Census::new();
    let kept: Vec<_> = (0..1_000).map(|_| kind.message(census.born())).collect();
    for message in &kept {
        assert_eq!(topic.publish(message.clone()).accepted, 8);
    }
    eventually(|| calls.load(Ordering::SeqCst) >= begun + 8_000);
    eventually(|| kept.iter().all(|message| message.reference_count() == 1));
    assert_eq!(census.alive(), 1_000);
    drop(kept);
    assert_eq!(census.alive(), 0, "on the thread that made them, at once");
    drop(subscriptions);
}

/// The same with workers that each hold a part, and with nobody who keeps anything: a quiet bus holds no value.
#[test]
fn references_given_back_by_several_workers_add_up() {
    let _watched = watched();
    let bus = Bus::builder().workers(3..=3).build().unwrap();
    let (kind, topic) = (bus.message_type::<Alive>("flag").unwrap(), bus.topic("flags").unwrap());
    let _subscriptions: Vec<_> = (0..9).map(|_| topic.subscribe("hears", |_| {}).unwrap()).collect();
    let census = Census::new();
    for _ in 0..5_000 {
        assert_eq!(topic.publish(kind.message(census.born())).accepted, 9);
    }
    eventually(|| census.alive() == 0);
    bus.shutdown(Duration::from_secs(20)).unwrap();
}

/// The drop of a value may publish, and the worker that drops it runs the Serial mailboxes of that: what it notes there
/// it gives back as well before it sleeps.
#[test]
fn g11_references_noted_while_values_are_dropped_are_given_back_before_the_worker_sleeps() {
    let _watched = watched();
    struct Will(stasis_bus::Topic, stasis_bus::Message);
    impl Drop for Will {
        fn drop(&mut self) {
            assert_eq!(self.0.publish(self.1.clone()).accepted, 2);
        }
    }
    // A worker that wakes up to look whether it is to leave would hide it.
    let bus = Bus::builder().workers(1..=1).idle_timeout(None).build().unwrap();
    let (kind, heirs) = (bus.message_type::<u8>("word").unwrap(), bus.topic("heirs").unwrap());
    let (wills, topic) = (bus.message_type::<Will>("will").unwrap(), bus.topic("wills").unwrap());
    let heard = Arc::new(AtomicUsize::new(0));
    let serial = |heard: Arc<AtomicUsize>| {
        let heir = heirs.subscription("heir").accept(&kind).dispatch(stasis_bus::Dispatch::Serial);
        heir.start(move |delivery| _ = heard.fetch_add(usize::from(!delivery.is_final()), Ordering::SeqCst))
    };
    let _heirs = [serial(heard.clone()).unwrap(), serial(heard.clone()).unwrap()];
    let _pool = topic.subscription("pool").accept(&wills).start(|_| {}).unwrap();
    let word = kind.message(1);
    topic.publish(wills.message(Will(heirs.clone(), word.clone())));
    eventually(|| heard.load(Ordering::SeqCst) == 2);
    eventually(|| word.reference_count() == 1);
}
