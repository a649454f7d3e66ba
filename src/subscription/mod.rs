//! Subscriptions as their users hold them: the builder, the handle, the stream, and what a handler gets.

mod batch;
mod builder;
mod catch_up;
mod delivery;
mod handle;
mod marks;
mod own;
mod start;
mod stream;
mod thread;
mod typed;

pub use batch::Batch;
pub use builder::SubscriptionBuilder;
pub use delivery::Delivery;
pub use handle::{Handled, Subscription};
pub use stream::{Received, RecvTimeoutError, Stream, TryRecvError};
