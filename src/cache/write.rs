//! A message is kept: the writer's side of the protocol in the folder's header.

use super::entry::{Entry, Slot, SlotRef, Via};
use super::limits::Stamp;
use super::watch::News;
use super::{CacheCore, same};
use crate::map::Hashed;
use crate::message::entry_key::KeyRef;
use crate::message::kind::Kind;
use crate::message::{CacheUpdate, Message, Origin};
use crate::sync::{Arc, mutated, thread};
use crate::topic::TopicCore;
use crate::topic::audience::Audience;
use crate::topic::catch_up::Place;
use crate::topic::errands::Errands;
use crate::topic::tap::Store;

/// What is to become of one slot.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    /// A message of the slot; unless it is cleared, the one that is to stand there.
    pub(crate) state: &'a Message,
    /// Its origin.
    pub(crate) origin: Origin,
    pub(crate) key: KeyRef<'a>,
    pub(crate) is_clear: bool,
    /// What must stand there for it; `None`: whatever does.
    pub(crate) expected: Option<&'a Message>,
    pub(crate) only: Only,
}

/// What must hold of the entry under the lock, or nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    Always,
    /// This lease owns it, which it does no more afterwards.
    Owned(u64),
    /// The slot was not written after this time.
    UnwrittenSince(u64),
}

impl Only {
    fn holds(self, entry: Option<&Entry>, slot: Option<SlotRef<'_>>) -> bool {
        match self {
            Self::Always => true,
            Self::Owned(lease) => {
                mutated!("lease.number") || entry.is_some_and(|entry| entry.lease() == lease)
            }
            Self::UnwrittenSince(time) => slot.is_some_and(|slot| slot.written() <= time),
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Changed,
    /// It was so already, or an equal message stands there.
    Unchanged,
    /// Something else stands there than was expected.
    Outdated,
}

/// A slot as the writer saw it before it locked.
#[derive(Default)]
struct Seen {
    old: Option<Message>,
    /// The state is equal to the one seen, so that it is left out.
    is_equal: bool,
    /// The entry's, if there is one.
    version: Option<u64>,
}

/// What was found out before the lock is taken.
struct Attempt<'a> {
    change: &'a Change<'a>,
    hash: Hashed,
    outputs: &'a [&'a Arc<TopicCore>],
    audience: Audience<'a>,
    seen: Seen,
    /// What is to be told, if anybody listens.
    update: Option<Message>,
    time: u64,
}

/// What came of one attempt under the lock.
enum Step {
    /// At this version of the entry; who watches it has news.
    Swapped {
        version: u64,
        news: Option<News>,
        is_new: bool,
    },
    /// The entry, if there is one, is of this version.
    Left(Option<u64>),
    Again,
}

impl<'a> Change<'a> {
    fn kind(&self) -> &'a Kind {
        self.state.kind()
    }

    /// What is to stand there; `None`: nothing.
    fn next(&self) -> Option<&'a Message> {
        (!self.is_clear).then_some(self.state)
    }
}

impl Store for CacheCore {
    fn number(&self) -> u64 {
        self.number
    }

    fn name(&self) -> Arc<str> {
        self.rules.name.clone()
    }

    fn keep(&self, message: &Message, outputs: &[&Arc<TopicCore>], errands: &mut Errands) -> bool {
        let control = &self.exchange.cached;
        let cleared = control.clears.read(message);
        let state = cleared.map_or(message, |clear| &clear.state);
        let is = |kind: &Arc<Kind>| std::ptr::eq(state.kind(), &raw const **kind);
        if is(self.exchange.changes.kind()) || is(control.snapshot_ends.kind()) || is(control.clears.kind()) {
            return false;
        }
        // Each update of an update would be told as another one: without end, of this cache, or of two that hear each other.
        if state.as_update().is_some_and(|update| update.cache() == self.number || update.is_of_update()) {
            return false;
        }
        let Some(origin) = state.origin().filter(|_| self.may_keep(state)) else { return false };
        let Some(id) = self.rules.id(state) else { return false };
        let change = Change {
            state,
            origin,
            key: KeyRef::new(state.type_id(), &id),
            is_clear: cleared.is_some(),
            expected: None,
            only: Only::Always,
        };
        self.write(&change, outputs, errands) == Outcome::Changed
    }
}

