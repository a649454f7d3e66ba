//! Updates of caches in filters and in mailboxes that conflate: by inner type, id and origin, on every way they can come.

mod common;
mod states;

use common::{EVERY_MODE, Log, eventually, listen, watched};
use stasis_bus::{Bus, Filter, Handled, Key, Message, MessageType, Overflow, SubscribeError};
use states::{State, builder, manual_states, number, state};

/// Updates of two types, two ids and two origins, and an aggregate.
fn some_updates(bus: &Bus, kind: &MessageType<State>, other: &MessageType<State>) -> Vec<Message> {
    let cache = states::summing(bus, kind).id_of(other, |state: &State| &state.id).build().unwrap();
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    let mut updates = cache.updates().subscription("all").accept(bus.cache_updates()).stream().unwrap();
    let far = bus.origin("far").unwrap();
    topic.publish(kind.message(state("alice", 1)));
    topic.publish(kind.build(state("alex", 2)).origin(far).finish());
    topic.publish(other.message(state("alice", 3)));
    topic.publish(other.build(state("bob", 4)).origin(far).finish());
    std::iter::from_fn(|| updates.try_recv().ok()).map(stasis_bus::Received::into_message).collect()
}

/// What a filter takes of them, published one by one and as a batch, in every mode; each as `type id origin`.
fn taken(filter: &Filter) -> Vec<String> {
    let (bus, kind) = manual_states();
    let other = bus.message_type::<State>("other").unwrap();
    let (updates, far) = (some_updates(&bus, &kind, &other), bus.origin("far").unwrap());
    let mut all = Vec::new();
    for mode in EVERY_MODE {
        for batch in [false, true] {
            let (topic, log) = (bus.topic("again").unwrap(), Log::new());
            let (noted, kind) = (log.clone(), bus.cache_updates().clone());
            let listener = listen(topic.subscription("some").filter(filter.clone()), mode, move |heard| {
                if let Some(update) = kind.read(&heard.message) {
                    let origin = update.origin().map(|origin| if origin == far { "far" } else { "here" });
                    let origin = origin.unwrap_or("none");
                    noted.push(format!("{} {} {origin}", update.type_name(), update.id()));
                }
            });
            match batch {
                true => _ = topic.publish_batch(updates.clone()),
                false => updates.iter().for_each(|update| _ = topic.publish(update.clone())),
            }
            assert_eq!(
                listener.publish_sync(updates[0].clone(), None),
                Ok(Handled::Filtered),
                "no filter wants it"
            );
            listener.unsubscribe();
            bus.run_until_idle();
            eventually(|| listener.is_done());
            all.push(log);
        }
    }
    let heard: Vec<_> = all.iter().map(Log::all).collect();
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:?}");
    heard[0].clone()
}

#[test]
fn updates_are_known_by_type_id_and_origin() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let other = bus.message_type::<State>("other").unwrap();
    let updates = some_updates(&bus, &kind, &other);
    assert_eq!(updates.len(), 6, "two states of the first type have an aggregate each");
    let all = Filter::all();
    let shown = format!("{:?}", all.clone().accept_update_of(&kind).id_prefix("al"));
    assert!(
        shown.contains(r#"types: ["cache_update"]"#) && shown.contains(r#"id_prefixes: ["al"]"#),
        "{shown}"
    );
    assert_eq!(all.clone().id_prefix("b").id_prefix("a"), all.id_prefix("a").id_prefix("b"), "a set");
}

/// Only the bus whose types they are can say what they are: the filter is made for it.
#[test]
fn every_way_of_publishing_asks_the_filter() {
    let _watched = watched();
    assert_eq!(taken(&Filter::all().id_prefix("b")), ["other bob far"]);
    let aggregates = taken(&Filter::all().update_origin(None));
    assert_eq!(aggregates, ["state alice none", "state alex none"]);
    let none = Filter::all().id_prefix("b").update_origin(None);
    assert!(taken(&none).is_empty(), "both must pass");
}

