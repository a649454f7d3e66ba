//! Names, sizes, and things of another bus.

use crate::common::*;
use stasis_bus::{
    Bus, Cache, CacheBuilder, CachePattern, Dispatch, Error, Filter, Grow, Overflow, Refusal, SubscribeError,
    TopicPool, Wait,
};
use std::time::Duration;

fn bad_names() -> Vec<String> {
    vec![
        String::new(),
        "x".repeat(256),
        "é".repeat(128),
        "x".repeat(1 << 20),
        "a\0b".to_owned(),
        "a\nb".to_owned(),
        "\u{7f}".to_owned(),
        "a\u{9f}".to_owned(),
    ]
}

fn odd_names() -> Vec<String> {
    let whole = [
        "/",
        "//",
        "..",
        "%2F",
        "\\",
        "\"'",
        " ",
        "\u{202e}abc",
        "\u{feff}",
        "a\u{301}",
        "💥",
        "-",
        "NaN",
        "{}",
    ];
    whole.iter().map(|name| (*name).to_owned()).chain(["x".repeat(255)]).collect()
}

/// One way to name something.
type Entry = fn(&Bus, &str) -> Result<(), String>;

fn text<T, E: ToString>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

fn void(bus: &Bus) -> CacheBuilder {
    Cache::builder(bus).id(|_| None)
}

const ENTRIES: [(&str, Entry); 22] = [
    ("topic", |bus, name| text(bus.topic(name))),
    ("topic_with", |bus, name| text(bus.topic_with(name, name))),
    ("topic_of", |bus, name| text(bus.topic_of::<u8>(name))),
    ("topic_pool", |bus, name| text(bus.topic_pool(name))),
    ("state_manager", |bus, name| text(bus.state_manager(name))),
    ("message_type", |bus, name| text(bus.message_type::<u8>(name))),
    ("define", |bus, name| text(bus.define::<u8>(name).declare())),
    ("origin", |bus, name| text(bus.origin(name))),
    ("subscription", |bus, name| text(bus.topic("t").unwrap().subscription(name).start(|_| {}))),
    ("router", |bus, name| text(bus.topic("t").unwrap().router(name).start())),
    ("cache", |bus, name| text(void(bus).name(name).build())),
    ("node", |_, name| text(Bus::builder().node(name).build())),
    ("thread_name", |_, name| text(Bus::builder().thread_name(name).build())),
    ("own thread_name", |bus, name| {
        let topic = bus.topic("t").unwrap();
        text(topic.subscription("s").dispatch(Dispatch::Dedicated).thread_name(name).start(|_| {}))
    }),
    ("topic_in_class", |bus, name| text(bus.topic_in_class(name, "class"))),
    ("class", |bus, name| text(bus.topic_in_class("t", name))),
    ("inline", |bus, name| text(bus.topic("t").unwrap().subscription(name).inline(|_| {}))),
    ("stream", |bus, name| text(bus.topic("t").unwrap().subscription(name).stream())),
    ("of a caching topic", |bus, name| {
        let cached = bus.topic("t").unwrap().caching(&void(bus).build().unwrap()).unwrap();
        text(cached.subscription(name).start(|_| {}))
            .and(text(cached.snapshot_subscription(name).start(|_| {})))
    }),
    ("of a cache", |bus, name| text(void(bus).build().unwrap().snapshot_subscription(name).start(|_| {}))),
    ("cache pattern", |bus, name| text(CachePattern::new(bus, name, void(bus)))),
    ("cache single", |bus, name| {
        let all = CachePattern::of(&bus.topic("all").unwrap(), &void(bus).build().unwrap()).unwrap();
        text(all.single(name)).and(text(all.sink(name)))
    }),
];

/// What is wrong with that name, and where: of a name that is long only so much as tells it from others.
fn refusal(entry: &str, name: &str) -> String {
    let control = name.char_indices().find(|(_, c)| c.is_control());
    let why = match (name.len(), control) {
        (0, _) => "name is empty; it needs 1 to 255 bytes".to_owned(),
        (256.., _) => format!("name has {} bytes; at most 255 are allowed", name.len()),
        (_, Some((at, c))) => format!("name has the control character {c:?} at byte {at}; none is allowed"),
        (_, None) => panic!("{name:?} is allowed"),
    };
    let begin: String = name.chars().take(64).collect();
    let more = if begin == name { "" } else { "..." };
    match entry {
        "topic_of" | "message_type" | "define" => format!("message type: {why}"),
        "subscription" | "router" | "inline" | "stream" | "of a cache" | "of a caching topic"
        | "own thread_name" => {
            format!("subscription: {why}")
        }
        "cache" => format!("cache: {why}"),
        "node" | "thread_name" => format!("{entry} {begin:?}{more}: {why}"),
        _ => why,
    }
}

