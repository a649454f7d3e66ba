//! What a worker is doing and has done: written by the worker in that seat alone, read by anyone.

use crate::sync::Tally;
use std::time::Duration;

/// One seat's record. It goes on when another thread takes the seat.
#[derive(Default)]
pub(crate) struct Shift {
    /// The subscription it runs; 0: none.
    running: Tally,
    /// Since when, by the coarse clock.
    since: Tally,
    runs: Tally,
    busy: Tally,
    parks: Tally,
    woken: Tally,
}

/// A worker in the middle of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) seat: usize,
    pub(crate) subscription: u64,
    pub(crate) time: Duration,
}

/// A seat's record, read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShiftRead {
    pub(crate) running: Option<Running>,
    pub(crate) runs: u64,
    pub(crate) busy: Duration,
    pub(crate) parks: u64,
    pub(crate) woken: u64,
}

impl Shift {
    /// Somebody sits down here. Who sat here before may still be in a run, which counts up to now.
    pub(super) fn begin(&self, now: u64) {
        self.rest(now);
    }

    /// A run begins, and the one before is over: one look at the clock for both.
    #[inline]
    pub(super) fn run(&self, subscription: u64, now: u64) {
        self.run_over(now);
        self.since.set(now);
        self.running.set(subscription);
        self.runs.bump(1);
    }

    #[inline]
    fn run_over(&self, now: u64) {
        if self.running.get() != 0 {
            // Before it is counted: who looks in between has its time nowhere, and not twice.
            self.running.set(0);
            self.busy.bump(now.saturating_sub(self.since.get()));
        }
    }

    /// No work.
    pub(super) fn rest(&self, now: u64) {
        self.run_over(now);
    }

    /// Slept, and was chosen or not.
    pub(super) fn slept(&self, chosen: bool) {
        self.parks.bump(1);
        self.woken.bump(u64::from(chosen));
    }

    pub(super) fn running(&self, seat: usize, now: u64) -> Option<Running> {
        let subscription = self.running.get();
        let since = self.since.get();
        // A run that has just ended lends nobody its time.
        (subscription != 0 && self.running.get() == subscription).then(|| Running {
            seat,
            subscription,
            time: Duration::from_nanos(now.saturating_sub(since)),
        })
    }

    pub(super) fn read(&self, seat: usize, now: u64) -> ShiftRead {
        // Before the run that is under way, which may be over and counted by the time it is looked at.
        let busy = Duration::from_nanos(self.busy.get());
        let running = self.running(seat, now);
        let under_way = running.map_or(Duration::ZERO, |run| run.time);
        ShiftRead {
            running,
            runs: self.runs.get(),
            busy: busy + under_way,
            parks: self.parks.get(),
            woken: self.woken.get(),
        }
    }
}
