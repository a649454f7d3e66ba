//! How much of what somebody sent an error says again.

use std::fmt;

const BRIEF_CHARS: usize = 64;

/// As much of a refused text as an error repeats: it may be long, and from a stranger.
pub(crate) struct Brief<'a>(pub(crate) &'a str);

impl fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(BRIEF_CHARS) {
            None => fmt::Debug::fmt(self.0, f),
            Some((end, _)) => write!(f, "{:?}...", &self.0[..end]),
        }
    }
}
