//! The ring under every mailbox: many producers, one owner, bounded, with an exact notion of *idle* and *closed*.
//!
//! It moves non-zero words and knows nothing of messages. One packed word, the [tail](word::Tail), decides
//! everything that producers, the owner and whoever closes have to agree on:
//!
//! ```text
//! tail = index (60 bits) | HIGH | SPILL | CLOSED | IDLE          head = index (63 bits) | TAKEN
//! ```
//!
//! # The turn
//!
//! Somebody who may take items out is the *owner*; owning is called *having the turn*. While IDLE stands there is
//! no owner, and nothing to own: every index claimed has been taken. Whoever clears IDLE, a producer by its claim
//! or a closer, *has the turn* and passes it to a consumer (a run queue, a thread, a task). The owner gives the turn
//! up by setting IDLE, which only succeeds if nothing came meanwhile. So the turn exists exactly once while IDLE
//! is clear, without a second flag and without a fence.
//!
//! # Who moves the tail (each row is one compare-exchange)
//!
//! | who | from | to | then |
//! | --- | --- | --- | --- |
//! | producer, room | (i, -, -, x) | (i+1, -, -, -) | writes slot i; has the turn if x |
//! | producer, room for n | (i, -, -, x) | (i+n, -, -, -) | writes slots i to i+n-1, in order; has the turn if x |
//! | producer, full, may spill | (i, -, -, -) | (i+1, SPILL, -, -) | `spill_from` = i, pushes to the spill |
//! | producer, SPILL, below its limit | (i, SPILL, -, -) | (i+1, SPILL, -, -) | pushes to the spill |
//! | producer, full otherwise | unchanged, read again | | refused, or takes the oldest out (below) |
//! | producer, CLOSED | unchanged | | refused: closed |
//! | closer | (i, s, -, x) | (i, s, CLOSED, -) | has the turn if x; else the owner will find it |
//! | owner, all taken, open | (c, s, -, -) | (c, -, -, IDLE) | the turn is gone: touches nothing any more |
//! | owner, all taken, CLOSED | unchanged | | the end: delivers the final message |
//!
//! A producer may look once and do nothing unless the first row is all there is to it (`push_at_once`: room, no mark to pass,
//! neither SPILL nor CLOSED, the claim not lost). Lines of slots that either side writes soon are asked for ahead, which
//! orders nothing.
//!
//! # What the owner meets at its position c
//!
//! | sees | means | does |
//! | --- | --- | --- |
//! | in the spill, an element | | takes it, c+1 |
//! | a written slot | | takes it and up to 63 more, empties the slots, publishes `head`, then hands them out |
//! | nothing, index = c | empty | IDLE, or the end |
//! | nothing, index > c, SPILL, `spill_from` = c | the ring is used up | goes over to the spill |
//! | nothing, index > c otherwise | a producer sleeps between its claim and its write | keeps the turn, comes again |
//!
//! A spilled message has an index like any other, so the order is that of the claims and nothing is lost between
//! ring and spill: SPILL falls only with the IDLE that proves every index taken. A producer that would rather be refused
//! ([`WhenFull::Refuse`]) has the capacity as its limit there: with room it joins the spill, so that one who waits for
//! room is let in by the owner's next group and not only by an IDLE after which nobody would wake it.
//!
//! # Taking the oldest out
//!
//! With [`WhenFull::Evict`] both the owner and a producer that found the ring full may move `head`, each after
//! setting TAKEN on the very head it read. What the owner missed is the gap between the head it finds and the
//! last one it left: exact, and in order. How many were taken out in all is counted with TAKEN, before the head moves, so
//! whoever sees a gap finds it counted; what was evicted behind the last item is known by that alone.
//!
//! # Congestion
//!
//! HIGH stands from the claim by which `high` items wait until the owner, having published a `head`, finds at most `low`
//! of them left. Both are compare-exchanges of the word that holds the index, so they alternate, and each depth is that
//! of its moment:
//!
//! | who | from | to | then |
//! | --- | --- | --- | --- |
//! | producer, index + 1 - head >= `high`, head read after the tail | (i, -, HIGH not set) | (i+1, -, HIGH) | passed high |
//! | owner, index - c <= `low` | (i, -, HIGH) | (i, -, HIGH not set) | passed low |
//!
//! Below the mark a producer compares with `high` what it compares with the capacity otherwise, so that an index and a
//! cached head tell it that there is room and nothing to pass. The owner learns of HIGH where it reads the tail anyway,
//! after a full group and before it sets IDLE, which therefore never stands together with HIGH; and by a note on its own
//! line, which who sets HIGH makes before it writes its item: an owner that waits awake does neither of the two.
//!
//! # Progress
//!
//! No locks on the way in. It is not lock-free in the strict sense: a producer stopped between its claim and its
//! write delays the owner (never another producer, until the ring is full).
//!
//! Sources: the bounded-ring layout and its cached consumer index are known from JCTools and the LMAX disruptor;
//! the "busy" answer from tokio's block list.

mod at_once;
#[cfg(all(any(test, fuzzing), not(bus_loom)))]
pub(crate) mod checks;
mod figures;
mod group;
mod parts;
mod rest;
mod ring;
mod several;
mod shape;
mod slots;
mod spill;
mod word;

pub(crate) use group::{GROUP, GROUP_SMALL, Group, Items};
pub(crate) use ring::{Push, Ring, Taken};
pub(crate) use several::{CLAIM_MAX, PushSeveral};
pub(crate) use shape::{Marks, Shape, WhenFull};
#[cfg(all(bus_loom, test))]
pub(crate) use spill::Spill;
pub(crate) use word::Close;
