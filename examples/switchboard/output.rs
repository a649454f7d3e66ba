//! What is written: four files in a folder of the user's, or nothing.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A text being written. After its first error nothing more is written: what stands there is a
/// true beginning, and the error is told at the end. Items reach the file whole, so that lines are
/// complete even if the process is killed.
pub(crate) struct Sink {
    name: String,
    item: String,
    out: BufWriter<Box<dyn Write + Send>>,
    written: Written,
}

/// What became of a text.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// How often something was added.
    pub(crate) items: u64,
    /// Why it is incomplete, and which it is.
    pub(crate) error: Option<OutputError>,
}

/// One sink for each consumer.
pub(crate) struct ConsumerSinks {
    pub(crate) cdr: Sink,
    pub(crate) feed: Sink,
    pub(crate) journal: Sink,
}

pub(crate) struct Outputs {
    pub(crate) consumers: ConsumerSinks,
    pub(crate) report: Sink,
}

#[derive(Debug)]
pub(crate) enum OutputError {
    Folder(PathBuf, io::Error),
    Create(PathBuf, io::Error),
    Write(String, io::Error),
    /// The recording would be overwritten before it is read.
    IsInput(PathBuf),
}

impl Outputs {
    /// Makes the files in `folder`, so that what cannot be written is known before the work. Without
    /// a folder the consumers do the same and it goes nowhere.
    pub(crate) fn create(folder: Option<&Path>, inputs: &[PathBuf]) -> Result<Self, OutputError> {
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(|error| OutputError::Folder(folder.to_owned(), error))?;
        }
        let paths = ["cdr.csv", "feed.ami", "journal.jsonl", "report.json"]
            .map(|name| folder.map(|folder| folder.join(name)));
        for path in paths.iter().flatten() {
            inputs.iter().try_for_each(|input| refuse_input(path, input))?;
        }
        let [cdr, feed, journal, report] =
            paths.map(|path| path.map_or_else(|| Ok(Sink::nowhere()), Sink::create));
        let consumers = ConsumerSinks { cdr: cdr?, feed: feed?, journal: journal? };
        Ok(Self { consumers, report: report? })
    }
}

fn refuse_input(path: &Path, input: &Path) -> Result<(), OutputError> {
    match (input.canonicalize(), path.canonicalize()) {
        (Ok(input), Ok(output)) if input == output => Err(OutputError::IsInput(path.to_owned())),
        _ => Ok(()),
    }
}

impl Sink {
    pub(crate) fn new(name: impl Into<String>, out: impl Write + Send + 'static) -> Self {
        let out: Box<dyn Write + Send> = Box::new(out);
        let out = BufWriter::new(out);
        Self { name: name.into(), item: String::new(), out, written: Written::default() }
    }

    pub(crate) fn nowhere() -> Self {
        Self::new("nowhere", io::sink())
    }

    fn create(path: PathBuf) -> Result<Self, OutputError> {
        match File::create(&path) {
            Ok(file) => Ok(Self::new(path.display().to_string(), file)),
            Err(error) => Err(OutputError::Create(path, error)),
        }
    }

    pub(crate) fn write(&mut self, item: impl fmt::Display) {
        self.written.items += 1;
        if self.written.error.is_none() {
            self.item.clear();
            let _ = fmt::Write::write_fmt(&mut self.item, format_args!("{item}"));
            // In one call: the buffer is never cut inside of it.
            let result = self.out.write_all(self.item.as_bytes());
            self.note(result);
        }
    }

    /// Everything is on its way to the disk, or it says why not.
    pub(crate) fn finish(&mut self) -> Written {
        if self.written.error.is_none() {
            let result = self.out.flush();
            self.note(result);
        }
        std::mem::take(&mut self.written)
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.written.error = Some(OutputError::Write(self.name.clone(), error));
        }
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, why) => write!(f, "cannot make the folder {}: {why}", path.display()),
            Self::Create(path, why) => write!(f, "cannot write {}: {why}", path.display()),
            Self::Write(name, why) => write!(f, "{name} is incomplete: {why}"),
            Self::IsInput(path) => {
                write!(f, "{} is the recording itself; choose another folder", path.display())
            }
        }
    }
}

impl std::error::Error for OutputError {}
