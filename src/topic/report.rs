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

impl Report {
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }

    /// Whether anybody got it.
    pub fn reached(&self) -> bool {
        self.accepted > 0
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
