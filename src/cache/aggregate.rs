//! An entry's aggregate: computed from its newest states with nothing held, stored only if nobody stored a newer one.

use super::entry::{CacheEntry, Entry, Slot, Via};
use super::limits::Stamp;
use super::write::Change;
use super::{CacheCore, same};
use crate::message::entry_key::EntryKey;
use crate::message::{CacheUpdate, Message};
use crate::sync::{Arc, mutated, thread};
use crate::topic::audience::Audience;
use crate::topic::errands::Errands;
use crate::topic::{Topic, TopicCore};

/// One entry whose slots changed.
struct Job {
    cache: Arc<CacheCore>,
    key: EntryKey,
    /// A message of the entry's type.
    state: Message,
    /// What the aggregate must take into account.
    version: u64,
    outputs: Vec<Arc<TopicCore>>,
}

impl CacheCore {
    /// Sees to it that the aggregate takes `version` into account when the publish returns.
    pub(super) fn follow(
        &self,
        change: &Change<'_>,
        version: u64,
        outputs: &[&Arc<TopicCore>],
        errands: &mut Errands,
    ) {
        if !self.rules.has_aggregate() {
            return;
        }
        let Some(cache) = self.me.upgrade() else { return };
        let state = change.state.clone();
        let key = change.key.to_owned();
        let outputs = outputs.iter().map(|output| Arc::clone(output)).collect();
        let job = Job { cache, key, state, version, outputs };
        errands.after_mailboxes(move |errands| job.run(errands));
    }
}

/// What the function said of an entry.
enum Verdict {
    /// It is what it was, or the function panicked.
    Unchanged,
    Changed(Option<Message>),
}

impl Job {
    fn run(self, errands: &mut Errands) {
        while let Some(entry) = self.newest() {
            let verdict = self.judge(&entry);
            let Some(stored) = self.store(&entry, verdict, errands) else { continue };
            errands.retired();
            if let Some(aggregate) = stored.filter(|_| self.cache.rules.announces()) {
                errands.after_mailboxes(move |_| self.announce(&aggregate));
            }
            return;
        }
    }

    /// A copy of the entry, if its aggregate is older than we ask for.
    fn newest(&self) -> Option<Entry> {
        let copy = self.cache.map.get_with(&self.key, |entry| {
            let is_old = entry.computed() < self.version;
            is_old.then(|| entry.clone())
        });
        copy.flatten()
    }

    fn judge(&self, entry: &Entry) -> Verdict {
        let rules = &self.cache.rules;
        let found = rules.aggregate(&CacheEntry { kind: self.state.kind(), key: &self.key, entry });
        // Of what has no states any more nothing is left, whatever goes wrong.
        let Some(new) = found.or_else(|| entry.has_no_slot().then_some(None)) else {
            return Verdict::Unchanged;
        };
        let is_unchanged = same(new.as_ref(), entry.aggregate())
            || matches!((&new, entry.aggregate()), (Some(new), Some(old)) if rules.are_equal_aggregates(old, new));
        match is_unchanged {
            true => Verdict::Unchanged,
            false => Verdict::Changed(new),
        }
    }

    /// Stores what was computed from `entry`. `None`: an older aggregate came in between, so it is to be done again.
    /// `Some(Some)`: a new aggregate stands.
    fn store(&self, entry: &Entry, verdict: Verdict, errands: &mut Errands) -> Option<Option<Message>> {
        let cache = &self.cache;
        let outputs: Vec<_> = self.outputs.iter().collect();
        let new = match verdict {
            Verdict::Unchanged => None,
            Verdict::Changed(new) => Some(new),
        };
        let mut audience = cache.audience(&outputs);
        let heard = new.is_some() && cache.is_heard_by(&audience);
        let update = heard.then(|| {
            let (key, old) = (self.key.clone(), entry.aggregate().cloned());
            let update = CacheUpdate::new(cache.number, key, old, new.clone().flatten());
            update.into_message(&cache.exchange.cached.updates)
        });
        self.swap(entry, new.as_ref(), update, &mut audience, &outputs, errands)
    }

    /// The part under the shard's lock: bus code only. What it does not store it leaves to its caller to drop.
    fn swap<'t>(
        &'t self,
        entry: &Entry,
        new: Option<&Option<Message>>,
        update: Option<Message>,
        audience: &mut Audience<'t>,
        outputs: &'t [&'t Arc<TopicCore>],
        errands: &mut Errands,
    ) -> Option<Option<Message>> {
        if mutated!("cache.aggregate") {
            // The older the later.
            (entry.version..8).for_each(|_| thread::yield_now());
        }
        let cache = &self.cache;
        let hash = cache.map.hash_of(&self.key);
        let mut shard = cache.map.lock_for(hash);
        let spot = shard.spot(hash, &self.key);
        let Some(current) = spot.get() else { return Some(None) };
        if current.computed() >= entry.version && !mutated!("cache.aggregate") {
            return Some(None);
        }
        if !same(current.aggregate(), entry.aggregate()) && !mutated!("cache.aggregate") {
            return None;
        }
        let Some(new) = new else {
            current.set_computed(entry.version);
            if current.is_void() && !current.is_held() {
                let spent = current.clone();
                cache.put(spot, self.key.clone(), spent);
            }
            return Some(None);
        };
        audience.renew(cache.roots(outputs), errands);
        if update.is_none() && cache.is_heard_by(audience) {
            return None;
        }
        let mut next = current.clone();
        next.set_computed(entry.version);
        let slot = |message| Slot { message, via: Via::of(outputs), written: Stamp::new(0) };
        next.set_aggregate(new.clone().map(slot));
        cache.put(spot, self.key.clone(), next);
        cache.counts.aggregates.add(1);
        if let Some(update) = update {
            cache.tell(update, hash, audience, outputs, errands);
        }
        Some(new.clone())
    }

    /// Tells the user of the new aggregate, once for each caching topic that was written through.
    fn announce(&self, aggregate: &Message) {
        for output in &self.outputs {
            if let Some(original) = self.cache.original_of(output.id) {
                self.cache.rules.announce(&Topic(original), aggregate);
            }
        }
    }
}
