//! Items on their way from the ring to the handler.

use std::num::NonZeroUsize;

/// At most so many items leave the ring at once: more would keep them from others while handlers run.
pub(crate) const GROUP: usize = if cfg!(any(bus_loom, bus_shuttle)) { 2 } else { 64 };
/// As many, where nobody knows yet that their handler is fast.
pub(crate) const GROUP_SMALL: usize = if cfg!(any(bus_loom, bus_shuttle)) { 2 } else { 16 };

/// As a worker takes them.
pub(crate) type Group = Items<GROUP>;

/// A few items, taken out of the ring together and handed out one by one.
#[derive(Debug)]
pub(crate) struct Items<const N: usize> {
    items: [usize; N],
    next: usize,
    len: usize,
    /// So many items were left when taking these passed the low mark.
    low: Option<u64>,
}

impl<const N: usize> Default for Items<N> {
    fn default() -> Self {
        Self { items: [0; N], next: 0, len: 0, low: None }
    }
}

impl<const N: usize> Items<N> {
    pub(super) fn clear(&mut self) {
        self.next = 0;
        self.len = 0;
        self.low = None;
    }

    pub(super) fn set_low(&mut self, left: u64) {
        self.low = Some(left);
    }

    /// `Some`: the take passed the low mark, and so many items were left.
    #[inline]
    pub(crate) fn passed_low(&self) -> Option<u64> {
        self.low
    }

    /// Fills it with so many copies of `item`, which stand for items that are not the ring's.
    pub(crate) fn fill(&mut self, item: NonZeroUsize, count: usize) {
        self.clear();
        (0..count).for_each(|_| self.push(item.get()));
    }

    pub(super) fn push(&mut self, item: usize) {
        self.items[self.len] = item;
        self.len += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len - self.next
    }
}

impl<const N: usize> Iterator for Items<N> {
    type Item = NonZeroUsize;
    fn next(&mut self) -> Option<NonZeroUsize> {
        let item = *self.items[..self.len].get(self.next)?;
        self.next += 1;
        NonZeroUsize::new(item)
    }
}
