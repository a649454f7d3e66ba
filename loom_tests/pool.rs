//! The pool with its threads: a standby that takes over from stuck workers, seats handed over, refusals aside. Threads
//! are loom's; time has always passed, so the standby sees "nothing was taken" whenever nothing was taken in one step of
//! its own.

use super::{Plain, Witness, explore, profile};
use crate::dispatch::job::{After, Budget, Job, Ready, hold_itself};
use crate::dispatch::latch::Latch;
use crate::dispatch::pool::{self, Pool, PoolConfig};
use crate::dispatch::threads::Threads;
use crate::sync::Arc;
use crate::sync::time::{Clock, Deadline};
use std::time::Duration;

fn pool(workers_max: usize) -> Arc<Pool> {
    Pool::new(PoolConfig {
        bus: 0,
        threads: Threads::new(0, profile().fence, None),
        clock: Arc::new(Clock::manual()),
        workers_min: 1,
        workers_max,
        grow_after: Duration::from_millis(1),
        idle_timeout: None,
        spin: Duration::ZERO,
        thread_name: String::new(),
        manual: false,
    })
}

/// A job: `code` says whether it is over.
struct Runs<F>(F);

impl<F: Fn() -> After + Send + Sync + 'static> Job for Runs<F> {
    unsafe fn run(&self, _: Budget) -> After {
        (self.0)()
    }
}

/// Pushes a job that runs once.
fn push(pool: &Arc<Pool>, code: impl Fn() + Send + Sync + 'static) {
    push_again(pool, move || {
        code();
        After::Ended
    });
}

fn push_again(pool: &Arc<Pool>, code: impl Fn() -> After + Send + Sync + 'static) {
    let job = Arc::new(Runs(code));
    hold_itself(&job);
    // SAFETY: its turn is made here, once, and it holds itself.
    pool.push(unsafe { Ready::new(&*job) });
    pool.flush();
}

fn stop(pool: &Arc<Pool>) {
    assert!(pool.stop(Deadline::after(None)).is_empty());
}

/// The only worker is in a job that waits for the next one, which was pushed before, during or after: somebody comes for
/// it, and nobody pushes any more.
#[test]
fn standby_takes_over_from_a_stuck_worker() {
    static GREW: Witness = Witness::new();
    explore(1, || {
        let pool = pool(2);
        let (done, data) = (Arc::new(Latch::new()), Arc::new(Plain::new(0)));
        let (waited, read) = (done.clone(), data.clone());
        push(&pool, move || {
            waited.wait(Deadline::after(None));
            read.read(|&value| assert_eq!(value, 1));
        });
        let set = done.clone();
        push(&pool, move || {
            data.write(|value| *value += 1);
            set.set(());
        });
        done.wait(Deadline::after(None));
        if pool.workers() == 2 {
            GREW.see();
        }
        stop(&pool);
    });
    assert!(GREW.was_seen());
}

/// Two workers are stuck in jobs that wait for a third one: the standby that becomes a worker has a successor, which does so
/// in its turn.
#[test]
fn pool_grows_while_its_workers_are_parked() {
    explore(0, || {
        let pool = pool(3);
        let done = Arc::new(Latch::new());
        for _ in 0..2 {
            let waited = done.clone();
            push(&pool, move || _ = waited.wait(Deadline::after(None)));
        }
        let set = done.clone();
        push(&pool, move || set.set(()));
        done.wait(Deadline::after(None));
        stop(&pool);
    });
}

/// One worker, which waits for another job as `publish_sync` and `join` do: its seat is taken by a fresh thread, once, and
/// it leaves when it is back.
#[test]
fn seat_is_handed_over_by_a_worker_that_waits() {
    explore(2, || {
        let pool = pool(1);
        let (done, over) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
        let (waited, ended) = (done.clone(), over.clone());
        push(&pool, move || {
            pool::hand_over().expect("a thread can be had");
            waited.wait(Deadline::after(None));
            ended.set(());
        });
        let set = done.clone();
        push(&pool, move || set.set(()));
        over.wait(Deadline::after(None));
        assert_eq!(pool.workers(), 1);
        stop(&pool);
    });
}

/// A job waits in its first run, for another one, and is to run again: who has lost its seat meanwhile passes it on, to a
/// worker that may be asleep by then, with all that it has done.
#[test]
fn job_of_who_has_lost_its_seat_runs_again() {
    explore(1, || {
        let pool = pool(1);
        let (done, over) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
        let (waited, ended, runs) = (done.clone(), over.clone(), Plain::new(0));
        push_again(&pool, move || match runs.write(|runs| std::mem::replace(runs, *runs + 1)) {
            0 => {
                pool::hand_over().expect("a thread can be had");
                waited.wait(Deadline::after(None));
                After::Again
            }
            _ => {
                ended.set(());
                After::Ended
            }
        });
        push(&pool, move || done.set(()));
        over.wait(Deadline::after(None));
        stop(&pool);
    });
}
