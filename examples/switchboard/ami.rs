//! The text of Asterisk's manager interface (AMI): a reader that takes it in any pieces and a
//! renderer that writes it.
//!
//! A manager connection starts with a greeting line; after it come blocks of `Key: Value` lines,
//! each line ended by CR LF and each block by an empty line. What a client says are such blocks as
//! well, each beginning with its `Action`. What arrives may be cut off, garbled
//! or hostile, so the reader trusts nothing: every limit is a named constant, whatever breaks a
//! rule becomes a [`Fault`] that says what and where, a fault costs the one block it is in and
//! never the next, and the renderer cannot be talked into writing a line or block of its own.
//!
//! The file stands alone (only `std`) so that a fuzz target can include it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

/// Longest line taken, in bytes without its ending. Real lines stay under one kilobyte.
pub(crate) const LONGEST_LINE: usize = 64 * 1024;
/// Most headers of one block. Real blocks have fewer than one hundred.
pub(crate) const MOST_HEADERS: usize = 1024;
/// Most bytes of one block, so that many long lines are bounded as well.
pub(crate) const LARGEST_BLOCK: usize = 1024 * 1024;
/// Most bytes of an offending line that a fault quotes.
const EXCERPT: usize = 48;
/// How every greeting begins; the rest is the protocol version.
const GREETING: &str = "Asterisk Call Manager/";

/// One `Key: Value` line, still escaped as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// A block without its first line: that one is the block's kind and `name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// What stands after `Event:`, `Response:` or `Action:`.
    pub(crate) name: String,
    /// All other lines in their order; a key can occur more than once.
    pub(crate) headers: Vec<Header>,
    /// Number of the block's first line in the stream, from 1.
    pub(crate) line: u64,
}

/// What the stream consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// The protocol version that the greeting names.
    Greeting(String),
    Event(Block),
    Response(Block),
    /// What a client wants.
    Action(Block),
}

/// Where a line begins in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Line number, from 1.
    pub(crate) line: u64,
    /// Offset of the line's first byte, from 0.
    pub(crate) byte: u64,
}

/// Which rule of the framing was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    LineTooLong,
    TooManyHeaders,
    BlockTooLarge,
    NotUtf8,
    Nul,
    StrayCr,
    BareLf,
    NoColon(String),
    EmptyKey,
    NoKind(String),
    NoAction(String),
    /// An `Event:` line inside a block: the empty line between two blocks is missing, and how much
    /// of the first is missing with it nobody knows.
    Interrupted,
    CutOff,
}

/// One broken block: what is wrong and where. The block is dropped, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) trouble: Trouble,
    pub(crate) place: Place,
}

/// What a reader has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) events: u64,
    pub(crate) responses: u64,
    pub(crate) actions: u64,
    pub(crate) faults: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        let Self { bytes, lines, events, responses, actions, faults } = more;
        self.bytes += bytes;
        self.lines += lines;
        self.events += events;
        self.responses += responses;
        self.actions += actions;
        self.faults += faults;
    }
}

/// Cuts a manager stream into packets. Feed it pieces of any size, take what is complete by
/// iterating, and [`finish`](Reader::finish) it so that a cut-off end is reported.
///
/// Memory: one line, one block, and the packets of the last piece not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    side: Side,
    line: Vec<u8>,
    /// Bytes of the current line that were not kept because it is too long.
    dropped: u64,
    draft: Option<Draft>,
    counts: Counts,
    ready: VecDeque<Result<Packet, Fault>>,
}

/// Who is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Manager,
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Event,
    Response,
    Action,
}

/// A block that has begun.
#[derive(Debug)]
enum Draft {
    Good(Open),
    /// Its fault is already told; the rest is skipped up to the next block.
    Bad,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    block: Block,
    bytes: usize,
    place: Place,
}

impl Reader {
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Reads what a client says: actions, and nothing else.
    #[allow(dead_code, reason = "not everybody who includes this file has clients")]
    #[must_use]
    pub(crate) fn of_client() -> Self {
        Self { side: Side::Client, ..Self::default() }
    }

    /// Takes the next piece of the stream; pieces may end anywhere, even inside CR LF.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.keep(&rest[..end]);
            self.end_line();
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    /// Says that nothing more will come. Whatever is unfinished is a fault.
    pub(crate) fn finish(&mut self) {
        let place = self.place();
        let open = match self.draft.take() {
            Some(Draft::Good(open)) => Some(open.place),
            Some(Draft::Bad) => None,
            None if self.line.is_empty() => None,
            None => Some(place),
        };
        if let Some(place) = open {
            self.fault(Trouble::CutOff, place);
        }
        self.counts.bytes += self.line.len() as u64 + self.dropped;
        self.line.clear();
        self.dropped = 0;
    }

    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Where the current line begins: `counts.bytes` are those of the lines before it.
    fn place(&self) -> Place {
        Place { line: self.counts.lines + 1, byte: self.counts.bytes }
    }

