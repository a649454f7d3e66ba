//! Clients of every kind, over real connections. Nothing waits longer than a minute.

use super::{Limits, Served, Server};
use crate::End;
use crate::ami::{Block, Packet, Reader};
use crate::event::tests::{RICH, unpack};
use crate::tests::{Made, Trial};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const HUNG_AFTER: Duration = Duration::from_secs(60);
const PIECE: usize = 64 * 1024;

/// A client that reads when it is told to.
struct Guest {
    socket: TcpStream,
    reader: Reader,
}

impl Guest {
    fn new(server: &Server) -> Self {
        let mut guest = Self { socket: connect(server.address()), reader: Reader::new() };
        assert_eq!(guest.next(), Some(Packet::Greeting("13.0.0".to_owned())));
        guest
    }

    fn say(&mut self, lines: &[&str]) {
        let text = format!("{}\r\n\r\n", lines.join("\r\n"));
        self.socket.write_all(text.as_bytes()).expect("it is heard");
    }

    /// None: the connection is closed.
    fn next(&mut self) -> Option<Packet> {
        let mut piece = [0; 1000];
        loop {
            if let Some(packet) = self.reader.next() {
                return Some(packet.expect("no fault"));
            }
            match self.socket.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.reader.feed(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    fn answer(&mut self) -> Block {
        loop {
            match self.next() {
                Some(Packet::Response(block)) => return block,
                Some(Packet::Event(_)) => {}
                other => panic!("no answer: {other:?}"),
            }
        }
    }

    /// The answers until the connection is closed: name and message.
    fn last_words(mut self) -> Vec<String> {
        let packets = std::iter::from_fn(|| self.next());
        let said = packets.filter_map(|packet| match packet {
            Packet::Response(block) => Some(format!("{}: {}", block.name, block.get("Message")?)),
            _ => None,
        });
        said.collect()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(HUNG_AFTER)).expect("a timeout");
    socket.set_write_timeout(Some(HUNG_AFTER)).expect("a timeout");
    socket
}

fn serve(limits: Limits) -> (Trial, Server) {
    let trial = Trial::start();
    let address = "127.0.0.1:0".parse().expect("an address");
    let server = Server::start(trial.board.bus(), address, limits).expect("a server");
    (trial, server)
}

/// The server ends first, then the board: its own consumers have missed nothing.
fn finish(trial: Trial, server: Server) -> (Made, Served) {
    let served = server.finish();
    (trial.finish(&End::Complete), served)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < HUNG_AFTER, "{what}: never");
        thread::sleep(Duration::from_millis(1));
    }
}

impl Server {
    fn clients(&self) -> usize {
        self.shared.state().clients.len()
    }

