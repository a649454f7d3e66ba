//! The statistics of a bus as a page for Prometheus.
//!
//! `cargo run --features prometheus --example metrics`

use stasis_bus::observe::Observer;
use stasis_bus::{Bus, Cache, Overflow};
use std::time::Duration;

fn main() -> Result<(), stasis_bus::Error> {
    let bus = Bus::builder().workers(1..=2).build()?;
    let state = bus.message_type::<(String, u32)>("state")?;
    let calls = bus.topic_pool("calls")?;

    // A handler that keeps up, one that loses what it cannot keep, and a cache of the latest states.
    let log = calls.topic().subscribe("log", |delivery| drop(delivery.message().clone()))?;
    let slow = calls
        .topic()
        .subscription("slow")
        .capacity(8)
        .overflow(Overflow::DropOldest)
        .start(|_| std::thread::sleep(Duration::from_millis(1)))?;
    let cache = Cache::builder(&bus).id_of(&state, |(id, _)| id).name("states").build()?;
    let _caching = calls.topic().caching(&cache)?;

    // A topic for each call: in metrics they are all of the class `calls`.
    for number in 0..1_000 {
        let id = format!("call-{number}");
        calls.member(&id)?.publish(state.message((id.clone(), number)));
        assert!(cache.get(&state, &id).is_some());
    }
    log.unsubscribe_and_join()?;
    slow.unsubscribe_and_join()?;

    // What the service's own HTTP server would answer. `stasis_bus::http` has one, if there is none.
    println!("{}", Observer::new(&bus).render());
    bus.shutdown(Duration::from_secs(1))?;
    Ok(())
}
