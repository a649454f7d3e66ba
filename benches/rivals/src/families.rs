//! Every scenario there is, family by family, in the order of the report.

mod fan_out;

use crate::bench::Scenario;

pub fn all() -> Vec<Scenario> {
    fan_out::all()
}
