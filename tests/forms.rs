//! The forms that go out, on recorded input and on made-up input. The fuzz target `forms` checks the same for as long as
//! one likes.

#![cfg(feature = "json")]

mod form_checks;
mod replay;

use arbitrary::{Arbitrary, Unstructured};
use form_checks::{Input, check};

fn run(bytes: &[u8]) {
    if let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) {
        check(&input);
    }
}

#[test]
fn recorded_values_hold() {
    assert!(replay::recorded("forms", run) >= 10);
}

#[test]
fn made_up_values_hold() {
    replay::made_up(0..600, 300, run);
}
