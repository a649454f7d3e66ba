//! The subscriptions that are there, so that they can end each other.

use crate::seen::Seen;
use crate::yard::Yard;
use stasis_bus::Subscription;
use std::sync::{Arc, Mutex};

/// One that is there.
pub(crate) struct Tenant {
    pub(crate) seen: Arc<Seen>,
    handle: Subscription,
}

impl Tenant {
    pub(crate) fn new(seen: Arc<Seen>, handle: Subscription) -> Self {
        Self { seen, handle }
    }

    pub(crate) fn handle(&self) -> &Subscription {
        &self.handle
    }

    /// Ends it: false if somebody has.
    pub(crate) fn end(&self, yard: &Yard) -> bool {
        self.seen.ends(|| yard.all_returned());
        self.handle.unsubscribe()
    }
}

#[derive(Default)]
pub(crate) struct Audience(Mutex<Vec<Arc<Tenant>>>);

impl Audience {
    pub(crate) fn enter(&self, tenant: Arc<Tenant>) {
        self.0.lock().unwrap().push(tenant);
    }

    pub(crate) fn leave(&self, tenant: &Arc<Tenant>) {
        self.0.lock().unwrap().retain(|other| !Arc::ptr_eq(other, tenant));
    }

    /// One of them.
    pub(crate) fn pick(&self, number: u64) -> Option<Arc<Tenant>> {
        let there = self.0.lock().unwrap();
        let len = there.len().max(1) as u64;
        there.get((number % len) as usize).cloned()
    }
}
