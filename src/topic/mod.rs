//! Topics: who listens, where messages go on to, and the walk that publishes.
//!
//! | file | what |
//! | --- | --- |
//! | `figures` | what topics and subscriptions tell of themselves |
//! | [`exchange`] | what all topics of a bus share: registry, pool, clock, phase |
//! | [`subscribers`] | the copy-on-write list of one topic |
//! | [`gate`] | what keeps inline calls from coming after the final one |
//! | `hot` | topics that are published on all the time |
//! | [`audience`] | who would get what is announced, collected before a lock is taken |
//! | `batch` | the messages of one publish_batch, mailbox by mailbox |
//! | [`catch_up`] | who gets what stands in a cache first, and hears of each part of it only after that |
//! | `collect` | what a publish reaches |
//! | [`errands`] | what handing out messages leaves to be done when nothing is half done |
//! | [`tap`] | caches that hear what is published, before anybody else |
//! | [`walk`] | one publish: collect, deliver, wake |
//! | `calls` | its last step: inline handlers |
//! | `plain` | the straight way of a message that everybody takes |
//! | [`publish_async`] | a publish whose caller awaits room |
//! | [`publisher`] | one thread's publishes, with the lists kept in between |
//! | `sweeping` | when values that maps have retired are dropped |
//! | `timed`, [`following`] | which publishes are timed; which messages are followed to their handlers |
//! | `typed` | a topic and a message type of one name |
//! | `turns` | what a publish has to wake or to run, and when |
//! | [`member`] | one subscription as its topic sees it, and how it ends |
//! | `members`, `registry` | the live subscriptions of a bus, and its topics by name |
//! | [`forward`] | everything published here also reaches there |
//! | [`report`] | what a publish did |

pub(crate) mod audience;
mod batch;
mod calls;
pub(crate) mod catch_up;
mod collect;
pub(crate) mod errands;
pub(crate) mod exchange;
mod figures;
pub(crate) mod following;
pub(crate) mod forward;
pub(crate) mod gate;
mod hot;
pub(crate) mod member;
mod members;
mod plain;
pub(crate) mod publish_async;
pub(crate) mod publisher;
mod registry;
pub(crate) mod report;
pub(crate) mod subscribers;
mod sweeping;
pub(crate) mod tap;
mod timed;
mod turns;
mod typed;
pub(crate) mod walk;

pub use forward::Forward;
pub use publish_async::PublishAsync;
pub use publisher::Publisher;
pub use report::{BatchReport, Refusal, Report};
pub use typed::TopicOf;

use crate::message::{Message, MessageType, Timestamp};
use crate::stats::TopicStats;
use crate::stats::labels::Label;
use crate::stats::sums::ClassSums;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, LazyBox, Mutex, Snapshot, Tally};
use exchange::Exchange;
use figures::Left;
use hot::Hot;
use publisher::Ledger;
use std::fmt;
use subscribers::Subscribers;
use walk::Walk;

pub(crate) type Class = Arc<Label<ClassSums>>;

/// What a topic's handles, subscriptions and forwards share.
pub(crate) struct TopicCore {
    pub(crate) id: u64,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) name: Arc<str>,
    detail: Box<str>,
    /// What its figures count under.
    class: Class,
    created: Timestamp,
    pub(crate) subscribers: Snapshot<Subscribers>,
    /// That of the list shown last, for publishers that keep one.
    version: AtomicU64,
    /// Held while the subscribers are replaced; bus code only.
    pub(crate) writer: Mutex<()>,
    pub(crate) published: AtomicU64,
    /// The bus's own messages: they reach subscriptions, but nobody published them.
    pub(crate) own: AtomicU64,
    /// Messages that came by a forward.
    pub(crate) arrived: AtomicU64,
    pub(crate) unrouted: AtomicU64,
    /// What publishers count by themselves.
    ledger: Ledger,
    /// Made when it was published on often.
    hot: LazyBox<Hot>,
    /// Walks that are timed because an inline handler here was slow.
    watched: Tally,
    /// The longest publish timed, in nanoseconds.
    longest: Tally,
    /// What subscriptions have counted that have left.
    left: Left,
    /// Members of its pool.
    pooled: AtomicUsize,
}

/// A topic's counts of messages.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) published: u64,
    pub(crate) arrived: u64,
    pub(crate) unrouted: u64,
}

impl TopicCore {
    fn new(exchange: Arc<Exchange>, name: Arc<str>, detail: Box<str>, class: Class) -> Self {
        let created = Timestamp::from_nanos(exchange.clock.exact_wall_ns());
        Self {
            id: crate::ids::next(),
            name,
            detail,
            class,
            created,
            subscribers: Snapshot::new(exchange.nobody.clone()),
            version: AtomicU64::new(0),
            writer: Mutex::new(()),
            published: AtomicU64::new(0),
            own: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            unrouted: AtomicU64::new(0),
            ledger: Ledger::new(),
            hot: LazyBox::new(),
            watched: Tally::new(),
            longest: Tally::new(),
            left: Left::default(),
            pooled: AtomicUsize::new(0),
            exchange,
        }
    }

    /// What its figures count under.
    pub(crate) fn class(&self) -> &Class {
        &self.class
    }

    /// How many members its pool has.
    pub(crate) fn pool_size(&self) -> usize {
        self.pooled.load(Ordering::Relaxed)
    }

    /// Messages that reached this topic, either way.
    pub(crate) fn reached(&self) -> u64 {
        let sums = self.sums();
        sums.published + sums.arrived + self.own.load(Ordering::Relaxed)
    }
}

impl Drop for TopicCore {
    fn drop(&mut self) {
        for pool in self.subscribers.load().pools() {
            pool.pooled.fetch_sub(1, Ordering::Relaxed);
        }
        self.exchange.forget_topic(self);
    }
}

