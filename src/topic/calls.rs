//! The last step of a walk: inline handlers, on the publisher's own thread.

use super::collect::{Guard, Reached};
use super::subscribers::{InlineRoute, Subscribers};
use super::timed::InlineTiming;
use super::walk::Fanout;
use crate::dispatch::fence::{PanicPlace, caught};
use crate::dispatch::frames;
use crate::mailbox::{Arrival, SyncOutcome, Told};

impl Fanout<'_> {
    /// Calls the inline handlers of one topic, inside its gate.
    pub(super) fn call_inline(&mut self, reached: &Reached) {
        let mut newer = None;
        loop {
            let list = newer.as_ref().unwrap_or(&reached.list);
            if list.inline().is_empty() {
                return;
            }
            if list.gate().enter() {
                break;
            }
            // Somebody left since the list was loaded: the newer one does not have it.
            newer = Some(reached.topic().subscribers.load());
        }
        let list = newer.as_ref().unwrap_or(&reached.list);
        let gate = Leave(list);
        let bus = self.walk.topic.exchange.id;
        frames::enter(bus, reached.topic().id, || {
            let timing = reached.topic().timing(self.walk.timed.get());
            frames::mark(bus, reached.topic().id, |frame| {
                self.call_each(list.inline(), frame, timing.as_ref())
            });
            self.tell_waiter(list);
            // Inside the frame: finals delivered here are in order, and none may wait for one after it.
            drop(gate);
        });
    }

    /// One fence around all calls, resumed behind a handler that panicked.
    fn call_each(
        &mut self,
        inline: &[InlineRoute],
        frame: &frames::Frame,
        timing: Option<&InlineTiming<'_>>,
    ) {
        let mut at = 0;
        while at < inline.len() {
            let Err(payload) = caught(|| self.call_from(inline, &mut at, frame, timing)) else { return };
            let culprit = &inline[at - 1].inline;
            culprit.count_panic();
            culprit.profile().fence.tell(&culprit.profile().name, PanicPlace::Handler, payload);
        }
    }

    #[inline]
    fn call_from(
        &mut self,
        routes: &[InlineRoute],
        at: &mut usize,
        frame: &frames::Frame,
        timing: Option<&InlineTiming<'_>>,
    ) {
        // Once for all of them: behind each call the compiler has to look again at whatever it points to.
        let (message, kind) = (&*self.message, self.message.kind().id());
        let arrival = Arrival { message, told: Told::default() };
        while let Some(route) = routes.get(*at) {
            *at += 1;
            let inline = &*route.inline;
            if !route.takes(kind, message) {
                self.report.filtered += 1;
            } else if !self.is_except(|| inline.profile().id) {
                frame.now(inline.profile().id);
                self.report.accepted += 1;
                if route.counted {
                    inline.count_call();
                }
                // SAFETY: inside the gate of the list that has it.
                let call = || unsafe { inline.call(&arrival) };
                match timing {
                    None => call(),
                    Some(timing) => timing.time(inline, self.walk.around.as_ref(), call),
                }
            }
        }
    }

    /// Somebody waits for an inline handler of this list, which has returned by now.
    fn tell_waiter(&self, list: &Subscribers) {
        let awaited = self.walk.around.as_ref().and_then(|around| around.awaited.as_ref());
        let Some((id, receipt)) = awaited else { return };
        if list.inline_route(*id).is_some_and(|route| route.takes(self.message.kind().id(), &self.message)) {
            receipt.set(SyncOutcome::Handled);
        }
    }
}

/// Leaves the gate, also when a panic passes.
struct Leave<'a>(&'a Guard);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.gate().leave();
    }
}
