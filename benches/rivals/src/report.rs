//! How results are told: a table for people, records for machines, a page for the repository, a picture.

pub mod json;
pub mod markdown;
pub mod plot;
pub mod table;

use crate::results::Cells;
use crate::targets::TABLE;
use crate::verdict;

/// A line for each target whose contestants took part.
pub fn targets(results: &[Cells]) -> Vec<String> {
    TABLE.iter().filter_map(|target| verdict::line(target, results)).collect()
}

/// How many repetitions there were, and how many of them others disturbed.
pub fn repetitions(results: &[Cells]) -> String {
    let all: usize = results.iter().map(|cells| cells.repetitions).sum();
    let disturbed: usize = results.iter().map(|cells| cells.disturbed).sum();
    format!("{disturbed} of {all} repetitions disturbed")
}

/// Three digits that say something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
