//! One publish.
//!
//! First it *collects*: it walks the forwards once, loading each topic's list when first met. A topic is visited once
//! and a subscription belongs to one topic, so every subscription is met once. Then it *delivers*, over all topics
//! collected, in this order:
//!
//! 1. taps: caches, which push their updates
//! 2. mailboxes that never wait
//! 3. mailboxes that may wait for room, with one deadline for all; the wake-ups of the others come first
//! 4. wake-ups, with one fence and at most one for the pool
//! 5. aggregates of caches, with their updates; inline handlers of updates
//! 6. inline handlers, then Serial mailboxes whose turn this walk took
//!
//! so that a handler's own publishes come after the message that caused them, for every mailbox, and a slow inline
//! handler delays no mailbox. References are added for all takers in one addition before the first is handed out;
//! what nobody took is given back in one subtraction.

use super::calls::Caller;
use super::collect::{Reached, collect, give_scratch, take_scratch};
use super::errands::Errands;
use super::following::Around;
use super::gate::Seat;
use super::publisher::Counts;
use super::subscribers::Route;
use super::{Refusal, Report, TopicCore};
use crate::dispatch::frames;
use crate::mailbox::{Entry, Mailbox, Offer, Patience};
use crate::message::kind::Kind;
use crate::message::{Event, Message};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;

