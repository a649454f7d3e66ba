//! The last step of a walk: inline handlers, on the publisher's own thread.
//!
//! A handler's call is to cost little more than a call: what is the same for all of them is done once per topic, in front
//! of the calls or behind them. One fence catches the panic of any; the walk goes on behind the one that panicked.
//!
//! A `Publisher`'s message for one list of handlers that take everything needs no walk around its calls
//! ([`call_straight`]). It goes through the same gate by the same seat, and finds the same list: what keeps a call from coming
//! after the final one is not shortened.

use super::collect::{Guard, Reached};
use super::gate::{Gate, Seat};
use super::publisher::Ledger;
use super::subscribers::{InlineRoute, Subscribers};
use super::timed::InlineTiming;
use super::walk::Walk;
use super::{Report, TopicCore};
use crate::dispatch::fence::{PanicPlace, Payload, caught};
use crate::dispatch::frames::{self, Frame};
use crate::mailbox::{Arrival, Inline, SyncOutcome, Told};
use crate::message::Message;
use crate::sync::Arc;

/// What one walk calls, and what became of it.
pub(super) struct Caller<'w> {
    walk: &'w Walk<'w>,
    message: &'w Message,
    called: u32,
    filtered: u32,
}

impl<'w> Caller<'w> {
    #[inline]
    pub(super) fn new(walk: &'w Walk<'w>, message: &'w Message) -> Self {
        Self { walk, message, called: 0, filtered: 0 }
    }

    #[inline]
    pub(super) fn report(&self) -> Report {
        Report { accepted: self.called, filtered: self.filtered, ..Report::default() }
    }

    /// Calls the inline handlers of one topic, inside its gate.
    #[inline(always)]
    pub(super) fn call(&mut self, reached: &Reached) {
        let list = &*reached.list;
        if list.inline().is_empty() {
            return;
        }
        if list.has_no_inline_for(self.message.kind().id()) {
            // Nobody is called, so there is no gate to pass.
            self.filtered += list.inline().len() as u32;
            return;
        }
        let newer = if self.enter(reached, list) { None } else { Some(self.newer(reached)) };
        self.call_inside(reached, newer.as_deref().map_or(list, |newer| newer));
    }

    /// Somebody left since the list was loaded: the newer one does not have it. Inside its gate.
    #[cold]
    fn newer(&self, reached: &Reached) -> Guard {
        loop {
            let list = reached.topic().subscribers.load();
            if self.enter(reached, &list) {
                return list;
            }
        }
    }

    #[inline]
    fn enter(&self, reached: &Reached, list: &Subscribers) -> bool {
        list.gate().is_none_or(|gate| gate.enter(self.walk.seat(), &reached.topic().ledger))
    }

    #[inline(always)]
    fn call_inside(&mut self, reached: &Reached, list: &Subscribers) {
        let topic = reached.topic();
        let inside = Inside { gate: list.gate(), seat: self.walk.seat(), publishers: &topic.ledger };
        frames::enter_walk(topic.exchange.id, &topic.id, |frame| {
            self.call_framed(topic, list, frame, inside)
        });
    }

