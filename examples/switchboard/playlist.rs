//! The recordings to play, and how often: files, or the one that ships with the program.

use crate::End;
use crate::cdr::csv;
use crate::cdr::row::Row;
use crate::input::{Meter, NobodyListens, Outlet, Piece};
use crate::merge;
use crate::options::Rounds;
use crate::rounds::Part;
use flate2::read::MultiGzDecoder;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

const SHIPPED: &[u8] = include_bytes!("recordings/events.ami.gz");
const SHIPPED_ROWS: &str = include_str!("recordings/Master.csv");
const SHIPPED_NAME: &str = "the recording that comes with it";

/// How every gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What is played, and nothing read of it yet.
#[derive(Debug)]
pub(crate) struct Playlist {
    recordings: Vec<Recording>,
    rounds: Rounds,
    /// All at once, and not one after the other.
    is_together: bool,
    pub(crate) meter: Meter,
}

#[derive(Debug)]
enum Recording {
    Shipped,
    File(PathBuf),
    /// Opened when it is read: that may have to wait until somebody writes to it.
    Pipe(PathBuf),
}

/// The rows that Asterisk wrote for a recording, where there are any.
pub(crate) type Answers = Vec<Option<Vec<Row>>>;

/// Why there is nothing to replay.
#[derive(Debug)]
pub(crate) enum InputError {
    Open(PathBuf, io::Error),
    Folder(PathBuf),
    Empty(PathBuf),
    Once(PathBuf),
    Rows(PathBuf, Box<dyn std::error::Error>),
}

impl Playlist {
    /// Those files, or the shipped recording.
    pub(crate) fn open(files: &[PathBuf], rounds: Rounds) -> Result<Self, InputError> {
        let mut recordings = files.iter().map(|file| Recording::open(file)).collect::<Result<Vec<_>, _>>()?;
        if recordings.is_empty() {
            recordings.push((Recording::Shipped, Some(SHIPPED.len() as u64)));
        }
        let size = recordings.iter().map(|(_, size)| *size).sum::<Option<u64>>();
        let (recordings, _): (Vec<_>, Vec<_>) = recordings.into_iter().unzip();
        let again = recordings.iter().find(|recording| matches!(recording, Recording::Pipe(_)));
        match (again, rounds, size) {
            (Some(Recording::Pipe(path)), Rounds::Forever | Rounds::Times(2..), _) => {
                Err(InputError::Once(path.clone()))
            }
            (_, Rounds::Times(times), Some(size)) => {
                let meter = Meter::new(Some(size.saturating_mul(u64::from(times))));
                Ok(Self { recordings, rounds, is_together: false, meter })
            }
            _ => Ok(Self { recordings, rounds, is_together: false, meter: Meter::new(None) }),
        }
    }

    /// Whether all are played at once.
    pub(crate) fn together(self, is_together: bool) -> Self {
        Self { is_together, ..self }
    }

    /// The name of each recording.
    pub(crate) fn names(&self) -> Vec<String> {
        self.recordings.iter().map(ToString::to_string).collect()
    }

    /// Sends all recordings in all rounds. One that cannot be read to its end is the last.
    pub(crate) fn read(self, outlet: &Outlet) -> Result<End, NobodyListens> {
        for round in (1..).take_while(|round| self.rounds.has(*round)) {
            if self.is_together {
                outlet.send(Piece::Begin(Part { round, recording: 0 }))?;
                if let Err(error) = self.read_at_once(outlet)? {
                    return Ok(End::Broken(error));
                }
                continue;
            }
            for (index, recording) in self.recordings.iter().enumerate() {
                outlet.send(Piece::Begin(Part { round, recording: index }))?;
                let bytes = recording.bytes().and_then(|bytes| unpacked(self.meter.count(bytes)));
                let sent = match bytes {
                    Ok(bytes) => outlet.send_all(bytes)?,
                    Err(error) => Err(error),
                };
                if let Err(error) = sent {
                    return Ok(End::Broken(error));
                }
            }
        }
        Ok(End::Complete)
    }

    fn read_at_once(&self, outlet: &Outlet) -> Result<io::Result<()>, NobodyListens> {
        let open = |recording: &Recording| unpacked(self.meter.count(recording.bytes()?));
        match self.recordings.iter().map(open).collect::<io::Result<Vec<_>>>() {
            Ok(all) => merge::send_all(all, outlet),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl Recording {
    /// It, and its size in bytes if that is known.
    fn open(path: &Path) -> Result<(Self, Option<u64>), InputError> {
        let cannot = |error| InputError::Open(path.to_owned(), error);
        let about = std::fs::metadata(path).map_err(cannot)?;
        if about.is_dir() {
            return Err(InputError::Folder(path.to_owned()));
        }
        if !about.is_file() {
            return Ok((Self::Pipe(path.to_owned()), None));
        }
        if about.len() == 0 {
            return Err(InputError::Empty(path.to_owned()));
        }
        File::open(path).map_err(cannot)?;
        Ok((Self::File(path.to_owned()), Some(about.len())))
    }

    fn bytes(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Shipped => Box::new(SHIPPED),
            Self::File(path) | Self::Pipe(path) => Box::new(File::open(path)?),
        })
    }
}

/// Goes by how the bytes begin, not by the file's name.
fn unpacked<'a>(mut bytes: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    bytes.by_ref().take(GZIP.len() as u64).read_to_end(&mut start)?;
    let is_packed = start == GZIP;
    let whole = Cursor::new(start).chain(bytes);
    Ok(if is_packed { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) })
}

