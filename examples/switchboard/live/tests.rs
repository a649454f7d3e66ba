//! Against a manager played by a script: each connection is one scene, with a real login. Nothing waits longer than a minute.

use super::{Patience, follow};
use crate::ami::{Block, Packet, Reader};
use crate::event::tests::{RICH, unpack};
use crate::input::{Pieces, Stopper};
use crate::options::{Live, Secret};
use crate::stop::Stop;
use crate::tests::{Made, Trial};
use crate::{End, play};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const HUNG_AFTER: Duration = Duration::from_secs(60);
const SECRET: &str = "sesame";
const GREETING: &str = "Asterisk Call Manager/13.0.0\r\n";

// ---- the manager ---------------------------------------------------------------------------------------------------

/// What happens on one connection. After it the connection is closed.
type Scene = Box<dyn FnOnce(&mut Stage) + Send>;

/// The manager's end of a connection.
struct Stage {
    socket: TcpStream,
    reader: Reader,
}

impl Stage {
    fn say(&mut self, text: impl AsRef<[u8]>) {
        // Whoever is followed may be left.
        let _ = self.socket.write_all(text.as_ref());
    }

    /// None: the follower has gone.
    fn hear(&mut self) -> Option<Block> {
        let mut piece = [0; 1000];
        loop {
            match self.reader.next() {
                Some(Ok(Packet::Action(action))) => return Some(action),
                Some(other) => panic!("no action: {other:?}"),
                None => {}
            }
            match self.socket.read(&mut piece).expect("something is said in time") {
                0 => return None,
                count => self.reader.feed(&piece[..count]),
            }
        }
    }

    fn expect(&mut self, name: &str) -> Block {
        let action = self.hear().expect(name);
        assert_eq!(action.name, name);
        action
    }

    /// As a real manager does it: whether it was the right one.
    fn let_in(&mut self) -> bool {
        self.say(GREETING);
        let login = self.expect("Login");
        let id = login.get("ActionID").expect("an id").to_owned();
        let is_right = (login.get("Username"), login.get("Secret")) == (Some("u"), Some(SECRET));
        let (answer, message) = if is_right {
            ("Success", "Authentication accepted")
        } else {
            ("Error", "Authentication failed")
        };
        self.say(format!("Response: {answer}\r\nActionID: {id}\r\nMessage: {message}\r\n\r\n"));
        is_right
    }

    /// Says that these channels and no bridges are there.
    fn answer_roll_call(&mut self, channels: &[&str]) {
        let id = self.expect("CoreShowChannels").get("ActionID").expect("an id").to_owned();
        self.say(format!("Response: Success\r\nActionID: {id}\r\nEventList: start\r\n\r\n"));
        for channel in channels {
            self.say(format!("Event: CoreShowChannel\r\nActionID: {id}\r\nUniqueid: {channel}\r\n\r\n"));
        }
        self.say(format!("Event: CoreShowChannelsComplete\r\nActionID: {id}\r\nListItems: 1\r\n\r\n"));
        let id = self.expect("BridgeList").get("ActionID").expect("an id").to_owned();
        self.say(format!("Event: BridgeListComplete\r\nActionID: {id}\r\nListItems: 0\r\n\r\n"));
    }

    fn say_goodbye(&mut self) {
        self.say("Response: Goodbye\r\nMessage: bye\r\n\r\n");
    }
}

struct Manager {
    address: SocketAddr,
    /// How many scenes were played.
    thread: JoinHandle<usize>,
}

impl Manager {
    fn new(scenes: Vec<Scene>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let thread = thread::spawn(move || {
            let count = scenes.len();
            for scene in scenes {
                let (socket, _) = listener.accept().expect("a follower");
                socket.set_read_timeout(Some(HUNG_AFTER)).expect("a timeout");
                let mut stage = Stage { socket, reader: Reader::of_client() };
                scene(&mut stage);
                let _ = stage.socket.shutdown(Shutdown::Both);
            }
            count
        });
        Self { address, thread }
    }
}

fn scene(play: impl FnOnce(&mut Stage) + Send + 'static) -> Scene {
    Box::new(play)
}

/// Lets the follower in and says that.
fn told(stream: impl Into<Vec<u8>>) -> Scene {
    let stream = stream.into();
    scene(move |stage| {
        assert!(stage.let_in());
        stage.say(stream);
    })
}

// ---- the follower --------------------------------------------------------------------------------------------------

/// Nothing takes long.
fn impatient() -> Patience {
    Patience {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(10),
        ..Patience::default()
    }
}

struct Followed {
    end: End,
    made: Made,
    /// What the user was told meanwhile.
    told: String,
}

struct Follower {
    pieces: Pieces,
    told: Arc<Mutex<Vec<String>>>,
}

impl Follower {
    fn start(address: SocketAddr, secret: &str, patience: Patience) -> Self {
        let (host, secret) = (address.ip().to_string(), Secret(secret.to_owned()));
        let live = Live { host, port: address.port(), user: "u".to_owned(), secret };
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let tell = move |text: &str| heard.lock().expect("no panic").push(text.to_owned());
        let read = move |outlet: &_| follow(&live, &patience, tell, outlet);
        Self { pieces: Pieces::start(Stop::default(), read).expect("a thread"), told }
    }

