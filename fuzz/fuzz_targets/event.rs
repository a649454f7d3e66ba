//! The reader of other nodes' events.

#![no_main]

#[path = "../../tests/event_checks/mod.rs"]
mod event_checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &[u8]| event_checks::check(event));
