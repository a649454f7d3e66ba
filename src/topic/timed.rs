//! Which publishes are timed, and with them the inline handlers that they call.
//!
//! A clock read costs as much as a delivery: one publish of 64 on a topic is timed, not the first one, as a topic may have
//! but a few; and in it, one reading for each inline handler, for [`MOST`] of them. An inline handler found slow has its
//! topic *watched*: every walk that calls there is timed, with all handlers, until a row of them was fast. So it is when
//! all calls together took long and not each of them was timed.

use super::collect::Reached;
use super::following::{Around, Trail};
use super::walk::Walk;
use super::{Report, TopicCore};
use crate::mailbox::{Arrived, Inline};
use crate::message::Message;
use crate::stats::handling::SUSPECT_NS;
use crate::sync::time::Clock;
use std::cell::Cell;

/// One publish of so many is timed: the others go the faster ways.
pub(super) const EVERY: u64 = if cfg!(any(bus_shuttle, fuzzing)) { 3 } else { 64 };
/// So many walks are timed after one that was slow.
const ROW: u64 = 16;
/// So many inline handlers of a topic are timed in one walk; of more, others each time.
const MOST: usize = 8;

impl TopicCore {
    /// Whether the publish of this number is one of those timed.
    #[inline]
    pub(crate) fn times(&self, number: u64) -> bool {
        // A topic's number differs from run to run of a model, which has to be the same each time.
        !cfg!(bus_loom) && number.wrapping_add(self.id).is_multiple_of(EVERY)
    }

    /// A publish here took so long.
    pub(super) fn note_publish(&self, took: u64) {
        self.longest.raise(took);
        self.exchange.publishes.record_shared(took, EVERY);
    }

    /// Whether every walk is timed that calls here.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.watched.get() > 0
    }

    /// For the inline handlers of this topic, so many, if they are timed this time: by a walk that is, with that number.
    #[inline]
    pub(super) fn timing(&self, sampled: Option<u64>, handlers: usize) -> Option<InlineTiming<'_>> {
        let watched = self.is_watched();
        (watched || sampled.is_some())
            .then(|| InlineTiming::new(self, sampled.filter(|_| !watched), handlers))
    }
}

impl Walk<'_> {
    /// [`deliver`](Self::deliver), timed, by whose caller `ours` is guaranteed.
    #[cold]
    pub(super) fn deliver_timed(&self, reached: &[Reached], message: &Message, ours: usize) -> Report {
        let clock = &self.topic.exchange.clock;
        let began = clock.monotonic_ns();
        let report = match self.topic.exchange.follow(&self.topic.name, message) {
            None => self.hand_out(reached, message, ours),
            Some(trail) => self.hand_out_followed(reached, message, ours, trail),
        };
        self.topic.note_publish(clock.monotonic_ns().saturating_sub(began));
        self.topic.warm();
        report
    }

    /// In envelopes, for somebody who follows the message. `ours` is [`deliver`](Self::deliver)'s.
    fn hand_out_followed(
        &self,
        reached: &[Reached],
        message: &Message,
        ours: usize,
        trail: Box<dyn Trail>,
    ) -> Report {
        let awaited = self.around.and_then(|around| around.awaited.clone());
        let around = Around { awaited, trail: Some(trail) };
        let report = self.also_around(&around).hand_out(reached, message, ours);
        if let Some(trail) = around.trail {
            trail.returned(&report);
        }
        report
    }
}

/// One walk's calls of one topic's inline handlers.
pub(super) struct InlineTiming<'a> {
    topic: &'a TopicCore,
    clock: &'a Clock,
    /// Handlers that are timed: so many in a row, which may go on at the front, from that place on.
    first: usize,
    timed: usize,
    handlers: usize,
    weight: u64,
    slow: Cell<bool>,
    /// When the first call began, if not all are timed.
    began: Option<u64>,
    /// When the call before ended, if it was timed.
    last: Cell<Option<u64>>,
}

impl<'a> InlineTiming<'a> {
    /// Not sampled: watched.
    #[cold]
    fn new(topic: &'a TopicCore, sampled: Option<u64>, handlers: usize) -> Self {
        let (first, timed, weight) = match sampled {
            None => (0, handlers, 1),
            Some(_) if handlers <= MOST => (0, handlers, EVERY),
            Some(number) => {
                let first = (number / EVERY) as usize % handlers * MOST % handlers;
                (first, MOST, EVERY * handlers as u64 / MOST as u64)
            }
        };
        let clock = &topic.exchange.clock;
        let began = (timed < handlers).then(|| clock.monotonic_ns());
        let (slow, last) = (Cell::new(false), Cell::new(None));
        Self { topic, clock, first, timed, handlers, weight, slow, began, last }
    }

    /// Whether the handler at that place is timed.
    fn covers(&self, at: usize) -> bool {
        let since_first = if at < self.first { at + self.handlers - self.first } else { at - self.first };
        since_first < self.timed
    }

    /// Calls the handler at that place. Who follows the message hears of it, whether the call is timed or not.
    #[cold]
    pub(super) fn time(&self, at: usize, inline: &Inline, around: Option<&Around>, call: impl FnOnce()) {
        // Dropped when the handler has returned, also by a panic.
        let mut leg = around.and_then(Around::leg);
        if let Some(leg) = &mut leg {
            leg.arrived(inline.profile(), Arrived::Called);
            // Foreign code: not the handler's time.
            self.last.set(None);
        }
        if !self.covers(at) {
            self.last.set(None);
            return call();
        }
        let began = self.last.take().unwrap_or_else(|| self.clock.monotonic_ns());
        call();
        let ended = self.clock.monotonic_ns();
        self.last.set(Some(ended));
        if inline.handling().note_shared(ended.saturating_sub(began), self.weight) {
            self.slow.set(true);
        }
    }

    /// Whether one of those that are not timed may be slow.
    fn took_long(&self) -> bool {
        self.began.is_some_and(|began| self.clock.monotonic_ns().saturating_sub(began) > SUSPECT_NS)
    }
}

impl Drop for InlineTiming<'_> {
    fn drop(&mut self) {
        // Two walks may do this at once: then a row is a little shorter.
        let watched = &self.topic.watched;
        watched.set(if self.slow.get() || self.took_long() { ROW } else { watched.get().saturating_sub(1) });
    }
}
