//! Two handlers that wait for each other: the second wait is refused before it begins.

use crate::dice::Dice;
use crate::verdict::{Count, Kind};
use crate::yard::Yard;
use stasis_bus::{Handled, MessageType, Subscription, WaitError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));

type Other = Arc<OnceLock<Subscription>>;

pub(super) fn run(yard: &Arc<Yard>, dice: &mut Dice) {
    let kind = yard.bus.message_type::<u8>("question").expect("a type");
    let (first, second) = (Other::default(), Other::default());
    let asker = ask(yard, &kind, "first", &second, Ok(Handled::Yes));
    let _ = second.set(ask(yard, &kind, "second", &first, Err(WaitError::WouldDeadlock)));
    let _ = first.set(asker);
    for _ in 0..=dice.below(8) {
        let handled = first.get().map(|asker| asker.publish_sync(kind.message(0), PATIENCE));
        yard.verdict.equal(handled, Some(Ok(Handled::Yes)), Kind::Hung, "a circle");
    }
    for end in [first, second] {
        let handle = end.get().expect("it was set");
        handle.unsubscribe();
        let joined = handle.join_timeout(Duration::from_secs(120));
        yard.verdict.equal(joined, Ok(()), Kind::Hung, "the end of a circle");
    }
}

/// Its handler waits for the other one, and expects this.
fn ask(
    yard: &Arc<Yard>,
    kind: &MessageType<u8>,
    name: &str,
    other: &Other,
    due: Result<Handled, WaitError>,
) -> Subscription {
    let topic = yard.bus.topic(&format!("circle:{name}")).expect("a topic");
    let (yard, kind2, other) = (yard.clone(), kind.clone(), other.clone());
    let handler = move |_: &stasis_bus::Delivery<'_>| {
        let Some(other) = other.get() else { return };
        let is = other.publish_sync(kind2.message(0), PATIENCE);
        if is == Err(WaitError::WouldDeadlock) {
            yard.count(Count::Circles);
        }
        let is_over = is == Ok(Handled::Gone);
        yard.verdict.expect(is == due || is_over, Kind::Hung, || format!("{is:?} instead of {due:?}"));
    };
    topic.subscription("circle").accept(kind).start(handler).expect("a subscription")
}
