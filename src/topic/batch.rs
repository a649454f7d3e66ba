//! The messages of one `publish_batch`, handed out mailbox by mailbox.
//!
//! As [one publish](super::walk), over all topics collected: first caches hear all messages; then every mailbox that never waits gets all messages,
//! in their order and with as few claims as there is room for; then mailboxes that may wait; then wake-ups, inline
//! handlers message by message, Serial mailboxes. Filters are asked and references counted before the first claim. What
//! a claim of several cannot decide (a full ring, a spill, the oldest to be taken out, a wait) is decided for one
//! message at a time, as for a publish of its own.
//!
//! Consumers of a long batch are told before the end of it, so that they empty their rings while it fills them.

use super::collect::{Reached, collect, give_scratch, take_scratch};
use super::errands::Errands;
use super::subscribers::Route;
use super::walk::Walk;
use super::{BatchReport, Refusal, Report, Topic};
use crate::mailbox::{Mailbox, Offer, Patience, Several};
use crate::message::{Event, Message};
use crate::queue::CLAIM_MAX;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;

/// One message of a batch, and our references to it: as many as `unshared` says.
struct Item {
    message: ManuallyDrop<Message>,
    unshared: u32,
    accepted: u32,
    cached: u32,
}

/// A batch being handed out.
pub(super) struct Batch<'w> {
    walk: &'w Walk<'w>,
    items: Vec<Item>,
    /// Mailboxes that took all messages in one claim: not counted in the items.
    whole: u32,
    report: BatchReport,
    errands: Errands,
}

/// What the lists collected have in common.
struct Audience {
    routes: usize,
    /// No filters: the messages need not be looked at again.
    is_plain: bool,
    has_taps: bool,
    has_inline: bool,
    has_waiting: bool,
}

impl Audience {
    fn of(reached: &[Reached]) -> Self {
        let mut all =
            Self { routes: 0, is_plain: true, has_taps: false, has_inline: false, has_waiting: false };
        for reached in reached {
            all.routes += reached.list.routes().len();
            all.is_plain &= reached.list.is_open();
            all.has_taps |= !reached.list.taps().is_empty();
            all.has_inline |= !reached.list.inline().is_empty();
            all.has_waiting |= !reached.list.waiting().is_empty();
        }
        all
    }
}

/// Messages for one mailbox, by their places in the batch.
struct Gathered {
    words: [NonZeroUsize; CLAIM_MAX],
    places: [u32; CLAIM_MAX],
    len: usize,
}

impl Gathered {
    fn none() -> Self {
        Self { words: [NonZeroUsize::MIN; CLAIM_MAX], places: [0; CLAIM_MAX], len: 0 }
    }

    /// All of them, if they fit.
    fn all(items: &[Item]) -> Option<Self> {
        let mut all = (items.len() <= CLAIM_MAX).then(Self::none)?;
        items.iter().enumerate().for_each(|(place, item)| all.push(place, item));
        Some(all)
    }

    #[inline]
    fn push(&mut self, place: usize, item: &Item) {
        self.words[self.len] = item.message.share();
        self.places[self.len] = place as u32;
        self.len += 1;
    }
}

impl<'w> Batch<'w> {
    /// Sorts out what is refused.
    pub(super) fn new(walk: &'w Walk<'w>, messages: Vec<Message>) -> Self {
        let mut batch = Self {
            walk,
            items: Vec::with_capacity(messages.len()),
            whole: 0,
            report: BatchReport::default(),
            errands: Errands::default(),
        };
        for message in messages {
            let Some(refusal) = walk.refusal(&message) else {
                batch.items.push(Item {
                    message: ManuallyDrop::new(message),
                    unshared: 1,
                    accepted: 0,
                    cached: 0,
                });
                continue;
            };
            walk.refuse(refusal);
            match refusal {
                Refusal::Declined => batch.report.declined += 1,
                Refusal::ForeignType => batch.report.foreign += 1,
                whole => batch.report.refusal = Some(whole),
            }
        }
        if let Some(refusal) = batch.report.refusal {
            // The bus may have ended in the middle.
            batch.items.iter().for_each(|_| _ = walk.refuse(refusal));
            batch.release();
        }
        batch.report.messages = batch.items.len() as u64;
        batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.report.messages
    }

    pub(super) fn report(&self) -> BatchReport {
        self.report
    }

