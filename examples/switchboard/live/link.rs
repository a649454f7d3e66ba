//! One connection to a manager.

use super::Patience;
use crate::ami::{Block, Packet, Reader};
use crate::input::{NobodyListens, Outlet, Piece};
use crate::options::Live;
use crate::roll_call;
use crate::wire::{is_pause, write_within};
use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Most bytes of one piece.
const PIECE: usize = 64 * 1024;
/// How often a silent connection is left to look at the time and at the user.
const TICK: Duration = Duration::from_millis(100);
/// So much of what came last is kept to see whether it was a goodbye.
const TAIL: usize = 512;
const LOGIN: &str = "switchboard-login";
const BLOCK_END: &[u8] = b"\r\n\r\n";

pub(super) struct Link<'a> {
    live: &'a Live,
    patience: &'a Patience,
    /// The follower was connected before.
    is_back: bool,
    socket: TcpStream,
    /// Reads along until the login is answered.
    reader: Reader,
    state: State,
    /// Something is sent on.
    has_sent: bool,
    opened: Instant,
    heard: Instant,
    /// A sign of life is asked for.
    has_asked: bool,
    tail: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come that a manager says first.
    Strange,
    /// The login is said.
    Greeted,
    LoggedIn,
}

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Lost {
    Over,
    Stopped,
    Refused(String),
    /// Nothing that came was sent on.
    Unheard(io::Error),
    Cut(io::Error),
}

impl<'a> Link<'a> {
    pub(super) fn open(live: &'a Live, patience: &'a Patience, is_back: bool) -> io::Result<Self> {
        let socket = connect(live, patience.connect)?;
        socket.set_read_timeout(Some(TICK))?;
        socket.set_nodelay(true)?;
        let now = Instant::now();
        Ok(Self {
            live,
            patience,
            is_back,
            socket,
            reader: Reader::new(),
            state: State::Strange,
            has_sent: false,
            opened: now,
            heard: now,
            has_asked: false,
            tail: Vec::new(),
        })
    }

    fn is_logged_in(&self) -> bool {
        self.state == State::LoggedIn
    }

    /// Sends everything on, from the greeting to the end of the connection.
    pub(super) fn follow(&mut self, outlet: &Outlet, on_login: impl Fn()) -> Result<Lost, NobodyListens> {
        let mut piece = vec![0; PIECE];
        loop {
            if outlet.stop.is_said() {
                let _ = self.say("Action: Logoff\r\n\r\n");
                return Ok(Lost::Stopped);
            }
            let was_logged_in = self.is_logged_in();
            let step = match (&self.socket).read(&mut piece) {
                Ok(0) => Err(self.closed()),
                Ok(count) => self.hear(&piece[..count]).map(|()| count),
                Err(error) if is_pause(&error) => Ok(0),
                Err(error) => Err(Lost::Cut(error)),
            };
            if self.is_logged_in() && !was_logged_in {
                on_login();
            }
            match step.and_then(|count| self.check_time().map(|()| count)) {
                Ok(0) => {}
                Ok(count) => {
                    self.has_sent = true;
                    outlet.send(Piece::Bytes(piece[..count].to_vec()))?;
                }
                Err(Lost::Cut(error)) if !self.has_sent => return Ok(Lost::Unheard(error)),
                Err(lost) => return Ok(lost),
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        (self.heard, self.has_asked) = (Instant::now(), false);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        let old = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..old);
        if self.is_logged_in() {
            return Ok(());
        }
        self.reader.feed(bytes);
        while let Some(packet) = self.reader.next() {
            match packet {
                Ok(Packet::Greeting(_)) if self.state == State::Strange => self.log_in()?,
                Ok(Packet::Response(block)) if block.get("ActionID") == Some(LOGIN) => {
                    return self.decide(&block);
                }
                Err(fault) if self.state == State::Strange => {
                    let why = format!("that is no manager: {}", fault.trouble);
                    return Err(Lost::Cut(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                // Who serves events at once, or sends some that are broken, is a manager all the same.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Name and secret are of one line: the command line takes no others.
    fn log_in(&mut self) -> Result<(), Lost> {
        self.state = State::Greeted;
        let (user, secret) = (&self.live.user, &self.live.secret.0);
        self.say(&format!(
            "Action: Login\r\nActionID: {LOGIN}\r\nUsername: {user}\r\nSecret: {secret}\r\nEvents: on\r\n\r\n"
        ))
    }

    fn decide(&mut self, answer: &Block) -> Result<(), Lost> {
        if answer.name != "Success" {
            return Err(Lost::Refused(answer.get("Message").unwrap_or(&answer.name).to_owned()));
        }
        self.state = State::LoggedIn;
        self.reader = Reader::new();
        if self.is_back { self.say(&roll_call::questions()) } else { Ok(()) }
    }

    fn check_time(&mut self) -> Result<(), Lost> {
        let silent = self.heard.elapsed();
        let late = |what: &str| Lost::Cut(io::Error::new(io::ErrorKind::TimedOut, what));
        match self.state {
            State::LoggedIn if silent > self.patience.silence && !self.has_asked => {
                self.has_asked = true;
                self.say("Action: Ping\r\n\r\n")
            }
            State::LoggedIn if silent > self.patience.silence + self.patience.pong => {
                Err(late("it is silent"))
            }
            State::Greeted if self.opened.elapsed() > self.patience.login => {
                Err(late("the login is not answered"))
            }
            State::Strange if self.opened.elapsed() > self.patience.login => Err(late("it does not greet")),
            _ => Ok(()),
        }
    }

    fn say(&self, text: &str) -> Result<(), Lost> {
        write_within(&self.socket, text.as_bytes(), self.patience.pong).map_err(Lost::Cut)
    }

    fn closed(&self) -> Lost {
        if is_goodbye(&self.tail) {
            return Lost::Over;
        }
        Lost::Cut(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection is closed"))
    }
}

fn connect(live: &Live, time: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (live.host.as_str(), live.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, time) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether the last block is one.
fn is_goodbye(tail: &[u8]) -> bool {
    let Some(text) = tail.strip_suffix(BLOCK_END) else {
        return false;
    };
    let start = text.windows(BLOCK_END.len()).rposition(|end| end == BLOCK_END);
    let block = start.map_or(text, |start| &text[start + BLOCK_END.len()..]);
    block.starts_with(b"Response: Goodbye")
}

#[cfg(test)]
mod tests {
    use super::is_goodbye;

    #[test]
    fn a_goodbye_is_the_last_block_and_complete() {
        let cases: [(&[u8], bool); 7] = [
            (b"Event: A\r\n\r\nResponse: Goodbye\r\nMessage: x\r\n\r\n", true),
            (b"Response: Goodbye\r\n\r\n", true),
            (b"Response: Goodbye\r\n\r\nEvent: A\r\n\r\n", false),
            (b"Response: Goodbye\r\n", false),
            (b"Event: A\r\nKey: Response: Goodbye\r\n\r\n", false),
            (b"\r\n\r\n", false),
            (b"", false),
        ];
        for (tail, is_so) in cases {
            assert_eq!(is_goodbye(tail), is_so, "{}", String::from_utf8_lossy(tail));
        }
    }
}
