//! One thread's publishes, with the lists kept in between.
//!
//! # Which list a publish uses
//!
//! Every list of a topic has a number, its *version*; the topic has a word with the version of the list that stands, or of
//! the one that comes next.
//!
//! | writer, under the topic's writer lock | publisher, for each topic it has a list of |
//! | --- | --- |
//! | stores v + 1 into the word | reads the word: another version than its list's? collects anew |
//! | swaps the list for one with version v + 1 | else uses its list |
//! | unlocks, returns | |
//!
//! After a cancel, an unsubscribe or a filter change has returned, no publish that begins later, in the order of what
//! happened before what, uses the old list: the store happened before the read, so the read sees that store or a later
//! one (coherence of one word; no ordering stronger than Relaxed is needed for that), and no later one has the old
//! version. The load that follows sees the new list for the same reason. Edges are followed by lists, so a topic that
//! comes or goes changes a list that is kept.
//!
//! A publish that runs at the same time may go by either list, but a change has one moment for all ways to publish, that of
//! the swap: whoever met the new list, by whatever way, is followed by nobody who goes by the old one. For the
//! word was stored before the swap, so who comes after a load that saw the new list reads the word's new version. In
//! between store and swap a publisher collects the old list once more; its version is not the word's, so it
//! collects again next time. (Were the word stored last, a thread that publishes by the topic and by a publisher in turn
//! could leave a gap: the first message misses a subscription that is going, and the second reaches it.)
//!
//! What is kept is memory. An ended mailbox is closed, and an inline handler is behind its gate
//! ([`gate`](super::gate)): a walk over an old list finds it retired and loads the list anew, and an idle publisher is
//! no walk. So it delays no ending, and handlers are dropped at their end.
//!
//! # Counting
//!
//! A publisher counts in a line of its own with plain stores, and every topic it reaches has that line in its *ledger*:
//!
//! | step | under the ledger's lock |
//! | --- | --- |
//! | the publisher meets a topic first | an account: the line, and where its count stood |
//! | it meets it no more, or is dropped | the account's sum goes to the topic's own counts, the account goes |
//! | somebody asks for the topic's figures | the topic's own counts and the sums of all accounts |
//! | an inline subscription ends | the line has the publisher's [seat](super::gate), too |
//!
//! So nothing is lost, and nothing is counted twice. What a forward brought to a topic is the count since its account was
//! opened: one store per publish counts for all topics.

use super::batch::{Batch, only};
use super::calls::call_straight;
use super::collect::{Reached, collect_owned};
use super::gate::{Gate, Seat};
use super::hot::Hot;
use super::walk::Walk;
use super::{BatchReport, Report, Sums, Topic, TopicCore};
use crate::message::{Message, MessageType};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, CachePadded, LazyBox, Mutex};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::mem::ManuallyDrop;

/// What one publisher counted. One thread at a time writes, anybody reads.
#[derive(Default)]
pub(super) struct Counts {
    /// Publishes that were walked: they count at every topic reached.
    walked: AtomicU64,
    /// Publishes that were not made because nobody wanted them.
    unwanted: AtomicU64,
    /// Walks that nobody took anything of.
    unrouted: AtomicU64,
    /// Where its walk is.
    pub(super) seat: Seat,
}

impl Counts {
    #[inline]
    fn walked(&self, messages: u64) -> u64 {
        add(&self.walked, messages)
    }

    pub(super) fn unwanted(&self) {
        let _ = add(&self.unwanted, 1);
    }

    pub(super) fn unrouted(&self, messages: u64) {
        let _ = add(&self.unrouted, messages);
    }
}

/// Single writer: no locked instruction. Returns what stood before.
#[inline]
fn add(count: &AtomicU64, more: u64) -> u64 {
    let before = count.load(Ordering::Relaxed);
    count.store(before + more, Ordering::Relaxed);
    before
}

/// The publishers that reach one topic, by their numbers. Takes no memory until there is one.
pub(super) struct Ledger(LazyBox<Mutex<BTreeMap<u64, Account>>>);

struct Account {
    counts: Arc<CachePadded<Counts>>,
    /// `None`: the publisher's own topic. Else what it had walked when it met this one.
    since: Option<u64>,
}

impl Account {
    fn sums(&self) -> Sums {
        let Counts { walked, unwanted, unrouted, .. } = &**self.counts;
        let [walked, unwanted, unrouted] = [walked, unwanted, unrouted].map(|n| n.load(Ordering::Relaxed));
        match self.since {
            Some(since) => Sums { arrived: walked - since, ..Sums::default() },
            None => Sums { published: walked + unwanted, arrived: 0, unrouted: unrouted + unwanted },
        }
    }
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self(LazyBox::new())
    }

    /// Whether some publisher's walk is inside `gate`.
    pub(super) fn has_inside(&self, gate: &Gate) -> bool {
        let is_inside = |account: &Account| account.counts.seat.is_in(gate);
        self.0.get().is_some_and(|accounts| accounts.lock().values().any(is_inside))
    }
}

