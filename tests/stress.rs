//! The stress example, small: `STRESS_DELIVERIES` makes it larger.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod common;

#[path = "../examples/stress/main.rs"]
mod stress;

#[test]
fn subscriptions_of_all_modes_come_and_go_under_four_publishers() {
    let _watched = common::watched();
    let target = std::env::var("STRESS_DELIVERIES").map_or(300_000, |text| text.parse().expect("a number"));
    let outcome = stress::run(stress::Until::Deliveries(target));
    println!("{outcome}");
    assert!(outcome.is_good(), "{outcome}");
    assert!(outcome.deliveries >= target && outcome.subscriptions > 16 && outcome.panics > 0);
}