#[test]
fn names_that_are_none_are_refused_at_every_entry() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    for (entry, call) in ENTRIES {
        for name in bad_names() {
            let error = call(&bus, &name).expect_err(entry);
            assert_eq!(
                error,
                refusal(entry, &name),
                "{entry} {:?}",
                name.chars().take(9).collect::<String>()
            );
            assert!(error.len() < 600, "an error is short, whatever the name");
        }
    }
    end(&bus);
}

#[test]
fn odd_names_are_taken_at_every_entry() {
    let _watched = watched();
    for name in odd_names() {
        let bus = Bus::builder().manual().build().unwrap();
        // Names of values and of types share nothing: the same one may be a u8 everywhere.
        for (entry, call) in ENTRIES {
            assert_eq!(call(&bus, &name), Ok(()), "{entry} {name:?}");
        }
        // A manager's name stands before those of its states, with three bytes for a slash: the longest leaves no room.
        let state = text(bus.state_manager(&name).unwrap().publisher("s"));
        let too_long = format!(
            "state manager \"{}\"... has a name of 255 bytes, slashes and % signs counted threefold; its states need one of \
             at most 253",
            "x".repeat(64)
        );
        assert_eq!(state.err(), (name.len() == 255).then_some(too_long), "{name:?}");
        bus.run_until_idle();
        assert!(bus.message_types().iter().any(|known| known.name == name), "{}", bus.stats());
        assert!(bus.diagnose().is_well(), "{}", bus.diagnose());
        end(&bus);
    }
}

#[test]
fn members_and_states_with_bad_names_are_refused() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let (pool, states) = (bus.topic_pool("pool").unwrap(), bus.state_manager("states").unwrap());
    for name in bad_names() {
        let told = [text(pool.member(&name)), text(states.publisher(&name))];
        let is_short = |error: &String| error.len() < 600;
        assert!(told.iter().all(|told| told.as_ref().is_err_and(is_short)), "an error is short");
        assert!(states.subscriber(&name).is_err() && states.subscribe(&name, "s", |_| {}).is_err());
        // Asking is no error: there is no such thing.
        assert!(!pool.exists(&name) && !pool.delete(&name) && !states.exists(&name));
    }
    assert!(pool.is_empty() && states.is_empty());
    let full = TopicPool::new(&bus.topic(&"x".repeat(255)).unwrap());
    assert!(full.member("y").is_err(), "no room for a member's name");
}

/// They come out of messages: what they may be is not for the bus to say, but that an empty one is none.
#[test]
fn ids_of_objects_may_be_any_text() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let kind = bus.message_type::<String>("state").unwrap();
    let cache = Cache::builder(&bus).id_of(&kind, |id: &String| id).build().unwrap();
    let topic = bus.topic("t").unwrap();
    let cached = topic.caching(&cache).unwrap();
    assert_eq!(topic.publish(kind.message(String::new())).cached, 0);
    assert!(cached.lease(&kind, "").is_err() && cache.watch(&kind, "").is_err());
    assert!(cache.get(&kind, "").is_none() && !cache.clear(&kind, ""));
    for id in bad_names().into_iter().chain(odd_names()).filter(|id| !id.is_empty()) {
        let updates = cached.subscription("updates").accept(bus.cache_updates()).id_prefix(id.as_str());
        let updates = updates.capacity(8).start(|_| {}).unwrap();
        let (watch, lease) = (cache.watch(&kind, &id).unwrap(), cached.lease(&kind, &id).unwrap());
        assert_eq!(topic.publish(kind.message(id.clone())).cached, 1);
        assert_eq!(kind.read(&cache.get(&kind, &id).expect("it stands")), Some(&id));
        assert_eq!(cache.pin().read(&kind, &id), Some(&id));
        assert!(watch.get().is_some() && cache.clear(&kind, &id) && watch.get().is_none());
        lease.publish(id.clone());
        drop(lease);
        assert!(cache.get(&kind, &id).is_none(), "it went with its lease");
        assert_eq!(updates.stats().accepted, 4, "written, cleared, written, gone");
    }
    assert!(cache.is_empty());
    end(&bus);
}

