//! A cache: the latest state of each phone, what changed, and what two nodes say together.
//!
//! `cargo run --example cache`

use stasis_bus::{AnyType, Bus, Cache, CacheEntry, Dispatch, Error, Message, MessageType};

#[derive(Debug)]
struct Phone {
    name: String,
    calls: u32,
}

fn phone(name: &str, calls: u32) -> Phone {
    Phone { name: name.to_owned(), calls }
}

/// A phone is as busy as all nodes together say.
fn together(phones: &MessageType<Phone>, entry: &CacheEntry<'_>) -> Option<Message> {
    let states = entry.local().into_iter().chain(entry.remotes());
    let calls: Vec<u32> = states.filter_map(|state| phones.read(state)).map(|phone| phone.calls).collect();
    if calls.is_empty() {
        return None;
    }
    Some(phones.build(phone(entry.id(), calls.iter().sum())).aggregate().finish())
}

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let phones = bus.message_type::<Phone>("phone")?;
    let made = phones.clone();
    let cache = Cache::builder(&bus)
        .id_of(&phones, |phone| &phone.name)
        .aggregate(move |entry| together(&made, entry))
        .name("phones")
        .build()?;
    let topic = bus.topic("phones")?;
    let cached = topic.caching(&cache)?;

    let read = phones.clone();
    let updates = cached.subscription("log").dispatch(Dispatch::Serial);
    let log = updates.start_typed(bus.cache_updates(), move |update, _| {
        let calls =
            |state: &Option<Message>| state.as_ref().and_then(|m| read.read(m)).map(|phone| phone.calls);
        let whose = if update.origin().is_some() { "one node" } else { "together" };
        println!("{:<6} {whose}: {:?} -> {:?}", update.id(), calls(&update.old), calls(&update.new));
    })?;

    let other = bus.origin("node-2")?;
    topic.publish(phones.message(phone("alice", 1)));
    topic.publish(phones.build(phone("alice", 2)).origin(other).finish());
    topic.publish(phones.message(phone("bob", 1)));

    // When a publish has returned, reads show it.
    let calls = |message: Option<Message>| message.and_then(|message| Some(phones.read(&message)?.calls));
    assert_eq!(calls(cache.get(&phones, "alice")), Some(1));
    assert_eq!(calls(cache.get_by_origin(&phones, "alice", other)), Some(2));
    assert_eq!(calls(cache.get_aggregate(&phones, "alice")), Some(3));
    cache.for_each(AnyType, |message| println!("here: {:?}", phones.read(message)));

    // The other node is gone, with everything that it said.
    assert_eq!(cache.clear_origin(other), 1);
    assert_eq!(calls(cache.get_aggregate(&phones, "alice")), Some(1));
    // A phone is gone.
    let last = phones.message(phone("bob", 0));
    topic.publish(bus.clear(&last));
    assert!(cache.get(&phones, "bob").is_none());

    println!("{}", cache.stats());
    log.unsubscribe_and_join()?;
    Ok(())
}
