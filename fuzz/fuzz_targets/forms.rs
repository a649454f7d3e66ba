//! JSON and events: any value there and back, and events damaged on their way.

#![no_main]

#[path = "../../tests/form_checks/mod.rs"]
mod form_checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: form_checks::Input| form_checks::check(&input));