    /// To its end.
    fn run(self, manager: Manager) -> Followed {
        let mut trial = Trial::start();
        let (ended, end) = channel::<()>();
        let watchdog = watch(self.pieces.stopper(), end);
        let end = play(&self.pieces, &mut trial.board);
        drop(ended);
        assert!(!watchdog.join().expect("no panic"), "hung; told: {:?}", self.told);
        manager.thread.join().expect("all scenes are played");
        let made = trial.finish(&end);
        let told = self.told.lock().expect("no panic").join("\n");
        Followed { end, made, told: told.replace(&manager.address.to_string(), "HOST") }
    }
}

/// Stops what hangs; whether it did.
fn watch(stopper: Stopper, end: Receiver<()>) -> JoinHandle<bool> {
    thread::spawn(move || {
        let is_hung = end.recv_timeout(HUNG_AFTER) == Err(RecvTimeoutError::Timeout);
        if is_hung {
            stopper.stop();
        }
        is_hung
    })
}

fn followed(scenes: Vec<Scene>, patience: Patience) -> Followed {
    let manager = Manager::new(scenes);
    Follower::start(manager.address, SECRET, patience).run(manager)
}

// ---- the tests -----------------------------------------------------------------------------------------------------

fn goodbye(mut stream: Vec<u8>) -> Vec<u8> {
    stream.extend_from_slice(b"Response: Goodbye\r\nMessage: bye\r\n\r\n");
    stream
}

#[test]
fn a_recording_comes_out_as_from_a_file() {
    let stream = unpack(RICH);
    let from_file = crate::tests::replay(&stream, stream.len());
    let Followed { end, made, told } = followed(vec![told(goodbye(stream))], impatient());
    assert!(matches!(end, End::Complete), "{end:?}");
    assert!(made.cdr == from_file.cdr && made.feed == from_file.feed && made.journal == from_file.journal);
    assert_eq!((made.outcome.source.cuts, told.as_str()), (0, "following the manager at HOST"));
}

#[test]
fn a_wrong_secret_is_tried_once() {
    let manager = Manager::new(vec![scene(|stage| assert!(!stage.let_in()))]);
    let Followed { end, told, .. } = Follower::start(manager.address, "guess", impatient()).run(manager);
    let End::Broken(error) = end else { panic!("{end:?}") };
    assert_eq!(error.to_string(), "the login as \"u\" is refused: Authentication failed");
    assert_eq!(told, "");
}

/// Cut in the middle of an event, again and again: each costs that one event, and nothing is joined to it.
#[test]
fn a_cut_costs_no_more_than_the_event_that_it_hits() {
    let stream = unpack(RICH);
    let text = String::from_utf8(stream).expect("UTF-8");
    let blocks: Vec<&str> = text.split_inclusive("\r\n\r\n").collect();
    // Not an answer key, and of no channel: then nobody has to be asked who is there.
    let is_hit = |block: &str| block.starts_with("Event: DeviceStateChange");
    let hit: Vec<usize> = (0..blocks.len()).filter(|&at| is_hit(blocks[at])).step_by(60).collect();
    assert!(hit.len() > 3, "{hit:?}");
    let mut scenes = Vec::new();
    let mut from = 0;
    for &at in &hit {
        let half = &blocks[at][..blocks[at].len() / 2];
        scenes.push(blocks[from..at].concat() + half);
        from = at + 1;
    }
    scenes.push(blocks[from..].concat());
    let last = scenes.len() - 1;
    let scenes = scenes.into_iter().enumerate().map(|(number, part)| {
        scene(move |stage| {
            assert!(stage.let_in());
            if number > 0 {
                // It is asked, and not answered: then nobody is gone.
                stage.expect("CoreShowChannels");
                stage.expect("BridgeList");
            }
            stage.say(part);
            if number == last {
                stage.say_goodbye();
            }
        })
    });
    let Followed { end, made, told } = followed(scenes.collect(), impatient());
    assert!(matches!(end, End::Complete), "{end:?}");

    let rest: Vec<&str> =
        blocks.iter().enumerate().filter(|(at, _)| !hit.contains(at)).map(|(_, block)| *block).collect();
    let expected = crate::tests::replay(rest.concat().as_bytes(), 1000);
    assert!(made.feed == expected.feed && made.cdr == expected.cdr);
    let source = &made.outcome.source;
    assert_eq!((source.cuts, source.stream.faults), (hit.len() as u64, hit.len() as u64));
    assert!(source.faults.iter().all(|fault| fault.contains("stream ends inside this block")), "{source:?}");
    assert_eq!(told.matches("the manager at HOST: the connection is closed; again in ").count(), hit.len());
    assert_eq!(told.matches("following the manager at HOST").count(), hit.len() + 1);
}

