//! The turns that a walk takes on its way, and how they are passed on: wake-ups when every mailbox has its message, or
//! before the walk waits; Serial mailboxes at its very end.

use super::exchange::Exchange;
use crate::dispatch::frames;
use crate::mailbox::{Consumer, Mailbox};
use crate::sync::{Arc, local};
use std::cell::Cell;

local! {
    /// Kept between publishes so that taking turns does not allocate.
    static SPARE_TURNS: Cell<Vec<*const Mailbox>> = Cell::new(Vec::new());
}

/// Turns of pool mailboxes, which are in the run queue already; somebody must be told.
#[derive(Default)]
pub(super) struct Queued {
    any: bool,
    /// The coarse clock, read once, by the first turn taken.
    now: Option<u64>,
}

impl Queued {
    /// Passes on the turn of a pool's mailbox.
    #[inline]
    pub(super) fn take(&mut self, mailbox: &Mailbox) {
        self.note_woken(mailbox);
        self.any |= mailbox.pass_turn();
    }

    #[inline]
    fn note_woken(&mut self, mailbox: &Mailbox) {
        mailbox.woken(*self.now.get_or_insert_with(|| mailbox.coarse_now()));
    }

    /// Sees to it that somebody comes for them.
    #[inline]
    pub(super) fn flush(&mut self, exchange: &Exchange) {
        if std::mem::take(&mut self.any) {
            exchange.pool.flush();
        }
    }
}

/// Turns this walk took and has not passed on yet, and water marks it passed.
#[derive(Default)]
pub(super) struct Turns {
    queued: Queued,
    /// Others, in the order met. Their mailboxes are held by the lists collected, and by themselves.
    others: Vec<*const Mailbox>,
    /// Mailboxes whose high mark was passed, held by the lists collected.
    congested: Vec<*const Mailbox>,
}

impl Turns {
    /// With turns that the walk took before.
    pub(super) fn after(queued: Queued) -> Self {
        let mut turns = Self::default();
        turns.queued = queued;
        turns
    }

    #[inline]
    pub(super) fn take(&mut self, mailbox: &Arc<Mailbox>) {
        match mailbox.consumer() {
            Consumer::Pool(_) => self.queued.take(mailbox),
            _ => self.keep(mailbox),
        }
    }

    /// The mailbox passed its high mark, and somebody wants to be told of it.
    #[cold]
    pub(super) fn passed_mark(&mut self, mailbox: &Arc<Mailbox>) {
        self.congested.push(Arc::as_ptr(mailbox));
    }

    fn keep(&mut self, mailbox: &Arc<Mailbox>) {
        match mailbox.consumer() {
            // Run by this very thread: no clock read for what is over in a moment.
            Consumer::Serial => frames::hold(mailbox.profile().id),
            _ => self.queued.note_woken(mailbox),
        }
        if self.others.capacity() == 0 {
            self.others = SPARE_TURNS.try_with(Cell::take).unwrap_or_default();
        }
        self.others.push(Arc::as_ptr(mailbox));
    }

    /// Wakes whoever can be woken, then tells of congestion; Serial mailboxes stay.
    #[inline]
    pub(super) fn flush(&mut self, exchange: &Exchange) {
        self.queued.flush(exchange);
        if !self.others.is_empty() {
            self.wake();
        }
        if !self.congested.is_empty() {
            self.tell();
        }
    }

    #[cold]
    fn tell(&mut self) {
        for mailbox in std::mem::take(&mut self.congested) {
            // SAFETY: the lists collected hold it.
            unsafe { &*mailbox }.tell_crossings();
        }
    }

    fn wake(&mut self) {
        self.others.retain(|&mailbox| {
            // SAFETY: a mailbox whose turn we have holds itself, and the lists collected hold it.
            let mailbox = unsafe { &*mailbox };
            let serial = matches!(mailbox.consumer(), Consumer::Serial);
            if !serial {
                mailbox.pass_turn();
            }
            serial
        });
    }

    pub(super) fn run_serial(&mut self) {
        while !self.others.is_empty() {
            let mailbox = self.others.remove(0);
            // SAFETY: as in `wake`.
            unsafe { &*mailbox }.pass_turn();
        }
        if self.others.capacity() > 0 {
            let _ = SPARE_TURNS.try_with(|spare| spare.set(std::mem::take(&mut self.others)));
        }
    }
}

impl Drop for Turns {
    /// Only a panic of the bus itself leaves any: they are passed on all the same (a job in the run queue is found by
    /// whoever comes next).
    fn drop(&mut self) {
        self.wake();
        self.run_serial();
    }
}
