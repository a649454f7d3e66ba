//! One topic for all channels and one for each, kept in one cache: what a table of live channels needs.
//!
//! `cargo run --example cache_pattern`

use stasis_bus::{AnyType, Bus, Cache, CachePattern, Error};

struct Channel {
    name: String,
    state: &'static str,
}

fn channel(name: &str, state: &'static str) -> Channel {
    Channel { name: name.to_owned(), state }
}

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::builder().manual().build()?;
    let snapshots = bus.message_type::<Channel>("channel_snapshot")?;
    let cache = Cache::builder(&bus).id_of(&snapshots, |channel: &Channel| &channel.name);
    let all = CachePattern::new(&bus, "channel:all", cache)?;

    // Everything about every channel: of each change the update first, and then the snapshot itself.
    let (kind, updates) = (snapshots.clone(), bus.cache_updates().clone());
    let _log = all.cached().subscription("log").accept(&snapshots).accept(&updates.clone()).start(
        move |delivery| {
            let state = |message: &stasis_bus::Message| kind.read(message).map(|channel| channel.state);
            if let Some(update) = delivery.read(&updates) {
                let [old, new] = [&update.old, &update.new].map(|message| message.as_ref().and_then(state));
                println!("log: {} went from {old:?} to {new:?}", update.id());
            } else if let Some(channel) = delivery.read(&kind) {
                println!("log: {} is {}", channel.name, channel.state);
            }
        },
    )?;

    let (alice, bob) = (all.single("channel:alice")?, all.single("channel:bob")?);
    alice.topic().publish(snapshots.message(channel("alice", "Ring")));
    bob.topic().publish(snapshots.message(channel("bob", "Up")));
    alice.topic().publish(snapshots.message(channel("alice", "Up")));
    bus.run_until_idle();

    for message in all.cache().dump(AnyType) {
        let channel = snapshots.read(&message).expect("the only type that is kept");
        println!("table: {} {}", channel.name, channel.state);
    }

    // Bob hangs up: his entry is cleared, which is an update like any other; then his topic goes.
    bob.topic().publish(bus.clear(&snapshots.message(channel("bob", ""))));
    drop(bob);
    bus.run_until_idle();
    assert_eq!(all.cache().len(), 1);
    Ok(())
}