    /// Keeps at most one byte more than the limit: the CR of a line that just fits.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (LONGEST_LINE + 1).saturating_sub(self.line.len());
        let kept = room.min(bytes.len());
        self.line.extend_from_slice(&bytes[..kept]);
        self.dropped += (bytes.len() - kept) as u64;
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        let place = self.place();
        let dropped = std::mem::take(&mut self.dropped);
        match check(&line, dropped) {
            Ok(text) => self.take_line(text, place),
            Err(trouble) => self.broken_line(&line, trouble, place),
        }
        self.counts.lines += 1;
        self.counts.bytes += line.len() as u64 + dropped + 1;
        line.clear();
        self.line = line;
    }

    fn take_line(&mut self, text: &str, place: Place) {
        if text.is_empty() {
            self.end_block();
        } else if let Some((kind, name)) = self.opening(text) {
            self.begin(kind, name, place);
        } else if self.draft.is_some() {
            self.add_header(text, place);
        } else if let (Side::Manager, Some(version)) = (self.side, text.strip_prefix(GREETING)) {
            let greeting = Packet::Greeting(version.to_owned());
            self.ready.push_back(Ok(greeting));
        } else {
            self.spoil(self.no_kind(excerpt(text)), place);
        }
    }

    fn no_kind(&self, text: String) -> Trouble {
        match self.side {
            Side::Manager => Trouble::NoKind(text),
            Side::Client => Trouble::NoAction(text),
        }
    }

    /// A broken line spoils its block. An empty one that merely lacks its CR still ends it, so
    /// that a stream with wrong line ends loses no more blocks than it must.
    fn broken_line(&mut self, line: &[u8], trouble: Trouble, place: Place) {
        if line.is_empty() {
            self.draft = match self.draft.take() {
                Some(Draft::Good(_)) => {
                    self.fault(trouble, place);
                    None
                }
                _ => None,
            };
        } else {
            self.spoil(trouble, place);
        }
    }

    /// Whether a line begins a block, and the name it gives to it. `Response` is an ordinary key
    /// inside an event (of an originated call); `Event` begins a block wherever it stands. Clients
    /// write keys as they like.
    fn opening<'a>(&self, text: &'a str) -> Option<(Kind, &'a str)> {
        let (key, rest) = text.split_once(':')?;
        let kind = match (self.side, key) {
            (Side::Manager, "Event") => Kind::Event,
            (Side::Manager, "Response") if self.draft.is_none() => Kind::Response,
            (Side::Client, _) if self.draft.is_none() && key.eq_ignore_ascii_case("action") => Kind::Action,
            _ => return None,
        };
        Some((kind, rest.strip_prefix(' ').unwrap_or(rest)))
    }

    fn begin(&mut self, kind: Kind, name: &str, place: Place) {
        if let Some(Draft::Good(open)) = self.draft.take() {
            self.fault(Trouble::Interrupted, open.place);
        }
        let block = Block { name: name.to_owned(), headers: Vec::new(), line: place.line };
        self.draft = Some(Draft::Good(Open { kind, block, bytes: name.len(), place }));
    }

    fn add_header(&mut self, text: &str, place: Place) {
        let Some(Draft::Good(open)) = &mut self.draft else {
            return;
        };
        if let Err(trouble) = open.add(text) {
            self.spoil(trouble, place);
        }
    }

    fn end_block(&mut self) {
        let Some(Draft::Good(open)) = self.draft.take() else {
            return;
        };
        let (count, packet) = match open.kind {
            Kind::Event => (&mut self.counts.events, Packet::Event(open.block)),
            Kind::Response => (&mut self.counts.responses, Packet::Response(open.block)),
            Kind::Action => (&mut self.counts.actions, Packet::Action(open.block)),
        };
        *count += 1;
        self.ready.push_back(Ok(packet));
    }

    /// Reports the first fault of a block and drops the block.
    fn spoil(&mut self, trouble: Trouble, place: Place) {
        if !matches!(self.draft, Some(Draft::Bad)) {
            self.fault(trouble, place);
        }
        self.draft = Some(Draft::Bad);
    }

    fn fault(&mut self, trouble: Trouble, place: Place) {
        self.counts.faults += 1;
        self.ready.push_back(Err(Fault { trouble, place }));
    }
}

impl Iterator for Reader {
    type Item = Result<Packet, Fault>;

    /// The next complete packet or fault; `None` means that more input is needed.
    fn next(&mut self) -> Option<Self::Item> {
        self.ready.pop_front()
    }
}

