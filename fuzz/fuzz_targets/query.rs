//! Query strings of the console.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stasis_bus::check_query(input));
