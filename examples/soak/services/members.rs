//! A topic pool whose members come and go: whatever is said on any of them arrives at the pool's topic, once.

use super::Came;
use crate::dice::Dice;
use crate::verdict::{Count, Kind};
use crate::yard::{Yard, soon};
use std::sync::Arc;

const STEPS: u64 = 200;

pub(super) fn run(yard: &Arc<Yard>, dice: &mut Dice) {
    let kind = yard.bus.message_type("device").expect("a type");
    let pool = yard.bus.topic_pool("devices").expect("a pool");
    let (all, watched) = (Arc::new(Came::default()), Arc::new(Came::default()));
    let listen = |topic: &stasis_bus::Topic, came: &Arc<Came>| {
        let (yard, came, kind2) = (yard.clone(), came.clone(), kind.clone());
        let hear = move |delivery: &stasis_bus::Delivery<'_>| came.hear(&yard, &kind2, delivery);
        topic.subscription("devices").accept(&kind).start(hear).expect("a subscription")
    };
    let board = listen(pool.topic(), &all);
    let watcher = listen(&pool.member("0").expect("a member"), &watched);
    let mut due = 0;
    for number in 1..=STEPS {
        let name = dice.below(16);
        let member = pool.member(&name.to_string()).expect("a member");
        member.publish(kind.message(yard.numbered(number)));
        due += u64::from(name == 0);
        yard.count(Count::Members);
    }
    for (handle, came, due) in [(board, all, STEPS), (watcher, watched, due)] {
        handle.unsubscribe_and_join().expect("outside of handlers");
        came.expect(yard, due, "of a topic pool");
    }
    yard.verdict.expect(soon(|| pool.is_empty()), Kind::Leaked, || format!("{pool:?}"));
}
