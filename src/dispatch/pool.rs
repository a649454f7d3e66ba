//! Worker threads.
//!
//! The first ready job starts the threads: the minimum of workers, and, below the maximum, one *standby*. The
//! standby sleeps until a job is pushed while no worker sleeps. Then it watches: if nothing was taken from the queue
//! for `grow_after` while work waits, it becomes a worker and starts the next standby. So handlers that block do
//! not stop others, noticed without a further publish, and load that keeps moving does not grow the pool.
//! A worker that was idle for `idle_timeout` leaves, down to the minimum, and starts a standby if there is none.
//! The standby runs no user code. So it is who looks at the clock for timed work (see `timer`): a pool that ever had some
//! keeps a standby even at its maximum.
//! A thread that the system refuses is counted, and asked for again by every job that becomes ready and finds nobody
//! asleep, by workers that come back, and by the shutdown.
//!
//! A worker that is about to wait for another subscription [hands its seat](hand_over) to a fresh thread and
//! leaves when it is done. So a pool of one worker makes progress through any chain of waits, and a worker never runs
//! one job on top of another.

mod awake;
mod figures;
mod pace;
mod standby;

use super::frames;
use super::job::{Budget, Ready, Soon};
use super::run_queue::{RunQueue, Standby, Woken};
use super::shift::Shift;
use super::threads::{self, ThreadKind, Threads};
use super::timer::Timer;
use crate::message::{home, owed};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::time::{Clock, Deadline};
use crate::sync::{Arc, CachePadded, Mutex, Parker, Unparker, local, mutated, thread};
use pace::Round;
use std::cell::RefCell;
use std::time::Duration;

/// Threads that wait without a seat, at most.
const SEATLESS_MAX: usize = 32;
/// A worker with nothing but a half-written job looks again after so long.
const BUSY_PAUSE: Duration = Duration::from_micros(50);

/// A worker that is never out of work settles what it owes after so many jobs.
const SETTLE_EVERY: u32 = 1024;

/// A system that refused a thread is asked again by the next job that finds nobody asleep; by workers after so long.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// What the pool was told to be.
pub(crate) struct PoolConfig {
    /// The bus's number: drops of values on a worker count as inside it.
    pub(crate) bus: u64,
    pub(crate) threads: Arc<Threads>,
    pub(crate) workers_min: usize,
    pub(crate) workers_max: usize,
    pub(crate) grow_after: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    /// How long a worker looks for work before it sleeps.
    pub(crate) spin: Duration,
    pub(crate) thread_name: String,
    pub(crate) clock: Arc<Clock>,
    /// Nobody starts; the user runs the queue.
    pub(crate) manual: bool,
}

pub(crate) struct Pool {
    config: PoolConfig,
    queue: RunQueue,
    timer: Timer,
    stopping: AtomicBool,
    seatless: AtomicUsize,
    /// By seat.
    shifts: Box<[CachePadded<Shift>]>,
    crew: Mutex<Crew>,
}

/// The threads there are.
#[derive(Default)]
struct Crew {
    /// A bit for every seat that is taken.
    seats: u64,
    threads: Vec<thread::JoinHandle<()>>,
    has_standby: bool,
    /// Set by the standby itself, before it sleeps for the first time.
    standby: Option<Unparker>,
    started: usize,
    refused: usize,
    /// Workers that became so because others were stuck, and workers that left after idling.
    grown: u64,
    shrunk: u64,
    /// Waits that found no thread to take the waiting worker's place.
    no_seat: u64,
    /// The system refused a thread: not before then do workers ask again.
    retry_at: Option<Deadline>,
}

/// No thread could take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSeat;

local! {
    /// The pool and seat of the calling worker.
    static SEAT: RefCell<Option<(Arc<Pool>, usize)>> = RefCell::new(None);
}

