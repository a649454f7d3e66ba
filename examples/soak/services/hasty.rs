//! Publishers that wait for room, but not for long: what came too late is counted and told. On a topic of its own, since a
//! publish has one deadline for all mailboxes.

use crate::dice::Dice;
use crate::verdict::Kind;
use crate::yard::Yard;
use futures_lite::future::{block_on, or};
use stasis_bus::{Dispatch, Overflow};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(1);
const MODES: [Dispatch; 3] = [Dispatch::Pool, Dispatch::Serial, Dispatch::Dedicated];

#[derive(Default)]
struct Account {
    last: AtomicU64,
    /// Came, and were told as missed.
    sum: AtomicU64,
}

pub(super) fn run(yard: &Arc<Yard>, dice: &mut Dice) {
    let kind = yard.bus.message_type("hasty").expect("a type");
    let topic = yard.bus.topic("hasty").expect("a topic");
    let account = Arc::new(Account::default());
    let (yard2, account2, kind2) = (yard.clone(), account.clone(), kind.clone());
    let hear = move |delivery: &stasis_bus::Delivery<'_>| {
        account2.sum.fetch_add(delivery.missed(), Ordering::Relaxed);
        let Some(value) = delivery.read::<crate::yard::Numbered>(&kind2) else { return };
        let last = account2.last.swap(value.number, Ordering::Relaxed);
        let rises = value.number > last;
        yard2.verdict.expect(rises, Kind::Reordered, || format!("hasty: {} after {last}", value.number));
        account2.sum.fetch_add(1, Ordering::Relaxed);
        if value.number.is_multiple_of(16) {
            thread::sleep(3 * PATIENCE);
        }
    };
    let builder = topic.subscription("hasty").accept(&kind).dispatch(dice.pick(&MODES));
    let builder = builder.capacity(1 + dice.index(4)).overflow(Overflow::Block(PATIENCE));
    let handle = builder.start(hear).expect("a subscription");
    let due = 1 + dice.below(100);
    for number in 1..=due {
        let message = kind.message(yard.numbered(number));
        match dice.below(3) {
            // Given up at the first poll that finds no room: it counts as timed out.
            0 => block_on(or(async { _ = topic.publish_async(message).await }, async {})),
            1 => _ = block_on(topic.publish_async(message)),
            _ => _ = topic.publish(message),
        }
    }
    handle.unsubscribe();
    let joined = handle.join_timeout(Duration::from_secs(120));
    yard.verdict.equal(joined, Ok(()), Kind::Hung, "hasty");
    yard.verdict.equal(account.sum.load(Ordering::Relaxed), due, Kind::Lost, "came or timed out");
    yard.verdict.equal(handle.stats().missed, handle.stats().lost.timed_out, Kind::Lost, "timed out");
}
