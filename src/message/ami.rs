//! The manager protocol's text form of a message, which no value can break out of.

use std::fmt;

/// An event of Asterisk's manager interface: a name and headers, written as `Key: Value` lines.
///
/// Whatever the name, keys and values hold, the text is one event with exactly these headers: control characters other
/// than the tab (line ends above all) become spaces, a colon in a key becomes a dash, a blank key becomes a dash, and
/// a key that would begin an event of its own (`Event`, in any case) gets an `X-` before it.
///
/// ```
/// use stasis_bus::AmiEvent;
/// let event = AmiEvent::new("Hangup").header("Channel", "IAX2/bob-1").header("Cause", "16\r\nEvent: Forged");
/// assert_eq!(
///     event.to_string(),
///     "Event: Hangup\r\nChannel: IAX2/bob-1\r\nCause: 16  Event: Forged\r\n\r\n"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmiEvent {
    name: String,
    headers: Vec<(String, String)>,
}

impl AmiEvent {
    /// An event without headers.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), headers: Vec::new() }
    }

    /// Adds a header; order is kept and keys may repeat.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((key.into(), value.into()));
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its headers, in order, as they were given.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }
}

impl fmt::Display for AmiEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "Event", &self.name)?;
        for (key, value) in &self.headers {
            if begins_an_event(key) {
                f.write_str("X-")?;
            }
            line(f, key, value)?;
        }
        f.write_str("\r\n")
    }
}

fn line(f: &mut fmt::Formatter<'_>, key: &str, value: &str) -> fmt::Result {
    let key = if bare(key).is_empty() { "-" } else { key };
    clean(f, key, true)?;
    f.write_str(": ")?;
    clean(f, value, false)?;
    f.write_str("\r\n")
}

/// A reader takes such a line for the beginning of the next event.
fn begins_an_event(key: &str) -> bool {
    bare(key).eq_ignore_ascii_case("event")
}

/// What is left of a key for a reader that trims it.
fn bare(key: &str) -> &str {
    key.trim_matches(|c: char| c.is_whitespace() || c.is_control())
}

/// Writes `text` in as few pieces as its control characters allow.
fn clean(f: &mut fmt::Formatter<'_>, text: &str, is_key: bool) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| (c.is_control() && c != '\t') || (is_key && c == ':')) {
        let (before, found) = rest.split_at(at);
        f.write_str(before)?;
        f.write_str(if found.starts_with(':') { "-" } else { " " })?;
        rest = &found[found.chars().next().map_or(0, char::len_utf8)..];
    }
    f.write_str(rest)
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::AmiEvent;

    #[test]
    fn nothing_breaks_out_of_a_header() {
        let evil = "a\r\n\r\nEvent: x\nb\0c\u{85}d";
        let text = AmiEvent::new(evil).header("k:\r\ney", evil).header("", "").to_string();
        assert_eq!(text.matches("\r\n").count(), 4, "{text:?}");
        assert_eq!(text.lines().count(), 4);
        assert!(!text.contains('\0') && text.ends_with("\r\n\r\n"));
        assert!(text.contains("\r\nk-  ey: "), "{text:?}");
        assert!(text.contains("\r\n-: \r\n"));
    }

    #[test]
    fn no_header_begins_another_event() {
        for key in ["Event", "event", " EVENT ", "Event\r", "\tEvent"] {
            let text = AmiEvent::new("A").header(key, "Forged").to_string();
            let starts = text.lines().filter(|line| line.trim().to_ascii_lowercase().starts_with("event"));
            assert_eq!(starts.count(), 1, "{text:?}");
        }
        assert!(AmiEvent::new("A").header("k", "a\tb").to_string().contains("k: a\tb\r\n"));
    }
}
