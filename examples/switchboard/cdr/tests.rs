//! Derived rows against those of a real Asterisk, the rules one by one, and input that lies.

use super::compare::{Comparison, Difference, What, compare};
use super::{Cdr, Row, csv};
use crate::ami::{Packet, Reader};
use crate::event::Event;
use crate::event::tests::{RICH, SIMPLE, blocks, unpack};
use std::collections::HashSet;

const SIMPLE_ROWS: &str = include_str!("../recordings/Master.csv");
const RICH_ROWS: &str = include_str!("../recordings/Master-rich.csv");

fn events(packed: &[u8]) -> Vec<Event> {
    blocks(&unpack(packed)).into_iter().map(Event::from).collect()
}

fn rows<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Row> {
    let mut cdr = Cdr::new();
    events.into_iter().flat_map(|event| cdr.apply(event)).collect()
}

fn asterisk(text: &str) -> Vec<Row> {
    csv::read(text).expect("rows of Asterisk")
}

fn only_the_application_differs(difference: &Difference) -> bool {
    matches!(&difference.what, What::Column { name: "lastapp" | "lastdata", .. })
}

fn calls(comparison: &Comparison) -> HashSet<&str> {
    comparison.differences.iter().map(|difference| difference.uniqueid.as_str()).collect()
}

#[test]
fn simple_calls_come_out_as_asterisk_wrote_them() {
    let derived = rows(&events(SIMPLE));
    let result = compare(&derived, &asterisk(SIMPLE_ROWS));
    assert_eq!((derived.len(), result.rows, result.equal), (521, 521, 517), "{:#?}", result.differences);
    // The rest are calls that the switch originates straight to an application: no event names it.
    assert!(result.differences.iter().all(only_the_application_differs));
    assert_eq!(calls(&result).len(), 4);
}

#[test]
fn queues_conferences_transfers_and_parking_come_out_as_well() {
    let derived = rows(&events(RICH));
    let result = compare(&derived, &asterisk(RICH_ROWS));
    assert_eq!((derived.len(), result.rows, result.equal), (82, 82, 78), "{:#?}", result.differences);
    // The rest are channels after a blind transfer: no event names what they run then.
    assert!(result.differences.iter().all(only_the_application_differs));
    assert_eq!(calls(&result).len(), 4);
}

#[test]
fn the_answer_key_is_not_looked_at() {
    let events = events(SIMPLE);
    let honest: Vec<&Event> = events.iter().filter(|event| !matches!(event, Event::AnswerKey(_))).collect();
    assert_eq!(events.len() - honest.len(), 521);
    assert_eq!(rows(honest), rows(&events));
}

#[test]
fn nothing_remains_when_all_have_hung_up() {
    let mut cdr = Cdr::new();
    for event in &events(RICH) {
        cdr.apply(event);
    }
    // A conference reports one leave after the hangup of its channel.
    assert_eq!((cdr.open_channels(), cdr.strays(), cdr.bridges.len()), (0, 1, 0));
    assert_eq!(cdr.finish(), []);
}

/// A broken block costs its own call at most: every other call comes out as before.
#[test]
fn garbled_input_costs_only_the_calls_that_it_hits() {
    let stream = unpack(SIMPLE);
    let expected = rows(&events(SIMPLE));
    let mut garbled = stream.clone();
    for spot in (50_000..stream.len()).step_by(500_000) {
        garbled[spot..spot + 40].fill(0xff);
    }
    let mut reader = Reader::new();
    reader.feed(&garbled);
    reader.finish();
    let (mut cdr, mut derived, mut faults) = (Cdr::new(), Vec::new(), 0);
    for packet in reader {
        match packet {
            Ok(Packet::Event(block)) => derived.extend(cdr.apply(&Event::from(block))),
            Ok(Packet::Greeting(_) | Packet::Response(_) | Packet::Action(_)) => {}
            Err(_) => faults += 1,
        }
    }
    derived.extend(cdr.finish());
    let result = compare(&derived, &expected);
    assert!((1..=13).contains(&faults), "{faults}");
    assert!(calls(&result).len() <= faults, "{:#?}", result.differences);
}

