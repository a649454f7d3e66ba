//! The end of a subscription, whatever its dispatch: the final message, and what follows it.

use super::{Arrival, Profile, Told};
use crate::dispatch::fence::PanicPlace;
use crate::message::{EndReason, Message};
use crate::sync::Arc;

/// What the end needs from the layers above.
pub(crate) struct Ending {
    pub(crate) host: Arc<dyn Host>,
    /// Gets the final message as well, after the handler.
    pub(crate) on_end: Option<OnEnd>,
}

/// Where the subscription stands: its topic.
pub(crate) trait Host: Send + Sync {
    /// Makes the final message.
    fn farewell(&self, subscription: &Profile, reason: EndReason) -> Message;
    /// Lets the bus forget it.
    fn forget(&self, subscription: &Profile);
}

pub(crate) type OnEnd = Box<dyn FnOnce(&Arrival<'_>) + Send>;

impl Ending {
    /// The final call, then that of `on_end`, each in a fence of its own; both are dropped here, by the thread that
    /// called them; `count` is told how many of the two panicked; then the bus forgets the subscription.
    pub(super) fn run(
        self,
        profile: &Profile,
        told: Told,
        mut handler: impl FnMut(&Arrival<'_>),
        count: impl FnOnce(u64),
    ) {
        let Self { host, on_end } = self;
        let message = host.farewell(profile, told.end.unwrap_or(EndReason::ShutDown));
        let arrival = Arrival { message: &message, told };
        let (fence, name) = (&profile.fence, &profile.name);
        let mut panics = u64::from(fence.run(name, PanicPlace::Handler, || handler(&arrival)).is_none());
        if let Some(on_end) = on_end {
            panics += u64::from(fence.run(name, PanicPlace::OnEnd, || on_end(&arrival)).is_none());
        }
        fence.run(name, PanicPlace::HandlerDrop, || drop(handler));
        count(panics);
        host.forget(profile);
    }
}
