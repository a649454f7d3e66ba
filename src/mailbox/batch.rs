//! Batches: what is queued, handed over in one call.
//!
//! The owner takes groups out of the ring as ever, each followed by what is told to waiting publishers, but keeps them
//! until the batch is full or nothing more is there; then it calls, once.
//!
//! | the owner finds | then |
//! | --- | --- |
//! | a group, room left in the batch | keeps it, looks again |
//! | the batch full | calls; over its budget: gives others their chance |
//! | nothing, or a half-written slot | calls with what it has, looks again; had it nothing: rests as without batches |
//! | the end | calls with what it has, then once more with the final message by itself |
//!
//! So a batch is never kept over the end of a run, and no message waits for another one. The buffer is kept.

use super::entry::Entry;
use super::run::{BUSY_SPINS, Handler, Pace, Work};
use super::{Arrival, Arrived, Mailbox, Told};
use crate::dispatch::fence::PanicPlace;
use crate::dispatch::frames;
use crate::dispatch::job::{After, Budget};
use crate::message::Message;
use crate::queue::{GROUP, Group, Taken};
use crate::sync::{hint, mutated};

pub(crate) type BatchHandler = Box<dyn FnMut(&[BatchItem]) + Send>;

/// A handler of batches, with the batch being collected.
pub(crate) struct Batcher {
    handler: BatchHandler,
    most: usize,
    items: Vec<BatchItem>,
    /// How many there were: figures are of calls, not of messages.
    calls: u64,
}

/// One message in a batch.
pub(crate) struct BatchItem {
    entry: Entry,
    pub(crate) told: Told,
}

impl BatchItem {
    pub(crate) fn message(&self) -> &Message {
        self.entry.message()
    }
}

impl Batcher {
    pub(crate) fn new(handler: BatchHandler, most: usize) -> Self {
        Self { handler, most, items: Vec::new(), calls: 0 }
    }

    fn room(&self) -> usize {
        self.most - self.items.len()
    }

    /// The call with the final message, which is a batch of its own.
    pub(super) fn last(self) -> impl FnMut(&Arrival<'_>) {
        let mut handler = self.handler;
        move |arrival| {
            handler(&[BatchItem { entry: Entry::Plain(arrival.message.clone()), told: arrival.told }])
        }
    }
}

impl Mailbox {
    /// As `run_work`, for a handler of batches.
    pub(super) fn run_batches(&self, work: &mut Work, budget: Budget) -> After {
        let (mut handled, mut spins, mut began) = (0u32, 0, budget.now);
        let mut pace = Pace::default();
        loop {
            let Some(Handler::Batch(batcher)) = &mut work.handler else { return After::Ended };
            let stopped = self.collect(batcher);
            if mutated!("batch.full") && stopped.is_none() {
                batcher.items.clear();
            }
            let found = batcher.items.len();
            if stopped.is_none() {
                pace.begin(work.group, &self.clock);
            }
            if stopped.is_none() || !mutated!("batch.rest") {
                self.call_batch(batcher);
            }
            handled = handled.saturating_add(found as u32);
            match stopped {
                Some(Taken::End) => {
                    self.finish(work);
                    return After::Ended;
                }
                _ if found > 0 => {
                    let late = match stopped {
                        None => {
                            let lap = pace.lap(&self.clock, &mut work.group);
                            began = self.note_group(&lap, began);
                            lap.run >= budget.nanoseconds
                        }
                        Some(_) => self.is_late(&budget),
                    };
                    if late || handled >= budget.messages {
                        return After::Again;
                    }
                }
                Some(Taken::Busy) if spins < BUSY_SPINS => {
                    spins += 1;
                    hint::spin_loop();
                }
                Some(Taken::Busy) => return After::Busy,
                Some(Taken::Empty(empty)) => {
                    if handled > 0 {
                        began = self.note_run(began);
                    }
                    if budget.linger && handled > 0 {
                        return After::Linger(self.found(handled));
                    }
                    // SAFETY: the turn is ours, and this is what the last take found.
                    if unsafe { self.ring.set_idle(empty) } {
                        return After::Idle;
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes out what is there, until the batch is full (then: `None`) or the ring says that there is no more.
    fn collect(&self, batcher: &mut Batcher) -> Option<Taken> {
        let mut group = Group::default();
        while batcher.room() > 0 {
            // SAFETY: the caller of `run` has the turn.
            let taken = unsafe { self.take(&mut group, batcher.room().min(GROUP)) };
            self.wake_owed();
            if group.passed_low().is_some() {
                self.tell_crossings();
            }
            match taken {
                Taken::Some { first, .. } => self.keep(batcher, &mut group, first),
                stopped => return Some(stopped),
            }
        }
        None
    }

    /// Adds a group to the batch. What was lost before a message was opened is told with it: opening runs foreign code
    /// where messages conflate, and what that publishes may evict others.
    fn keep(&self, batcher: &mut Batcher, group: &mut Group, first: u64) {
        if self.is_discarding() {
            return self.throw_away(group);
        }
        let base = self.seq_base();
        for (place, word) in (0..).zip(group) {
            let index = first.wrapping_add(place);
            self.note_reached(index);
            // SAFETY: taken out of the ring, so it is ours alone.
            let (entry, lost) = unsafe { self.open(word, Arrived::HandedOver) };
            let seq = index.wrapping_add(base);
            let missed = self.losses.tell(lost);
            let told = Told { missed, seq, end: None };
            batcher.items.push(BatchItem { entry, told });
        }
    }

    /// The call. However it ends, all of the batch was handled: waiters are told, then the messages go.
    fn call_batch(&self, batcher: &mut Batcher) {
        let Batcher { handler, items, calls, .. } = batcher;
        if items.is_empty() {
            return;
        }
        frames::enter(self.profile.bus, self.profile.id, || {
            let call = || match *calls & self.untimed() {
                0 => self.timed(*calls, || handler(items)),
                _ => handler(items),
            };
            if self.profile.fence.run(&self.profile.name, PanicPlace::Handler, call).is_none() {
                self.losses.count_panics(1);
            }
            items.iter().for_each(|item| item.entry.handled());
            items.clear();
        });
        *calls += 1;
    }
}
