//! Dedicated: queued, and run by a thread of its own, which carries the subscription's name. For handlers that block
//! for long (files, sockets, databases), or that keep what may not move to another thread.
//!
//! `cargo run --example dedicated`

use stasis_bus::{Bus, Dispatch, Error};
use std::sync::mpsc;
use std::time::Duration;

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let line = bus.message_type::<String>("line")?;
    let (one, all) = (bus.topic("call:1")?, bus.topic("call:all")?);
    let _up = one.forward_to(&all)?;

    let (written, file) = mpsc::channel();
    let kind = line.clone();
    let journal = all.subscription("journal").accept(&line).dispatch(Dispatch::Dedicated);
    let journal = journal.capacity(64).start(move |delivery| {
        let thread = std::thread::current().name().unwrap_or("?").to_owned();
        let text = delivery.read(&kind).cloned().unwrap_or_else(|| "(end)".to_owned());
        let _ = written.send(format!("{thread} #{}: {text}", delivery.seq()));
    })?;

    for text in ["ringing", "answered", "hung up"] {
        one.publish(line.message(text.to_owned()));
    }
    journal.unsubscribe();
    journal.join_timeout(Duration::from_secs(5))?;

    let lines: Vec<String> = file.try_iter().collect();
    lines.iter().for_each(|line| println!("{line}"));
    assert_eq!(lines.first().map(String::as_str), Some("journal #0: ringing"));
    assert_eq!(lines.len(), 4, "three lines and the final message");
    Ok(())
}
