//! What a pool tells of itself.

use super::Pool;
use crate::dispatch::shift::{Running, ShiftRead};
use crate::sync::atomic::Ordering;

/// What a pool tells of itself.
pub(crate) struct PoolRead {
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) workers: Vec<(usize, ShiftRead)>,
    pub(crate) standby: bool,
    pub(crate) started: usize,
    pub(crate) refused: usize,
    pub(crate) grown: u64,
    pub(crate) shrunk: u64,
    pub(crate) no_seat: u64,
    pub(crate) seatless: usize,
}

impl Pool {
    /// The threads, in figures.
    pub(crate) fn read(&self) -> PoolRead {
        let crew = self.crew.lock();
        let (seats, now) = (crew.seats, self.config.clock.coarse_monotonic_ns());
        let workers = (0..self.shifts.len()).filter(|seat| seats >> seat & 1 != 0);
        PoolRead {
            min: self.config.workers_min,
            max: self.config.workers_max,
            workers: workers.map(|seat| (seat, self.shifts[seat].read(seat, now))).collect(),
            standby: crew.has_standby,
            started: crew.started,
            refused: crew.refused,
            grown: crew.grown,
            shrunk: crew.shrunk,
            no_seat: crew.no_seat,
            seatless: self.seatless.load(Ordering::Relaxed),
        }
    }

    /// Workers in the middle of a run.
    pub(crate) fn running(&self) -> Vec<Running> {
        let now = self.config.clock.coarse_monotonic_ns();
        self.shifts.iter().enumerate().filter_map(|(seat, shift)| shift.running(seat, now)).collect()
    }
}
