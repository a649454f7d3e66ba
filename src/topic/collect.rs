//! What a publish reaches: its topic, and every topic that forwards lead to, each with its list as it is then.

use super::TopicCore;
use super::subscribers::Subscribers;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, SnapshotGuard, local, mutated};
use std::cell::Cell;
use std::collections::HashSet;
use std::ops::Deref;

/// Beyond so many topics, "visited already?" asks a set instead of looking through the list.
const LINEAR_MAX: usize = 32;

pub(super) type Guard = SnapshotGuard<Subscribers>;

/// A topic met, with its list as it was then.
pub(super) struct Reached {
    topic: TopicRef,
    pub(super) list: Guard,
}

/// The first topic is borrowed or held by whoever collected; every other one is held by an edge in a list that was
/// collected before it and is dropped with it.
#[derive(Clone, Copy)]
struct TopicRef(*const TopicCore);

// SAFETY: a shared reference by another name, and topics are shared between threads anyway.
unsafe impl Send for TopicRef {}

impl Reached {
    pub(super) fn load(topic: &TopicCore) -> Self {
        Self { topic: TopicRef(topic), list: topic.subscribers.load() }
    }

    /// To be kept beyond one publish: with a reference of its own to the list.
    fn load_owned(topic: &TopicCore) -> Self {
        Self { topic: TopicRef(topic), list: topic.subscribers.load_owned() }
    }

    pub(super) fn topic(&self) -> &TopicCore {
        // SAFETY: see `TopicRef`.
        unsafe { &*self.topic.0 }
    }

    /// Whether no list has taken the place of this one, or is about to.
    #[inline]
    pub(super) fn is_current(&self) -> bool {
        self.list.version() >= self.topic().version.load(Ordering::Relaxed)
    }
}

impl TopicCore {
    #[inline]
    pub(super) fn has_been_published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn has_arrived(&self, messages: u64) {
        if messages > 0 {
            self.arrived.fetch_add(messages, Ordering::Relaxed);
        }
    }
}

/// Loads every topic reachable from `first`, each once, and tells the others that so many messages have reached them.
pub(super) fn collect(first: Reached, reached: &mut Vec<Reached>, messages: u64) {
    collect_by(first, reached, |topic| {
        topic.has_arrived(messages);
        Reached::load(topic)
    });
}

/// The same to be kept.
pub(super) fn collect_owned(first: &TopicCore, messages: u64) -> Vec<Reached> {
    let mut reached = Vec::new();
    collect_by(Reached::load_owned(first), &mut reached, |topic| {
        topic.has_arrived(messages);
        Reached::load_owned(topic)
    });
    reached
}

/// Loads every topic reachable from `root` that is not there yet. False: `root` was.
pub(super) fn collect_also(root: &TopicCore, reached: &mut Vec<Reached>) -> bool {
    let mut visited = None;
    if !is_new(root, reached, &mut visited) {
        return false;
    }
    let at = reached.len();
    reached.push(Reached::load(root));
    follow_edges(at, reached, visited, Reached::load);
    true
}

fn collect_by(first: Reached, reached: &mut Vec<Reached>, load: impl Fn(&TopicCore) -> Reached) {
    reached.push(first);
    follow_edges(0, reached, None, load);
}

/// From the list at place `at` on.
fn follow_edges(
    mut at: usize,
    reached: &mut Vec<Reached>,
    mut visited: Option<HashSet<*const TopicCore>>,
    load: impl Fn(&TopicCore) -> Reached,
) {
    while at < reached.len() {
        let list: *const Subscribers = Arc::as_ptr(reached[at].list.deref());
        // SAFETY: the guard in `reached[at]` keeps the list where it is, though `reached` may grow.
        for edge in unsafe { &*list }.edges() {
            if is_new(Arc::as_ptr(&edge.target), reached, &mut visited) && !mutated!("collect.edges") {
                reached.push(load(&edge.target));
            }
        }
        at += 1;
    }
}

fn is_new(
    topic: *const TopicCore,
    reached: &[Reached],
    visited: &mut Option<HashSet<*const TopicCore>>,
) -> bool {
    if reached.len() < LINEAR_MAX {
        return !reached.iter().any(|reached| std::ptr::eq(reached.topic.0, topic));
    }
    visited.get_or_insert_with(|| reached.iter().map(|reached| reached.topic.0).collect()).insert(topic)
}

local! {
    /// Kept between publishes so that collecting does not allocate; a nested publish makes its own.
    static SCRATCH: Cell<Vec<Reached>> = Cell::new(Vec::new());
}

pub(super) fn take_scratch() -> Vec<Reached> {
    SCRATCH.try_with(Cell::take).unwrap_or_default()
}

pub(super) fn give_scratch(mut reached: Vec<Reached>) {
    if !mutated!("collect.kept") {
        reached.clear();
    }
    let _ = SCRATCH.try_with(|scratch| scratch.set(reached));
}