impl CacheCore {
    /// Whether its value is of the type that an entry of its type's number has: [`CachePin::read`](super::CachePin::read)
    /// does not look again.
    fn may_keep(&self, state: &Message) -> bool {
        self.knows(state.kind()) && !state.is_declined()
    }

    /// Brings `change` about and announces it to `outputs`, and to who listens to the cache as a whole. The caller holds
    /// no lock, and sees to the errands.
    pub(crate) fn write<'a>(
        &'a self,
        change: &'a Change<'a>,
        outputs: &'a [&'a Arc<TopicCore>],
        errands: &mut Errands,
    ) -> Outcome {
        let hash = self.map.hash_of(&change.key);
        loop {
            let audience = self.audience(outputs);
            let seen = match self.depends_on_old(change) {
                true => self.look(change),
                false => Seen::default(),
            };
            if change.expected.is_some() && !same(change.expected, seen.old.as_ref()) {
                return Outcome::Outdated;
            }
            // What is not there need not go. Who took it out may not have come to the aggregate yet.
            if change.is_clear && seen.old.is_none() {
                if let Some(version) = seen.version {
                    self.follow(change, version, outputs, errands);
                }
                return Outcome::Unchanged;
            }
            let update = self.is_heard_by(&audience).then(|| self.update(change, &seen));
            let time = self.stamp();
            let mut attempt = Attempt { change, hash, outputs, audience, seen, update, time };
            let step = self.swap(&mut attempt, errands);
            let (outcome, version) = match step {
                Step::Again => continue,
                Step::Swapped { version, news, is_new } => {
                    errands.retired();
                    self.pass_on(news, errands);
                    self.bound(|| change.key.to_owned(), time, is_new, errands);
                    (Outcome::Changed, Some(version))
                }
                Step::Left(version) => {
                    // Its time begins anew: the alarm's work may have met it when it was up, and leave it standing.
                    self.bound(|| change.key.to_owned(), time, false, errands);
                    (Outcome::Unchanged, version)
                }
            };
            self.count(outcome, &attempt.seen);
            if let Some(version) = version {
                self.follow(change, version, outputs, errands);
            }
            return outcome;
        }
    }

    /// Who would get an update now.
    pub(super) fn audience<'t>(&'t self, outputs: &'t [&'t Arc<TopicCore>]) -> Audience<'t> {
        Audience::of(self.roots(outputs))
    }

    pub(super) fn is_heard_by(&self, audience: &Audience<'_>) -> bool {
        audience.wants(self.exchange.cached.updates.kind())
    }

    /// Where updates go.
    pub(super) fn roots<'a>(
        &'a self,
        outputs: &'a [&'a Arc<TopicCore>],
    ) -> impl Iterator<Item = &'a Arc<TopicCore>> + Clone {
        outputs.iter().copied().chain([self.updates.core()])
    }

    fn look(&self, change: &Change<'_>) -> Seen {
        let is_local = self.is_local(change.origin);
        let seen = self.map.get_with(&change.key, |entry| {
            let old = entry.slot(change.origin, is_local).map(|slot| slot.message().clone());
            Seen { old, version: Some(entry.version), ..Seen::default() }
        });
        let mut seen = seen.unwrap_or_default();
        if let (Some(old), Some(new)) = (&seen.old, change.next()) {
            seen.is_equal = !old.is_same(new) && self.rules.are_equal(old, new);
        }
        seen
    }

    fn update(&self, change: &Change<'_>, seen: &Seen) -> Message {
        CacheUpdate::new(self.number, change.key.to_owned(), seen.old.clone(), change.next().cloned())
            .into_message(&self.exchange.cached.updates)
    }

    /// The part under the shard's lock: bus code only. What it replaces is dropped later, by others.
    fn swap<'a>(&'a self, attempt: &mut Attempt<'a>, errands: &mut Errands) -> Step {
        let Attempt { change, hash, outputs, audience, seen, update, time } = attempt;
        let is_local = self.is_local(change.origin);
        let slot =
            |new: &Message| Slot { message: new.clone(), via: Via::of(outputs), written: Stamp::new(*time) };
        let slot = change.next().map(slot);
        let mut shard = self.map.lock_for(*hash);
        // What stands there is told as what was there before, which counts a reference to it.
        let mut spot = shard.spot_asking(*hash, &change.key, |lead| Message::ask_to_count::<()>(lead.0));
        let current = spot.get();
        let stands = current.and_then(|entry| entry.slot(change.origin, is_local));
        let old = stands.map(SlotRef::message);
        if !change.only.holds(current, stands) {
            return Step::Left(None);
        }
        let left_as_it_is = || {
            stands.inspect(|slot| slot.set_written(*time));
            Step::Left(current.map(|entry| entry.version))
        };
        if same(old, change.next()) {
            return left_as_it_is();
        }
        let depends = self.depends_on_old(change);
        if depends && !same(old, seen.old.as_ref()) && !mutated!("cache.expected") {
            return Step::Again;
        }
        if seen.is_equal {
            return left_as_it_is();
        }
        audience.renew(self.roots(outputs), errands);
        if update.is_none() && self.is_heard_by(audience) {
            return Step::Again;
        }
        if let Some(update) = update.as_mut().filter(|_| !depends) {
            self.exchange.cached.fill_in(update, old.cloned());
        }
        // One whose aggregate has yet to go may have been taken out to make room.
        let is_new = slot.is_some() && current.is_none_or(Entry::has_no_slot);
        let (came, went) = (old.is_none(), slot.is_none());
        let fresh = || self.empty_entry(spot.sequence());
        let mut next = current.map_or_else(fresh, |entry| entry.without_slot(is_local));
        next.set_slot(change.origin, is_local, slot);
        next.version = spot.next_sequence();
        spot.note(came, went);
        if matches!(change.only, Only::Owned(_)) {
            next.set_lease(0);
        }
        let version = next.version;
        let cell = next.watch().cloned().filter(|_| is_local);
        let key = spot.key().cloned().unwrap_or_else(|| change.key.to_owned());
        if mutated!("cache.push_early")
            && let Some(update) = update.take()
        {
            self.tell(update, *hash, audience, outputs, errands);
        }
        self.put(spot, key, next);
        if mutated!("cache.push_late") {
            drop(shard);
            thread::yield_now();
        }
        let news = cell.map(|cell| cell.store(change.next().cloned(), version));
        if let Some(update) = update.take() {
            self.tell(update, *hash, audience, outputs, errands);
        }
        Step::Swapped { version, news, is_new }
    }

    /// Who watches hears of it when every mailbox has the update.
    fn pass_on(&self, news: Option<News>, errands: &mut Errands) {
        let (Some(news), Some(cache)) = (news, self.me.upgrade()) else { return };
        errands.after_mailboxes(move |_| news.tell(&cache));
    }

    /// Whether what was found before the lock counts only of the very slot that was looked at.
    fn depends_on_old(&self, change: &Change<'_>) -> bool {
        change.is_clear || change.expected.is_some() || self.rules.suppresses(change.kind())
    }

    /// Pushes an update of an entry. The caller has the lock of its shard.
    pub(super) fn tell(
        &self,
        update: Message,
        entry: Hashed,
        audience: &mut Audience<'_>,
        outputs: &[&Arc<TopicCore>],
        errands: &mut Errands,
    ) {
        let place = Place { cache: self.number, shard: self.map.shard_of(entry) };
        errands.announce_update(audience, self.roots(outputs), update, place);
    }

    fn count(&self, outcome: Outcome, seen: &Seen) {
        if outcome == Outcome::Unchanged && seen.is_equal {
            self.counts.suppressed.add(1);
        }
    }
}
