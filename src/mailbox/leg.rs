//! Messages that somebody follows, one in many: their way through one mailbox.
//!
//! Such a message travels in an envelope, as one does that somebody waits for. So the way of all others is as it is
//! without: what tells the two apart is there already.
//!
//! | when | what |
//! | --- | --- |
//! | it is offered to a mailbox | a leg goes into its envelope |
//! | its handler is about to be called, or a reader has it | [`Leg::arrived`] |
//! | its handler has returned; or it was lost, thrown away, refused | the leg is dropped |
//!
//! Each of these may call foreign code: it is done where messages are handled and dropped, under no lock.

use super::Profile;

/// How a message gets to whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Its handler is called on this thread, and has returned when the leg is dropped.
    Called,
    /// It is handed over with others, or to a reader.
    HandedOver,
}

/// What goes with a message through one mailbox, or to one inline handler.
pub(crate) trait Leg: Send + Sync {
    /// It has come to the subscription.
    fn arrived(&mut self, at: &Profile, how: Arrived);
}