#[test]
fn who_is_gone_after_a_cut_ends_then() {
    let party = |id: &str| format!("Channel: X/{id}\r\nUniqueid: {id}\r\nChannelState: 6\r\n");
    let event = |name: &str, second: u32, rest: &str| {
        format!("Event: {name}\r\nTimestamp: {second}.000000\r\n{rest}\r\n")
    };
    let before = [
        event("Newchannel", 1, &party("a")),
        event("Newchannel", 2, &party("b")),
        event("Newchannel", 3, &party("c")),
        event("BridgeCreate", 3, "BridgeUniqueid: B\r\n"),
        event("BridgeEnter", 4, &(party("a") + "BridgeUniqueid: B\r\n")),
        event("BridgeEnter", 5, &(party("b") + "BridgeUniqueid: B\r\n")),
    ];
    // Its end comes before the answer: it is not taken for one that ended unseen.
    let ends = event("Hangup", 9, &(party("c") + "Cause: 16\r\n"));
    let later = event("Hangup", 20, &(party("b") + "Cause: 16\r\n"));
    let back = scene(move |stage| {
        assert!(stage.let_in());
        stage.say(ends);
        stage.answer_roll_call(&["b"]);
        stage.say(goodbye(later.into_bytes()));
    });
    let Followed { made, .. } = followed(vec![told(before.concat()), back], impatient());
    let source = &made.outcome.source;
    assert_eq!((source.cuts, source.unseen, source.strays), (1, 2, 0), "channel a and bridge B");
    let rows = &made.outcome.records.rows;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| format!("{}>{} {} {}", row.channel, row.other_channel, row.duration, row.disposition))
        .collect();
    assert_eq!(rows, ["X/c> 6 ANSWERED", "X/a>X/b 8 ANSWERED", "X/b> 3 ANSWERED"]);
    assert!(made.feed.contains("Event: Hangup\r\nUniqueid: a\r\nCause: 0\r\nCause-txt: ended unseen\r\n"));
    assert!(!made.feed.contains("CoreShowChannel"), "answers are no events");
}

#[test]
fn who_is_no_manager_is_tried_again_later() {
    let scenes = vec![
        scene(|_| {}),
        scene(|stage| stage.say("SSH-2.0-OpenSSH_9\r\n")),
        scene(|stage| stage.say("Asterisk Call")),
        scene(|stage| stage.say(GREETING)),
        scene(|stage| {
            stage.say(GREETING);
            assert_eq!(stage.hear().expect("a login").name, "Login");
        }),
        scene(|stage| {
            assert!(stage.let_in());
            stage.expect("CoreShowChannels");
            stage.say_goodbye();
        }),
    ];
    let Followed { end, made, told } = followed(scenes, impatient());
    assert!(matches!(end, End::Complete), "{end:?}");
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(told[1].contains("that is no manager: block begins neither as event nor response"), "{told:#?}");
    assert_eq!(told[5], "following the manager at HOST");
    // Half a greeting is not joined to the next one.
    assert_eq!(made.outcome.source.stream.faults, 1, "{:?}", made.outcome.source.faults);
}

#[test]
fn silence_is_not_waited_for_for_ever() {
    let patience = Patience {
        // The script has so long to answer.
        login: Duration::from_millis(1500),
        pong: Duration::from_millis(1500),
        silence: Duration::from_millis(50),
        ..impatient()
    };
    let listen = |stage: &mut Stage| while stage.hear().is_some() {};
    let scenes = vec![
        scene(move |stage| listen(stage)),
        scene(move |stage| {
            stage.say(GREETING);
            listen(stage);
        }),
        scene(move |stage| {
            assert!(stage.let_in());
            for _ in 0..3 {
                while stage.hear().expect("a sign of life is asked for").name != "Ping" {}
                stage.say("Response: Success\r\nPing: Pong\r\n\r\n");
            }
            listen(stage);
        }),
        scene(|stage| {
            assert!(stage.let_in());
            stage.say_goodbye();
        }),
    ];
    let Followed { end, told, .. } = followed(scenes, patience);
    assert!(matches!(end, End::Complete), "{end:?}");
    let why: Vec<&str> = told.lines().map(|line| line.split("; again").next().unwrap_or(line)).collect();
    let expected = [
        "the manager at HOST: it does not greet",
        "the manager at HOST: the login is not answered",
        "following the manager at HOST",
        "the manager at HOST: it is silent",
        "following the manager at HOST",
    ];
    assert_eq!(why, expected);
}

/// Also in the middle of a pause of an hour.
#[test]
fn the_user_can_stop_it_at_any_time() {
    let hour = Duration::from_secs(3600);
    let patience = Patience { first_pause: hour, longest_pause: hour, ..Patience::default() };
    let manager = Manager::new(vec![scene(|_| {})]);
    let follower = Follower::start(manager.address, SECRET, patience);
    let (stopper, told) = (follower.pieces.stopper(), follower.told.clone());
    thread::spawn(move || {
        while told.lock().expect("no panic").is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        stopper.stop();
    });
    let Followed { end, .. } = follower.run(manager);
    assert!(matches!(end, End::Interrupted), "{end:?}");
}
