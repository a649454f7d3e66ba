//! How a subscription is dispatched, and what happens when its mailbox is full.

use super::key::{ConflateKey, Key};
use super::marks::OnWaterMark;
use crate::message::Message;
use crate::queue::Marks;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a capacity may be.
pub(crate) const CAPACITY_ALLOWED: RangeInclusive<usize> = 1..=1 << 24;
/// Unless told otherwise.
pub(crate) const CAPACITY_DEFAULT: usize = 1024;

/// What a subscription gets that does not say, in one bus.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) capacity: usize,
    pub(crate) overflow: Overflow,
    /// High and low; `None`: by the capacity.
    pub(crate) water_marks: Option<(usize, usize)>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { capacity: CAPACITY_DEFAULT, overflow: Overflow::default(), water_marks: None }
    }
}

/// On which thread a subscription's handler runs.
///
/// | | handler | thread | calls | mailbox |
/// | --- | --- | --- | --- | --- |
/// | `Inline` | `Fn + Sync` | the publisher's, inside `publish` | may overlap | none |
/// | `Serial` | `FnMut` | publishers', one at a time | in order | yes |
/// | `Pool` | `FnMut` | the bus's workers | in order | yes |
/// | `Dedicated` | `FnMut` | its own, named after it | in order | yes |
/// | `Stream` | (none) | whoever reads | in order | yes |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Dispatch {
    /// Called by the publisher, inside `publish`. The cheapest; every publisher pays for it.
    Inline,
    /// Queued, and run by the publisher that finds it idle, at the end of its publish. A publisher that finds it
    /// running leaves its message there and returns, so one publisher may handle others' messages.
    Serial,
    /// Queued, and run by a worker of the bus. The default.
    #[default]
    Pool,
    /// Queued, and run by a thread of its own.
    Dedicated,
    /// Queued, and read by a task or a thread of the user's.
    Stream,
}

impl Dispatch {
    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Serial => "serial",
            Self::Pool => "pool",
            Self::Dedicated => "dedicated",
            Self::Stream => "stream",
        }
    }
}

impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What becomes of a subscription whose handler panicked. The panic is caught, counted and told in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnPanic {
    /// It goes on with the next message, with the same handler.
    #[default]
    Continue,
    /// It ends, with [`EndReason::Disconnected`](crate::EndReason::Disconnected): what is queued is still delivered, then
    /// the final message.
    Disconnect,
}

/// How far a mailbox may grow on the heap beyond its capacity: so many messages more than the capacity may wait in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grow {
    limit: usize,
}

impl Grow {
    /// Unless told otherwise: 1,048,576 messages.
    pub const DEFAULT_LIMIT: usize = 1 << 20;

    /// At most `messages` beyond the capacity; after that the newest is refused.
    pub const fn limit(messages: usize) -> Self {
        Self { limit: messages }
    }

    /// Until memory ends. Ask for it only where something else bounds the publishers.
    pub const fn unbounded() -> Self {
        Self { limit: usize::MAX }
    }

    /// How many messages may wait beyond the capacity.
    pub const fn messages(self) -> usize {
        self.limit
    }
}

impl Default for Grow {
    fn default() -> Self {
        Self::limit(Self::DEFAULT_LIMIT)
    }
}

/// What happens to a message whose mailbox is full.
///
/// Whatever is not delivered is counted, and the handler is told how many it missed with the next message it gets, at
/// the latest with the final one ([`Delivery::missed`](crate::Delivery::missed)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// It is kept on the heap, up to a limit; beyond that it is refused. The default, with 1,048,576 messages.
    Grow(Grow),
    /// It is refused.
    DropNewest,
    /// It takes the place of the oldest one waiting.
    DropOldest,
    /// The publisher waits for room, at most so long; then it is refused. If a publish meets several such mailboxes, the
    /// time of the first one that is full counts for all.
    ///
    /// Only threads that are outside every handler and callback of any bus wait, once per publish, after every other
    /// mailbox has its message. Elsewhere the mailbox takes the message beyond its capacity (counted, and limited as
    /// by [`Grow::DEFAULT_LIMIT`]), so that handlers that publish to each other cannot hang.
    Block(Duration),
    /// It is refused, and the subscription ends by it, with [`EndReason::Disconnected`](crate::EndReason::Disconnected):
    /// what waits is still delivered, then the final message, which tells of the refused one. For consumers that are of
    /// no use with a gap in what they get.
    ///
    /// From that message on the publishers' reports say `closed`. The subscription leaves its topic's list, and the
    /// others are told, when its consumer has come to the final message; a stream that nobody reads stays there.
    Disconnect,
    /// It takes the place of the one of its key that still waits; made by [`conflate`](Self::conflate). For consumers that
    /// want the latest state of each thing, however far behind they are.
    Conflate(ConflateKey),
}

