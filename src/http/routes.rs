//! Which path is whose.

use super::builder::ServerBuilder;
use super::guard;
#[cfg(feature = "prometheus")]
use super::reply::Content;
use super::reply::Reply;
use crate::bus::{Bus, WeakBus};
#[cfg(feature = "prometheus")]
use crate::observe::Observer;
use hyper::body::Body;
use hyper::{Request, StatusCode};
use tokio::sync::watch;

/// The text format of Prometheus.
#[cfg(feature = "prometheus")]
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What one server shows.
pub(super) struct Site {
    bus: WeakBus,
    hosts: Vec<String>,
    #[cfg(feature = "prometheus")]
    observer: Observer,
    #[cfg(feature = "console")]
    console: console::Pages,
}

impl Site {
    /// With what closes at the end of the server.
    pub(super) fn new(options: &ServerBuilder) -> impl FnOnce(watch::Receiver<()>) -> Self {
        let (bus, hosts) = (options.bus.downgrade(), options.hosts.clone());
        #[cfg(feature = "prometheus")]
        let observer = Observer::new(&options.bus);
        #[cfg(feature = "console")]
        let console = console::Pages::new(options);
        move |_stop| Self {
            bus,
            hosts,
            #[cfg(feature = "prometheus")]
            observer,
            #[cfg(feature = "console")]
            console: console(_stop),
        }
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

    fn route<B: Body>(&self, bus: &Bus, request: &Request<B>) -> Reply {
        let path = request.uri().path();
        #[cfg(feature = "prometheus")]
        if path == "/metrics" {
            return Reply::new(StatusCode::OK, EXPOSITION, Content::whole(self.observer.render()));
        }
        #[cfg(feature = "console")]
        if let Some(reply) = self.console.answer(bus, request) {
            return reply;
        }
        let _ = bus;
        Reply::text(StatusCode::NOT_FOUND, format!("there is nothing at {path}\n"))
    }

    /// Called now and then: lets go of what nobody has asked for in a while.
    pub(super) fn forget(&self) {
        #[cfg(feature = "console")]
        self.console.forget();
    }
}

#[cfg(feature = "console")]
mod console {
    use super::super::builder::ServerBuilder;
    use super::super::events::Events;
    use super::super::reply::{Content, Reply};
    use crate::bus::{Bus, WeakBus};
    use crate::console::{Console, page_html};
    use crate::sync::Arc;
    use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, RETRY_AFTER};
    use hyper::{Method, Request, StatusCode};
    use std::hash::{BuildHasher, RandomState};
    use tokio::sync::{Semaphore, watch};

    const HTML: &str = "text/html; charset=utf-8";
    const EVENTS: &str = "text/event-stream; charset=utf-8";
    const JSON: &str = "application/json";

    /// The console's part of a server.
    pub(super) struct Pages {
        bus: WeakBus,
        console: Arc<Console>,
        listeners: Arc<Semaphore>,
        stop: watch::Receiver<()>,
    }

    impl Pages {
        pub(super) fn new(options: &ServerBuilder) -> impl FnOnce(watch::Receiver<()>) -> Self + use<> {
            let (bus, console) = (options.bus.downgrade(), Arc::new(Console::new(options.refresh)));
            let listeners = Arc::new(Semaphore::new(options.listeners_max));
            move |stop| Self { bus, console, listeners, stop }
        }

        /// The answer, if the path is one of the console's.
        pub(super) fn answer<B>(&self, bus: &Bus, request: &Request<B>) -> Option<Reply> {
            match request.uri().path() {
                "/" => Some(page()),
                "/events" if request.method() == Method::HEAD => {
                    Some(Reply::new(StatusCode::OK, EVENTS, Content::whole("")))
                }
                "/events" => Some(self.events()),
                path => {
                    let path = path.strip_prefix("/api/")?;
                    let answer = self.console.answer(bus, path, request.uri().query().unwrap_or_default());
                    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
                    Some(Reply::new(status, JSON, Content::whole(answer.json)))
                }
            }
        }

        fn events(&self) -> Reply {
            let Ok(place) = self.listeners.clone().try_acquire_owned() else {
                let refusal = Reply::text(StatusCode::SERVICE_UNAVAILABLE, "too many listeners\n");
                return refusal.with(RETRY_AFTER, HeaderValue::from_static("5"));
            };
            let events = Events::new(self.bus.clone(), self.console.clone(), self.stop.clone(), place);
            Reply::new(StatusCode::OK, EVENTS, Content::Events(Box::new(events)))
        }

        pub(super) fn forget(&self) {
            self.console.forget();
        }
    }

    /// The page, which runs its own script and no other.
    fn page() -> Reply {
        let nonce = nonce();
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        );
        let reply = Reply::new(StatusCode::OK, HTML, Content::whole(page_html(&nonce)));
        match HeaderValue::from_str(&policy) {
            Ok(policy) => reply.with(CONTENT_SECURITY_POLICY, policy),
            Err(_) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "no policy for the page\n"),
        }
    }

    /// Never the same, and not to be guessed: hashes under keys that the system has drawn.
    fn nonce() -> String {
        let one = || RandomState::new().hash_one("nonce");
        format!("{:016x}{:016x}", one(), one())
    }
}