    #[inline(always)]
    fn call_framed<'l>(
        &mut self,
        topic: &'l TopicCore,
        list: &'l Subscribers,
        frame: &Frame<'l>,
        inside: Inside<'_>,
    ) {
        let timing = topic.timing(self.walk.timed.get(), list.inline().len());
        self.call_each(list, frame, timing.as_ref());
        self.tell_waiter(list);
        // Inside the frame: finals delivered here are in order, and none may wait for one after it.
        frame.now(&topic.id);
        drop(inside);
    }

    #[inline(always)]
    fn call_each<'l>(&mut self, list: &'l Subscribers, frame: &Frame<'l>, timing: Option<&InlineTiming<'_>>) {
        let routes = list.inline();
        if list.is_inline_open() && !self.walk.has_except() && timing.is_none() {
            // SAFETY: inside the gate of the list that has them.
            unsafe { call_all(routes, self.message, frame) };
            self.called += routes.len() as u32;
        } else {
            fenced(routes, |at| self.call_some(routes, at, frame, timing));
        }
    }

    fn call_some<'l>(
        &mut self,
        routes: &'l [InlineRoute],
        at: &mut usize,
        frame: &Frame<'l>,
        timing: Option<&InlineTiming<'_>>,
    ) {
        // Once for all of them: behind each call the compiler has to look again at whatever it points to.
        let (message, kind) = (self.message, self.message.kind().id());
        let arrival = Arrival { message, told: Told::default() };
        while let Some(route) = routes.get(*at) {
            *at += 1;
            let inline = &*route.inline;
            if !route.takes(kind, message) {
                self.filtered += 1;
            } else if !self.walk.is_except(|| *inline.id()) {
                frame.now(inline.id());
                self.called += 1;
                if route.counted {
                    inline.count_call();
                }
                // SAFETY: inside the gate of the list that has it.
                let call = || unsafe { route.call(&arrival) };
                match timing {
                    Some(timing) => timing.time(*at - 1, inline, self.walk.around, call),
                    None => call(),
                }
            }
        }
    }

    /// Somebody waits for an inline handler of this list, which has returned by now.
    #[inline]
    fn tell_waiter(&self, list: &Subscribers) {
        let awaited = self.walk.around.and_then(|around| around.awaited.as_ref());
        let Some((id, receipt)) = awaited else { return };
        if list.inline_route(*id).is_some_and(|route| route.takes(self.message.kind().id(), self.message)) {
            receipt.set(SyncOutcome::Handled);
        }
    }
}

/// One fence around all calls, resumed behind a handler that panicked. `calls` counts up what it is given in front of each.
#[inline(always)]
fn fenced(routes: &[InlineRoute], mut calls: impl FnMut(&mut usize)) {
    let mut at = 0;
    while let Err(payload) = caught(|| calls(&mut at)) {
        tell(&routes[at - 1].inline, payload);
    }
}

#[cold]
fn tell(culprit: &Inline, payload: Payload) {
    culprit.count_panic();
    culprit.profile().fence.tell(&culprit.profile().name, PanicPlace::Handler, payload);
}

/// Everybody takes it.
///
/// # Safety
///
/// The caller is inside the gate of the list that has the routes.
#[inline(always)]
unsafe fn call_all<'l>(routes: &'l [InlineRoute], message: &Message, frame: &Frame<'l>) {
    let arrival = Arrival { message, told: Told::default() };
    fenced(routes, |at| {
        while let Some(route) = routes.get(*at) {
            *at += 1;
            frame.now(route.inline.id());
            // SAFETY: as the caller says.
            unsafe { route.call(&arrival) };
        }
    });
}

/// The straight way of a `Publisher`'s message that meets one list, and on it nothing but handlers that take everything:
/// how many there were. `None`: it goes the long way, and nothing was done.
///
/// What a walk carries for all other cases costs more than such a call, so none is made.
#[inline(always)]
pub(super) fn call_straight(reached: &[Reached], seat: &Seat, message: &Message) -> Option<u32> {
    let [reached] = reached else { return None };
    let (topic, list) = (reached.topic(), &*reached.list);
    let gate = list.gate().filter(|_| list.is_called_straight())?;
    if topic.is_watched() || !gate.enter(Some(seat), &topic.ledger) {
        return None;
    }
    let inside = Inside { gate: Some(gate), seat: Some(seat), publishers: &topic.ledger };
    frames::enter_walk(topic.exchange.id, &topic.id, |frame| {
        // SAFETY: inside the gate of the list that has them.
        unsafe { call_all(list.inline(), message, frame) };
        // As in `call_framed`.
        frame.now(&topic.id);
        drop(inside);
    });
    Some(list.inline().len() as u32)
}

/// Leaves the gate, also when a panic passes.
struct Inside<'a> {
    gate: Option<&'a Arc<Gate>>,
    seat: Option<&'a Seat>,
    publishers: &'a Ledger,
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(gate) = self.gate {
            gate.leave(self.seat, self.publishers);
        }
    }
}
