//! What idle topics and subscriptions weigh: a service has a million of the ones and thousands of the others. `cargo bench
//! --bench memory` says of which blocks. Lines are twice as long on other processors.

#![cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#![allow(clippy::disallowed_types)]

mod counting;

use counting::bytes;
use stasis_bus::Bus;

/// What one of `count` things takes.
fn weight<T>(count: usize, make: impl FnMut(usize) -> T) -> usize {
    let mut held = Vec::with_capacity(count);
    let before = bytes();
    held.extend((0..count).map(make));
    (bytes() - before) / count
}

/// In one test of one process: whoever allocates is counted.
#[test]
fn idle_things_are_light() {
    let bus = Bus::builder().manual().build().unwrap();
    let (all, kind) = (bus.topic("all").unwrap(), bus.message_type::<u64>("number").unwrap());
    let topics = weight(10_000, |number| bus.topic(&format!("PJSIP/phone-{number:08}")).unwrap());
    assert!(topics <= 400, "an idle topic takes {topics} bytes");
    let pool = weight(1_000, |_| all.subscription("idle").accept(&kind).start(|_| {}).unwrap());
    assert!(pool <= 1024, "an idle pool subscription takes {pool} bytes");
    let other = bus.topic("other").unwrap();
    let full = other.subscription("full").accept(&kind).capacity(1).start(|_| {}).unwrap();
    let message = kind.message(1);
    let spilled = weight(10_000, |_| other.publish(message.clone()));
    assert!(spilled <= 16, "a spilled message takes {spilled} bytes");
    drop(full);
    bus.run_until_idle();
}
