//! How long a worker waits for batches to form.
//!
//! A worker that is faster than the publishers finds one message in every mailbox it looks into, and each look takes the
//! lines that the publishers are just writing away from them: the faster the worker, the slower the bus. So when it has
//! been round all ready mailboxes and found little in each, it waits a moment.
//!
//! | a round found, in each mailbox | waits |
//! | --- | --- |
//! | less than two messages on average: nothing says that more follow soon | [`LEAST`] |
//! | more, at a pace at which a batch of [`BATCH`] is there soon | until it should be there, [`MOST`] at most |
//! | more, at a slower pace | [`LEAST`] |
//! | a batch, or a quarter of what the mailbox holds | not at all |
//!
//! The pace is what came since the last wait began. A mailbox that is not done, or has found nothing, counts as no part of
//! a round.

use crate::dispatch::job::{PLENTY, Soon};
use crate::sync::hint;
use crate::sync::time::Tick;

/// Nanoseconds. Well below what a wake-up would take.
const LEAST: u64 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 2_500 };
const MOST: u64 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 4 * LEAST };
/// So many messages in each mailbox are waited for.
const BATCH: u64 = PLENTY as u64;

/// What a worker found in a row: with as many as there are ready jobs, it has been round.
#[derive(Default)]
pub(super) struct Round {
    /// Whose the last run was, and how many in a row, with it, found one message at most.
    last: u64,
    single: u32,
    /// It has waited awake with a turn, and nothing came.
    pub(super) in_vain: bool,
    pub(super) busy: usize,
    pub(super) thin: usize,
    /// Messages, in the thin runs.
    found: u64,
    /// When the last wait began and when it ended.
    waited: Option<(Tick, Tick)>,
}

impl Round {
    /// A run of that one's begins.
    pub(super) fn meet(&mut self, id: u64) {
        if self.last != id {
            (self.last, self.single, self.in_vain) = (id, 0, false);
        }
        self.single = self.single.saturating_add(1);
    }

    /// Whether this run and so many before it were of the same, and found one message at most.
    pub(super) fn is_single(&self, runs: u32) -> bool {
        self.single > runs
    }

    pub(super) fn note(&mut self, soon: Soon) {
        self.in_vain = false;
        if !matches!(soon, Soon::Thin(..=1)) {
            self.single = 0;
        }
        self.busy = if soon == Soon::Busy { self.busy + 1 } else { 0 };
        match soon {
            Soon::Now => (self.thin, self.found) = (0, 0),
            Soon::Thin(found) => (self.thin, self.found) = (self.thin + 1, self.found + u64::from(found)),
            Soon::Busy => {}
        }
    }

    /// It has been round and found little: keeps the processor until a batch may be there.
    pub(super) fn wait(&mut self) {
        let now = Tick::now();
        let (began, ended) = self.waited.unwrap_or((now, now));
        let time = time_to_wait(self.found, self.thin as u64, now.since(began), now.since(ended));
        while now.age() < time {
            for _ in 0..8 {
                hint::spin_loop();
            }
        }
        (self.busy, self.thin, self.found) = (0, 0, 0);
        self.waited = Some((now, Tick::now()));
    }
}

/// `found` messages in `runs` mailboxes since a wait that began `period` ago and ended `round` ago.
fn time_to_wait(found: u64, runs: u64, period: u64, round: u64) -> u64 {
    let enough = BATCH * runs;
    if found >= enough {
        return 0;
    }
    let per_batch = period.saturating_mul(enough) / found.max(1);
    match found >= 2 * runs && per_batch <= 2 * MOST {
        true => per_batch.saturating_sub(round).min(MOST),
        false => LEAST,
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;

    #[test]
    fn waits_for_a_batch_only_if_one_is_near() {
        assert_eq!(time_to_wait(4, 4, 1_000, 500), LEAST, "one in each: nothing says that more follow");
        assert_eq!(time_to_wait(4 * BATCH, 4, 1_000, 500), 0, "a batch is there");
        assert_eq!(time_to_wait(BATCH, 2, 3_000, 1_000), 5_000, "half a batch in 3 us, 1 us of it at work");
        assert_eq!(time_to_wait(4, 2, 1_000, 0), MOST);
        assert_eq!(time_to_wait(4, 2, 1_000_000, 0), LEAST, "a batch would take far too long");
        assert_eq!(time_to_wait(0, 1, u64::MAX, 0), LEAST);
    }
}
