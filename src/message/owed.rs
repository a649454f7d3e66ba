//! References that a worker has to give back, added up before they are.
//!
//! A worker that runs many mailboxes of one topic gives back many references to each message, and a locked subtraction
//! for each would cost it more than the rest of the delivery. So it notes them, in a place for each message:
//!
//! | the worker gives back | and | then |
//! | --- | --- | --- |
//! | its reference to a message that has a place | with this one it holds all there are | the place is free, the message goes: no subtraction |
//! | | others hold some | one more in the place |
//! | a reference to a message without a place | [`FEW`] or fewer are left in all | subtracted at once |
//! | | more are left | the message takes its place; what another had there is subtracted at once |
//! | anything, is out of work or has run a number of mailboxes | | [`settle`]: each place is subtracted at once, until none is taken |
//!
//! A reference noted is one that is not given back yet, no more: the message stands, its address is nobody else's, and
//! its count is at least what the place says. If those are *all there are*, everybody else has given back, and nobody can
//! make another; whoever lets the message go reads the count once more, with Acquire.
//!
//! So at most [`PLACES`] messages wait for a worker longer than before, only while it has other work. In which place a
//! message goes is its number among those of its maker: messages that follow each other do not meet there.
//!
//! User code (the drop of a value that a full tray has no room for) runs with no place half changed.

use super::packet::{Header, Message};
use crate::sync::{local, mutated};
use std::cell::Cell;
use std::ptr::NonNull;

/// Messages that a worker holds references to which it could give back, at most.
const PLACES: usize = if cfg!(any(bus_loom, bus_shuttle)) { 2 } else { 256 };
/// With so few references in all, noting one saves nothing.
const FEW: u32 = if cfg!(any(bus_loom, bus_shuttle)) { 1 } else { 2 };

/// A message and how many references to it are noted.
type Place = Cell<Option<(NonNull<Header>, u32)>>;

/// One worker's notes.
struct Owed {
    places: [Place; PLACES],
    /// Places that are taken.
    taken: Cell<usize>,
}

local! {
    /// The calling worker's; other threads have none.
    static OWED: Cell<Option<NonNull<Owed>>> = Cell::new(None);
}

/// The calling thread is a worker, until this is dropped. Leaked from a box, which could not be moved while `OWED` points
/// into it.
#[must_use]
pub(crate) struct Owing(NonNull<Owed>);

impl Owing {
    pub(crate) fn begin() -> Self {
        let owed = Owed { places: [const { Cell::new(None) }; PLACES], taken: Cell::new(0) };
        let owing = Self(NonNull::from(Box::leak(Box::new(owed))));
        OWED.with(|owed| owed.set(Some(owing.0)));
        owing
    }
}

impl Drop for Owing {
    fn drop(&mut self) {
        OWED.with(|owed| owed.set(None));
        // SAFETY: leaked in `begin`, and nobody has the pointer any more.
        unsafe { Box::from_raw(self.0.as_ptr()) }.settle();
    }
}

/// Notes one reference to `block`, which has `left` in all. True: the caller holds all of them now and frees it. `Err`: it
/// is not noted, and the caller gives it back at once.
#[inline]
pub(super) fn note(block: NonNull<Header>, number: usize, left: u32) -> Result<bool, ()> {
    match OWED.try_with(Cell::get) {
        // SAFETY: `Owing` keeps it where it is, and takes the pointer back first.
        Ok(Some(owed)) => unsafe { owed.as_ref() }.note(block, number, left),
        _ => Err(()),
    }
}

/// Gives back what the calling worker has noted. User code.
pub(crate) fn settle() {
    if let Ok(Some(owed)) = OWED.try_with(Cell::get) {
        // SAFETY: as above.
        unsafe { owed.as_ref() }.settle();
    }
}

/// Whether the calling worker has noted anything.
pub(crate) fn owes() -> bool {
    // SAFETY: as above.
    OWED.with(Cell::get).is_some_and(|owed| unsafe { owed.as_ref() }.taken.get() > 0)
}

impl Owed {
    #[inline]
    fn note(&self, block: NonNull<Header>, number: usize, left: u32) -> Result<bool, ()> {
        let place = &self.places[number % PLACES];
        match place.get() {
            Some((other, count)) if other == block => {
                let all = count + 1 + u32::from(mutated!("owed.all")) == left;
                place.set((!all).then_some((block, count + 1)));
                self.taken.set(self.taken.get() - usize::from(all));
                Ok(all)
            }
            _ if left <= FEW => Err(()),
            other => {
                place.set(Some((block, 1)));
                match other {
                    None => self.taken.set(self.taken.get() + 1),
                    Some(_) if mutated!("owed.place") => {}
                    Some(other) => give_back(other),
                }
                Ok(false)
            }
        }
    }

    /// Until nothing is left: the drop of a value may publish, and so have more noted.
    fn settle(&self) {
        while self.taken.get() > 0 {
            self.settle_once();
        }
    }

    fn settle_once(&self) {
        for place in &self.places {
            if let Some(noted) = place.take() {
                self.taken.set(self.taken.get() - 1);
                give_back(noted);
            }
        }
    }
}

#[cold]
fn give_back((block, count): (NonNull<Header>, u32)) {
    // SAFETY: so many references were noted, and are nobody else's.
    unsafe { Message::give_back_noted(block, count) };
}
