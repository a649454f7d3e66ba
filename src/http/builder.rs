//! Options of a server and their check.

use super::guard::is_host_name;
use super::routes::Site;
use super::server::{self, Server};
use crate::bus::Bus;
use crate::error::ServeError;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Where Prometheus looks for an exporter of this kind.
const LISTEN: &str = "127.0.0.1:9464";
const CONNECTIONS: RangeInclusive<u64> = 1..=1024;
const TIMEOUT_MS: RangeInclusive<u64> = 10..=600_000;
#[cfg(feature = "console")]
const LISTENERS: RangeInclusive<u64> = 0..=1024;
#[cfg(feature = "console")]
const REFRESH_MS: RangeInclusive<u64> = 20..=60_000;

/// Says how a [`Server`] is to be, and starts it. Made by [`Server::builder`].
#[must_use = "start() starts it"]
pub struct ServerBuilder {
    pub(super) bus: Bus,
    listen: String,
    pub(super) hosts: Vec<String>,
    pub(super) connections_max: usize,
    pub(super) timeout: Duration,
    #[cfg(feature = "console")]
    pub(super) listeners_max: usize,
    #[cfg(feature = "console")]
    pub(super) refresh: Duration,
}

impl ServerBuilder {
    pub(super) fn new(bus: &Bus) -> Self {
        Self {
            bus: bus.clone(),
            listen: LISTEN.to_owned(),
            hosts: Vec::new(),
            connections_max: 64,
            timeout: Duration::from_secs(10),
            #[cfg(feature = "console")]
            listeners_max: 16,
            #[cfg(feature = "console")]
            refresh: Duration::from_secs(1),
        }
    }

    /// Where to listen: address and port, or a name that stands for one. Port 0 takes any free one, which
    /// [`Server::address`] tells. Default: `127.0.0.1:9464`.
    ///
    /// Any address but a loopback one lets other machines read the figures.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// One more host name by which browsers may ask: that of a proxy, or of this machine. Default: none.
    ///
    /// `localhost` and addresses are always allowed. Any other name is refused, as it may be that of a stranger's
    /// page, pointed here to read what the page must not see (DNS rebinding).
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// How many connections there may be, 1 to 1,024; one more is answered 503 and closed. Default: 64.
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.connections_max = connections;
        self
    }

    /// How long a client may take to send the head of a request, to begin the next one, and to take anything of an
    /// answer, 10 ms to 10 minutes; then its connection is closed. Default: 10 seconds.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// How many may follow live events, 0 to 1,024; one more is answered 503, and the page asks now and then instead.
    /// Each takes a connection. Default: 16.
    #[cfg(feature = "console")]
    pub fn listeners_max(mut self, listeners: usize) -> Self {
        self.listeners_max = listeners;
        self
    }

    /// How often the console looks at the bus while somebody asks, 20 ms to a minute; whoever asks in between gets what
    /// it saw last. If a look takes long, because there are many topics, it looks less often: so that it takes a twentieth
    /// of one core's time at most. Default: every second.
    #[cfg(feature = "console")]
    pub fn refresh(mut self, every: Duration) -> Self {
        self.refresh = every;
        self
    }

    /// Starts it: when this returns, it listens.
    ///
    /// # Errors
    ///
    /// If an option is out of range, if there is no such address, if somebody listens there already, and if the system
    /// refuses a thread.
    pub fn start(self) -> Result<Server, ServeError> {
        check("connections_max", self.connections_max as u64, CONNECTIONS)?;
        check("timeout in milliseconds", milliseconds(self.timeout), TIMEOUT_MS)?;
        #[cfg(feature = "console")]
        {
            check("listeners_max", self.listeners_max as u64, LISTENERS)?;
            check("refresh in milliseconds", milliseconds(self.refresh), REFRESH_MS)?;
        }
        if let Some(odd) = self.hosts.iter().find(|host| !is_host_name(host)) {
            return Err(ServeError::Host(odd.clone()));
        }
        let address = address(&self.listen)?;
        server::start(address, Site::new(&self), &self)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn check(field: &'static str, value: u64, allowed: RangeInclusive<u64>) -> Result<(), ServeError> {
    if allowed.contains(&value) { Ok(()) } else { Err(ServeError::OutOfRange { field, value, allowed }) }
}

fn address(listen: &str) -> Result<SocketAddr, ServeError> {
    let refused = |why: String| ServeError::Address { value: listen.to_owned(), why };
    let mut found = listen.to_socket_addrs().map_err(|error| refused(error.to_string()))?;
    found.next().ok_or_else(|| refused("the name stands for no address".to_owned()))
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("listen", &self.listen)
            .field("hosts", &self.hosts)
            .field("connections_max", &self.connections_max)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
