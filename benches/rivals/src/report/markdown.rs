//! A page with everything: the machine, the targets, and a table for every scenario.

use super::{number, repetitions, targets};
use crate::machine::Load;
use crate::results::{Cell, Cells};
use std::fmt::Write;

pub fn of(results: &[Cells], load: &Load, command: &str) -> String {
    let mut text = format!("Taken by `{command}`.\n\n```text\n{load}; {}\n```\n\n", repetitions(results));
    let _ = write!(text, "## Targets\n\n```text\n{}\n```\n", targets(results).join("\n"));
    for family in families(results) {
        let _ = write!(text, "\n## {family}\n");
        results.iter().filter(|cells| cells.family == family).for_each(|cells| scenario(&mut text, cells));
    }
    text
}

fn families(results: &[Cells]) -> Vec<&'static str> {
    let mut families: Vec<_> = Vec::new();
    for cells in results {
        if !families.contains(&cells.family) {
            families.push(cells.family);
        }
    }
    families
}

fn scenario(text: &mut String, cells: &Cells) {
    let _ = write!(text, "\n### {}\n\n{}\n\n", cells.scenario, cells.about);
    text.push_str("| contestant | waits | allocator | figure | min | median | max | to the first |\n");
    text.push_str("| --- | --- | --- | --- | ---: | ---: | ---: | ---: |\n");
    cells.all.iter().for_each(|cell| row(text, cell, cells));
}

fn row(text: &mut String, cell: &Cell, cells: &Cells) {
    let ratio = cells.home(cell).map_or(f64::NAN, |home| cell.median() / home.median());
    let (row, allocator) = (&cell.row, cell.row.allocator.name());
    let [min, median, max] = [cell.min(), cell.median(), cell.max()].map(number);
    let _ = writeln!(
        text,
        "| {} | {} | {allocator} | {}, {} | {min} | {median} | {max} | {ratio:.2} |",
        row.contestant, row.wait, cell.metric, cell.unit
    );
}
