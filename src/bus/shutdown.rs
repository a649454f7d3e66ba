//! The end of a bus.
//!
//! 1. Publishing from outside ends: publishers get `Closed`, those that wait for room return.
//! 2. Handlers may go on publishing while mailboxes drain, until the bus is *quiet*: two looks in a row find every
//!    mailbox idle and no index moved (one look is not enough: A idle, B publishes to A, B idle).
//! 3. Then, or at the deadline, every subscription ends and gets its final message; at the deadline what is still
//!    queued is thrown away and counted as missed.
//! 4. Threads are joined, and what maps have retired is dropped. Whoever did not finish is named; its thread is left behind.

use super::types::Types;
use super::{Bus, Inner};
use crate::dispatch::frames;
use crate::dispatch::latch::Latch;
use crate::dispatch::threads::ThreadKind;
use crate::error::ShutdownError;
use crate::mailbox::Dispatch;
use crate::message::EndReason;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::time::Deadline;
use crate::sync::{Arc, Mutex, thread};
use crate::topic::exchange::{Exchange, Phase};
use crate::topic::member::Member;
use std::fmt;
use std::time::Duration;

/// How often the drain looks.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// What the final messages may take, beyond the deadline; and after them, the threads to leave.
const FAREWELL: Duration = Duration::from_millis(250);
/// How long a bus drains whose last handle was dropped.
const UNATTENDED: Duration = Duration::from_secs(10);

/// A subscription that had not finished when the deadline came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Straggler {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u64,
    /// How many messages were still queued; they count as missed.
    pub queued: u64,
    /// Whether its handler had returned by the end: if not, its thread is left behind.
    pub ended: bool,
}

/// How a shutdown went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Subscriptions that were ended.
    pub ended: usize,
    /// Those that had not finished in time.
    pub stragglers: Vec<Straggler>,
    /// Threads that are left behind, by name.
    pub threads_left: Vec<String>,
}

impl ShutdownReport {
    /// Whether everything queued was handled and no thread is left.
    pub fn is_clean(&self) -> bool {
        self.stragglers.is_empty() && self.threads_left.is_empty()
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} subscriptions ended", self.ended)?;
        for Straggler { name, id, queued, ended } in &self.stragglers {
            let state = if *ended { "ended late" } else { "still in its handler" };
            write!(f, "; {name}#{id} {state}, {queued} messages missed")?;
        }
        match self.threads_left.as_slice() {
            [] => Ok(()),
            left => write!(f, "; threads left behind: {}", left.join(", ")),
        }
    }
}

/// One bus's end: begun once, waited for by many.
pub(super) struct Shutdown {
    exchange: Arc<Exchange>,
    types: Arc<Types>,
    begun: AtomicBool,
    over: Latch<()>,
    report: Mutex<ShutdownReport>,
    /// Who traces the bus, and hears how it went.
    #[cfg(feature = "tracing")]
    tracer: Mutex<Option<Tell>>,
}

#[cfg(feature = "tracing")]
pub(crate) type Tell = Arc<dyn Fn(&ShutdownReport) + Send + Sync>;

impl Shutdown {
    pub(super) fn new(exchange: Arc<Exchange>, types: Arc<Types>) -> Self {
        let report = Mutex::new(ShutdownReport::default());
        Self {
            exchange,
            types,
            begun: AtomicBool::new(false),
            over: Latch::new(),
            report,
            #[cfg(feature = "tracing")]
            tracer: Mutex::new(None),
        }
    }

    /// True for one caller.
    fn begin(&self) -> bool {
        !self.begun.swap(true, Ordering::Relaxed)
    }

    fn run(&self, deadline: Deadline) {
        let report = end(&self.exchange, deadline);
        #[cfg(feature = "tracing")]
        self.trace(&report);
        self.types.close();
        self.exchange.pool.threads().close();
        self.exchange.fence.close();
        *self.report.lock() = report;
        self.over.set(());
    }