    /// Hands all messages, the first of which has that number, to everybody on the lists collected.
    pub(super) fn deliver(mut self, reached: &[Reached], first: u64) -> BatchReport {
        let audience = Audience::of(reached);
        self.count(reached, &audience);
        if audience.has_taps {
            self.tap(reached);
        }
        let all = Gathered::all(&self.items);
        for reached in reached {
            reached.list.prompt().iter().for_each(|route| self.offer_all(route, all.as_ref(), None));
        }
        if audience.has_waiting {
            let mut patience = self.walk.patience();
            for reached in reached {
                let waiting = reached.list.waiting().iter();
                waiting.for_each(|route| self.offer_all(route, all.as_ref(), Some(&mut patience)));
            }
        }
        self.errands.flush(&self.walk.topic.exchange);
        if self.errands.has_more() {
            self.errands.settle(&self.walk.topic.exchange);
        }
        if audience.has_inline && self.walk.may_nest() {
            self.call_handlers(reached, first);
        }
        self.finish()
    }

    /// Counts the takers of each message and adds a reference for each. One is ours already; it stays ours if the
    /// message is looked at after it was handed out.
    fn count(&mut self, reached: &[Reached], audience: &Audience) {
        let routes = || reached.iter().flat_map(|reached| reached.list.routes());
        for item in &mut self.items {
            let takers = match audience.is_plain {
                true => audience.routes,
                false => routes().filter(|route| route.takes(&item.message)).count(),
            };
            self.report.filtered += (audience.routes - takers) as u64;
            let wanted = takers + usize::from(audience.has_inline || !audience.is_plain);
            if wanted > 1 {
                item.message.add_references(wanted - 1);
                item.unshared = wanted as u32;
            }
        }
    }

    /// Offers one mailbox every message that its filter wants: `all` of them, if it has none and they are gathered.
    fn offer_all(&mut self, route: &Route, all: Option<&Gathered>, mut patience: Option<&mut Patience>) {
        let takes_all = route.filter().is_all();
        if let (true, Some(all)) = (takes_all, all) {
            return self.offer_gathered(&route.mailbox, all, patience);
        }
        let mut gathered = Gathered::none();
        for place in 0..self.items.len() {
            let item = &self.items[place];
            if !takes_all && !route.takes(&item.message) {
                continue;
            }
            gathered.push(place, item);
            if gathered.len == CLAIM_MAX {
                self.offer_gathered(&route.mailbox, &gathered, patience.as_deref_mut());
                gathered.len = 0;
                // More may come: the consumer can begin.
                self.errands.flush(&self.walk.topic.exchange);
            }
        }
        self.offer_gathered(&route.mailbox, &gathered, patience);
    }

    fn offer_gathered(
        &mut self,
        mailbox: &Arc<Mailbox>,
        gathered: &Gathered,
        mut patience: Option<&mut Patience>,
    ) {
        let mut done = 0;
        while done < gathered.len {
            match mailbox.offer_several(&gathered.words[done..gathered.len]) {
                Several::In { turn, count } => {
                    self.accepted(&gathered.places[done..done + count]);
                    if turn {
                        self.errands.turns.take(mailbox);
                    }
                    done += count;
                }
                Several::OneByOne => {
                    let offer = self.offer_one(mailbox, gathered.words[done], patience.as_deref_mut());
                    self.note(mailbox, &gathered.places[done..=done], offer);
                    done += 1;
                }
                Several::Closed => {
                    self.report.closed += (gathered.len - done) as u64;
                    done = gathered.len;
                }
            }
        }
    }

    fn offer_one(&mut self, mailbox: &Mailbox, word: NonZeroUsize, patience: Option<&mut Patience>) -> Offer {
        let Some(patience) = patience else { return mailbox.offer(word, &mut self.errands.evicted) };
        let wake_others = || self.errands.flush(&self.walk.topic.exchange);
        let offer = mailbox.offer_patiently(word, patience, wake_others);
        if let Offer::Accepted { .. } = offer {
            patience.renew();
        }
        offer
    }

    fn note(&mut self, mailbox: &Arc<Mailbox>, place: &[u32], offer: Offer) {
        let mut one = Report::default();
        if self.errands.note(mailbox, offer, &mut one) {
            self.taken(place);
        }
        self.report.add(&one);
    }

