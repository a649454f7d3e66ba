//! The manager-protocol reader and writer of `examples/switchboard`.

#![no_main]

#[path = "../../examples/switchboard/ami.rs"]
#[allow(dead_code)]
mod ami;
#[path = "../../tests/ami_checks/mod.rs"]
mod ami_checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ami_checks::Input| ami_checks::check(&input));