    #[cfg(feature = "tracing")]
    fn trace(&self, report: &ShutdownReport) {
        let tell = self.tracer.lock().take();
        if let Some(tell) = tell {
            tell(report);
        }
    }

    /// Begins it, if nobody has, and does not wait for its end.
    pub(super) fn run_in_background(self: &Arc<Self>, deadline: Duration) {
        if !self.begin() {
            return;
        }
        let exchange = &self.exchange;
        exchange.enter_phase(Phase::Draining);
        if exchange.pool.is_manual() || (exchange.members().is_empty() && exchange.pool.workers() == 0) {
            // Nothing runs by itself: the end costs no thread.
            return self.run(Deadline::after(Some(Duration::ZERO)));
        }
        let its = self.clone();
        let body = move || its.run(Deadline::after(Some(deadline)));
        let started = exchange.pool.threads().spawn(ThreadKind::Shutdown, "stasis-shutdown".to_owned(), body);
        if started.is_err() {
            // No thread to be had: begin the end, and leave it at that.
            exchange.enter_phase(Phase::Over);
            exchange.tell_of_end();
            end_all(&exchange.members());
            exchange.drop_kept();
            exchange.pool.stop(Deadline::after(Some(Duration::ZERO)));
            exchange.sweep_up();
            self.types.close();
            exchange.pool.threads().close();
            exchange.fence.close();
        }
    }
}

impl Bus {
    /// Ends the bus: publishing from outside ends at once, what is queued is handled (handlers may go on publishing),
    /// then every subscription gets its final message, and all threads are joined.
    ///
    /// At the deadline it does not wait any longer: queues are thrown away and counted as missed, and whoever is still
    /// in its handler is named in the report and left behind. (Final calls of inline and Serial subscriptions are made by
    /// the thread that calls this, and are waited for.) A stream that nobody reads holds it up to the deadline.
    /// A second call waits for the first. After it no message, topic or thread of the bus is left but what the user
    /// keeps, and those left behind.
    ///
    /// # Errors
    ///
    /// From inside a handler of this bus it starts the same and returns [`ShutdownError::InHandler`] at once. A second
    /// call that waited for its own `deadline` and a little more returns [`ShutdownError::StillRunning`].
    pub fn shutdown(&self, deadline: Duration) -> Result<ShutdownReport, ShutdownError> {
        let shutdown = &self.0.shutdown;
        if frames::inside(self.exchange().id) {
            shutdown.run_in_background(deadline);
            return Err(ShutdownError::InHandler);
        }
        if shutdown.begin() {
            shutdown.run(Deadline::after(Some(deadline)));
        } else if shutdown.over.wait(Deadline::after(Some(deadline)).extended(FAREWELL * 3)).is_none() {
            return Err(ShutdownError::StillRunning(deadline));
        }
        Ok(shutdown.report.lock().clone())
    }
}

#[cfg(feature = "tracing")]
impl Bus {
    /// Hears of the shutdown's report, under no lock.
    pub(crate) fn trace_shutdown(&self, tell: Option<Tell>) {
        let before = std::mem::replace(&mut *self.0.shutdown.tracer.lock(), tell);
        drop(before);
    }
}

impl Drop for Inner {
    /// The last handle is gone: the same end, without waiting for it.
    fn drop(&mut self) {
        self.shutdown.run_in_background(UNATTENDED);
    }
}

fn end(exchange: &Arc<Exchange>, deadline: Deadline) -> ShutdownReport {
    exchange.enter_phase(Phase::Draining);
    exchange.members().iter().for_each(|member| member.release_waiting());
    let quiet = drain(exchange, deadline);
    exchange.enter_phase(Phase::Over);
    exchange.tell_of_end();
    let members = exchange.members();
    let mut late = if quiet { Vec::new() } else { cut_off(&members) };
    end_all(&members);
    wait_for_finals(exchange, &members, deadline.extended(FAREWELL));
    note_unfinished(&members, &mut late);
    exchange.drop_kept();
    // One that is stuck has used up the time: the others have theirs.
    let leaving = deadline.extended(FAREWELL);
    let mut threads_left = exchange.pool.stop(leaving);
    threads_left.extend(stop_dedicated(exchange, &late, leaving));
    exchange.sweep_up();
    ShutdownReport { ended: members.len(), stragglers: late, threads_left }
}

