//! What handing out messages leaves to be done when nothing is half done any more.
//!
//! Pushing into mailboxes is bus code, and may be done under a lock; what follows from it may run foreign code, and may
//! not. So a push notes what it owes here: turns to pass on, water marks that were passed, messages taken out of full
//! mailboxes, inline handlers to call. A publish owes the same, and has one list for itself and for the caches that its
//! message changed.
//!
//! | step | who may be run |
//! | --- | --- |
//! | [`announce`](Errands::announce), any number of times, each under its caller's lock | nobody |
//! | [`flush`](Errands::flush): wake-ups, then callbacks that hear of water marks | wakers, callbacks |
//! | [`settle`](Errands::settle): what was put off ([`after_mailboxes`](Errands::after_mailboxes)), inline handlers | aggregate functions, handlers |
//! | Serial mailboxes whose turn was taken | handlers |
//! | [`close`](Errands::close): drops, also of what maps have retired | drops of values |
//!
//! A message that is announced under a lock is in every mailbox when the lock is free again. So the order of the lock is
//! the order in every mailbox, whoever was faster afterwards. The lists are those that stand under the lock: who became
//! visible before somebody else's turn under that lock gets what is announced in ours.

use super::TopicCore;
use super::audience::Audience;
use super::catch_up::Place;
use super::collect::Reached;
use super::exchange::Exchange;
use super::report::Report;
use super::subscribers::Route;
use super::tap::Tap;
use super::turns::Turns;
use super::walk::Walk;
use crate::mailbox::{Entry, Key, Mailbox, Offer};
use crate::message::Message;
use crate::sync::{Arc, local};
use std::cell::Cell;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;

/// What is owed. Dropping it only drops messages: whoever made it finishes it.
#[derive(Default)]
pub(crate) struct Errands {
    pub(super) turns: Turns,
    /// Taken out of full mailboxes; dropped at the end.
    pub(super) evicted: Vec<Entry>,
    has_retired: bool,
    more: Option<Box<More>>,
}

/// What only caches and the like owe.
#[derive(Default)]
struct More {
    calls: VecDeque<Calls>,
    /// They hold the mailboxes that are to be told of a water mark.
    lists: Vec<Reached>,
    put_off: VecDeque<PutOff>,
    dead: Vec<Message>,
}

local! {
    /// Kept between publishes so that what caches owe does not allocate.
    static SPARE: Cell<Option<Box<More>>> = Cell::new(None);
}

impl More {
    /// Drops what is in it, which is foreign code, and keeps the room.
    fn clear(&mut self) {
        self.dead.clear();
        self.lists.clear();
        self.calls.clear();
        self.put_off.clear();
    }
}

type PutOff = Box<dyn FnOnce(&mut Errands)>;

/// What is announced: known by a key of the caller's, or as an update of an entry somewhere in a cache.
#[derive(Clone, Copy)]
enum By<'a> {
    Key(&'a dyn Fn() -> Key, Place),
    Entry(Place),
}

impl<'a> By<'a> {
    fn key(self) -> Option<&'a dyn Fn() -> Key> {
        match self {
            Self::Key(key, _) => Some(key),
            Self::Entry(_) => None,
        }
    }

    fn place(self) -> Place {
        match self {
            Self::Key(_, place) | Self::Entry(place) => place,
        }
    }
}

/// Inline handlers that are to get a message.
struct Calls {
    /// They hold what the lists are of.
    roots: Vec<Arc<TopicCore>>,
    lists: Vec<Reached>,
    message: Message,
}

impl Errands {
    /// Sees to what an offer leaves. True: the mailbox took the reference.
    #[inline]
    pub(super) fn note(&mut self, mailbox: &Arc<Mailbox>, offer: Offer, report: &mut Report) -> bool {
        let turn = match offer {
            Offer::Accepted { turn, over_capacity, crossed } => {
                report.accepted += 1;
                report.over_capacity += u32::from(over_capacity);
                if turn {
                    self.turns.take(mailbox);
                }
                if crossed {
                    self.turns.passed_mark(mailbox);
                }
                return true;
            }
            Offer::Dropped => {
                report.dropped += 1;
                false
            }
            Offer::Disconnected { turn } => {
                report.dropped += 1;
                turn
            }
            Offer::Closed { turn } => {
                report.closed += 1;
                turn
            }
        };
        if turn {
            self.turns.take(mailbox);
        }
        false
    }

