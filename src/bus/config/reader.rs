//! Reads fields out of TOML, and says where and what when one cannot be.

use super::{TABLES, time};
use crate::error::{ConfigProblem, ConfigTextError, check_name};
use std::fs::File;
use std::io::Read;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

type Refused = ConfigTextError;

/// The longest text, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// So much of a value is repeated in an error.
const REPEATED_CHARS_MAX: usize = 60;

/// The text of a file, which may be as long as a text may be.
pub(super) fn text_of(path: &Path) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    // One byte more tells that it is too long.
    let most = TEXT_BYTES_MAX as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    bearable(bytes.len())?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
        refused(
            place(&before, valid),
            String::new(),
            ConfigProblem::Unreadable("this is not UTF-8".to_owned()),
        )
    })
}

pub(super) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Refused> {
    bearable(text.len())?;
    DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        refused(place(text, at), String::new(), ConfigProblem::Syntax(error.message().to_owned()))
    })
}

fn bearable(bytes: usize) -> Result<(), Refused> {
    match bytes {
        0..=TEXT_BYTES_MAX => Ok(()),
        _ => Err(unreadable(format!("the text is too long; allowed are {TEXT_BYTES_MAX} bytes"))),
    }
}

fn unreadable(why: String) -> Refused {
    refused((0, 0), String::new(), ConfigProblem::Unreadable(why))
}

fn refused((line, column): (usize, usize), field: String, problem: ConfigProblem) -> Refused {
    ConfigTextError { file: None, line, column, field, problem }
}

/// Line and column of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    // What is missing at the very end is missing in the last line.
    let end = text.strip_suffix('\n').unwrap_or(text).len();
    let before = &text[..text.floor_char_boundary(at.min(end))];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A table whose fields are all known.
pub(super) struct Section<'a> {
    text: &'a str,
    path: String,
    table: &'a DeTable<'a>,
    place: (usize, usize),
}

impl<'a> Section<'a> {
    pub(super) fn open(
        text: &'a str,
        path: String,
        table: &'a DeTable<'a>,
        known: &'static [&'static str],
    ) -> Result<Self, Refused> {
        let section = Self { text, path, table, place: (1, 1) };
        let stranger = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        // Tables are sorted by name; the reader of the error goes from the top.
        match stranger.min_by_key(|key| key.span().start) {
            None => Ok(section),
            Some(key) => {
                let name = key.get_ref().as_ref();
                let problem = ConfigProblem::Unknown { nearest: nearest(&section.path, name), known };
                Err(refused(place(text, key.span().start), shortened(&section.path_of(name)), problem))
            }
        }
    }

    fn path_of(&self, name: &str) -> String {
        joined(&self.path, name)
    }

    fn field(&self, name: &str) -> Option<Field<'a>> {
        let (_, value) = self.table.iter().find(|(key, _)| key.get_ref() == name)?;
        let (text, path) = (self.text, self.path_of(name));
        Some(Field { text, path, span: value.span(), value: value.get_ref() })
    }

    /// The field, if it is there.
    pub(super) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Field<'a>) -> Result<T, Refused>,
    ) -> Result<Option<T>, Refused> {
        self.field(name).as_ref().map(read).transpose()
    }

    /// The field, which must be there.
    pub(super) fn need<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Field<'a>) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let field = self.path_of(name);
        let missing = refused(self.place, field, ConfigProblem::Missing);
        self.read(name, read)?.ok_or(missing)
    }

    /// The table of that name, if it is there.
    pub(super) fn section(
        &self,
        name: &str,
        known: &'static [&'static str],
    ) -> Result<Option<Self>, Refused> {
        self.read(name, |field| field.section(known, "tables"))
    }
}

