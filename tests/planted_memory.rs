//! Faults with memory made on purpose: the proof that a sanitizer sees them. Compiled with `--cfg planted_memory` alone, by
//! the step `asan` of `.ci/run`, which fails if one of these passes.

#![cfg(planted_memory)]

use stasis_bus::{Bus, Message, MessageType};
use std::hint::black_box;

/// A message of a manual bus, and what holds its type.
fn message() -> (Bus, MessageType<String>, Message) {
    let bus = Bus::builder().manual().build().unwrap();
    let text = bus.message_type::<String>("text").unwrap();
    let message = text.message("a value that is longer than a short one".to_owned());
    (bus, text, message)
}

/// Somebody keeps the address of a value longer than the message.
#[test]
fn a_value_is_read_behind_its_end() {
    let (bus, text, message) = message();
    let first = text.read(&message).unwrap().as_ptr();
    drop(message);
    drop((text, bus));
    // SAFETY: none, on purpose: the value is gone.
    println!("{}", unsafe { black_box(first).read_volatile() });
}

/// Somebody forgets a message, and the bus with it.
#[test]
fn a_message_is_never_dropped() {
    std::mem::forget(black_box(message()));
}
