//! What stands before a mailbox's ring: the snapshot of a subscription that catches up, which is subject to no policy.
//!
//! The messages stand in a list of the owner's, in order. For each that it takes out the owner's group has a *token*, as
//! for a lane (`conflate`), which is exchanged for the message when the handler is about to be called: only then the
//! update of an entry is made. So groups, budgets, batches and readers are those of every other message.
//!
//! | who | step | the turn |
//! | --- | --- | --- |
//! | subscribe, before anybody sees the mailbox | clears IDLE | is subscribe's |
//! | publishers, closers | into the ring as ever, CLOSED as ever | they find IDLE down, and leave it |
//! | subscribe | places the list; passes the turn on | on its way |
//! | owner | takes from the list until it is empty, then from the ring | the owner's |
//!
//! A thread of its own needs no turn, so it does not begin before the list is placed; a reader has its lock instead. The
//! items have negative indices (counted back from the ring's 0), so that positions told to handlers go on into the ring.

use super::entry::Entry;
use super::losses::Loss;
use super::{Consumer, Mailbox};
use crate::dispatch::frames;
use crate::message::entry_key::EntryKey;
use crate::message::update::CacheUpdate;
use crate::message::{Message, MessageType, SubscriptionChange};
use crate::queue::{Items, Taken};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{UnsafeCell, mutated};
use std::vec;

/// `left` before the list is placed.
const NOT_PLACED: u64 = u64::MAX;

/// One thing before the ring.
#[derive(Debug)]
pub(crate) enum Standing {
    /// A message as it is.
    Message(Message),
    /// The state of an entry: told as an update from nothing.
    Entry { key: EntryKey, state: Message },
}

impl Standing {
    /// Its message, without an update around it.
    pub(super) fn into_state(self) -> Message {
        match self {
            Self::Message(state) | Self::Entry { state, .. } => state,
        }
    }
}

/// The list, and what others may know of it.
pub(crate) struct Prelude {
    updates: MessageType<CacheUpdate>,
    /// Whose entries stand in it.
    cache: u64,
    items: UnsafeCell<vec::IntoIter<Standing>>,
    total: AtomicU64,
    /// Of these, what did not come by the topic: all but its own `Subscribe`.
    brought: AtomicU64,
    /// Not taken out yet.
    left: AtomicU64,
}

impl Prelude {
    fn new(updates: MessageType<CacheUpdate>, cache: u64) -> Self {
        Self {
            updates,
            cache,
            items: UnsafeCell::new(Vec::new().into_iter()),
            total: AtomicU64::new(0),
            brought: AtomicU64::new(0),
            left: AtomicU64::new(NOT_PLACED),
        }
    }

    pub(super) fn is_placed(&self) -> bool {
        // ORDERING(prelude.placed): Acquire; pairs with the Release in `place`: the thread that sees it has the list.
        self.left.load(Ordering::Acquire) != NOT_PLACED
    }

    /// How many there were, and how many of them still stand.
    fn count(&self) -> (u64, u64) {
        // ORDERING(prelude.left): Acquire; pairs with the Release in `take_all`: what does not stand any more was counted.
        match self.left.load(Ordering::Acquire) {
            NOT_PLACED => (0, 0),
            left => (self.total.load(Ordering::Relaxed), left),
        }
    }

    /// # Safety
    ///
    /// The caller is the owner.
    unsafe fn place(&self, items: Vec<Standing>) {
        let total = items.len() as u64;
        let is_change = |message: &Message| message.kind().name() == SubscriptionChange::TYPE_NAME;
        let own = matches!(items.first(), Some(Standing::Message(message)) if is_change(message));
        self.brought.store(total - u64::from(own), Ordering::Relaxed);
        // SAFETY: as the caller says.
        self.items.with_mut(|list| unsafe { *list = items.into_iter() });
        self.total.store(total, Ordering::Relaxed);
        // ORDERING(prelude.placed): Release; pairs with the Acquire in `is_placed`.
        self.left.store(total, Ordering::Release);
    }

    /// # Safety
    ///
    /// The caller is the owner.
    unsafe fn is_empty(&self) -> bool {
        // SAFETY: as the caller says.
        self.items.with(|list| unsafe { (*list).len() == 0 })
    }

    /// Tokens for the next items, which are opened before the next take. `None`: there are none.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    unsafe fn take<const N: usize>(&self, group: &mut Items<N>, most: usize) -> Option<Taken> {
        // SAFETY: as the caller says.
        let stand = self.items.with(|list| unsafe { (*list).len() });
        if stand == 0 {
            return None;
        }
        let taken = stand.min(most);
        group.fill(Entry::STANDING, taken);
        self.left.store((stand - taken) as u64, Ordering::Relaxed);
        Some(Taken::Some { first: 0_u64.wrapping_sub(stand as u64), missed: 0 })
    }

    /// The next item, for a token. The list goes with the last one.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    pub(super) unsafe fn pop(&self) -> Option<Standing> {
        // SAFETY: as the caller says.
        self.items.with_mut(|list| unsafe {
            let item = (*list).next();
            if (*list).len() == 0 {
                *list = Vec::new().into_iter();
            }
            item
        })
    }

    /// Everything that still stands. `count` is told how many, before anybody finds them gone.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    pub(super) unsafe fn take_all(&self, count: impl FnOnce(u64)) -> vec::IntoIter<Standing> {
        // SAFETY: as the caller says.
        let rest =
            self.items.with_mut(|list| unsafe { std::mem::replace(&mut *list, Vec::new().into_iter()) });
        if rest.len() > 0 {
            count(rest.len() as u64);
            // ORDERING(prelude.left): Release; pairs with the Acquire in `count`.
            self.left.store(0, Ordering::Release);
        }
        rest
    }
}

