//! Forwards: everything published here also reaches there.

use super::{Topic, TopicCore};
use crate::error::ForwardError;
use crate::sync::Arc;
use std::fmt;

/// An edge from one topic to another; cancelled when dropped.
///
/// Forwards may form any shape: a message reaches each subscription once, however many paths lead to it, through
/// diamonds, doubled forwards and cycles. A forward made twice stands until both handles are gone. Making one costs the
/// same whatever hangs on the target. After cancelling has returned, no publish that begins later uses the edge;
/// queued messages stay.
///
/// A forward keeps both topics alive.
///
/// ```
/// let bus = stasis_bus::Bus::builder().manual().build()?;
/// let (one, all) = (bus.topic("call:1")?, bus.topic("call:all")?);
/// let up = one.forward_to(&all)?;
/// assert_eq!(one.stats().forwards, 1);
/// drop(up);
/// assert_eq!(one.stats().forwards, 0);
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use = "dropping it cancels the forward; call detach() to keep it"]
pub struct Forward {
    edge: Option<Standing>,
}

/// An edge that stands; taken away when dropped.
struct Standing {
    from: Arc<TopicCore>,
    to: Arc<TopicCore>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.from.remove_edge(&self.to);
    }
}

impl Topic {
    /// From now on, everything published here also reaches `target` and what lies behind it.
    ///
    /// # Errors
    ///
    /// If `target` belongs to another bus.
    pub fn forward_to(&self, target: &Self) -> Result<Forward, ForwardError> {
        if !Arc::ptr_eq(&self.0.exchange, &target.0.exchange) {
            return Err(ForwardError::OtherBus);
        }
        self.0.add_edge(&target.0);
        Ok(Forward { edge: Some(Standing { from: self.0.clone(), to: target.0.clone() }) })
    }
}

impl Forward {
    /// Takes the edge away, as dropping does.
    pub fn cancel(self) {}

    /// Keeps the edge for the life of the bus.
    pub fn detach(mut self) {
        if let Some(edge) = self.edge.take() {
            let exchange = edge.from.exchange.clone();
            exchange.keep_until_end(Box::new(edge));
        }
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.edge.as_ref().map(|edge| (&edge.from.name, &edge.to.name));
        f.debug_tuple("Forward").field(&names).finish()
    }
}
