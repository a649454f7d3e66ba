//! CDR rows as CSV, in the form in which Asterisk's `cdr_csv` writes `Master.csv`.

use super::row::{COLUMNS, Cell, Row, Second};
use std::fmt;

/// Appends one row: text and times that are there in quotes, numbers and absent times bare.
pub(crate) fn write(out: &mut String, row: &Row) {
    for (index, cell) in row.cells().iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match cell {
            Cell::Number(_) | Cell::Time(None) => out.push_str(&cell.to_string()),
            Cell::Text(text) => quote(out, text),
            Cell::Time(Some(second)) => quote(out, &second.to_string()),
        }
    }
    out.push('\n');
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

/// A row that is not one, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CsvFault {
    /// Number of the row in the file, from 1.
    pub(crate) row: usize,
    pub(crate) trouble: CsvTrouble,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CsvTrouble {
    OpenQuote,
    Columns(usize),
    NotATime(String),
    NotANumber(String),
}

/// Reads a whole file; stops at the first row that is not one.
pub(crate) fn read(text: &str) -> Result<Vec<Row>, CsvFault> {
    let mut rows = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let row = record(&mut rest).and_then(row);
        let number = rows.len() + 1;
        rows.push(row.map_err(|trouble| CsvFault { row: number, trouble })?);
    }
    Ok(rows)
}

/// Takes the fields of one record and its line end off `rest`.
fn record(rest: &mut &str) -> Result<Vec<String>, CsvTrouble> {
    let mut fields = Vec::new();
    loop {
        fields.push(field(rest)?);
        match rest.strip_prefix(',') {
            Some(more) => *rest = more,
            None => break,
        }
    }
    *rest = rest.strip_prefix('\r').unwrap_or(rest);
    *rest = rest.strip_prefix('\n').unwrap_or(rest);
    Ok(fields)
}

fn field(rest: &mut &str) -> Result<String, CsvTrouble> {
    let Some(mut quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', '\r', '\n']).unwrap_or(rest.len());
        let (bare, more) = rest.split_at(end);
        *rest = more;
        return Ok(bare.to_owned());
    };
    let mut value = String::new();
    loop {
        let (part, more) = quoted.split_once('"').ok_or(CsvTrouble::OpenQuote)?;
        value.push_str(part);
        *rest = more;
        match more.strip_prefix('"') {
            Some(more) => quoted = more,
            None => return Ok(value),
        }
        value.push('"');
    }
}

fn row(fields: Vec<String>) -> Result<Row, CsvTrouble> {
    let fields: [String; COLUMNS.len()] =
        fields.try_into().map_err(|fields: Vec<String>| CsvTrouble::Columns(fields.len()))?;
    let [account, src, dst, context, clid, channel, other_channel, last_app, last_data, rest @ ..] = fields;
    let [start, answer, end, duration, billsec, disposition, ama_flags, uniqueid] = rest;
    Ok(Row {
        account,
        src,
        dst,
        context,
        clid,
        channel,
        other_channel,
        last_app,
        last_data,
        start: time(&start)?,
        answer: time(&answer)?,
        end: time(&end)?,
        duration: number(&duration)?,
        billsec: number(&billsec)?,
        disposition,
        ama_flags,
        uniqueid,
    })
}

fn time(text: &str) -> Result<Option<Second>, CsvTrouble> {
    if text.is_empty() {
        return Ok(None);
    }
    let second = Second::parse(text).ok_or_else(|| CsvTrouble::NotATime(text.to_owned()))?;
    Ok(Some(second))
}

fn number(text: &str) -> Result<i64, CsvTrouble> {
    text.parse().map_err(|_| CsvTrouble::NotANumber(text.to_owned()))
}

impl fmt::Display for CsvFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}: ", self.row)?;
        match &self.trouble {
            CsvTrouble::OpenQuote => f.write_str("a quoted field does not end"),
            CsvTrouble::Columns(count) => write!(f, "{count} columns instead of {}", COLUMNS.len()),
            CsvTrouble::NotATime(text) => write!(f, "not a time: {text:?}"),
            CsvTrouble::NotANumber(text) => write!(f, "not a number: {text:?}"),
        }
    }
}

impl std::error::Error for CsvFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asterisks_own_files_read_back_byte_for_byte() {
        for text in [include_str!("../recordings/Master.csv"), include_str!("../recordings/Master-rich.csv")]
        {
            let mut copy = String::new();
            read(text).expect("rows of Asterisk").iter().for_each(|row| write(&mut copy, row));
            assert_eq!(copy, text);
        }
    }

    #[test]
    fn says_which_row_is_broken() {
        let good = include_str!("../recordings/Master.csv").lines().next().unwrap_or_default();
        let cases = [
            (good.replace("2026", "year"), "row 2: not a time: \"year-11-21 21:43:36\""),
            (good.replace(",0,0,", ",0,x,"), "row 2: not a number: \"x\""),
            ("\"open,1\n".to_owned(), "row 2: a quoted field does not end"),
            ("a,b\n".to_owned(), "row 2: 2 columns instead of 17"),
            ("\"a\"b,c".to_owned(), "row 2: 1 columns instead of 17"),
        ];
        for (bad, message) in cases {
            let fault = read(&format!("{good}\n{bad}")).expect_err(&bad);
            assert_eq!(fault.to_string(), message);
        }
    }

    #[test]
    fn quotes_and_line_ends_stay_inside_their_field() {
        let row = Row { clid: "\"a \\\"b\\\"\" <1>,\r\nx".into(), start: Some(Second(1)), ..Row::default() };
        let mut text = String::new();
        write(&mut text, &row);
        assert_eq!(read(&text), Ok(vec![row]));
    }
}
