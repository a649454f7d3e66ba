//! What a mailbox tells of itself.

use super::Mailbox;
use super::run::{Lap, SLOW_GROUP_NS};
use crate::stats::{Lost, SubscriptionStats};
use std::time::Duration;

impl Mailbox {
    /// When somebody took IDLE away, by the coarse clock. Called by who has the turn, before it is passed on.
    #[inline]
    pub(crate) fn woken(&self, now: u64) {
        self.ring.woken_at().set(now);
    }

    /// Now, by the coarse clock.
    #[inline]
    pub(crate) fn coarse_now(&self) -> u64 {
        self.clock.coarse_monotonic_ns()
    }

    /// The owner found nothing left, after handling something since `began` (0: nobody looked). If that took long, one of
    /// the calls did: groups that are not full are not timed. Returns when the next ones begin.
    #[inline]
    pub(super) fn note_run(&self, began: u64) -> u64 {
        if began == 0 {
            return 0;
        }
        let now = self.coarse_now();
        self.caught_up.set(now);
        if self.clock.is_long(now.saturating_sub(began)) {
            self.note_long(now - began);
        }
        now
    }

    /// A full group was handled, and maybe thin ones before it, since `began`. Both ends by the coarse clock, here and in
    /// [`note_run`](Self::note_run): against an exact one it is up to a step off, and a call of two steps could go unseen.
    /// Returns when the next one begins.
    #[inline]
    pub(super) fn note_group(&self, lap: &Lap, began: u64) -> u64 {
        if began == 0 {
            return 0;
        }
        let now = self.coarse_now();
        let took = now.saturating_sub(began);
        if self.clock.is_long(took) {
            self.note_long(took);
        }
        if lap.group.is_some_and(|took| took > SLOW_GROUP_NS) {
            self.watch_handler();
        }
        now
    }

    /// The owner looked after that time, and found nothing left.
    pub(super) fn note_empty(&self, time: u64) {
        self.caught_up.set(time);
    }

    /// Since when its owner has not found it empty; 0: not known.
    fn busy_since(&self) -> u64 {
        self.ring.woken_at().get().max(self.caught_up.get())
    }

    /// For how long it has not been found empty.
    pub(crate) fn busy_for(&self) -> Option<Duration> {
        let since = Some(self.busy_since()).filter(|since| *since > 0)?;
        Some(Duration::from_nanos(self.coarse_now().saturating_sub(since)))
    }

    /// Since when the oldest message waits: its own sample if it has one, else the latest moment known to be before it.
    fn oldest_since(&self, now: u64) -> Option<u64> {
        let head = self.ring.head();
        let (earliest, latest) = self.waits_since(head, now);
        let before = self.busy_since().max(earliest);
        match latest {
            Some(after) => Some(if before == 0 { after } else { before.min(after) }),
            None => (before > 0).then_some(before),
        }
    }

    /// Messages of the topic that were meant for it: the accepted ones that came by it, and those that never got in.
    pub(crate) fn offered(&self, accepted: u64, lost: &Lost) -> u64 {
        let turned_away = lost.refused + lost.timed_out + lost.disconnected + self.losses.late();
        accepted.saturating_sub(self.brought()) + turned_away
    }

    /// The rest of its figures.
    pub(crate) fn fill(&self, stats: &mut SubscriptionStats) {
        let now = self.clock.monotonic_ns();
        (stats.accepted, stats.depth) = self.ring.accepted_and_depth();
        let (stood, stand) = self.prelude_count();
        stats.accepted += self.accepted_in_lane() + stood;
        stats.depth += stand;
        stats.high_water = self.ring.high_water();
        stats.capacity = self.ring.capacity();
        stats.lost = self.lost();
        stats.missed = stats.lost.total();
        stats.high_crossings = self.congestion.high_crossings();
        stats.congested = self.ring.is_congested();
        stats.panics = self.losses.panics();
        let lost_inside = stats.lost.evicted + stats.lost.conflated + stats.lost.discarded;
        stats.handled = stats.accepted.saturating_sub(stats.depth + lost_inside);
        (stats.delay, stats.handler, stats.slow) = self.read_times();
        if let Some(room) = &self.room {
            stats.over_capacity = room.beyond();
            stats.blocked = room.blocked(now);
        }
        if stats.depth > 0 {
            let ago = |since: u64| Duration::from_nanos(now.saturating_sub(since));
            stats.oldest = self.oldest_since(now).map(ago);
            stats.behind = Some(self.busy_since()).filter(|since| *since > 0).map(ago);
        }
    }
}
