//! Input that is broken or means harm, through the whole of the switchboard: it says what is wrong
//! and where, counts it, loses nothing else, and nothing gets into what it writes.

use crate::End;
use crate::ami::{Block, Header, Packet, Reader};
use crate::event::Event;
use crate::event::tests::{RICH, unpack};
use crate::messages::{EVERYTHING, Kinds};
use crate::tests::{Made, Trial, replay};

fn event(name: &str, id: &str, more: &str) -> String {
    format!(
        "Event: {name}\r\nTimestamp: 5.000000\r\nChannel: X/{id}\r\nChannelState: 4\r\nUniqueid: {id}\r\n{more}\r\n"
    )
}

/// A call of three events, which makes one row.
fn call(id: &str) -> String {
    let (begin, end) = (event("Newchannel", id, ""), event("Hangup", id, "Cause: 17\r\n"));
    format!("{begin}{}{end}", event("Newexten", id, "Application: Busy\r\n"))
}

/// The ids of the calls whose rows were written.
fn calls(made: &Made) -> Vec<&str> {
    made.outcome.records.rows.iter().map(|row| row.uniqueid.as_str()).collect()
}

/// Names of the events in the feed, which a reader can read without a fault.
fn fed(made: &Made) -> Vec<String> {
    let mut reader = Reader::new();
    reader.feed(made.feed.as_bytes());
    reader.finish();
    let names = reader.map(|packet| match packet {
        Ok(Packet::Event(block)) => block.name,
        other => panic!("not an event: {other:?}"),
    });
    names.collect()
}

/// Plays something between the events of one call and before another: both calls come out whole.
fn between_calls(hostile: &[u8]) -> Made {
    let long = call("long");
    let (begin, rest) = long.split_at(event("Newchannel", "long", "").len());
    let stream = [begin.as_bytes(), hostile, rest.as_bytes(), call("after").as_bytes()].concat();
    let made = replay(&stream, 1000);
    let rows = calls(&made);
    assert!(rows.contains(&"long") && rows.contains(&"after"), "{rows:?}");
    made
}

/// It costs nothing but itself: no other event, no row; and it is told in these words.
fn check_fault(hostile: &[u8], message: &str) {
    let made = between_calls(hostile);
    assert_eq!(calls(&made), ["long", "after"], "{message}");
    assert_eq!(fed(&made), ["Newchannel", "Newexten", "Hangup", "Newchannel", "Newexten", "Hangup"]);
    assert_eq!(made.outcome.source.faults, [format!("{message}; block dropped")]);
    assert_eq!(made.outcome.source.stream.faults, 1);
}

#[test]
fn broken_blocks_are_told_and_cost_only_themselves() {
    let cases: [(&[u8], &str); 7] = [
        (b"Event: X\r\nno colon\r\n\r\n", "line 8 (byte 102): no colon in \"no colon\""),
        (b"Event: X\r\nA: \xff\xfe\r\n\r\n", "line 8 (byte 102): line is not UTF-8"),
        (b"Event: X\r\nA: \0\r\n\r\n", "line 8 (byte 102): NUL in a line"),
        (b"Event: X\r\nA: a\rEvent: Y\r\n\r\n", "line 8 (byte 102): CR that does not end a line"),
        (b"Event: X\nA: a\n\n", "line 7 (byte 92): LF without CR"),
        (b"A: b\r\n\r\n", "line 7 (byte 92): block begins neither as event nor response: \"A: b\""),
        (b"\xff\x00\x1b garbage \x80\r\n\r\n", "line 7 (byte 92): NUL in a line"),
    ];
    for (hostile, message) in cases {
        check_fault(hostile, message);
    }
}

#[test]
fn ten_megabytes_without_an_end_of_line_are_one_fault() {
    let line = format!("Event: X\r\nA: {}\r\n\r\n", "x".repeat(10_000_000));
    check_fault(line.as_bytes(), "line 8 (byte 102): line longer than 65536 bytes");
    let bare = format!("{}\r\n\r\n", "x".repeat(10_000_000));
    check_fault(bare.as_bytes(), "line 7 (byte 92): line longer than 65536 bytes");
}

#[test]
fn of_interleaved_events_the_interrupted_one_is_lost() {
    let made = between_calls(format!("Event: X\r\nA: b\r\n{}", call("c")).as_bytes());
    assert_eq!(calls(&made), ["c", "long", "after"]);
    let message = "line 7 (byte 92): next block begins before this one ends; block dropped";
    assert_eq!(made.outcome.source.faults, [message]);
}

#[test]
fn a_cut_off_end_is_told_and_all_before_it_is_there() {
    let stream = format!("{}{}", call("whole"), call("cut"));
    for missing in [1, 2, 3, 40] {
        let made = replay(&stream.as_bytes()[..stream.len() - missing], 5);
        assert_eq!(calls(&made), ["whole"]);
        assert_eq!((made.outcome.records.open_channels, made.outcome.records.open_rows), (1, 1));
        let faults = &made.outcome.source.faults;
        assert_eq!(faults.len(), 1);
        assert!(faults[0].ends_with("stream ends inside this block; block dropped"), "{faults:?}");
    }
}

#[test]
fn channels_that_nobody_knows_can_hang_up() {
    let made = between_calls(event("Hangup", "nobody", "Cause: 16\r\n").as_bytes());
    assert_eq!(calls(&made), ["long", "after"]);
    assert_eq!((made.outcome.source.strays, made.outcome.source.faults.len()), (1, 0));
    assert_eq!(made.outcome.source.messages, 7);
}

