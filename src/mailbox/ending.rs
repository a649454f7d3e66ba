//! The end of a subscription, whatever its dispatch: the final message, and what follows it.

use super::{Arrival, Profile, Told};
use crate::dispatch::fence::PanicPlace;
use crate::message::{EndReason, Message};

/// What the end needs from the layers above.
pub(crate) struct Ending {
    /// Makes the final message.
    pub(crate) farewell: Farewell,
    /// Gets the final message as well, after the handler.
    pub(crate) on_end: Option<OnEnd>,
    /// Lets the bus forget the subscription.
    pub(crate) forget: Forget,
}

pub(crate) type Farewell = Box<dyn FnOnce(EndReason) -> Message + Send>;
pub(crate) type OnEnd = Box<dyn FnOnce(&Arrival<'_>) + Send>;
pub(crate) type Forget = Box<dyn FnOnce() + Send>;

impl Ending {
    /// The final call, then that of `on_end`, each in a fence of its own; both are dropped here, by the thread that
    /// called them; then the bus forgets the subscription. Returns how many of the two calls panicked.
    pub(super) fn run(self, profile: &Profile, told: Told, mut handler: impl FnMut(&Arrival<'_>)) -> u64 {
        let Self { farewell, on_end, forget } = self;
        let message = farewell(told.end.unwrap_or(EndReason::ShutDown));
        let arrival = Arrival { message: &message, told };
        let (fence, name) = (&profile.fence, &profile.name);
        let mut panics = u64::from(fence.run(name, PanicPlace::Handler, || handler(&arrival)).is_none());
        if let Some(on_end) = on_end {
            panics += u64::from(fence.run(name, PanicPlace::OnEnd, || on_end(&arrival)).is_none());
        }
        fence.run(name, PanicPlace::HandlerDrop, || drop(handler));
        forget();
        panics
    }
}
