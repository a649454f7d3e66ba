//! Filters that change while the bus runs: a log that is quiet until somebody wants to know more.
//!
//! `cargo run --example live_filter`

use stasis_bus::{Bus, Error, Filter};
use std::sync::mpsc;

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let (error, detail) = (bus.message_type::<String>("error")?, bus.message_type::<String>("detail")?);
    let events = bus.topic("events")?;

    let quiet = Filter::all().accept(&error);
    let talkative = quiet.clone().accept(&detail);
    let (send, lines) = mpsc::channel();
    let (errors, details) = (error.clone(), detail.clone());
    let log = events.subscription("log").filter(quiet.clone()).start(move |delivery| {
        if let Some(text) = delivery.read(&errors).or_else(|| delivery.read(&details)) {
            println!("log: {text}");
            let _ = send.send(text.clone());
        }
    })?;

    // A detail costs nothing while nobody wants it: it is not even made.
    let note = |text: &str| events.publish_with(&detail, || text.to_owned());
    assert!(!note("disk at 91 %").reached());
    events.publish(error.message("disk full".to_owned()));

    // From when this has returned, every detail is in the log.
    log.set_filter(&talkative)?;
    assert!(note("largest file: core.4711").reached());

    // What is queued stays queued, and is handled.
    log.set_filter(&quiet)?;
    assert!(!note("disk at 17 %").reached());
    log.unsubscribe_and_join()?;
    assert_eq!(lines.iter().collect::<Vec<_>>(), ["disk full", "largest file: core.4711"]);
    Ok(())
}
