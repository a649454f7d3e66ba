//! A scenario's cells for people: minimum, median, maximum, and the median beside that of the first contestant.

use super::number;
use crate::results::{Cell, Cells};
use std::fmt::Write;

/// The whole table, with a title.
pub fn of(cells: &Cells) -> String {
    let mut text = format!("{}: {}\n", cells.scenario, cells.about);
    let columns = widths(cells);
    line(
        &mut text,
        columns,
        ["contestant", "waits", "allocator", "figure"],
        ["min", "median", "max", "to first"],
    );
    for cell in &cells.all {
        let ratio = cells.home(cell).map_or(f64::NAN, |home| cell.median() / home.median());
        let figures = [cell.min(), cell.median(), cell.max()].map(number);
        let [min, median, max] = figures.each_ref().map(String::as_str);
        let figure = figure(cell);
        let names = [&cell.row.contestant, cell.row.wait, cell.row.allocator.name(), &figure];
        line(&mut text, columns, names, [min, median, max, &format!("{ratio:.2}")]);
    }
    text
}

fn figure(cell: &Cell) -> String {
    format!("{} {}", cell.metric, cell.unit)
}

fn widths(cells: &Cells) -> [usize; 4] {
    let widest = |length: &dyn Fn(&Cell) -> usize| cells.all.iter().map(length).max().unwrap_or(0).max(10);
    [
        widest(&|cell| cell.row.contestant.len()),
        widest(&|cell| cell.row.wait.len()),
        widest(&|cell| cell.row.allocator.name().len()),
        widest(&|cell| figure(cell).len()),
    ]
}

fn line(text: &mut String, widths: [usize; 4], names: [&str; 4], figures: [&str; 4]) {
    text.push(' ');
    for (name, width) in names.into_iter().zip(widths) {
        let _ = write!(text, " {name:<width$}");
    }
    for figure in figures {
        let _ = write!(text, " {figure:>9}");
    }
    text.push('\n');
}
