//! A mailbox in which a message replaces the one of its key that still waits.
//!
//! The messages wait in a *lane*, one slot for each key, in the order in which the keys came. The ring carries a *token*
//! for each slot, so that turn, IDLE, CLOSED and water marks are those of every other mailbox. The owner takes tokens in
//! groups, and exchanges each for the message at the front when it is about to call the handler: until then it can be
//! replaced. Under the lane's lock run lookups, moves and the push of a token; the key is found before, and what was
//! replaced is dropped after it.
//!
//! | who | slots | ring | then |
//! | --- | --- | --- | --- |
//! | publisher, its key waits | message replaced, one more lost for the key | | the old one is dropped: conflated |
//! | the same, the first update of an entry is replaced | it stays behind the newer one | | nothing to drop |
//! | publisher, new key, room | one more at the back | a token; perhaps the turn | |
//! | publisher, new key, as many as the capacity | the front one leaves, one more at the back | | evicted, told with the next delivery |
//! | publisher, CLOSED | unchanged | | closed |
//! | owner, one token | the front one leaves | | makes one update of the first and the last; calls the handler, which is told what the key lost |
//!
//! Slots and tokens are equal in number whenever the lock is free (tokens: in the ring or in the owner's group). So the
//! ring, of the same capacity, is never full, and every token finds a message. CLOSED is looked at under the lock: what
//! was replaced or appended before it has a token that the owner takes before it comes to the end.

use super::entry::Entry;
use super::key::{ConflateKey, Key};
use super::losses::Loss;
use super::{Arrived, Mailbox, Offer, Overflow, Standing};
use crate::dispatch::fence::PanicPlace;
use crate::dispatch::frames;
use crate::message::{Message, SubscriptionChange, update};
use crate::queue::{Push, WhenFull};
use crate::sync::{Mutex, mutated};
use std::collections::{HashMap, VecDeque};
use std::mem::{self, ManuallyDrop};
use std::num::NonZeroUsize;

/// What waits, by key.
pub(super) struct Lane {
    by: ConflateKey,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    /// The number of the front one; they are numbered as they come.
    front: u64,
    waiting: VecDeque<Slot>,
    by_key: HashMap<Key, u64>,
}

struct Slot {
    key: Option<Key>,
    word: NonZeroUsize,
    /// The update of an entry that was replaced first: the chain goes on from it.
    first: Option<NonZeroUsize>,
    /// Replaced in this slot so far.
    lost: u64,
}

/// What a word out of the ring stands for, before anything is made of it.
pub(super) enum Found {
    Entry(Entry),
    /// From before the ring.
    Standing(Standing),
    /// The first and the last of several updates of one entry.
    Updates {
        first: Entry,
        last: Entry,
    },
}

/// What became of a message under the lock.
enum Put {
    /// There is a token more.
    Pushed {
        turn: bool,
        index: u64,
        high: Option<u64>,
    },
    /// This one left, by its key's slot. It was counted.
    InsteadOf(NonZeroUsize),
    /// The front one did.
    InsteadOfFront(Slot),
    /// There was one of its key, which stays: it is the first.
    Behind,
    Closed,
}

impl Slots {
    fn find(&mut self, key: &Key) -> Option<&mut Slot> {
        let at = self.by_key.get(key)? - self.front;
        self.waiting.get_mut(at as usize)
    }

    fn append(&mut self, key: Option<Key>, word: NonZeroUsize) {
        if let Some(key) = key.clone() {
            self.by_key.insert(key, self.front + self.waiting.len() as u64);
        }
        self.waiting.push_back(Slot { key, word, first: None, lost: 0 });
    }

    fn take_front(&mut self) -> Option<Slot> {
        let slot = self.waiting.pop_front()?;
        self.front += 1;
        if let Some(key) = &slot.key {
            self.by_key.remove(key);
        }
        Some(slot)
    }
}

impl Lane {
    /// The lane of a mailbox with that policy, if it needs one.
    pub(super) fn of(overflow: &Overflow) -> Option<Box<Self>> {
        let Overflow::Conflate(by) = overflow else { return None };
        Some(Box::new(Self { by: by.clone(), slots: Mutex::new(Slots::default()) }))
    }

    /// What is at the front, for a token.
    fn take_front(&self) -> Option<Slot> {
        let slot = self.slots.lock().take_front();
        debug_assert!(slot.is_some(), "a token without a slot");
        slot
    }
}

impl Slot {
    /// # Safety
    ///
    /// It was taken out of the lane.
    unsafe fn found(self) -> (Found, u64) {
        // SAFETY: taken out, so it is ours alone.
        let last = unsafe { Entry::from_word(self.word) };
        let found = match self.first {
            None => Found::Entry(last),
            // SAFETY: as above.
            Some(first) => Found::Updates { first: unsafe { Entry::from_word(first) }, last },
        };
        (found, self.lost)
    }
}

impl Found {
    /// For who throws it away.
    pub(super) fn discard(self, into: &mut Vec<Entry>) {
        match self {
            Self::Entry(entry) => into.push(entry),
            Self::Updates { first, last } => into.extend([first, last]),
            Self::Standing(standing) => into.push(Entry::Plain(standing.into_state())),
        }
    }
}

impl Mailbox {
    /// Offers one reference to a mailbox with a lane. `before` is called before any user code.
    pub(super) fn offer_conflating(&self, lane: &Lane, word: NonZeroUsize, before: impl FnOnce()) -> Offer {
        before();
        // SAFETY: the reference is ours until it is in, and not dropped here.
        let entry = ManuallyDrop::new(unsafe { Entry::from_word(word) });
        let Some(key) = self.key_of(&lane.by, entry.message()) else { return self.refuse(Loss::Refused) };
        let mut replaced = Vec::new();
        self.offer_keyed(lane, word, key, &mut replaced)
    }

