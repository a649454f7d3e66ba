//! How a worker waits awake: with the run queue before its eyes, or with a turn in its hands as well.
//!
//! A worker that would spin *keeps the turn* of a mailbox that is the only one to get anything, one message at a time. Then
//! that is found where it lies: its publisher claims and writes a slot, passes on no turn, and wakes nobody; the worker
//! need not come to it by the lines of the run queue, nor by that of the tail, which it has not written.
//!
//! | worker | publisher, closer of that mailbox | others |
//! | --- | --- | --- |
//! | has found one message; the last runs were this mailbox's, and found no more; nothing else is ready; no references are owed; the seat is its own | | |
//! | says how far it has come: `settled` = c | | the shutdown: the tail's index is `settled`, so it is quiet |
//! | gives its processor away a few times, unless a worker sleeps that would come, then spins, for the time of a spin at most. Looks each time: slot c, or the spill? a reason to end, and CLOSED? a job in the run queue? to stop? | IDLE is down. Writes slot c; or sets the reason, then CLOSED | push a job and notify: who sleeps, or the standby |
//! | one of these, or the time is over: runs the mailbox | | |
//! | found nothing: IDLE, by compare-exchange with the tail; then takes the job, or sleeps without a second spin | cleared IDLE: has the turn, and passes it on | |
//!
//! The turn is what it is between two runs of a mailbox that is not done, so no word has a new rule: what is looked at here
//! are hints, and the run behind it, which ends at the tail, says whether anything is left.
//!
//! No user code runs while a turn is kept: a message's drop might wait for that very subscription. Others are seen as soon as
//! by a worker that has nothing, and who pushes them notifies as ever, so workers that sleep, and the standby, come. Giving
//! the turn up stands before them, a run that handles what this mailbox got meanwhile; so it is not kept at all where the runs
//! of others come in between. A worker that the system stops while it keeps a turn is waited for, as one that is stopped in
//! a handler is.

use super::pace::Round;
use super::{Pool, has_seat};
use crate::dispatch::job::Ready;
use crate::message::owed;
use crate::sync::time::Deadline;
use crate::sync::{hint, mutated, thread};
use std::time::Duration;

/// How often a worker without work gives the processor away, before it looks for some awake or sleeps. Where publishers
/// share its core, they get their whole slice, and a batch forms; a worker that sleeps at once is woken by every message,
/// before the next one is published, and one that spins keeps the core from who would bring it work.
const REST_YIELDS: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 4 };
/// Looks for each look at the clock.
const LOOKS: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 1 } else { 32 };
/// So many runs in a row were of the same mailbox, and found one message at most: nothing says that others get anything, or
/// that this one gets much.
const SINGLE: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 8 };

impl Pool {
    /// Looks for work for a while. True: there is some.
    pub(super) fn wait_awake(&self) -> bool {
        self.look_for(true, || !self.queue.is_empty())
    }

    /// Whether a worker that has just found little, in all that is ready, waits with the turn of the last one.
    pub(super) fn may_keep(&self, round: &Round) -> bool {
        let spins = !self.config.spin.is_zero();
        spins && round.is_single(SINGLE) && self.queue.is_empty() && has_seat() && owes_nothing()
    }

    /// Waits awake, with the turn of `job`.
    pub(super) fn wait_with(&self, job: &Ready, seat: usize, round: &mut Round) {
        let now = self.config.clock.coarse_monotonic_ns();
        if job.has_news() {
            return;
        }
        job.settle(now);
        self.shifts[seat].rest(now);
        let others = || !self.queue.is_empty() && !mutated!("pool.kept_queue");
        // A worker that sleeps could have had the message that comes while this one is away with the turn.
        round.in_vain = !self.look_for(!self.queue.has_sleepers(), || job.has_news() || others());
    }

    /// Gives the processor away a few times, if it may, and looks for the time of a spin. False: nothing came. It also ends,
    /// with true, when the pool is to stop.
    fn look_for(&self, may_give_way: bool, has_news: impl Fn() -> bool) -> bool {
        let has_news = || has_news() || (self.is_stopping() && !mutated!("pool.kept_stop"));
        (may_give_way && give_way(&has_news)) || look(&has_news, self.config.spin)
    }
}

/// Giving back is for who has no turn: it may run foreign code.
fn owes_nothing() -> bool {
    !owed::owes() || mutated!("pool.kept_owing")
}

fn give_way(has_news: &impl Fn() -> bool) -> bool {
    (0..REST_YIELDS).any(|_| {
        thread::yield_now();
        has_news()
    })
}

fn look(has_news: &impl Fn() -> bool, time: Duration) -> bool {
    if time.is_zero() {
        return false;
    }
    let until = Deadline::after(Some(time));
    loop {
        for _ in 0..LOOKS {
            if has_news() {
                return true;
            }
            hint::spin_loop();
        }
        if until.passed() {
            return false;
        }
    }
}
