//! A page with everything: the machine, the targets, and a table for every scenario.
//!
//! A file that has the two marks is changed between them only, so that what people have written around stays.

use super::{number, repetitions, targets};
use crate::machine::Load;
use crate::results::{Cell, Cells};
use std::fmt::Write;
use std::path::Path;

const BEGIN: &str = "<!-- rivals: from here on written by the bench -->";
const END: &str = "<!-- rivals: written by the bench up to here -->";

/// Puts the page between the marks of what is there, or instead of all of it.
pub fn splice(page: &str, there: &str) -> String {
    let (before, rest) = there.split_once(BEGIN).unwrap_or(("# Results\n\n", ""));
    let after = rest.split_once(END).map_or("\n", |(_, after)| after);
    format!("{before}{BEGIN}\n\n{page}\n{END}{after}")
}

/// `picture` is where it stands, seen from the page.
pub fn of(results: &[Cells], load: &Load, command: &str, picture: Option<&Path>) -> String {
    let mut text = format!("Taken by `{command}`.\n\n```text\n{load}; {}\n```\n\n", repetitions(results));
    if let Some(path) = picture {
        let _ =
            write!(text, "![Cost of a delivery against the number of subscribers]({})\n\n", path.display());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_have_written_stays() {
        let first = splice("one", "");
        assert!(first.starts_with("# Results\n"));
        let edited = format!("Mine.\n{}Also mine.\n", first.replace("# Results\n\n", ""));
        let second = splice("two", &edited);
        assert!(second.starts_with("Mine.\n") && second.ends_with("Also mine.\n"));
        assert!(second.contains("two") && !second.contains("one"));
        assert_eq!(splice("two", &second), second);
    }
}
