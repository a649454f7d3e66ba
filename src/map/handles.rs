//! Each thread's handle to each domain that it has pinned.

use super::Domain;
use crate::sync::epoch::{Collector, Guard, LocalHandle};
use crate::sync::{Weak, local};
use std::cell::RefCell;

local! {
    /// Few: a process has one domain per bus.
    static HANDLES: RefCell<Vec<Handle>> = RefCell::new(Vec::new());
}

struct Handle {
    /// Keeps the domain's address from being used again, so that it is its name.
    domain: Weak<Domain>,
    epochs: LocalHandle,
}

/// Pins the calling thread. While the thread ends and has no handles any more, it takes one for this guard.
#[inline]
pub(super) fn pin(domain: &Weak<Domain>, collector: &Collector) -> Guard {
    let pinned = HANDLES.try_with(|handles| match known(handles, domain) {
        Some(guard) => guard,
        None => first(handles, domain, collector),
    });
    pinned.unwrap_or_else(|_| collector.register().pin())
}

#[inline]
fn known(handles: &RefCell<Vec<Handle>>, domain: &Weak<Domain>) -> Option<Guard> {
    let handles = handles.borrow();
    handles.iter().find(|handle| handle.domain.ptr_eq(domain)).map(|handle| handle.epochs.pin())
}

/// The first time that this thread meets this domain: a good time to forget those that are gone.
#[cold]
fn first(handles: &RefCell<Vec<Handle>>, domain: &Weak<Domain>, collector: &Collector) -> Guard {
    let epochs = collector.register();
    let guard = epochs.pin();
    let (kept, gone): (Vec<_>, _) =
        handles.take().into_iter().partition(|handle| handle.domain.strong_count() > 0);
    handles.replace(kept);
    handles.borrow_mut().push(Handle { domain: domain.clone(), epochs });
    drop(gone);
    guard
}

/// Domains that the calling thread has handles to.
#[cfg(all(test, not(bus_loom)))]
pub(super) fn count() -> usize {
    HANDLES.with(|handles| handles.borrow().len())
}
