//! Which publishes are timed, and with them the inline handlers that they call.
//!
//! A clock read costs as much as a delivery: one publish of 64 on a topic is timed, not the first one, as a topic may have
//! but a few. An inline handler found slow has its topic *watched*: every walk that calls there is timed until a row of
//! them was fast.

use super::collect::Reached;
use super::following::{Around, Trail};
use super::walk::Walk;
use super::{Report, TopicCore};
use crate::mailbox::{Arrived, Inline};
use crate::message::Message;
use crate::sync::time::Clock;
use std::cell::Cell;

/// One publish of so many is timed.
pub(super) const EVERY: u64 = 64;
/// So many walks are timed after one that was slow.
const ROW: u64 = 16;

impl TopicCore {
    /// Whether the publish of this number is one of those timed.
    #[inline]
    pub(super) fn times(&self, number: u64) -> bool {
        // A topic's number differs from run to run of a model, which has to be the same each time.
        !cfg!(bus_loom) && number.wrapping_add(self.id).is_multiple_of(EVERY)
    }

    /// A publish here took so long.
    pub(super) fn note_publish(&self, took: u64) {
        self.longest.raise(took);
        self.exchange.publishes.record_shared(took, EVERY);
    }

    /// For the inline handlers of this topic, if they are timed this time.
    #[inline]
    pub(super) fn timing(&self, sampled: bool) -> Option<InlineTiming<'_>> {
        let watched = self.watched.get();
        if !sampled && watched == 0 {
            return None;
        }
        let weight = if watched == 0 { EVERY } else { 1 };
        Some(InlineTiming { topic: self, clock: &self.exchange.clock, weight, slow: Cell::new(false) })
    }
}

impl Walk<'_> {
    #[cold]
    pub(super) fn deliver_timed(&self, reached: &[Reached], message: Message) -> Report {
        let clock = &self.topic.exchange.clock;
        let began = clock.monotonic_ns();
        let report = match self.topic.exchange.follow(&self.topic.name, &message) {
            None => self.hand_out(reached, message),
            Some(trail) => self.hand_out_followed(reached, message, trail),
        };
        self.topic.note_publish(clock.monotonic_ns().saturating_sub(began));
        report
    }

    fn hand_out_followed(&self, reached: &[Reached], message: Message, trail: Box<dyn Trail>) -> Report {
        let awaited = self.around.as_ref().and_then(|around| around.awaited.clone());
        let walk = self.with_around(Around { awaited, trail: Some(trail) });
        let report = walk.hand_out(reached, message);
        if let Some(trail) = walk.around.and_then(|around| around.trail) {
            trail.returned(&report);
        }
        report
    }
}

/// One walk's calls of one topic's inline handlers.
pub(super) struct InlineTiming<'a> {
    topic: &'a TopicCore,
    clock: &'a Clock,
    weight: u64,
    slow: Cell<bool>,
}

impl InlineTiming<'_> {
    #[cold]
    pub(super) fn time(&self, inline: &Inline, around: Option<&Around>, call: impl FnOnce()) {
        // Dropped when the handler has returned, also by a panic.
        let mut leg = around.and_then(Around::leg);
        if let Some(leg) = &mut leg {
            leg.arrived(inline.profile(), Arrived::Called);
        }
        let began = self.clock.monotonic_ns();
        call();
        let took = self.clock.monotonic_ns().saturating_sub(began);
        if inline.handling().note_shared(took, self.weight) {
            self.slow.set(true);
        }
    }
}

impl Drop for InlineTiming<'_> {
    fn drop(&mut self) {
        // Two walks may do this at once: then a row is a little shorter.
        let watched = &self.topic.watched;
        watched.set(if self.slow.get() { ROW } else { watched.get().saturating_sub(1) });
    }
}
