//! Rows of figures, and how they print: columns as wide as what is in them, names shortened in the middle.

use super::human;
use std::fmt;
use std::ops::Deref;

/// Names are shortened to so many characters.
const NAME_MAX: usize = 36;
/// So many rows print; the rest is counted.
const ROWS_MAX: usize = 40;

/// Rows of one kind: a slice, with a table as its `Display`.
///
/// The table shows the forty rows that matter most; the slice has all of them, in their own order.
///
/// ```
/// # let bus = stasis_bus::Bus::builder().manual().build()?;
/// let topic = bus.topic("calls")?;
/// let _log = topic.subscribe("log", |_| {})?;
/// let rows = bus.subscription_stats();
/// assert_eq!(rows[0].name, "log");
/// println!("{rows}");
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[cfg_attr(feature = "json", serde(transparent))]
pub struct Rows<T>(Vec<T>);

impl<T> Rows<T> {
    pub(crate) fn of(rows: impl IntoIterator<Item = T>) -> Self {
        Self(rows.into_iter().collect())
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Rows<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> IntoIterator for Rows<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Rows<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// What can be a row of a table.
pub(crate) trait Row {
    /// What one is called, and many.
    const NAMES: (&'static str, &'static str);
    /// The head of each column. The first column is a name; columns of numbers stand to the right.
    const HEAD: &'static [Column];

    fn cells(&self) -> Vec<String>;

    /// Rows with the greatest come first.
    fn weight(&self) -> (u64, u64);
}

/// One column.
pub(crate) enum Column {
    Text(&'static str),
    Number(&'static str),
}

impl Column {
    fn head(&self) -> &'static str {
        match self {
            Self::Text(head) | Self::Number(head) => head,
        }
    }
}

impl<T: Row> fmt::Display for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut order: Vec<&T> = self.iter().collect();
        order.sort_by_key(|row| std::cmp::Reverse(row.weight()));
        let heads = T::HEAD.iter().map(|column| column.head().to_owned()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(heads)
            .chain(order.iter().take(ROWS_MAX).map(|row| shortened(row.cells())))
            .collect();
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..T::HEAD.len()).map(width).collect();
        for line in &lines {
            writeln!(f, "{}", aligned(line, T::HEAD, &widths))?;
        }
        let (one, many) = T::NAMES;
        match self.len().checked_sub(ROWS_MAX) {
            Some(more) if more > 0 => write!(
                f,
                "... and {}",
                human::plural(more as u64, &format!("{one} more"), &format!("{many} more"))
            ),
            _ => write!(f, "{}", human::plural(self.len() as u64, one, many)),
        }
    }
}

fn shortened(cells: Vec<String>) -> Vec<String> {
    cells.into_iter().map(|cell| human::shorten(&cell, NAME_MAX)).collect()
}

fn aligned(cells: &[String], columns: &[Column], widths: &[usize]) -> String {
    let mut line = String::new();
    for ((cell, column), width) in cells.iter().zip(columns).zip(widths) {
        if !line.is_empty() {
            line.push_str("  ");
        }
        match column {
            Column::Text(_) => line += &format!("{cell:<width$}"),
            Column::Number(_) => line += &format!("{cell:>width$}"),
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// A block of lines `label: value`, for one thing in detail.
pub(crate) fn details(f: &mut fmt::Formatter<'_>, title: &str, lines: &[(&str, String)]) -> fmt::Result {
    write!(f, "{title}")?;
    let width = lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0) + 2;
    for (label, value) in lines {
        write!(f, "\n  {label:<width$}{value}")?;
    }
    Ok(())
}
