//! Every scenario there is, family by family, in the order of the report.

mod fan_out;

use crate::bench::Scenario;
pub use fan_out::WIDTHS;

pub fn all() -> Vec<Scenario> {
    fan_out::all()
}
