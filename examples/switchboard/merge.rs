//! Several recordings at once: their blocks in the order of time, each counted from the begin of its own recording.
//!
//! Two switches that ran at different times are played as if they had run side by side. The order inside a recording is
//! its own, whatever its times say.

use crate::event::Stamp;
use crate::input::{NobodyListens, Outlet, Piece};
use std::io::{self, Read};

const PIECE: usize = 64 * 1024;
/// So much without an end of a block is taken as it is: it is none that anybody could read.
const LONGEST: usize = 1024 * 1024;
/// Line feed, carriage return, line feed.
const LONGEST_END: usize = 3;
const TIME: &[u8] = b"Timestamp:";

/// One recording, read as far as it is needed.
struct Strand<R> {
    bytes: R,
    /// What is read and not sent yet stands from `at` on.
    buffer: Vec<u8>,
    at: usize,
    /// So much of it has no end of a block.
    endless: usize,
    is_read: bool,
    /// The first time in it.
    begin: Option<i64>,
    /// Of the last block, from the begin.
    time: i64,
    /// Where the next block ends, and its time; None: nothing is left.
    next: Option<(usize, i64)>,
}

/// Sends all of them to their ends. The inner error is that of the first one that cannot be read.
pub(crate) fn send_all<R: Read>(
    recordings: impl IntoIterator<Item = R>,
    outlet: &Outlet,
) -> Result<io::Result<()>, NobodyListens> {
    let mut strands: Vec<_> = recordings.into_iter().map(Strand::new).collect();
    let mut sent = None;
    for strand in &mut strands {
        if let Err(error) = strand.look() {
            return Ok(Err(error));
        }
    }
    while let Some(index) = earliest(&strands) {
        let limit = strands.iter().enumerate().filter(|(other, _)| *other != index);
        let limit = limit.filter_map(|(_, strand)| strand.next.map(|(_, time)| time)).min();
        if sent.replace(index) != Some(index) {
            outlet.send(Piece::Turn(index))?;
        }
        match strands[index].take(limit.unwrap_or(i64::MAX)) {
            Ok(bytes) => outlet.send(Piece::Bytes(bytes))?,
            Err(error) => return Ok(Err(error)),
        }
        if strands[index].next.is_none() {
            outlet.send(Piece::Over)?;
        }
    }
    Ok(Ok(()))
}

fn earliest<R>(strands: &[Strand<R>]) -> Option<usize> {
    let times = strands.iter().enumerate().filter_map(|(index, strand)| Some((strand.next?.1, index)));
    times.min().map(|(_, index)| index)
}

impl<R: Read> Strand<R> {
    fn new(bytes: R) -> Self {
        Self {
            bytes,
            buffer: Vec::new(),
            at: 0,
            endless: 0,
            is_read: false,
            begin: None,
            time: 0,
            next: None,
        }
    }

    /// The next block, and those behind it that are read already and not later than `limit`.
    fn take(&mut self, limit: i64) -> io::Result<Vec<u8>> {
        let start = self.at;
        while let Some((end, time)) = self.next.take() {
            (self.at, self.time) = (end, time);
            self.next = self.found();
            if self.at - start >= PIECE || self.next.is_none_or(|(_, time)| time > limit) {
                break;
            }
        }
        let bytes = self.buffer[start..self.at].to_vec();
        self.look().map(|()| bytes)
    }

