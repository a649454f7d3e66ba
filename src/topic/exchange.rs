//! What all topics of one bus share.

use super::following::Following;
use super::member::Member;
use super::members::{Folds, Members};
use super::registry::Registry;
use super::subscribers::Subscribers;
use super::sweeping::Sweeper;
use super::{Topic, TopicCore};
use crate::dispatch::fence::Fence;
use crate::dispatch::frames;
use crate::dispatch::pool::Pool;
use crate::dispatch::waits::{self, Circle};
use crate::mailbox::policy::Defaults;
use crate::message::update::CacheTypes;
use crate::message::{MessageType, SubscriptionChange};
use crate::stats::sums::{AllLabels, class_of};
use crate::stats::{CacheStats, Histogram, Totals};
#[cfg(feature = "metrics")]
use crate::stats::{labels::Label, sums::CacheSums};
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::sync::stands::Stands;
use crate::sync::time::Clock;
use crate::sync::{Arc, Mutex, Tally, Weak, thread};
use std::any::Any;
use std::sync::OnceLock;

/// How far a bus is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Open = 0,
    /// Handlers may publish, nobody else.
    Draining = 1,
    Over = 2,
}

/// What a bus counts as a whole: rare events, and what topics that are gone have counted.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) published: Tally,
    pub(crate) unrouted: Tally,
    pub(crate) declined: Tally,
    pub(crate) closed: Tally,
    pub(crate) foreign_type: Tally,
    pub(crate) waits: Tally,
    pub(crate) circles: Tally,
    /// Caches made.
    pub(crate) caches: Tally,
    /// Sums that somebody was told already: none is told less later.
    pub(crate) told: [Tally; 5],
}

/// What hears that the bus is over.
pub(crate) trait AtEnd: Send + Sync {
    /// Called once the phase says so, under no lock.
    fn bus_is_over(&self);
}

/// A cache, as the bus asks it.
pub(crate) trait CacheFigures: Send + Sync {
    fn figures(&self) -> CacheStats;
    /// The same, but for what waits to be dropped.
    #[cfg(feature = "metrics")]
    fn counted(&self) -> CacheStats;
    /// What they count under.
    #[cfg(feature = "metrics")]
    fn label(&self) -> &Arc<Label<CacheSums>>;
}

pub(crate) struct Exchange {
    /// The bus's number, unique in the process.
    pub(crate) id: u64,
    phase: AtomicU8,
    pub(crate) pool: Arc<Pool>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) changes: MessageType<SubscriptionChange>,
    pub(crate) cached: CacheTypes,
    pub(crate) defaults: Defaults,
    pub(crate) nested_too_deep: AtomicU64,
    /// How long publishes take, inline and Serial handlers included.
    pub(crate) publishes: Histogram,
    pub(crate) counts: Counts,
    pub(crate) labels: AllLabels,
    /// Of caches.
    caches: Mutex<Vec<Weak<dyn CacheFigures>>>,
    topics: Registry,
    /// The list of every topic that nobody has subscribed to yet.
    pub(super) nobody: Arc<Subscribers>,
    members: Members,
    /// Where threads read the lists of topics that are published on all the time.
    pub(crate) stands: Stands<Subscribers>,
    /// Detached forwards and the like: what stands until the end.
    kept: Mutex<Vec<Box<dyn Send>>>,
    /// Threads of dedicated subscriptions, by subscription.
    threads: Mutex<Vec<(u64, thread::JoinHandle<()>)>>,
    /// Who waits for things that will not come any more when the bus is over.
    waiting: Mutex<Vec<Weak<dyn AtEnd>>>,
    /// Only for buses with maps.
    pub(super) sweeper: OnceLock<Arc<Sweeper>>,
    /// Only for buses that are traced.
    pub(super) following: OnceLock<Following>,
    /// The facade, for handlers that want the bus.
    pub(crate) facade: OnceLock<Weak<dyn Any + Send + Sync>>,
}

