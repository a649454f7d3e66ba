//! The cases of the ring, which is private: here, and not beside it, because benches are built from its files too.

use crate::queue::checks::check;
use crate::replay;

#[test]
fn recorded_cases_agree_with_other_queues() {
    assert!(replay::recorded("ring", check) >= 5);
}

#[test]
fn made_up_cases_agree_with_other_queues() {
    replay::made_up(0..2_000, 3_000, check);
}
