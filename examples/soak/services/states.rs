//! States that come, are spoken of, and go: who subscribes hears the last one first.

use super::Came;
use crate::dice::Dice;
use crate::verdict::{Count, Kind};
use crate::yard::{Yard, soon};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) fn run(yard: &Arc<Yard>, dice: &mut Dice) {
    let kind = yard.bus.message_type("presence").expect("a type");
    let manager = yard.bus.state_manager("presence").expect("a manager");
    let elsewhere = yard.bus.origin("elsewhere").expect("an origin");
    let id = format!("user-{}", dice.below(16));
    let message = |number| kind.message(yard.numbered(number));
    let publisher = manager.publisher(&id).expect("a publisher");
    let before = 1 + dice.below(5);
    (1..=before).for_each(|number| _ = publisher.publish(message(number)));

    let came = Arc::new(Came::default());
    let (yard2, came2, kind2) = (yard.clone(), came.clone(), kind.clone());
    let subscription = manager.subscription(&id, "lamp").with_state();
    let accepted = kind.clone();
    let subscription = subscription
        .configure(move |builder| builder.accept(&accepted))
        .start(move |delivery| came2.hear(&yard2, &kind2, delivery))
        .expect("a subscription");
    let more = dice.below(50);
    for number in before + 1..=before + more {
        match dice.one_in(4) {
            true => {
                _ = manager.publish_by_origin(&id, elsewhere, message(number)).expect("a publish");
            }
            false => _ = publisher.publish(message(number)),
        }
        let last = manager.last(&id);
        let is = last.as_ref().and_then(|last| kind.read(last)).map(|value| value.number);
        yard.verdict.equal(is, Some(number), Kind::Stale, "a state");
        yard.count(Count::Reads);
    }
    drop(publisher);
    manager.remove_origin(&id, elsewhere, None);
    subscription.unsubscribe_and_join().expect("outside of handlers");
    // The state as it stood, and all that came after.
    came.expect(yard, 1 + more, "of a state");
    yard.verdict.equal(came.last.load(Ordering::Relaxed), before + more, Kind::Lost, "the last of a state");
    yard.verdict.expect(soon(|| !manager.exists(&id)), Kind::Leaked, || format!("{manager:?} has {id}"));
    yard.count(Count::States);
}
