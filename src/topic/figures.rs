//! The figures of topics and subscriptions, put together from what the parts tell.

use super::TopicCore;
use super::member::{Member, Sink};
use crate::dispatch::shift::Running;
use crate::mailbox::{Consumer, Mailbox};
use crate::stats::{SubscriptionState, SubscriptionStats, TopicStats};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Tally};
use std::time::Duration;

/// What subscriptions have counted that have left their topic.
#[derive(Default)]
pub(super) struct Left {
    delivered: Tally,
    filtered: Tally,
    missed: Tally,
}

impl TopicCore {
    /// What the topic counts itself.
    pub(crate) fn own_stats(&self) -> TopicStats {
        let (now, sums) = (self.subscribers.load(), self.sums());
        TopicStats {
            name: self.name.to_string(),
            class: self.class.name().to_string(),
            published: sums.published,
            reached: sums.published + sums.arrived + self.own.load(Ordering::Relaxed),
            arrived: sums.arrived,
            unrouted: sums.unrouted,
            subscriptions: now.routes().len() + now.inline().len(),
            forwards: now.edges().len(),
            delivered: self.left.delivered.get(),
            filtered: self.left.filtered.get(),
            missed: self.left.missed.get(),
            longest: Duration::from_nanos(self.longest.get()),
        }
    }

    /// What it has counted, and the forwards out of it.
    #[cfg(feature = "metrics")]
    pub(crate) fn counted(&self) -> (super::Sums, usize) {
        (self.sums(), self.subscribers.load().edges().len())
    }

    /// The same, with what its own subscriptions count. Their rows are read already: one that has ended since is among
    /// those that left, and counts there.
    pub(crate) fn stats_with<'a>(
        &self,
        rows: impl IntoIterator<Item = (&'a Member, &'a SubscriptionStats)>,
    ) -> TopicStats {
        let mut stats = self.own_stats();
        let (left, folds) = self.exchange.while_none_goes(|_| {
            [&self.left.delivered, &self.left.filtered, &self.left.missed].map(Tally::get)
        });
        [stats.delivered, stats.filtered, stats.missed] = left;
        let live = rows.into_iter().filter(|(member, _)| !folds.include(member));
        live.for_each(|(_, row)| stats.add(row));
        stats
    }

    /// The same, of those of `members` that are its own.
    pub(crate) fn stats_of(&self, members: &[Arc<Member>]) -> TopicStats {
        let own = members.iter().filter(|member| std::ptr::eq(&*member.topic, self));
        let rows: Vec<_> = own.map(|member| (&**member, member.stats_while(&[]))).collect();
        self.stats_with(rows.iter().map(|(member, row)| (*member, row)))
    }

    /// A subscription has ended.
    fn note_left(&self, last: &SubscriptionStats) {
        self.left.delivered.add(last.accepted);
        self.left.filtered.add(last.filtered);
        self.left.missed.add(last.missed);
    }

    /// Where its messages go on to, by name.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.subscribers.load().edges().iter().map(|edge| edge.target.name.to_string()).collect()
    }
}

impl Member {
    /// It is over: what it has counted stays with its topic, the topic's class and its name.
    pub(super) fn note_gone(&self, last: &SubscriptionStats) {
        let now = self.topic.exchange.clock.coarse_monotonic_ns();
        self.topic.note_left(last);
        self.topic.class().leave(now, |class| class.add(self.dispatch as usize, last));
        self.label().leave(now, |sums| sums.add(last));
    }

    pub(crate) fn stats(&self) -> SubscriptionStats {
        self.stats_while(&self.topic.exchange.pool.running())
    }

    /// The same, with what the workers were seen doing.
    pub(crate) fn stats_while(&self, running: &[Running]) -> SubscriptionStats {
        // Before what was accepted: what comes in between is not taken for filtered.
        let met = self.met();
        let mut stats = SubscriptionStats {
            name: self.profile().name.to_string(),
            id: self.id(),
            topic: self.topic.name.to_string(),
            dispatch: self.dispatch.name(),
            accepted: self.accepted(),
            ..SubscriptionStats::default()
        };
        match &self.sink {
            Sink::Inline(inline) => {
                stats.handled = stats.accepted;
                inline.fill(&mut stats);
            }
            Sink::Mailbox(mailbox) => mailbox.fill(&mut stats),
            Sink::Stream(reader) => reader.mailbox().fill(&mut stats),
        }
        // What reached its topic while it stood, less what it was offered.
        let offered = |mailbox: &Arc<Mailbox>| mailbox.offered(stats.accepted, &stats.lost);
        stats.filtered = met.saturating_sub(self.mailbox().map_or(stats.accepted, offered));
        stats.state = self.state(running, &stats);
        stats
    }

    fn state(&self, running: &[Running], stats: &SubscriptionStats) -> SubscriptionState {
        if self.done().is_set() {
            return SubscriptionState::Ended;
        }
        if let Some(run) = running.iter().find(|run| run.subscription == self.id()) {
            return SubscriptionState::Running { worker: Some(run.seat), time: run.time };
        }
        if !self.is_subscribed() {
            return SubscriptionState::Ending;
        }
        match self.mailbox() {
            Some(mailbox) => self.state_of(mailbox, stats),
            None => SubscriptionState::Idle,
        }
    }

    fn state_of(&self, mailbox: &Mailbox, stats: &SubscriptionStats) -> SubscriptionState {
        match mailbox.consumer() {
            Consumer::Stream(_) if stats.depth > 0 => SubscriptionState::Waiting,
            Consumer::Stream(_) => SubscriptionState::Idle,
            _ if mailbox.is_idle() => SubscriptionState::Idle,
            Consumer::Pool(_) => SubscriptionState::Waiting,
            _ => SubscriptionState::Running { worker: None, time: mailbox.busy_for().unwrap_or_default() },
        }
    }
}
