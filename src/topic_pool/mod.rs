//! Topic pools: a topic for each object, made when first asked for and gone when nobody uses it.
//!
//! A pool keeps no list of its members, and so none alive. A member is an ordinary topic, found by its name in the
//! bus's registry, with an edge to the pool's topic that is marked as the pool's own: it stands without a handle. The
//! edge belongs to the member's list, and a list keeps the topics it leads to, not the one it is of. So a member lives as
//! any topic does, by its handles, subscriptions and other forwards, and its last drop takes name and edge with it.
//!
//! Nothing here has a protocol of its own. Each step is atomic under a lock of the layer below, bus code only:
//!
//! | who | step | under |
//! | --- | --- | --- |
//! | `member` | the live topic of that name, or a new one, as one topic for all who ask | its shard of the registry |
//! | | the mark set, unless it stands | the member's writer lock |
//! | `delete` | the live topic of that name, if any | its shard |
//! | | the mark taken, if it stands | the writer lock |
//! | last drop | the name freed, unless a younger topic has it | its shard |
//!
//! `member` has a handle between its two steps: what it marks stays. Whoever still uses the topic of a deleted member has
//! the topic that the next `member` returns, because the registry has no other of that name.

use crate::error::PoolError;
use crate::topic::Topic;
use std::fmt;

/// Topics of one kind of object, one for each: `pool/member`, forwarded to the pool's own topic.
///
/// Got by [`Bus::topic_pool`](crate::Bus::topic_pool), or [made](Self::new) for any topic; cheap to clone. Everything that
/// is the same for two pools of one topic is the same pool: it has no state of its own.
///
/// A member lives as every topic does: while anybody has a handle, a subscription, or a forward from or to it (the pool's
/// own does not count). Then it is gone, and the pool knows it no more. Asked for by its name again, a member that is
/// still in use is that very topic; nobody is left listening to a dead one of the same name.
///
/// Wherever a member is named, either name does: its own (`alice`) or its topic's (`pool/alice`). A name that begins
/// with the pool's name and a slash is the topic's; any other is a member's own, also one that merely begins with the
/// pool's name. Names are case-sensitive.
///
/// Cost: what the topic costs, about half a kilobyte for a member that nobody subscribes to (a test prints it), and nothing for
/// the pool. (The idea, and the names, are those of Stasis.)
///
/// ```
/// let bus = stasis_bus::Bus::builder().manual().build()?;
/// let rang = bus.message_type::<u8>("rang")?;
/// let calls = bus.topic_pool("calls")?;
/// let log = calls.topic().subscription("log").accept(&rang).start(|_| {})?;
/// let alice = calls.member("alice")?;
/// assert_eq!(alice.name(), "calls/alice");
/// alice.publish(rang.message(1));
/// assert_eq!(log.stats().depth, 1);
/// drop(alice);
/// assert!(!calls.exists("alice"));
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone)]
pub struct TopicPool {
    topic: Topic,
}

impl TopicPool {
    /// The pool of that topic: what its members get is forwarded there.
    pub fn new(topic: &Topic) -> Self {
        Self { topic: topic.clone() }
    }

    /// Where everything published on a member arrives as well.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Its name, which is its topic's.
    pub fn name(&self) -> &str {
        self.topic.name()
    }

    /// The topic of that member, made if there is none, and forwarded to the pool's when this returns.
    ///
    /// All who ask at the same time get the same topic. One that was [deleted](Self::delete) and is still in use is a
    /// member again. Cost: a look into the bus's table of topics, and a few allocations for a new one.
    ///
    /// # Errors
    ///
    /// If the name is empty, has control characters, or makes the topic's longer than 255 bytes.
    pub fn member(&self, name: &str) -> Result<Topic, PoolError> {
        let own = self.own_name(name);
        PoolError::check(self.name(), own)?;
        let pool = self.topic.core();
        let member = pool.exchange.topic_like(&self.topic_name(own), pool);
        member.core().set_pooled(pool, true);
        Ok(member)
    }

    /// The topic of that member, if there is one.
    pub fn find(&self, name: &str) -> Option<Topic> {
        let pool = self.topic.core();
        let topic = pool.exchange.find_topic(&self.topic_name(self.own_name(name)))?;
        topic.core().is_pooled_in(pool).then_some(topic)
    }

    /// Whether there is such a member just now.
    pub fn exists(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Takes a member out of the pool. False: there was none of that name.
    ///
    /// No publish on it that begins after this has returned is forwarded to the pool's topic. Its subscriptions and
    /// handles stay, and keep the topic; who asks for the [`member`](Self::member) again gets that topic.
    pub fn delete(&self, name: &str) -> bool {
        self.find(name).is_some_and(|member| member.core().set_pooled(self.topic.core(), false))
    }

    /// The members there are just now, by name. Holding the handles keeps them.
    ///
    /// Cost: a look at the name of every topic of the bus. Members that come or go meanwhile may be there or not.
    pub fn members(&self) -> Vec<Topic> {
        let pool = self.topic.core();
        let mut members = pool.exchange.topics_named(&self.topic_name(""));
        members.retain(|member| member.core().is_pooled_in(pool));
        members
    }

    /// How many members there are just now; one that is just being dropped counts until it is gone, also beside a new
    /// one of its name. Cost: one load.
    pub fn len(&self) -> usize {
        self.topic.core().pool_size()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A member's own name, whichever was given.
    fn own_name<'n>(&self, name: &'n str) -> &'n str {
        let own = name.strip_prefix(self.name()).and_then(|rest| rest.strip_prefix('/'));
        own.unwrap_or(name)
    }

    fn topic_name(&self, own: &str) -> String {
        [self.name(), "/", own].concat()
    }
}

impl fmt::Debug for TopicPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicPool").field("name", &self.name()).field("members", &self.len()).finish()
    }
}
