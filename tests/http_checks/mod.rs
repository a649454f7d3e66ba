//! A client that knows as little of HTTP as it can, so that it can be as rude as it likes.

#![allow(dead_code, clippy::disallowed_types, clippy::disallowed_methods)]

use stasis_bus::Bus;
use stasis_bus::http::Server;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// A bus without threads, and a server for it on a free port.
pub(crate) fn served() -> (Bus, Server) {
    let bus = Bus::builder().manual().build().unwrap();
    let server = Server::builder(&bus).listen("127.0.0.1:0").start().unwrap();
    (bus, server)
}

/// What is answered to a GET of `path` on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// What is answered to `request` on a connection of its own.
pub(crate) fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut client = Client::to(address);
    // It may be refused before it is all sent.
    client.try_send(request.as_bytes());
    client.answer()
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// Read, and not looked at yet.
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).unwrap(), read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn done_talking(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.read)
    }

    /// Reads on; false: that was all.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(bytes) => {
                self.read.extend_from_slice(&buffer[..bytes]);
                true
            }
        }
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = Answer::read(&self.read) {
                self.read.drain(..answer.bytes);
                return answer;
            }
            let text = String::from_utf8_lossy(&self.read).into_owned();
            assert!(self.more(), "no whole answer: {text:?}");
        }
    }

    /// Reads until `found` says what it was looking for in all that has come.
    pub(crate) fn until<R>(&mut self, found: impl Fn(&str) -> Option<R>) -> R {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(found) = found(&text) {
                return found;
            }
            assert!(self.more(), "not among what came: {text:?}");
        }
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// How long it was.
    bytes: usize,
}

impl Answer {
    /// The first one in `read`, if it is all there. Without a length it is all there is.
    pub(crate) fn read(read: &[u8]) -> Option<Self> {
        let head = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&read[..head]).ok()?;
        let mut lines = text.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let split =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: Vec<_> = lines.filter_map(split).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(read.len() - head);
        let body = read.get(head..head + length)?;
        let body = String::from_utf8(body.to_vec()).ok()?;
        Some(Self { status, headers, body, bytes: head + length })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
