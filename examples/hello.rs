//! The least there is: a topic for values of one type, a subscriber, a publish.
//!
//! `cargo run --example hello`

use stasis_bus::{Bus, Error};

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let hall = bus.topic_of::<&str>("hall")?;
    let guest = hall.subscribe("guest", |text, _| println!("guest: somebody said {text:?}"))?;

    let report = hall.publish("hello");
    assert_eq!(report.accepted, 1);
    guest.unsubscribe_and_join()?;
    Ok(())
}
