//! Catching up with what stands already: one moment for each part of it, after which every change is heard.
//!
//! A cache is written shard by shard, each under its lock, and what changed is announced under the same lock. A
//! subscription that catches up is visible from the beginning; but of each shard it hears only what is announced after
//! its own look at that shard, and that look is taken under the shard's lock as well. So of each entry it gets what stood
//! at that moment and everything after it: nothing twice, nothing missed, however long the other shards take.
//!
//! | who | under the shard's lock | the mailbox |
//! | --- | --- | --- |
//! | subscribe | | its turn is held; it becomes visible, with marks: no shard is live |
//! | subscribe, each shard | notes the entries that stand; marks it live | |
//! | writer | its lists are those that stand; swaps; pushes the update, but not to who has marks and not this one | live: into the ring |
//! | subscribe | | references of the entries are placed before the ring; the turn is passed on; the marks go |
//!
//! The writer's lists are those that stand when it has the lock ([`super::audience`]), and subscribe is visible before its
//! first look: so a writer that does not see it has swapped before that look, which finds what it swapped in. The marks are written and read under the shard's lock,
//! which orders them. Once all are live they say nothing any more, and leave the list, so that nobody looks at them.

use super::TopicCore;
use super::subscribers::Route;
use crate::mailbox::{Filter, Standing};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// What a subscription catches up with.
pub(crate) trait Source: Send + Sync {
    /// The cache's or the state's: unique in the process.
    fn number(&self) -> u64;

    fn shards(&self) -> usize;

    /// Whether the end of what stands is told.
    fn ends(&self) -> bool {
        true
    }

    /// Adds what stands in one shard, as far as `filter` wants to hear of it. Calls `mark` under the shard's lock, when what
    /// stands is known.
    fn capture(&self, shard: usize, filter: &Filter, mark: &dyn Fn(), into: &mut Vec<Standing>);
}

/// Where something is announced: a shard of a cache, or a state, which is one shard by itself.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) cache: u64,
    pub(crate) shard: usize,
}

/// How far a subscription has got.
pub(crate) struct CatchUp {
    cache: u64,
    live: Box<[AtomicBool]>,
}

impl CatchUp {
    pub(crate) fn new(source: &dyn Source) -> Arc<Self> {
        let live = (0..source.shards()).map(|_| AtomicBool::new(false)).collect();
        Arc::new(Self { cache: source.number(), live })
    }

    /// The caller has the shard's lock.
    pub(crate) fn set_live(&self, shard: usize) {
        // Relaxed: the shard's lock orders it.
        self.live[shard].store(true, Ordering::Relaxed);
    }

    /// Whether what is announced there has been, or will be, found by a look. The caller has the shard's lock.
    pub(super) fn lacks(&self, place: Place) -> bool {
        place.cache == self.cache && !self.live[place.shard].load(Ordering::Relaxed)
    }
}

impl TopicCore {
    /// As `add_route`, for who catches up.
    pub(crate) fn add_catching(&self, route: Route, marks: Arc<CatchUp>) {
        self.edit(|list| {
            list.catching.push((route.mailbox.profile().id, marks));
            list.routes.push(route);
            list.sort_out();
        });
    }

    /// It has caught up: its marks go.
    pub(crate) fn caught_up(&self, id: u64) {
        self.edit(|list| list.catching.retain(|(other, _)| *other != id));
    }
}
