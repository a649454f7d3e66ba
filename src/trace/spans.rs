//! One message on its way from its publish to its handlers, as spans that follow each other.
//!
//! | step | span |
//! | --- | --- |
//! | the publish begins, on the publisher's thread | `stasis.publish` is made there, below the one that is current, and entered |
//! | it returns | left; what became of the message is recorded |
//! | a handler is about to be called, or a reader has the message | `stasis.handle` is made, below none; it follows from the other; entered while the handler runs |
//! | the handler has returned; or the message was lost | it is closed |
//! | the last of those who got the message is done | `stasis.publish` is closed: who links spans needs both open |
//!
//! Both are told to the subscriber that the publisher's thread had, whatever the handler's has. Each call of it is fenced,
//! and counts as inside the bus: it is made within publishes and right before handlers.

use super::tracer::NAME;
use crate::dispatch::fence::{Fence, PanicPlace};
use crate::dispatch::frames;
use crate::mailbox::{Arrived, Leg, Profile};
use crate::message::Message;
use crate::sync::Arc;
use crate::sync::time::Clock;
use crate::topic::Report;
use crate::topic::exchange::Exchange;
use crate::topic::following::{Follower, Trail};
use std::time::Duration;
use tracing::field::Empty;
use tracing::{Span, dispatcher, info_span};

/// Makes the spans of one bus's messages.
#[derive(Clone)]
pub(super) struct Spans {
    id: u64,
    fence: Arc<Fence>,
    clock: Arc<Clock>,
}

impl Spans {
    pub(super) fn new(exchange: &Exchange) -> Self {
        Self { id: exchange.id, fence: exchange.fence.clone(), clock: exchange.clock.clone() }
    }

    /// Runs foreign code.
    fn call<R>(&self, code: impl FnOnce() -> R) -> Option<R> {
        frames::enter(self.id, 0, || self.fence.run(NAME, PanicPlace::TraceSubscriber, code))
    }

    /// Seconds since a time on the bus's clock.
    fn since(&self, began: u64) -> f64 {
        Duration::from_nanos(self.clock.monotonic_ns().saturating_sub(began)).as_secs_f64()
    }
}

impl Follower for Spans {
    fn published(&self, topic: &Arc<str>, message: &Message) -> Option<Box<dyn Trail>> {
        let (began, type_name) = (self.clock.monotonic_ns(), message.type_name());
        let span = self.call(|| publish_span(topic, type_name)).filter(|span| !span.is_disabled())?;
        let (topic, type_name) = (topic.clone(), type_name.into());
        let journey = Journey { spans: self.clone(), topic, type_name, began, span: Some(span) };
        journey.spans.call(|| enter(journey.span.as_ref()));
        Some(Box::new(Publish(Arc::new(journey))))
    }
}

fn publish_span(topic: &str, message_type: &str) -> Span {
    info_span!(
        target: "stasis_bus",
        "stasis.publish",
        topic,
        message_type,
        accepted = Empty,
        filtered = Empty,
        dropped = Empty,
        cached = Empty
    )
}

fn enter(span: Option<&Span>) {
    span.map(|span| span.with_subscriber(|(id, subscriber)| subscriber.enter(id)));
}

fn leave(span: Option<&Span>) {
    span.map(|span| span.with_subscriber(|(id, subscriber)| subscriber.exit(id)));
}

/// One message on its way.
struct Journey {
    spans: Spans,
    topic: Arc<str>,
    type_name: Box<str>,
    began: u64,
    /// Of the publish; taken when it is closed.
    span: Option<Span>,
}

impl Journey {
    /// The span of one handler, told to the subscriber that knows the publish's.
    fn handle_span(&self, at: &Profile) -> Option<Span> {
        let (publish, waited) = (self.span.as_ref()?, self.spans.since(self.began));
        let Self { topic, type_name, .. } = self;
        publish.with_subscriber(|(_, subscriber)| {
            dispatcher::with_default(subscriber, || {
                let span = info_span!(
                    target: "stasis_bus",
                    parent: None,
                    "stasis.handle",
                    subscription = &*at.name,
                    id = at.id,
                    topic = &**topic,
                    message_type = &**type_name,
                    waited
                );
                span.follows_from(publish);
                span
            })
        })
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        let span = self.span.take();
        self.spans.call(|| drop(span));
    }
}

/// The message while it is published: its span is entered on this thread.
struct Publish(Arc<Journey>);

impl Trail for Publish {
    fn leg(&self) -> Box<dyn Leg> {
        Box::new(Step { journey: self.0.clone(), span: None, is_entered: false })
    }

    fn returned(self: Box<Self>, report: &Report) {
        let Report { accepted, filtered, dropped, cached, .. } = report;
        self.0.spans.call(|| {
            if let Some(span) = &self.0.span {
                span.record("accepted", accepted).record("filtered", filtered);
                span.record("dropped", dropped).record("cached", cached);
            }
        });
    }
}

impl Drop for Publish {
    fn drop(&mut self) {
        self.0.spans.call(|| leave(self.0.span.as_ref()));
    }
}

/// Its way to one subscription.
struct Step {
    journey: Arc<Journey>,
    span: Option<Span>,
    is_entered: bool,
}

impl Leg for Step {
    fn arrived(&mut self, at: &Profile, how: Arrived) {
        self.is_entered = how == Arrived::Called;
        self.span = self
            .journey
            .spans
            .call(|| {
                let span = self.journey.handle_span(at);
                if self.is_entered {
                    enter(span.as_ref());
                }
                span
            })
            .flatten();
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let (span, is_entered) = (self.span.take(), self.is_entered);
        self.journey.spans.call(|| {
            if is_entered {
                leave(span.as_ref());
            }
            drop(span);
        });
    }
}