/// A publish on one topic, about to begin.
pub(crate) struct Walk<'a> {
    pub(super) topic: &'a Arc<TopicCore>,
    /// A subscription that has the message already.
    except: Option<u64>,
    /// The bus's own message: it is let through while the bus ends, and it never waits.
    pub(super) control: bool,
    /// The message travels in envelopes.
    pub(super) around: Option<&'a Around>,
    /// Where a `Publisher` counts.
    counts: Option<&'a Counts>,
    /// This one is timed, with inline handlers it calls: its number.
    pub(super) timed: Cell<Option<u64>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn from(topic: &'a Arc<TopicCore>) -> Self {
        Self { topic, except: None, control: false, around: None, counts: None, timed: Cell::new(None) }
    }

    /// For the bus's own messages.
    pub(crate) fn control(mut self, except: u64) -> Self {
        self.control = true;
        self.except = Some(except);
        self
    }

    /// In envelopes.
    pub(crate) fn with_around(mut self, around: &'a Around) -> Self {
        self.around = Some(around);
        self
    }

    /// For a `Publisher`, which counts by itself.
    pub(super) fn counted_by(mut self, counts: &'a Counts) -> Self {
        self.counts = Some(counts);
        self
    }

    /// The message handed out next is the one of that number: some are timed.
    #[inline]
    pub(super) fn numbered(&self, number: u64) {
        self.timed.set((!self.control && self.topic.times(number)).then_some(number));
    }

    #[inline]
    pub(crate) fn publish(self, message: Message) -> Report {
        match self.refusal(&message) {
            Some(refusal) => self.refuse(refusal),
            // Its reference is the walk's.
            None => self.publish_admitted(&ManuallyDrop::new(message), 1),
        }
    }

    /// The same for a message whose reference stays the caller's.
    #[inline]
    pub(crate) fn republish(self, message: &Message) -> Report {
        match self.refusal(message) {
            Some(refusal) => self.refuse(refusal),
            None => self.publish_admitted(message, 0),
        }
    }

    /// Makes a message of `kind` if anybody on the lists collected wants one, and hands it to those.
    pub(crate) fn publish_with(self, kind: &Kind, make: impl FnOnce() -> Message) -> Report {
        let first = Reached::load(self.topic);
        if first.list.edges().is_empty() {
            return self.publish_wanted(std::slice::from_ref(&first), kind, make);
        }
        let mut reached = take_scratch();
        collect(first, &mut reached, 0);
        let report = self.publish_wanted(&reached, kind, make);
        give_scratch(reached);
        report
    }

    fn publish_wanted(&self, reached: &[Reached], kind: &Kind, make: impl FnOnce() -> Message) -> Report {
        if !reached.iter().any(|reached| reached.list.wants(kind)) {
            return self.unwanted();
        }
        let message = make();
        if let Some(refusal) = self.refusal(&message) {
            return self.refuse(refusal);
        }
        self.numbered(self.topic.published.fetch_add(1, Ordering::Relaxed));
        reached[1..].iter().for_each(|reached| reached.topic().has_arrived(1));
        self.deliver(reached, &ManuallyDrop::new(message), 1)
    }

    /// Collects and delivers what was not refused. `ours` as in [`deliver`](Self::deliver): one from
    /// [`publish`](Self::publish), none from [`republish`](Self::republish).
    #[inline]
    fn publish_admitted(self, message: &Message, ours: usize) -> Report {
        self.numbered(self.topic.count_published(self.control));
        if let Some(list) = self.stand()
            && list.is_straight_for(message.kind())
        {
            return self.hand_out_straight(&list, message, ours);
        }
        let first = Reached::load(self.topic);
        if first.list.edges().is_empty() {
            return self.deliver(std::slice::from_ref(&first), message, ours);
        }
        let mut reached = take_scratch();
        collect(first, &mut reached, 1);
        let report = self.deliver(&reached, message, ours);
        give_scratch(reached);
        report
    }

    #[inline]
    pub(crate) fn refusal(&self, message: &Message) -> Option<Refusal> {
        let exchange = &self.topic.exchange;
        if !exchange.admits() && !self.control {
            Some(Refusal::Closed)
        } else if message.is_declined() {
            Some(Refusal::Declined)
        } else if message.kind().bus() != exchange.id {
            Some(Refusal::ForeignType)
        } else if frames::depth() >= frames::NESTING_MAX && !self.control {
            Some(Refusal::NestedTooDeep)
        } else {
            None
        }
    }

    #[cold]
    pub(crate) fn refuse(&self, refusal: Refusal) -> Report {
        let exchange = &self.topic.exchange;
        match refusal {
            Refusal::NestedTooDeep => exchange.nested_too_deep.fetch_add(1, Ordering::Relaxed),
            Refusal::Declined => exchange.counts.declined.add(1),
            Refusal::Closed => exchange.counts.closed.add(1),
            Refusal::ForeignType => exchange.counts.foreign_type.add(1),
        };
        Report::refused(refusal)
    }

    /// Whether anybody reachable takes messages of `kind`.
    pub(crate) fn wants(&self, kind: &Kind) -> bool {
        let first = Reached::load(self.topic);
        if first.list.edges().is_empty() {
            return first.list.wants(kind);
        }
        let mut reached = take_scratch();
        collect(first, &mut reached, 0);
        let wanted = reached.iter().any(|reached| reached.list.wants(kind));
        give_scratch(reached);
        wanted
    }

    /// A publish that was not made because nobody wants it.
    pub(crate) fn unwanted(&self) -> Report {
        if !self.topic.exchange.admits() {
            return self.refuse(Refusal::Closed);
        }
        match self.counts {
            Some(counts) => counts.unwanted(),
            None => {
                self.topic.published.fetch_add(1, Ordering::Relaxed);
                self.count_unrouted(1);
            }
        }
        Report::default()
    }

    #[cold]
    pub(super) fn count_unrouted(&self, messages: u64) {
        match self.counts {
            Some(counts) => counts.unrouted(messages),
            None => _ = self.topic.unrouted.fetch_add(messages, Ordering::Relaxed),
        }
    }

    /// Hands `message` to everybody on the lists collected.
    ///
    /// `ours` references to it are the walk's, to hand out or to give back. The caller guarantees that: 1 if it was given
    /// the message and has it in a `ManuallyDrop`; 0 if it was lent it, by somebody who keeps it until this returns.
    #[inline]
    pub(super) fn deliver(&self, reached: &[Reached], message: &Message, ours: usize) -> Report {
        if self.timed.get().is_some() {
            return self.deliver_timed(reached, message, ours);
        }
        if let Some(list) = self.goes_straight(reached, message.kind()) {
            self.hand_out_straight(list, message, ours)
        } else if !self.control && reached.iter().all(|reached| reached.list.is_inline_only()) {
            self.call_only(reached, message, ours)
        } else {
            self.hand_out(reached, message, ours)
        }
    }

    /// There are inline handlers at most: no references to count, nothing to be done afterwards. `ours` is
    /// [`deliver`](Self::deliver)'s.
    #[inline]
    fn call_only(&self, reached: &[Reached], message: &Message, ours: usize) -> Report {
        let mut caller = Caller::new(self, message);
        for reached in reached {
            caller.call(reached);
        }
        let report = caller.report();
        if !report.reached() {
            self.reached_nobody(message);
        }
        // SAFETY: as the caller says, and none was handed out.
        unsafe { Message::release(ManuallyDrop::new(std::ptr::read(message)), ours) };
        report
    }

    #[cold]
    fn reached_nobody(&self, message: &Message) {
        self.count_unrouted(1);
        message.kind().count(Event::Unused);
    }

    /// The same walk, with its message in envelopes.
    pub(super) fn also_around<'b>(&'b self, around: &'b Around) -> Walk<'b> {
        Walk { around: Some(around), timed: self.timed.clone(), ..*self }
    }

    /// To mailboxes and all others, in the order of the header. `ours` is [`deliver`](Self::deliver)'s.
    pub(super) fn hand_out(&self, reached: &[Reached], message: &Message, ours: usize) -> Report {
        let mut delivery = Fanout::new(self, message, ours);
        delivery.count(reached);
        if delivery.has_taps {
            delivery.tap(reached);
        }
        if delivery.has_takers {
            for reached in reached {
                delivery.offer_all(reached.list.prompt(), None);
            }
        }
        if delivery.has_takers && delivery.has_waiting {
            let mut patience = self.patience();
            for reached in reached {
                delivery.offer_all(reached.list.waiting(), Some(&mut patience));
            }
        }
        delivery.errands.flush(&self.topic.exchange);
        if delivery.errands.has_more() {
            delivery.errands.settle(&self.topic.exchange);
        }
        if delivery.has_inline && self.may_nest() {
            delivery.call_inline(reached);
        }
        delivery.finish()
    }

    /// Calls the inline handlers, when every mailbox has the message. The references stay the caller's.
    pub(super) fn call_handlers(&self, reached: &[Reached], message: &Message) -> Report {
        let mut caller = Caller::new(self, message);
        for reached in reached {
            caller.call(reached);
        }
        caller.report()
    }

    /// The bus's own messages get here however deep they are nested: into mailboxes, but no handler deeper.
    pub(super) fn may_nest(&self) -> bool {
        let may = frames::depth() < frames::NESTING_MAX;
        if !may {
            self.topic.exchange.nested_too_deep.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Where it sits inside gates, if it is a `Publisher`'s.
    #[inline]
    pub(super) fn seat(&self) -> Option<&Seat> {
        self.counts.map(|counts| &counts.seat)
    }

    /// Whether somebody is left out.
    #[inline]
    pub(super) fn has_except(&self) -> bool {
        self.except.is_some()
    }

    /// Nearly always nobody is, and then the one in question is not touched.
    #[inline]
    pub(super) fn is_except(&self, id: impl FnOnce() -> u64) -> bool {
        self.except.is_some_and(|except| except == id())
    }

    /// Whether it hands out a message of the bus's own.
    pub(super) fn is_control(&self) -> bool {
        self.control
    }

    pub(super) fn patience(&self) -> Patience {
        match self.may_wait() {
            true => Patience::new(true),
            false => Patience::none(),
        }
    }

    pub(super) fn may_wait(&self) -> bool {
        !self.control && frames::depth() == 0 && !self.topic.exchange.pool.is_manual()
    }
}

/// One message being handed out.
pub(super) struct Fanout<'w> {
    pub(super) walk: &'w Walk<'w>,
    pub(super) message: &'w Message,
    /// References to it that are ours.
    pub(super) unshared: usize,
    /// Everybody takes it, and nobody is left out: it need not be looked at again.
    plain: bool,
    pub(super) has_taps: bool,
    /// Some mailbox takes it.
    has_takers: bool,
    has_waiting: bool,
    pub(super) has_inline: bool,
    pub(super) report: Report,
    pub(super) errands: Errands,
}

