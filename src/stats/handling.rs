//! How long handler calls take.
//!
//! A clock read costs as much as a delivery, so one call of 64 is timed. A handler found slow is *watched*: every call is
//! timed until a row of them was fast. And whoever ran it for a while, and saw the coarse clock move on by more than it
//! can for a short run, tells ([`HandlerTime::ran_long`]): so a slow call shows even if it is one of a million.
//!
//! | a call | stands for |
//! | --- | --- |
//! | timed | all calls since the one timed before |
//! | seen by the coarse clock only | itself |

use super::histogram::Histogram;
use super::timing::Timing;
use crate::sync::Tally;

/// One call of so many is timed.
const EVERY: u64 = 64;
/// A call that took longer makes the following ones be timed as well.
pub(crate) const SUSPECT_NS: u64 = 100_000;
/// So many of them.
const ROW: u64 = 16;
/// A call that took so long is counted as slow.
pub(crate) const SLOW_NS: u64 = 10_000_000;

/// The calls of one handler.
pub(crate) struct HandlerTime {
    times: Histogram,
    slow: Tally,
    /// How many calls more are timed one by one.
    watched: Tally,
    /// Calls before this one are accounted for.
    accounted: Tally,
}

impl HandlerTime {
    /// What [`untimed`](Self::untimed) says of a handler that was not found slow.
    pub(crate) const UNTIMED: u64 = EVERY - 1;

    pub(crate) const fn new() -> Self {
        Self { times: Histogram::new(), slow: Tally::new(), watched: Tally::new(), accounted: Tally::new() }
    }

    /// For calls that one thread at a time makes: a call is timed if its number, or what goes with it one by one, has none of
    /// these bits.
    #[inline]
    pub(crate) fn untimed(&self) -> u64 {
        if self.watched.get() == 0 { Self::UNTIMED } else { 0 }
    }

    /// Times the call at `seq`, which begins now.
    #[inline]
    pub(crate) fn timed<R>(
        &self,
        seq: u64,
        began: u64,
        clock: impl FnOnce() -> u64,
        call: impl FnOnce() -> R,
    ) -> R {
        let result = call();
        let took = clock().saturating_sub(began);
        // At most a whole stride: what was taken out of the queue by others was no call.
        let weight = (seq + 1).saturating_sub(self.accounted.get()).clamp(1, EVERY);
        self.accounted.set(seq + 1);
        self.times.record(took, weight);
        self.judge(took);
        result
    }

    fn judge(&self, took: u64) {
        match took > SUSPECT_NS {
            true => self.watched.set(ROW),
            false => self.watched.set(self.watched.get().saturating_sub(1)),
        }
        if took >= SLOW_NS {
            self.slow.bump(1);
        }
    }

    /// The handler has been slow: its next calls are timed.
    pub(crate) fn watch(&self) {
        self.watched.set(ROW);
    }

    /// A run took so long by the coarse clock. Unless its calls were timed one by one, one of them was slow.
    #[cold]
    pub(crate) fn ran_long(&self, took: u64) {
        if self.watched.get() == 0 {
            self.times.record(took, 1);
            self.accounted.bump(1);
            self.judge(took);
        }
    }

    // ---- calls that overlap ---------------------------------------------------------------------------------

    /// A call that stands for `weight` calls took so long. True: it was slow, and the next ones should be timed too.
    pub(crate) fn note_shared(&self, took: u64, weight: u64) -> bool {
        self.times.record_shared(took, weight);
        if took >= SLOW_NS {
            self.slow.add(1);
        }
        took > SUSPECT_NS
    }

    // ---- reading --------------------------------------------------------------------------------------------

    pub(crate) fn read(&self) -> Timing {
        self.times.read()
    }

    /// Calls noticed that took [`SLOW_NS`] or longer.
    pub(crate) fn slow(&self) -> u64 {
        self.slow.get()
    }
}

#[cfg(all(test, not(bus_loom)))]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;

    /// Calls `seq` as the owner of a mailbox does; it takes `took` on a clock that only calls move.
    fn call(times: &HandlerTime, now: &Cell<u64>, seq: u64, took: u64) {
        let handler = || now.set(now.get() + took);
        match seq & times.untimed() == 0 {
            true => times.timed(seq, now.get(), || now.get(), handler),
            false => handler(),
        }
    }

    #[test]
    fn one_call_of_64_is_timed_and_stands_for_the_others() {
        let (times, now) = (HandlerTime::new(), Cell::new(0));
        (0..=640).for_each(|seq| call(&times, &now, seq, 1_000));
        let read = times.read();
        assert_eq!((read.samples, read.count), (11, 641));
        assert_eq!(read.total, Duration::from_micros(641));
        assert_eq!(times.slow(), 0);
    }

    #[test]
    fn a_slow_handler_is_timed_call_by_call_until_it_is_fast_again() {
        let (times, now) = (HandlerTime::new(), Cell::new(0));
        (0..10).for_each(|seq| call(&times, &now, seq, 12_000_000));
        assert_eq!((times.read().samples, times.slow()), (10, 10));
        (10..100).for_each(|seq| call(&times, &now, seq, 1_000));
        let read = times.read();
        assert_eq!(read.samples, 10 + ROW + 1, "then one of 64 again");
        assert_eq!(read.max, Duration::from_millis(12));
    }

    #[test]
    fn a_slow_call_between_samples_is_noticed_by_who_ran_it() {
        let (times, now) = (HandlerTime::new(), Cell::new(0));
        (0..30).for_each(|seq| call(&times, &now, seq, 1_000));
        times.ran_long(18_000_000);
        assert_eq!((times.slow(), times.read().max), (1, Duration::from_millis(18)));
        (31..100).for_each(|seq| call(&times, &now, seq, 1_000));
        let read = times.read();
        assert_eq!(
            (read.count, read.p50 < Duration::from_micros(2)),
            (65, true),
            "it stood for itself alone"
        );
    }
}
