//! A thread that does nothing but run one mailbox, and how it waits for the next message.
//!
//! The thread needs no turn: there is one of it, and it runs the mailbox whether IDLE stands or not. IDLE only says that
//! it parks, or is about to: who clears it unparks the thread. While the thread *spins*, IDLE is down and nobody calls
//! into the system for it.
//!
//! | thread | claimer, closer |
//! | --- | --- |
//! | runs the mailbox until nothing more is written, without a look at the tail | |
//! | says how far it has come: `settled` = c | |
//! | spins: is slot c written, or c the first in the spill? is there a reason to end? | writes its slot; or sets the reason, then CLOSED. IDLE is down: wakes nobody |
//! | yes: runs the mailbox again | |
//! | its time is over: takes once more, by the tail; nothing: IDLE, by compare-exchange | cleared IDLE: unparks |
//! | drops dead values; parks while IDLE stands | |
//!
//! A spin reads lines that producers leave alone while nothing comes, so it takes nothing away from them. (The tail is the
//! line that every publisher writes.) IDLE does stand while the thread spins after its start and after a spill, whose
//! SPILL falls only with it: then one claimer unparks a thread that is awake, which costs no system call and leaves a token
//! that makes one later park return early.
//!
//! A mailbox whose owner spins is quiet (for the shutdown) if the tail's index is `settled`: everything before it was
//! taken *and* handled when that was said, and nothing was claimed since. `settled` is read before the tail, and is never
//! taken back: it only becomes too old to be equal.

use super::{Consumer, Mailbox};
use crate::dispatch::frames;
use crate::dispatch::job::{Budget, Ready, Soon};
use crate::dispatch::threads::{ThreadKind, Threads};
use crate::dispatch::wait::Wait;
use crate::message::home;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::time::Deadline;
use crate::sync::{Arc, Parker, Unparker, hint, thread};
use std::sync::OnceLock;
use std::time::Duration;

/// A thread that meets a half-written slot looks again after so long.
const BUSY_PAUSE: Duration = Duration::from_micros(50);
/// A thread that never sleeps drops dead values when nothing came for so long.
const QUIET_AFTER: Duration = if cfg!(bus_loom) { Duration::ZERO } else { Duration::from_micros(50) };
/// Looks at the slot for each look at the clock.
const LOOKS: u32 = if cfg!(bus_loom) { 1 } else { 32 };
/// `settled` before the thread has ever rested: no index gets that far.
const NEVER: u64 = u64::MAX;

/// The thread of one mailbox, as publishers and the shutdown see it.
pub(crate) struct Alone {
    /// Known before the mailbox is visible.
    thread: OnceLock<Unparker>,
    settled: AtomicU64,
}

impl Alone {
    pub(crate) fn new() -> Self {
        Self { thread: OnceLock::new(), settled: AtomicU64::new(NEVER) }
    }

    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Mailbox {
    /// Everything that came has been handled, says the thread, and spins.
    fn settle(&self) {
        if let Consumer::Dedicated(alone) = &self.consumer {
            // SAFETY: called by the mailbox's thread.
            let next = unsafe { self.ring.position() };
            // ORDERING(dedicated.settled): Release; pairs with the Acquire in `is_settled`.
            alone.settled.store(next, Ordering::Release);
        }
    }

    /// Whether a thread that spins has handled everything.
    pub(super) fn is_settled(&self) -> bool {
        let Consumer::Dedicated(alone) = &self.consumer else { return false };
        // ORDERING(dedicated.settled): Acquire; pairs with the Release in `settle`: the tail read after it is not older
        // than the one of which that was said.
        self.ring.is_open_at(alone.settled.load(Ordering::Acquire))
    }

    /// # Safety
    ///
    /// The caller is the mailbox's thread.
    unsafe fn has_news(&self) -> bool {
        // SAFETY: as the caller says.
        let has_more = unsafe { self.ring.has_more() };
        // The tail tells of the end, and is worth its line once there is a reason.
        has_more || (self.is_ending() && self.ring.is_closed())
    }
}

/// A mailbox that never became visible gives its reference to itself back.
pub(crate) fn release_itself(mailbox: &Arc<Mailbox>) {
    // SAFETY: the count leaked by `hold_itself`, and nobody else will drop it: no thread runs the mailbox.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(mailbox)) };
}

/// Starts the thread; it runs the mailbox until its end. The mailbox is not visible yet.
pub(crate) fn start(
    threads: &Arc<Threads>,
    mailbox: &Arc<Mailbox>,
    name: String,
    wait: Wait,
) -> std::io::Result<thread::JoinHandle<()>> {
    let kind = ThreadKind::Dedicated(mailbox.profile.name.to_string());
    let its = mailbox.clone();
    let handle = threads.spawn(kind, name, move || run_alone(&its, &Parker::current(), wait))?;
    if let Consumer::Dedicated(alone) = &mailbox.consumer {
        let _ = alone.thread.set(Unparker::of(&handle));
    }
    Ok(handle)
}

/// The thread's life: runs the mailbox, waits, until the final message is handled.
pub(crate) fn run_alone(mailbox: &Arc<Mailbox>, parker: &Parker, wait: Wait) {
    home::send_messages_home();
    let spins = wait != Wait::Park;
    while mailbox.is_catching_up() {
        // The turn of who subscribes wakes it.
        parker.park(None);
    }
    while !mailbox.done().is_set() {
        if spins {
            run(mailbox, parker, Budget::SPINNING);
            if mailbox.done().is_set() || spin(mailbox, wait) {
                continue;
            }
        }
        run(mailbox, parker, Budget::OWN);
        drop_dead(mailbox);
        // Those drops may have eaten a wake-up that came meanwhile; it has cleared IDLE.
        if mailbox.ring.is_idle() {
            parker.park(None);
        }
    }
    drop_dead(mailbox);
}

/// Runs the mailbox until there is nothing to do.
fn run(mailbox: &Arc<Mailbox>, parker: &Parker, budget: Budget) {
    // SAFETY: this thread is the mailbox's only runner; IDLE only says that it waits.
    let mut ready = Some(unsafe { Ready::new(&**mailbox) });
    while let Some(job) = ready.take() {
        match job.run(budget.at(mailbox.coarse_now())) {
            None | Some((_, Soon::Thin(_))) => return,
            Some((again, Soon::Now)) => ready = Some(again),
            Some((again, Soon::Busy)) => {
                parker.park(Some(BUSY_PAUSE));
                ready = Some(again);
            }
        }
    }
}

/// Waits awake. False: the time is over.
fn spin(mailbox: &Mailbox, wait: Wait) -> bool {
    mailbox.settle();
    match wait.spin() {
        Some(time) => look_for(mailbox, Some(time)),
        None => {
            look_for(mailbox, Some(QUIET_AFTER)) || {
                drop_dead(mailbox);
                look_for(mailbox, None)
            }
        }
    }
}

/// Looks for news so long; `None`: until there are some.
fn look_for(mailbox: &Mailbox, time: Option<Duration>) -> bool {
    let until = Deadline::after(time);
    loop {
        for _ in 0..LOOKS {
            // SAFETY: this is the mailbox's thread.
            if unsafe { mailbox.has_news() } {
                return true;
            }
            hint::spin_loop();
        }
        if until.passed() {
            return false;
        }
    }
}

fn drop_dead(mailbox: &Mailbox) {
    frames::enter(mailbox.profile().bus, 0, home::drop_dead);
}
