//! Query strings: read whole, or refused with what is wrong and what would be right.

use serde::Serialize;

/// More pairs than any address of ours has.
const PAIRS_MAX: usize = 16;
/// A page of a table, if nothing else is asked for.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 1_000;

/// Why a query string was refused.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct BadQuery {
    /// What is wrong, and what would be right.
    error: String,
    /// The parameter it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
    /// What it was.
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
}

impl BadQuery {
    fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), field: String::new(), value: String::new() }
    }

    pub(super) fn value(field: &str, value: &str, allowed: &str) -> Self {
        let error = format!("{field} is {value:?}; {allowed}");
        Self { error, field: field.to_owned(), value: value.to_owned() }
    }
}

/// The parameters of one request, each of them once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what follows the `?` of an address.
    pub(super) fn parse(text: &str) -> Result<Self, BadQuery> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(BadQuery::value(&name, &value, "it is given twice; once is allowed"));
            }
            if pairs.len() == PAIRS_MAX {
                return Err(BadQuery::new(format!("there are more than {PAIRS_MAX} parameters")));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// That there are no parameters but these.
    pub(super) fn only(self, known: &[&str]) -> Result<Self, BadQuery> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(self),
            Some((name, value)) => {
                let allowed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let error = format!("there is no parameter {name:?}; allowed: {allowed}");
                Err(BadQuery { error, field: name.clone(), value: value.clone() })
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that must be there.
    pub(super) fn need(&self, name: &str, allowed: &str) -> Result<&str, BadQuery> {
        self.get(name).ok_or_else(|| BadQuery {
            error: format!("{name} is missing; {allowed}"),
            field: name.to_owned(),
            value: String::new(),
        })
    }

    /// A number in a range; `usual` if it is not given.
    fn number(&self, name: &str, usual: usize, least: usize, most: usize) -> Result<usize, BadQuery> {
        let Some(text) = self.get(name) else { return Ok(usual) };
        let is_plain = text.bytes().all(|c| c.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_plain && (least..=most).contains(number));
        number.ok_or_else(|| {
            BadQuery::value(name, text, &format!("allowed is a whole number from {least} to {most}"))
        })
    }

    /// One of a few words, if it is given.
    pub(super) fn word(
        &self,
        name: &str,
        known: &'static [&'static str],
    ) -> Result<Option<&'static str>, BadQuery> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let found = known.iter().copied().find(|word| *word == text);
        found
            .map(Some)
            .ok_or_else(|| BadQuery::value(name, text, &format!("allowed is one of {}", known.join(", "))))
    }
}

/// `%41+b` as `A b`.
fn decoded(text: &str) -> Result<String, BadQuery> {
    let odd = |why: &str| BadQuery::new(format!("{:?} {why}", text.chars().take(80).collect::<String>()));
    let (mut bytes, mut left) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, rest @ ..] = left {
        left = rest;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let byte = rest.split_at_checked(2).and_then(|(two, after)| {
                    left = after;
                    hex(two)
                });
                bytes.push(byte.ok_or_else(|| odd("has a % without two hexadecimal digits after it"))?);
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| odd("is no UTF-8 when decoded"))
}

fn hex(two: &[u8]) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16);
    two.iter().try_fold(0, |sum, c| Some(sum * 16 + digit(*c)?)).and_then(|sum| u8::try_from(sum).ok())
}

/// Which part of a table is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The column to sort by.
    pub(super) sort: &'static str,
    /// Largest first; not given: numbers are, names are not.
    pub(super) descending: Option<bool>,
    pub(super) offset: usize,
    pub(super) limit: usize,
    /// What names must contain, in lower case.
    pub(super) filter: String,
}

/// What every table understands.
pub(super) const PART: [&str; 5] = ["filter", "limit", "offset", "order", "sort"];

impl Part {
    /// Reads it for a table of these columns, which is sorted by `usual` if nothing else is asked for.
    pub(super) fn of(
        query: &Query,
        columns: &'static [&'static str],
        usual: &'static str,
    ) -> Result<Self, BadQuery> {
        Ok(Self {
            sort: query.word("sort", columns)?.unwrap_or(usual),
            descending: query.word("order", &["asc", "desc"])?.map(|order| order == "desc"),
            offset: query.number("offset", 0, 0, u32::MAX as usize)?,
            limit: query.number("limit", LIMIT, 1, LIMIT_MAX)?,
            filter: query.get("filter").unwrap_or_default().to_lowercase(),
        })
    }
}

