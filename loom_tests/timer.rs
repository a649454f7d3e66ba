//! Alarms: a time that is set against a standby that goes to sleep, and against whoever rings. The clock stands at zero, so
//! what is due at zero is due at once.

use super::{Plain, Witness, explore, pool, profile};
use crate::dispatch::latch::Latch;
use crate::dispatch::pool::{Pool, PoolConfig};
use crate::dispatch::threads::Threads;
use crate::dispatch::timer::Timed;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::time::{Clock, Deadline};
use crate::sync::{Arc, Weak};
use loom::thread::spawn;
use std::time::Duration;

/// Tells when it was rung.
struct Tells(Latch<()>);

impl Timed for Tells {
    fn ring(&self, _: u64) -> Option<u64> {
        self.0.set(());
        None
    }
}

fn threaded(workers_max: usize) -> Arc<Pool> {
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

fn rings_with_workers(workers_max: usize) {
    let pool = threaded(workers_max);
    // The threads start, find nothing, and are on their way to sleep.
    pool.flush();
    rings(&pool);
    assert!(pool.stop(Deadline::after(None)).is_empty());
}

fn rings(pool: &Arc<Pool>) {
    let work = Arc::new(Tells(Latch::new()));
    let weak = Arc::downgrade(&work);
    let alarm = pool.alarm(weak);
    alarm.set(0);
    work.0.wait(Deadline::after(None));
}

/// The standby goes to sleep while a time is set, and nobody pushes any job: it wakes up and rings.
#[test]
fn no_alarm_is_slept_through() {
    explore(2, || rings_with_workers(2));
}

/// A pool at its maximum has no standby: the first alarm brings one, whoever starts the threads meanwhile.
#[test]
fn full_pool_gets_a_standby_for_its_first_alarm() {
    explore(2, || rings_with_workers(1));
}

/// The same while somebody else starts the threads: who starts them sees that a time was set, or who sets it sees that there is no standby.
#[test]
fn first_alarm_against_the_start_of_a_full_pool() {
    explore(1, || {
        let pool = threaded(1);
        let theirs = pool.clone();
        let starts = spawn(move || theirs.flush());
        rings(&pool);
        starts.join().unwrap();
        assert!(pool.stop(Deadline::after(None)).is_empty());
    });
}

/// Notes what it finds done when it is rung; what it touches is plain, so two calls at once are an error.
struct Notes {
    done: AtomicUsize,
    found: Plain<usize>,
}

impl Timed for Notes {
    fn ring(&self, _: u64) -> Option<u64> {
        let done = self.done.load(Ordering::Relaxed);
        self.found.write(|found| *found = done);
        None
    }
}

/// Two threads ring while one of them sets the alarm again: each time that was set is followed by a run that sees what was
/// done before it, and no two runs overlap.
#[test]
fn time_set_while_ringing_rings_again() {
    static AGAIN: Witness = Witness::new();
    explore(3, || {
        let pool = pool();
        let work = Arc::new(Notes { done: AtomicUsize::new(0), found: Plain::new(0) });
        let weak = Arc::downgrade(&work);
        let alarm = pool.alarm(weak as Weak<dyn Timed>);
        alarm.set(0);
        let rung = pool.clone();
        let other = spawn(move || rung.run_until_idle());
        work.done.store(1, Ordering::Relaxed);
        alarm.set(0);
        let mut runs = pool.run_until_idle();
        runs += other.join().unwrap();
        runs += pool.run_until_idle();
        assert_eq!(work.found.read(|&found| found), 1, "set, and not rung afterwards");
        assert!(!alarm.is_set());
        if runs > 1 {
            AGAIN.see();
        }
    });
    assert!(AGAIN.was_seen());
}

/// Somebody rings for one alarm while another one is set: that one rings as well.
#[test]
fn time_set_while_another_one_rings() {
    explore(3, || {
        let pool = pool();
        let works = [(); 2].map(|()| Arc::new(Tells(Latch::new())));
        let [one, other] = works.each_ref().map(|work| {
            let weak = Arc::downgrade(work);
            pool.alarm(weak)
        });
        one.set(0);
        let rung = pool.clone();
        let rings = spawn(move || rung.run_until_idle());
        other.set(0);
        rings.join().unwrap();
        pool.run_until_idle();
        assert!(works.iter().all(|work| work.0.is_set()));
    });
}
