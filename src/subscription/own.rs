//! A subscription that its own handler's panic may end.

use crate::dispatch::fence::caught;
use crate::mailbox::OnPanic;
use crate::message::EndReason;
use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::sync::{Arc, Weak};
use crate::topic::member::Member;
use std::panic::resume_unwind;
use std::sync::OnceLock;

/// The member to be, for a handler whose panic ends it. It can be ended only once it is visible.
#[derive(Default)]
pub(super) struct Own {
    member: OnceLock<Weak<Member>>,
    panicked: AtomicBool,
}

impl Own {
    pub(super) fn is_visible(&self, member: &Arc<Member>, on_panic: OnPanic) {
        let _ = self.member.set(Arc::downgrade(member));
        // ORDERING(own): SeqCst fence; pairs with the one in `panicked`: one of the two sees the other.
        fence(Ordering::SeqCst);
        if on_panic == OnPanic::Disconnect && self.panicked.load(Ordering::Relaxed) {
            member.end(EndReason::Disconnected);
        }
    }

    fn panicked(&self) {
        self.panicked.store(true, Ordering::Relaxed);
        // ORDERING(own): SeqCst fence; pairs with the one in `is_visible`.
        fence(Ordering::SeqCst);
        if let Some(member) = self.member.get().and_then(Weak::upgrade) {
            member.end(EndReason::Disconnected);
        }
    }
}

/// Ends the subscription if its handler panics and that was asked for.
pub(super) struct PanicWatch(pub(super) Option<Arc<Own>>);

impl PanicWatch {
    #[inline]
    pub(super) fn call(&self, handler: impl FnOnce()) {
        match &self.0 {
            None => handler(),
            Some(own) => Self::call_watched(own, handler),
        }
    }

    /// The panic goes on to the fence around all calls, which counts and tells it.
    pub(super) fn call_watched(own: &Own, handler: impl FnOnce()) {
        if let Err(payload) = caught(handler) {
            own.panicked();
            resume_unwind(payload);
        }
    }
}
