//! How long messages wait in a mailbox and calls of its handler take: what is measured from its first message on.

use super::Mailbox;
use crate::stats::{DelaySample, HandlerTime, Timing};

/// Made by the first message that is measured, so that an idle mailbox stays small.
pub(super) struct Times {
    delay: DelaySample,
    handling: HandlerTime,
}

// Who times calls by their places comes to all of those.
const _: () = assert!(DelaySample::EVERY & HandlerTime::UNTIMED == 0);

impl Times {
    fn new() -> Self {
        Self { delay: DelaySample::new(), handling: HandlerTime::new() }
    }
}

impl Mailbox {
    fn times(&self) -> &Times {
        self.times.get_or_make(Times::new)
    }

    /// A message was accepted at `index`.
    #[inline(always)]
    pub(super) fn note_accepted(&self, index: u64, clock: impl FnOnce() -> u64) {
        if DelaySample::may_take(index) {
            self.times().delay.accepted(index, clock);
        }
    }

    /// So many messages were, from index `first` on.
    #[inline]
    pub(super) fn note_accepted_several(&self, first: u64, count: usize) {
        if DelaySample::may_take_of(first, count) {
            self.times().delay.accepted_several(first, count, || self.clock.monotonic_ns());
        }
    }

    /// The message at `index` is about to be handled.
    #[inline(always)]
    pub(super) fn note_reached(&self, index: u64) {
        if DelaySample::may_take(index)
            && let Some(times) = self.times.get()
        {
            times.delay.reached(index, || self.clock.monotonic_ns());
        }
    }

    /// A call is timed if its number, or its message's place in the ring, has none of these bits. By places that of a message
    /// whose delay may be measured always is: one reading tells when it was reached and when its call began.
    #[inline]
    pub(super) fn untimed(&self) -> u64 {
        self.times.get().map_or(HandlerTime::UNTIMED, |times| times.handling.untimed())
    }

    /// Times the call of that number.
    #[cold]
    pub(super) fn timed<R>(&self, number: u64, call: impl FnOnce() -> R) -> R {
        let clock = || self.clock.monotonic_ns();
        self.times().handling.timed(number, clock(), clock, call)
    }

    /// The message at `index` is about to be handled, by the call of that number, which is timed.
    #[cold]
    pub(super) fn reached_and_timed<R>(&self, index: u64, number: u64, call: impl FnOnce() -> R) -> R {
        let (times, clock) = (self.times(), || self.clock.monotonic_ns());
        let began = times.delay.reached(index, clock).unwrap_or_else(clock);
        times.handling.timed(number, began, clock, call)
    }

    /// A run took so long by the coarse clock.
    pub(super) fn note_long(&self, took: u64) {
        self.times().handling.ran_long(took);
    }

    /// The handler has been slow.
    pub(super) fn watch_handler(&self) {
        self.times().handling.watch();
    }

    /// Since when the message at `head` waits: at the earliest (0: nothing says so), and at the latest.
    pub(super) fn waits_since(&self, head: u64, now: u64) -> (u64, Option<u64>) {
        let ends =
            |times: &Times| (times.delay.waits_since(head, now), times.delay.waits_at_least_since(head, now));
        self.times.get().map_or((0, None), ends)
    }

    /// How long messages waited, how long calls took, and how many of those were slow.
    pub(super) fn read_times(&self) -> (Timing, Timing, u64) {
        let read = |times: &Times| (times.delay.read(), times.handling.read(), times.handling.slow());
        self.times.get().map(read).unwrap_or_default()
    }
}
