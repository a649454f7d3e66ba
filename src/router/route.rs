//! One route: a closure that the router's runner alone calls.

use crate::dispatch::fence::{Fence, PanicPlace};
use crate::dispatch::latch::Latch;
use crate::message::MessageType;
use crate::message::kind::Kind;
use crate::subscription::Delivery;
use crate::sync::{Arc, UnsafeCell, mutated};

pub(super) type Call = Box<dyn FnMut(&Delivery<'_>) + Send>;

/// Who is told of panics, and under which name.
pub(super) struct Owner {
    pub(super) name: Box<str>,
    pub(super) fence: Arc<Fence>,
}

pub(super) struct Route {
    /// The type it is for; none: everything else.
    kind: Option<Arc<Kind>>,
    /// The runner's, then who drops the route.
    call: UnsafeCell<Option<Call>>,
    owner: Arc<Owner>,
    gone: Arc<Latch<()>>,
}

// SAFETY: `call` is touched by the router's one runner alone, which one thread at a time has (its mailbox hands it on with
// the turn), and by the drop, when nobody has the route any more. It is Send; all else is Sync by itself.
unsafe impl Sync for Route {}

impl Route {
    pub(super) fn new(kind: Option<&Arc<Kind>>, call: Call, owner: &Arc<Owner>) -> Arc<Self> {
        let (kind, owner, gone) = (kind.cloned(), owner.clone(), Arc::new(Latch::new()));
        Arc::new(Self { kind, call: UnsafeCell::new(Some(call)), owner, gone })
    }

    pub(super) fn kind(&self) -> Option<&Kind> {
        self.kind.as_deref()
    }

    /// Set when its closure has been dropped.
    pub(super) fn gone(&self) -> &Arc<Latch<()>> {
        &self.gone
    }

    /// Calls the closure.
    ///
    /// # Safety
    ///
    /// The caller is the router's runner, and in no other call of it.
    #[inline]
    pub(super) unsafe fn call(&self, delivery: &Delivery<'_>) {
        self.call.with_mut(|call| {
            // SAFETY: as the caller says.
            if let Some(call) = unsafe { &mut *call } {
                call(delivery);
            }
        });
    }

    /// Drops the closure: there will be no further call. A panic of that is caught, counted and told.
    ///
    /// # Safety
    ///
    /// As for [`call`](Self::call), or nobody else has the route.
    pub(super) unsafe fn clear(&self) {
        // SAFETY: as the caller says.
        let call = self.call.with_mut(|call| unsafe { (*call).take() });
        if mutated!("route.gone_early") {
            self.gone.set(());
        }
        let Owner { name, fence } = &*self.owner;
        fence.run(name, PanicPlace::HandlerDrop, || drop(call));
        self.gone.set(());
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        // SAFETY: `&mut self`.
        unsafe { self.clear() };
    }
}

/// A closure of the values of `kind`, as a route calls it.
pub(super) fn typed<T: Send + Sync + 'static>(
    kind: &MessageType<T>,
    mut handler: impl FnMut(&T, &Delivery<'_>) + Send + 'static,
) -> Call {
    let kind = kind.clone();
    Box::new(move |delivery| {
        if let Some(value) = delivery.read(&kind) {
            handler(value, delivery);
        }
    })
}
