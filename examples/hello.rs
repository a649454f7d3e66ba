//! The least there is: a bus, a type, a topic, a subscriber, a publish.
//!
//! `cargo run --example hello`

use stasis_bus::{Bus, Error};

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let greeting = bus.message_type::<&str>("greeting")?;
    let hall = bus.topic("hall")?;

    let kind = greeting.clone();
    let guest =
        hall.subscription("guest").accept(&greeting).start(move |delivery| match delivery.read(&kind) {
            Some(text) => println!("guest: somebody said {text:?}"),
            None => println!("guest: that was all ({:?})", delivery.end()),
        })?;

    let report = hall.publish(greeting.message("hello"));
    assert_eq!(report.accepted, 1);
    guest.unsubscribe_and_join()?;
    Ok(())
}
