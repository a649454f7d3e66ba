//! The owner's side of a stream: one reader, which may be a task or a thread.
//!
//! The reader needs no turn: there is one of it. IDLE in the ring only says that it waits to be woken:
//!
//! | reader | claimer or closer |
//! | --- | --- |
//! | finds nothing | |
//! | registers its waker | claims; if that cleared IDLE: wakes the waker |
//! | sets IDLE; if something came: looks again, else waits | |
//!
//! Its position sits behind a lock that covers moves only, so that a shutdown can throw a queue away that nobody reads.

use super::conflate::Found;
use super::entry::Entry;
use super::losses::Loss;
use super::{Arrived, Consumer, Ending, Leg, Mailbox, Standing, Told};
use crate::message::{EndReason, Message};
use crate::queue::{GROUP_SMALL, Items, Taken};
use crate::sync::{Arc, Mutex, mutated, thread};
use std::task::{Poll, Waker};

/// One thing read.
pub(crate) struct Item {
    pub(crate) message: Message,
    pub(crate) told: Told,
}

/// What a look found.
pub(crate) enum Next {
    Item(Item),
    /// Nothing yet.
    Nothing,
    /// Somebody is just writing: look again soon.
    Soon,
    /// The final message was read.
    Over,
}

pub(crate) struct Reader {
    mailbox: Arc<Mailbox>,
    place: Mutex<Place>,
}

struct Place {
    group: Items<GROUP_SMALL>,
    index: u64,
    /// The last item, if somebody waits until the reader comes again.
    last: Option<Entry>,
    /// What goes with the item that is being read.
    leg: Option<Box<dyn Leg>>,
    ending: Option<Ending>,
}

/// Foreign code, for when the lock is gone.
#[derive(Default)]
struct AfterRead {
    released: Option<Entry>,
    leg: Option<Box<dyn Leg>>,
    crossed: bool,
    /// Made into a message then.
    unmade: Option<(Unmade, Told)>,
    /// The final message is made then.
    ended: Option<(Ending, Told)>,
}

/// What is read, but has to be made yet.
enum Unmade {
    Standing(Standing),
    /// One update of these.
    Updates {
        first: Entry,
        last: Message,
    },
}