/// What must hold of every query string: it is refused, or it is read, and then means the same when written anew.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(input: &[u8]) {
    use std::fmt::Write;
    let text = String::from_utf8_lossy(input);
    let Ok(query) = Query::parse(&text) else { return };
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |mut all, byte| {
            let _ = write!(all, "%{byte:02x}");
            all
        })
    };
    let pairs = query.0.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let anew = pairs.collect::<Vec<_>>().join("&");
    assert_eq!(Query::parse(&anew).as_ref(), Ok(&query), "{text:?} written anew: {anew:?}");
    let Ok(part) = Part::of(&query, &["name", "depth"], "name") else { return };
    assert!((1..=LIMIT_MAX).contains(&part.limit) && matches!(part.sort, "name" | "depth"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Result<Part, BadQuery> {
        Part::of(&Query::parse(text)?.only(&PART)?, &["name", "depth"], "depth")
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let usual = Part { sort: "depth", descending: None, offset: 0, limit: 50, filter: String::new() };
        assert_eq!(part(""), Ok(usual));
        let asked =
            Part { sort: "name", descending: Some(false), offset: 100, limit: 25, filter: "ä b&=".into() };
        assert_eq!(part("sort=name&order=asc&offset=100&limit=25&filter=%C3%84+b%26%3d"), Ok(asked));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_right() {
        let of = |text: &str| part(text).unwrap_err().error;
        assert_eq!(of("limit=0"), r#"limit is "0"; allowed is a whole number from 1 to 1000"#);
        assert_eq!(of("limit=+5"), r#"limit is " 5"; allowed is a whole number from 1 to 1000"#);
        assert_eq!(of("offset=-1"), r#"offset is "-1"; allowed is a whole number from 0 to 4294967295"#);
        assert_eq!(
            of("offset=99999999999999999999999"),
            r#"offset is "99999999999999999999999"; allowed is a whole number from 0 to 4294967295"#
        );
        assert_eq!(of("sort=speed"), r#"sort is "speed"; allowed is one of name, depth"#);
        assert_eq!(of("order="), r#"order is ""; allowed is one of asc, desc"#);
        assert_eq!(of("limit=1&limit=2"), r#"limit is "2"; it is given twice; once is allowed"#);
        assert_eq!(
            of("page=2"),
            r#"there is no parameter "page"; allowed: filter, limit, offset, order, sort"#
        );
        assert_eq!(of("filter=%4"), r#""%4" has a % without two hexadecimal digits after it"#);
        assert_eq!(of("filter=%zz"), r#""%zz" has a % without two hexadecimal digits after it"#);
        assert_eq!(of("filter=%+1"), r#""%+1" has a % without two hexadecimal digits after it"#);
        assert_eq!(of("filter=%ff"), r#""%ff" is no UTF-8 when decoded"#);
        let many: String = (0..17).map(|n| format!("p{n}=&")).collect();
        assert_eq!(of(&many), "there are more than 16 parameters");
    }

    #[test]
    fn recorded_query_strings_hold() {
        assert!(crate::replay::recorded("query", check) >= 10);
    }

    #[test]
    fn odd_query_strings_mean_the_same_when_written_anew() {
        for text in [
            "",
            "&&&",
            "=",
            "a",
            "a=b=c",
            "%00=%7f",
            "a=%41%42",
            "+=+",
            "\u{fffd}=%C3%A4",
            "sort=depth&limit=7",
        ] {
            check(text.as_bytes());
        }
        let parts = [
            "%",
            "%4",
            "1",
            "a",
            "&",
            "=",
            "+",
            "limit=",
            "sort=",
            "depth",
            "\u{e4}",
            "%c3%a4",
            "%00",
            "order=desc",
            "%ff",
        ];
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let text: String =
                (0..12).map(|_| parts[(xorshift(&mut seed) % parts.len() as u64) as usize]).collect();
            check(text.as_bytes());
        }
    }

    fn xorshift(seed: &mut u64) -> u64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }
}