    /// Whether nothing waits for that client. The first one is number 1.
    fn has_sent_all(&self, number: u64) -> bool {
        let state = self.shared.state();
        state.clients.get(&number).expect("it is there").subscription.stats().depth == 0
    }
}

#[test]
fn who_listens_gets_every_event_and_a_goodbye() {
    let (mut trial, server) = serve(Limits::default());
    let guests = [Guest::new(&server), Guest::new(&server)];
    let readers = guests.map(|mut guest| {
        thread::spawn(move || {
            let mut text = String::new();
            guest.socket.read_to_string(&mut text).expect("UTF-8 to the end");
            text
        })
    });
    trial.play(&unpack(RICH), PIECE);
    let (made, served) = finish(trial, server);
    for reader in readers {
        let goodbye = "Response: Goodbye\r\nMessage: the stream is over\r\n\r\n";
        let heard = reader.join().expect("no panic");
        assert!(heard == made.feed.clone() + goodbye, "{} of {} bytes", heard.len(), made.feed.len());
    }
    assert_eq!(served, Served { clients: 2, ..Served::default() });
}

#[test]
fn who_logs_in_is_answered_as_by_a_manager() {
    let (mut trial, server) = serve(Limits::default());
    let mut guest = Guest::new(&server);
    guest.say(&["Action: Login", "ActionID: 1", "Username: u", "Secret: s"]);
    guest.say(&["ACTION: login", "actionid: 2", "Username: u"]);
    guest.say(&["Action: Ping"]);
    guest.say(&["Action: Originate", "ActionID: 4"]);
    let answers = [(); 4].map(|()| guest.answer());
    let told = answers.each_ref().map(|answer| (answer.name.as_str(), answer.get("ActionID")));
    assert_eq!(told, [("Success", Some("1")), ("Error", Some("2")), ("Success", None), ("Error", Some("4"))]);
    assert_eq!(answers[2].get("Ping"), Some("Pong"));

    let stream = b"Event: Newchannel\r\nChannel: X/a\r\nUniqueid: a\r\nChannelState: 4\r\n\r\n\
        Event: Newchannel\r\nChannel: X/b\r\nUniqueid: b\r\nChannelState: 4\r\n\r\n\
        Event: Hangup\r\nChannel: X/b\r\nUniqueid: b\r\nChannelState: 4\r\nCause: 16\r\n\r\n\
        Event: BridgeCreate\r\nBridgeUniqueid: B\r\n\r\n";
    trial.play(stream, PIECE);
    guest.say(&["Action: CoreShowChannels", "ActionID: 5"]);
    guest.say(&["Action: BridgeList", "ActionID: 6"]);
    guest.say(&["Action: Logoff", "ActionID: 7"]);
    let mut told = Vec::new();
    while let Some(packet) = guest.next() {
        let (Packet::Event(block) | Packet::Response(block)) = packet else { panic!("{packet:?}") };
        let about = block.get("Uniqueid").or_else(|| block.get("BridgeUniqueid")).unwrap_or_default();
        told.push(format!("{} {about} {}", block.name, block.get("ActionID").unwrap_or_default()));
    }
    let expected = [
        "Newchannel a ",
        "Newchannel b ",
        "Hangup b ",
        "BridgeCreate B ",
        "Success  5",
        "CoreShowChannel a 5",
        "CoreShowChannelsComplete  5",
        "Success  6",
        "BridgeListItem B 6",
        "BridgeListComplete  6",
        "Goodbye  7",
    ];
    assert_eq!(told, expected, "events and answers are in one order");
    assert_eq!(finish(trial, server).1, Served { clients: 1, ..Served::default() });
}

#[test]
fn who_wants_no_events_gets_answers_only() {
    let (mut trial, server) = serve(Limits::default());
    let mut guest = Guest::new(&server);
    let mut heard = |said: &[&str], event: &str| {
        guest.say(said);
        let answer = guest.answer();
        trial.play(format!("Event: {event}\r\n\r\n").as_bytes(), PIECE);
        guest.say(&["Action: Ping"]);
        let events = std::iter::from_fn(|| match guest.next() {
            Some(Packet::Event(block)) => Some(block.name),
            _ => None,
        });
        (answer.name, events.collect::<Vec<_>>())
    };
    let off = heard(&["Action: Login", "Username: u", "Secret: s", "Events: off"], "A");
    assert_eq!(off, ("Success".to_owned(), Vec::new()));
    let on = heard(&["Action: Events", "EventMask: system,call"], "B");
    assert_eq!(on, ("Success".to_owned(), vec!["B".to_owned()]));
    assert_eq!(heard(&["Action: Events"], "C"), ("Error".to_owned(), vec!["C".to_owned()]));
    assert_eq!(heard(&["action: events", "eventmask: OFF"], "D"), ("Success".to_owned(), Vec::new()));
    finish(trial, server);
}

#[test]
fn who_makes_no_sense_is_told_so_and_closed() {
    let (trial, server) = serve(Limits::default());
    let cases: [(&[u8], &str); 5] = [
        (b"GET / HTTP/1.1\r\n\r\n", "block does not begin with its action: \"GET / HTTP/1.1\""),
        (b"\x16\x03\x01\0\r\n", "NUL in a line"),
        (b"Action: Ping\n\n", "LF without CR"),
        (&[b'x'; 3_000_000], "action longer than 16384 bytes"),
        (
            &b"Action: Ping\r\nKey: a longer value than most\r\n".repeat(10_000),
            "action longer than 16384 bytes",
        ),
    ];
    for (said, why) in cases {
        let mut guest = Guest::new(&server);
        // It may be closed before all is said.
        let _ = guest.socket.write_all(said);
        let _ = guest.socket.shutdown(Shutdown::Write);
        let last = guest.last_words();
        assert!(last.is_empty() || last == [format!("Error: {why}")], "{last:?}");
        // An answer to somebody who still talks can be lost on the way.
        assert!(!last.is_empty() || said.len() > 10_000, "{why}");
    }
    until("all are gone", || server.clients() == 0);
    assert_eq!(finish(trial, server).1, Served { clients: 5, senseless: 5, ..Served::default() });
}

#[test]
fn one_too_many_is_refused_until_somebody_leaves() {
    let (trial, server) = serve(Limits { clients: 2, ..Limits::default() });
    let guests = [Guest::new(&server), Guest::new(&server)];
    let refused = Guest { socket: connect(server.address()), reader: Reader::new() };
    assert_eq!(refused.last_words(), ["Error: too many clients"]);
    drop(guests);
    until("they are gone", || server.clients() == 0);
    let guest = Guest::new(&server);
    let (_, served) = finish(trial, server);
    assert_eq!(guest.last_words(), ["Goodbye: the stream is over"]);
    assert_eq!(served, Served { clients: 3, refused: 1, ..Served::default() });
}

/// One client does not read at all. It is closed; another one, and the board's own consumers, get everything.
#[test]
fn who_is_slow_is_closed_and_slows_nobody() {
    let stream = unpack(RICH);
    let (mut trial, server) = serve(Limits { waiting: 4096, ..Limits::default() });
    let slow = Guest::new(&server);
    let mut good = Guest::new(&server);
    let reader = thread::spawn(move || std::iter::from_fn(|| good.next()).last());
    // More than the queue and the buffers of the connection hold.
    let (mut rounds, start) = (0, Instant::now());
    while server.shared.state().served.slow == 0 {
        assert!(start.elapsed() < HUNG_AFTER, "the slow one is not found out");
        trial.play(&stream, PIECE);
        rounds += 1;
        until("the good one has it", || server.has_sent_all(2));
    }
    let (made, served) = finish(trial, server);
    assert_eq!(served, Served { clients: 2, slow: 1, ..Served::default() });
    assert_eq!(made.outcome.records.rows.len(), 82 * rounds);
    assert!(
        matches!(reader.join().expect("no panic"), Some(Packet::Response(block)) if block.name == "Goodbye")
    );
    drop(slow);
}

/// It reads all the time; but more comes at once than may wait for it.
#[test]
fn who_cannot_keep_up_gets_a_true_beginning_and_is_told() {
    let (mut trial, server) = serve(Limits { waiting: 4, ..Limits::default() });
    let mut guest = Guest::new(&server);
    let reader = thread::spawn(move || {
        let mut text = String::new();
        guest.socket.read_to_string(&mut text).expect("UTF-8 to the end");
        text
    });
    let start = Instant::now();
    while server.clients() > 0 {
        assert!(start.elapsed() < HUNG_AFTER, "it is not found out");
        trial.play(&unpack(RICH), PIECE);
    }
    let (made, served) = finish(trial, server);
    let heard = reader.join().expect("no panic");
    let told = "Response: Error\r\nMessage: too slow: some events have found no room\r\n\r\n";
    let events = heard.strip_suffix(told).expect("it is told");
    assert!(events.ends_with("\r\n\r\n") && made.feed.starts_with(events), "{} bytes", events.len());
    assert_eq!(served, Served { clients: 1, slow: 1, ..Served::default() });
}

/// The queue has room for all, but the client takes nothing.
#[test]
fn who_takes_nothing_does_not_hold_up_the_end() {
    let limits = Limits { waiting: 1 << 20, farewell: Duration::from_millis(200), ..Limits::default() };
    let (mut trial, server) = serve(limits);
    let mut guest = Guest::new(&server);
    let stream = unpack(RICH);
    // More than the buffers of the connection hold.
    let mut rounds = 0;
    while rounds < 5 || server.has_sent_all(1) {
        trial.play(&stream, PIECE);
        rounds += 1;
    }
    let (made, served) = finish(trial, server);
    assert_eq!(
        (served, made.outcome.records.rows.len()),
        (Served { clients: 1, slow: 1, ..Served::default() }, 82 * rounds)
    );
    while guest.next().is_some() {}
}
