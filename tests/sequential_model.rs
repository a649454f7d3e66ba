//! A whole bus in manual mode against a simple sequential model: the recorded cases, and hundreds of made-up ones.
//! The fuzz target `bus` runs the same checks for as long as one likes.

mod model;
mod replay;

use arbitrary::{Arbitrary, Unstructured};
use model::Script;

fn run(bytes: &[u8]) {
    if let Ok(script) = Script::arbitrary(&mut Unstructured::new(bytes)) {
        model::run(&script);
    }
}

/// Half of the made-up cases, so that they run side by side.
#[test]
fn g1_g2_g4_g5_g6_g7_g9_g12_made_up_cases_agree_with_the_model() {
    replay::made_up(0..400, 2_000, run);
}

#[test]
fn g1_g2_g4_g5_g6_g7_g9_g12_more_made_up_cases_agree_with_the_model() {
    replay::made_up(400..800, 2_000, run);
}

#[test]
fn g1_g2_g4_g5_g6_g7_g9_g12_recorded_cases_agree_with_the_model() {
    assert!(replay::recorded("bus", run) > 0);
}
