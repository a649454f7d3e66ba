//! A thread that does nothing but run one mailbox.

use super::Mailbox;
use crate::dispatch::frames;
use crate::dispatch::job::{Budget, Ready, Soon};
use crate::dispatch::latch::Latch;
use crate::message::home;
use crate::sync::time::Deadline;
use crate::sync::{Arc, Parker, Unparker, thread};
use std::sync::OnceLock;
use std::time::Duration;

/// A thread that meets a half-written slot looks again after so long.
const BUSY_PAUSE: Duration = Duration::from_micros(50);

/// A mailbox that never became visible gives its reference to itself back.
pub(crate) fn release_itself(mailbox: &Arc<Mailbox>) {
    // SAFETY: the count leaked by `hold_itself`, and nobody else will drop it: no thread runs the mailbox.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(mailbox)) };
}

/// Starts the thread; it runs the mailbox until its end.
pub(crate) fn start(
    mailbox: Arc<Mailbox>,
    name: String,
) -> std::io::Result<(thread::JoinHandle<()>, Unparker)> {
    let ready: Arc<Latch<()>> = Arc::new(Latch::new());
    let seat: Arc<OnceLock<Unparker>> = Arc::default();
    let (told, cell) = (ready.clone(), seat.clone());
    let handle = thread::spawn(name, move || {
        let parker = Parker::current();
        let _ = cell.set(parker.unparker());
        told.set(());
        run_alone(&mailbox, &parker);
    })?;
    ready.wait(Deadline::after(None));
    let unparker = seat.get().cloned();
    unparker.map(|unparker| (handle, unparker)).ok_or_else(|| std::io::Error::other("thread did not start"))
}

fn run_alone(mailbox: &Arc<Mailbox>, parker: &Parker) {
    home::send_messages_home();
    loop {
        // SAFETY: this thread is the mailbox's only runner; IDLE only says that it waits.
        let mut ready = Some(unsafe { Ready::new(&**mailbox) });
        while let Some(job) = ready.take() {
            if let Some((again, soon)) = job.run(Budget::OWN) {
                if soon == Soon::Busy {
                    parker.park(Some(BUSY_PAUSE));
                }
                ready = Some(again);
            }
        }
        frames::enter(mailbox.profile().bus, 0, home::drop_dead);
        if mailbox.done().is_set() {
            return;
        }
        // Those drops may have eaten a wake-up that came meanwhile; it has cleared IDLE.
        if mailbox.is_idle() {
            parker.park(None);
        }
    }
}