impl TopicCore {
    fn open_account(&self, publisher: u64, account: Account) {
        self.ledger.0.get_or_make(|| Mutex::new(BTreeMap::new())).lock().insert(publisher, account);
    }

    fn close_account(&self, publisher: u64) {
        let Some(accounts) = self.ledger.0.get() else { return };
        let mut ledger = accounts.lock();
        let Some(account) = ledger.remove(&publisher) else { return };
        let sums = account.sums();
        self.published.fetch_add(sums.published, Ordering::Relaxed);
        self.arrived.fetch_add(sums.arrived, Ordering::Relaxed);
        self.unrouted.fetch_add(sums.unrouted, Ordering::Relaxed);
    }

    /// What was counted here, and by publishers for here.
    pub(super) fn sums(&self) -> Sums {
        // None: no publisher has ever counted for here, and what is in the topic's own counts is all of it.
        let ledger = self.ledger.0.get().map(Mutex::lock);
        let mut sums = Sums {
            published: self.published.load(Ordering::Relaxed) + self.hot.get().map_or(0, Hot::published),
            arrived: self.arrived.load(Ordering::Relaxed),
            unrouted: self.unrouted.load(Ordering::Relaxed),
        };
        for account in ledger.iter().flat_map(|ledger| ledger.values()) {
            let Sums { published, arrived, unrouted } = account.sums();
            sums.published += published;
            sums.arrived += arrived;
            sums.unrouted += unrouted;
        }
        sums
    }
}

/// A publisher's lists, and where it counts.
struct View {
    id: u64,
    counts: Arc<CachePadded<Counts>>,
    /// The publisher's own topic first; it is held by the publisher.
    reached: Vec<Reached>,
}

impl View {
    fn of(topic: &TopicCore) -> Self {
        let mut view = Self { id: crate::ids::next(), counts: Arc::default(), reached: Vec::new() };
        view.collect_anew(topic);
        view
    }

    /// The lists as they are now. One plain load for each, as long as nothing changes.
    #[inline]
    fn refresh(&mut self, topic: &TopicCore) {
        if !self.reached.iter().all(Reached::is_current) {
            self.collect_anew(topic);
        }
    }

    #[cold]
    fn collect_anew(&mut self, topic: &TopicCore) {
        let fresh = collect_owned(topic, 0);
        let pointers = |lists: &[Reached]| lists.iter().map(|reached| reached.topic() as *const _).collect();
        let (before, now): (HashSet<*const TopicCore>, HashSet<_>) =
            (pointers(&self.reached), pointers(&fresh));
        for gone in
            self.reached.iter().map(Reached::topic).filter(|topic| !now.contains(&(*topic as *const _)))
        {
            gone.close_account(self.id);
        }
        let walked = self.counts.walked.load(Ordering::Relaxed);
        for (at, reached) in fresh.iter().enumerate() {
            if !before.contains(&(reached.topic() as *const _)) {
                let since = (at > 0).then_some(walked);
                reached.topic().open_account(self.id, Account { counts: self.counts.clone(), since });
            }
        }
        // The old lists go: topics and mailboxes may go with them.
        self.reached = fresh;
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.reached.iter().for_each(|reached| reached.topic().close_account(self.id));
    }
}

/// A topic as one thread publishes on it: a [`Topic`] with a memory.
///
/// Every method does what the one of the same name of [`Topic`] does, with the same guarantees. It is cheaper because it
/// keeps the lists of subscriptions that its last publish used, of its own topic and of all that forwards lead to, and
/// only asks whether they still stand: one plain load for each topic reached. It also counts in memory of its own, which
/// no other publisher writes to; figures include what it has counted at any time.
///
/// After a cancel, an unsubscribe or a filter change has returned, no publish that begins later uses what was kept, also
/// if it begins on another thread that has learned of the return by any means. A subscription comes and goes at one moment
/// for all ways to publish: a thread that uses several in turn leaves no gap in what it hears.
///
/// Each thread makes its own, by [`Topic::publisher`]; it can be sent to another thread. In between publishes it keeps
/// memory of subscriptions that have ended since (never their handlers, which are dropped at their end), and the topics
/// that were forwarded to at its last publish. It delays no ending.
///
/// ```
/// use stasis_bus::Bus;
/// let bus = Bus::builder().manual().build()?;
/// let level = bus.message_type::<u32>("level")?;
/// let topic = bus.topic("levels")?;
/// let _log = topic.subscribe("log", |_| {})?;
/// let mut publisher = topic.publisher();
/// for value in 0..10 {
///     assert!(publisher.publish(level.message(value)).reached());
/// }
/// assert_eq!(topic.stats().published, 10);
/// # Ok::<(), stasis_bus::Error>(())
/// ```
pub struct Publisher {
    // Goes first: its lists hold the other topics, and its own one must be there until it is gone.
    view: View,
    topic: Topic,
}

