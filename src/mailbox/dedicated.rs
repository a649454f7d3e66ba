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
//! | unless it never sleeps: gives its processor away a few times, and looks after each | |
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
//! A worker of the pool that [keeps a turn](crate::dispatch::pool) says the same of its mailbox, and looks for the same news.
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
use crate::sync::atomic::Ordering;
use crate::sync::time::Deadline;
use crate::sync::{Arc, Parker, Unparker, hint, mutated, thread};
use std::sync::OnceLock;
use std::time::Duration;

/// A thread that meets a half-written slot looks again after so long.
const BUSY_PAUSE: Duration = Duration::from_micros(50);
/// A thread that never sleeps drops dead values when nothing came for so long.
const QUIET_AFTER: Duration =
    if cfg!(any(bus_loom, bus_shuttle)) { Duration::ZERO } else { Duration::from_micros(50) };
/// How often a thread that will sleep gives the processor away before it looks for news awake.
const REST_YIELDS: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 0 } else { 4 };
/// Looks at the slot for each look at the clock.
const LOOKS: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 1 } else { 32 };
/// `settled` before an owner has ever waited awake: no index gets that far.
pub(super) const NEVER: u64 = u64::MAX;

/// The thread of one mailbox, as publishers and the shutdown see it.
pub(crate) struct Alone {
    /// Known before the mailbox is visible.
    thread: OnceLock<Unparker>,
}

impl Alone {
    pub(crate) fn new() -> Self {
        Self { thread: OnceLock::new() }
    }

    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get().filter(|_| !mutated!("dedicated.wake")) {
            thread.unpark();
        }
    }
}

impl Mailbox {
    /// Everything that came has been handled, says the owner, which waits awake.
    ///
    /// # Safety
    ///
    /// The caller has the turn, or is the mailbox's thread.
    pub(super) unsafe fn settle(&self) {
        // SAFETY: as the caller says.
        let next = unsafe { self.ring.position() };
        // ORDERING(dedicated.settled): Release; pairs with the Acquire in `is_settled`.
        self.settled.store(next, Ordering::Release);
    }

    /// Whether an owner that waits awake has handled everything.
    pub(super) fn is_settled(&self) -> bool {
        // ORDERING(dedicated.settled): Acquire; pairs with the Release in `settle`: the tail read after it is not older
        // than the one of which that was said.
        self.ring.is_open_at(self.settled.load(Ordering::Acquire))
    }

    /// # Safety
    ///
    /// The caller has the turn, or is the mailbox's thread.
    pub(super) unsafe fn has_news(&self) -> bool {
        // SAFETY: as the caller says.
        let has_more = unsafe { self.ring.has_more() || self.has_prelude() };
        // The tail tells of the end, and is worth its line once there is a reason.
        has_more || (!mutated!("dedicated.end") && self.is_ending() && self.ring.is_closed())
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
    while mailbox.is_catching_up() && !mutated!("prelude.wait") {
        // The turn of who subscribes wakes it.
        parker.park(None);
    }
    while !mailbox.done().is_set() {
        if spins && !mutated!("dedicated.idle_first") {
            run(mailbox, parker, Budget::SPINNING);
            if mailbox.done().is_set() || spin(mailbox, wait) {
                continue;
            }
        }
        run(mailbox, parker, Budget::OWN);
        drop_dead(mailbox);
        // Those drops may have eaten a wake-up that came meanwhile; it has cleared IDLE.
        if mailbox.ring.is_idle() || mutated!("dedicated.park") {
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
    // SAFETY: this is the mailbox's thread.
    unsafe { mailbox.settle() };
    match wait.spin() {
        Some(time) => give_way(mailbox) || look_for(mailbox, Some(time)),
        None => {
            look_for(mailbox, Some(QUIET_AFTER)) || {
                drop_dead(mailbox);
                look_for(mailbox, None)
            }
        }
    }
}

/// Lets others have the processor a few times, as a worker of the pool does and for the same reason: the publisher may be
/// one of them.
fn give_way(mailbox: &Mailbox) -> bool {
    (0..REST_YIELDS).any(|_| {
        thread::yield_now();
        // SAFETY: this is the mailbox's thread.
        unsafe { mailbox.has_news() }
    })
}

/// Looks for news so long; `None`: until there are some.
fn look_for(mailbox: &Mailbox, time: Option<Duration>) -> bool {
    let until = Deadline::after(time);
    loop {
        let now = mailbox.coarse_now();
        for _ in 0..LOOKS {
            // SAFETY: this is the mailbox's thread.
            if unsafe { mailbox.has_news() } {
                return true;
            }
            hint::spin_loop();
        }
        mailbox.note_empty(now);
        if until.passed() {
            return false;
        }
    }
}

fn drop_dead(mailbox: &Mailbox) {
    frames::enter(mailbox.profile().bus, 0, home::drop_dead);
}
