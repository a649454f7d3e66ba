//! A subscription that gets what stands in a cache first, and then every change.

use super::builder::SubscriptionBuilder;
use crate::dispatch::frames;
use crate::mailbox::{Dispatch, Standing};
use crate::message::{Message, SnapshotEnd};
use crate::sync::Arc;
use crate::topic::catch_up::{CatchUp, Source};
use crate::topic::member::{Member, Sink};
use crate::topic::subscribers::Route;

impl SubscriptionBuilder<'_> {
    /// What stands in `source` comes first. Inline is taken as Serial.
    pub(crate) fn catching_up(mut self, source: Arc<dyn Source>) -> Self {
        self.source = Some(source);
        self
    }

    /// What the finished subscription's dispatch is.
    pub(super) fn dispatch_taken(&self) -> Dispatch {
        match self.dispatch.unwrap_or_default() {
            Dispatch::Inline if self.source.is_some() => Dispatch::Serial,
            dispatch => dispatch,
        }
    }

    /// Shows the mailbox, whose turn is held; collects what stands; lets it run, with that and its own `first` message
    /// before everything else.
    pub(super) fn show_and_catch_up(&self, member: &Member, first: Option<Message>) {
        let core = self.topic.core();
        let (Some(source), Some(mailbox)) = (self.source.as_deref(), member.mailbox()) else { return };
        let mut held = Held::new(member);
        held.items.extend(first.map(Standing::Message));
        let before = held.items.len();
        let marks = CatchUp::new(source);
        let route = Route { filter: self.filter.clone(), mailbox: mailbox.clone() };
        core.add_catching(route, marks.clone());
        for shard in 0..source.shards() {
            source.capture(shard, &self.filter, &|| marks.set_live(shard), &mut held.items);
        }
        core.caught_up(member.id());
        let entries = (held.items.len() - before) as u64;
        let ends = &core.exchange.cached.snapshot_ends;
        if source.ends() && (!self.is_typed || self.filter.accepts(ends.kind())) {
            held.items.push(Standing::Message(ends.message(SnapshotEnd::new(entries))));
        }
    }
}

/// The turn of a mailbox that has never run. Going, also in a panic, places what was collected, and passes it on.
struct Held<'m> {
    member: &'m Member,
    items: Vec<Standing>,
}

impl<'m> Held<'m> {
    fn new(member: &'m Member) -> Self {
        if member.dispatch == Dispatch::Serial {
            // This thread will run it: nothing here may wait for it.
            frames::hold(member.id());
        }
        Self { member, items: Vec::new() }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let items = std::mem::take(&mut self.items);
        match &self.member.sink {
            Sink::Stream(reader) => reader.place(items),
            Sink::Mailbox(mailbox) => {
                // SAFETY: the mailbox was made with a prelude, and its turn was held since then, by us.
                if unsafe { mailbox.place_and_pass(items) } {
                    self.member.topic.exchange.pool.flush();
                }
            }
            Sink::Inline(_) => {}
        }
    }
}
