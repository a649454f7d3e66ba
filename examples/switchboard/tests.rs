//! The recordings through the real bus: rows against Asterisk's, and what each consumer makes.

use crate::End;
use crate::ami::{Block, Packet, Reader};
use crate::cdr::compare::{Difference, What, compare};
use crate::cdr::csv;
use crate::event::tests::{RICH, SIMPLE, blocks, unpack};
use crate::messages::{EVERYTHING, Kinds};
use crate::output::{ConsumerSinks, Sink};
use crate::switchboard::{Outcome, Setup, Switchboard};
use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

const SIMPLE_ROWS: &str = include_str!("recordings/Master.csv");
const RICH_ROWS: &str = include_str!("recordings/Master-rich.csv");
const PIECE: usize = 64 * 1024;

/// A file in memory that can be read while somebody else writes it.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub(crate) fn sink(&self) -> Sink {
        Sink::new("memory", self.clone())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8")
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A switchboard that writes to memory.
pub(crate) struct Trial {
    pub(crate) board: Switchboard,
    cdr: Memory,
    feed: Memory,
    journal: Memory,
}

/// What a trial has made.
pub(crate) struct Made {
    pub(crate) outcome: Outcome,
    pub(crate) cdr: String,
    pub(crate) feed: String,
    pub(crate) journal: String,
}

impl Trial {
    pub(crate) fn start() -> Self {
        let [cdr, feed, journal] = [Memory::default(), Memory::default(), Memory::default()];
        let sinks = ConsumerSinks { cdr: cdr.sink(), feed: feed.sink(), journal: journal.sink() };
        // Something to compare with, so that the rows are kept.
        let setup = Setup { answers: vec![Some(Vec::new())], ..Setup::default() };
        let board = Switchboard::start(sinks, setup).expect("a switchboard");
        Self { board, cdr, feed, journal }
    }

    pub(crate) fn play(&mut self, stream: &[u8], piece: usize) {
        assert!(stream.chunks(piece).all(|piece| self.board.feed(piece).is_continue()));
    }

    pub(crate) fn finish(self, end: &End) -> Made {
        let made = self.finish_unchecked(end);
        made.check_that_nothing_is_lost();
        made
    }

    /// For those that publish on their own, beside the source.
    pub(crate) fn finish_unchecked(self, end: &End) -> Made {
        let outcome = self.board.finish(end).expect("an outcome");
        Made { outcome, cdr: self.cdr.text(), feed: self.feed.text(), journal: self.journal.text() }
    }
}

impl Made {
    fn check_that_nothing_is_lost(&self) {
        let Outcome { source, feed, journal, tallies, shutdown, .. } = &self.outcome;
        assert_eq!((source.lost, feed.items, journal.items), (0, source.messages, source.messages));
        assert!(tallies.iter().all(|tally| tally.adds_up() && tally.lost() == 0), "{tallies:?}");
        let mut stats = tallies.iter().map(|tally| &tally.stats);
        assert!(stats.all(|one| one.depth == 0 && one.high_water <= one.capacity), "bounded memory");
        assert_eq!(tallies[1].stats.accepted, source.messages);
        assert!(shutdown.is_clean(), "{shutdown}");
    }
}

/// Random numbers; what they were begun with is told, and can be given again.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_nanos();
        let seed = std::env::var("SWITCHBOARD_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = seed.unwrap_or(now as u64);
        eprintln!("SWITCHBOARD_TEST_SEED={seed}");
        Self(seed)
    }

    /// From 0, and less than that (`splitmix64`).
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % limit as u64) as usize
    }
}

pub(crate) fn replay(stream: &[u8], piece: usize) -> Made {
    let mut trial = Trial::start();
    trial.play(stream, piece);
    trial.finish(&End::Complete)
}

fn only_the_application_differs(difference: &Difference) -> bool {
    matches!(&difference.what, What::Column { name: "lastapp" | "lastdata", .. })
}

/// All rows are there, in Asterisk's order; all but four equal Asterisk's in all columns, and of
/// those four no event names the application.
fn check_rows(recording: &[u8], rows: &str, equal: usize) {
    let made = replay(&unpack(recording), PIECE);
    let asterisk = csv::read(rows).expect("rows of Asterisk");
    let derived = &made.outcome.records.rows;
    let result = compare(derived, &asterisk);
    assert_eq!((derived.len(), result.rows, result.equal), (equal + 4, equal + 4, equal), "{result:#?}");
    assert!(result.differences.iter().all(only_the_application_differs), "{:#?}", result.differences);
    let calls: HashSet<_> = result.differences.iter().map(|difference| &difference.uniqueid).collect();
    assert_eq!(calls.len(), 4);
    assert_eq!((made.outcome.records.open_channels, made.outcome.records.open_rows), (0, 0));
    assert_eq!(csv::read(&made.cdr).as_ref(), Ok(derived));
}

#[test]
fn simple_calls_come_out_of_the_bus_as_asterisk_wrote_them() {
    check_rows(SIMPLE, SIMPLE_ROWS, 517);
}

#[test]
fn rich_calls_come_out_of_the_bus_as_asterisk_wrote_them() {
    check_rows(RICH, RICH_ROWS, 78);
}

fn published(stream: &[u8]) -> Vec<Block> {
    blocks(stream).into_iter().filter(|block| block.name != "Cdr").collect()
}

