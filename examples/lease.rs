//! States that go with their owners: each call of a switchboard has a thread, which may return, fail, or panic; what the
//! cache says of the call is gone with it. `cargo run --example lease`

use stasis_bus::{Bus, Cache, CachingTopic, Error, MessageType};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[derive(Clone, Debug)]
struct Call {
    id: String,
    state: &'static str,
}

/// One call. The lease is dropped however this ends.
fn call(
    cached: &CachingTopic,
    kind: &MessageType<Call>,
    id: &str,
    go_on: &mpsc::Receiver<()>,
) -> Result<(), Error> {
    let lease = cached.lease(kind, id)?;
    for state in ["ringing", "up"] {
        lease.publish(Call { id: id.to_owned(), state });
    }
    let _ = go_on.recv();
    assert!(!id.ends_with('3'), "{id}: the caller's equipment went up in smoke");
    Ok(())
}

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let calls = bus.message_type::<Call>("call")?;
    let topic = bus.topic("calls")?;
    let cache = Cache::builder(&bus).id_of(&calls, |call: &Call| &call.id).build()?;
    let cached = topic.caching(&cache)?;

    let (read, kind) = (bus.cache_updates().clone(), calls.clone());
    let _log = cached.subscribe("log", move |delivery| {
        let Some(update) = delivery.read(&read) else { return };
        match update.new.as_ref().and_then(|message| kind.read(message)) {
            Some(call) => println!("{} is {}", update.id(), call.state),
            None => println!("{} is gone", update.id()),
        }
    })?;

    thread::scope(|scope| {
        let (hang_ups, threads): (Vec<_>, Vec<_>) = (1..=3)
            .map(|n| {
                let (hang_up, go_on) = mpsc::channel();
                let (cached, calls) = (&cached, &calls);
                (hang_up, scope.spawn(move || call(cached, calls, &format!("call-{n}"), &go_on)))
            })
            .unzip();
        while cache.len() < 3 {
            thread::sleep(Duration::from_millis(1));
        }
        println!("-- {} calls are up", cache.len());
        drop(hang_ups);
        for thread in threads {
            println!("-- a call {}", if thread.join().is_ok() { "ended" } else { "panicked" });
        }
    });

    assert!(cache.is_empty() && cache.unowned(&calls).is_empty());
    println!("-- nothing is left of them");
    bus.shutdown(Duration::from_secs(5))?;
    Ok(())
}
