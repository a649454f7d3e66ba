//! What keeps a call of an inline handler from coming after its final one.
//!
//! Mailboxes have CLOSED in their tail. An inline subscription has no mailbox, and a publish may still walk an old
//! list when the subscription is taken off it. So walks are counted, once per walk and not once per subscriber, at a
//! *gate* beside the list; and a final waits at the gate until every walk that may call its handler has left.
//!
//! ```text
//! walkers = count | RETIRED | DRAINED      lists ──► gate ──► its successor ──► …
//! ```
//!
//! | who | step | then |
//! | --- | --- | --- |
//! | walk, list has inline | +1; saw RETIRED | -1 as *leave*, load the list anew |
//! | | +1; open | calls the handlers; leaves |
//! | leave(G) | -1; was RETIRED with count 1 | tries to drain G |
//! | unsubscribe (under the topic's writer lock) | successor G' has count 1 before it is visible; the final is parked on G; the list is swapped to one with G'; RETIRED is set on G | if the count was 0: tries to drain G |
//! | drain(G) | RETIRED, count 0 → RETIRED, DRAINED by compare-exchange; the winner only | delivers G's finals, then leaves G' |
//!
//! Every retired, undrained gate holds one count on its successor: so gates drain in order, and a handler listed by an
//! older list is not ended while that list's walks go on. Lists between two removals share a gate. A walk that is stuck
//! in a handler keeps its own list and the gates after it, not the lists after it; it also delays the finals of its
//! topic's other inline subscriptions.

use crate::mailbox::Inline;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, UnsafeCell};

const RETIRED: u64 = 1 << 63;
const DRAINED: u64 = 1 << 62;

pub(crate) struct Gate {
    walkers: AtomicU64,
    /// Written once, before RETIRED is set; taken by the one that drained.
    rest: UnsafeCell<Option<Rest>>,
}

/// What waits for a gate to drain.
struct Rest {
    finals: Vec<Arc<Inline>>,
    successor: Arc<Gate>,
}

// SAFETY: `rest` is written under the topic's writer lock before RETIRED, and taken by the winner of the drain, which
// saw RETIRED; the word's AcqRel orders the two. Checked by loom_tests/gate.rs.
unsafe impl Send for Gate {}
// SAFETY: as above.
unsafe impl Sync for Gate {}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_count(0)
    }

    fn with_count(count: u64) -> Arc<Self> {
        Arc::new(Self { walkers: AtomicU64::new(count), rest: UnsafeCell::new(None) })
    }

    /// Counts a walk in. False: the list is out of date, load it anew.
    #[inline]
    #[must_use]
    pub(crate) fn enter(self: &Arc<Self>) -> bool {
        // ORDERING(gate): AcqRel on every access of the word: a walk that entered before RETIRED is seen by who sets
        // it, and the drain comes after everything the walks did.
        let open = self.walkers.fetch_add(1, Ordering::AcqRel) & RETIRED == 0;
        if !open {
            self.leave();
        }
        open
    }

    /// Counts a walk out; the last one out of a retired gate delivers its finals.
    #[inline]
    pub(crate) fn leave(self: &Arc<Self>) {
        // ORDERING(gate): as in `enter`.
        if self.walkers.fetch_sub(1, Ordering::AcqRel) == RETIRED | 1 {
            self.clone().drain();
        }
    }

    /// Makes the successor of this gate and parks `finals` here. The caller has the topic's writer lock, makes the
    /// successor visible, and then calls [`retire`](Self::retire).
    ///
    /// # Safety
    ///
    /// The gate is not retired, and the caller has the writer lock.
    pub(crate) unsafe fn succeed(&self, finals: Vec<Arc<Inline>>) -> Arc<Self> {
        let successor = Self::with_count(1);
        let rest = Rest { finals, successor: successor.clone() };
        // SAFETY: nobody reads before RETIRED is set; the lock excludes other writers.
        self.rest.with_mut(|cell| unsafe { *cell = Some(rest) });
        successor
    }

    /// No further walk gets in. True: nobody is inside, and the caller [drains](Self::drain), without the lock.
    #[must_use]
    pub(crate) fn retire(&self) -> bool {
        // ORDERING(gate): as in `enter`; Release shows `rest` to who drains.
        self.walkers.fetch_or(RETIRED, Ordering::AcqRel) == 0
    }

    /// Delivers the finals, if nobody is inside and nobody did before; then the same for the successors that only
    /// this gate held.
    #[cold]
    pub(crate) fn drain(self: Arc<Self>) {
        let mut gate = self;
        loop {
            // ORDERING(gate): as in `enter`; Acquire sees `rest`, and everything the walks did.
            let won = gate.walkers.compare_exchange(
                RETIRED,
                RETIRED | DRAINED,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if won.is_err() {
                return;
            }
            // SAFETY: the winner is one.
            let Some(rest) = gate.rest.with_mut(|cell| unsafe { (*cell).take() }) else { return };
            for inline in &rest.finals {
                // SAFETY: drained: no walk is inside this gate or an earlier one, and later lists do not have it.
                unsafe { inline.finish() };
            }
            gate = rest.successor;
            // ORDERING(gate): as in `enter`.
            if gate.walkers.fetch_sub(1, Ordering::AcqRel) != RETIRED | 1 {
                return;
            }
        }
    }
}
