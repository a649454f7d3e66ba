//! One subscription whose filter is changed all the time: from when a change has returned, it holds.

use super::Came;
use crate::dice::Dice;
use crate::verdict::{Count, Kind};
use crate::yard::Yard;
use stasis_bus::{Dispatch, Filter};
use std::sync::Arc;

const MODES: [Dispatch; 4] = [Dispatch::Pool, Dispatch::Serial, Dispatch::Dedicated, Dispatch::Inline];

pub(super) fn run(yard: &Arc<Yard>, dice: &mut Dice) {
    let [wanted, other] = ["wanted", "other"].map(|name| yard.bus.message_type(name).expect("a type"));
    let topic = yard.bus.topic("filtered").expect("a topic");
    let filters = [Filter::all().accept(&other), Filter::all().accept(&other).accept(&wanted)];
    let came = Arc::new(Came::default());
    let (yard2, came2, kind) = (yard.clone(), came.clone(), wanted.clone());
    let hear = move |delivery: &stasis_bus::Delivery<'_>| came2.hear(&yard2, &kind, delivery);
    let mode = dice.pick(&MODES);
    let builder = topic.subscription("filtered").filter(filters[0].clone()).dispatch(mode);
    let handle = match mode {
        Dispatch::Inline => builder.inline(hear),
        _ => builder.start(hear),
    };
    let handle = handle.expect("a subscription");
    let (mut number, mut due) = (0, 0);
    for _ in 0..100 {
        let open = dice.index(2);
        handle.set_filter(&filters[open]).expect("a filter of this bus");
        yard.verdict.equal(topic.wants(&wanted), open == 1, Kind::Stale, "a filter");
        for _ in 0..=dice.below(8) {
            number += 1;
            topic.publish_with(&wanted, || yard.numbered(number));
            due += open as u64;
        }
        yard.count(Count::Filters);
    }
    handle.unsubscribe_and_join().expect("outside of handlers");
    came.expect(yard, due, "through a filter");
}
