//! Topics that are published on all the time: lists read without a locked instruction, publishes counted by each thread.
//!
//! A publish on a topic costs three locked instructions before it comes to the first mailbox: two for its list, one for its
//! count. That is a third of what a publish to one mailbox costs. A `Publisher` does without, as one thread has it; a topic
//! that was published on often does too, as far as a message has nothing to do there but to go into mailboxes that take it:
//!
//! | step | |
//! | --- | --- |
//! | one of its timed publishes, from the [`OFTEN`]th message on, when every mailbox has its message | gives the calling thread a stand and a cell, and has the list shown, if it is such a list |
//! | the list is replaced, if it is shown | before: nothing is shown any more. After: the new one, if it is such a list. Behind the lock: the old one is retired, at the price of a barrier |
//! | a publish by a thread with a stand | reads what is shown, where it stands ([`stands`](crate::sync::stands)) |
//! | any other publish, one of a type that not all there take, and one that was just overtaken | loads the list as on any topic |
//! | every publish | counts in a cell of the thread's own, if it has one ([`cells`](crate::sync::cells)) |
//!
//! Which publishes are timed goes by the counts: by a thread's own, or by that of all threads without a cell. Who is timed by
//! the latter has a cell from then on and leaves it to the others, so that each of them comes to its turn, in whatever order
//! they publish.
//!
//! A topic that is published on a few times never pays for any of that.
//!
//! A change has one moment for all ways to publish, that of the swap: while it is near, nothing is shown, and all load the
//! list. Who has loaded the new one finds the old one shown no more; who finds the new one shown loads no older one.

use super::TopicCore;
use super::subscribers::Subscribers;
use crate::sync::atomic::Ordering;
use crate::sync::cells::{Cells, PLACES, TOPICS};
use crate::sync::stands::{Shown, Standing};
use crate::sync::{Arc, barrier, mutated};

/// So many messages make a topic one that is published on often. What it has for that takes about 300 bytes, and 128 for each
/// thread that publishes there. Where schedules are random, or a fuzzer's, each has few messages.
const OFTEN: u64 = if cfg!(any(bus_shuttle, fuzzing)) { 2 } else { 1024 };
/// What a cell counts here.
const PUBLISHED: usize = 0;

pub(super) struct Hot {
    list: Shown<Subscribers>,
    counts: Arc<Cells>,
}

impl Hot {
    fn new() -> Self {
        Self { list: Shown::nothing(), counts: Arc::default() }
    }

    /// Messages counted here.
    pub(super) fn published(&self) -> u64 {
        self.counts.read(PUBLISHED)[PUBLISHED]
    }
}

impl TopicCore {
    /// A message is published; with `own` one of the bus itself. Returns the number of such messages before it, of all threads
    /// or of this one.
    #[inline]
    pub(super) fn count_published(&self, own: bool) -> u64 {
        match self.hot.get() {
            Some(hot) if !own => hot.counts.add_at_once(self.place(), PUBLISHED),
            _ => if own { &self.own } else { &self.published }.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Where threads have their cells for it.
    #[inline]
    fn place(&self) -> usize {
        PLACES - TOPICS + self.id as usize % TOPICS
    }

    /// The list, if it is one of mailboxes alone and the calling thread may read it where it stands.
    #[inline]
    pub(super) fn stand(&self) -> Option<Standing<'_, Subscribers>> {
        self.exchange.stands.stand(&self.hot.get()?.list)
    }

    /// A timed publish is over: from now on others may be faster.
    #[cold]
    pub(super) fn warm(&self) {
        if self.hot.get().is_some() || self.published.load(Ordering::Relaxed) >= OFTEN {
            self.heat();
        }
    }

    /// Shows the list, and gives the calling thread a stand.
    pub(crate) fn heat(&self) {
        if !barrier::has_call() {
            return;
        }
        self.exchange.stands.take_place();
        let hot = self.hot.get_or_make(Hot::new);
        hot.counts.take(self.place());
        // Most lists are not of that kind: nobody waits for the lock to find that out.
        if !hot.list.is_showing() && self.subscribers.load().goes_straight() {
            let _locked = self.writer.lock();
            let list = self.subscribers.load();
            hot.list.show(Some(&*list).filter(|list| list.goes_straight()));
        }
    }

    /// The list is about to be replaced by that one; the writer's lock is held. True: it was shown, and is to be retired; the
    /// other one is [shown](Self::show_again) when it stands.
    pub(super) fn hide(&self, next: &Arc<Subscribers>) -> bool {
        let Some(hot) = self.hot.get().filter(|hot| hot.list.is_showing()) else { return false };
        // Wrong: two moments.
        hot.list.show(Some(next).filter(|_| mutated!("hot.moment")));
        true
    }

    /// That list has taken the place of one that was shown; the writer's lock is held.
    pub(super) fn show_again(&self, list: &Arc<Subscribers>) {
        if let Some(hot) = self.hot.get() {
            hot.list.show(Some(list).filter(|list| list.goes_straight()));
        }
    }
}

// The threads of a test, which no model looks at.
#[cfg(all(test, not(any(bus_loom, bus_shuttle))))]
#[allow(clippy::disallowed_types)]
mod tests {
    use super::*;
    use crate::{Bus, Overflow};
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn a_list_is_straight_for_what_all_its_filters_name() {
        let bus = Bus::builder().manual().build().unwrap();
        let (both, one) = (bus.message_type::<u8>("both").unwrap(), bus.message_type::<u8>("one").unwrap());
        let topic = bus.topic("topic").unwrap();
        topic.subscription("two").accept(&both).accept(&one).start(|_| {}).unwrap().detach();
        topic.subscription("one").accept(&both).start(|_| {}).unwrap().detach();
        let list = topic.0.subscribers.load();
        assert_eq!([&both, &one].map(|kind| list.is_straight_for(kind.kind())), [true, false]);
        assert!(list.goes_straight() && !list.is_open());
    }

    /// As many as divide the number of publishes of which one is timed: in turn, the same one would be met each time.
    #[test]
    fn threads_that_publish_in_turn_have_a_stand_each() {
        const THREADS: u64 = 4;
        let bus = Bus::builder().manual().build().unwrap();
        let (kind, topic) = (bus.message_type::<u64>("number").unwrap(), bus.topic("topic").unwrap());
        topic.subscription("stays").overflow(Overflow::DropOldest).start(|_| {}).unwrap().detach();
        for number in 0..2 * OFTEN {
            topic.publish(kind.message(number));
        }
        let (turn, stand) = (Barrier::new(THREADS as usize), || topic.0.stand().is_some());
        assert_eq!(stand(), barrier::has_call(), "it is no busy topic");
        let in_turn = |own: u64| {
            for number in 0..THREADS * super::super::timed::EVERY * THREADS {
                if number % THREADS == own {
                    topic.publish(kind.message(number));
                }
                turn.wait();
            }
            assert_eq!(stand(), barrier::has_call(), "{own} was never timed");
        };
        thread::scope(|scope| {
            (0..THREADS).for_each(|own| _ = scope.spawn(move || in_turn(own)));
        });
    }
}