/// A named place to publish and to subscribe.
///
/// Got by [`Bus::topic`](crate::Bus::topic); cheap to clone (one reference count). The topic lives while anybody has
/// a handle, a subscription or a forward from or to it; then its name is free again and nothing of it is left.
///
/// ```
/// use stasis_bus::Bus;
/// let bus = Bus::builder().manual().build()?;
/// let rang = bus.message_type::<&'static str>("rang")?;
/// let calls = bus.topic("calls")?;
/// let _log = calls.subscribe("log", |delivery| println!("{:?}", delivery.message()))?;
/// let report = calls.publish(rang.message("alice"));
/// assert!(report.reached());
/// bus.run_until_idle();
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone)]
pub struct Topic(pub(crate) Arc<TopicCore>);

impl Topic {
    pub(crate) fn core(&self) -> &Arc<TopicCore> {
        &self.0
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What its maker had to say about it; empty if nothing.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Its class: what its figures count under in metrics, so that a topic for each object makes no series for each.
    ///
    /// Settled when it is made: what was [declared](crate::Bus::topic_in_class); else that of the pool whose member it is,
    /// or of the manager whose state; else its name up to the first `:` or `/`. There are 64 classes at a time; topics of
    /// further ones are of the class `other`.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// assert_eq!(bus.topic("channel:PJSIP/alice")?.class(), "channel");
    /// assert_eq!(bus.topic_pool("device:state")?.member("SIP/bob")?.class(), "device:state");
    /// assert_eq!(bus.topic_in_class("4711", "calls")?.class(), "calls");
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn class(&self) -> &str {
        self.0.class.name()
    }

    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.0.created
    }

    /// Its figures now. Cost: a look at every subscription of the bus.
    pub fn stats(&self) -> TopicStats {
        self.0.stats_of(&self.0.exchange.members())
    }

    /// Whether both are the same topic, not merely of the same name.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Delivers `message` to every subscription on every topic reachable from here, once each.
    ///
    /// Returns when the message is in every mailbox and every inline handler for it has returned. Serial subscriptions
    /// that it found idle it has run by then, including what others published to them meanwhile. It takes no lock on
    /// the way to a mailbox and allocates nothing per delivery. It waits only for room in a full
    /// [`Block`](crate::Overflow::Block) mailbox, and only outside handlers. A publisher stopped by the operating
    /// system on its way delays the mailbox it is writing to and those it has made ready and not yet woken, no others.
    ///
    /// Of two publishes, the second of which began after the first returned, every subscription that gets both gets
    /// the first one first. Two concurrent publishes may be seen in different orders by different subscriptions.
    ///
    /// Cost: about 16 ns for each mailbox, 3 ns for each inline handler (which then runs), and one snapshot load for
    /// each topic reached.
    ///
    /// Never fails: the [`Report`] says what became of it. After the bus was shut down nothing is delivered.
    pub fn publish(&self, message: Message) -> Report {
        Walk::from(&self.0).publish(message)
    }

    /// Delivers a message that the caller keeps, as [`publish`](Self::publish) delivers one that it gives away.
    ///
    /// For one that is published again and again, or kept for something else: no reference is counted for the call, only
    /// one addition for all mailboxes that take it. Cost: less than `publish(message.clone())` by an atomic addition and a
    /// subtraction, about 10 ns, where inline handlers listen, a filter keeps it from somebody, or nobody takes it; by an
    /// addition where several mailboxes take it and that is all; by nothing where a single one does.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (tick, topic) = (bus.message_type::<u64>("tick")?, bus.topic("ticks")?);
    /// let _log = topic.subscribe("log", |_| {})?;
    /// let again = tick.message(1);
    /// assert!(topic.republish(&again).reached() && topic.republish(&again).reached());
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn republish(&self, message: &Message) -> Report {
        Walk::from(&self.0).republish(message)
    }

    /// Makes a message only if somebody wants it, and publishes it. A declined type's closure is never called.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (state, topic) = (bus.message_type::<String>("state")?, bus.topic("calls")?);
    /// let report = topic.publish_with(&state, || unreachable!("nobody listens"));
    /// assert!(!report.reached());
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn publish_with<T: Send + Sync + 'static>(
        &self,
        kind: &MessageType<T>,
        value: impl FnOnce() -> T,
    ) -> Report {
        if let Some(refusal) = self.refusal(kind) {
            return self.refuse(kind, refusal);
        }
        Walk::from(&self.0).publish_with(kind.kind(), || kind.message(value()))
    }

    /// Whether a message of this type, published here now, would be taken by anybody. Cost: as a publish without
    /// deliveries.
    pub fn wants<T>(&self, kind: &MessageType<T>) -> bool {
        self.refusal(kind).is_none() && Walk::from(&self.0).wants(kind.kind())
    }

    /// A message was not made because of that.
    fn refuse<T>(&self, kind: &MessageType<T>, refusal: Refusal) -> Report {
        if refusal == Refusal::Declined {
            kind.kind().count_declined();
        }
        Walk::from(&self.0).refuse(refusal)
    }

    /// Why no message of this type is taken here, whoever listens.
    fn refusal<T>(&self, kind: &MessageType<T>) -> Option<Refusal> {
        match kind.kind().bus() == self.0.exchange.id {
            _ if kind.is_declined() => Some(Refusal::Declined),
            true => None,
            false => Some(Refusal::ForeignType),
        }
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.0.own_stats();
        f.debug_struct("Topic")
            .field("name", &self.name())
            .field("subscriptions", &stats.subscriptions)
            .field("forwards", &stats.forwards)
            .field("published", &stats.published)
            .finish_non_exhaustive()
    }
}
