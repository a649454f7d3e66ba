//! A whole bus in manual mode against the sequential model of `tests/model`.

#![no_main]

#[path = "../../tests/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: model::Script| model::run(&script));