impl Open {
    fn add(&mut self, text: &str) -> Result<(), Trouble> {
        let header = split(text)?;
        self.bytes += text.len();
        if self.block.headers.len() == MOST_HEADERS {
            return Err(Trouble::TooManyHeaders);
        }
        if self.bytes > LARGEST_BLOCK {
            return Err(Trouble::BlockTooLarge);
        }
        self.block.headers.push(header);
        Ok(())
    }
}

impl Block {
    /// Value of the first header with this key, as it came.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.key == key)?;
        Some(&header.value)
    }
}

/// The line without its CR, if it is a line that the framing allows.
fn check(line: &[u8], dropped: u64) -> Result<&str, Trouble> {
    let ends_well = line.last() == Some(&b'\r');
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    if dropped > 0 || text.len() > LONGEST_LINE {
        return Err(Trouble::LineTooLong);
    }
    if text.contains(&0) {
        return Err(Trouble::Nul);
    }
    if text.contains(&b'\r') {
        return Err(Trouble::StrayCr);
    }
    if !ends_well {
        return Err(Trouble::BareLf);
    }
    std::str::from_utf8(text).map_err(|_| Trouble::NotUtf8)
}

fn split(text: &str) -> Result<Header, Trouble> {
    let Some((key, value)) = text.split_once(':') else {
        return Err(Trouble::NoColon(excerpt(text)));
    };
    if key.trim().is_empty() {
        return Err(Trouble::EmptyKey);
    }
    Ok(Header { key: key.to_owned(), value: value.strip_prefix(' ').unwrap_or(value).to_owned() })
}

fn excerpt(text: &str) -> String {
    let end = (0..=EXCERPT.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text[..end].to_owned()
}

/// Undoes the escaping of names and variable values: a backslash stands before quote,
/// apostrophe, question mark and backslash. Any other backslash stands for itself.
#[must_use]
pub(crate) fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut rest = value.chars().peekable();
    while let Some(letter) = rest.next() {
        let escaped = rest.next_if(|&next| letter == '\\' && r#""'?\"#.contains(next));
        plain.push(escaped.unwrap_or(letter));
    }
    Cow::Owned(plain)
}

/// Writes one event block as AMI text. Names and values are data: whatever they contain, the
/// result reads back as exactly one event with as many headers as were given.
///
/// The bus has its own renderer, `AmiEvent`; this one is for those who have only this file.
#[allow(dead_code)]
pub(crate) fn render<'a>(
    out: &mut String,
    name: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    push_line(out, "Event", name);
    for (key, value) in headers {
        push_line(out, &safe_key(key), value);
    }
    out.push_str("\r\n");
}

impl Block {
    /// The block as an event in AMI text.
    #[allow(dead_code)]
    #[must_use]
    pub(crate) fn to_event_text(&self) -> String {
        let mut text = String::new();
        let headers = self.headers.iter();
        let pairs = headers.map(|header| (header.key.as_str(), header.value.as_str()));
        render(&mut text, &self.name, pairs);
        text
    }
}

fn push_line(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    out.push_str(": ");
    out.extend(value.chars().map(|letter| if breaks(letter) { ' ' } else { letter }));
    out.push_str("\r\n");
}

/// What could end a line, or end the text for a reader written in C.
fn breaks(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\0')
}

/// A key that can neither end early nor begin a block.
pub(crate) fn safe_key(key: &str) -> Cow<'_, str> {
    let opens = key.trim().eq_ignore_ascii_case("event");
    let odd = key.contains(|letter| breaks(letter) || letter == ':');
    if !opens && !odd && !key.trim().is_empty() {
        return Cow::Borrowed(key);
    }
    let plain = key.replace(|letter| breaks(letter) || letter == ':', "_");
    Cow::Owned(format!("X-{plain}"))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, byte } = self.place;
        write!(f, "line {line} (byte {byte}): {}; block dropped", self.trouble)
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => write!(f, "line longer than {LONGEST_LINE} bytes"),
            Self::TooManyHeaders => write!(f, "block of more than {MOST_HEADERS} headers"),
            Self::BlockTooLarge => write!(f, "block larger than {LARGEST_BLOCK} bytes"),
            Self::NotUtf8 => f.write_str("line is not UTF-8"),
            Self::Nul => f.write_str("NUL in a line"),
            Self::StrayCr => f.write_str("CR that does not end a line"),
            Self::BareLf => f.write_str("LF without CR"),
            Self::NoColon(text) => write!(f, "no colon in {text:?}"),
            Self::EmptyKey => f.write_str("header without a key"),
            Self::NoKind(text) => write!(f, "block begins neither as event nor response: {text:?}"),
            Self::NoAction(text) => write!(f, "block does not begin with its action: {text:?}"),
            Self::Interrupted => f.write_str("next block begins before this one ends"),
            Self::CutOff => f.write_str("stream ends inside this block"),
        }
    }
}

#[cfg(test)]
#[path = "ami_tests.rs"]
mod tests;