#[test]
fn losing_any_events_ends_without_a_panic() {
    for packed in [SIMPLE, RICH] {
        let events = events(packed);
        for lost in [2, 3, 7, 50] {
            for rest in 0..lost.min(4) {
                let left = events.iter().enumerate().filter(|(index, _)| index % lost != rest);
                rows(left.map(|(_, event)| event));
            }
        }
        rows(events.iter().rev());
        let mut cdr = Cdr::new();
        events[events.len() / 3..events.len() / 2].iter().for_each(|event| drop(cdr.apply(event)));
        cdr.finish();
        assert_eq!(cdr.open_channels(), 0);
    }
}

#[test]
fn repeated_events_change_nothing() {
    let events = events(SIMPLE);
    let created = |event: &Event| matches!(event.block().name.as_str(), "Newchannel" | "Hangup");
    let doubled = events.iter().flat_map(|event| std::iter::repeat_n(event, 1 + usize::from(created(event))));
    assert_eq!(rows(doubled), rows(&events));
}

/// Writes a stream by hand: each line is `second event channel [Key=Value ...]`, where a channel
/// `a` is `X/a` with the unique id `a`, and `Dest=b` adds the headers of channel `b`.
fn play(script: &str) -> Vec<Row> {
    let mut text = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (time, event) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        text.push_str(&format!("Event: {event}\r\nTimestamp: {time}.000000\r\n"));
        for word in words {
            add_word(&mut text, word);
        }
        text.push_str("\r\n");
    }
    let events: Vec<Event> = blocks(text.as_bytes()).into_iter().map(Event::from).collect();
    rows(&events)
}

fn play_short(script: &str) -> Vec<String> {
    play(script).iter().map(short).collect()
}

fn add_word(text: &mut String, word: &str) {
    let (prefix, name) = match word.split_once('=') {
        None => ("", word),
        Some(("Dest", name)) => ("Dest", name),
        Some((key, value)) => {
            text.push_str(&format!("{key}: {value}\r\n"));
            return;
        }
    };
    let (name, state) = name.split_once('+').map_or((name, 4), |(name, _)| (name, 6));
    let channel = if name.contains(';') { format!("Local/{name}") } else { format!("X/{name}") };
    text.push_str(&format!("{prefix}Channel: {channel}\r\n{prefix}ChannelState: {state}\r\n"));
    text.push_str(&format!("{prefix}Uniqueid: {name}\r\n"));
}

/// `channel>other application start-end disposition`, times in seconds after 1970.
fn short(row: &Row) -> String {
    let time = |second: Option<super::row::Second>| second.map_or(0, |second| second.0);
    let (start, end) = (time(row.start), time(row.end));
    let (channel, other, app) = (&row.channel, &row.other_channel, &row.last_app);
    format!("{channel}>{other} {app} {start}-{end} {}", row.disposition)
}

#[test]
fn a_failed_dial_ends_a_row_and_dialplan_opens_the_next() {
    let derived = play_short(
        "1 Newchannel a Exten=5 Priority=1
         1 Newexten a Application=Dial Exten=5 Priority=1
         2 Newchannel b
         2 DialBegin a Dest=b
         3 DialEnd a Dest=b DialStatus=BUSY
         3 Newexten a Application=Busy Exten=5 Priority=2
         3 Hangup b Cause=17
         9 Hangup a Cause=17",
    );
    assert_eq!(derived, ["X/a>X/b Dial 1-3 BUSY", "X/a> Busy 3-9 BUSY"]);
}