    /// The same with the key. What was replaced goes to `replaced`: dropping it is foreign code.
    pub(super) fn offer_keyed(
        &self,
        lane: &Lane,
        word: NonZeroUsize,
        key: Option<Key>,
        replaced: &mut Vec<Entry>,
    ) -> Offer {
        match self.put(lane, key, word) {
            Put::Pushed { turn, index, high } => return self.accepted_at(index, turn, false, high),
            // SAFETY: taken out of its slot, so it is ours alone.
            Put::InsteadOf(old) => replaced.push(unsafe { Entry::from_word(old) }),
            // SAFETY: as above.
            Put::InsteadOfFront(slot) => unsafe { slot.found() }.0.discard(replaced),
            Put::Behind => {}
            Put::Closed => return self.came_late(),
        }
        Offer::Accepted { turn: false, over_capacity: false, crossed: false }
    }

    /// User code, in a frame and a fence of its own. `None`: it panicked, which is counted and told.
    fn key_of(&self, by: &ConflateKey, message: &Message) -> Option<Option<Key>> {
        if let Some(update) = message.as_update() {
            return Some(Some(Key::of_update(update)));
        }
        if message.kind().name() == SubscriptionChange::TYPE_NAME {
            return Some(None);
        }
        let profile = &self.profile;
        let found = frames::enter(profile.bus, profile.id, || {
            profile.fence.run(&profile.name, PanicPlace::Key, || by.of(message))
        });
        if found.is_none() {
            self.losses.count_panics(1);
        }
        found
    }

    /// What leaves is counted under the lock: the owner takes the slot that came for it, so it comes to the end later.
    fn put(&self, lane: &Lane, key: Option<Key>, word: NonZeroUsize) -> Put {
        let mut slots = lane.slots.lock();
        if self.ring.is_closed() {
            return Put::Closed;
        }
        if let Some(slot) = key.as_ref().and_then(|key| slots.find(key)) {
            let lost = u64::from(!mutated!("conflate.told"));
            slot.lost += lost;
            self.losses.count(Loss::Conflated, lost);
            let old = mem::replace(&mut slot.word, word);
            if slot.first.is_none()
                && slot.key.as_ref().is_some_and(Key::is_entry)
                && !mutated!("conflate.first")
            {
                slot.first = Some(old);
                return Put::Behind;
            }
            return Put::InsteadOf(old);
        }
        if slots.waiting.len() as u64 >= self.ring.capacity()
            && let Some(oldest) = slots.take_front()
        {
            slots.append(key, word);
            self.losses.count_and_owe(Loss::Evicted, u64::from(!mutated!("conflate.evicted")));
            self.losses.owe(oldest.lost);
            return Put::InsteadOfFront(oldest);
        }
        match self.ring.push(Entry::TOKEN, WhenFull::Refuse) {
            Push::Accepted { turn, index, high, .. } => {
                slots.append(key, word);
                Put::Pushed { turn: turn && !mutated!("conflate.turn"), index, high }
            }
            // Never full: it has as many slots as the lane, and those that are taken are in the lane as well.
            Push::Full { .. } | Push::Closed => Put::Closed,
        }
    }

    /// What a word out of the ring stands for, and what its key lost. With a token: now, not when it was taken. Whoever
    /// follows it hears how it gets to the subscription: it is for right before that.
    ///
    /// # Safety
    ///
    /// `word` was taken out of the ring, and is opened once.
    #[inline(always)]
    pub(super) unsafe fn open(&self, word: NonZeroUsize, how: Arrived) -> (Entry, u64) {
        if Entry::is_plain(word) {
            // SAFETY: as the caller says.
            return (unsafe { Entry::from_word(word) }, 0);
        }
        self.open_token(word, how)
    }

    #[cold]
    fn open_token(&self, word: NonZeroUsize, how: Arrived) -> (Entry, u64) {
        // SAFETY: as the caller of `open` says.
        let (found, lost) = unsafe { self.find(word) };
        let mut entry = match found {
            Found::Entry(entry) => entry,
            Found::Standing(standing) => Entry::Plain(self.make(standing)),
            Found::Updates { first, last } => {
                let message = self.conflate(first, last.message());
                last.with_message(message)
            }
        };
        entry.arrive(&self.profile, how);
        (entry, lost)
    }

    /// What a word out of the ring stands for, and what its key lost. Makes and drops nothing, so it can be done under a
    /// lock.
    ///
    /// # Safety
    ///
    /// As [`open`](Self::open).
    pub(super) unsafe fn find(&self, word: NonZeroUsize) -> (Found, u64) {
        let lane = self.lane.as_ref().filter(|_| word == Entry::TOKEN);
        if let Some(slot) = lane.and_then(|lane| lane.take_front()) {
            // SAFETY: just taken out.
            return unsafe { slot.found() };
        }
        if word == Entry::STANDING
            // SAFETY: the caller took the token.
            && let Some(standing) = unsafe { self.pop_standing() }
        {
            return (Found::Standing(standing), 0);
        }
        // SAFETY: as the caller says.
        (Found::Entry(unsafe { Entry::from_word(word) }), 0)
    }

    /// One update in the place of two, and of those in between. Drops may run: foreign code.
    pub(super) fn conflate(&self, first: Entry, last: &Message) -> Message {
        frames::enter(self.profile.bus, self.profile.id, || {
            let message = update::conflate(first.message(), last);
            drop(first);
            message.unwrap_or_else(|| last.clone())
        })
    }

    /// How many were accepted without a token of their own.
    pub(super) fn accepted_in_lane(&self) -> u64 {
        self.lane.as_ref().map_or(0, |_| {
            let lost = self.losses.read();
            lost.conflated + lost.evicted
        })
    }
}