/// The rows for each recording: for `events{X}.ami` or `events{X}.ami.gz` those of `Master{X}.csv`
/// beside it, if there is one.
pub(crate) fn answers(files: &[PathBuf]) -> Result<Answers, InputError> {
    match files {
        [] => Ok(vec![Some(rows(Path::new("Master.csv"), SHIPPED_ROWS)?)]),
        _ => files.iter().map(|file| answer(file)).collect(),
    }
}

fn answer(file: &Path) -> Result<Option<Vec<Row>>, InputError> {
    let Some(path) = rows_beside(file).filter(|path| path.exists()) else {
        return Ok(None);
    };
    let text =
        std::fs::read_to_string(&path).map_err(|error| InputError::Rows(path.clone(), error.into()))?;
    rows(&path, &text).map(Some)
}

fn rows(path: &Path, text: &str) -> Result<Vec<Row>, InputError> {
    csv::read(text).map_err(|fault| InputError::Rows(path.to_owned(), fault.into()))
}

fn rows_beside(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let which = name.strip_prefix("events")?.strip_suffix(".ami")?;
    Some(file.with_file_name(format!("Master{which}.csv")))
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => f.write_str(SHIPPED_NAME),
            Self::File(path) | Self::Pipe(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(path, why) => write!(f, "cannot open {}: {why}", path.display()),
            Self::Folder(path) => {
                write!(f, "{} is a folder; it takes a recording, FILE.ami or FILE.ami.gz", path.display())
            }
            Self::Empty(path) => write!(f, "{} is empty", path.display()),
            Self::Once(path) => {
                write!(f, "{} is no file: it can be played in one round only", path.display())
            }
            Self::Rows(path, why) => write!(f, "cannot compare with {}: {why}", path.display()),
        }
    }
}

impl std::error::Error for InputError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Pieces;
    use crate::stop::Stop;

    /// What is sent of each part, and how it ended.
    fn all(playlist: Playlist) -> (Vec<(Part, Vec<u8>)>, End) {
        let pieces = Pieces::start(Stop::default(), move |outlet| playlist.read(outlet)).expect("a thread");
        let mut parts: Vec<(Part, Vec<u8>)> = Vec::new();
        loop {
            match pieces.next() {
                Piece::Begin(part) => parts.push((part, Vec::new())),
                Piece::Cut | Piece::Turn(_) | Piece::Over => {
                    panic!("recordings are whole, one after the other")
                }
                Piece::Bytes(bytes) => parts.last_mut().expect("a part").1.extend(bytes),
                Piece::End(end) => return (parts, end),
            }
        }
    }

    fn plain(bytes: &[u8]) -> (Vec<u8>, io::Result<usize>) {
        let mut whole = Vec::new();
        let end = unpacked(bytes).and_then(|mut bytes| bytes.read_to_end(&mut whole));
        (whole, end)
    }

    #[test]
    fn packed_and_plain_streams_read_alike() {
        let (whole, end) = plain(SHIPPED);
        assert_eq!((whole.len(), end.expect("all of it")), (6_099_447, 6_099_447));
        assert_eq!(plain(&whole).0, whole);
        for short in [&b""[..], b"E", b"\x1f"] {
            assert_eq!(plain(short).0, short);
        }
    }

    #[test]
    fn of_a_truncated_file_everything_is_read_up_to_the_cut() {
        let (part, end) = plain(&SHIPPED[..SHIPPED.len() / 2]);
        assert!(part.len() > 1_000_000);
        assert_eq!(end.expect_err("it is cut").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn every_round_is_the_same_from_its_begin() {
        let playlist = Playlist::open(&[], Rounds::Times(3)).expect("the shipped one");
        let meter = playlist.meter.clone();
        let (parts, end) = all(playlist);
        assert!(matches!(end, End::Complete), "{end:?}");
        let rounds: Vec<_> =
            parts.iter().map(|(part, bytes)| (part.round, part.recording, bytes.len())).collect();
        assert_eq!(rounds, [1, 2, 3].map(|round| (round, 0, 6_099_447)));
        assert!(parts.iter().all(|(_, bytes)| *bytes == parts[0].1));
        assert_eq!(meter.percent(), Some(100));
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_file_is_played_once() {
        let pipe = [PathBuf::from("/dev/null")];
        assert!(Playlist::open(&pipe, Rounds::Times(1)).is_ok());
        for rounds in [Rounds::Times(2), Rounds::Forever] {
            let error = Playlist::open(&pipe, rounds).expect_err("it cannot begin again").to_string();
            assert_eq!(error, "/dev/null is no file: it can be played in one round only");
        }
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