#[test]
fn each_party_that_rings_has_a_row_and_one_is_answered() {
    let derived = play_short(
        "1 Newchannel a
         1 Newexten a Application=Dial
         1 Newchannel b
         1 Newchannel c
         1 DialBegin a Dest=b
         2 DialBegin a Dest=c
         5 DialEnd a Dest=c+ DialStatus=ANSWER
         5 DialEnd a Dest=b DialStatus=CANCEL
         5 Newstate a+
         5 BridgeEnter c+ BridgeUniqueid=B
         5 BridgeEnter a+ BridgeUniqueid=B
         8 BridgeLeave c+ BridgeUniqueid=B
         8 BridgeLeave a+ BridgeUniqueid=B
         8 Hangup c+
         8 Hangup b
         9 Hangup a+",
    );
    assert_eq!(derived, ["X/a>X/b Dial 1-5 NO ANSWER", "X/a>X/c Dial 2-8 ANSWERED"]);
}

#[test]
fn causes_decide_where_nobody_was_dialled() {
    for (cause, disposition) in [
        ("17", "BUSY"),
        ("34", "FAILED"),
        ("3", "FAILED"),
        ("20", "FAILED"),
        ("0", "FAILED"),
        ("x", "FAILED"),
        ("16", "NO ANSWER"),
    ] {
        let derived = play_short(&format!("1 Newchannel a\n2 Hangup a Cause={cause}"));
        assert_eq!(derived, [format!("X/a>  1-2 {disposition}")]);
    }
}

/// A Local pair is optimised away by moving the callee to the caller: the real parties get a row,
/// and so do, for a moment, the callee and the half that is on its way out.
#[test]
fn a_callee_that_moves_to_its_caller_meets_the_local_half() {
    let derived = play_short(
        "1 Newchannel a+
         1 Newchannel l;1+
         1 Newchannel l;2+
         1 Newchannel b+
         1 DialBegin a+ Dest=l;1+
         1 DialBegin l;2+ Dest=b+
         2 DialEnd l;2+ Dest=b+ DialStatus=ANSWER
         2 DialEnd a+ Dest=l;1+ DialStatus=ANSWER
         2 BridgeEnter b+ BridgeUniqueid=B
         2 BridgeEnter l;1+ BridgeUniqueid=A
         2 BridgeEnter a+ BridgeUniqueid=A
         2 BridgeEnter l;2+ BridgeUniqueid=B
         3 BridgeLeave b+ BridgeUniqueid=B
         3 BridgeEnter b+ BridgeUniqueid=A
         3 BridgeLeave l;1+ BridgeUniqueid=A
         3 BridgeLeave l;2+ BridgeUniqueid=B
         3 Hangup l;1+
         3 Hangup l;2+
         7 BridgeLeave b+ BridgeUniqueid=A
         7 Hangup b+
         7 BridgeLeave a+ BridgeUniqueid=A
         7 Hangup a+",
    );
    let expected = [
        "Local/l;2>X/b  1-3 ANSWERED",
        "X/b>Local/l;1  3-3 ANSWERED",
        "X/a>Local/l;1  1-3 ANSWERED",
        "X/a>X/b  2-7 ANSWERED",
    ];
    assert_eq!(derived, expected);
}

#[test]
fn a_destination_is_the_one_outside_of_subroutines() {
    let script = [
        "1 Newchannel a Exten=5 Context=in Priority=1",
        "1 Newexten a Application=Gosub Exten=5 Context=in Priority=1",
        "1 Newexten a Application=NoOp Exten=s Context=sub Priority=1",
        "1 VarSet a Exten=s Context=sub Priority=1",
        "1 Newexten a Application=Return Exten=s Context=sub Priority=2",
        "1 VarSet a Exten=s Context=sub Priority=2",
    ];
    for (count, last, exten) in [(3, "s", "5"), (script.len(), "s", "5"), (script.len(), "6", "6")] {
        let mut script = script[..count].join("\n");
        if last == "6" {
            script.push_str("\n2 Newexten a Application=Wait Exten=6 Context=in Priority=1");
        }
        let derived = play(&format!("{script}\n3 Hangup a Exten={last}"));
        assert_eq!(derived.iter().map(|row| row.dst.as_str()).collect::<Vec<_>>(), [exten], "{script}");
    }
}

