//! The ring under every mailbox against a plain queue and crossbeam's.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stasis_bus::check_ring(input));
