//! Clocks: the wall for timestamps, a monotonic one for delays, and one that a user moves by hand.

use super::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Even a finer coarse clock is not asked about less.
const COARSE_LONG_NS: u64 = 2_000_000;

/// A clock moved by hand stands still after 292 years: what is reckoned from there is a time as well.
const MANUAL_END_NS: u64 = i64::MAX as u64;

/// What time it is, for one bus.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The machine's clocks.
    Real {
        /// Monotonic readings count from here.
        start: u64,
        /// The same moment on the coarse clock.
        coarse_start: u64,
        /// What the coarse clock can tell from nothing.
        tells_from: u64,
    },
    /// A clock that only `advance` moves; starts at zero.
    Manual {
        /// Nanoseconds.
        now: AtomicU64,
    },
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self::Real { start: exact_ns(), coarse_start: coarse_ns(), tells_from: 2 * coarse_step_ns() }
    }

    pub(crate) fn manual() -> Self {
        Self::Manual { now: AtomicU64::new(0) }
    }

    /// Nanoseconds since the bus was built. One read costs about 30 ns on a virtual machine; taken from an `Instant`, with a
    /// `Duration` in between, it is half as many instructions more.
    #[inline]
    pub(crate) fn monotonic_ns(&self) -> u64 {
        match self {
            Self::Real { start, .. } => exact_ns().saturating_sub(*start),
            Self::Manual { now } => now.load(Ordering::Relaxed),
        }
    }

    /// The same from the kernel's coarse clock: about 5 ns to read, moves in steps of 1 to 10 ms, and is
    /// up to one of them off, either way. Never 0, which stands for "not noted" where it is kept.
    #[inline]
    pub(crate) fn coarse_monotonic_ns(&self) -> u64 {
        match self {
            Self::Real { coarse_start, .. } => coarse_ns().saturating_sub(*coarse_start).max(1),
            Self::Manual { now } => now.load(Ordering::Relaxed).max(1),
        }
    }

    /// Whether a time between two readings of the coarse clock is more than its steps make of a short one: true for
    /// every time that was really longer than two steps (8 ms, as a rule), for none that was shorter than one.
    pub(crate) fn is_long(&self, coarse: u64) -> bool {
        match self {
            Self::Real { tells_from, .. } => coarse >= (*tells_from).max(COARSE_LONG_NS),
            Self::Manual { .. } => coarse >= COARSE_LONG_NS,
        }
    }

    /// Nanoseconds since 1970 from the kernel's coarse clock: a few nanoseconds to read, moves in steps of 1 to
    /// 10 ms.
    pub(crate) fn coarse_wall_ns(&self) -> u64 {
        match self {
            Self::Real { .. } => coarse_wall_ns(),
            Self::Manual { now } => now.load(Ordering::Relaxed),
        }
    }

    /// Nanoseconds since 1970, as exact as the machine can tell.
    pub(crate) fn exact_wall_ns(&self) -> u64 {
        match self {
            Self::Real { .. } => wall_ns(),
            Self::Manual { now } => now.load(Ordering::Relaxed),
        }
    }

    /// Moves a manual clock, at most to the end of its time; the machine's clocks cannot be moved.
    pub(crate) fn advance(&self, by: Duration) {
        if let Self::Manual { now } = self {
            let later = |now: u64| Some(now.saturating_add(nanoseconds(by)).min(MANUAL_END_NS));
            let _ = now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        }
    }
}

/// A point in time after which a wait gives up. `None`: never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// `limit` from now. Limits beyond what the clock can express never end.
    pub(crate) fn after(limit: Option<Duration>) -> Self {
        Self(limit.and_then(|limit| now().checked_add(limit)))
    }

    /// So much later, or so long from now if it has passed.
    pub(crate) fn extended(self, by: Duration) -> Self {
        Self(self.0.and_then(|end| end.max(now()).checked_add(by)))
    }

    /// What is left: `None` for ever, zero when it has passed.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(now()))
    }

    pub(crate) fn passed(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}

/// A reading of the machine's own clock, whichever clock the bus goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick(Instant);

impl Tick {
    pub(crate) fn now() -> Self {
        Self(now())
    }

    /// Nanoseconds from an earlier reading to this one.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        nanoseconds(self.0.saturating_duration_since(earlier.0))
    }

    /// Nanoseconds from this reading to now.
    pub(crate) fn age(self) -> u64 {
        Self::now().since(self)
    }
}

fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(not(all(test, bus_shuttle)))]
mod exact {
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    pub(super) fn now() -> Instant {
        Instant::now()
    }

    pub(super) fn wall_ns() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, super::nanoseconds)
    }
}

#[cfg(all(target_os = "linux", not(all(test, bus_shuttle))))]
mod system {
    use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

    pub(super) fn coarse_wall_ns() -> u64 {
        nanoseconds(clock_gettime(ClockId::RealtimeCoarse))
    }

    pub(super) fn exact_ns() -> u64 {
        nanoseconds(clock_gettime(ClockId::Monotonic))
    }

    pub(super) fn coarse_ns() -> u64 {
        nanoseconds(clock_gettime(ClockId::MonotonicCoarse))
    }

    pub(super) fn coarse_step_ns() -> u64 {
        nanoseconds(clock_getres(ClockId::MonotonicCoarse))
    }

    fn nanoseconds(time: Timespec) -> u64 {
        (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
    }
}

#[cfg(not(any(target_os = "linux", all(test, bus_shuttle))))]
mod system {
    use std::sync::OnceLock;
    use std::time::Instant;

    pub(super) fn coarse_wall_ns() -> u64 {
        super::wall_ns()
    }

    pub(super) fn exact_ns() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        super::nanoseconds(START.get_or_init(Instant::now).elapsed())
    }

    pub(super) use exact_ns as coarse_ns;

    pub(super) fn coarse_step_ns() -> u64 {
        0
    }
}

#[cfg(all(test, bus_shuttle))]
use super::imp::clock::{coarse_ns, coarse_step_ns, coarse_wall_ns, exact_ns, now, wall_ns};
#[cfg(not(all(test, bus_shuttle)))]
use {
    exact::{now, wall_ns},
    system::{coarse_ns, coarse_step_ns, coarse_wall_ns, exact_ns},
};