/// A queue answers its caller before any agent does.
#[test]
fn a_failed_dial_decides_before_an_answer_does() {
    for (status, disposition) in [
        ("NOANSWER", "NO ANSWER"),
        ("CANCEL", "NO ANSWER"),
        ("BUSY", "BUSY"),
        ("CHANUNAVAIL", "FAILED"),
        ("CONGESTION", "FAILED"),
    ] {
        let derived = play(&format!(
            "1 Newchannel a+
             1 Newexten a+ Application=Queue
             2 Newchannel b
             2 DialBegin a+ Dest=b
             5 DialEnd a+ Dest=b DialStatus={status}
             6 Hangup b Cause=16
             7 Hangup a+ Cause=16"
        ));
        assert_eq!(
            derived.iter().map(short).collect::<Vec<_>>(),
            [format!("X/a>X/b Queue 1-5 {disposition}")]
        );
        assert!(derived[0].answer.is_some(), "the caller was up");
    }
}

#[test]
fn a_row_of_a_second_dial_has_the_latest_application() {
    let script = |second: &str| {
        play(&format!(
            "1 Newchannel a+ Exten=5 Priority=1
             1 Newexten a+ Application=Queue AppData=sales Exten=5 Priority=1
             2 Newchannel b
             2 DialBegin a+ Dest=b Exten=5 Priority=1
             3 DialEnd a+ Dest=b DialStatus=NOANSWER Exten=5 Priority=1
             3 Newexten a+ {second} Exten=5 Priority=1
             4 Newchannel c
             4 DialBegin a+ Dest=c Exten=5 Priority=1
             5 Newexten a+ Application=Wait AppData=9 Exten=5 Priority=1
             6 DialEnd a+ Dest=c DialStatus=BUSY Exten=5 Priority=1
             7 Hangup a+ Exten=5"
        ))
    };
    let told = |row: &Row| format!("{} {}", row.last_app, row.last_data);
    let derived = script("Application=Dial AppData=X/c");
    assert_eq!(derived.iter().map(told).collect::<Vec<_>>(), ["Queue sales", "Dial X/c"]);
    // What a channel shows while it is dialled is none.
    let derived = script("Application=AppQueue AppData=(Outgoing)");
    assert_eq!(derived.iter().map(told).collect::<Vec<_>>(), ["Queue sales", "Queue sales"]);
}

#[test]
fn what_a_dialled_channel_shows_is_no_dialplan() {
    let derived = |app: &str| {
        play_short(&format!(
            "1 Newchannel a+
             1 Newexten a+ Application=Queue
             1 Newchannel b
             1 Newexten b Application={app}
             2 DialBegin a+ Dest=b
             3 DialEnd a+ Dest=b+ DialStatus=ANSWER
             3 BridgeEnter b+ BridgeUniqueid=B
             3 BridgeEnter a+ BridgeUniqueid=B
             8 BridgeLeave b+ BridgeUniqueid=B
             8 Hangup b+
             9 Hangup a+"
        ))
    };
    for app in ["AppDial", "AppQueue"] {
        assert_eq!(derived(app), ["X/a>X/b Queue 1-8 ANSWERED"]);
    }
    assert_eq!(derived("Playback").len(), 2, "dialplan of its own makes it a caller");
}

