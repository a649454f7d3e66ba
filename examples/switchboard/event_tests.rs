//! Events from recordings and by hand.

use super::*;
use crate::ami::{Packet, Reader};
use std::io::Read;

pub(crate) const SIMPLE: &[u8] = include_bytes!("recordings/events.ami.gz");
pub(crate) const RICH: &[u8] = include_bytes!("recordings/events-rich.ami.gz");

pub(crate) fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).expect("a recording of ours");
    bytes
}

/// Reads a stream in pieces of all sizes up to 999 bytes.
pub(crate) fn blocks(stream: &[u8]) -> Vec<Block> {
    let (mut reader, mut rest, mut size) = (Reader::new(), stream, 1);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(size.min(rest.len()));
        reader.feed(piece);
        (rest, size) = (more, (size * 7 + 3) % 1000);
    }
    reader.finish();
    let events = reader.filter_map(|packet| match packet.expect("no fault") {
        Packet::Event(block) => Some(block),
        Packet::Greeting(_) | Packet::Response(_) | Packet::Action(_) => None,
    });
    events.collect()
}

#[test]
fn recordings_survive_reading_and_writing_byte_for_byte() {
    for (packed, events) in [(SIMPLE, 14_536), (RICH, 2_696)] {
        let stream = unpack(packed);
        let blocks = blocks(&stream);
        assert_eq!(blocks.len(), events);
        let text: String =
            blocks.iter().map(|block| Event::from(block.clone()).block().to_event_text()).collect();
        // Before the first event stand the greeting and a response, after the last a response.
        let start = stream.windows(7).position(|bytes| bytes == b"Event: ").expect("an event");
        assert!(stream[start..].starts_with(text.as_bytes()));
        let rest = String::from_utf8_lossy(&stream[start + text.len()..]);
        assert!(rest.starts_with("Response: Goodbye"), "{rest}");
    }
}

fn block(name: &str, headers: &[(&str, &str)]) -> Block {
    let mut text = String::new();
    crate::ami::render(&mut text, name, headers.iter().copied());
    blocks(text.as_bytes()).swap_remove(0)
}

#[test]
fn every_family_knows_its_channel_and_bridge() {
    let stream = unpack(RICH);
    let mut seen = [0; 6];
    for event in blocks(&stream).into_iter().map(Event::from) {
        let family = match &event {
            Event::Channel(_) => 0,
            Event::Dial(_) => 1,
            Event::Bridge(_) => 2,
            Event::Local(_) => 3,
            Event::Transfer(_) => 4,
            Event::Park(_) => 5,
            Event::Other(_) | Event::AnswerKey(_) => continue,
        };
        seen[family] += 1;
        assert!(event.channel().is_some() || event.bridge().is_some());
        assert!(event.at().is_some());
    }
    assert!(seen.iter().all(|&count| count > 2), "{seen:?}");
}

#[test]
fn names_are_unescaped_and_unknown_is_empty() {
    let headers = [
        ("Channel", "X/1"),
        ("Uniqueid", "1.1"),
        ("Uniqueid", "2.2"),
        ("ChannelState", "6"),
        ("CallerIDNum", "<unknown>"),
        ("CallerIDName", r#"a \"b\" \\"#),
    ];
    let Event::Channel(event) = Event::from(block("Newstate", &headers)) else {
        panic!("not a channel event");
    };
    let party = &event.channel;
    assert_eq!((party.caller_number.as_str(), party.caller_name.as_str()), ("", r#"a "b" \"#));
    assert_eq!((party.uniqueid.as_str(), party.is_up(), event.at), ("1.1", true, None));
}

#[test]
fn what_lacks_its_headers_is_of_no_family() {
    for name in
        ["Newchannel", "Hangup", "DialBegin", "BridgeEnter", "ParkedCall", "LocalBridge", "BlindTransfer"]
    {
        let event = Event::from(block(name, &[("Channel", "X/1"), ("Timestamp", "-1.5")]));
        assert!(matches!(event, Event::Other(OtherEvent { at: None, .. })), "{event:?}");
    }
}

#[test]
fn reads_times_to_the_microsecond() {
    let cases = [
        ("1795297413.375413", Some(1_795_297_413_375_413)),
        ("12.5", Some(12_500_000)),
        ("12", Some(12_000_000)),
        ("12.1234567", Some(12_123_456)),
        ("253402300800.0", None),
        ("99999999999999999999.0", None),
        ("-1.0", None),
        ("1.+2", None),
        ("1.12345\u{e9}", None),
        ("", None),
    ];
    for (text, micros) in cases {
        assert_eq!(Stamp::parse(text), micros.map(Stamp), "{text:?}");
    }
}
