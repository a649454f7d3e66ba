//! The run queue: the handshake between who pushes and who goes to sleep, and one turn for each job (T4).

use super::{Plain, Witness, explore};
use crate::dispatch::job::{After, Budget, Job, Ready, hold_itself};
use crate::dispatch::run_queue::{RunQueue, Standby, Woken};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Parker, thread};
use loom::thread::spawn;
use std::time::Duration;

/// A job that is over after so many runs. What it touches is plain: two runs at once, or two that are not ordered,
/// are an error.
struct Work {
    runs: Plain<usize>,
    wanted: usize,
}

impl Work {
    fn new(wanted: usize) -> Arc<Self> {
        let work = Arc::new(Self { runs: Plain::new(0), wanted });
        hold_itself(&work);
        work
    }

    fn ready(&self) -> Ready
    where
        Self: 'static,
    {
        // SAFETY: the turn is made here, once, and `new` made the job hold itself.
        unsafe { Ready::new(self) }
    }
}

impl Job for Work {
    unsafe fn run(&self, _: Budget) -> After {
        let runs = self.runs.write(|runs| {
            *runs += 1;
            thread::yield_now();
            *runs
        });
        if runs < self.wanted { After::Again } else { After::Ended }
    }
}

/// Runs one job once, as a worker does. True: it took one.
fn work(queue: &RunQueue) -> bool {
    let Some(job) = queue.pop() else { return false };
    if let Some((again, _)) = job.run(Budget::SHARED) {
        queue.push(again);
    }
    true
}

/// A worker that never leaves sleeps and works until it has run something.
fn work_once(queue: &RunQueue, seat: usize) {
    let parker = Parker::current();
    queue.sit(seat, &parker);
    while !work(queue) {
        let _ = queue.sleep(seat, &parker, None, || false);
    }
}

/// The only worker goes to sleep while a job is pushed: a lost wake-up would leave it there for ever.
#[test]
fn no_lost_wake_up() {
    explore(6, || {
        let queue = Arc::new(RunQueue::new(1));
        let workers = queue.clone();
        let worker = spawn(move || work_once(&workers, 0));
        let job = Work::new(1);
        queue.push(job.ready());
        let _ = queue.notify();
        worker.join().unwrap();
        assert_eq!(job.runs.read(|&runs| runs), 1);
    });
}

/// Two jobs, two workers that go to sleep, one `notify` for each: each worker gets one.
#[test]
fn two_sleepers_get_a_job_each() {
    explore(3, || {
        let queue = Arc::new(RunQueue::new(2));
        let workers: Vec<_> = (0..2)
            .map(|seat| {
                let queue = queue.clone();
                spawn(move || work_once(&queue, seat))
            })
            .collect();
        let jobs = [Work::new(1), Work::new(1)];
        for job in &jobs {
            queue.push(job.ready());
            let _ = queue.notify();
        }
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(jobs.iter().all(|job| job.runs.read(|&runs| runs) == 1));
    });
}

/// A worker whose sleep has a limit leaves only if nobody chose it: a job whose `notify` chose somebody is run.
#[test]
fn chosen_worker_looks_before_it_leaves() {
    static LEFT: Witness = Witness::new();
    static CHOSEN: Witness = Witness::new();
    explore(6, || {
        let queue = Arc::new(RunQueue::new(1));
        queue.set_standby(Standby::Asleep);
        let workers = queue.clone();
        let worker = spawn(move || {
            let parker = Parker::current();
            workers.sit(0, &parker);
            while !work(&workers) {
                if workers.sleep(0, &parker, Some(Duration::ZERO), || false) == Woken::TimedOut {
                    LEFT.see();
                    return;
                }
            }
        });
        let job = Work::new(1);
        queue.push(job.ready());
        let nobody_sleeps = queue.notify();
        worker.join().unwrap();
        if !nobody_sleeps {
            CHOSEN.see();
            assert_eq!(job.runs.read(|&runs| runs), 1, "chosen, and left");
        }
        while work(&queue) {}
    });
    assert!(LEFT.was_seen() && CHOSEN.was_seen());
}

/// Somebody wakes everybody for the end: `stay` is asked after the bit is set.
#[test]
fn wake_all_reaches_who_goes_to_sleep() {
    explore(6, || {
        let queue = Arc::new(RunQueue::new(1));
        let stopping = Arc::new(AtomicUsize::new(0));
        let (workers, told) = (queue.clone(), stopping.clone());
        let worker = spawn(move || {
            let parker = Parker::current();
            workers.sit(0, &parker);
            while told.load(Ordering::Acquire) == 0 {
                let _ = workers.sleep(0, &parker, None, || told.load(Ordering::Acquire) != 0);
            }
        });
        stopping.store(1, Ordering::Release);
        queue.wake_all();
        worker.join().unwrap();
    });
}

/// The standby goes to sleep while a job is pushed and no worker sleeps: as in `pool`, who is told to rouses it.
#[test]
fn standby_never_sleeps_on_a_job() {
    explore(6, || {
        let queue = Arc::new(RunQueue::new(1));
        queue.set_standby(Standby::Awake);
        let watched = queue.clone();
        let standby = Arc::new(std::sync::OnceLock::new());
        let named = standby.clone();
        let watcher = spawn(move || {
            let parker = Parker::current();
            named.set(parker.unparker()).unwrap();
            while watched.is_empty() {
                if watched.standby_may_sleep() {
                    parker.park(None);
                    watched.move_standby(Standby::Asleep, Standby::Awake);
                }
            }
            assert!(work(&watched));
        });
        let job = Work::new(1);
        queue.push(job.ready());
        if queue.notify() && queue.move_standby(Standby::Asleep, Standby::Awake) {
            standby.get().expect("it named itself before it slept").unpark();
        }
        watcher.join().unwrap();
        assert_eq!(job.runs.read(|&runs| runs), 1);
    });
}

/// A job that comes again and again is run by two workers, never at once, and each run sees the one before.
#[test]
fn job_is_run_by_one_worker_at_a_time() {
    explore(6, || {
        let queue = Arc::new(RunQueue::new(2));
        let job = Work::new(3);
        queue.push(job.ready());
        let other = queue.clone();
        let worker = spawn(move || while work(&other) {});
        while work(&queue) {}
        worker.join().unwrap();
        while work(&queue) {}
        assert_eq!(job.runs.read(|&runs| runs), 3);
    });
}
