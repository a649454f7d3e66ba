//! What stands where on the board.

use super::Heading;
use super::screen::Size;
use super::text::{Line, Style, bar, brief, clock, curve, grouped, left};
use crate::calls::{Count, Ending, Shown, State, Totals};
use crate::cdr::row::Second;
use crate::event::Stamp;
use crate::options::{Rounds, Speed};
use stasis_bus::SubscriptionStats;
use std::collections::VecDeque;
use std::time::Duration;

/// Columns of one telephone line; a wide terminal shows several beside each other.
const LINE_COLUMNS: usize = 76;
const NAME_COLUMNS: usize = 22;
const BAR_COLUMNS: usize = 10;
const SUBSCRIPTION_COLUMNS: usize = 11;
/// Narrower terminals show no date.
const DATE_COLUMNS: usize = 100;
/// Most subscriptions and most complaints that are shown.
const SUBSCRIPTIONS_SHOWN: usize = 8;
const DIAGNOSIS_SHOWN: usize = 4;

/// Everything that one picture shows.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) heading: Heading,
    pub(crate) round: u32,
    pub(crate) percent: Option<u64>,
    pub(crate) calls: Calls,
    pub(crate) figures: Vec<Figures>,
    pub(crate) workers: String,
    pub(crate) diagnosis: Vec<String>,
    pub(crate) messages_per_second: f64,
    pub(crate) calls_per_second: f64,
    /// Messages and calls of each second so far.
    pub(crate) history: VecDeque<(f64, f64)>,
}

/// What is known of the calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) count: Count,
    pub(crate) totals: Totals,
    pub(crate) lines: Vec<Option<Shown>>,
    pub(crate) now: Stamp,
}

/// Of one subscription.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    name: String,
    depth: u64,
    capacity: u64,
    high_water: u64,
    missed: u64,
    panics: u64,
    /// 99 of 100 messages waited no longer.
    wait: Duration,
    /// The same of handler calls; nothing for a stream, which has no handler.
    handler: Duration,
}

impl Figures {
    pub(crate) fn of(stats: &SubscriptionStats) -> Self {
        Self {
            name: stats.name.clone(),
            depth: stats.depth,
            capacity: stats.capacity,
            high_water: stats.high_water,
            missed: stats.missed,
            panics: stats.panics,
            wait: stats.delay.p99,
            handler: stats.handler.p99,
        }
    }
}

impl View {
    /// As many lines as the terminal has rows, at most.
    pub(crate) fn lines(&self, size: Size) -> Vec<Line> {
        let mut top = self.top(size.columns);
        let bottom = self.bottom();
        let room = size.rows.saturating_sub(top.len() + bottom.len());
        top.extend(self.telephone_lines(size.columns, room));
        top.extend(bottom);
        top.truncate(size.rows);
        top
    }

    fn top(&self, columns: usize) -> Vec<Line> {
        let curves = columns.saturating_sub(28).min(super::HISTORY);
        let messages = curve(self.history.iter().map(|(messages, _)| *messages), curves);
        let calls = curve(self.history.iter().map(|(_, calls)| *calls), curves);
        vec![
            self.title(columns),
            Line::new(),
            self.counts(),
            self.endings(),
            rate("calls", format!("{:.1}", self.calls_per_second), calls),
            rate("messages", grouped(self.messages_per_second.round() as u64), messages),
            Line::new(),
        ]
    }

    fn title(&self, columns: usize) -> Line {
        let mut right = Line::new();
        if let Some(percent) = self.percent {
            right =
                right.with(Style::Good, bar(percent as f64 / 100.0, 12)).plain(format!(" {percent:3} %  "));
        }
        if self.calls.now != Stamp::default() {
            let now = Second::from(self.calls.now).to_string();
            let date_and_time = if columns < DATE_COLUMNS { now.split(' ').next_back() } else { Some(&*now) };
            right = right.with(Style::Bold, date_and_time.unwrap_or_default());
        }
        let room = columns.saturating_sub(right.width() + 1);
        let name = Line::new().with(Style::Title, " SWITCHBOARD  ");
        let how = self.how();
        let what = left(&self.heading.what, room.saturating_sub(name.width() + how.width() + 2));
        name.plain(what.trim_end()).and(how).to(room).and(right)
    }

    fn how(&self) -> Line {
        let speed = match self.heading.speed {
            _ if self.heading.is_live => "  live".to_owned(),
            Some(Speed(speed)) => format!("  {speed} x"),
            None => "  at full speed".to_owned(),
        };
        let round = match self.heading.rounds {
            Rounds::Times(1) => String::new(),
            Rounds::Times(times) => format!("  round {} of {times}", self.round),
            Rounds::Forever => format!("  round {}", self.round),
        };
        Line::new().with(Style::Dim, speed).with(Style::Dim, round)
    }

