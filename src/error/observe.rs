//! Why metrics are not given out as asked for.

use std::fmt;
use std::time::Duration;

/// Why metrics are not given out as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObserveError {
    /// The interval is out of its range.
    Interval(Duration),
    /// A label may not have that name.
    Label(String),
    /// The system refused to start the thread, in its words.
    Thread(String),
}

impl ObserveError {
    pub(crate) const SHORTEST: Duration = Duration::from_millis(10);
    pub(crate) const LONGEST: Duration = Duration::from_secs(86_400);
}

impl fmt::Display for ObserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval(interval) => write!(
                f,
                "metrics: the interval is {interval:?}, and may be {:?} to {:?}",
                Self::SHORTEST,
                Self::LONGEST
            ),
            Self::Label(name) => write!(
                f,
                "metrics: a label may not be named {name:?}: ASCII letters, digits and _, no digit and no __ first, each \
                 once, and none of the metrics' own"
            ),
            Self::Thread(why) => write!(f, "metrics: no thread could be started: {why}"),
        }
    }
}
