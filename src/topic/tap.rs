//! Taps: caches that hear what is published on a topic, before anybody else.
//!
//! A walk runs its taps first, on the publisher's thread: so whoever gets the message finds it in the cache, and the
//! cache's own update goes ahead of it. All taps of one cache that a message reaches are one call, so that it is kept
//! once, whatever the graph.
//!
//! A message that was announced under somebody's lock cannot be handed to a tap there: its id function is foreign code.
//! Such a tap is *fed*: it has a Serial mailbox, made when it is first needed, that the publishing thread runs at the
//! end. So a cache of another cache's updates follows in order, some time later.

use super::TopicCore;
use super::collect::Reached;
use super::errands::Errands;
use super::walk::Walk;
use crate::dispatch::frames;
use crate::dispatch::job::hold_itself;
use crate::mailbox::policy::CAPACITY_DEFAULT;
use crate::mailbox::{
    Arrival, Consumer, EachHandler, Ending, Filter, Handler, Limits, Mailbox, Overflow, Profile,
    default_marks,
};
use crate::message::kind::Kind;
use crate::message::{EndReason, Message};
use crate::queue::Close;
use crate::sync::{Arc, Snapshot};
use std::sync::OnceLock;

/// What keeps messages.
pub(crate) trait Store: Send + Sync {
    /// Unique in the process: all taps of that number are one.
    fn number(&self) -> u64;

    /// Its name, for the reports of panics.
    fn name(&self) -> Arc<str>;

    /// Keeps `message` and announces what changed by it to `outputs`. Runs on the publisher's thread, marked as foreign
    /// code, under no lock. True: it was kept, or took something out.
    fn keep(&self, message: &Message, outputs: &[&Arc<TopicCore>], errands: &mut Errands) -> bool;
}

/// One cache that listens on one topic.
pub(crate) struct Tap {
    id: u64,
    filter: Filter,
    number: u64,
    name: Arc<str>,
    /// None once it is closed: whoever keeps an old list keeps no cache by it.
    store: Snapshot<Option<Arc<dyn Store>>>,
    /// Where it announces what changed.
    output: Arc<TopicCore>,
    /// Its Serial mailbox, from when it is needed first.
    feed: OnceLock<Arc<Mailbox>>,
}

impl Tap {
    pub(crate) fn new(filter: Filter, store: Arc<dyn Store>, output: Arc<TopicCore>) -> Arc<Self> {
        Arc::new(Self {
            id: crate::ids::next(),
            filter,
            number: store.number(),
            name: store.name(),
            store: Snapshot::new(Arc::new(Some(store))),
            output,
            feed: OnceLock::new(),
        })
    }

    /// Clears always pass; updates of caches only if they were asked for.
    pub(super) fn wants(&self, kind: &Kind) -> bool {
        let own = &self.output.exchange.cached;
        let is = |other: &Arc<Kind>| std::ptr::eq(kind, &raw const **other);
        is(own.clears.kind())
            || (self.filter.accepts(kind) && (!is(own.updates.kind()) || self.filter.names(kind)))
    }

    pub(super) fn takes(&self, message: &Message) -> bool {
        self.wants(message.kind()) && self.filter.takes_as_update(message)
    }

    fn keep(&self, message: &Message, outputs: &[&Arc<TopicCore>], errands: &mut Errands) -> bool {
        let store = self.store.load();
        let Some(store) = &**store else { return false };
        let bus = self.output.exchange.id;
        frames::enter(bus, self.number, || store.keep(message, outputs, errands))
    }

    /// Bus code only.
    pub(super) fn feed(self: &Arc<Self>) -> &Arc<Mailbox> {
        self.feed.get_or_init(|| {
            let exchange = self.output.exchange.clone();
            let (id, name, fence) = (self.id, self.name.clone(), exchange.fence.clone());
            let profile = Profile { id, name, bus: exchange.id, fence };
            let ending = Ending { host: self.output.clone(), on_end: None };
            let mailbox = Arc::new(Mailbox::new(profile, limits(), Consumer::Serial, exchange.clock.clone()));
            let tap = Arc::downgrade(self);
            let keep: EachHandler = Box::new(move |arrival: &Arrival<'_>| {
                if let (None, Some(tap)) = (arrival.told.end, tap.upgrade()) {
                    let mut errands = Errands::default();
                    tap.keep(arrival.message, &[&tap.output], &mut errands);
                    errands.finish(&exchange);
                }
            });
            // SAFETY: nobody else has it yet.
            unsafe { mailbox.arm(Handler::Each(keep), ending) };
            hold_itself(&mailbox);
            mailbox
        })
    }

    /// It has left its topic's list: lets the cache go, and ends what fed it.
    fn close(&self) {
        let store = self.store.swap(Arc::new(None));
        if let Some(mailbox) = self.feed.get()
            && mailbox.close(EndReason::Unsubscribed) == (Close::Now { turn: true })
        {
            mailbox.pass_turn();
        }
        drop(store);
    }
}

impl Drop for Tap {
    /// Somebody with an old list may have fed it after it was closed.
    fn drop(&mut self) {
        self.close();
    }
}

fn limits() -> Limits {
    let (overflow, capacity) = (Overflow::default(), CAPACITY_DEFAULT);
    Limits { marks: default_marks(capacity), overflow, capacity, on_water_mark: None }
}

impl TopicCore {
    pub(crate) fn add_tap(&self, tap: Arc<Tap>) {
        self.edit(|list| list.taps.push(tap));
    }

    /// Every walk that begins after this has returned passes it by.
    pub(crate) fn remove_tap(&self, tap: &Arc<Tap>) {
        self.edit(|list| list.taps.retain(|other| !Arc::ptr_eq(other, tap)));
        tap.close();
    }
}

impl Walk<'_> {
    /// Hands `message` to every cache that hears one of the lists. Returns how many kept it.
    #[inline(never)]
    pub(super) fn tap(&self, reached: &[Reached], message: &Message, errands: &mut Errands) -> u32 {
        if self.is_control() {
            return 0;
        }
        let mut taps =
            reached.iter().flat_map(|reached| reached.list.taps()).filter(|tap| tap.takes(message));
        let Some(first) = taps.next() else { return 0 };
        let mut others: Vec<_> = taps.collect();
        if others.is_empty() {
            return u32::from(self.keep_by(first, message, &[&first.output], errands));
        }
        others.insert(0, first);
        let mut kept = 0;
        while let Some(&first) = others.first() {
            let same = others.extract_if(.., |tap| tap.number == first.number);
            let outputs: Vec<_> = same.map(|tap| &tap.output).collect();
            kept += u32::from(self.keep_by(first, message, &outputs, errands));
        }
        kept
    }

    /// An id function may wait for whoever was told by the cache before, or of the message before: he is woken first.
    fn keep_by(
        &self,
        tap: &Tap,
        message: &Message,
        outputs: &[&Arc<TopicCore>],
        errands: &mut Errands,
    ) -> bool {
        errands.flush(&self.topic.exchange);
        tap.keep(message, outputs, errands)
    }
}
