//! Several threads at one bus.

#![no_main]

#[path = "../../tests/thread_checks/mod.rs"]
mod thread_checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|plan: thread_checks::Plan| thread_checks::check(&plan));
