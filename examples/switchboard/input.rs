//! What comes in, piece by piece, from a thread of its own.

use crate::End;
use crate::rounds::Part;
use crate::stop::Stop;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Most bytes of one piece.
const PIECE: usize = 64 * 1024;
/// Most pieces read ahead.
const PIECES_AHEAD: usize = 4;

/// What comes next.
pub(crate) enum Piece {
    /// Another stream begins. What the last one left unfinished stays so.
    Begin(Part),
    /// Of several that are played at once, what follows is of that one.
    Turn(usize),
    Bytes(Vec<u8>),
    /// Of several, the one whose turn it is has ended.
    Over,
    /// The stream is cut here and will go on elsewhere: what lies between is missing.
    Cut,
    End(End),
}

/// How much of an input is read; to be looked at from elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    read: Arc<AtomicU64>,
    /// Not known of a pipe, nor of what goes on for ever.
    size: Option<u64>,
}

/// The pieces of an input, read ahead. So the user can stop a program that waits for input.
pub(crate) struct Pieces {
    next: Receiver<Piece>,
    stopper: Stopper,
}

/// Where the reading thread puts them.
pub(crate) struct Outlet {
    pieces: SyncSender<Piece>,
    /// For pauses of the reader's own.
    pub(crate) stop: Stop,
}

#[derive(Clone)]
pub(crate) struct Stopper {
    stop: Stop,
    wake: SyncSender<Piece>,
}

/// Nobody takes pieces any more: the user has stopped it all.
#[derive(Debug)]
pub(crate) struct NobodyListens;

impl Pieces {
    /// Begins to read: `read` runs in a thread until it knows how the input has ended.
    pub(crate) fn start(
        stop: Stop,
        read: impl FnOnce(&Outlet) -> Result<End, NobodyListens> + Send + 'static,
    ) -> io::Result<Self> {
        let (pieces, next) = sync_channel(PIECES_AHEAD);
        let stopper = Stopper { stop: stop.clone(), wake: pieces.clone() };
        thread::Builder::new().name("input".to_owned()).spawn(move || {
            let outlet = Outlet { pieces, stop };
            if let Ok(end) = read(&outlet) {
                let _ = outlet.send(Piece::End(end));
            }
        })?;
        Ok(Self { next, stopper })
    }

    /// The next piece, when it comes. After the user has stopped it nothing more comes.
    pub(crate) fn next(&self) -> Piece {
        if self.stopper.stop.is_said() {
            return Piece::End(End::Interrupted);
        }
        self.next.recv().unwrap_or(Piece::End(End::Complete))
    }

    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }
}

impl Outlet {
    /// Waits until there is room.
    pub(crate) fn send(&self, piece: Piece) -> Result<(), NobodyListens> {
        self.pieces.send(piece).map_err(|_| NobodyListens)
    }

    /// Sends all bytes that there are. The inner error is the reader's.
    pub(crate) fn send_all(&self, mut bytes: impl Read) -> Result<io::Result<()>, NobodyListens> {
        let mut buffer = vec![0; PIECE];
        loop {
            match bytes.read(&mut buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(count) => self.send(Piece::Bytes(buffer[..count].to_vec()))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

impl Stopper {
    /// True: it was stopped before.
    pub(crate) fn stop(&self) -> bool {
        let before = self.stop.say();
        // If there is no room, a piece is there to wake the reader, who then looks at `stop`.
        let _ = self.wake.try_send(Piece::End(End::Interrupted));
        before
    }
}

/// Counts what passes.
struct Metered<R> {
    bytes: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Meter {
    pub(crate) fn new(size: Option<u64>) -> Self {
        Self { read: Arc::default(), size }
    }

    /// Passes the bytes on and counts them.
    pub(crate) fn count(&self, bytes: impl Read) -> impl Read {
        Metered { bytes, read: self.read.clone() }
    }

    /// Per cent of what there is, if that is known.
    pub(crate) fn percent(&self) -> Option<u64> {
        let size = self.size.filter(|size| *size > 0)?;
        Some((self.read.load(Ordering::Relaxed).saturating_mul(100) / size).min(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_wakes_who_waits_for_a_silent_input() {
        let (reader, _writer) = io::pipe().expect("a pipe");
        let read = move |outlet: &Outlet| outlet.send_all(reader).map(|_| End::Complete);
        let pieces = Pieces::start(Stop::default(), read).expect("a thread");
        let stopper = pieces.stopper();
        let waiting = thread::spawn(move || matches!(pieces.next(), Piece::End(End::Interrupted)));
        assert!(!stopper.stop());
        assert!(stopper.stop());
        assert!(waiting.join().expect("no panic"));
    }

    #[test]
    fn a_reader_that_nobody_listens_to_ends() {
        let (ended, end) = sync_channel(1);
        let read = move |outlet: &Outlet| {
            let _ = ended.send(outlet.send_all(io::repeat(b'x')).is_err());
            Ok(End::Complete)
        };
        drop(Pieces::start(Stop::default(), read).expect("a thread"));
        // The stopper of a run that is over is gone with its pieces.
        assert!(end.recv().expect("it ends"));
    }
}