impl Reader {
    pub(crate) fn new(mailbox: Arc<Mailbox>, ending: Ending) -> Self {
        let place = Place { group: Items::default(), index: 0, last: None, leg: None, ending: Some(ending) };
        Self { mailbox, place: Mutex::new(place) }
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Reads one item, or arranges for `waker` to be woken.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Option<Item>> {
        for round in 0.. {
            match self.next() {
                Next::Item(item) => return Poll::Ready(Some(item)),
                Next::Over => return Poll::Ready(None),
                Next::Soon => {
                    waker.wake_by_ref();
                    return Poll::Pending;
                }
                Next::Nothing if round > 0 && (mutated!("reader.idle") || self.set_idle()) => {
                    return Poll::Pending;
                }
                Next::Nothing => self.register(waker),
            }
        }
        Poll::Pending
    }

    fn register(&self, waker: &Waker) {
        if let Consumer::Stream(cell) = self.mailbox.consumer()
            && !mutated!("reader.register")
        {
            cell.register(waker);
        }
    }

    /// True: whoever claims next wakes the reader.
    fn set_idle(&self) -> bool {
        let (idle, crossed) = self.try_idle();
        self.mailbox.wake_owed();
        if crossed {
            self.mailbox.tell_crossings();
        }
        idle
    }

    /// Also whether a water mark was passed.
    fn try_idle(&self) -> (bool, bool) {
        let mut place = self.place.lock();
        if !place.group.is_empty() {
            return (false, false);
        }
        // SAFETY: the lock makes us the only reader; nothing was taken in between.
        let idle = unsafe {
            match self.mailbox.take(&mut place.group, 1) {
                Taken::Empty(empty) => {
                    self.mailbox.note_empty(self.mailbox.coarse_now());
                    self.mailbox.ring.set_idle(empty)
                }
                Taken::Some { first, .. } => {
                    place.index = first;
                    false
                }
                // The end is found once more, by who reads on.
                Taken::End | Taken::Busy => false,
            }
        };
        (idle, place.group.passed_low().is_some())
    }

    /// Reads one item, if one is there. Having come again, the reader has handled the last one.
    pub(crate) fn next(&self) -> Next {
        let mut after = AfterRead::default();
        let next = self.read(&mut after);
        self.mailbox.wake_owed();
        if let Some(last) = after.released {
            last.handled();
        }
        if let Some(mut leg) = after.leg {
            leg.arrived(&self.mailbox.profile, Arrived::HandedOver);
        }
        if after.crossed {
            self.mailbox.tell_crossings();
        }
        match (after.ended, after.unmade) {
            (Some((ending, told)), _) => Next::Item(self.end(ending, told)),
            (None, Some((unmade, told))) => Next::Item(Item { message: self.make(unmade), told }),
            (None, None) => next,
        }
    }

    fn make(&self, unmade: Unmade) -> Message {
        match unmade {
            Unmade::Standing(standing) => self.mailbox.make(standing),
            Unmade::Updates { first, last } => self.mailbox.conflate(first, &last),
        }
    }

    fn read(&self, after: &mut AfterRead) -> Next {
        let mut place = self.place.lock();
        after.released = place.last.take();
        if place.group.is_empty() {
            // SAFETY: the lock makes us the only reader.
            let taken = unsafe { self.mailbox.take(&mut place.group, GROUP_SMALL) };
            after.crossed = place.group.passed_low().is_some();
            match taken {
                Taken::Some { first, .. } => place.index = first,
                Taken::Busy => return Next::Soon,
                Taken::Empty(_) => return Next::Nothing,
                Taken::End => return self.read_end(&mut place, &mut after.ended),
            }
        }
        let item = self.read_one(&mut place, &mut after.unmade);
        after.leg = place.leg.take();
        item.map_or(Next::Nothing, Next::Item)
    }

    /// What has to be made goes to `unmade`.
    fn read_one(&self, place: &mut Place, unmade: &mut Option<(Unmade, Told)>) -> Option<Item> {
        // SAFETY: taken out of the ring, so it is ours alone.
        let (found, lost) = unsafe { self.mailbox.find(place.group.next()?) };
        self.mailbox.note_reached(place.index);
        let told = place.tell(&self.mailbox, lost);
        match found {
            Found::Entry(entry) => return Some(Item { message: place.keep_awaited(entry), told }),
            Found::Standing(standing) => *unmade = Some((Unmade::Standing(standing), told)),
            Found::Updates { first, last } => {
                let last = place.keep_awaited(last);
                *unmade = Some((Unmade::Updates { first, last }, told));
            }
        }
        None
    }

    fn read_end(&self, place: &mut Place, ended: &mut Option<(Ending, Told)>) -> Next {
        *ended = place.ending.take().map(|ending| (ending, self.mailbox.last_told()));
        Next::Over
    }

    /// Makes the final message, which may run foreign drops; then the bus forgets the subscription.
    fn end(&self, ending: Ending, told: Told) -> Item {
        let message = ending.host.farewell(&self.mailbox.profile, self.mailbox.end_reason());
        self.forget(ending);
        Item { message, told }
    }

    fn forget(&self, ending: Ending) {
        ending.host.forget(&self.mailbox.profile);
        // The topic may go with it.
        drop(ending);
        self.mailbox.congestion.end(&self.mailbox.profile);
        self.mailbox.done.set(());
    }

    /// Whether everything that came was read.
    pub(crate) fn is_drained(&self) -> bool {
        let place = self.place.lock();
        place.group.is_empty() && self.mailbox.depth() == 0 && !self.mailbox.is_catching_up()
    }

    /// Puts `items` before the ring; thrown away, counted, if the queue was meanwhile.
    pub(crate) fn place(&self, items: Vec<Standing>) {
        {
            let _place = self.place.lock();
            // SAFETY: the lock makes us the only reader.
            unsafe { self.mailbox.place(items) };
        }
        if self.mailbox.is_discarding() && !mutated!("prelude.discard") {
            self.throw_away();
        }
    }

    /// Throws everything queued away, counted as missed. Returns how much that was.
    pub(crate) fn throw_away(&self) -> u64 {
        if mutated!("reader.drop") {
            return 0;
        }
        let (mut thrown, mut count) = (Vec::new(), 0);
        let losses = &self.mailbox.losses;
        // Under the lock: who reads on, and comes to the end, finds it counted.
        let mut lose = |more: u64| {
            if more > 0 && !mutated!("reader.discarded") {
                losses.count_and_owe(Loss::Discarded, more);
            }
            count += more;
        };
        let (last, _standing) = {
            let mut place = self.place.lock();
            // SAFETY: the lock makes us the only reader.
            let standing =
                self.mailbox.prelude.as_ref().map(|prelude| unsafe { prelude.take_all(&mut lose) });
            loop {
                let mut more = 0;
                for word in place.group.by_ref().filter(|word| *word != Entry::STANDING) {
                    // SAFETY: taken out of the ring, so ours alone.
                    let (found, lost) = unsafe { self.mailbox.find(word) };
                    found.discard(&mut thrown);
                    losses.owe(lost);
                    more += 1;
                }
                lose(more);
                // SAFETY: the lock makes us the only reader.
                match unsafe { self.mailbox.take(&mut place.group, GROUP_SMALL) } {
                    Taken::Some { first, .. } => place.index = first,
                    // Its writer is between two stores; nobody else would come for what it writes.
                    Taken::Busy => thread::yield_now(),
                    Taken::Empty(_) | Taken::End => break (place.last.take(), standing),
                }
            }
        };
        // The reader had this one.
        last.iter().for_each(Entry::handled);
        count
    }

    /// The reader is gone: nothing is delivered any more, not even a final message.
    pub(crate) fn abandon(&self) {
        let _ = self.mailbox.close(EndReason::Unsubscribed);
        self.throw_away();
        if !mutated!("reader.seal") {
            self.mailbox.losses.seal();
        }
        let ending = self.place.lock().ending.take();
        if let Some(ending) = ending {
            self.forget(ending);
        }
    }
}

impl Place {
    /// The message; what somebody waits for is told when the reader comes again.
    fn keep_awaited(&mut self, mut entry: Entry) -> Message {
        self.leg = entry.take_leg();
        match entry {
            Entry::Plain(message) => message,
            awaited if awaited.is_waited_for() => self.last.insert(awaited).message().clone(),
            // Was followed. What is dropped here, under the lock, is not the last reference.
            followed => followed.message().clone(),
        }
    }

    /// What the reader is told with the next item, whose key has lost so many.
    fn tell(&mut self, mailbox: &Mailbox, lost: u64) -> Told {
        let seq = self.index.wrapping_add(mailbox.seq_base());
        self.index = self.index.wrapping_add(1);
        let missed = mailbox.losses.tell(lost);
        Told { missed, seq, end: None }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.throw_away();
    }
}