#[test]
fn sizes_out_of_range_are_refused_and_named() {
    let _watched = watched();
    let bus = Bus::builder().manual().build().unwrap();
    let topic = bus.topic("t").unwrap();
    for value in [0, (1 << 24) + 1, usize::MAX] {
        let error = topic.subscription("s").capacity(value).start(|_| {}).unwrap_err();
        assert!(matches!(error, SubscribeError::Capacity { value: told, .. } if told == value), "{error}");
        assert!(topic.subscription("s").capacity(value).stream().is_err());
        assert!(topic.router("r").capacity(value).start().is_err());
        assert!(topic.subscription("s").batch_max(value).start_batch(|_| {}).is_err());
        assert!(Bus::builder().default_capacity(value).build().is_err());
        assert!(Bus::builder().workers(value..=value).build().is_err());
    }
    for (high, low) in [(0, 0), (usize::MAX, 0), (1, 2), (10, usize::MAX)] {
        assert!(topic.subscription("s").water_marks(high, low).start(|_| {}).is_err(), "{high} {low}");
        assert!(Bus::builder().default_water_marks(high, low).build().is_err(), "{high} {low}");
    }
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = Bus::builder().workers(2..=1).build();
    assert!(reversed.is_err());
    for entries in [0, usize::MAX] {
        assert!(Cache::builder(&bus).id(|_| None).max_entries(entries).build().is_err(), "{entries}");
    }
    end(&bus);
}

/// The largest capacity there is costs nothing before it is used; the largest limits are no limits.
#[test]
fn the_largest_and_the_smallest_that_are_allowed_work() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("t").unwrap();
    let policies = [
        Overflow::Grow(Grow::limit(0)),
        Overflow::Grow(Grow::limit(usize::MAX)),
        Overflow::Grow(Grow::unbounded()),
        Overflow::Block(Duration::ZERO),
        Overflow::Block(Duration::MAX),
        Overflow::DropOldest,
        Overflow::DropNewest,
        Overflow::conflate(|_| None),
    ];
    for policy in policies {
        for capacity in [1, 1 << 24] {
            let builder = topic.subscription("s").accept(&kind).capacity(capacity).overflow(policy.clone());
            let (listener, log) = note_numbers(builder, Dispatch::Pool, &kind);
            (0..10).for_each(|number| _ = topic.publish(kind.message(number)));
            listener.unsubscribe();
            listener.join().unwrap();
            let (came, missed) = (log.len() as u64 - 1, listener.stats().missed);
            assert_eq!(came + missed, 10, "{policy:?} {capacity}: {}", listener.stats().lost);
        }
    }
    end(&bus);
}

/// Everything of another bus is refused, by an error or by the report, and touches nothing.
#[test]
fn things_of_another_bus_are_refused_at_every_entry() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let (other, foreign) = numbers();
    let topic = bus.topic("t").unwrap();
    let elsewhere = other.topic("t").unwrap();
    let (listener, log) = note_numbers(topic.subscription("s").accept(&kind), Dispatch::Pool, &kind);
    assert_eq!(topic.publish(foreign.message(1)).refusal, Some(Refusal::ForeignType));
    assert_eq!(topic.publish_with(&foreign, || 1).refusal, Some(Refusal::ForeignType));
    assert_eq!(topic.publish_batch(vec![foreign.message(1), kind.message(2)]).foreign, 1);
    assert!(topic.publisher().publish(foreign.message(1)).refusal.is_some());
    assert!(!topic.wants(&foreign));
    assert!(topic.forward_to(&elsewhere).is_err());
    assert!(topic.subscription("s").accept(&foreign).start(|_| {}).is_err());
    assert!(listener.set_filter(&Filter::all().accept(&foreign)).is_err());
    let cache = Cache::builder(&other).id_of(&foreign, |_| "id").build().unwrap();
    assert!(topic.caching(&cache).is_err());
    assert!(cache.get(&kind, "id").is_none() && cache.watch(&kind, "id").is_err());
    assert!(Cache::builder(&bus).id_of(&foreign, |_| "id").build().is_err());
    assert!(topic.router("r").route(&foreign, |_, _| {}).start().is_err());
    let states = bus.state_manager("s").unwrap();
    assert!(states.publisher("a").unwrap().publish(foreign.message(1)).refusal.is_some());
    listener.unsubscribe();
    listener.join().unwrap();
    assert_eq!(log.all(), [Some(2), None], "what was of this bus came");
    drop(cache);
    end(&bus);
    end(&other);
}

#[test]
fn times_out_of_range_are_refused() {
    let _watched = watched();
    for time in [Duration::ZERO, Duration::MAX] {
        assert!(matches!(Bus::builder().grow_after(time).build(), Err(Error::Config(_))), "{time:?}");
        assert!(matches!(Bus::builder().idle_timeout(Some(time)).build(), Err(Error::Config(_))), "{time:?}");
    }
    assert!(Bus::builder().wait(Wait::SpinThenPark(Duration::MAX)).build().is_err());
    let bus = Bus::builder().manual().build().unwrap();
    for time in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        assert!(Cache::builder(&bus).id(|_| None).ttl(time).build().is_err(), "{time:?}");
    }
}