impl Pool {
    pub(crate) fn new(config: PoolConfig) -> Arc<Self> {
        let queue = RunQueue::new(config.workers_max);
        let shifts = (0..config.workers_max).map(|_| CachePadded::default()).collect();
        if config.manual {
            queue.set_standby(Standby::Absent);
        }
        Arc::new(Self {
            config,
            queue,
            timer: Timer::new(),
            stopping: AtomicBool::new(false),
            seatless: AtomicUsize::new(0),
            shifts,
            crew: Mutex::new(Crew::default()),
        })
    }

    /// Adds a ready job; [`flush`](Self::flush) follows when all are in.
    #[inline]
    pub(crate) fn push(&self, job: Ready) {
        self.queue.push(job);
    }

    /// Sees to it that somebody comes for what was pushed: one fence, at most one wake-up.
    #[inline]
    pub(crate) fn flush(self: &Arc<Self>) {
        if self.queue.notify() {
            self.rouse();
        }
    }

    /// Nobody sleeps: start what is missing, or tell the standby.
    #[cold]
    fn rouse(self: &Arc<Self>) {
        if self.queue.move_standby(Standby::Asleep, Standby::Awake) {
            if let Some(standby) = &self.crew.lock().standby {
                standby.unpark();
            }
        } else if self.queue.move_standby(Standby::Unstarted, Standby::Absent) {
            self.start();
        }
    }

    /// A worker that comes by for every job does not ask the system each time.
    fn was_refused_just_now(&self) -> bool {
        self.crew.lock().retry_at.is_some_and(|time| !time.passed())
    }

    /// Whoever is missing: all, at first; later those that the system refused.
    #[cold]
    fn start(self: &Arc<Self>) {
        let mut crew = self.crew.lock();
        // By number, not by seat: who has grown into another seat than the first ones is a worker like any other.
        let missing = self.config.workers_min.saturating_sub(crew.seats.count_ones() as usize);
        let free = (0..self.config.workers_max).filter(|seat| crew.seats & (1 << seat) == 0);
        for seat in free.take(missing).collect::<Vec<_>>() {
            self.start_worker(&mut crew, seat);
        }
        self.start_standby(&mut crew);
    }

    fn start_worker(self: &Arc<Self>, crew: &mut Crew, seat: usize) -> bool {
        let pool = self.clone();
        let started = self.start_thread(crew, ThreadKind::Worker(seat), move || pool.work(seat));
        if started {
            crew.seats |= 1 << seat;
        }
        started
    }

    fn start_thread(&self, crew: &mut Crew, kind: ThreadKind, body: impl FnOnce() + Send + 'static) -> bool {
        // Not joined: their thread-locals' drops are foreign code, and the crew is locked.
        crew.threads.retain(|thread| !thread.is_finished());
        let name = format!("{}-{}", self.config.thread_name, crew.started);
        match self.config.threads.spawn(kind, name, body) {
            Ok(handle) => {
                crew.started += 1;
                crew.threads.push(handle);
                true
            }
            Err(_) => {
                crew.refused += 1;
                crew.retry_at = Some(Deadline::after(Some(RETRY_AFTER)));
                false
            }
        }
    }

    // ---- a worker --------------------------------------------------------------------------------------------

    /// A worker's life, from taking `seat` to leaving it.
    fn work(self: Arc<Self>, seat: usize) {
        let parker = Parker::current();
        home::send_messages_home();
        let _owing = owed::Owing::begin();
        self.queue.sit(seat, &parker);
        self.shifts[seat].begin(self.config.clock.coarse_monotonic_ns());
        SEAT.with(|mine| *mine.borrow_mut() = Some((self.clone(), seat)));
        let mut round = Round::default();
        let (mut jobs, mut kept) = (0_u32, None);
        loop {
            match kept.take().or_else(|| self.take()) {
                Some(job) => kept = self.run(job, seat, &mut round),
                None if !self.rest(seat, &parker, &mut round) => break,
                None => {}
            }
            jobs = jobs.wrapping_add(1);
            if jobs.is_multiple_of(SETTLE_EVERY) {
                frames::enter(self.config.bus, 0, owed::settle);
            }
            if !has_seat() {
                debug_assert!(
                    kept.is_none(),
                    "no user code runs with a turn that is kept, so nobody handed the seat over"
                );
                // Handed over while a handler waited; whoever took it goes on.
                self.seatless.fetch_sub(1, Ordering::Relaxed);
                if !mutated!("pool.leave") {
                    self.flush();
                }
                return frames::enter(self.config.bus, 0, home::drop_dead);
            }
        }
        SEAT.with(|mine| mine.borrow_mut().take());
        frames::enter(self.config.bus, 0, home::drop_dead);
    }