    /// Reads until a block is whole, or nothing comes any more.
    fn look(&mut self) -> io::Result<()> {
        while self.next.is_none() && !(self.is_read && self.at == self.buffer.len()) {
            if self.is_read || self.buffer.len() - self.at > LONGEST {
                (self.next, self.endless) = (Some((self.buffer.len(), self.time)), 0);
            } else {
                self.read()?;
                self.next = self.found();
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let before = self.buffer.len();
        let count = self.bytes.by_ref().take(PIECE as u64).read_to_end(&mut self.buffer)?;
        self.is_read = count == 0 && self.buffer.len() == before;
        Ok(())
    }

    /// The next block if it is whole. One that does not say its time has that of the one before, and time never goes back.
    fn found(&mut self) -> Option<(usize, i64)> {
        let rest = &self.buffer[self.at..];
        let Some(length) = length_of_block(rest, self.endless) else {
            self.endless = rest.len().saturating_sub(LONGEST_END);
            return None;
        };
        self.endless = 0;
        let Some(stamp) = time_of_block(&rest[..length]) else {
            return Some((self.at + length, self.time));
        };
        let begin = *self.begin.get_or_insert(stamp.0);
        Some((self.at + length, self.time.max(stamp.0 - begin)))
    }
}

/// With the empty line at its end, which is not in the first bytes.
fn length_of_block(bytes: &[u8], endless: usize) -> Option<usize> {
    let ends = bytes.iter().enumerate().skip(endless).filter(|(_, byte)| **byte == b'\n');
    let mut after = ends.map(|(at, _)| at + 1);
    after.find_map(|at| match bytes[at..] {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        _ => None,
    })
}

fn time_of_block(block: &[u8]) -> Option<Stamp> {
    let times = block.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(TIME));
    times.filter_map(|time| Stamp::parse(str::from_utf8(time).ok()?.trim())).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::End;
    use crate::event::tests::{RICH, SIMPLE, unpack};
    use crate::input::Pieces;
    use crate::stop::Stop;

    /// What is sent of each recording, in the order of sending.
    fn merged(recordings: Vec<Vec<u8>>) -> Vec<(usize, Vec<u8>)> {
        let read = move |outlet: &Outlet| {
            let recordings = recordings.iter().map(|bytes| &bytes[..]);
            send_all(recordings, outlet).map(|end| end.map_or_else(End::Broken, |()| End::Complete))
        };
        let pieces = Pieces::start(Stop::default(), read).expect("a thread");
        let (mut turn, mut sent) = (None, Vec::new());
        loop {
            match pieces.next() {
                Piece::Turn(index) => turn = Some(index),
                Piece::Bytes(bytes) => sent.push((turn.expect("a turn first"), bytes)),
                Piece::Over => sent.push((turn.expect("a turn first"), Vec::new())),
                Piece::End(End::Complete) => return sent,
                _ => panic!("nothing else"),
            }
        }
    }

    fn times(bytes: &[u8]) -> impl Iterator<Item = i64> {
        bytes.split(|byte| *byte == b'\n').filter_map(|line| Some(time_of_block(line)?.0))
    }

    #[test]
    fn each_recording_is_whole_and_all_are_in_the_order_of_time() {
        let recordings = vec![unpack(SIMPLE), unpack(RICH)];
        let begins: Vec<_> = recordings.iter().map(|bytes| times(bytes).next().expect("a time")).collect();
        let sent = merged(recordings.clone());
        let (mut now, mut turns) = (0, 0);
        for (index, bytes) in &sent {
            turns += 1;
            for time in times(bytes) {
                // The recordings themselves go back by three milliseconds.
                assert!(time - begins[*index] >= now - 3_000, "{time} of {index} after {now}");
                now = now.max(time - begins[*index]);
            }
        }
        assert!(turns > 300, "{turns}");
        for (index, bytes) in recordings.iter().enumerate() {
            let of = sent.iter().filter(|(of, _)| *of == index);
            assert!(of.clone().flat_map(|(_, bytes)| bytes).eq(bytes.iter()), "{index}");
            assert_eq!(of.filter(|(_, bytes)| bytes.is_empty()).count(), 1, "it is over once");
        }
    }

    #[test]
    fn what_is_no_recording_is_sent_all_the_same() {
        let noise = vec![b'x'; LONGEST + 5 * PIECE];
        for other in
            [&b""[..], b"\n", b"\r\n\r\n", b"Event: A\r\nTimestamp: 5.0\r\n\r\nTimestamp: never", &noise]
        {
            let sent = merged(vec![other.to_vec(), noise.clone()]);
            for (index, bytes) in [other, &noise].into_iter().enumerate() {
                let of = sent.iter().filter(|(of, _)| *of == index);
                assert!(of.flat_map(|(_, bytes)| bytes).eq(bytes.iter()), "{index}");
            }
        }
    }
}