impl Mailbox {
    /// Something will stand before the ring. Nobody else has the mailbox yet, and the caller has its turn from now on.
    pub(crate) fn with_prelude(mut self, updates: MessageType<CacheUpdate>, cache: u64) -> Self {
        self.prelude = Some(Box::new(Prelude::new(updates, cache)));
        if !mutated!("prelude.turn") {
            self.ring.hold();
        }
        self
    }

    /// Puts `items` before the ring.
    ///
    /// # Safety
    ///
    /// The caller has the turn; of a stream, its reader's lock.
    pub(super) unsafe fn place(&self, items: Vec<Standing>) {
        if let Some(prelude) = &self.prelude {
            // SAFETY: as the caller says.
            unsafe { prelude.place(items) };
        }
    }

    /// Puts `items` before the ring, and passes the turn on. True: a pool has a new job, and its `flush` is the caller's
    /// to call.
    ///
    /// # Safety
    ///
    /// The caller has the turn since [`with_prelude`](Self::with_prelude). Not for streams.
    pub(crate) unsafe fn place_and_pass(&self, items: Vec<Standing>) -> bool {
        // SAFETY: as the caller says.
        unsafe { self.place(items) };
        self.woken(self.coarse_now());
        self.pass_turn()
    }

    /// What will stand before its ring is not there yet: nobody runs it.
    pub(super) fn is_catching_up(&self) -> bool {
        self.prelude.as_ref().is_some_and(|prelude| !prelude.is_placed())
    }

    /// How many messages stood before the ring, and how many still do.
    pub(super) fn prelude_count(&self) -> (u64, u64) {
        self.prelude.as_ref().map_or((0, 0), |prelude| prelude.count())
    }

    /// Of what was accepted, what has not come by the topic.
    pub(super) fn brought(&self) -> u64 {
        self.prelude.as_ref().map_or(0, |prelude| prelude.brought.load(Ordering::Relaxed))
    }

    /// What an index of the ring, or a negative one before it, lacks to the position that handlers are told.
    #[inline]
    pub(super) fn seq_base(&self) -> u64 {
        self.prelude.as_ref().map_or(0, |prelude| prelude.total.load(Ordering::Relaxed))
    }

    /// # Safety
    ///
    /// The caller has the turn.
    #[inline]
    pub(super) unsafe fn has_prelude(&self) -> bool {
        // SAFETY: as the caller says.
        self.prelude.as_ref().is_some_and(|prelude| unsafe { !prelude.is_empty() })
    }

    /// What stands before the ring, if anything does: it comes first. Thrown away, counted, if the queue is.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(super) unsafe fn take_prelude<const N: usize>(
        &self,
        group: &mut Items<N>,
        most: usize,
    ) -> Option<Taken> {
        let prelude = self.prelude.as_ref()?;
        // SAFETY: as the caller says. A reader throws it away itself, outside its lock.
        unsafe {
            if self.is_discarding() && !matches!(self.consumer, Consumer::Stream(_)) {
                self.throw_away_prelude();
            }
            prelude.take(group, self.ring.group_of(most))
        }
    }

    /// # Safety
    ///
    /// The caller has the turn, and no lock.
    pub(super) unsafe fn throw_away_prelude(&self) {
        let Some(prelude) = &self.prelude else { return };
        // SAFETY: as the caller says.
        let rest = unsafe { prelude.take_all(|rest| _ = self.losses.count(Loss::Discarded, rest)) };
        if rest.len() > 0 {
            frames::enter(self.profile.bus, self.profile.id, || drop(rest));
        }
    }

    /// The next item before the ring, for a token.
    ///
    /// # Safety
    ///
    /// The caller has the turn, and took the token.
    pub(super) unsafe fn pop_standing(&self) -> Option<Standing> {
        // SAFETY: as the caller says.
        self.prelude.as_ref().and_then(|prelude| unsafe { prelude.pop() })
    }

    /// The message of an item. Making one may drop values that came home: foreign code.
    pub(super) fn make(&self, standing: Standing) -> Message {
        match (standing, &self.prelude) {
            (Standing::Entry { key, state }, Some(prelude)) => {
                let update = CacheUpdate::of_snapshot(prelude.cache, key, state);
                frames::enter(self.profile.bus, self.profile.id, || update.into_message(&prelude.updates))
            }
            (standing, _) => standing.into_state(),
        }
    }
}
