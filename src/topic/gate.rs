//! What keeps a call of an inline handler from coming after its final one.
//!
//! Mailboxes have CLOSED in their tail. An inline subscription has no mailbox, and a publish may still walk an old
//! list when the subscription is taken off it. So walks are counted, once per walk and not once per subscriber, at a
//! *gate* beside the list; and a final waits at the gate until every walk that may call its handler has left.
//!
//! ```text
//! walkers = count | RETIRED | SEALED | DRAINED      lists ──► gate ──► its successor ──► …
//! seat    = the gate that a publisher's walk is inside, or none
//! ```
//!
//! A `Publisher` is one thread's, so its walks need no count that others count in: it has a *seat*, a word in its own line,
//! which the ledgers of the topics it reaches have too. It writes the seat with plain stores. What a count gives by itself,
//! that of two who come at once one sees the other, two barriers give: a *light* one, which costs the walk nothing,
//! and a *heavy* one, which costs who unsubscribes a system call ([`sync::barrier`](crate::sync::barrier)).
//!
//! | who | step | then |
//! | --- | --- | --- |
//! | walk, list has inline | +1; saw RETIRED | -1 as *leave*, load the list anew |
//! | | +1; open | calls the handlers; leaves |
//! | leave(G) | -1; was RETIRED, SEALED with count 1 | tries to drain G |
//! | publisher's walk | seat = G; light; reads RETIRED | leaves, loads the list anew |
//! | | seat = G; light; reads open | calls the handlers; leaves |
//! | publisher leaves G | seat = none; light; reads RETIRED | tries to drain G |
//! | unsubscribe, under the topic's writer lock | successor G' has count 1 before it is visible; the final is parked on G; the list is swapped to one with G'; RETIRED is set on G | |
//! | the same, behind the lock | heavy; SEALED is set on G | tries to drain G |
//! | drain(G) | full fence; no seat in the topic's ledger is G; RETIRED, SEALED, count 0 → also DRAINED, by compare-exchange; the winner only | delivers G's finals, then leaves G' |
//!
//! Between RETIRED and SEALED a publisher may be inside whose seat nobody sees yet. Behind the heavy barrier there is none:
//! a publisher either reads RETIRED, or its seat is seen. So nobody drains before SEALED, and whoever finds one inside
//! leaves the rest to it. A seat that is not in the ledger yet (which may not even be made) belongs to a publisher that puts it
//! there before its own light barrier, and reads RETIRED for that.
//!
//! Every retired, undrained gate holds one count on its successor: so gates drain in order, and a handler listed by an
//! older list is not ended while that list's walks go on. Lists between two removals share a gate. A walk that is stuck
//! in a handler keeps its own list and the gates after it, not the lists after it; it also delays the finals of its
//! topic's other inline subscriptions.

use super::publisher::Ledger;
use crate::mailbox::Inline;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::{Arc, UnsafeCell, barrier, mutated};

const RETIRED: u64 = 1 << 63;
const SEALED: u64 = 1 << 62;
const DRAINED: u64 = 1 << 61;
/// Nobody is counted in, and nobody will be.
const LEFT: u64 = RETIRED | SEALED;

pub(crate) struct Gate {
    walkers: AtomicU64,
    /// Written once, before RETIRED is set; taken by the one that drained.
    rest: UnsafeCell<Option<Rest>>,
}

/// Where a publisher's walk is.
#[derive(Default)]
pub(super) struct Seat(AtomicUsize);

impl Seat {
    #[inline]
    fn take(&self, gate: &Gate) {
        // ORDERING(gate.seat): Release: who sees this sees also that the walk before is over, with all it did; pairs
        // with the Acquire in `is_in`. What comes after the store is a barrier's matter.
        self.0.store(std::ptr::from_ref(gate).addr(), Ordering::Release);
        barrier::light();
    }

    #[inline]
    fn leave(&self) {
        // ORDERING(gate.seat): Release: what the walk did comes before the finals; pairs with the Acquire in `is_in`.
        self.0.store(0, Ordering::Release);
        barrier::light();
    }

    pub(super) fn is_in(&self, gate: &Gate) -> bool {
        // ORDERING(gate.seat): Acquire; pairs with the Releases in `take` and `leave`.
        self.0.load(Ordering::Acquire) == std::ptr::from_ref(gate).addr()
    }
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