    /// The calling thread is a worker of a pool that starts none, until that stops.
    #[cfg(bus_loom)]
    pub(crate) fn work_here(self: &Arc<Self>) {
        self.clone().work(0);
    }

    /// The next job, if there is one. If there are more, somebody else is to come for them.
    fn take(self: &Arc<Self>) -> Option<Ready> {
        let job = self.queue.pop()?;
        if !self.queue.is_empty() && self.queue.notify() && !self.was_refused_just_now() {
            self.rouse();
        }
        Some(job)
    }

    /// Runs it. `Some`: the job is still in hand, and is the next one to run.
    fn run(&self, job: Ready, seat: usize, round: &mut Round) -> Option<Ready> {
        round.meet(job.id());
        let now = self.config.clock.coarse_monotonic_ns();
        self.shifts[seat].run(job.id(), now);
        let Some((job, soon)) = job.run(Budget::SHARED.at(now)) else {
            round.busy = 0;
            return None;
        };
        round.note(soon);
        if round.busy > self.queue.len() {
            // Nothing but half-written jobs: let their writers have the processor.
            thread::sleep(BUSY_PAUSE);
        } else if round.thin > self.queue.len() {
            round.wait();
            if self.may_keep(round) {
                self.wait_with(&job, seat, round);
                return Some(job);
            }
        }
        self.queue.push(job);
        None
    }

    /// Nothing to do. False: this worker leaves.
    fn rest(self: &Arc<Self>, seat: usize, parker: &Parker, round: &mut Round) -> bool {
        if self.is_stopping() {
            return false;
        }
        self.shifts[seat].rest(self.config.clock.coarse_monotonic_ns());
        let has_waited = std::mem::take(&mut round.in_vain);
        if self.has_lost_seat(owed::settle) || (!has_waited && self.wait_awake()) {
            return true;
        }
        if self.has_lost_seat(home::drop_dead) {
            return true;
        }
        let woken = self.queue.sleep(seat, parker, self.config.idle_timeout, || self.is_stopping());
        self.shifts[seat].slept(woken == Woken::Look);
        match woken {
            Woken::Look => true,
            Woken::TimedOut => !self.leave(seat),
        }
    }

    /// Drops messages. True: a drop waited, and the seat is somebody else's.
    fn has_lost_seat(&self, drops: fn()) -> bool {
        frames::enter(self.config.bus, 0, drops);
        !has_seat()
    }

    /// Leaves the seat if the pool is above its minimum, and starts a standby if there is none.
    fn leave(self: &Arc<Self>, seat: usize) -> bool {
        let mut crew = self.crew.lock();
        if crew.seats.count_ones() as usize <= self.config.workers_min {
            return false;
        }
        crew.seats &= !(1 << seat);
        crew.shrunk += 1;
        self.start_standby(&mut crew);
        true
    }

    // ---- waiting and stopping --------------------------------------------------------------------------------

    fn is_stopping(&self) -> bool {
        // ORDERING(pool.stop): Relaxed, as in `stop`: nothing goes with it. The fence of `wake_all` makes it seen by who goes
        // to sleep, or that one be woken.
        self.stopping.load(Ordering::Relaxed)
    }

    /// Runs ready jobs, and what is due, on the calling thread until none is left (manual mode). Returns how many runs
    /// that took.
    pub(crate) fn run_until_idle(self: &Arc<Self>) -> usize {
        let mut runs = 0;
        while let Some(job) = self.next_job() {
            runs += 1;
            if let Some((job, soon)) = job.run(self.by_caller()) {
                self.queue.push(job);
                if soon == Soon::Busy {
                    thread::yield_now();
                }
            }
        }
        runs
    }

