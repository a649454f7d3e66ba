//! Clocks: the wall for timestamps, a monotonic one for delays, and one that a user moves by hand.

use super::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What time it is, for one bus.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The machine's clocks.
    Real {
        /// Monotonic readings count from here.
        start: Instant,
    },
    /// A clock that only `advance` moves; starts at zero.
    Manual {
        /// Nanoseconds.
        now: AtomicU64,
    },
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self::Real { start: Instant::now() }
    }

    pub(crate) fn manual() -> Self {
        Self::Manual { now: AtomicU64::new(0) }
    }

    /// Nanoseconds since the bus was built. One read costs about 30 ns on a virtual machine.
    pub(crate) fn monotonic_ns(&self) -> u64 {
        match self {
            Self::Real { start } => nanoseconds(start.elapsed()),
            Self::Manual { now } => now.load(Ordering::Relaxed),
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

    /// Moves a manual clock; the machine's clocks cannot be moved.
    pub(crate) fn advance(&self, by: Duration) {
        if let Self::Manual { now } = self {
            now.fetch_add(nanoseconds(by), Ordering::Relaxed);
        }
    }
}

/// A point in time after which a wait gives up. `None`: never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// `limit` from now. Limits beyond what the clock can express never end.
    pub(crate) fn after(limit: Option<Duration>) -> Self {
        Self(limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    /// So much later, or so long from now if it has passed.
    pub(crate) fn extended(self, by: Duration) -> Self {
        Self(self.0.and_then(|end| end.max(Instant::now()).checked_add(by)))
    }

    /// What is left: `None` for ever, zero when it has passed.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn passed(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}

fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanoseconds)
}

#[cfg(target_os = "linux")]
fn coarse_wall_ns() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::RealtimeCoarse);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

#[cfg(not(target_os = "linux"))]
fn coarse_wall_ns() -> u64 {
    wall_ns()
}
