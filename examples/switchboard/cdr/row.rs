//! A finished CDR row, its columns, and the calendar that its times are printed in.

use crate::event::Stamp;
use std::fmt;

/// The columns in the order in which Asterisk writes them by default (with unique ids).
pub(crate) const COLUMNS: [&str; 17] = [
    "accountcode",
    "src",
    "dst",
    "dcontext",
    "clid",
    "channel",
    "dstchannel",
    "lastapp",
    "lastdata",
    "start",
    "answer",
    "end",
    "duration",
    "billsec",
    "disposition",
    "amaflags",
    "uniqueid",
];

/// What no event carries and every row has unless the switch is configured otherwise.
pub(crate) const AMA_FLAGS: &str = "DOCUMENTATION";

/// One row as it is printed: times in whole seconds, everything else as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) account: String,
    pub(crate) src: String,
    pub(crate) dst: String,
    pub(crate) context: String,
    pub(crate) clid: String,
    pub(crate) channel: String,
    pub(crate) other_channel: String,
    pub(crate) last_app: String,
    pub(crate) last_data: String,
    pub(crate) start: Option<Second>,
    pub(crate) answer: Option<Second>,
    pub(crate) end: Option<Second>,
    pub(crate) duration: i64,
    pub(crate) billsec: i64,
    pub(crate) disposition: String,
    pub(crate) ama_flags: String,
    pub(crate) uniqueid: String,
}

/// The value of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    Time(Option<Second>),
    Number(i64),
}

impl Row {
    /// All cells in the order of [`COLUMNS`].
    #[must_use]
    pub(crate) fn cells(&self) -> [Cell<'_>; COLUMNS.len()] {
        [
            Cell::Text(&self.account),
            Cell::Text(&self.src),
            Cell::Text(&self.dst),
            Cell::Text(&self.context),
            Cell::Text(&self.clid),
            Cell::Text(&self.channel),
            Cell::Text(&self.other_channel),
            Cell::Text(&self.last_app),
            Cell::Text(&self.last_data),
            Cell::Time(self.start),
            Cell::Time(self.answer),
            Cell::Time(self.end),
            Cell::Number(self.duration),
            Cell::Number(self.billsec),
            Cell::Text(&self.disposition),
            Cell::Text(&self.ama_flags),
            Cell::Text(&self.uniqueid),
        ]
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Time(Some(second)) => second.fmt(f),
            Self::Time(None) => Ok(()),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// A whole second since 1970, printed as `2026-11-21 21:43:36` in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Second(pub(crate) i64);

const DAY: i64 = 86_400;
/// Days from 1 March of year 0 to 1 January 1970. Years that begin in March end with the leap
/// day, which makes the day of the year a matter of one formula.
const MARCH_0_TO_1970: i64 = 719_468;
const DAYS_OF_400_YEARS: i64 = 146_097;

impl From<Stamp> for Second {
    fn from(stamp: Stamp) -> Self {
        Self(stamp.0.div_euclid(1_000_000))
    }
}

impl Second {
    /// Reads what `Display` writes; an impossible date is none.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != "0000-00-00 00:00:00".len() {
            return None;
        }
        let parts: Vec<i64> =
            text.split(['-', ' ', ':']).map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let &[year, month, day, hour, minute, second] = parts.as_slice() else {
            return None;
        };
        if !(1..=9999).contains(&year) {
            return None;
        }
        let days = days_since_1970(year, month, day);
        let moment = Self(days * DAY + hour * 3600 + minute * 60 + second);
        (moment.to_string() == text).then_some(moment)
    }
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0.div_euclid(DAY));
        let second = self.0.rem_euclid(DAY);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02}", second % 60)
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let from_march = (month + 9).rem_euclid(12);
    let year = year - i64::from(month <= 2);
    let leap_days = year / 4 - year / 100 + year / 400;
    let before_month = (from_march * 153 + 2) / 5;
    year * 365 + leap_days + before_month + day - 1 - MARCH_0_TO_1970
}

fn date(days_since_1970: i64) -> (i64, i64, i64) {
    let days = days_since_1970 + MARCH_0_TO_1970;
    let (cycle, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (year * 365 + year / 4 - year / 100);
    let from_march = (day_of_year * 5 + 2) / 153;
    let day = day_of_year - (from_march * 153 + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    (cycle * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_reads_back() {
        for day in -DAYS_OF_400_YEARS / 2..DAYS_OF_400_YEARS {
            let second = Second(day * DAY + 86_399);
            assert_eq!(Second::parse(&second.to_string()), Some(second));
        }
    }

    #[test]
    fn prints_known_moments() {
        assert_eq!(Second(1_795_297_416).to_string(), "2026-11-21 21:43:36");
        assert_eq!(Second(951_782_400).to_string(), "2000-02-29 00:00:00");
        assert_eq!(Second(0).to_string(), "1970-01-01 00:00:00");
    }

    #[test]
    fn rejects_what_is_no_moment() {
        for text in ["", "2026-11-21", "2026-13-01 00:00:00", "2023-02-29 00:00:00", "2026-1-1 0:0:0"] {
            assert_eq!(Second::parse(text), None, "{text:?}");
        }
        assert_eq!(Second::parse("2026-11-21 21:43:9223372036854775807"), None);
    }
}
