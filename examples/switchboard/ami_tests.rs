//! The reader against good, broken and hostile input; the renderer against hostile values.

use super::*;

const BEFORE: &str = "Event: Before\r\nKey: 1\r\n\r\n";
const AFTER: &str = "Event: After\r\nKey: 2\r\n\r\n";

/// Everything that a stream gives when it arrives in pieces of the given size.
fn read(stream: &[u8], piece: usize) -> (Vec<Result<Packet, Fault>>, Counts) {
    let mut reader = Reader::new();
    let mut packets = Vec::new();
    for piece in stream.chunks(piece.max(1)) {
        reader.feed(piece);
        packets.extend(reader.by_ref());
    }
    reader.finish();
    packets.extend(reader.by_ref());
    (packets, reader.counts())
}

/// Names of the events that came through, and what was said of the rest.
fn told(stream: &[u8]) -> (Vec<String>, Vec<String>) {
    let (packets, counts) = read(stream, 1000);
    let (mut names, mut faults) = (Vec::new(), Vec::new());
    for packet in packets {
        match packet {
            Ok(Packet::Event(block) | Packet::Response(block) | Packet::Action(block)) => {
                names.push(block.name)
            }
            Ok(Packet::Greeting(version)) => names.push(version),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    assert_eq!(counts.faults, faults.len() as u64);
    assert_eq!(counts.bytes, stream.len() as u64);
    (names, faults)
}

/// A broken block between two good ones: both come through, the fault is told once.
fn check_broken(broken: &[u8], message: &str) {
    let stream = [BEFORE.as_bytes(), broken, AFTER.as_bytes()].concat();
    let (names, faults) = told(&stream);
    assert_eq!(names, ["Before", "After"], "{message}");
    assert_eq!(faults, [format!("{message}; block dropped")]);
}

#[test]
fn reads_greeting_response_and_events() {
    let stream = b"Asterisk Call Manager/13.0.0\r\nResponse: Success\r\nActionID: 1\r\n\r\n\
        Event: Odd\r\nBare:\r\nTight:x\r\nWide:  y \r\nResponse: Failure\r\nTwice: 1\r\nTwice: 2\r\n\r\n";
    let (packets, counts) = read(stream, 7);
    let [Ok(Packet::Greeting(version)), Ok(Packet::Response(reply)), Ok(Packet::Event(event))] = &packets[..]
    else {
        panic!("{packets:?}");
    };
    assert_eq!((version.as_str(), reply.name.as_str(), event.line), ("13.0.0", "Success", 5));
    let values = ["Bare", "Tight", "Wide", "Response", "Twice", "None"].map(|key| event.get(key));
    assert_eq!(values, [Some(""), Some("x"), Some(" y "), Some("Failure"), Some("1"), None]);
    assert_eq!((counts.lines, counts.events, counts.responses, counts.faults), (12, 1, 1, 0));
}

#[test]
fn chunking_changes_nothing() {
    let stream = format!("{BEFORE}broken\r\nEvent: Cut\r\nKey: v\r\n{AFTER}\r\nEvent: Open\r\nKey");
    let whole = read(stream.as_bytes(), stream.len());
    for piece in 1..stream.len() {
        assert_eq!(read(stream.as_bytes(), piece), whole, "pieces of {piece}");
    }
}

#[test]
fn says_what_is_broken_and_where() {
    let cases: [(&[u8], &str); 9] = [
        (b"Event: X\r\nno colon\r\nKey: v\r\n\r\n", "line 5 (byte 35): no colon in \"no colon\""),
        (b"Event: X\r\n: v\r\n\r\n", "line 5 (byte 35): header without a key"),
        (b"Event: X\r\nA: \xff\r\n\r\n", "line 5 (byte 35): line is not UTF-8"),
        (b"Event: X\r\nA: \0\r\n\r\n", "line 5 (byte 35): NUL in a line"),
        (b"Event: X\r\nA: a\rb\r\n\r\n", "line 5 (byte 35): CR that does not end a line"),
        (b"Event: X\r\nA: a\nB: b\r\n\r\n", "line 5 (byte 35): LF without CR"),
        (b"Event: X\nA: a\nB: b\n\n", "line 4 (byte 25): LF without CR"),
        (b"Key: v\r\n\r\n", "line 4 (byte 25): block begins neither as event nor response: \"Key: v\""),
        (b"Event: X\r\nKey: v\r\n", "line 4 (byte 25): next block begins before this one ends"),
    ];
    for (broken, message) in cases {
        check_broken(broken, message);
    }
}

#[test]
fn long_lines_and_blocks_are_bounded() {
    let long = format!("Event: X\r\nA: {}\r\n\r\n", "x".repeat(10_000_000));
    check_broken(long.as_bytes(), "line 5 (byte 35): line longer than 65536 bytes");
    let many = format!("Event: X\r\n{}\r\n", "A: b\r\n".repeat(1_000_000));
    check_broken(many.as_bytes(), "line 1029 (byte 6179): block of more than 1024 headers");
    let large = format!("Event: X\r\n{}\r\n", format!("A: {}\r\n", "x".repeat(60_000)).repeat(100));
    check_broken(large.as_bytes(), "line 22 (byte 1020120): block larger than 1048576 bytes");
    let longest = format!("Event: X\r\nA: {}\r\n\r\n", "x".repeat(LONGEST_LINE - 3));
    assert_eq!(told(longest.as_bytes()), (vec!["X".into()], vec![]));
}

#[test]
fn an_endless_line_is_not_kept() {
    let mut reader = Reader::new();
    for _ in 0..1000 {
        reader.feed(&[b'x'; 10_000]);
    }
    assert!(reader.line.capacity() <= 2 * LONGEST_LINE + 2);
    reader.finish();
    let fault = Fault { trouble: Trouble::CutOff, place: Place { line: 1, byte: 0 } };
    assert_eq!(reader.next(), Some(Err(fault)));
    assert_eq!((reader.next(), reader.counts().bytes), (None, 10_000_000));
}

#[test]
fn a_cut_anywhere_costs_the_block_it_is_in() {
    let stream = format!("{BEFORE}{AFTER}");
    for end in 0..stream.len() {
        let (names, faults) = told(&stream.as_bytes()[..end]);
        assert_eq!(names.len(), end / BEFORE.len(), "cut at {end}");
        assert_eq!(faults.is_empty(), end % BEFORE.len() == 0 || end == stream.len(), "cut at {end}");
        let (names, faults) = told(&stream.as_bytes()[end..]);
        assert!(names.len() + faults.len() <= 2 && names.last().is_none_or(|name| name == "After"));
    }
}

/// A small generator of pseudo-random numbers; the tests need variety, not quality.
fn noise(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

#[test]
fn noise_is_survived_and_counted() {
    let words = ["Event: ", "Response: ", "\r\n", "\r\n\r\n", "\n", "\r", "A: b", ":", "\0", "é", " ", "x"];
    let mut seed = 1;
    for _ in 0..300 {
        let stream: String = (0..200).map(|_| words[noise(&mut seed) % words.len()]).collect();
        let mut bytes = stream.into_bytes();
        let spot = noise(&mut seed) % bytes.len();
        bytes[spot] = 0xff;
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(AFTER.as_bytes());
        let (names, _) = told(&bytes);
        assert_eq!(names.last().map(String::as_str), Some("After"));
    }
}

/// What comes out is one event with these headers and not a line more.
fn check_contained(name: &str, headers: &[(&str, &str)]) {
    let mut text = String::from(BEFORE);
    render(&mut text, name, headers.iter().copied());
    text.push_str(AFTER);
    let (packets, counts) = read(text.as_bytes(), 64);
    assert_eq!((counts.events, counts.responses, counts.faults), (3, 0, 0), "{text:?}");
    let Ok(Packet::Event(block)) = &packets[1] else {
        panic!("{packets:?}");
    };
    assert_eq!(block.headers.len(), headers.len(), "{text:?}");
}

#[test]
fn renders_no_line_that_was_not_asked_for() {
    let nasty = [
        "x\r\n\r\nEvent: Hangup\r\nUniqueid: 1\r\n\r\n",
        "\n\nEvent: Hangup\n\n",
        "\r\rEvent: Hangup\r\r",
        "\0\r\n",
        "",
        " ",
        ":",
        "a: b",
        "Event",
        " event",
        "EVENT:",
        "Event: Hangup",
        "Response",
        "Asterisk Call Manager/1",
        "\u{85}\u{2028}é",
    ];
    for first in nasty {
        check_contained(first, &[]);
        for second in nasty {
            check_contained("Name", &[(first, second), ("Plain", "value"), (second, first)]);
        }
    }
}

#[test]
fn what_is_plain_reads_back_unchanged() {
    let headers =
        [("CID-CallingPres", "0 (x)"), ("Empty", ""), ("Wide", "  y "), ("Response", "ok"), ("A", "b:c: d")];
    let mut text = String::new();
    render(&mut text, "Name", headers);
    let (packets, _) = read(text.as_bytes(), 3);
    let [Ok(Packet::Event(block))] = &packets[..] else {
        panic!("{packets:?}");
    };
    let pairs = block.headers.iter().map(|header| (header.key.as_str(), header.value.as_str()));
    assert!(pairs.eq(headers));
    assert_eq!(block.to_event_text(), text);
}

#[test]
fn unescapes_the_four_letters_only() {
    assert_eq!(unescape(r#"Ursula \"Ulla\" U"#), r#"Ursula "Ulla" U"#);
    assert_eq!(unescape(r"O\'Hara\? \\n \n \"), r"O'Hara? \n \n \");
    assert!(matches!(unescape("plain"), Cow::Borrowed("plain")));
}

#[test]
fn of_a_client_it_reads_actions_only() {
    let mut reader = Reader::of_client();
    reader.feed(b"Action: Login\r\nUsername: u\r\nEvent: x\r\n\r\nACTION:Ping\r\n\r\n");
    let [Ok(Packet::Action(login)), Ok(Packet::Action(ping))] = &reader.by_ref().collect::<Vec<_>>()[..]
    else {
        panic!("two actions");
    };
    assert_eq!(
        (login.name.as_str(), login.get("Username"), login.get("Event")),
        ("Login", Some("u"), Some("x"))
    );
    assert_eq!((ping.name.as_str(), reader.counts().actions), ("Ping", 2));
    for other in
        ["Event: A\r\n\r\n", "Response: A\r\n\r\n", "Asterisk Call Manager/1\r\n", "GET / HTTP/1.1\r\n\r\n"]
    {
        let mut reader = Reader::of_client();
        reader.feed(other.as_bytes());
        assert!(matches!(reader.next(), Some(Err(Fault { trouble: Trouble::NoAction(_), .. }))), "{other}");
        assert!(reader.next().is_none());
    }
    let mut reader = Reader::new();
    reader.feed(b"Action: Login\r\n\r\n");
    assert!(
        matches!(reader.next(), Some(Err(Fault { trouble: Trouble::NoKind(_), .. }))),
        "no manager says it"
    );
}