/// A field that is there.
pub(super) struct Field<'a> {
    text: &'a str,
    path: String,
    span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl<'a> Field<'a> {
    /// The error that says so.
    pub(super) fn refused(&self, allowed: impl Into<String>) -> Refused {
        let value = shortened(self.text.get(self.span.clone()).unwrap_or_default());
        let problem = ConfigProblem::Value { value, allowed: allowed.into() };
        refused(place(self.text, self.span.start), self.path.clone(), problem)
    }

    pub(super) fn word(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub(super) fn name(&self) -> Result<String, Refused> {
        let good = self.word().filter(|name| check_name(name).is_ok()).map(str::to_owned);
        good.ok_or_else(|| self.refused("names of 1 to 255 bytes without control characters"))
    }

    pub(super) fn number(&self, allowed: RangeInclusive<usize>) -> Result<usize, Refused> {
        self.number_in(&allowed).ok_or_else(|| self.refused(numbers(&allowed)))
    }

    /// A number, or that word, which stands for none.
    pub(super) fn number_or(
        &self,
        word: &str,
        allowed: RangeInclusive<usize>,
    ) -> Result<Option<usize>, Refused> {
        let refused = || self.refused(format!("{} and {word:?}", numbers(&allowed)));
        let number = || self.number_in(&allowed).map(Some).ok_or_else(refused);
        if self.word() == Some(word) { Ok(None) } else { number() }
    }

    fn number_in(&self, allowed: &RangeInclusive<usize>) -> Option<usize> {
        let written = self.value.as_integer()?;
        let number = usize::from_str_radix(written.as_str(), written.radix()).ok()?;
        allowed.contains(&number).then_some(number)
    }

    pub(super) fn time(&self, allowed: (Duration, Duration)) -> Result<Duration, Refused> {
        self.time_in(allowed).ok_or_else(|| self.refused(times(allowed)))
    }

    /// A time, or that word, which stands for none.
    pub(super) fn time_or(
        &self,
        word: &str,
        allowed: (Duration, Duration),
    ) -> Result<Option<Duration>, Refused> {
        let refused = || self.refused(format!("{} and {word:?}", times(allowed)));
        let time = || self.time_in(allowed).map(Some).ok_or_else(refused);
        if self.word() == Some(word) { Ok(None) } else { time() }
    }

    fn time_in(&self, (min, max): (Duration, Duration)) -> Option<Duration> {
        self.word().and_then(time::read).filter(|time| (min..=max).contains(time))
    }

    pub(super) fn items(&self, allowed: &str) -> Result<impl Iterator<Item = Field<'a>>, Refused> {
        let items = self.value.as_array().ok_or_else(|| self.refused(allowed))?;
        let (text, path) = (self.text, self.path.clone());
        Ok(items.iter().map(move |item| Field {
            text,
            path: path.clone(),
            span: item.span(),
            value: item.get_ref(),
        }))
    }

    pub(super) fn section(
        &self,
        known: &'static [&'static str],
        allowed: &str,
    ) -> Result<Section<'a>, Refused> {
        let table = self.value.as_table().ok_or_else(|| self.refused(allowed))?;
        let section = Section::open(self.text, self.path.clone(), table, known)?;
        Ok(Section { place: place(self.text, self.span.start), ..section })
    }
}

fn numbers(allowed: &RangeInclusive<usize>) -> String {
    format!("{} to {}", allowed.start(), allowed.end())
}

fn times((min, max): (Duration, Duration)) -> String {
    format!("{} to {}", time::written(min), time::written(max))
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A user's text, on one line.
fn shortened(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(REPEATED_CHARS_MAX)
        .flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] })
        .collect();
    if text.chars().nth(REPEATED_CHARS_MAX).is_some() {
        short.push_str("...");
    }
    short
}

/// The field of any table that is called nearly so; of two that are as near, the one in the table where it was looked for.
fn nearest(table: &str, name: &str) -> Option<String> {
    if name.len() > REPEATED_CHARS_MAX {
        return None;
    }
    let all = TABLES.iter().flat_map(|(path, names)| names.iter().map(move |known| (*path, *known)));
    let near = all.map(|(path, known)| (edits(name, known), path != table, path, known));
    let near = near.filter(|(edits, ..)| *edits <= (name.chars().count() / 3).max(1));
    near.min().map(|(_, _, path, known)| joined(path, known))
}

/// How many characters must be put in, taken out or changed to make one of the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, one) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(one != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, expected) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("wait", "wiat", 2)]
        {
            assert_eq!(edits(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn the_nearest_name_is_in_the_same_table_if_it_can() {
        let found = |table: &str, name: &str| nearest(table, name);
        assert_eq!(found("", "nod"), Some("node".to_owned()));
        assert_eq!(found("", "workers_mx"), Some("pool.workers_max".to_owned()));
        assert_eq!(
            found("subscriptions.overflow", "time_out"),
            Some("subscriptions.overflow.timeout".to_owned())
        );
        assert_eq!(found("pool", "colour"), None);
    }
}
