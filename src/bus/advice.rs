//! What findings are called in a word, and what can be done about them: for those who show them to people.

use super::diagnosis::{Severity, Trouble};

impl Severity {
    /// In a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Trouble {
    /// Its kind in a word, and what can be done.
    pub(crate) fn advice(&self) -> (&'static str, &'static str) {
        match self {
            Self::Behind { .. } => (
                "behind",
                "More comes than it handles. Compare what its handler takes with what arrives; a burst goes by itself.",
            ),
            Self::Unread { .. } => {
                ("unread", "Whoever holds this stream does not read it: read it, or drop it.")
            }
            Self::Slow { .. } => (
                "slow",
                "Move what takes long (files, network, locks) out of its handler, take messages in batches, or give it a \
                 thread of its own (Dedicated).",
            ),
            Self::Stuck { .. } => (
                "stuck",
                "Its handler has not returned: find out what it waits for. Until then nothing in its queue moves.",
            ),
            Self::Blocked { .. } => (
                "blocked",
                "It is full, and its policy lets publishers wait: a faster handler, a larger capacity or another policy \
                 frees them.",
            ),
            Self::Losing(lost) if lost.total() == lost.conflated => {
                ("conflating", "Older messages give way to newer ones of their key, as its policy says.")
            }
            Self::Losing(_) => (
                "losing",
                "It was full, and its policy gives messages up. A faster handler or a larger capacity keeps them.",
            ),
            Self::Panics { .. } => (
                "panics",
                "Its handler panics; the message is passed over. What it said went to the panic hook of the process.",
            ),
            Self::NoWorkerFree { .. } => (
                "no_worker_free",
                "Everybody waits for slow handlers. Make those dedicated, or allow more workers.",
            ),
            Self::Unrouted(_) => (
                "unrouted",
                "Nobody listens where this was published: a subscriber is missing, or nobody wants it.",
            ),
            Self::Refused(_) => {
                ("refused", "These publishes went nowhere: their reports say so to whoever publishes.")
            }
            Self::ThreadsRefused(_) => ("threads_refused", "The system is at its limit of threads."),
            Self::Circles(_) => (
                "circles",
                "A handler would have waited for one that waits for it: publish without waiting there.",
            ),
        }
    }
}