    fn counts(&self) -> Line {
        let Count { channels, calls, talking, ringing } = self.calls.count;
        let elsewhere = calls.saturating_sub(talking + ringing);
        let figures = [
            (Style::Bold, channels, "channels up"),
            (Style::Bold, calls, "calls up"),
            (Style::Good, talking, "talking"),
            (Style::Notice, ringing, "ringing"),
            (Style::Dim, elsewhere, "in the dialplan"),
        ];
        figures.into_iter().fold(Line::new(), |line, (style, count, what)| {
            line.plain(" ").with(style, format!("{count:3}")).plain(format!(" {what} "))
        })
    }

    fn endings(&self) -> Line {
        Ending::ALL.into_iter().fold(Line::new(), |line, ending| {
            let count = grouped(self.calls.totals.of(ending));
            line.plain(" ")
                .with(Style::Bold, format!("{count:>4}"))
                .with(Style::Dim, format!(" {} ", ending.name()))
        })
    }

    /// The lines of the board, as many as there is room for, side by side where it is wide.
    fn telephone_lines(&self, columns: usize, room: usize) -> Vec<Line> {
        let beside = (columns / LINE_COLUMNS).max(1);
        let rows = room.saturating_sub(1);
        let lines = &self.calls.lines;
        let shown = lines.len().min(rows * beside);
        let mut pictures: Vec<Line> = (0..rows.min(shown.div_ceil(beside)))
            .map(|row| {
                let at = |column: usize| row + column * rows;
                let cells = (0..beside).map(at).filter(|index| *index < shown);
                cells.enumerate().fold(Line::new(), |line, (column, index)| {
                    line.to(column * LINE_COLUMNS).and(telephone_line(index, lines[index].as_ref()))
                })
            })
            .collect();
        pictures.resize(rows, Line::new());
        let is_up = |shown: &&Shown| !matches!(shown.state, State::Over(_));
        let hidden = lines.iter().skip(shown).flatten().filter(is_up).count();
        let more = if hidden > 0 { format!("      and {hidden} more calls") } else { String::new() };
        pictures.extend((room > 0).then(|| Line::new().with(Style::Dim, more)));
        pictures
    }

    fn bottom(&self) -> Vec<Line> {
        let (name, queue) = (left("CONSUMER", SUBSCRIPTION_COLUMNS), left("QUEUE", BAR_COLUMNS));
        let header = format!(
            " {name}{queue}{:>8}{:>8}{:>9}{:>8}{:>7}{:>9}{:>9}",
            "WAITING", "HIGHEST", "CAPACITY", "MISSED", "PANICS", "WAIT P99", "CALL P99"
        );
        let mut lines = vec![Line::new().with(Style::Dim, header)];
        lines.extend(self.figures.iter().take(SUBSCRIPTIONS_SHOWN).map(Figures::line));
        if let Some(more) = self.figures.len().checked_sub(SUBSCRIPTIONS_SHOWN).filter(|more| *more > 0) {
            lines.push(Line::new().with(Style::Dim, format!(" and {more} more")));
        }
        lines.push(Line::new().with(Style::Dim, format!(" {}", self.workers)));
        let complaints = self.diagnosis.iter().take(DIAGNOSIS_SHOWN);
        lines.extend(complaints.map(|text| Line::new().with(Style::Bad, " ! ").plain(text)));
        lines
    }
}

impl Figures {
    fn line(&self) -> Line {
        let share = self.depth as f64 / self.capacity.max(1) as f64;
        let style = match share {
            _ if share < 0.5 => Style::Good,
            _ if share < 0.9 => Style::Notice,
            _ => Style::Bad,
        };
        let bad = |count: u64| if count > 0 { Style::Bad } else { Style::Dim };
        let [depth, highest, capacity] = [self.depth, self.high_water, self.capacity].map(grouped);
        Line::new()
            .plain(format!(" {}", left(&self.name, SUBSCRIPTION_COLUMNS)))
            .with(style, bar(share, BAR_COLUMNS))
            .plain(format!("{depth:>8}{highest:>8}{capacity:>9}"))
            .with(bad(self.missed), format!("{:>8}", grouped(self.missed)))
            .with(bad(self.panics), format!("{:>7}", grouped(self.panics)))
            .plain(format!("{:>9}{:>9}", brief(self.wait), brief(self.handler)))
    }
}

fn rate(what: &str, figure: String, curve: String) -> Line {
    Line::new()
        .with(Style::Bold, format!(" {figure:>9}"))
        .plain(format!(" {what:<8}/s  "))
        .with(Style::Title, curve)
}