#[test]
fn ids_may_be_used_twice() {
    let again = format!("{}{}", event("Newchannel", "long", ""), event("Newchannel", "long", ""));
    let made = between_calls(again.as_bytes());
    assert_eq!(calls(&made), ["long", "after"]);
    assert_eq!((made.outcome.source.repeated, made.outcome.source.channels), (2, 2));
    // One after the other they are two calls.
    let made = between_calls(format!("{}{}", call("c"), call("c")).as_bytes());
    assert_eq!(calls(&made), ["c", "c", "long", "after"]);
    assert_eq!((made.outcome.source.repeated, made.outcome.source.channels), (0, 4));
}

#[test]
fn ids_that_no_topic_can_have_are_told_and_published_all_the_same() {
    let long = "x".repeat(300);
    let cases = [
        (long.as_str(), "name has 308 bytes; at most 255 are allowed"),
        ("a\tb", "name has the control character '\\t' at byte 9; none is allowed"),
        ("\u{85}", "name has the control character '\\u{85}' at byte 8; none is allowed"),
        ("all", "\"all\" is the name of all"),
    ];
    for (id, why) in cases {
        let made = between_calls(call(id).as_bytes());
        assert_eq!(calls(&made), [id, "long", "after"]);
        assert_eq!((made.outcome.source.unnamed, made.outcome.source.messages), (1, 9));
        let fault = made.outcome.source.faults.concat();
        assert!(fault.starts_with("line 7: no topic for channel "), "{fault}");
        assert!(fault.ends_with(&format!(": {why}; published for all")), "{fault}");
    }
}

#[test]
fn many_faults_are_counted_and_the_first_ones_told() {
    let made = between_calls("nonsense\r\n\r\n".repeat(1000).as_bytes());
    assert_eq!((made.outcome.source.stream.faults, made.outcome.source.faults.len()), (1000, 20));
    assert_eq!(calls(&made), ["long", "after"]);
}

/// Channels that appear and never leave cost a topic each, and leave nothing behind at the end.
#[test]
fn topics_of_channels_that_never_hang_up_go_with_the_source() {
    let mut trial = Trial::start();
    let bus = trial.board.bus().clone();
    for id in 0..2000 {
        trial.play(event("Newchannel", &id.to_string(), "").as_bytes(), 1000);
    }
    let topics = bus.topics();
    let of = |pool: &str| topics.iter().filter(|topic| topic.name().starts_with(pool)).count();
    // With that of all.
    assert_eq!((of("channel:"), of("channels/")), (2001, 2000));
    drop(topics);
    let made = trial.finish(&End::Complete);
    assert_eq!(made.outcome.records.open_channels, 2000);
    assert_eq!((calls(&made).len(), bus.topics().len()), (0, 0));
}

const NASTY: [&str; 9] = [
    "x\r\n\r\nEvent: Forged\r\nUniqueid: 1\r\n\r\n",
    "\n\nEvent: Forged\n\n",
    "\r\rEvent: Forged\r\r",
    "\0",
    "",
    "Event",
    " event ",
    "Event: Forged",
    "\u{85}\u{2028}Event: Forged",
];

/// A value from a source of another kind may hold anything at all.
#[test]
fn nothing_is_injected_into_what_is_written() {
    let mut trial = Trial::start();
    let bus = trial.board.bus();
    let (kinds, everything) = (Kinds::of(bus).expect("types"), bus.topic(EVERYTHING).expect("a topic"));
    let mut published = 0;
    for (first, second) in NASTY.iter().flat_map(|first| NASTY.map(|second| (*first, second))) {
        let header = |key: &str, value: &str| Header { key: key.into(), value: value.into() };
        let headers = vec![header(first, second), header("Plain", "value"), header(second, first)];
        let event = Event::from(Block { name: first.to_owned(), headers, line: 1 });
        everything.publish(kinds.message(event, None, None).expect("not an answer key"));
        published += 1;
    }
    trial.play(call("after").as_bytes(), 1000);
    let Made { outcome, feed, journal, .. } = trial.finish_unchecked(&End::Complete);
    assert_eq!(outcome.feed.items, published + 3);
    let mut reader = Reader::new();
    reader.feed(feed.as_bytes());
    reader.finish();
    let blocks: Vec<Block> = reader
        .map(|packet| match packet {
            Ok(Packet::Event(block)) => block,
            other => panic!("not an event: {other:?}"),
        })
        .collect();
    assert_eq!(blocks.len() as u64, published + 3);
    assert!(blocks.iter().take(published as usize).all(|block| block.headers.len() == 3));
    assert!(blocks.iter().all(|block| block.name != "Forged"));
    assert_eq!(journal.lines().count() as u64, published + 3);
    assert!(journal.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

/// Over a whole recording: what is garbled is gone, and every other event is where it was.
#[test]
fn a_garbled_recording_loses_only_what_is_garbled() {
    let stream = unpack(RICH);
    let whole = replay(&stream, 4096);
    let mut garbled = stream.clone();
    let spots = (50_000..stream.len() - 40).step_by(stream.len() / 13);
    let most = spots.len() as u64;
    spots.for_each(|spot| garbled[spot..spot + 40].fill(0xff));
    let made = replay(&garbled, 4096);
    let (all, left) = (&whole.outcome.source, &made.outcome.source);
    assert!((1..=most).contains(&left.stream.faults), "{:?}", left.faults);
    assert!(left.faults.iter().all(|fault| fault.starts_with("line ")), "{:?}", left.faults);
    // 40 bytes lie in one block, or in two.
    let lost = (all.messages + all.answer_keys) - (left.messages + left.answer_keys);
    assert!((1..=2 * most).contains(&lost), "{lost}");
    let mut rest = whole.feed.split("\r\n\r\n");
    assert!(made.feed.split("\r\n\r\n").all(|event| rest.any(|other| other == event)), "in order, unchanged");
}