impl Exchange {
    pub(crate) fn new(
        id: u64,
        pool: Arc<Pool>,
        clock: Arc<Clock>,
        fence: Arc<Fence>,
        changes: MessageType<SubscriptionChange>,
        cached: CacheTypes,
        defaults: Defaults,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            phase: AtomicU8::new(Phase::Open as u8),
            pool,
            clock,
            fence,
            changes,
            cached,
            defaults,
            nested_too_deep: AtomicU64::new(0),
            publishes: Histogram::new(),
            counts: Counts::default(),
            labels: AllLabels::new(),
            caches: Mutex::new(Vec::new()),
            topics: Registry::new(),
            nobody: Arc::new(Subscribers::empty()),
            stands: Stands::new(id),
            members: Members::new(),
            kept: Mutex::new(Vec::new()),
            threads: Mutex::new(Vec::new()),
            waiting: Mutex::new(Vec::new()),
            sweeper: OnceLock::new(),
            following: OnceLock::new(),
            facade: OnceLock::new(),
        })
    }

    /// Notes that the calling thread waits for `targets`, unless that would close a circle.
    pub(crate) fn begin_wait(&self, targets: &[u64]) -> Result<waits::Waiting, Circle> {
        let begun = waits::begin(targets);
        let count = if begun.is_ok() { &self.counts.waits } else { &self.counts.circles };
        count.add(1);
        begun
    }

    // ---- phase -----------------------------------------------------------------------------------------------

    /// Whether a publish may begin now, on this thread.
    #[inline]
    pub(crate) fn admits(&self) -> bool {
        // ORDERING(exchange.phase): Acquire; pairs with the Release in `enter_phase`. A publish under way when the
        // phase changes finishes as usual: the mailboxes' own CLOSED is what ends them.
        self.phase.load(Ordering::Acquire) == Phase::Open as u8 || self.admits_handler()
    }

    #[cold]
    fn admits_handler(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::Draining as u8 && frames::inside(self.id)
    }

    /// Goes on to `phase`; false if the bus was there already.
    pub(crate) fn enter_phase(&self, phase: Phase) -> bool {
        // ORDERING(exchange.phase): AcqRel; pairs with the Acquire in `admits`.
        self.phase.fetch_max(phase as u8, Ordering::AcqRel) < phase as u8
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::Open as u8
    }

    /// Whether no subscription may stand any more.
    pub(crate) fn is_over(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::Over as u8
    }

    /// `who` is told when the bus is over. Who is told too late sees that it is.
    pub(crate) fn tell_at_end(&self, who: Weak<dyn AtEnd>) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|other| other.strong_count() > 0);
        waiting.push(who);
    }

    /// The bus is over.
    pub(crate) fn tell_of_end(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.iter().filter_map(Weak::upgrade).for_each(|who| who.bus_is_over());
    }

    // ---- topics ----------------------------------------------------------------------------------------------

    /// The live topic of that name, or a new one with that detail.
    pub(crate) fn topic(self: &Arc<Self>, name: &str, detail: &str) -> Topic {
        self.topic_of_class(name, detail, class_of(name))
    }

    /// The same; a new one is of that class.
    pub(crate) fn topic_of_class(self: &Arc<Self>, name: &str, detail: &str, class: &str) -> Topic {
        self.topics.get_or_make(name, |name| {
            let class = self.labels.classes.of(class, self.clock.coarse_monotonic_ns());
            TopicCore::new(self.clone(), name, detail.into(), class)
        })
    }

    /// The same; a new one is of the class of `other`.
    pub(crate) fn topic_like(self: &Arc<Self>, name: &str, other: &TopicCore) -> Topic {
        let class = || other.class().clone();
        self.topics.get_or_make(name, |name| TopicCore::new(self.clone(), name, "".into(), class()))
    }

    /// Shows all live topics to `visit`, a few at a time, in no order.
    #[cfg(feature = "metrics")]
    pub(crate) fn visit_topics(&self, visit: impl FnMut(&TopicCore)) {
        self.topics.visit(visit);
    }

    pub(crate) fn find_topic(&self, name: &str) -> Option<Topic> {
        self.topics.find(name)
    }

    /// All live topics, by name.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        self.topics_named("")
    }

    /// All live topics whose names begin so, by name.
    pub(crate) fn topics_named(&self, prefix: &str) -> Vec<Topic> {
        let mut live = self.topics.named(prefix);
        live.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        live
    }

    /// A topic is going: what it has counted stays.
    pub(super) fn forget_topic(&self, gone: &TopicCore) {
        let sums = gone.sums();
        self.counts.published.add(sums.published);
        self.counts.unrouted.add(sums.unrouted);
        gone.class().leave(self.clock.coarse_monotonic_ns(), |class| {
            class.published += sums.published;
            class.arrived += sums.arrived;
            class.unrouted += sums.unrouted;
        });
        self.topics.forget(&gone.name, gone);
    }

    /// Drops `thing` when the bus ends.
    pub(crate) fn keep_until_end(&self, thing: Box<dyn Send>) {
        let mut kept = self.kept.lock();
        // After the end nobody would take it away: it goes now, outside the lock.
        if self.is_over() {
            drop(kept);
            return drop(thing);
        }
        kept.push(thing);
    }

    pub(crate) fn drop_kept(&self) {
        let kept = std::mem::take(&mut *self.kept.lock());
        drop(kept);
    }

    // ---- subscriptions ---------------------------------------------------------------------------------------

    pub(crate) fn remember(&self, member: Arc<Member>) {
        self.members.add(member);
    }

    /// It has ended. `Some`: nobody forgot it before.
    pub(crate) fn forget(&self, id: u64) -> Option<Arc<Member>> {
        self.members.remove(id)
    }

    /// All live subscriptions, by number.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.members.all()
    }

    /// What subscriptions that are gone have counted.
    pub(crate) fn gone(&self) -> (Totals, Folds) {
        self.members.gone()
    }

    /// Reads, while none goes, what they left elsewhere.
    pub(crate) fn while_none_goes<R>(&self, read: impl FnOnce(&Totals) -> R) -> (R, Folds) {
        self.members.while_none_goes(read)
    }

    // ---- caches ----------------------------------------------------------------------------------------------

    pub(crate) fn admit_cache(&self, cache: Weak<dyn CacheFigures>) {
        let mut caches = self.caches.lock();
        caches.retain(|cache| cache.strong_count() > 0);
        caches.push(cache);
    }

    /// All live caches, in the order in which they were made.
    pub(crate) fn caches(&self) -> Vec<Arc<dyn CacheFigures>> {
        let weak = self.caches.lock().clone();
        weak.iter().filter_map(Weak::upgrade).collect()
    }

    // ---- threads ---------------------------------------------------------------------------------------------

    pub(crate) fn keep_thread(&self, subscription: u64, thread: thread::JoinHandle<()>) {
        let mut threads = self.threads.lock();
        // Not joined: their thread-locals' drops are foreign code.
        threads.retain(|(_, thread)| !thread.is_finished());
        threads.push((subscription, thread));
    }

    /// Joins the threads of dedicated subscriptions that are over. True: none is left.
    pub(crate) fn reap_threads(&self) -> bool {
        let mut threads = self.threads.lock();
        let over: Vec<_> = threads.extract_if(.., |(_, thread)| thread.is_finished()).collect();
        let none_left = threads.is_empty();
        drop(threads);
        over.into_iter().for_each(|(_, thread)| thread.join());
        none_left
    }

    /// Leaves those that are still running behind. Returns whose they are.
    pub(crate) fn abandon_threads(&self) -> Vec<u64> {
        self.threads.lock().drain(..).map(|(subscription, _)| subscription).collect()
    }
}