/// What is no update passes by its type: by everything if only updates were spoken of.
#[test]
fn other_messages_pass_by_their_type() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let topic = bus.topic("states").unwrap();
    let only = |filter: Filter| topic.subscription("some").filter(filter).stream().unwrap();
    let mut streams = [
        only(Filter::all().id_prefix("x")),
        only(Filter::all().accept_update_of(&kind)),
        only(Filter::all().accept(&kind).update_origin(None)),
    ];
    topic.publish(kind.message(state("alice", 7)));
    let states = streams.each_mut().map(|stream| {
        std::iter::from_fn(|| stream.try_recv().ok())
            .filter(|received| received.read(&kind).is_some())
            .count()
    });
    assert_eq!(states, [1, 0, 1]);
    // A typed handler's filter may speak of updates, and of no other type.
    let typed = topic.subscription("typed").accept_update_of(&kind).id_prefix("a");
    assert!(typed.start_typed(bus.cache_updates(), |_, _| {}).is_ok());
    let typed = topic.subscription("typed").accept_update_of(&kind).start_typed(&kind, |_, _| {});
    assert!(matches!(typed, Err(SubscribeError::Unsuitable { call: "start_typed", .. })));
}

/// A cache that keeps another one's updates hears those that its filter takes.
#[test]
fn a_cache_of_updates_hears_what_its_filter_takes() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let cache = states::cache(&bus, &kind);
    let topic = bus.topic("states").unwrap();
    let cached = topic.caching(&cache).unwrap();
    let by_id = builder(&bus, &kind).id_of(bus.cache_updates(), stasis_bus::CacheUpdate::id).build().unwrap();
    let filter = Filter::all().accept_update_of(&kind).id_prefix("a");
    let _second = cached.topic().caching_with(&by_id, filter).unwrap();
    let _third =
        cached.topic().caching_with(&builder(&bus, &kind).build().unwrap(), Filter::all().id_prefix("a"));
    ["alice", "bob"].into_iter().for_each(|id| _ = topic.publish(kind.message(state(id, 1))));
    assert!(by_id.get(bus.cache_updates(), "alice").is_some());
    assert!(by_id.get(bus.cache_updates(), "bob").is_none());
}

/// One slot for each entry; what came and went has neither an old nor a new state, and the chain goes on from nothing.
#[test]
fn g5_an_entry_that_came_and_went_while_it_waited() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let cache = states::cache(&bus, &kind);
    let topic = bus.topic("states").unwrap();
    let _cached = topic.caching(&cache).unwrap();
    let builder = cache.updates().subscription("slow").accept(bus.cache_updates());
    let mut slow = builder.overflow(Overflow::conflate_by_entry()).capacity(2).stream().unwrap();
    let publish = |id: &str, number| _ = topic.publish(kind.message(state(id, number)));
    publish("alice", 1);
    publish("bob", 2);
    cache.clear(&kind, "alice");
    publish("bob", 3);
    publish("bob", 4);
    let mut next = || {
        let received = slow.try_recv().ok()?;
        let update = received.read(bus.cache_updates())?;
        let read = |state: &Option<Message>| state.as_ref().map(|message| number(&kind, message));
        assert!(update.is_of(&kind) && update.origin().is_some() && !update.is_snapshot());
        Some((update.id().to_owned(), read(&update.old), read(&update.new), received.missed()))
    };
    assert_eq!(next(), Some(("alice".to_owned(), None, None, 1)));
    publish("alice", 5);
    assert_eq!(next(), Some(("bob".to_owned(), None, Some(4), 2)));
    publish("bob", 6);
    publish("alice", 7);
    // A third one takes the place of the first, with all that went into it.
    publish("carol", 8);
    assert_eq!(next(), Some(("bob".to_owned(), Some(4), Some(6), 2)));
    assert_eq!(next(), Some(("carol".to_owned(), None, Some(8), 0)));
    assert_eq!(next(), None);
    let lost = slow.stats().lost;
    assert_eq!((lost.conflated, lost.evicted), (4, 1), "{lost:?}");
}

/// Other messages than updates have the key that the function gives, or stand for themselves.
#[test]
fn conflating_by_entry_leaves_other_messages_alone() {
    let _watched = watched();
    let (bus, kind) = manual_states();
    let topic = bus.topic("states").unwrap();
    let policies = [Overflow::conflate_by_entry(), Overflow::conflate(|_| Some(Key::from(1_u64)))];
    assert_eq!(Overflow::conflate_by_entry(), policies[0]);
    assert_ne!(policies[0], policies[1]);
    let counts = policies.map(|policy| {
        let mut stream = topic.subscription("some").accept(&kind).overflow(policy).stream().unwrap();
        (0..3).for_each(|n| _ = topic.publish(kind.message(state("same", n))));
        std::iter::from_fn(move || stream.try_recv().ok()).count()
    });
    assert_eq!(counts, [3, 1]);
}
