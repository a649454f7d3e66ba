//! What a builder says about congestion.

use super::SubscriptionBuilder;
use crate::error::SubscribeError;
use crate::mailbox::{WaterMark, default_marks};
use crate::queue::Marks;

impl SubscriptionBuilder<'_> {
    /// When the mailbox counts as congested: from the message by which `high` wait, until at most `low` do.
    ///
    /// Without this: 500 and 450, or 50 % and 45 % of a smaller capacity. Crossings are counted in any case
    /// ([`SubscriptionStats::high_crossings`](crate::SubscriptionStats::high_crossings)); a message that passes none costs
    /// nothing more. Allowed are 0 <= `low` < `high` <= the capacity, with [`Overflow::Grow`](crate::Overflow::Grow) the
    /// capacity and its limit; the finishing call says so. Does not apply to inline subscriptions.
    pub fn water_marks(mut self, high: usize, low: usize) -> Self {
        self.water_marks = Some((high, low));
        self
    }

    /// Calls `callback` each time the mailbox passes a water mark, on the thread that passes it: for the high one that is
    /// a publisher, when its message is in every mailbox that does not wait and their consumers are woken; for the low one
    /// the consumer.
    ///
    /// Crossings alternate and are numbered from 1. Calls come in that order and never overlap: a thread that finds one
    /// under way leaves its crossing to it. The callback may do anything on the bus; it counts as a handler of this
    /// subscription, so a full [`Block`](crate::Overflow::Block) mailbox makes it wait no more than a handler, a panic in
    /// it is caught, counted with the handler's and told, and it cannot wait for the subscription itself. After the final
    /// message none begins, and the callback is dropped; one that is running then on a publisher may still return later.
    ///
    /// ```
    /// use stasis_bus::{Bus, Crossing};
    /// use std::sync::mpsc;
    /// let bus = Bus::builder().manual().build()?;
    /// let (state, topic) = (bus.message_type::<u8>("state")?, bus.topic("calls")?);
    /// let (heard, marks) = mpsc::channel();
    /// let slow = topic
    ///     .subscription("slow")
    ///     .accept(&state)
    ///     .water_marks(3, 1)
    ///     .on_water_mark(move |mark| drop(heard.send((mark.number, mark.crossing, mark.depth))))
    ///     .start(|_| {})?;
    /// (0..5).for_each(|value| assert!(topic.publish(state.message(value)).reached()));
    /// assert_eq!(marks.try_recv(), Ok((1, Crossing::High, 3)));
    /// assert!(slow.stats().congested);
    /// bus.run_until_idle();
    /// assert_eq!(marks.try_recv(), Ok((2, Crossing::Low, 0)));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn on_water_mark(mut self, callback: impl FnMut(&WaterMark) + Send + 'static) -> Self {
        self.on_water_mark = Some(Box::new(callback));
        self
    }

    pub(super) fn marks(&self) -> Marks {
        let usual = self.topic.core().exchange.defaults.water_marks;
        let usual = usual.filter(|(high, _)| *high <= self.overflow.room(self.capacity));
        match self.water_marks.or(usual) {
            Some((high, low)) => Marks { high: high as u64, low: low as u64 },
            None => default_marks(self.capacity),
        }
    }

    pub(super) fn check_marks(&self) -> Result<(), SubscribeError> {
        let most = self.overflow.room(self.capacity);
        match self.water_marks {
            Some((high, low)) if low >= high || high > most => {
                Err(SubscribeError::WaterMarks { high, low, most })
            }
            _ => Ok(()),
        }
    }
}
