//! The thread that watches: whether the workers get on, and what is due.

use super::{Crew, Pool};
use crate::dispatch::run_queue::Standby;
use crate::dispatch::threads::ThreadKind;
use crate::sync::atomic::{Ordering, fence};
use crate::sync::{Arc, Parker, mutated};
use std::time::Duration;

impl Pool {
    /// If there is none, and the pool may still grow or has alarms.
    pub(super) fn start_standby(self: &Arc<Self>, crew: &mut Crew) {
        // ORDERING(run_queue.sleep): SeqCst fence; pairs with the one in `RunQueue::standby`: who sets the first alarm sees
        // the state before this, that there is none, and comes here; or its `is_used` is seen.
        fence(Ordering::SeqCst);
        let full = crew.seats.count_ones() as usize >= self.config.workers_max;
        // ORDERING(pool.stop): the crew's lock orders this against `stop`.
        let stopping = self.stopping.load(Ordering::Relaxed);
        if crew.has_standby || stopping || (full && !self.timer.is_used()) {
            return;
        }
        let pool = self.clone();
        crew.has_standby = self.start_thread(crew, ThreadKind::Standby, move || pool.stand_by());
        // Before the standby can say anything else: it takes the crew's lock first.
        self.queue.set_standby(match crew.has_standby {
            true => Standby::Awake,
            false => Standby::Unstarted,
        });
    }

    pub(super) fn stand_by(self: Arc<Self>) {
        let parker = Parker::current();
        self.crew.lock().standby = Some(parker.unparker());
        while !self.is_stopping() {
            self.ring();
            if self.queue.standby_may_sleep() {
                // Read after the state, as the table in `timer` has it.
                parker.park(self.until_due());
                self.queue.move_standby(Standby::Asleep, Standby::Awake);
            }
            if let Some(seat) = self.watch(&parker) {
                return self.work(seat);
            }
        }
        self.crew.lock().standby = None;
        self.queue.set_standby(Standby::Absent);
    }

    /// Watches the queue until it is empty (`None`) or stuck: then this thread has a seat.
    fn watch(self: &Arc<Self>, parker: &Parker) -> Option<usize> {
        let (mut before, mut watched) = (self.queue.taken(), Duration::ZERO);
        while !self.queue.is_empty() && !self.is_stopping() {
            watched += self.pause(parker, self.config.grow_after - watched);
            if watched < self.config.grow_after {
                continue;
            }
            let stuck = self.queue.taken() == before && !self.queue.is_empty();
            if stuck && !self.is_stopping() && !mutated!("pool.stuck") {
                if self.queue.has_sleepers() {
                    self.flush();
                } else if let Some(seat) = self.grow() {
                    return Some(seat);
                }
            }
            (before, watched) = (self.queue.taken(), Duration::ZERO);
        }
        None
    }

    /// Waits for `limit`, or until something is due. Returns how long that was to be.
    fn pause(self: &Arc<Self>, parker: &Parker, limit: Duration) -> Duration {
        let time = self.until_due().map_or(limit, |due| due.min(limit));
        parker.park(Some(time));
        self.ring();
        time
    }

    /// The standby takes a free seat and sees to its successor. `None`: there is none, as workers that the system had
    /// refused came after it, or it is there for the alarms alone.
    fn grow(self: &Arc<Self>) -> Option<usize> {
        let mut crew = self.crew.lock();
        let seat = crew.seats.trailing_ones() as usize;
        if seat >= self.config.workers_max {
            return None;
        }
        crew.seats |= 1 << seat;
        crew.grown += 1;
        (crew.has_standby, crew.standby) = (false, None);
        self.queue.set_standby(Standby::Absent);
        if !mutated!("pool.successor") {
            self.start_standby(&mut crew);
        }
        Some(seat)
    }

    // ---- alarms ----------------------------------------------------------------------------------------------

    /// Something is due earlier than the standby may know.
    #[cold]
    pub(in crate::dispatch) fn attend(self: &Arc<Self>) {
        if self.config.manual || self.is_stopping() {
            return;
        }
        match self.queue.standby() {
            Standby::Asleep | Standby::Unstarted => self.rouse(),
            // It looks before it sleeps.
            Standby::Awake => {}
            // The pool is full, or being filled.
            Standby::Absent => self.start_standby(&mut self.crew.lock()),
        }
    }

    fn until_due(&self) -> Option<Duration> {
        self.timer.left(|| self.config.clock.monotonic_ns())
    }

    /// Pushes what is due.
    pub(super) fn ring(self: &Arc<Self>) {
        let due = self.timer.ring(|| self.config.clock.monotonic_ns());
        if !due.is_empty() {
            due.into_iter().for_each(|job| self.push(job));
            self.flush();
        }
    }
}