/// Finals that run on this thread come last, and none of them may wait for one after it.
fn end_all(members: &[Arc<Member>]) {
    let is_here = |member: &&Arc<Member>| matches!(member.dispatch, Dispatch::Inline | Dispatch::Serial);
    let (here, elsewhere): (Vec<_>, Vec<_>) = members.iter().partition(is_here);
    for member in elsewhere {
        member.end(EndReason::ShutDown);
    }
    here.iter().for_each(|member| frames::hold(member.id()));
    for member in here {
        member.end(EndReason::ShutDown);
        frames::let_go(member.id());
    }
}

/// Waits until the bus is quiet. False: the deadline came first.
fn drain(exchange: &Exchange, deadline: Deadline) -> bool {
    if exchange.pool.is_manual() {
        // Everything runs on this very thread: what is not idle afterwards is a stream that nobody reads.
        exchange.pool.run_until_idle();
        return look(exchange).is_some();
    }
    let mut before = None;
    loop {
        let now = look(exchange);
        if now.is_some() && now == before {
            return true;
        }
        if deadline.passed() {
            return false;
        }
        if exchange.pool.workers() == 0 {
            // Nobody was there yet, or the system refused to start anybody.
            exchange.pool.flush();
        }
        before = now;
        thread::sleep(LOOK_EVERY);
    }
}

/// `Some`: every mailbox is idle, and so much was accepted in all.
fn look(exchange: &Exchange) -> Option<u64> {
    let members = exchange.members();
    let idle = members.iter().all(|member| member.is_idle());
    idle.then(|| members.iter().map(|member| member.accepted()).sum())
}

/// The deadline came: throws queues away, and notes whose.
fn cut_off(members: &[Arc<Member>]) -> Vec<Straggler> {
    let late = members.iter().filter(|member| !member.is_idle());
    late.map(|member| Straggler {
        name: member.profile().name.to_string(),
        id: member.id(),
        queued: member.discard(),
        ended: true,
    })
    .collect()
}

/// Waits until every handler has had its final message. Streams are read by others, or not at all: not by us.
fn wait_for_finals(exchange: &Exchange, members: &[Arc<Member>], deadline: Deadline) {
    for member in members.iter().filter(|member| member.is_run()) {
        while !member.done().is_set() && !deadline.passed() {
            if exchange.pool.is_manual() && exchange.pool.run_until_idle() == 0 {
                break;
            }
            let _ = member.done().wait(Deadline::after(Some(LOOK_EVERY)));
        }
    }
}

fn note_unfinished(members: &[Arc<Member>], late: &mut Vec<Straggler>) {
    for member in members.iter().filter(|member| member.is_run() && !member.done().is_set()) {
        match late.iter_mut().find(|known| known.id == member.id()) {
            Some(known) => known.ended = false,
            None => late.push(Straggler {
                name: member.profile().name.to_string(),
                id: member.id(),
                queued: member.discard(),
                ended: false,
            }),
        }
    }
}

/// Joins the threads of dedicated subscriptions; names those that are stuck.
fn stop_dedicated(exchange: &Exchange, late: &[Straggler], deadline: Deadline) -> Vec<String> {
    while !exchange.reap_threads() {
        if deadline.passed() {
            let stuck = exchange.abandon_threads();
            return late.iter().filter(|s| stuck.contains(&s.id)).map(|s| s.name.clone()).collect();
        }
        thread::sleep(LOOK_EVERY);
    }
    Vec::new()
}
