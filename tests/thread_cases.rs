//! Several threads at one bus, on recorded plans and on made-up ones. The fuzz target `threads` checks the same for as
//! long as one likes.

mod common;
mod replay;
mod thread_checks;

use arbitrary::{Arbitrary, Unstructured};
use thread_checks::{Plan, check};

fn run(bytes: &[u8]) {
    if let Ok(plan) = Plan::arbitrary(&mut Unstructured::new(bytes)) {
        println!("{plan:?}");
        check(&plan);
    }
}

#[test]
fn g1_g2_g4_g5_g6_g7_g9_g10_g11_g12_made_up_plans_hold() {
    replay::made_up(0..300, 600, |bytes| {
        let _watched = common::watched();
        run(bytes);
    });
}

#[test]
fn g1_g2_g4_g5_g6_g7_g9_g10_g11_g12_recorded_plans_hold() {
    let count = replay::recorded("threads", |bytes| {
        let _watched = common::watched();
        run(bytes);
    });
    assert!(count > 5);
}
