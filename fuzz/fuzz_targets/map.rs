//! The map under the cache against the standard one.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stasis_bus::check_map(input));