    fn next_job(self: &Arc<Self>) -> Option<Ready> {
        self.ring();
        self.queue.pop()
    }

    fn by_caller(&self) -> Budget {
        Budget::CALLER.at(self.config.clock.coarse_monotonic_ns())
    }

    /// Runs that one job, if it is ready, and leaves the others in their order (manual mode).
    pub(crate) fn run_only(&self, wanted: *const ()) {
        let mut found = None;
        for _ in 0..self.queue.len() {
            match self.queue.pop() {
                Some(job) if job.is(wanted) => found = Some(job),
                Some(job) => self.queue.push(job),
                None => break,
            }
        }
        if let Some((job, _)) = found.and_then(|job| job.run(self.by_caller())) {
            self.queue.push(job);
        }
    }

    /// How this bus starts threads.
    pub(crate) fn threads(&self) -> &Arc<Threads> {
        &self.config.threads
    }

    pub(super) fn timer(&self) -> &Timer {
        &self.timer
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.config.clock
    }

    pub(super) fn bus(&self) -> u64 {
        self.config.bus
    }

    pub(crate) fn is_manual(&self) -> bool {
        self.config.manual
    }

    /// Workers there are now.
    pub(crate) fn workers(&self) -> usize {
        self.crew.lock().seats.count_ones() as usize
    }

    /// Jobs that wait for a worker.
    pub(crate) fn ready(&self) -> usize {
        self.queue.len()
    }

    /// Asks every thread to leave once the queue is empty, and waits for them. Returns the names of those that did
    /// not leave in time; their threads are left behind.
    pub(crate) fn stop(self: &Arc<Self>, deadline: Deadline) -> Vec<String> {
        // ORDERING(pool.stop): Relaxed; pairs with `is_stopping`.
        self.stopping.store(true, Ordering::Relaxed);
        loop {
            self.queue.wake_all();
            let mut crew = self.crew.lock();
            if let Some(standby) = &crew.standby {
                standby.unpark();
            }
            let over: Vec<_> = crew.threads.extract_if(.., |thread| thread.is_finished()).collect();
            let left =
                (crew.threads.is_empty() || deadline.passed()).then(|| std::mem::take(&mut crew.threads));
            drop(crew);
            over.into_iter().for_each(thread::JoinHandle::join);
            if let Some(left) = left {
                self.abandon();
                return left.iter().map(thread::JoinHandle::name).collect();
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// What the standby pushed when the workers were leaving: nobody runs it any more. Mailboxes stay.
    fn abandon(&self) {
        for _ in 0..self.queue.len() {
            match self.queue.pop().map(Ready::abandon) {
                Some(Some(job)) => self.queue.push(job),
                Some(None) => {}
                None => return,
            }
        }
    }
}

/// Whether the calling worker has not handed its seat over.
fn has_seat() -> bool {
    SEAT.with(|mine| mine.borrow().is_some())
}

/// The calling thread is about to wait for another subscription: if it is a worker, somebody else takes its seat.
pub(crate) fn hand_over() -> Result<(), NoSeat> {
    if threads::in_pool_hook() {
        return Err(NoSeat);
    }
    let Some((pool, seat)) = SEAT.try_with(|mine| mine.borrow_mut().take()).ok().flatten() else {
        return Ok(());
    };
    let taken = pool.seatless.fetch_add(1, Ordering::Relaxed) < SEATLESS_MAX
        && (mutated!("pool.seat") || pool.start_worker(&mut pool.crew.lock(), seat));
    if taken {
        return Ok(());
    }
    pool.seatless.fetch_sub(1, Ordering::Relaxed);
    pool.crew.lock().no_seat += 1;
    SEAT.with(|mine| *mine.borrow_mut() = Some((pool, seat)));
    Err(NoSeat)
}
