//! A topic for each object: made when somebody asks for it, gone when nobody uses it, and one place that hears of all.
//!
//! `cargo run --example topic_pool`

use stasis_bus::{Bus, Error};

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::builder().manual().build()?;
    let state = bus.message_type::<&'static str>("device_state")?;
    let devices = bus.topic_pool("device")?;

    let kind = state.clone();
    let _board = devices.topic().subscription("board").accept(&state).start(move |delivery| {
        println!("board: a device is {}", delivery.read(&kind).unwrap_or(&"gone"));
    })?;

    // Two who do not know of each other speak of the same device: they get the same topic.
    let (phone, registrar) = (devices.member("PJSIP/alice")?, devices.member("PJSIP/alice")?);
    assert!(phone.is_same(&registrar));
    println!("{} is a member of {}: {}", phone.name(), devices.name(), devices.exists("PJSIP/alice"));

    let kind = state.clone();
    let watcher = phone.subscription("watcher").accept(&state).start(move |delivery| {
        println!("watcher: alice is {}", delivery.read(&kind).unwrap_or(&"no longer watched"));
    })?;
    registrar.publish(state.message("ringing"));
    bus.run_until_idle();

    // Nobody holds the topic but the watcher, who hears of whatever is published on the next topic of that name: it is
    // the same one.
    drop((phone, registrar));
    devices.member("PJSIP/alice")?.publish(state.message("in use"));
    bus.run_until_idle();

    watcher.unsubscribe();
    drop(watcher);
    bus.run_until_idle();
    println!("nobody uses it any more: {devices:?}");
    assert!(devices.is_empty());
    Ok(())
}
