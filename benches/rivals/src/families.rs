//! Every scenario there is, family by family, in the order of the report.

mod aggregate;
mod cache;
mod churn;
pub mod fan_out;
mod growth;
mod idle;
mod inline;
mod kit;
mod load;
mod memory;
mod percentiles;
mod rings;

use crate::bench::Scenario;
pub use fan_out::WIDTHS;

pub fn all() -> Vec<Scenario> {
    let families = [
        fan_out::all(),
        inline::all(),
        aggregate::all(),
        idle::all(),
        load::all(),
        cache::all(),
        rings::all(),
        churn::all(),
        memory::all(),
        growth::all(),
    ];
    families.into_iter().flatten().collect()
}
