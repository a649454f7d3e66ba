//! Why the text of a configuration was refused.

use std::fmt;
use std::path::PathBuf;

/// Why the text of a configuration was refused: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigTextError {
    /// The file, if it came from one.
    pub file: Option<PathBuf>,
    /// The line, from 1; 0 if nothing could be read.
    pub line: usize,
    /// The column in that line, in characters, from 1; 0 if nothing could be read.
    pub column: usize,
    /// The field, with the tables it is in (`pool.grow_after`); empty if it is about the whole text.
    pub field: String,
    /// What is wrong with it.
    pub problem: ConfigProblem,
}

/// What is wrong with a field of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// The file cannot be read, or is no text of a bearable length.
    Unreadable(String),
    /// The text is no TOML.
    Syntax(String),
    /// There is no such field.
    Unknown {
        /// The field that was meant, if one is called nearly so.
        nearest: Option<String>,
        /// The fields there are in that table.
        known: &'static [&'static str],
    },
    /// The table lacks this field.
    Missing,
    /// The value is not allowed.
    Value {
        /// What it was, as it was written.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

impl fmt::Display for ConfigTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, field, problem } = self;
        if let Some(file) = file {
            write!(f, "{}: ", file.display())?;
        }
        if *line > 0 {
            write!(f, "line {line}, column {column}: ")?;
        }
        match problem {
            ConfigProblem::Unreadable(why) => f.write_str(why),
            ConfigProblem::Syntax(why) => write!(f, "no TOML: {}", why.escape_debug()),
            ConfigProblem::Unknown { nearest: Some(nearest), .. } => {
                write!(f, "{field} is unknown; did you mean {nearest}?")
            }
            ConfigProblem::Unknown { nearest: None, known } => {
                write!(f, "{field} is unknown; known are {}", known.join(", "))
            }
            ConfigProblem::Missing => write!(f, "{field} is missing"),
            ConfigProblem::Value { value, allowed } => write!(f, "{field} is {value}; allowed are {allowed}"),
        }
    }
}
