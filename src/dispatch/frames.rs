//! What the calling thread is in the middle of: user code of which subscription, of which bus, how deep.
//!
//! Marks are of the thread, not of a bus, so that waiting across two buses is seen as well. A stack of frames lives
//! on the thread's own stack; the thread-local holds the top.

use crate::sync::local;
use std::cell::{Cell, RefCell};
use std::ptr;

/// Inline publishes nest at most so deep; a handler that publishes to itself must not end the process.
pub(crate) const NESTING_MAX: u32 = 64;

/// One piece of user code under way on this thread.
pub(crate) struct Frame<'a> {
    /// What others may wait for: a subscription, or a topic whose walk is under way.
    id: u64,
    /// The same for what is under way inside it just now: a handler that the walk calls. Where its number is, so that
    /// going on to the next one is one store, and reads nothing.
    now: Cell<&'a u64>,
    bus: u64,
    below: *const Frame<'static>,
}

local! {
    static TOP: Cell<*const Frame<'static>> = Cell::new(ptr::null());
    static DEPTH: Cell<u32> = Cell::new(0);
    /// Serial mailboxes whose turn this thread took and has not run yet.
    static HELD: RefCell<Vec<u64>> = RefCell::new(Vec::new());
}

/// Runs `code` marked as user code of subscription `id` on `bus`.
pub(crate) fn enter<R>(bus: u64, id: u64, code: impl FnOnce() -> R) -> R {
    enter_walk(bus, &id, |_| code())
}

/// Runs `code` marked with `id`, and with the handler that it says is under way.
#[inline(always)]
pub(crate) fn enter_walk<'a, R>(bus: u64, id: &'a u64, code: impl FnOnce(&Frame<'a>) -> R) -> R {
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    let _leave = Shallower;
    mark_walk(bus, id, code)
}

/// Runs `code` marked with `id`. Does not count as a level of nesting.
pub(crate) fn mark<R>(bus: u64, id: u64, code: impl FnOnce() -> R) -> R {
    mark_walk(bus, &id, |_| code())
}

#[inline(always)]
fn mark_walk<'a, R>(bus: u64, id: &'a u64, code: impl FnOnce(&Frame<'a>) -> R) -> R {
    let frame = Frame { id: *id, now: Cell::new(id), bus, below: TOP.with(Cell::get) };
    TOP.with(|top| top.set((&raw const frame).cast()));
    let _leave = Leave(frame.below);
    code(&frame)
}

impl<'a> Frame<'a> {
    /// From here on, also user code of `id`.
    #[inline]
    pub(crate) fn now(&self, id: &'a u64) {
        self.now.set(id);
    }
}

struct Leave(*const Frame<'static>);

impl Drop for Leave {
    fn drop(&mut self) {
        TOP.with(|top| top.set(self.0));
    }
}

struct Shallower;

impl Drop for Shallower {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// How many handlers are under way on this thread. Zero outside every handler, and while the thread's
/// locals are being torn down.
pub(crate) fn depth() -> u32 {
    DEPTH.try_with(Cell::get).unwrap_or(0)
}

/// Whether user code of `bus` is under way on this thread.
pub(crate) fn inside(bus: u64) -> bool {
    let mut found = false;
    each(|frame| found |= frame.bus == bus);
    found
}

/// Everything that cannot go on while this thread waits: its subscriptions, walks, and held Serial turns.
pub(crate) fn held_up() -> Vec<u64> {
    let mut ids = Vec::new();
    each(|frame| {
        ids.push(*frame.now.get());
        if frame.id != *frame.now.get() {
            ids.push(frame.id);
        }
    });
    let _ = HELD.try_with(|held| ids.extend_from_slice(&held.borrow()));
    ids
}

fn each(mut visit: impl FnMut(&Frame<'_>)) {
    let mut next = TOP.try_with(Cell::get).unwrap_or(ptr::null());
    // SAFETY: frames live in `mark_walk`, which takes them off this list before they go, and what they borrow lives
    // longer; only this thread reads it.
    while let Some(frame) = unsafe { next.as_ref() } {
        visit(frame);
        next = frame.below;
    }
}

/// Notes that this thread has the turn of Serial mailbox `id`.
pub(crate) fn hold(id: u64) {
    let _ = HELD.try_with(|held| held.borrow_mut().push(id));
}

/// Takes the note back.
pub(crate) fn let_go(id: u64) {
    let _ = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        if let Some(at) = held.iter().rposition(|&other| other == id) {
            held.swap_remove(at);
        }
    });
}