impl<'w> Fanout<'w> {
    /// `ours` references to `message` are the walk's, as the caller says who guarantees it: see [`Walk::deliver`].
    #[inline]
    pub(super) fn new(walk: &'w Walk<'w>, message: &'w Message, ours: usize) -> Self {
        Self {
            walk,
            message,
            unshared: ours,
            plain: walk.except.is_none() && walk.around.is_none(),
            has_taps: false,
            has_takers: false,
            has_waiting: false,
            has_inline: false,
            report: Report::default(),
            errands: Errands::default(),
        }
    }

    /// Counts the takers and adds a reference for each.
    ///
    /// In place, like [`finish`](Self::finish): a copy of `self` right after its fields were written waits until the
    /// stores have left the store buffer.
    #[inline]
    pub(super) fn count(&mut self, reached: &[Reached]) {
        let mut takers = 0;
        for reached in reached {
            let list = &*reached.list;
            self.plain &= list.is_open_to(self.message.kind());
            self.has_inline |= !list.inline().is_empty();
            self.has_waiting |= !list.waiting().is_empty();
            self.has_taps |= !list.taps().is_empty();
            takers += list.routes().len();
        }
        if !self.plain {
            takers = self.count_takers(reached, takers);
        }
        self.has_takers = takers > 0;
        // If one is ours already, it stays ours if the message is looked at after the last one is handed out.
        let kept = self.unshared > 0 && (self.has_inline || !self.plain);
        let wanted = takers + usize::from(kept);
        if wanted > self.unshared {
            self.message.add_references(wanted - self.unshared);
            self.unshared = wanted;
        }
    }

