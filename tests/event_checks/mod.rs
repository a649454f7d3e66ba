//! What must hold of the reader of events, whatever comes over the wire. Used by `tests/events.rs` on recorded input
//! and by the fuzz target `event` on its own.

use serde::{Deserialize, Serialize};
use stasis_bus::Bus;
use std::collections::BTreeMap;

/// A value with a bit of everything.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum State {
    Idle,
    Ringing { since: i64, by: Vec<String> },
    Up(BTreeMap<String, Option<bool>>),
}

/// Reads `event`; what is accepted is written and read again, and comes out the same.
pub(crate) fn check(event: &[u8]) {
    let bus = Bus::builder().node("here").manual().build().expect("a bus");
    let states = bus.define::<State>("state").event().declare().expect("a type");
    bus.message_type::<u8>("plain").expect("a type");
    let message = match bus.message_from_event(event) {
        Ok(message) => message,
        Err(error) => {
            let text = error.to_string();
            assert!(
                !text.is_empty() && text.len() < 4_000 && !text.contains(['\n', '\r', '\x1b']),
                "{text:?}"
            );
            return;
        }
    };
    let written = bus.event_of(&message).expect("what was read can be written");
    let again = bus.message_from_event(&written).expect("and read");
    assert_eq!(states.read(&message), states.read(&again), "{written}");
    assert_eq!((message.timestamp(), message.origin()), (again.timestamp(), again.origin()), "{written}");
    assert_eq!(bus.event_of(&again), Some(written));
}
