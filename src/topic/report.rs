//! What a publish did.

/// Why a publish delivered to nobody at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The message's type is declined by configuration.
    Declined,
    /// The bus is shut down, or shutting down and the publisher is not one of its handlers.
    Closed,
    /// The publish was nested in 64 handlers already: one that answers itself without end.
    NestedTooDeep,
    /// The message's type belongs to another bus: get the type from the bus whose topic this is.
    ForeignType,
}

/// What became of one published message, counted over every subscription on every topic it reached.
///
/// ```
/// # let bus = stasis_bus::Bus::builder().manual().build()?;
/// # let state = bus.message_type::<u8>("state")?;
/// let report = bus.topic("nobody:listens")?.publish(state.message(1));
/// assert_eq!((report.accepted, report.refusal), (0, None));
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Mailboxes that took it, and inline handlers that were called.
    pub accepted: u32,
    /// Caches that kept it, or took out what it clears.
    pub cached: u32,
    /// Subscriptions whose filter did not want it.
    pub filtered: u32,
    /// Full mailboxes that refused it; their subscriptions will be told. (A `DropOldest` mailbox takes the message:
    /// what it drops is another one.)
    pub dropped: u32,
    /// Subscriptions that were just ending.
    pub closed: u32,
    /// Of the accepted ones: full mailboxes that took it beyond their capacity.
    pub over_capacity: u32,
    /// Set if the publish was refused as a whole.
    pub refusal: Option<Refusal>,
}

/// What became of the messages of one [`publish_batch`](crate::Topic::publish_batch): sums over all of them.
///
/// ```
/// # let bus = stasis_bus::Bus::builder().manual().build()?;
/// # let state = bus.message_type::<u8>("state")?;
/// let report = bus.topic("nobody:listens")?.publish_batch(vec![state.message(1), state.message(2)]);
/// assert_eq!((report.messages, report.accepted, report.unreached), (2, 0, 2));
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchReport {
    /// Messages published; those that were refused are not among them.
    pub messages: u64,
    /// Messages of these that nobody took.
    pub unreached: u64,
    /// Times that a mailbox took a message, or an inline handler was called.
    pub accepted: u64,
    /// Times that a cache kept a message, or took out what it clears.
    pub cached: u64,
    /// Times that a filter did not want a message.
    pub filtered: u64,
    /// Times that a full mailbox refused a message; its subscription will be told.
    pub dropped: u64,
    /// Times that a subscription was just ending.
    pub closed: u64,
    /// Of the accepted ones: times that a full mailbox took a message beyond its capacity.
    pub over_capacity: u64,
    /// Messages not published because their type is declined by configuration.
    pub declined: u64,
    /// Messages not published because their type belongs to another bus.
    pub foreign: u64,
    /// Set if the batch was refused as a whole.
    pub refusal: Option<Refusal>,
}

impl BatchReport {
    /// Whether anybody got any of them, or a cache kept it.
    pub fn reached(&self) -> bool {
        self.accepted > 0 || self.cached > 0
    }

    /// Whether the bus is shut down, or shutting down.
    pub fn is_closed(&self) -> bool {
        self.refusal == Some(Refusal::Closed)
    }

    /// Of a batch of one message.
    pub(super) fn of_one(report: &Report) -> Self {
        let mut batch = Self::default();
        match report.refusal {
            None => {
                (batch.messages, batch.unreached) = (1, u64::from(!report.reached()));
                batch.add(report);
            }
            Some(Refusal::Declined) => batch.declined = 1,
            Some(Refusal::ForeignType) => batch.foreign = 1,
            whole => batch.refusal = whole,
        }
        batch
    }

    /// What became of one message counts here too.
    pub(super) fn add(&mut self, one: &Report) {
        self.accepted += u64::from(one.accepted);
        self.cached += u64::from(one.cached);
        self.filtered += u64::from(one.filtered);
        self.dropped += u64::from(one.dropped);
        self.closed += u64::from(one.closed);
        self.over_capacity += u64::from(one.over_capacity);
    }
}

impl Report {
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }

    /// Whether anybody got it, or a cache kept it.
    pub fn reached(&self) -> bool {
        self.accepted > 0 || self.cached > 0
    }

    /// What became of another message, or of the same one elsewhere, counts here too.
    pub(crate) fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.cached += other.cached;
        self.filtered += other.filtered;
        self.dropped += other.dropped;
        self.closed += other.closed;
        self.over_capacity += other.over_capacity;
    }

    /// Whether the bus is shut down, or shutting down.
    pub fn is_closed(&self) -> bool {
        self.refusal == Some(Refusal::Closed)
    }

    /// Whether the message's type is declined by configuration.
    pub fn is_declined(&self) -> bool {
        self.refusal == Some(Refusal::Declined)
    }
}
