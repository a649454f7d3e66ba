//! Writing to somebody who may not read.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Writes all of it in so much time altogether. A timeout of the socket alone would let a peer that takes a byte now
/// and then hold the writer for ever.
pub(crate) fn write_within(mut socket: &TcpStream, mut bytes: &[u8], time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    while !bytes.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_write_timeout(Some(left))?;
        match socket.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            // The usual kind of a timeout depends on the system.
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Nothing is wrong; it just took too long, or a signal came.
pub(crate) fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
