//! Which messages are followed from their publish on, and by whom: see `mailbox::leg`.
//!
//! One of those whose publish is timed, so that what is not timed is not asked about.

use super::Report;
use super::exchange::Exchange;
use crate::mailbox::{Entry, Leg, Mailbox, Receipt};
use crate::message::Message;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};
use std::num::NonZeroUsize;

/// Follows messages.
pub(crate) trait Follower: Send + Sync {
    /// One is published; none: it is not followed after all. Foreign code.
    fn published(&self, topic: &Arc<str>, message: &Message) -> Option<Box<dyn Trail>>;
}

/// One message that is followed, while it is published.
pub(crate) trait Trail {
    /// It is offered to a mailbox, or an inline handler is called with it.
    fn leg(&self) -> Box<dyn Leg>;

    /// Everybody has it. Foreign code.
    fn returned(self: Box<Self>, report: &Report);
}

/// Who follows the messages of a bus.
pub(crate) struct Following {
    /// One of so many timed publishes; 0: none.
    stride: AtomicU64,
    timed: AtomicU64,
    follower: Mutex<Option<Arc<dyn Follower>>>,
}

impl Following {
    #[cfg(feature = "tracing")]
    fn nobody() -> Self {
        Self { stride: AtomicU64::new(0), timed: AtomicU64::new(0), follower: Mutex::new(None) }
    }
}

impl Exchange {
    /// One in `one_in` messages is followed from now on.
    #[cfg(feature = "tracing")]
    pub(crate) fn followed(&self, one_in: u64, by: Option<Arc<dyn Follower>>) {
        let following = self.following.get_or_init(Following::nobody);
        // Only a figure: whoever reads the old one finds, or misses, a follower.
        following.stride.store(one_in.div_ceil(super::timed::EVERY), Ordering::Relaxed);
        let before = std::mem::replace(&mut *following.follower.lock(), by);
        drop(before);
    }

    /// For a publish that is timed.
    #[cold]
    pub(super) fn follow(&self, topic: &Arc<str>, message: &Message) -> Option<Box<dyn Trail>> {
        let following = self.following.get()?;
        let stride = following.stride.load(Ordering::Relaxed);
        if stride == 0 || !following.timed.fetch_add(1, Ordering::Relaxed).is_multiple_of(stride) {
            return None;
        }
        let follower = following.follower.lock().clone();
        follower?.published(topic, message)
    }
}

/// What goes around a message on its way into mailboxes.
pub(crate) struct Around {
    /// Somebody waits until this subscription has handled it.
    pub(super) awaited: Option<(u64, Receipt)>,
    /// Somebody follows it.
    pub(super) trail: Option<Box<dyn Trail>>,
}

impl Around {
    /// `subscription` gets the message in an envelope, whose end `receipt` tells of.
    pub(crate) fn awaited(subscription: u64, receipt: Receipt) -> Self {
        Self { awaited: Some((subscription, receipt)), trail: None }
    }

    /// The word for one mailbox. An envelope has a reference of its own; the one counted for this taker is given back.
    pub(super) fn word_for(&self, message: &Message, mailbox: &Mailbox) -> NonZeroUsize {
        let id = mailbox.profile().id;
        let receipt = self.awaited.as_ref().filter(|(awaited, _)| *awaited == id);
        let receipt = receipt.map(|(_, receipt)| receipt.clone());
        match (receipt, self.leg()) {
            (None, None) => message.share(),
            (receipt, leg) => Entry::awaited(Message::clone(message), receipt, leg).into_word(),
        }
    }

    pub(super) fn leg(&self) -> Option<Box<dyn Leg>> {
        self.trail.as_ref().map(|trail| trail.leg())
    }
}
