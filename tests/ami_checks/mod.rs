//! What must hold for any input of the manager-protocol reader and writer. Needs `crate::ami`.

use crate::ami::{self, Block, Counts, Fault, Packet, Reader, Trouble};
use arbitrary::{Arbitrary, Result, Unstructured};
use stasis_bus::AmiEvent;

/// No block may take more than this: its bytes, and what each header costs beside them.
const BLOCK_MEMORY_MAX: usize = ami::LARGEST_BLOCK + ami::LONGEST_LINE;

/// A stream, and how it is cut.
#[derive(Debug)]
pub(crate) struct Input {
    stream: Vec<u8>,
    /// Lengths of the pieces, used over and over.
    pieces: Vec<usize>,
}

impl Arbitrary<'_> for Input {
    /// The stream is made of raw bytes and of pieces of real ones, so that blocks come about.
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        const WORDS: [&[u8]; 14] = [
            b"Event: ",
            b"Response: ",
            b"\r\n",
            b"\r\n\r\n",
            b"\n",
            b"\r",
            b"\0",
            b":",
            b": ",
            b"Channel: PJSIP/a-1\r\n",
            b"Asterisk Call Manager/9.0.0\r\n",
            b"Event: Hangup\r\nCause: 16\r\n\r\n",
            b"event",
            "\u{85}\u{e4}".as_bytes(),
        ];
        let pieces = (0..u.int_in_range(1..=4)?).map(|_| u.int_in_range(1..=40)).collect::<Result<_>>()?;
        let mut stream = Vec::new();
        while !u.is_empty() {
            match u.int_in_range(0..=31u8)? {
                word if usize::from(word) < WORDS.len() => stream.extend_from_slice(WORDS[usize::from(word)]),
                31 => {
                    let (byte, count) = (u.arbitrary()?, u.int_in_range(0..=70_000)?);
                    stream.extend(std::iter::repeat_n::<u8>(byte, count));
                }
                length => stream.extend_from_slice(u.bytes(usize::from(length - 13).min(u.len()))?),
            }
        }
        Ok(Self { stream, pieces })
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    packets: Vec<std::result::Result<Packet, Fault>>,
    counts: Counts,
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    read_with(Reader::new(), pieces)
}

fn read_with<'a>(mut reader: Reader, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut packets = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        packets.extend(reader.by_ref());
    }
    reader.finish();
    packets.extend(reader.by_ref());
    Outcome { packets, counts: reader.counts() }
}

fn cut<'a>(stream: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = stream;
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = (*lengths.next()?).clamp(1, rest.len().max(1)).min(rest.len());
        let (piece, later) = rest.split_at(length);
        rest = later;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Checks one stream, whole and cut.
///
/// # Panics
///
/// If something does not hold.
pub(crate) fn check(input: &Input) {
    check_stream(&input.stream, &input.pieces);
}

pub(crate) fn check_stream(stream: &[u8], pieces: &[usize]) {
    let whole = read(std::iter::once(stream));
    assert_eq!(whole, read(cut(stream, pieces)), "how the stream is cut changes what is read");
    check_counts(&whole, stream);
    for block in whole.packets.iter().filter_map(block) {
        check_limits(block);
        check_rendering(&block.name, &pairs(block));
        check_own_rendering(&block.name, &pairs(block));
    }
    check_client(stream, pieces);
    // The same text as hostile values: of a name, of a key, of a value.
    let text = String::from_utf8_lossy(&stream[..stream.len().min(4096)]);
    for hostile in [(&*text, "Key", "value"), ("Name", &*text, "value"), ("Name", "Key", &*text)] {
        let (name, key, value) = hostile;
        let headers = [("First", "1"), (key, value), ("Last", "2")];
        check_rendering(name, &headers);
        check_own_rendering(name, &headers);
    }
}

/// What a client says is read by the same rules. Events are made actions, so that there are some.
fn check_client(stream: &[u8], pieces: &[usize]) {
    let stream: Vec<u8> =
        stream.split_inclusive(|&byte| byte == b' ').map(acted).collect::<Vec<_>>().concat();
    let whole = read_with(Reader::of_client(), std::iter::once(&stream[..]));
    assert_eq!(
        whole,
        read_with(Reader::of_client(), cut(&stream, pieces)),
        "how it is cut changes what is read"
    );
    check_counts(&whole, &stream);
    let taken =
        |packet: &std::result::Result<Packet, Fault>| matches!(packet, Ok(Packet::Action(_)) | Err(_));
    assert!(whole.packets.iter().all(taken), "a client says actions only");
    whole.packets.iter().filter_map(block).for_each(check_limits);
}

