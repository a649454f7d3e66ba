//! Which path is whose.

use super::builder::ServerBuilder;
use super::guard;
use super::reply::Reply;
use crate::bus::{Bus, WeakBus};
use hyper::body::Body;
use hyper::{Request, StatusCode};
use tokio::sync::watch;

/// What one server shows.
pub(super) struct Site {
    bus: WeakBus,
    hosts: Vec<String>,
}

impl Site {
    /// With what closes at the end of the server.
    pub(super) fn new(options: &ServerBuilder) -> impl FnOnce(watch::Receiver<()>) -> Self {
        let (bus, hosts) = (options.bus.downgrade(), options.hosts.clone());
        move |_stop| Self { bus, hosts }
    }

    pub(super) fn answer<B: Body>(&self, request: &Request<B>) -> Reply {
        if let Some(refusal) = guard::refusal(request, &self.hosts) {
            return refusal;
        }
        match self.bus.upgrade() {
            Some(bus) => self.route(&bus, request),
            None => Reply::text(StatusCode::SERVICE_UNAVAILABLE, "the bus is gone\n"),
        }
    }

    fn route<B: Body>(&self, _bus: &Bus, request: &Request<B>) -> Reply {
        let path = request.uri().path();
        Reply::text(StatusCode::NOT_FOUND, format!("there is nothing at {path}\n"))
    }
}
