//! Where the stream comes from: the recording that ships with the program, a file, or anything that
//! can be opened like one.

use crate::End;
use crate::cdr::csv;
use crate::cdr::row::Row;
use flate2::read::MultiGzDecoder;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

const SHIPPED: &[u8] = include_bytes!("recordings/events.ami.gz");
const SHIPPED_ROWS: &str = include_str!("recordings/Master.csv");
const SHIPPED_NAME: &str = "the recording that comes with it";

/// Most bytes of one piece.
const PIECE: usize = 64 * 1024;
/// Most pieces read ahead.
const PIECES_AHEAD: usize = 4;
/// How every gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A stream that is open, and nothing read of it yet.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) meter: Meter,
    bytes: Box<dyn Read + Send>,
}

/// How much of an input is read; to be looked at from elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    read: Arc<AtomicU64>,
    /// Not known of a pipe.
    size: Option<u64>,
}

/// What comes next.
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    End(End),
}

/// The pieces of an input, read ahead by a thread of their own. So the user can stop a program that
/// waits for input.
pub(crate) struct Pieces {
    next: Receiver<Piece>,
    stopper: Stopper,
}

#[derive(Clone)]
pub(crate) struct Stopper {
    stopped: Arc<AtomicBool>,
    wake: SyncSender<Piece>,
}

/// Why there is nothing to replay.
#[derive(Debug)]
pub(crate) enum InputError {
    Open(PathBuf, io::Error),
    Folder(PathBuf),
    Empty(PathBuf),
    Rows(PathBuf, Box<dyn std::error::Error>),
}

impl Input {
    /// The recording in that file, or the shipped one.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, InputError> {
        let Some(path) = file else {
            return Ok(Self::new(SHIPPED_NAME.to_owned(), Some(SHIPPED.len() as u64), SHIPPED));
        };
        let cannot = |error| InputError::Open(path.to_owned(), error);
        let about = std::fs::metadata(path).map_err(cannot)?;
        if about.is_dir() {
            return Err(InputError::Folder(path.to_owned()));
        }
        if about.is_file() && about.len() == 0 {
            return Err(InputError::Empty(path.to_owned()));
        }
        let name = path.display().to_string();
        if !about.is_file() {
            return Ok(Self::new(name, None, Late::Unopened(path.to_owned())));
        }
        let file = File::open(path).map_err(cannot)?;
        Ok(Self::new(name, Some(about.len()), file))
    }

    pub(crate) fn new(name: String, size: Option<u64>, bytes: impl Read + Send + 'static) -> Self {
        let meter = Meter { read: Arc::default(), size };
        let bytes = Box::new(Metered { bytes, read: meter.read.clone() });
        Self { name, meter, bytes }
    }

    /// Begins to read.
    pub(crate) fn start(self) -> io::Result<Pieces> {
        let (sender, next) = sync_channel(PIECES_AHEAD);
        let stopper = Stopper { stopped: Arc::default(), wake: sender.clone() };
        thread::Builder::new().name("input".to_owned()).spawn(move || {
            let end = read(self.bytes, &sender).map_or_else(End::Broken, |()| End::Complete);
            // Nobody takes it: the user has stopped the replay.
            let _ = sender.send(Piece::End(end));
        })?;
        Ok(Pieces { next, stopper })
    }
}

/// A pipe, opened when it is read: that may have to wait until somebody writes to it.
enum Late {
    Unopened(PathBuf),
    Open(File),
}

impl Read for Late {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Unopened(path) = self {
            *self = Self::Open(File::open(path)?);
        }
        match self {
            Self::Open(file) => file.read(buffer),
            Self::Unopened(_) => Ok(0),
        }
    }
}

/// Sends pieces until there are no more, or nobody takes them.
fn read(bytes: Box<dyn Read + Send>, pieces: &SyncSender<Piece>) -> io::Result<()> {
    let mut bytes = unpacked(bytes)?;
    let mut buffer = vec![0; PIECE];
    loop {
        match bytes.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                if pieces.send(Piece::Bytes(buffer[..count].to_vec())).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Goes by how the bytes begin, not by the file's name.
fn unpacked(mut bytes: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::new();
    bytes.by_ref().take(GZIP.len() as u64).read_to_end(&mut start)?;
    let is_packed = start == GZIP;
    let whole = Cursor::new(start).chain(bytes);
    Ok(if is_packed { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) })
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
    /// Per cent of what there is, if that is known.
    pub(crate) fn percent(&self) -> Option<u64> {
        let size = self.size.filter(|size| *size > 0)?;
        Some((self.read.load(Ordering::Relaxed).saturating_mul(100) / size).min(100))
    }
}

impl Pieces {
    /// The next piece, when it comes. After the user has stopped it nothing more comes.
    pub(crate) fn next(&self) -> Piece {
        if self.stopper.stopped.load(Ordering::SeqCst) {
            return Piece::End(End::Interrupted);
        }
        self.next.recv().unwrap_or(Piece::End(End::Complete))
    }

    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }
}