fn acted(word: &[u8]) -> Vec<u8> {
    word.strip_suffix(b"Event: ").map_or_else(|| word.to_vec(), |before| [before, b"aCtion: "].concat())
}

fn block(packet: &std::result::Result<Packet, Fault>) -> Option<&Block> {
    match packet {
        Ok(Packet::Event(block) | Packet::Response(block) | Packet::Action(block)) => Some(block),
        _ => None,
    }
}

fn pairs(block: &Block) -> Vec<(&str, &str)> {
    block.headers.iter().map(|header| (header.key.as_str(), header.value.as_str())).collect()
}

fn check_counts(outcome: &Outcome, stream: &[u8]) {
    let count = |wanted: fn(&std::result::Result<Packet, Fault>) -> bool| {
        outcome.packets.iter().filter(|packet| wanted(packet)).count() as u64
    };
    let Counts { bytes, lines, events, responses, actions, faults } = outcome.counts;
    assert_eq!(bytes, stream.len() as u64, "bytes");
    assert_eq!(lines, stream.iter().filter(|&&byte| byte == b'\n').count() as u64, "lines");
    assert_eq!(events, count(|packet| matches!(packet, Ok(Packet::Event(_)))), "events");
    assert_eq!(responses, count(|packet| matches!(packet, Ok(Packet::Response(_)))), "responses");
    assert_eq!(actions, count(|packet| matches!(packet, Ok(Packet::Action(_)))), "actions");
    assert_eq!(faults, count(std::result::Result::is_err), "faults");
    for fault in outcome.packets.iter().filter_map(|packet| packet.as_ref().err()) {
        assert!(fault.place.byte <= bytes && fault.place.line <= lines + 1, "{fault} is not in the stream");
        // Less than a line, also when each byte quoted is escaped.
        assert!(fault.to_string().len() < 600, "a fault quotes too much: {fault}");
        if let Trouble::NoColon(text) | Trouble::NoKind(text) | Trouble::NoAction(text) = &fault.trouble {
            assert!(!text.contains(['\r', '\n', '\0']), "a fault quotes a line end: {text:?}");
        }
    }
}

fn check_limits(block: &Block) {
    assert!(block.headers.len() <= ami::MOST_HEADERS, "{} headers", block.headers.len());
    let bytes: usize = block.headers.iter().map(|header| header.key.len() + header.value.len()).sum();
    assert!(block.name.len() + bytes <= BLOCK_MEMORY_MAX, "a block of {bytes} bytes");
}

/// The example's writer.
fn check_rendering(name: &str, headers: &[(&str, &str)]) {
    let mut text = String::new();
    ami::render(&mut text, name, headers.iter().copied());
    check_text(&text, name, headers, |key| key.contains(['\r', '\n', '\0', ':']) || key.trim().is_empty());
}

/// The crate's writer.
fn check_own_rendering(name: &str, headers: &[(&str, &str)]) {
    let event = headers.iter().fold(AmiEvent::new(name), |event, (key, value)| event.header(*key, *value));
    let text = event.to_string();
    check_text(&text, name, headers, |key| {
        key.contains(|c: char| c.is_control() || c == ':') || key.trim().is_empty()
    });
}

/// Reads back as one event with exactly the headers given, sanitised. `odd`: the writer must change such a key.
fn check_text(text: &str, name: &str, headers: &[(&str, &str)], odd: impl Fn(&str) -> bool) {
    assert_eq!(text.matches('\n').count(), headers.len() + 2, "lines of {text:?}");
    assert_eq!(text.matches("\r\n").count(), headers.len() + 2, "line ends of {text:?}");
    assert_eq!(text.matches('\r').count(), headers.len() + 2, "line ends of {text:?}");
    if name.len() > ami::LONGEST_LINE / 4
        || headers.iter().any(|(key, value)| key.len() + value.len() > ami::LONGEST_LINE / 4)
    {
        // May be longer than the reader takes.
        return;
    }
    let outcome = read(std::iter::once(text.as_bytes()));
    let [Ok(Packet::Event(block))] = outcome.packets.as_slice() else {
        panic!("{text:?} reads back as {:?}", outcome.packets);
    };
    assert_eq!(plain(&block.name), plain(name), "the name");
    assert_eq!(block.headers.len(), headers.len(), "headers of {text:?}");
    for (header, (key, value)) in block.headers.iter().zip(headers) {
        assert_eq!(plain(&header.value), plain(value), "the value of {key:?} in {text:?}");
        let opens = key.trim().eq_ignore_ascii_case("event");
        assert!(odd(key) || opens || header.key == *key, "key {key:?} became {:?}", header.key);
    }
}

/// Control characters as spaces.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
