//! What a ring slot holds: a message, or an envelope around one that somebody waits for or follows.
//!
//! Both are one word: the address of the message, or of the envelope with the lowest bit set.

use super::{Arrived, Leg, Profile};
use crate::dispatch::latch::Latch;
use crate::message::Message;
use crate::sync::Counted;
use std::num::NonZeroUsize;

const ENVELOPE: usize = 1;

/// What became of a message that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncOutcome {
    Handled,
    Dropped,
}

/// Where the waiter looks.
pub(crate) type Receipt = Counted<Latch<SyncOutcome>>;

/// A message with a waiter, or with a follower. However it is disposed of, they hear of it.
#[repr(align(8))]
pub(crate) struct Envelope {
    message: Message,
    receipt: Option<Receipt>,
    leg: Option<Box<dyn Leg>>,
}

impl Envelope {
    fn settle(&self, outcome: SyncOutcome) {
        if let Some(receipt) = &self.receipt {
            receipt.set(outcome);
        }
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        // After `Handled` this changes nothing: the first value stands.
        // ORDERING(receipt): the share of the receipt goes after this, with a Release; pairs with `get_mut` in
        // `was_taken`.
        self.settle(SyncOutcome::Dropped);
    }
}

/// A slot's contents, owned.
pub(crate) enum Entry {
    Plain(Message),
    Awaited(Box<Envelope>),
}

impl Entry {
    /// In the ring of a mailbox whose messages wait in a lane (`conflate`): no message and no envelope, whose words are
    /// addresses of at least 8.
    pub(super) const TOKEN: NonZeroUsize = NonZeroUsize::new(ENVELOPE | 0b10).unwrap();

    /// In a group, for something that stands before the ring (`prelude`).
    pub(super) const STANDING: NonZeroUsize = NonZeroUsize::new(ENVELOPE | 0b100).unwrap();

    /// Whether the word is a message's, without anything around it.
    #[inline]
    pub(super) fn is_plain(word: NonZeroUsize) -> bool {
        word.get() & ENVELOPE == 0
    }

    /// A message whose end `receipt` will tell of, and that `leg` goes with.
    pub(crate) fn awaited(message: Message, receipt: Option<Receipt>, leg: Option<Box<dyn Leg>>) -> Self {
        Self::Awaited(Box::new(Envelope { message, receipt, leg }))
    }

    pub(crate) fn into_word(self) -> NonZeroUsize {
        match self {
            Self::Plain(message) => message.into_word(),
            Self::Awaited(envelope) => {
                let word = Box::into_raw(envelope).expose_provenance() | ENVELOPE;
                NonZeroUsize::new(word).unwrap_or(NonZeroUsize::MIN)
            }
        }
    }

    /// # Safety
    ///
    /// `word` came from `into_word`, or from a message's references, and stands for one that nobody else has.
    #[inline]
    pub(crate) unsafe fn from_word(word: NonZeroUsize) -> Self {
        if Self::is_plain(word) {
            // SAFETY: as the caller says; the bit tells which kind it is.
            return Self::Plain(unsafe { Message::from_word(word) });
        }
        let envelope = std::ptr::with_exposed_provenance_mut::<Envelope>(word.get() & !ENVELOPE);
        // SAFETY: as above.
        Self::Awaited(unsafe { Box::from_raw(envelope) })
    }

    #[inline]
    pub(crate) fn message(&self) -> &Message {
        match self {
            Self::Plain(message) => message,
            Self::Awaited(envelope) => &envelope.message,
        }
    }

    /// It has come to the subscription.
    pub(super) fn arrive(&mut self, at: &Profile, how: Arrived) {
        if let Self::Awaited(envelope) = self
            && let Some(leg) = &mut envelope.leg
        {
            leg.arrived(at, how);
        }
    }

    /// What goes with it, for a reader, who has it when a lock is gone.
    pub(super) fn take_leg(&mut self) -> Option<Box<dyn Leg>> {
        match self {
            Self::Plain(_) => None,
            Self::Awaited(envelope) => envelope.leg.take(),
        }
    }

    /// Whether somebody waits until it is handled.
    pub(super) fn is_waited_for(&self) -> bool {
        matches!(self, Self::Awaited(envelope) if envelope.receipt.is_some())
    }

    /// The same with another message: who waits for that one waits for this.
    pub(super) fn with_message(mut self, message: Message) -> Self {
        match &mut self {
            Self::Plain(own) => *own = message,
            Self::Awaited(envelope) => envelope.message = message,
        }
        self
    }

    /// It is done with. On a worker its reference is given back together with others.
    #[inline]
    pub(super) fn give_back(self) {
        match self {
            Self::Plain(message) => message.give_back(),
            Self::Awaited(envelope) => drop(envelope),
        }
    }

    /// The handler has returned.
    #[inline]
    pub(crate) fn handled(&self) {
        if let Self::Awaited(envelope) = self {
            envelope.settle(SyncOutcome::Handled);
        }
    }
}
