//! Reading everything while others write.

use super::shard::Core;
use super::table::{Node, Steps};
use super::{Map, Pinned};

/// Entries read under one guard by `for_each`.
const PER_PIN: usize = if cfg!(any(bus_loom, bus_shuttle)) { 1 } else { 256 };

/// All entries of a pinned map, shard by shard.
pub(crate) struct Iter<'p, K, V> {
    core: &'p Core<K, V>,
    /// The next one.
    shard: usize,
    steps: Option<Steps<'p, K, V>>,
}

impl<'p, K, V> Iter<'p, K, V>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn new<S>(pinned: &'p Pinned<'_, K, V, S>) -> Self {
        Self { core: &pinned.map.core, shard: 0, steps: None }
    }
}

impl<'p, K, V> Iterator for Iter<'p, K, V> {
    type Item = (&'p K, &'p V);

    fn next(&mut self) -> Option<(&'p K, &'p V)> {
        loop {
            if let Some(node) = self.steps.as_mut().and_then(Iterator::next) {
                return Some((&node.key, &node.value));
            }
            if self.shard == self.core.shards() {
                return None;
            }
            // SAFETY: `'p` borrows a `Pinned`.
            self.steps = unsafe { self.core.table(self.shard) }.map(|table| Steps::new(table, 0));
            self.shard += 1;
        }
    }
}

impl<K, V, S> Map<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Calls `look` with every entry, as `Pinned::iter` would meet them, but is pinned for a few hundred of them at a
    /// time only.
    pub(crate) fn for_each(&self, look: impl FnMut(&K, &V)) {
        self.for_some(look, || {});
    }

    /// Calls `look` with some entries of a shard, at most so many, each once, from a place on that `from` stands for.
    pub(crate) fn sample(&self, shard: usize, from: u64, most: usize, mut look: impl FnMut(&K, &V)) {
        let _guard = self.domain.pin();
        // SAFETY: the reference is not used after the guard.
        if let Some(table) = unsafe { self.core.table(shard) } {
            let all = Steps::new(table, from).chain(Steps::before(table, from));
            all.take(most).for_each(|Node { key, value }| look(key, value));
        }
    }

    /// The same, and calls `between` whenever it is not pinned: after every few hundred entries, and at the end.
    pub(crate) fn for_some(&self, mut look: impl FnMut(&K, &V), mut between: impl FnMut()) {
        for shard in 0..self.shards() {
            let mut next = Some(0);
            while let Some(from) = next {
                next = {
                    let _guard = self.domain.pin();
                    // SAFETY: the reference is not used after the guard.
                    let table = unsafe { self.core.table(shard) };
                    table.and_then(|table| some_of(Steps::new(table, from), &mut look))
                };
                between();
            }
        }
    }
}

/// Looks at the next few hundred, and then at more until the walk can be interrupted. Says where it is to go on.
fn some_of<K, V>(mut steps: Steps<'_, K, V>, look: &mut impl FnMut(&K, &V)) -> Option<u64> {
    let mut met = 0;
    while let Some(Node { key, value }) = steps.next() {
        look(key, value);
        met += 1;
        if met >= PER_PIN
            && let Some(next) = steps.gap()
        {
            return Some(next);
        }
    }
    None
}