    /// With filters. If it turns out that all of them take it, none is asked again.
    fn count_takers(&mut self, reached: &[Reached], most: usize) -> usize {
        let (mut takers, mut others) = (0, 0);
        for list in reached.iter().map(|reached| &reached.list) {
            if self.walk.except.is_none() && list.has_no_route_for(self.message.kind()) {
                others += list.routes().len() as u32;
                continue;
            }
            for route in list.routes() {
                match self.takes(route) {
                    true => takers += 1,
                    false if self.walk.is_except(|| route.mailbox.profile().id) => {}
                    false => others += 1,
                }
            }
        }
        self.report.filtered = others;
        self.plain = takers == most && self.walk.around.is_none();
        takers
    }

    #[inline]
    pub(super) fn takes(&self, route: &Route) -> bool {
        self.plain || (route.takes(self.message) && !self.walk.is_except(|| route.mailbox.profile().id))
    }

    #[inline]
    pub(super) fn offer_all(&mut self, routes: &[Route], mut patience: Option<&mut Patience>) {
        if self.plain {
            return self.offer_plain(routes, patience);
        }
        for route in routes {
            if self.takes(route) {
                self.offer_one(route, patience.as_deref_mut());
            }
        }
    }

    #[inline(never)]
    pub(super) fn offer_one(&mut self, route: &Route, patience: Option<&mut Patience>) {
        let word = self.word_for(&route.mailbox);
        let offer = match patience {
            None => route.mailbox.offer(word, &mut self.errands.evicted),
            Some(patience) => {
                let wake_others = || self.errands.flush(&self.walk.topic.exchange);
                route.mailbox.offer_patiently(word, patience, wake_others)
            }
        };
        self.note(&route.mailbox, word, offer);
    }

    #[inline]
    fn word_for(&self, mailbox: &Mailbox) -> NonZeroUsize {
        match self.walk.around {
            Some(around) => around.word_for(self.message, mailbox),
            None => self.message.share(),
        }
    }

    #[inline]
    pub(super) fn note(&mut self, mailbox: &Arc<Mailbox>, word: NonZeroUsize, offer: Offer) {
        let plain = self.walk.around.is_none() || word == self.message.share();
        if self.errands.note(mailbox, offer, &mut self.report) {
            self.unshared -= usize::from(plain);
            return;
        }
        if !plain {
            // SAFETY: the envelope was refused, so it is ours alone.
            drop(unsafe { Entry::from_word(word) });
        }
    }

    /// Caches hear it first. They are no takers: one that keeps it takes a reference of its own.
    pub(super) fn tap(&mut self, reached: &[Reached]) {
        self.report.cached = self.walk.tap(reached, self.message, &mut self.errands);
    }

    pub(super) fn call_inline(&mut self, reached: &[Reached]) {
        let called = self.walk.call_handlers(reached, self.message);
        self.report.accepted += called.accepted;
        self.report.filtered += called.filtered;
    }

    #[inline]
    pub(super) fn finish(&mut self) -> Report {
        if !self.report.reached() && !self.walk.control {
            self.walk.reached_nobody(self.message);
        }
        self.errands.turns.run_serial();
        // Values go last, when every turn is passed on: their drops may do anything.
        // SAFETY: `unshared` counts the references that are still ours.
        unsafe { Message::release(ManuallyDrop::new(std::ptr::read(self.message)), self.unshared) };
        if self.errands.is_owing() {
            self.errands.close(&self.walk.topic.exchange);
        }
        self.report
    }
}