    /// Caches hear the messages first, in their order.
    fn tap(&mut self, reached: &[Reached]) {
        for item in &mut self.items {
            item.cached = self.walk.tap(reached, &item.message, &mut self.errands);
            self.report.cached += u64::from(item.cached);
        }
    }

    fn accepted(&mut self, places: &[u32]) {
        self.report.accepted += places.len() as u64;
        match places.len() == self.items.len() {
            true => self.whole += 1,
            false => self.taken(places),
        }
    }

    fn taken(&mut self, places: &[u32]) {
        for place in places {
            let item = &mut self.items[*place as usize];
            item.unshared -= 1;
            item.accepted += 1;
        }
    }

    fn call_handlers(&mut self, reached: &[Reached], first: u64) {
        for (number, item) in (first..).zip(&mut self.items) {
            self.walk.numbered(number);
            let one = self.walk.call_handlers(reached, &item.message);
            item.accepted += one.accepted;
            self.report.add(&one);
        }
    }

    fn finish(mut self) -> BatchReport {
        if self.whole == 0 {
            self.count_unreached();
        }
        self.errands.turns.run_serial();
        // Values go last, when every turn is passed on: their drops may do anything.
        self.release();
        self.errands.close(&self.walk.topic.exchange);
        self.report
    }

    fn count_unreached(&mut self) {
        let unreached = self.items.iter().filter(|item| item.accepted + item.cached == 0);
        self.report.unreached = unreached.map(|item| item.message.kind().count(Event::Unused)).count() as u64;
        if self.report.unreached > 0 {
            self.walk.count_unrouted(self.report.unreached);
        }
    }

    fn release(&mut self) {
        let whole = self.whole;
        for Item { message, unshared, .. } in self.items.drain(..) {
            // SAFETY: `unshared` counts the references that are still ours, but for those that went with the others.
            unsafe { Message::release(message, (unshared - whole) as usize) };
        }
    }
}

/// The message of a batch of one, which is an ordinary publish.
pub(super) fn only(messages: &mut Vec<Message>) -> Option<Message> {
    if messages.len() == 1 { messages.pop() } else { None }
}

impl Walk<'_> {
    fn publish_batch(self, mut messages: Vec<Message>) -> BatchReport {
        if let Some(only) = only(&mut messages) {
            return BatchReport::of_one(&self.publish(only));
        }
        let batch = Batch::new(&self, messages);
        if batch.is_empty() {
            return batch.report();
        }
        let first = self.topic.published.fetch_add(batch.len(), Ordering::Relaxed);
        let mut reached = take_scratch();
        collect(Reached::load(self.topic), &mut reached, batch.len());
        let report = batch.deliver(&reached, first);
        give_scratch(reached);
        report
    }
}

impl Topic {
    /// Delivers `messages`, in their order, to every subscription on every topic reachable from here, once each.
    ///
    /// As that many calls of [`publish`](Self::publish), with the same guarantees, but cheaper: topics are collected
    /// once, and each mailbox takes what it has room for with one claim for up to 64 messages. Messages are handed out
    /// mailbox by mailbox; when all mailboxes have all of them, inline handlers are called message by message, and
    /// Serial subscriptions that were found idle are run. So a Serial subscription handles a batch that fits into its
    /// mailbox when the whole batch is in it, and what an inline handler publishes comes after the whole batch.
    ///
    /// A full mailbox decides message by message, as its policy says. One with [`Block`](crate::Overflow::Block) has
    /// its time for each message it makes wait, until one wait has been in vain: then no other message of the batch
    /// waits. Consumers of more than 64 messages are woken before the end of the batch.
    ///
    /// Messages whose type is declined or of another bus are left out and counted; the others are delivered. It takes
    /// built messages, as nothing may run while slots are claimed. Cost beyond that of the messages: one allocation of
    /// 16 bytes for each.
    ///
    /// ```
    /// # let bus = stasis_bus::Bus::builder().manual().build()?;
    /// # let (level, topic) = (bus.message_type::<u32>("level")?, bus.topic("levels")?);
    /// let _log = topic.subscription("log").accept(&level).start(|_| {})?;
    /// let report = topic.publish_batch((0..100).map(|value| level.message(value)).collect());
    /// assert_eq!((report.messages, report.accepted), (100, 100));
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn publish_batch(&self, messages: Vec<Message>) -> BatchReport {
        Walk::from(&self.0).publish_batch(messages)
    }
}