impl Topic {
    /// Makes a handle for one thread that publishes here often: see [`Publisher`]. Cost: a few allocations, and a list
    /// load for each topic reached.
    pub fn publisher(&self) -> Publisher {
        Publisher { view: View::of(&self.0), topic: self.clone() }
    }
}

impl Publisher {
    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Delivers `message` to every subscription on every topic reachable from here, once each. As [`Topic::publish`],
    /// for less.
    pub fn publish(&mut self, message: Message) -> Report {
        let walk = Walk::from(&self.topic.0);
        match walk.refusal(&message) {
            Some(refusal) => walk.refuse(refusal),
            // Its reference is the walk's.
            None => self.publish_admitted(&ManuallyDrop::new(message), 1),
        }
    }

    /// Delivers a message that the caller keeps. As [`Topic::republish`], for less.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (tick, topic) = (bus.message_type::<u64>("tick")?, bus.topic("ticks")?);
    /// let _count = topic.subscription("count").inline(|_| {})?;
    /// let (mut publisher, again) = (topic.publisher(), tick.message(1));
    /// let calls: u32 = (0..10).map(|_| publisher.republish(&again).accepted).sum();
    /// assert_eq!(calls, 10);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn republish(&mut self, message: &Message) -> Report {
        let walk = Walk::from(&self.topic.0);
        match walk.refusal(message) {
            Some(refusal) => walk.refuse(refusal),
            None => self.publish_admitted(message, 0),
        }
    }

    /// `ours` as in [`Walk::deliver`]: one from [`publish`](Self::publish), none from [`republish`](Self::republish).
    #[inline(always)]
    fn publish_admitted(&mut self, message: &Message, ours: usize) -> Report {
        self.view.refresh(&self.topic.0);
        let number = self.view.counts.walked(1);
        if !self.topic.0.times(number)
            && let Some(accepted) = call_straight(&self.view.reached, &self.view.counts.seat, message)
        {
            // SAFETY: as the caller says, and none was handed out.
            unsafe { Message::release(ManuallyDrop::new(std::ptr::read(message)), ours) };
            return Report { accepted, ..Report::default() };
        }
        let walk = Walk::from(&self.topic.0).counted_by(&self.view.counts);
        walk.numbered(number);
        walk.deliver(&self.view.reached, message, ours)
    }

    /// Delivers `messages`, in their order. As [`Topic::publish_batch`], for less.
    pub fn publish_batch(&mut self, mut messages: Vec<Message>) -> BatchReport {
        if let Some(only) = only(&mut messages) {
            return BatchReport::of_one(&self.publish(only));
        }
        self.view.refresh(&self.topic.0);
        let walk = Walk::from(&self.topic.0).counted_by(&self.view.counts);
        let batch = Batch::new(&walk, messages);
        if batch.is_empty() {
            return batch.report();
        }
        let first = self.view.counts.walked(batch.len());
        batch.deliver(&self.view.reached, first)
    }

    /// Makes a message only if somebody wants it, and publishes it. As [`Topic::publish_with`], for less.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (state, topic) = (bus.message_type::<String>("state")?, bus.topic("calls")?);
    /// let mut publisher = topic.publisher();
    /// let report = publisher.publish_with(&state, || unreachable!("nobody listens"));
    /// assert!(!report.reached());
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn publish_with<T: Send + Sync + 'static>(
        &mut self,
        kind: &MessageType<T>,
        value: impl FnOnce() -> T,
    ) -> Report {
        if let Some(refusal) = self.topic.refusal(kind) {
            return self.topic.refuse(kind, refusal);
        }
        self.view.refresh(&self.topic.0);
        match self.view.reached.iter().any(|reached| reached.list.wants(kind.kind())) {
            true => self.publish(kind.message(value())),
            false => Walk::from(&self.topic.0).counted_by(&self.view.counts).unwanted(),
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("topic", &self.topic.name())
            .field("published", &self.view.counts.walked.load(Ordering::Relaxed))
            .field("topics_reached", &self.view.reached.len())
            .finish_non_exhaustive()
    }
}
