//! Live events for one listener: one when it comes, one whenever there is news, until either side ends it.
//!
//! Nothing is queued for a listener: an event is made when the connection has room for it.

use super::accept::until;
use crate::bus::WeakBus;
use crate::console::{Console, Event};
use crate::sync::Arc;
use hyper::body::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

type Ending = Pin<Box<dyn Future<Output = Option<()>> + Send>>;

/// What one listener follows.
pub(super) struct Events {
    bus: WeakBus,
    console: Arc<Console>,
    stop: watch::Receiver<()>,
    /// Until the next event, or the end of the server.
    pause: Option<Ending>,
    /// Counts it among the listeners.
    _place: OwnedSemaphorePermit,
}

impl Events {
    pub(super) fn new(
        bus: WeakBus,
        console: Arc<Console>,
        stop: watch::Receiver<()>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { bus, console, stop, pause: None, _place: place }
    }

    /// The next event; `None`: there will be no more.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let is_first = self.pause.is_none();
        if let Some(pause) = &mut self.pause
            && ready!(pause.as_mut().poll(context)).is_none()
        {
            return Poll::Ready(None);
        }
        let Some(bus) = self.bus.upgrade() else { return Poll::Ready(None) };
        let Event { text, next } = self.console.event(&bus, is_first);
        self.pause = Some(self.pause(next));
        Poll::Ready(Some(text.into()))
    }

    fn pause(&self, time: Duration) -> Ending {
        let mut stop = self.stop.clone();
        Box::pin(async move { until(&mut stop, sleep(time)).await })
    }
}
