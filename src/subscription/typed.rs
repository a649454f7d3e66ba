//! Handlers for one type, and what is called at the end.

use super::builder::SubscriptionBuilder;
use super::{Delivery, Subscription};
use crate::error::SubscribeError;
use crate::mailbox::Arrival;
use crate::message::MessageType;
use crate::topic::TopicOf;

impl SubscriptionBuilder<'_> {
    /// Calls `on_end` with the final message, once, after the handler's last call and on the same thread.
    ///
    /// This is how the owner of a [typed](Self::start_typed) handler, which gets no final message, hears of the end, of
    /// its reason, and of what was missed since the last call. Other handlers get the final message first, as without
    /// it. It gets it whatever the filter, may do anything on the bus, and is dropped by the call; a panic in it is
    /// caught, counted and reported to the bus's hook. Given twice, the last one stands. A
    /// [`stream`](Self::stream) takes none: its reader gets the final message itself.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (state, topic) = (bus.message_type::<u8>("state")?, bus.topic("calls")?);
    /// use stasis_bus::EndReason;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let builder = topic.subscription("ui").on_end(move |last| drop(tell.send((last.end(), last.missed()))));
    /// let states = builder.start_typed(&state, |value, _| println!("{value}"))?;
    /// states.unsubscribe_and_join()?;
    /// assert_eq!(told.recv(), Ok((Some(EndReason::Unsubscribed), 0)));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn on_end(mut self, on_end: impl FnOnce(&Delivery<'_>) + Send + 'static) -> Self {
        let topic = self.topic.clone();
        self.on_end = Some(Box::new(move |arrival| on_end(&Delivery::new(arrival, &topic))));
        self
    }

    /// Subscribes to one type with a handler of its values (Serial, Pool, Dedicated).
    ///
    /// As [`accept`](Self::accept) of that type and [`start`](Self::start), except that the final message, which is not
    /// of the type, goes to [`on_end`](Self::on_end) alone. Costs what they cost.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and if the filter takes anything but this type.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// let (rang, calls) = (bus.message_type::<String>("rang")?, bus.topic("calls")?);
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let _log = calls.subscription("log").start_typed(&rang, move |who, delivery| {
    ///     drop(tell.send((who.clone(), delivery.seq())));
    /// })?;
    /// calls.publish(rang.message("alice".to_owned()));
    /// bus.run_until_idle();
    /// assert_eq!(told.try_recv(), Ok(("alice".to_owned(), 0)));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn start_typed<T: Send + Sync + 'static>(
        self,
        kind: &MessageType<T>,
        mut handler: impl FnMut(&T, &Delivery<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        let this = self.only(kind, "start_typed")?;
        let (topic, kind) = (this.topic.clone(), kind.clone());
        this.start_each("start_typed", move |arrival| {
            if let Some(value) = value(&kind, arrival) {
                handler(value, &Delivery::new(arrival, &topic));
            }
        })
    }

    /// Subscribes to one type with a handler of its values that publishers call themselves. Calls may overlap.
    ///
    /// As [`accept`](Self::accept) of that type and [`inline`](Self::inline), except that the final message goes to
    /// [`on_end`](Self::on_end) alone.
    ///
    /// # Errors
    ///
    /// As [`inline`](Self::inline), and if the filter takes anything but this type.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (level, topic) = (bus.message_type::<u64>("level")?, bus.topic("calls")?);
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// let highest = Arc::new(AtomicU64::new(0));
    /// let seen = highest.clone();
    /// let _peak = topic.subscription("peak").inline_typed(&level, move |level, _| {
    ///     seen.fetch_max(*level, Ordering::Relaxed);
    /// })?;
    /// topic.publish(level.message(7));
    /// assert_eq!(highest.load(Ordering::Relaxed), 7);
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn inline_typed<T: Send + Sync + 'static>(
        self,
        kind: &MessageType<T>,
        handler: impl Fn(&T, &Delivery<'_>) + Send + Sync + 'static,
    ) -> Result<Subscription, SubscribeError> {
        let this = self.only(kind, "inline_typed")?;
        let (topic, kind) = (this.topic.clone(), kind.clone());
        this.inline_each("inline_typed", move |arrival| {
            if let Some(value) = value(&kind, arrival) {
                handler(value, &Delivery::new(arrival, &topic));
            }
        })
    }

    /// Takes this type. What a typed handler could not be given would be accepted, counted, and lost on the way.
    fn only<T>(self, kind: &MessageType<T>, call: &'static str) -> Result<Self, SubscribeError> {
        let Some(filter) = self.filter.clone().only(kind) else {
            let allowed = "a typed handler takes messages of its own type and no others";
            return Err(SubscribeError::Unsuitable { option: "a filter for other types", call, allowed });
        };
        Ok(Self { filter, is_typed: true, ..self })
    }
}

impl<T: Send + Sync + 'static> TopicOf<T> {
    /// Begins a subscription to this type on this topic, of that name: options, then a finishing call.
    pub fn subscription(&self, name: impl Into<String>) -> SubscriptionBuilder<'_> {
        self.topic().subscription(name).accept(self.kind())
    }

    /// Subscribes with a handler of values, with the workers of the bus and default limits. The final message is not for
    /// it: see [`on_end`](SubscriptionBuilder::on_end).
    ///
    /// # Errors
    ///
    /// As [`SubscriptionBuilder::start`].
    pub fn subscribe(
        &self,
        name: impl Into<String>,
        handler: impl FnMut(&T, &Delivery<'_>) + Send + 'static,
    ) -> Result<Subscription, SubscribeError> {
        self.subscription(name).start_typed(self.kind(), handler)
    }
}

/// What a typed handler is given. The final message is not for it, even if it is of the type.
#[inline]
fn value<'a, T: Send + Sync + 'static>(kind: &MessageType<T>, arrival: &Arrival<'a>) -> Option<&'a T> {
    match arrival.told.end {
        None => kind.read(arrival.message),
        Some(_) => None,
    }
}