/// Each pair has a row, that of the older; who comes last has one alone, up to his coming.
#[test]
fn each_pair_in_a_conference_has_a_row() {
    let derived = play_short(
        "1 Newchannel a+
         1 Newexten a+ Application=ConfBridge
         2 BridgeEnter a+ BridgeUniqueid=C
         3 Newchannel b+
         3 Newexten b+ Application=ConfBridge
         4 BridgeEnter b+ BridgeUniqueid=C
         5 Newchannel c+
         5 Newexten c+ Application=ConfBridge
         6 BridgeEnter c+ BridgeUniqueid=C
         8 BridgeLeave a+ BridgeUniqueid=C
         8 Hangup a+
         9 BridgeLeave b+ BridgeUniqueid=C
         9 Hangup b+
         9 BridgeLeave c+ BridgeUniqueid=C
         9 Hangup c+",
    );
    let expected = [
        "X/a>X/b ConfBridge 1-8 ANSWERED",
        "X/a>X/c ConfBridge 2-8 ANSWERED",
        "X/b>X/c ConfBridge 3-9 ANSWERED",
        "X/c> ConfBridge 5-6 ANSWERED",
    ];
    assert_eq!(derived, expected);
}

#[test]
fn a_parked_party_waits_in_a_row_of_its_own_until_it_is_fetched() {
    let derived = play(
        "1 Newchannel a+
         1 Newexten a+ Application=Park AppData=x
         2 BridgeEnter a+ BridgeUniqueid=P BridgeType=parking
         2 ParkedCall ParkeeChannel=X/a ParkeeUniqueid=a ParkeeChannelState=6 Parkinglot=lot ParkingSpace=701
         3 Newchannel b+
         3 BridgeEnter b+ BridgeUniqueid=P BridgeType=parking
         7 BridgeLeave a+ BridgeUniqueid=P BridgeType=parking
         9 Hangup a+",
    );
    assert_eq!(derived.iter().map(short).collect::<Vec<_>>(), ["X/a> Park 1-7 ANSWERED"]);
    assert_eq!(derived[0].last_data, "lot:701");
}

/// Here without dialplan of its own: it is parked by the one who talked to it.
#[test]
fn who_is_sent_elsewhere_blindly_is_a_caller_from_then_on() {
    let derived = |transfer: &str| {
        play_short(&format!(
            "1 Newchannel a+
             1 Newexten a+ Application=Dial
             1 Newchannel b
             1 DialBegin a+ Dest=b
             2 DialEnd a+ Dest=b+ DialStatus=ANSWER
             2 BridgeEnter b+ BridgeUniqueid=B
             2 BridgeEnter a+ BridgeUniqueid=B
             {transfer}
             5 BridgeLeave b+ BridgeUniqueid=B
             5 BridgeEnter b+ BridgeUniqueid=P BridgeType=parking
             5 BridgeLeave a+ BridgeUniqueid=B
             5 Hangup a+
             8 BridgeLeave b+ BridgeUniqueid=P BridgeType=parking
             9 Hangup b+"
        ))
    };
    let by = "TransfererChannel=X/a TransfererUniqueid=a TransfererChannelState=6";
    let whom = "TransfereeChannel=X/b TransfereeUniqueid=b TransfereeChannelState=6";
    let blind = derived(&format!("4 BlindTransfer {by} {whom}"));
    assert_eq!(blind, ["X/a>X/b Dial 1-5 ANSWERED", "X/b>  5-8 ANSWERED"]);
    let attended = derived(&format!("4 AttendedTransfer Orig{by} {whom}"));
    assert_eq!(attended, ["X/a>X/b Dial 1-5 ANSWERED"], "the event itself changes nothing");
}

/// Such an event is made when a live switch no longer has the channel. It is no news of anything else.
#[test]
fn a_channel_that_ended_unseen_keeps_what_was_known_of_it() {
    let derived = play(
        "1 Newchannel a+ Exten=5 CallerIDNum=7
         1 Newexten a+ Application=Dial Exten=5 CallerIDNum=7
         9 Hangup Uniqueid=a Cause=0
         9 Hangup Uniqueid=b Cause=0",
    );
    assert_eq!(derived.iter().map(short).collect::<Vec<_>>(), ["X/a> Dial 1-9 ANSWERED"]);
    assert_eq!((derived[0].dst.as_str(), derived[0].src.as_str()), ("5", "7"));
}
