//! Publishers that wait for room as tasks do: `publish_async`.

use super::Mailbox;
use super::losses::Loss;
use super::offer::Offer;
use super::room::{Attempt, NoRoom, Wakers};
use crate::dispatch::fence::PanicPlace;
use crate::dispatch::frames;
use std::num::NonZeroUsize;
use std::task::{Poll, Waker};

impl Mailbox {
    /// Offers one reference to a mailbox with `Block`, if there is room.
    pub(crate) fn offer_at_once(&self, word: NonZeroUsize) -> Option<Offer> {
        match self.try_offer(word) {
            Attempt::Done(offer) => Some(offer),
            Attempt::FullAt(_) => None,
        }
    }

    /// The same; while there is none, `waker` is woken on any news. The task is known by its number.
    pub(crate) fn poll_offer(&self, word: NonZeroUsize, task: u64, waker: &Waker) -> Poll<Offer> {
        let Some(room) = &self.room else { return Poll::Ready(self.offer(word, &mut Vec::new())) };
        let mut spent = [None, None];
        let polled = room.poll(task, waker, &mut spent, || self.try_offer(word));
        spent.into_iter().for_each(|waker| self.drop_waker(waker));
        polled.map(|result| match result {
            Ok(offer) => offer,
            Err(NoRoom::GivenUp | NoRoom::TimedOut) => self.came_late(),
        })
    }

    /// The task waits no more.
    pub(crate) fn forget_task(&self, task: u64) {
        self.drop_waker(self.room.as_ref().and_then(|room| room.forget(task)));
    }

    /// A publisher gave up waiting for room: its message is counted, and told.
    pub(crate) fn give_up_offer(&self) -> Offer {
        self.refuse(Loss::TimedOut)
    }

    fn drop_waker(&self, waker: Option<Waker>) {
        if waker.is_some() {
            self.profile.fence.run(&self.profile.name, PanicPlace::Waker, || drop(waker));
        }
    }

    /// Wakes tasks that the last group taken out made room for. The owner calls it when it holds no lock.
    #[inline]
    pub(super) fn wake_owed(&self) {
        if let Some(room) = self.room.as_ref().filter(|room| room.owes_tasks()) {
            self.wake(room.wake_all());
        }
    }

    /// Wakes all tasks that wait for room.
    pub(crate) fn wake_tasks(&self) {
        if let Some(room) = &self.room {
            self.wake(room.wake_all());
        }
    }

    /// Wakers are foreign code: outside every lock, and a panic is the subscription's.
    #[cold]
    pub(super) fn wake(&self, wakers: Wakers) {
        let (fence, name) = (&self.profile.fence, &self.profile.name);
        wakers.each(|waker| {
            frames::enter(self.profile.bus, self.profile.id, || {
                fence.run(name, PanicPlace::Waker, || waker.wake());
            });
        });
    }
}
