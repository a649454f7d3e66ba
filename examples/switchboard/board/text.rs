//! Lines of text in colours, cut to the width of a terminal.

use std::fmt::Write;
use std::time::Duration;

/// What is not said in full ends so.
const MORE: char = '…';
/// Stands for what a terminal would obey.
const HARMLESS: char = '·';
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Dim,
    Bold,
    Title,
    Good,
    Notice,
    Bad,
}

/// One line, not yet cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Vec<(Style, String)>);

impl Style {
    const fn code(self, has_colours: bool) -> &'static str {
        match (self, has_colours) {
            (Self::Plain, _) => "",
            (Self::Dim, _) => "\x1b[2m",
            (Self::Title, true) => "\x1b[1;36m",
            (Self::Bold, _) | (_, false) => "\x1b[1m",
            (Self::Good, true) => "\x1b[32m",
            (Self::Notice, true) => "\x1b[33m",
            (Self::Bad, true) => "\x1b[1;31m",
        }
    }
}

impl Line {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds text. Whatever it says, it does nothing to a terminal.
    #[must_use]
    pub(crate) fn with(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.0.push((style, text.as_ref().chars().filter_map(harmless).collect()));
        self
    }

    #[must_use]
    pub(crate) fn plain(self, text: impl AsRef<str>) -> Self {
        self.with(Style::Plain, text)
    }

    /// Blanks up to a column.
    #[must_use]
    pub(crate) fn to(self, column: usize) -> Self {
        let blanks = column.saturating_sub(self.width());
        self.plain(" ".repeat(blanks))
    }

    #[must_use]
    pub(crate) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    pub(crate) fn width(&self) -> usize {
        self.0.iter().flat_map(|(_, text)| text.chars()).map(width).sum()
    }

    /// As a terminal of so many columns shows it.
    pub(crate) fn render(&self, columns: usize, has_colours: bool) -> String {
        let (mut out, mut left) = (String::new(), columns);
        for (style, text) in &self.0 {
            let text = cut(text, left);
            left -= text.chars().map(width).sum::<usize>();
            match style.code(has_colours) {
                "" => out.push_str(&text),
                code => drop(write!(out, "{code}{text}\x1b[0m")),
            }
        }
        out
    }
}

/// At most so many columns of it.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let short = text.chars().take_while(|letter| {
        used += width(*letter);
        used <= columns
    });
    let mut short: String = short.collect();
    short.extend((columns > 0).then_some(MORE));
    short
}

/// Exactly so many columns, the text at the left.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let text: String = text.chars().filter_map(harmless).collect();
    let text = cut(&text, columns);
    let blanks = columns - text.chars().map(width).sum::<usize>();
    format!("{text}{}", " ".repeat(blanks))
}

/// Nothing that moves a cursor, turns the direction of writing or hides.
fn harmless(letter: char) -> Option<char> {
    match letter {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => None,
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => Some(HARMLESS),
        _ if letter.is_control() => Some(HARMLESS),
        _ => Some(letter),
    }
}

/// Columns of a letter: two for those of East Asia, and for pictures.
fn width(letter: char) -> usize {
    match letter {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// `1,234,567`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `5.1 ms`; `-` for none at all.
pub(crate) fn brief(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    match nanos {
        0.0 => "-".to_owned(),
        _ if nanos < 1e4 => format!("{:.1} us", nanos / 1e3),
        _ if nanos < 1e6 => format!("{:.0} us", nanos / 1e3),
        _ if nanos < 1e9 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.1} s", nanos / 1e9),
    }
}

/// `12:05`, or `1:00:00`
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// How full, from 0 to 1.
pub(crate) fn bar(share: f64, columns: usize) -> String {
    let full = ((share.clamp(0.0, 1.0) * columns as f64).ceil() as usize).min(columns);
    format!("{}{}", "█".repeat(full), "░".repeat(columns - full))
}

/// The last figures as a curve, the newest at the right.
pub(crate) fn curve(figures: impl ExactSizeIterator<Item = f64> + Clone, columns: usize) -> String {
    let figures = figures.clone().skip(figures.len().saturating_sub(columns));
    let most = figures.clone().fold(0.0, f64::max);
    let height = |figure: f64| if most > 0.0 { (figure / most * 7.0).round() as usize } else { 0 };
    let curve: String = figures.clone().map(|figure| EIGHTHS[height(figure).min(7)]).collect();
    format!("{}{curve}", " ".repeat(columns - figures.count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_cut_to_the_width_and_says_so() {
        let line = Line::new().plain("abc").with(Style::Bold, "def");
        assert_eq!(line.width(), 6);
        assert_eq!(line.render(6, true), "abc\x1b[1mdef\x1b[0m");
        assert_eq!(line.render(5, true), "abc\x1b[1md…\x1b[0m");
        assert_eq!(Line::new().plain("日本語").render(5, true), "日本…");
        assert_eq!(Line::new().plain("日本語").render(4, true), "日…");
        assert_eq!(Line::new().plain("x").to(4).plain("y").render(9, true), "x   y");
        assert_eq!(line.render(0, false), "\x1b[1m\x1b[0m");
        assert_eq!((left("ab", 4), left("abcdef", 4)), ("ab  ".into(), "abc…".into()));
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let nasty = "a\x1b[2Jb\r\n\u{7}\u{9b}31m\u{202e}c\u{200b}\u{301}";
        assert_eq!(Line::new().plain(nasty).render(99, false), "a·[2Jb····31m·c");
        assert_eq!(left(nasty, 15), "a·[2Jb····31m·c");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let times = [0, 850, 12_345, 5_100_000, 1_250_000_000].map(Duration::from_nanos).map(brief);
        assert_eq!(times, ["-", "0.8 us", "12 us", "5.1 ms", "1.2 s"]);
        assert_eq!([5, 65, 3_600].map(Duration::from_secs).map(clock), ["0:05", "1:05", "1:00:00"]);
        assert_eq!((bar(0.0, 4), bar(0.01, 4), bar(7.0, 4)), ("░░░░".into(), "█░░░".into(), "████".into()));
        assert_eq!(curve([9.0, 0.0, 4.0, 8.0].into_iter(), 3), "▁▅█");
        assert_eq!(curve([0.0].into_iter(), 3), "  ▁");
    }
}
