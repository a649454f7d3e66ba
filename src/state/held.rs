//! One state.

use crate::mailbox::{Filter, Key, Standing};
use crate::message::{Message, Origin};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, mutated};
use crate::topic::catch_up::{Place, Source};
use crate::topic::errands::Errands;
use crate::topic::walk::Walk;
use crate::topic::{Report, Topic};

pub(super) struct State {
    pub(super) id: Arc<str>,
    pub(super) topic: Topic,
    /// Unique in the process.
    number: u64,
    /// What mailboxes with `Conflate` know its messages by.
    key: Key,
    /// Explicit subscribers just now.
    subscribers: AtomicUsize,
    held: Mutex<Held>,
}

/// What its lock is over.
#[derive(Default)]
pub(super) struct Held {
    pub(super) last: Option<Message>,
    /// Those that published it, and were not removed.
    pub(super) origins: Vec<Origin>,
    gone: bool,
}

impl State {
    pub(super) fn new(id: &str, topic: Topic) -> Self {
        Self {
            id: id.into(),
            number: crate::ids::next(),
            key: Key::from((topic.core().id, id)),
            topic,
            subscribers: AtomicUsize::new(0),
            held: Mutex::new(Held::default()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }

    pub(super) fn last(&self) -> Option<Message> {
        self.held.lock().last.clone()
    }

    /// Nobody holds it any more. Returns its message, for whoever drops it.
    pub(super) fn retire(&self) -> Option<Message> {
        let mut held = self.held.lock();
        held.gone = true;
        held.last.take()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.held.lock().gone
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.subscribers.load(Ordering::Relaxed) > 0
    }

    pub(super) fn add_subscriber(&self) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove_subscriber(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Why `message` cannot be published here, as a report.
    pub(super) fn refused(&self, message: &Message) -> Option<Report> {
        let walk = Walk::from(self.topic.core());
        walk.refusal(message).map(|refusal| walk.refuse(refusal))
    }

    /// Stores `message` and puts it into every mailbox. `held` is this state's, locked by the caller, who
    /// [settles](Self::settle) after unlocking.
    pub(super) fn store(&self, held: &mut Held, message: Message, errands: &mut Errands) -> Report {
        if let Some(old) = held.last.replace(message.clone()) {
            errands.bury(old);
        }
        let place = Place { cache: self.number, shard: 0 };
        errands.announce([self.topic.core()], message, || self.key.clone(), place)
    }

    /// Does what storing left to be done. No lock is held.
    pub(super) fn settle(&self, errands: Errands, mut report: Report) -> Report {
        let topic = self.topic.core();
        report.add(&errands.finish(&topic.exchange));
        if !report.reached() {
            topic.unrouted.fetch_add(1, Ordering::Relaxed);
        }
        report
    }
}

/// A subscription that begins with the state: what there is is noted under the lock under which it is stored.
impl Source for State {
    fn number(&self) -> u64 {
        self.number
    }

    fn shards(&self) -> usize {
        1
    }

    fn ends(&self) -> bool {
        false
    }

    fn capture(&self, _: usize, filter: &Filter, mark: &dyn Fn(), into: &mut Vec<Standing>) {
        if mutated!("state.mark") {
            mark();
        }
        let held = self.held.lock();
        mark();
        // What it does not want is not taken: dropping it here could be the last drop.
        let wanted = held.last.as_ref().filter(|last| filter.accepts(last.kind()));
        into.extend(wanted.cloned().map(Standing::Message));
    }
}
