//! Why metrics are not published at an interval.

use std::fmt;
use std::time::Duration;

/// Why no thread publishes metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObserveError {
    /// The interval is out of its range.
    Interval(Duration),
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
            Self::Thread(why) => write!(f, "metrics: no thread could be started: {why}"),
        }
    }
}
