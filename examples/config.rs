//! A bus whose options stand in a file.
//!
//! `cargo run --features config --example config [FILE]` (docs/stasis-bus.toml unless told otherwise); exit code 2 if the
//! file is refused.

use stasis_bus::{Bus, BusConfig};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// Makes a bus as the file says, and shows what a subscription gets that says nothing itself.
fn start(file: &str) -> Result<Bus, Box<dyn Error>> {
    let config = BusConfig::from_file(file)?;
    Ok(Bus::from_config(&config)?)
}

fn show(bus: &Bus) -> Result<(), Box<dyn Error>> {
    let hall = bus.topic("hall")?;
    let guest = hall.subscribe("guest", |delivery| println!("{:?}", delivery.message()))?;
    let greeting = bus.message_type::<String>("greeting")?.message("hello".to_owned());
    let node = greeting.origin().and_then(|origin| bus.origin_name(origin));
    println!("{} speaks; {} messages may wait", node.unwrap_or_default(), guest.stats().capacity);
    hall.publish(greeting);
    bus.shutdown(Duration::from_secs(1))?;
    Ok(())
}

pub(crate) fn main() -> ExitCode {
    let file = std::env::args().nth(1).filter(|file| file.ends_with(".toml"));
    let file =
        file.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/docs/stasis-bus.toml").to_owned());
    match start(&file).and_then(|bus| show(&bus)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
