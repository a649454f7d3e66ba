//! Holds derived rows against those that Asterisk wrote.

use super::row::{COLUMNS, Cell, Row};
use std::collections::HashMap;
use std::fmt;

/// Event times are taken a little after the moments that the CDR engine sees, so a derived
/// second may be the next one, and a length may be off by one in either direction.
const TOLERANCE: i64 = 1;

/// How the rows of two sources agree, matched per call (unique id) in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Rows that Asterisk wrote.
    pub(crate) rows: usize,
    /// Of these the derived ones that equal them in every column, times within one second.
    pub(crate) equal: usize,
    /// Everything that differs, in the order of Asterisk's rows, rows too many at the end.
    pub(crate) differences: Vec<Difference>,
}

/// One column of one row that differs, or a row that only one side has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) uniqueid: String,
    /// Number of the row within its call, from 1.
    pub(crate) row: usize,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Missing,
    Extra,
    Column { name: &'static str, derived: String, asterisk: String },
}

/// Compares per call and in order; `derived` and `asterisk` may list the calls in any order.
#[must_use]
pub(crate) fn compare(derived: &[Row], asterisk: &[Row]) -> Comparison {
    let mut unmatched = Calls::of(derived);
    let mut seen = HashMap::new();
    let mut result = Comparison { rows: asterisk.len(), ..Comparison::default() };
    for expected in asterisk {
        let number = seen.entry(expected.uniqueid.as_str()).or_insert(0);
        *number += 1;
        let found = unmatched.take(expected);
        let differences = found.map_or_else(|| vec![What::Missing], |row| columns(row, expected));
        result.equal += usize::from(differences.is_empty());
        result.add(expected, *number, differences);
    }
    for row in derived {
        if unmatched.take_same(row) {
            let number = seen.entry(row.uniqueid.as_str()).or_insert(0);
            *number += 1;
            result.add(row, *number, vec![What::Extra]);
        }
    }
    result
}

impl Comparison {
    fn add(&mut self, row: &Row, number: usize, found: Vec<What>) {
        let uniqueid = &row.uniqueid;
        let named =
            found.into_iter().map(|what| Difference { uniqueid: uniqueid.clone(), row: number, what });
        self.differences.extend(named);
    }
}

/// Rows not yet matched, per call, the next one last.
struct Calls<'a>(HashMap<&'a str, Vec<&'a Row>>);

impl<'a> Calls<'a> {
    fn of(rows: &'a [Row]) -> Self {
        let mut calls: HashMap<&str, Vec<&Row>> = HashMap::new();
        for row in rows.iter().rev() {
            calls.entry(&row.uniqueid).or_default().push(row);
        }
        Self(calls)
    }

    /// The next row of the same call.
    fn take(&mut self, like: &Row) -> Option<&'a Row> {
        self.0.get_mut(like.uniqueid.as_str())?.pop()
    }

    /// Whether this very row is still unmatched; then it no longer is.
    fn take_same(&mut self, row: &Row) -> bool {
        let Some(rows) = self.0.get_mut(row.uniqueid.as_str()) else {
            return false;
        };
        let is_next = rows.last().is_some_and(|next| std::ptr::eq(*next, row));
        if is_next {
            rows.pop();
        }
        is_next
    }
}

impl Difference {
    /// Whether the row is missing altogether.
    pub(crate) fn is_missing(&self) -> bool {
        self.what == What::Missing
    }
}

fn columns(derived: &Row, asterisk: &Row) -> Vec<What> {
    let pairs = derived.cells().into_iter().zip(asterisk.cells());
    let named = COLUMNS.into_iter().zip(pairs);
    let differing = named.filter(|(_, (left, right))| !agree(*left, *right));
    let described = differing.map(|(name, (derived, asterisk))| What::Column {
        name,
        derived: derived.to_string(),
        asterisk: asterisk.to_string(),
    });
    described.collect()
}

fn agree(left: Cell<'_>, right: Cell<'_>) -> bool {
    match (left, right) {
        (Cell::Time(Some(left)), Cell::Time(Some(right))) => {
            left.0.abs_diff(right.0) <= TOLERANCE.unsigned_abs()
        }
        (Cell::Number(left), Cell::Number(right)) => left.abs_diff(right) <= TOLERANCE.unsigned_abs(),
        _ => left == right,
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} row {}: ", self.uniqueid, self.row)?;
        match &self.what {
            What::Missing => f.write_str("missing"),
            What::Extra => f.write_str("not among Asterisk's"),
            What::Column { name, derived, asterisk } => {
                write!(f, "{name} {derived:?}, Asterisk has {asterisk:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Second;
    use super::*;

    fn row(uniqueid: &str, start: i64) -> Row {
        Row { uniqueid: uniqueid.into(), start: Some(Second(start)), ..Row::default() }
    }

    #[test]
    fn matches_per_call_and_tolerates_a_second() {
        let derived = [row("b", 7), row("a", 5), row("a", 9)];
        let asterisk = [row("a", 4), row("b", 7), row("a", 10)];
        let result = compare(&derived, &asterisk);
        assert_eq!((result.rows, result.equal), (3, 3));
        assert_eq!(result.differences, []);
    }

    #[test]
    fn names_what_differs() {
        let derived = [row("a", 5), row("a", 9), Row { dst: "x".into(), ..row("c", 0) }, row("a", 9)];
        let asterisk = [row("b", 5), row("a", 7), row("c", 0)];
        let result = compare(&derived, &asterisk);
        assert_eq!((result.rows, result.equal), (3, 0));
        let told: Vec<String> = result.differences.iter().map(ToString::to_string).collect();
        let expected = [
            "call b row 1: missing",
            "call a row 1: start \"1970-01-01 00:00:05\", Asterisk has \"1970-01-01 00:00:07\"",
            "call c row 1: dst \"x\", Asterisk has \"\"",
            "call a row 2: not among Asterisk's",
            "call a row 3: not among Asterisk's",
        ];
        assert_eq!(told, expected);
    }
}