#[test]
fn the_feed_is_the_stream_without_the_answer_key() {
    let stream = unpack(SIMPLE);
    let expected: String = published(&stream).iter().map(Block::to_event_text).collect();
    let made = replay(&stream, PIECE);
    assert!(made.feed == expected, "the feed differs from what was recorded");
    assert_eq!((made.outcome.source.messages, made.outcome.source.answer_keys), (14_015, 521));
}

#[test]
fn the_journal_has_every_message_in_the_order_of_the_stream() {
    let stream = unpack(RICH);
    let expected = published(&stream);
    let made = replay(&stream, PIECE);
    let lines: Vec<serde_json::Value> =
        made.journal.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), expected.len());
    for (line, block) in lines.iter().zip(&expected) {
        assert_eq!(line["event"], block.name.as_str());
        assert_eq!(line["headers"]["Timestamp"].as_str(), block.get("Timestamp"));
        assert_eq!(line["headers"]["Uniqueid"].as_str(), block.get("Uniqueid"));
    }
}

#[test]
fn pieces_of_any_size_give_the_same_every_time() {
    let stream = unpack(RICH);
    let whole = replay(&stream, stream.len());
    for piece in [1, 7, 1000, PIECE] {
        let made = replay(&stream, piece);
        assert!(made.cdr == whole.cdr && made.feed == whole.feed && made.journal == whole.journal);
        assert_eq!(made.outcome.source, whole.outcome.source);
    }
}

/// Names of the topics on the board now.
fn topics(board: &Switchboard) -> Vec<String> {
    board.bus().topics().iter().map(|topic| topic.name().to_owned()).collect()
}

#[test]
fn topics_come_and_go_with_their_channels_and_bridges() {
    let stream = unpack(SIMPLE);
    let mut trial = Trial::start();
    let always = topics(&trial.board);
    for name in ["bridge:all", "channel:all", EVERYTHING, "system", "channels", "bridges", "devices"] {
        assert!(always.iter().any(|topic| topic == name), "{name}: {always:?}");
    }
    let mut most = 0;
    for piece in stream.chunks(PIECE) {
        let _ = trial.board.feed(piece);
        most = most.max(topics(&trial.board).len());
    }
    assert!(most > 140, "up to 75 channels live at once, but of all there were {most} topics");
    // Devices and lines of the board do not end.
    let stays =
        |name: &String| !name.starts_with("devices/") && !name.starts_with("lines/") && name != "traffic/all";
    let left: Vec<_> = topics(&trial.board).into_iter().filter(stays).collect();
    assert_eq!(left, always);
    let source = trial.finish(&End::Complete).outcome.source;
    assert_eq!((source.channels, source.bridges), (756, 221));
    assert_eq!((source.strays, source.repeated, source.unnamed), (0, 0, 0));
}

/// Whoever cares for one call asks for that call's topic, before or after the call begins.
#[test]
fn one_call_can_be_listened_to_alone() {
    let stream = unpack(SIMPLE);
    let blocks = published(&stream);
    let id = blocks.iter().find(|block| block.name == "Newchannel").and_then(|block| block.get("Uniqueid"));
    let id = id.expect("a channel");
    let mut trial = Trial::start();
    let bus = trial.board.bus();
    let kinds = Kinds::of(bus).expect("types");
    let call = bus.topic(&format!("channel:{id}")).expect("a topic");
    let mut heard = call.subscription("one call").accept(&kinds.channel).stream().expect("a stream");
    trial.play(&stream, PIECE);
    heard.unsubscribe();
    let mut names = Vec::new();
    while let Some(received) = heard.recv().filter(|received| !received.is_final()) {
        let event = kinds.channel.read(received.message()).expect("what was asked for");
        assert_eq!(event.channel.uniqueid, id);
        let micros = event.at.map(|stamp| stamp.0.unsigned_abs());
        assert_eq!(Some(received.message().timestamp().as_nanos() / 1000), micros, "the event's own time");
        names.push(event.block.name.clone());
    }
    assert_eq!(names.first().map(String::as_str), Some("Newchannel"));
    assert_eq!(names.last().map(String::as_str), Some("Hangup"));
    trial.finish(&End::Complete);
}

/// What was published before the stop is handled by all; the rest of a block is nobody's fault.
#[test]
fn a_stop_in_the_middle_drains() {
    let stream = unpack(SIMPLE);
    let half = &stream[..stream.len() / 2 + 17];
    let mut trial = Trial::start();
    trial.play(half, PIECE);
    let made = trial.finish(&End::Interrupted);
    assert_eq!(made.outcome.source.faults, [""; 0]);
    let mut reader = Reader::new();
    reader.feed(half);
    let events = reader.filter(|packet| matches!(packet, Ok(Packet::Event(block)) if block.name != "Cdr"));
    assert_eq!(events.count() as u64, made.outcome.source.messages);
    let records = &made.outcome.records;
    assert!(records.open_channels > 0 && records.open_rows > 0);
    let rows = csv::read(SIMPLE_ROWS).expect("rows of Asterisk");
    let result = compare(&records.rows, &rows[..records.rows.len()]);
    assert!(result.equal + 4 >= result.rows, "those that are there are right: {:#?}", result.differences);
}
