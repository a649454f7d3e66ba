//! A topic of mailboxes alone that take everything, published on all the time by two threads: subscriptions that come and go hear
//! all that was published meanwhile, and of the other thread a part without a gap.

use crate::dice::Dice;
use crate::verdict::{Count, Kind};
use crate::yard::{Numbered, Yard, soon};
use stasis_bus::{Delivery, Dispatch, MessageType, Subscription, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const MODES: [Dispatch; 3] = [Dispatch::Pool, Dispatch::Serial, Dispatch::Dedicated];
const VISITS: u64 = 60;
/// Whoever stays is never further behind the other thread.
const BEHIND_MAX: u64 = 512;

/// What was heard of one thread, whose numbers are in a row.
#[derive(Default)]
struct Row {
    first: AtomicU64,
    last: AtomicU64,
}

impl Row {
    fn note(&self, yard: &Yard, number: u64) {
        let last = self.last.swap(number, Ordering::AcqRel);
        match last {
            0 => self.first.store(number, Ordering::Release),
            _ if number == last => yard.verdict.complain(Kind::Duplicated, format!("busy: {number} twice")),
            _ if number < last => {
                yard.verdict.complain(Kind::Reordered, format!("busy: {number} after {last}"));
            }
            _ => yard.verdict.equal(number, last + 1, Kind::Lost, "a message on a busy topic"),
        }
    }

    fn ends(&self) -> (u64, u64) {
        (self.first.load(Ordering::Acquire), self.last.load(Ordering::Acquire))
    }
}

/// Of the thread that lets it come and go, and of the other one.
#[derive(Default)]
struct Heard {
    own: Row,
    other: Row,
}

/// A busy topic, and who publishes there: odd numbers are the first thread's.
struct Place<'y> {
    yard: &'y Arc<Yard>,
    topic: Topic,
    kind: MessageType<Numbered>,
}

impl Place<'_> {
    fn listen(&self, mode: Dispatch) -> (Subscription, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        let (yard, kind, noted) = (self.yard.clone(), self.kind.clone(), heard.clone());
        let hear = move |delivery: &Delivery<'_>| {
            yard.verdict.equal(delivery.missed(), 0, Kind::Lost, "missed on a busy topic");
            let Some(value) = delivery.read(&kind) else { return };
            let row = if value.number % 2 == 1 { &noted.own } else { &noted.other };
            row.note(&yard, value.number / 2);
        };
        let handle = self.topic.subscription("busy").dispatch(mode).start(hear).expect("a subscription");
        (handle, heard)
    }

    fn say(&self, number: u64) {
        let report = self.topic.publish(self.kind.message(self.yard.numbered(number)));
        self.yard.expect_taken(&report);
    }

    /// Until it is over. Returns how many.
    fn publish_beside(&self, over: &AtomicBool, heard: &Heard) -> u64 {
        let mut number = 0;
        while !over.load(Ordering::Relaxed) {
            number += 1;
            self.say(2 * number);
            while number > heard.other.ends().1 + BEHIND_MAX && !over.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        }
        number
    }
}

pub(super) fn run(yard: &Arc<Yard>, dice: &mut Dice) {
    let kind = yard.bus.message_type("busy").expect("a type");
    let place = Place { yard, topic: yard.bus.topic("busy").expect("a topic"), kind };
    let (stays, heard) = place.listen(Dispatch::Pool);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let beside = scope.spawn(|| place.publish_beside(&over, &heard));
        let mut number = 0;
        for _ in 0..VISITS {
            let (visitor, visited) = place.listen(dice.pick(&MODES));
            let first = number + 1;
            number += 1 + dice.below(64);
            (first..=number).for_each(|number| place.say(2 * number + 1));
            visitor.unsubscribe_and_join().expect("outside of handlers");
            yard.verdict.equal(visited.own.ends(), (first, number), Kind::Lost, "by a visitor");
            yard.count(Count::Visitors);
        }
        over.store(true, Ordering::Relaxed);
        let others = beside.join().expect("it does not panic");
        let due = [(1, number), (1, others)];
        soon(|| [heard.own.ends(), heard.other.ends()] == due);
        yard.verdict.equal([heard.own.ends(), heard.other.ends()], due, Kind::Lost, "on a busy topic");
    });
    let published = place.topic.stats().published;
    let (own, other) = (heard.own.ends().1, heard.other.ends().1);
    yard.verdict.equal(published, own + other, Kind::Lost, "counted on a busy topic");
    stays.unsubscribe_and_join().expect("outside of handlers");
}
