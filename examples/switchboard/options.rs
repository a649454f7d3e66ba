//! The command line.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: switchboard [FILE.ami|FILE.ami.gz] [--out DIR]

Replays a recording of an Asterisk manager (AMI) event stream through the bus, and rebuilds the
call detail records (CDR) that Asterisk made of the same calls. Without FILE it takes the recording
that comes with it. If Master{X}.csv lies beside events{X}.ami, the rows are compared with it.

  --out DIR   writes cdr.csv, feed.ami, journal.jsonl and report.json there
  --help      prints this

Ctrl-C ends the replay: what was read is handled, and the summary follows. A second one ends at once.
";

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Replay(Options),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// None: the recording that comes with the program.
    pub(crate) file: Option<PathBuf>,
    pub(crate) out: Option<PathBuf>,
}

/// Why the command line makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    Unknown(OsString),
    NoFolder,
    TwoFolders,
    TwoFiles(OsString),
    EmptyName,
}

pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Mistake> {
    let (mut options, mut arguments) = (Options::default(), arguments.into_iter());
    let mut only_files = false;
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        match text.as_ref() {
            _ if only_files => options.set_file(argument)?,
            "--" => only_files = true,
            "--help" | "-h" => return Ok(Command::Help),
            "--out" => options.set_out(arguments.next())?,
            _ if text.starts_with("--out=") => options.set_out(after_equals(&argument))?,
            _ if text.starts_with('-') => return Err(Mistake::Unknown(argument)),
            _ => options.set_file(argument)?,
        }
    }
    Ok(Command::Replay(options))
}

/// A name that is not UTF-8 has to stand alone, after `--out`.
fn after_equals(argument: &OsStr) -> Option<OsString> {
    argument.to_str()?.strip_prefix("--out=").map(OsString::from)
}

impl Options {
    fn set_file(&mut self, name: OsString) -> Result<(), Mistake> {
        match &self.file {
            _ if name.is_empty() => return Err(Mistake::EmptyName),
            Some(_) => return Err(Mistake::TwoFiles(name)),
            None => self.file = Some(name.into()),
        }
        Ok(())
    }

    fn set_out(&mut self, name: Option<OsString>) -> Result<(), Mistake> {
        let name = name.filter(|name| !name.is_empty()).ok_or(Mistake::NoFolder)?;
        match self.out.replace(name.into()) {
            Some(_) => Err(Mistake::TwoFolders),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "unknown option {name:?}"),
            Self::NoFolder => f.write_str("--out needs the name of a folder"),
            Self::TwoFolders => f.write_str("--out is given twice"),
            Self::TwoFiles(name) => write!(f, "one recording at a time: {name:?} is one too many"),
            Self::EmptyName => f.write_str("the recording's name is empty"),
        }
    }
}

impl std::error::Error for Mistake {}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(arguments: &[&str]) -> String {
        match parse(arguments.iter().map(OsString::from)) {
            Ok(Command::Help) => "help".to_owned(),
            Ok(Command::Replay(Options { file, out })) => {
                let name = |path: Option<PathBuf>| path.map_or("-".into(), |path| path.display().to_string());
                format!("{} to {}", name(file), name(out))
            }
            Err(mistake) => mistake.to_string(),
        }
    }

    #[test]
    fn takes_a_file_and_a_folder_in_any_order() {
        assert_eq!(told(&[]), "- to -");
        assert_eq!(told(&["a.ami", "--out", "d"]), "a.ami to d");
        assert_eq!(told(&["--out=d", "a.ami"]), "a.ami to d");
        assert_eq!(told(&["--", "--out"]), "--out to -");
        assert_eq!(told(&["a.ami", "--help"]), "help");
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(told(&["--fast"]), "unknown option \"--fast\"");
        assert_eq!(told(&["-"]), "unknown option \"-\"");
        assert_eq!(told(&["--out"]), "--out needs the name of a folder");
        assert_eq!(told(&["--out="]), "--out needs the name of a folder");
        assert_eq!(told(&["--out", "a", "--out", "b"]), "--out is given twice");
        assert_eq!(told(&["a", "b"]), "one recording at a time: \"b\" is one too many");
        assert_eq!(told(&[""]), "the recording's name is empty");
    }
}