    /// Pushes `message` into every mailbox reachable from `roots`, once each. Bus code only, and it never waits: the
    /// caller holds the lock that orders it among others of its kind.
    ///
    /// A full mailbox with `Block` takes it beyond its capacity; one with `Conflate` knows it by `key`, whatever its own
    /// function would say. Caches that hear it are fed by their Serial mailbox. Inline handlers get it when the errands
    /// are settled; they are not in the report. Who catches up with what stands at `place`, whose lock is the one held, and
    /// has not looked there yet does not get it: the look will find it.
    pub(crate) fn announce<'a>(
        &mut self,
        roots: impl IntoIterator<Item = &'a Arc<TopicCore>, IntoIter: Clone>,
        message: Message,
        key: impl Fn() -> Key,
        place: Place,
    ) -> Report {
        let roots = roots.into_iter();
        self.hand_out(&mut Audience::of(roots.clone()), roots, message, By::Key(&key, place))
    }

    /// The same for an update of an entry of that shard of a cache, whose lock is the one held, to `audience`, which was
    /// collected from `roots` and is current. Mailboxes with `Conflate` know it by its entry.
    pub(crate) fn announce_update<'a>(
        &mut self,
        audience: &mut Audience<'_>,
        roots: impl Iterator<Item = &'a Arc<TopicCore>>,
        update: Message,
        place: Place,
    ) -> Report {
        self.hand_out(audience, roots, update, By::Entry(place))
    }

    fn hand_out<'a>(
        &mut self,
        audience: &mut Audience<'_>,
        roots: impl Iterator<Item = &'a Arc<TopicCore>>,
        message: Message,
        by: By<'_>,
    ) -> Report {
        audience.count();
        let report = self.push(audience.lists(), &message, by);
        let has_inline = audience.lists().iter().any(|reached| !reached.list.inline().is_empty());
        let more = self.more();
        if has_inline {
            let mut lists = Vec::new();
            audience.move_into(&mut lists);
            more.calls.push_back(Calls { roots: roots.cloned().collect(), lists, message });
        } else {
            audience.move_into(&mut more.lists);
            more.dead.push(message);
        }
        report
    }

    /// Keeps these lists for as long as it lives: the caller holds a lock.
    pub(super) fn hold(&mut self, audience: &mut Audience<'_>) {
        audience.move_into(&mut self.more().lists);
    }

    fn more(&mut self) -> &mut More {
        let spare = || SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        self.more.get_or_insert_with(spare)
    }

    fn push(&mut self, lists: &[Reached], message: &Message, by: By<'_>) -> Report {
        let mut report = Report::default();
        let routes = || lists.iter().flat_map(|reached| takers(reached, message, Some(by.place())));
        let takers = routes().count();
        let all = lists.iter().map(|reached| reached.list.routes().len()).sum::<usize>();
        report.filtered = (all - takers) as u32;
        message.add_references(takers);
        for route in routes() {
            let offer = route.mailbox.offer_ordered(message.share(), by.key(), &mut self.evicted);
            self.note(&route.mailbox, offer, &mut report);
        }
        let refused = takers - report.accepted as usize;
        // SAFETY: added above and not taken. The caller's own reference stays, so nothing is dropped here.
        unsafe { Message::release(ManuallyDrop::new(std::ptr::read(message)), refused) };
        let taps = lists.iter().flat_map(|reached| reached.list.taps());
        taps.filter(|tap| tap.takes(message)).for_each(|tap| self.feed(tap, message, by));
        report
    }

    fn feed(&mut self, tap: &Arc<Tap>, message: &Message, by: By<'_>) {
        let mailbox = tap.feed();
        let word = message.clone().into_word();
        let offer = mailbox.offer_ordered(word, by.key(), &mut self.evicted);
        if !self.note(mailbox, offer, &mut Report::default()) {
            // SAFETY: refused, so it is ours alone.
            self.evicted.push(unsafe { Entry::from_word(word) });
        }
    }

    /// Drops `message` at the end.
    pub(crate) fn bury(&mut self, message: Message) {
        self.more().dead.push(message);
    }

    /// Something was retired from a map: what can be dropped of it is, at the very end.
    pub(crate) fn retired(&mut self) {
        self.has_retired = true;
    }

    /// Puts `code` off until every mailbox has the message that is being published, and no lock is held.
    pub(crate) fn after_mailboxes(&mut self, code: impl FnOnce(&mut Self) + 'static) {
        self.more().put_off.push_back(Box::new(code));
    }

    /// Wakes whoever can be woken, then tells of congestion; Serial mailboxes stay. No lock is held.
    #[inline]
    pub(crate) fn flush(&mut self, exchange: &Exchange) {
        self.turns.flush(exchange);
    }

    #[inline]
    pub(super) fn has_more(&self) -> bool {
        self.more.is_some()
    }

    /// Whether there is anything to [`close`](Self::close).
    #[inline]
    pub(super) fn is_owing(&self) -> bool {
        self.has_retired || self.has_more()
    }

    /// Does what was put off, then calls inline handlers: theirs is all that was announced up to then.
    pub(super) fn settle(&mut self, exchange: &Exchange) -> Report {
        while let Some(code) = self.more.as_mut().and_then(|more| more.put_off.pop_front()) {
            code(self);
            self.flush(exchange);
        }
        let mut report = Report::default();
        while let Some(calls) = self.more.as_mut().and_then(|more| more.calls.pop_front()) {
            report.add(&calls.make());
        }
        report
    }

    /// For those that are no walk's: does everything. The report is of inline handlers.
    pub(crate) fn finish(mut self, exchange: &Exchange) -> Report {
        self.flush(exchange);
        let report = self.settle(exchange);
        self.turns.run_serial();
        self.close(exchange);
        report
    }

    /// The end of it, when every turn is passed on: the drops.
    pub(super) fn close(&mut self, exchange: &Exchange) {
        if let Some(mut more) = self.more.take() {
            more.clear();
            let _ = SPARE.try_with(|spare| spare.set(Some(more)));
        }
        if std::mem::take(&mut self.has_retired) {
            exchange.tidy();
        }
    }
}

/// The same each time it is asked under one hold of the lock.
fn takers<'l>(
    reached: &'l Reached,
    message: &'l Message,
    place: Option<Place>,
) -> impl Iterator<Item = &'l Route> {
    let list = &*reached.list;
    list.routes().iter().filter(move |route| route.takes(message) && !list.is_behind(route, place))
}

impl Calls {
    fn make(self) -> Report {
        let Some(root) = self.roots.first() else { return Report::default() };
        let walk = Walk::from(root);
        match walk.may_nest() {
            true => walk.call_handlers(&self.lists, &self.message),
            false => Report::default(),
        }
    }
}
