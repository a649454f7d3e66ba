//! The manager protocol's text form of a message, which no value can break out of.

use std::fmt;

/// An event of Asterisk's manager interface: a name and headers, written as `Key: Value` lines.
///
/// Whatever the name, keys and values hold, the text is one event with exactly these headers: control characters
/// (line ends above all) become spaces, a colon in a key becomes a dash, and an empty key becomes a dash.
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
            line(f, key, value)?;
        }
        f.write_str("\r\n")
    }
}

fn line(f: &mut fmt::Formatter<'_>, key: &str, value: &str) -> fmt::Result {
    clean(f, if key.is_empty() { "-" } else { key }, true)?;
    f.write_str(": ")?;
    clean(f, value, false)?;
    f.write_str("\r\n")
}

/// Writes `text` in as few pieces as its control characters allow.
fn clean(f: &mut fmt::Formatter<'_>, text: &str, is_key: bool) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() || (is_key && c == ':')) {
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
        assert!(text.contains("\r\nk---ey: ") || text.contains("\r\nk-  ey: "), "{text:?}");
        assert!(text.contains("\r\n-: \r\n"));
    }
}