    /// A walk comes in; a publisher's by its seat. False: the list is out of date, load it anew.
    #[inline]
    #[must_use]
    pub(super) fn enter(self: &Arc<Self>, seat: Option<&Seat>, publishers: &Ledger) -> bool {
        let open = match seat {
            // ORDERING(gate): AcqRel on every change of the word: a walk that entered before RETIRED is seen by who sets
            // it, and the drain comes after everything the walks did.
            None => self.walkers.fetch_add(1, Ordering::AcqRel) & RETIRED == 0,
            Some(seat) => {
                seat.take(self);
                !self.is_retired()
            }
        };
        if !open {
            self.leave(seat, publishers);
        }
        open
    }

    /// A walk goes out; the last one out of a retired gate delivers its finals.
    #[inline]
    pub(super) fn leave(self: &Arc<Self>, seat: Option<&Seat>, publishers: &Ledger) {
        let is_last = match seat {
            // ORDERING(gate): as in `enter`.
            None => self.walkers.fetch_sub(1, Ordering::AcqRel) == LEFT | 1,
            Some(seat) => {
                seat.leave();
                self.is_retired()
            }
        };
        if is_last {
            // ORDERING(gate.last): what says that we have left stands before the fence in `is_left`.
            self.clone().drain(publishers);
        }
    }

    #[inline]
    fn is_retired(&self) -> bool {
        // ORDERING(gate): Acquire; pairs with the AcqRel that set RETIRED: the list that is loaded anew is a newer one.
        self.walkers.load(Ordering::Acquire) & RETIRED != 0
    }

    /// Makes the successor of this gate and parks `finals` here. The caller has the topic's writer lock, makes the
    /// successor visible, and then calls [`retire`](Self::retire).
    ///
    /// # Safety
    ///
    /// The gate is not retired, and the caller has the writer lock.
    pub(crate) unsafe fn succeed(&self, finals: Vec<Arc<Inline>>) -> Arc<Self> {
        let successor = Self::with_count(u64::from(!mutated!("gate.hold")));
        let rest = Rest { finals, successor: successor.clone() };
        // SAFETY: nobody reads before RETIRED is set; the lock excludes other writers.
        self.rest.with_mut(|cell| unsafe { *cell = Some(rest) });
        successor
    }

    /// No further walk gets in. The caller [seals](Self::seal) it without the lock.
    pub(crate) fn retire(&self) {
        // ORDERING(gate): as in `enter`; Release shows `rest` to who drains.
        self.walkers.fetch_or(RETIRED, Ordering::AcqRel);
    }

    /// From here on, everybody inside is seen. True: nobody is, and the caller [drains](Self::drain).
    #[must_use]
    pub(super) fn seal(&self, publishers: &Ledger) -> bool {
        barrier::heavy();
        // ORDERING(gate): as in `enter`; Release shows to who drains what the barrier showed us.
        self.walkers.fetch_or(SEALED, Ordering::AcqRel);
        self.is_left(publishers)
    }

    /// Whether nobody is inside, and nobody will be.
    fn is_left(&self, publishers: &Ledger) -> bool {
        // ORDERING(gate.last): SeqCst fence; pairs with itself: of two who leave (`leave`), or seal, at once one sees the other.
        fence(Ordering::SeqCst);
        // ORDERING(gate): Acquire; pairs with the AcqRel that set SEALED.
        self.walkers.load(Ordering::Acquire) == LEFT && !publishers.has_inside(self)
    }

    /// Delivers the finals, if nobody is inside and nobody did before; then the same for the successors that only
    /// this gate held.
    #[cold]
    pub(super) fn drain(self: Arc<Self>, publishers: &Ledger) {
        let mut gate = self;
        while gate.is_left(publishers) {
            // ORDERING(gate): as in `enter`; Acquire sees `rest`, and everything the walks did.
            let won =
                gate.walkers.compare_exchange(LEFT, LEFT | DRAINED, Ordering::AcqRel, Ordering::Relaxed);
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
            if gate.walkers.fetch_sub(1, Ordering::AcqRel) != LEFT | 1 {
                return;
            }
        }
    }
}