impl Stopper {
    /// True: it was stopped before.
    pub(crate) fn stop(&self) -> bool {
        let before = self.stopped.swap(true, Ordering::SeqCst);
        // If there is no room, a piece is there to wake the reader, who then looks at `stopped`.
        let _ = self.wake.try_send(Piece::End(End::Interrupted));
        before
    }
}

/// The rows that Asterisk wrote for `events{X}.ami` or `events{X}.ami.gz`: `Master{X}.csv` beside
/// it, if there is one.
pub(crate) fn asterisk_rows(file: Option<&Path>) -> Result<Option<Vec<Row>>, InputError> {
    let (path, text) = match file.map(rows_beside) {
        None => (PathBuf::from("Master.csv"), SHIPPED_ROWS.to_owned()),
        Some(Some(path)) if path.exists() => {
            let text = std::fs::read_to_string(&path);
            let cannot = |error: io::Error| InputError::Rows(path.clone(), error.into());
            (path.clone(), text.map_err(cannot)?)
        }
        Some(_) => return Ok(None),
    };
    match csv::read(&text) {
        Ok(rows) => Ok(Some(rows)),
        Err(fault) => Err(InputError::Rows(path, fault.into())),
    }
}

fn rows_beside(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let which = name.strip_prefix("events")?.strip_suffix(".ami")?;
    Some(file.with_file_name(format!("Master{which}.csv")))
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(path, why) => write!(f, "cannot open {}: {why}", path.display()),
            Self::Folder(path) => {
                write!(f, "{} is a folder; it takes a recording, FILE.ami or FILE.ami.gz", path.display())
            }
            Self::Empty(path) => write!(f, "{} is empty", path.display()),
            Self::Rows(path, why) => write!(f, "cannot compare with {}: {why}", path.display()),
        }
    }
}

impl std::error::Error for InputError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: Vec<u8>) -> (Vec<u8>, End) {
        let pieces = Input::new("test".into(), None, Cursor::new(bytes)).start().expect("a thread");
        let mut whole = Vec::new();
        loop {
            match pieces.next() {
                Piece::Bytes(bytes) => whole.extend(bytes),
                Piece::End(end) => return (whole, end),
            }
        }
    }

    #[test]
    fn packed_and_plain_streams_read_alike() {
        let (plain, end) = all(SHIPPED.to_vec());
        assert!(matches!(end, End::Complete), "{end:?}");
        assert_eq!(plain.len(), 6_099_447);
        assert_eq!(all(plain.clone()).0, plain);
        for short in [&b""[..], b"E", b"\x1f"] {
            assert_eq!(all(short.to_vec()).0, short);
        }
    }

    #[test]
    fn of_a_truncated_file_everything_is_read_up_to_the_cut() {
        let (part, end) = all(SHIPPED[..SHIPPED.len() / 2].to_vec());
        assert!(part.len() > 1_000_000);
        let End::Broken(error) = end else {
            panic!("{end:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_stop_wakes_who_waits_for_a_silent_input() {
        let (reader, _writer) = io::pipe().expect("a pipe");
        let pieces = Input::new("pipe".into(), None, reader).start().expect("a thread");
        let stopper = pieces.stopper();
        let waiting = thread::spawn(move || matches!(pieces.next(), Piece::End(End::Interrupted)));
        assert!(!stopper.stop());
        assert!(stopper.stop());
        assert!(waiting.join().expect("no panic"));
    }

    #[test]
    fn rows_are_expected_beside_the_recording() {
        let cases = [
            ("d/events.ami", Some("d/Master.csv")),
            ("d/events-rich.ami.gz", Some("d/Master-rich.csv")),
            ("events2.ami", Some("Master2.csv")),
            ("feed.ami", None),
            ("events.gz", None),
            ("..", None),
        ];
        for (file, rows) in cases {
            assert_eq!(rows_beside(Path::new(file)), rows.map(PathBuf::from), "{file}");
        }
    }
}
