//! What threads do.

use super::PATIENCE;
use super::World;
use super::plan::{Plan, Step};
use super::publishing::Hand;
use stasis_bus::Handled;
use std::thread;

impl World {
    pub(super) fn step(&self, hand: &mut Hand, step: Step, plan: &Plan) {
        match step {
            Step::Publish { topic, object, how } => {
                let said = self.publish(hand, topic, &format!("o{object}"), how);
                if let Some(message) = said.message.filter(|_| said.is_published) {
                    self.reads_its_own(&message, topic, plan);
                }
            }
            Step::Batch { topic, object, count, by_publisher } => {
                self.publish_batch(hand, topic, object, count, by_publisher);
            }
            Step::Double { edge } => {
                if let Some(at) = usize::from(edge).checked_rem(plan.forwards.len()) {
                    drop(self.forward(plan.forwards[at]));
                }
            }
            Step::Unsubscribe { sub } => self.unsubscribe(sub),
            Step::Visit { topic, mode, count } => self.visit(hand, topic, mode, count),
            Step::Sync { sub } => self.sync(hand, sub),
            Step::Yield => thread::yield_now(),
            Step::Widen { sub, how } => self.widen(sub, how),
            Step::Detour { topic, mode, count } => self.detour(hand, topic, mode, count),
            Step::Deaf { topic, mode, count } => self.deaf(hand, topic, mode, count),
            Step::Routes { topic, mode, count } => self.routes(hand, topic, mode, count),
            Step::Reroute { how } => self.reroute(how),
            Step::Clear { object, by_message } => self.clear(hand, object, by_message),
            Step::Lease { count, end } => self.lease(hand, count, end),
            Step::CatchUp { whole, mode, count } => self.catch_up(hand, whole, mode, count),
            Step::State { state, count, by_origin } => _ = self.publish_states(hand, state, count, by_origin),
            Step::Observe { state, mode, count } => self.observe(hand, state, mode, count),
            Step::Shutdown => self.shut_down(),
        }
    }

    /// To one that may have ended: then it is published all the same.
    fn sync(&self, hand: &mut Hand, sub: u8) {
        self.with_handle(sub, |at, handle| {
            let sub = self.subs[at];
            let said = handle.publish_sync(self.note(hand.me, sub.topic, "o0"), Some(PATIENCE));
            let is_over = self.is_over();
            match said {
                Ok(Handled::Yes | Handled::Dropped | Handled::Gone) => self.count(sub.topic, 1),
                Ok(Handled::Refused) if is_over => {}
                // Nobody says whether it was published.
                Err(_) if is_over => self.count(sub.topic, 1),
                Ok(_) | Err(_) => panic!("{sub:?}: {said:?}"),
            }
        });
    }
}
