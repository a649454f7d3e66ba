//! An array with one record per cell, one record per line.

use crate::results::{Cell, Cells};

pub fn of(results: &[Cells]) -> String {
    let records = results.iter().flat_map(|cells| cells.all.iter().map(|cell| record(&cells.scenario, cell)));
    format!("[\n{}\n]\n", records.collect::<Vec<_>>().join(",\n"))
}

fn record(scenario: &str, cell: &Cell) -> String {
    let texts = [
        ("scenario", scenario),
        ("contestant", &cell.row.contestant),
        ("wait", cell.row.wait),
        ("allocator", cell.row.allocator.name()),
        ("metric", &cell.metric),
        ("unit", &cell.unit),
    ];
    let numbers = [("min", cell.min()), ("median", cell.median()), ("max", cell.max())];
    let texts = texts.map(|(name, text)| format!("\"{name}\":\"{}\"", escaped(text)));
    let numbers = numbers.map(|(name, number)| format!("\"{name}\":{}", finite(number)));
    format!("{{{},{}}}", texts.join(","), numbers.join(","))
}

/// Names are ours: nothing but these two needs care.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// JSON knows no other numbers.
fn finite(number: f64) -> String {
    if number.is_finite() { format!("{number:.3}") } else { "null".to_owned() }
}
