//! Tables: which rows match, in which order, and one page of them.
//!
//! A page costs one key for every row that matches, a partial sort, and text for its own rows only.

use super::query::{BadQuery, PART, Part, Query};
use serde::Serialize;
use std::cmp::Ordering;

/// What a row is sorted by.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Key<'a> {
    Number(f64),
    Text(&'a str),
}

impl Key<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

/// A parameter that takes rows by a word they have.
pub(super) struct Choice {
    pub(super) name: &'static str,
    /// What it may be; empty: anything.
    pub(super) known: &'static [&'static str],
}

/// A row of one of the tables.
pub(super) trait Row: Copy + Serialize {
    /// What it can be sorted by.
    const COLUMNS: &'static [&'static str];
    /// What it is sorted by if nothing else is asked for.
    const USUAL: &'static str;
    const CHOICES: &'static [Choice] = &[];

    fn key(&self, column: &str) -> Key<'_>;

    /// What a filter looks into.
    fn names(&self) -> [&str; 2];

    /// Whether a row has that word for one of its choices.
    fn has(&self, _choice: &str, _word: &str) -> bool {
        true
    }
}

/// One page of a table.
#[derive(Serialize)]
pub(super) struct Page<R> {
    /// Rows there are.
    total: usize,
    /// Rows that match.
    matched: usize,
    offset: usize,
    limit: usize,
    sort: &'static str,
    order: &'static str,
    rows: Vec<R>,
}

impl<R: Row> Page<R> {
    /// The page of `rows` that `query` asks for.
    pub(super) fn of(query: Query, rows: impl ExactSizeIterator<Item = R>) -> Result<Self, BadQuery> {
        let choices = R::CHOICES.iter().map(|choice| choice.name);
        let query = query.only(&choices.chain(PART).collect::<Vec<_>>())?;
        let part = Part::of(&query, R::COLUMNS, R::USUAL)?;
        let chosen = chosen::<R>(&query)?;
        let total = rows.len();
        let matching: Vec<R> = rows
            .filter(|row| chosen.iter().all(|(choice, word)| row.has(choice, word)))
            .filter(|row| {
                part.filter.is_empty() || row.names().iter().any(|name| contains(name, &part.filter))
            })
            .collect();
        let matched = matching.len();
        let is_text = matching.first().is_some_and(|row| matches!(row.key(part.sort), Key::Text(_)));
        let descending = part.descending.unwrap_or(!is_text);
        let rows = sorted(&matching, part.sort, descending, part.offset, part.limit);
        let order = if descending { "desc" } else { "asc" };
        Ok(Self { total, matched, offset: part.offset, limit: part.limit, sort: part.sort, order, rows })
    }
}

fn chosen<R: Row>(query: &Query) -> Result<Vec<(&'static str, &str)>, BadQuery> {
    let mut chosen = Vec::new();
    for choice in R::CHOICES {
        if !choice.known.is_empty() {
            query.word(choice.name, choice.known)?;
        }
        chosen.extend(query.get(choice.name).map(|word| (choice.name, word)));
    }
    Ok(chosen)
}

/// Rows `offset` to `offset + limit` of `rows` in that order; equal ones as they were.
pub(super) fn sorted<R: Row>(
    rows: &[R],
    column: &str,
    descending: bool,
    offset: usize,
    limit: usize,
) -> Vec<R> {
    let mut keys: Vec<(Key<'_>, usize)> = rows.iter().map(|row| row.key(column)).zip(0..).collect();
    let order = |a: &(Key<'_>, usize), b: &(Key<'_>, usize)| {
        let by_key = a.0.compare(&b.0);
        (if descending { by_key.reverse() } else { by_key }).then(a.1.cmp(&b.1))
    };
    let end = offset.saturating_add(limit).min(keys.len());
    if offset >= end {
        return Vec::new();
    }
    if end < keys.len() {
        keys.select_nth_unstable_by(end, order);
        keys.truncate(end);
    }
    keys.sort_unstable_by(order);
    keys[offset..].iter().map(|(_, at)| rows[*at]).collect()
}

/// Whether `name` contains `part`, which is in lower case.
fn contains(name: &str, part: &str) -> bool {
    if name.is_ascii() && part.is_ascii() {
        return name.as_bytes().windows(part.len()).any(|piece| piece.eq_ignore_ascii_case(part.as_bytes()));
    }
    name.to_lowercase().contains(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Serialize)]
    struct Plain(&'static str, u32);

    impl Row for Plain {
        const COLUMNS: &'static [&'static str] = &["name", "number"];
        const USUAL: &'static str = "number";
        const CHOICES: &'static [Choice] = &[Choice { name: "parity", known: &["odd", "even"] }];

        fn key(&self, column: &str) -> Key<'_> {
            if column == "name" { Key::Text(self.0) } else { Key::Number(f64::from(self.1)) }
        }

        fn names(&self) -> [&str; 2] {
            [self.0, ""]
        }

        fn has(&self, _: &str, word: &str) -> bool {
            (self.1 % 2 == 1) == (word == "odd")
        }
    }

    const ROWS: [Plain; 5] = [Plain("b", 2), Plain("Äa", 5), Plain("a", 1), Plain("c", 2), Plain("B", 4)];

    fn page(query: &str) -> Page<Plain> {
        Page::of(Query::parse(query).unwrap(), ROWS.into_iter()).unwrap()
    }

    #[test]
    fn pages_follow_each_other_in_one_order() {
        let whole = page("").rows;
        assert_eq!(whole.iter().map(|row| row.1).collect::<Vec<_>>(), [5, 4, 2, 2, 1]);
        assert_eq!(whole[2], Plain("b", 2), "equal ones as they were");
        for limit in 1..=6 {
            let pages =
                (0..5).step_by(limit).map(|offset| page(&format!("offset={offset}&limit={limit}")).rows);
            assert_eq!(pages.flatten().collect::<Vec<_>>(), whole, "pages of {limit}");
        }
        assert!(page("offset=5").rows.is_empty() && page("offset=4294967295").rows.is_empty());
    }

    #[test]
    fn names_rise_and_numbers_fall_unless_it_is_said() {
        let names = |query: &str| page(query).rows.iter().map(|row| row.0).collect::<Vec<_>>();
        assert_eq!(names("sort=name"), ["B", "a", "b", "c", "Äa"]);
        assert_eq!(names("sort=name&order=desc"), ["Äa", "c", "b", "a", "B"]);
        assert_eq!(names("order=asc&limit=1"), ["a"]);
    }

    #[test]
    fn filters_count_what_they_leave() {
        let found = page("filter=B");
        assert_eq!((found.total, found.matched, found.rows.len()), (5, 2, 2));
        assert_eq!(page("filter=%C3%A4").matched, 1, "case is nothing, also beyond ASCII");
        assert_eq!(page("parity=odd").matched, 2);
        assert_eq!(page("parity=odd&filter=b").matched, 0);
        assert!(Page::of(Query::parse("parity=prime").unwrap(), ROWS.into_iter()).is_err());
    }
}
