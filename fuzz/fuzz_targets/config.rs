//! The reader of configurations.

#![no_main]

#[path = "../../tests/config_checks/mod.rs"]
mod config_checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| config_checks::check(text));
