//! The server's thread, and its end.
//!
//! One thread with a runtime of its own: nothing of it runs on the bus's workers, and none of theirs waits for it. The
//! runtime's channel is the only word between the handle and the thread: the handle's drop closes it.

use super::accept;
use super::builder::ServerBuilder;
use super::routes::Site;
use crate::bus::Bus;
use crate::dispatch::threads::ThreadKind;
use crate::error::ServeError;
use crate::sync::{Arc, thread};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Serves the figures of a bus over HTTP, until it is stopped or dropped.
///
/// It keeps no bus alive: when the last [`Bus`] is gone, it answers 503. After a shutdown it goes on showing how
/// things ended. It answers GET and HEAD only, and changes nothing. Cost: none for publishers; a thread, which sleeps
/// while nobody asks.
///
/// ```
/// use stasis_bus::http::Server;
/// # let bus = stasis_bus::Bus::builder().manual().build()?;
/// let server = Server::builder(&bus).listen("127.0.0.1:0").start()?;
/// println!("http://{}/", server.address());
/// server.stop();
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[must_use = "dropping it stops it"]
pub struct Server {
    address: SocketAddr,
    /// Both until the end.
    running: Option<(watch::Sender<()>, thread::JoinHandle<()>)>,
}

impl Server {
    /// Begins a server for `bus`.
    pub fn builder(bus: &Bus) -> ServerBuilder {
        ServerBuilder::new(bus)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, as dropping it does: no more connections, the answers under way are finished or, after a second, cut
    /// off, and its thread is joined.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some((stop, thread)) = self.running.take() else { return };
        drop(stop);
        // Its own thread, which runs no user code but the hook for new threads, would wait for itself.
        if thread.thread().id() != thread::current().id() {
            thread.join();
        }
    }
}

/// Listens, and starts the thread.
pub(super) fn start(
    address: SocketAddr,
    site: impl FnOnce(watch::Receiver<()>) -> Site,
    options: &ServerBuilder,
) -> Result<Server, ServeError> {
    let (stop, stopped) = watch::channel(());
    let site = Arc::new(site(stopped.clone()));
    let refused = |error: io::Error| ServeError::Thread(error.to_string());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(refused)?;
    let listener = listen(address)?;
    let address = listener.local_addr().map_err(refused)?;
    let limits = accept::Limits { connections: options.connections_max, time: options.timeout };
    let body = move || {
        runtime.block_on(async {
            if let Ok(listener) = TcpListener::from_std(listener) {
                accept::accept(listener, site, limits, stopped).await;
            }
        });
        // Requests run on this thread alone: what is left has no more to say.
        runtime.shutdown_timeout(Duration::ZERO);
    };
    let threads = options.bus.exchange().pool.threads().clone();
    let thread = threads.spawn(ThreadKind::Http, "stasis-http".to_owned(), body).map_err(refused)?;
    Ok(Server { address, running: Some((stop, thread)) })
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, ServeError> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse(address),
        _ => ServeError::Refused { address, why: error.to_string() },
    };
    let listener = std::net::TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

// As for every handle: nothing of it is left half done where somebody else's code panics.
impl UnwindSafe for Server {}
impl RefUnwindSafe for Server {}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}
