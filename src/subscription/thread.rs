//! What is said about the thread of a dedicated subscription.

use super::SubscriptionBuilder;
use crate::dispatch::wait::Wait;
use crate::error::{SubscribeError, check_name};
use crate::mailbox::Dispatch;

/// Nothing said: named after the subscription, parks.
#[derive(Debug, Default)]
pub(super) struct OwnThread {
    pub(super) wait: Option<Wait>,
    pub(super) name: Option<String>,
}

impl SubscriptionBuilder<'_> {
    /// How the thread of a Dedicated subscription waits for the next message. With another dispatch it is refused by the
    /// finishing call, as is a spin of more than a second. In manual mode there is no thread, and it does nothing.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.thread.wait = Some(wait);
        self
    }

    /// What the thread of a Dedicated subscription is called, if not after the subscription. With another dispatch it is
    /// refused by the finishing call. A system that shows fewer bytes (Linux: 15) shows the beginning, cut between two
    /// characters, and the number at its end if there is one.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread.name = Some(name.into());
        self
    }
}

impl OwnThread {
    pub(super) fn check(&self, dispatch: Dispatch) -> Result<(), SubscribeError> {
        if dispatch != Dispatch::Dedicated {
            return self.check_unset();
        }
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        match self.wait.filter(|wait| !wait.is_in_range()) {
            None => Ok(()),
            Some(wait) => Err(SubscribeError::Option {
                field: "wait",
                value: wait.to_string(),
                allowed: "allowed are Park, SpinThenPark of 0 to 1000000 us, and BusySpin",
            }),
        }
    }

    /// There is no thread of its own.
    fn check_unset(&self) -> Result<(), SubscribeError> {
        let wait = self.wait.map(|wait| ("wait", wait.to_string()));
        let name = self.name.as_ref().map(|name| ("thread_name", format!("{name:?}")));
        match wait.or(name) {
            None => Ok(()),
            Some((field, value)) => Err(SubscribeError::Option {
                field,
                value,
                allowed: "it is for dispatch dedicated; the bus's workers have an option of that name on BusBuilder",
            }),
        }
    }
}