fn telephone_line(index: usize, shown: Option<&Shown>) -> Line {
    let number = Line::new().with(Style::Dim, format!(" {:3}  ", index + 1));
    let Some(Shown { from, to, state, lasted }) = shown else {
        return number.with(Style::Dim, "·");
    };
    let (style, lamp, what) = match state {
        State::Talking => (Style::Good, "●", "talking"),
        State::Ringing => (Style::Notice, "◍", "ringing"),
        State::In(app) => (Style::Plain, "○", app.as_str()),
        State::Over(ending) => (Style::Dim, "·", ending.name()),
    };
    let names = if style == Style::Dim { Style::Dim } else { Style::Plain };
    number
        .with(style, lamp)
        .with(names, format!(" {} ", left(from, NAME_COLUMNS)))
        .with(style, format!("{} ", left(what, 11)))
        .with(names, format!("{} {:>7}", left(to, NAME_COLUMNS), clock(*lasted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the codes for colours, of which there are no others.
    fn bare(rendered: &str) -> String {
        let (mut bare, mut rest) = (String::new(), rendered);
        while let Some((before, after)) = rest.split_once("\x1b[") {
            bare.push_str(before);
            let end = after.find(|c: char| !c.is_ascii_digit() && c != ';').expect("a whole code");
            assert_eq!(&after[end..=end], "m", "{rendered:?}");
            rest = &after[end + 1..];
        }
        bare + rest
    }

    fn picture(view: &View, columns: usize, rows: usize) -> Vec<String> {
        let lines = view.lines(Size { columns, rows });
        lines.iter().map(|line| bare(&line.render(columns, true))).collect()
    }

    fn view(from: &str, calls: usize) -> View {
        let states = [State::Talking, State::Ringing, State::In("Queue".into()), State::Over(Ending::Busy)];
        let shown = |index: usize| Shown {
            from: from.to_owned(),
            to: "2002 bob".into(),
            state: states[index % states.len()].clone(),
            lasted: Duration::from_secs(index as u64),
        };
        let lines = (0..calls).map(|index| (index % 7 != 6).then(|| shown(index))).collect();
        let count = Count { channels: 9, calls: 4, talking: 2, ringing: 1 };
        let cdr =
            Figures { name: "cdr".into(), depth: 512, capacity: 1024, missed: 31, ..Figures::default() };
        View {
            heading: Heading { what: from.to_owned(), rounds: Rounds::Forever, ..Heading::default() },
            round: 3,
            percent: Some(43),
            calls: Calls { count, lines, now: Stamp(1_795_297_416_000_000), ..Calls::default() },
            figures: vec![cdr],
            workers: "2 workers".into(),
            diagnosis: vec!["cdr is behind".into()],
            messages_per_second: 1404.4,
            calls_per_second: 5.83,
            history: (0..300).map(|second| (f64::from(second), 1.0)).collect(),
        }
    }

    #[test]
    fn says_what_an_operator_wants_to_know() {
        let picture = picture(&view("2001 alice", 3), 80, 24);
        let text = picture.join("\n");
        for said in [
            "SWITCHBOARD  2001 alice  at full speed  round 3",
            "43 %  21:43:36",
            "   9 channels up    4 calls up    2 talking    1 ringing    1 in the dialplan",
            "5.8 calls   /s",
            "1,404 messages/s",
            "   1  ● 2001 alice             talking     2002 bob                  0:00",
            "   3  ○ 2001 alice             Queue       2002 bob                  0:02",
            " cdr        █████░░░░░     512       0    1,024      31      0        -        -",
            " ! cdr is behind",
        ] {
            assert!(text.contains(said), "{said}\n{text}");
        }
        assert_eq!(picture.len(), 24);
        assert!(!text.contains("more calls"));
    }

    /// Nothing is wider or higher than the terminal, and nobody's name moves the cursor.
    #[test]
    fn fits_every_terminal() {
        for from in ["2001 alice", "\x1b[2J\r\n\u{9b}1m", "電話電話電話電話電話電話電話電話電話"]
        {
            for calls in [0, 3, 200] {
                let view = view(from, calls);
                for (columns, rows) in [(0, 0), (1, 1), (20, 5), (80, 24), (81, 12), (160, 50), (400, 200)] {
                    let picture = picture(&view, columns, rows);
                    assert!(picture.len() <= rows, "{} lines on {rows} rows", picture.len());
                    for line in picture {
                        assert!(Line::new().plain(&line).width() <= columns, "{columns}: {line:?}");
                        assert!(!line.contains(char::is_control), "{line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn calls_that_have_no_room_are_counted() {
        let narrow = picture(&view("a", 100), 80, 24);
        let is_there =
            |index: &usize| narrow.iter().any(|line| line.starts_with(&format!(" {:3}  ", index + 1)));
        let shown = (0..100).filter(is_there).count();
        let hidden = (shown..100).filter(|index| index % 7 != 6 && index % 4 != 3).count();
        let more = format!("      and {hidden} more calls");
        assert!(shown > 5 && narrow.contains(&more), "{narrow:#?}");
        let wide = picture(&view("a", 20), 2 * LINE_COLUMNS, 24);
        let both = |line: &String| line.contains("   1  ●") && line[LINE_COLUMNS..].contains("2002 bob");
        assert!(wide.iter().any(both), "{wide:#?}");
    }
}