impl Overflow {
    /// Only the latest message of each key waits: a newer one takes the place of an older one that was not handled yet.
    ///
    /// A key has its place in the queue from its first message that waits, and what is handled there is its newest at that
    /// moment: order holds per key, and the last message of each key always arrives, unless it is evicted. The capacity
    /// counts keys: one more takes the place of the key that waits longest. With each message the handler is told
    /// what its key lost, and what was evicted before. `None` as a key: the message stands for itself and is not replaced.
    /// The bus's own messages are never conflated, but for the updates of caches
    /// ([`conflate_by_entry`](Self::conflate_by_entry)).
    ///
    /// `key_of` is called once for each message, on the publisher's thread, when the mailboxes that never wait have the
    /// message. It may do anything on the bus (a publish from inside comes before the message asked about). If it
    /// panics, that is caught, counted and told, and the message is refused. The subscription's mailbox has a lock, held for
    /// a look-up and a move. Publishers to it take turns there; so does its consumer.
    ///
    /// ```
    /// use stasis_bus::{Bus, Overflow};
    /// let bus = Bus::builder().manual().build()?;
    /// let (level, topic) = (bus.message_type::<(u64, u8)>("level")?, bus.topic("levels")?);
    /// let own = level.clone();
    /// let latest = Overflow::conflate(move |message| own.read(message).map(|(id, _)| (*id).into()));
    /// let mut levels = topic.subscription("meter").accept(&level).overflow(latest).stream()?;
    /// for reading in [(7, 1), (8, 5), (7, 2), (7, 3)] {
    ///     topic.publish(level.message(reading));
    /// }
    /// let first = levels.try_recv()?;
    /// assert_eq!((first.read(&level), first.missed()), (Some(&(7, 3)), 2));
    /// assert_eq!(levels.try_recv()?.read(&level), Some(&(8, 5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn conflate(key_of: impl Fn(&Message) -> Option<Key> + Send + Sync + 'static) -> Self {
        Self::Conflate(ConflateKey::new(key_of))
    }

    /// Only one update of each entry of a cache waits; other messages stand for themselves, and are not replaced.
    ///
    /// In every mailbox that conflates, a [`CacheUpdate`](crate::CacheUpdate) is known by its entry (cache, type, id
    /// and origin), whatever the key function would say. What is handled in the place of several has the `old` of the first and
    /// the `new` of the last: so the updates that are handled form a chain for each entry, however slow the handler is.
    /// [`missed`](crate::Delivery::missed) tells how many went into it. An entry that came and went again meanwhile is told
    /// as an update with neither.
    ///
    /// Cost: as [`conflate`](Self::conflate), without a call; the update is put together by the consumer.
    ///
    /// ```
    /// use stasis_bus::{Overflow, SubscriptionBuilder};
    /// fn for_a_slow_screen(updates: SubscriptionBuilder<'_>) -> SubscriptionBuilder<'_> {
    ///     updates.overflow(Overflow::conflate_by_entry()).capacity(10_000)
    /// }
    /// ```
    pub const fn conflate_by_entry() -> Self {
        Self::Conflate(ConflateKey::by_entry())
    }

    /// [`Block`](Self::Block) with its usual second.
    pub const fn block() -> Self {
        Self::Block(Duration::from_secs(1))
    }

    /// [`Block`](Self::Block) without a limit: publishers wait until there is room, or the subscription or the bus ends.
    /// Nothing is lost, but one consumer that is stuck holds every publisher up.
    pub const fn block_forever() -> Self {
        Self::Block(Duration::MAX)
    }

    /// When a publish comes to it: first mailboxes that neither wait nor call anybody, last those that may wait.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Block(_) => 2,
            Self::Conflate(_) => 1,
            _ => 0,
        }
    }

    /// How many messages may wait in a mailbox of that capacity.
    pub(crate) fn room(&self, capacity: usize) -> usize {
        match self {
            Self::Grow(grow) => capacity.saturating_add(grow.messages()),
            _ => capacity,
        }
    }
}

impl Default for Overflow {
    fn default() -> Self {
        Self::Grow(Grow::default())
    }
}

/// How much a mailbox holds, and what follows from it.
pub(crate) struct Limits {
    pub(crate) capacity: usize,
    pub(crate) overflow: Overflow,
    pub(crate) marks: Marks,
    pub(crate) on_water_mark: Option<OnWaterMark>,
}
