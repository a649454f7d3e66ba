//! Items on their way from the ring to the handler.

use std::num::NonZeroUsize;

/// At most so many items leave the ring at once: more would keep them from others while handlers run.
pub(crate) const GROUP: usize = if cfg!(bus_loom) { 2 } else { 16 };

/// A few items, taken out of the ring together and handed out one by one.
#[derive(Debug, Default)]
pub(crate) struct Group {
    items: [usize; GROUP],
    next: usize,
    len: usize,
}

impl Group {
    pub(super) fn clear(&mut self) {
        self.next = 0;
        self.len = 0;
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

impl Iterator for Group {
    type Item = NonZeroUsize;
    fn next(&mut self) -> Option<NonZeroUsize> {
        let item = *self.items[..self.len].get(self.next)?;
        self.next += 1;
        NonZeroUsize::new(item)
    }
}
