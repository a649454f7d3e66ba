//! Serves the events to manager clients over TCP, as a switch does.
//!
//! A client gets a greeting line and then every event from its coming on, without asking: who only listens
//! (`nc 127.0.0.1 5038`) need not log in. A login is answered all the same, so that programs made for a real manager work;
//! it is good with every name and secret, for there is nothing to protect: whoever reaches the port can read.
//! Only loopback addresses are served. Who wants no events says so, at the login or later (`Events: off`): that is a
//! change of the subscription's filter.
//!
//! ```text
//!                  forward             one bounded queue
//!   everything ──────────► ami:<n> ───► subscription (Stream) ───► writer thread ──► client n
//!                             ▲
//!                             └──────── answers ◄──── reader thread ◄──────────────── client n
//! ```
//!
//! Each client has a topic of its own. All events are forwarded to it, and the answers to what the client says are
//! published on it: so one queue has both, in one order, and a list of channels that a client has asked for comes after
//! every event that went into it.
//!
//! | limit | what happens beyond it |
//! | --- | --- |
//! | 64 clients | one more gets an error answer and is closed |
//! | 16,384 messages wait for a client | it is slow: its subscription ends, it gets what waits, an error answer, and is closed |
//! | 5 s for 64 KiB of text | it is slow, and is closed at once |
//! | 16 KiB of one action, or anything that is no action | it gets an error answer and is closed |
//!
//! The bus never waits for any of them, and messages are shared: what waits for all clients together is little more than
//! what waits for the slowest.
//!
//! At the end every client gets what is queued and a `Goodbye`; then the connection is closed. A follower knows by the
//! goodbye that the stream is over and was not cut.

mod action;
mod client;

use crate::messages::EVERYTHING;
use crate::wire::write_within;
use client::{Client, Parting};
use serde::Serialize;
use stasis_bus::{Bus, Topic};
use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the acceptor rests if it cannot accept: there may be no file descriptors left.
const NO_ACCEPT: Duration = Duration::from_millis(100);
/// A refusal fits into the buffer of a new connection.
const REFUSAL: Duration = Duration::from_millis(100);

/// What a client may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) clients: usize,
    /// Messages that may wait for one client. More than the shipped recording has, so that a replay at full speed can be
    /// followed.
    pub(crate) waiting: usize,
    /// For one piece of text.
    pub(crate) write: Duration,
    /// For all clients together, at the end.
    pub(crate) farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (write, farewell) = (Duration::from_secs(5), Duration::from_secs(10));
        Self { clients: 64, waiting: 16_384, write, farewell }
    }
}

/// How many clients there were, and how they were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Served {
    pub(crate) clients: u64,
    /// Came when there were too many.
    pub(crate) refused: u64,
    pub(crate) slow: u64,
    /// Said what makes no sense.
    pub(crate) senseless: u64,
}

pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

struct Shared {
    bus: Bus,
    everything: Topic,
    limits: Limits,
    state: Mutex<State>,
    /// A client has gone.
    gone: Condvar,
}

#[derive(Default)]
struct State {
    is_over: bool,
    clients: HashMap<u64, Arc<Client>>,
    served: Served,
}

impl Server {
    /// Begins to serve. With port 0 the system chooses one; [`address`](Self::address) tells which.
    pub(crate) fn start(bus: &Bus, address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let everything = bus.topic(EVERYTHING).map_err(io::Error::other)?;
        let (state, gone) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { bus: bus.clone(), everything, limits, state, gone });
        let accepting = shared.clone();
        let acceptor =
            thread::Builder::new().name("ami".to_owned()).spawn(move || accepting.accept(&listener))?;
        Ok(Self { address, shared, acceptor })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives every client what is queued for it and a goodbye, and closes. Who does not take it in time is slow.
    pub(crate) fn finish(self) -> Served {
        let clients = self.shared.end();
        clients.iter().for_each(|client| client.say_goodbye());
        self.shared.wait_for_clients();
        self.shared.drop_clients();
        // The acceptor waits for somebody to come.
        if TcpStream::connect_timeout(&self.address, self.shared.limits.farewell).is_ok() {
            let _ = self.acceptor.join();
        }
        self.shared.state().served
    }
}

impl Shared {
    /// A panic in a thread of one client is no reason to serve nobody.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for number in 1.. {
            let accepted = listener.accept();
            if self.state().is_over {
                return;
            }
            match accepted {
                Ok((socket, _)) => self.welcome(number, socket),
                Err(_) => thread::sleep(NO_ACCEPT),
            }
        }
    }

    /// Nobody else comes meanwhile: there is one acceptor.
    fn welcome(self: &Arc<Self>, number: u64, socket: TcpStream) {
        if self.state().clients.len() >= self.limits.clients {
            self.state().served.refused += 1;
            let told = action::error(None, "too many clients");
            let _ = write_within(&socket, told.as_bytes(), REFUSAL);
            return;
        }
        // Without a thread or a file descriptor left there is no client.
        let _ = client::start(self, number, socket);
    }

    /// False: it is over, and nobody is served any more.
    fn add(&self, client: &Arc<Client>) -> bool {
        let mut state = self.state();
        if !state.is_over {
            state.served.clients += 1;
            state.clients.insert(client.number, client.clone());
        }
        !state.is_over
    }

    fn remove(&self, client: &Client, parting: Parting) {
        let mut state = self.state();
        if state.clients.remove(&client.number).is_some() {
            state.served.slow += u64::from(parting == Parting::Slow);
            state.served.senseless += u64::from(parting == Parting::Senseless);
        }
        self.gone.notify_all();
    }

    fn end(&self) -> Vec<Arc<Client>> {
        let mut state = self.state();
        state.is_over = true;
        state.clients.values().cloned().collect()
    }

    fn wait_for_clients(&self) {
        let some_left = |state: &mut State| !state.clients.is_empty();
        drop(self.gone.wait_timeout_while(self.state(), self.limits.farewell, some_left));
    }

    /// Those that are left have had time enough.
    fn drop_clients(&self) {
        let mut state = self.state();
        for (_, client) in std::mem::take(&mut state.clients) {
            state.served.slow += 1;
            let _ = client.socket.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests;
