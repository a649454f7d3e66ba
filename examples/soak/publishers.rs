//! Who publishes: four threads, each by every way there is.

use crate::dice::Dice;
use crate::seen::Seen;
use crate::temper::Temper;
use crate::terms::{Form, Policy, Terms};
use crate::verdict::{Count, Kind};
use crate::yard::{PUBLISHERS, Yard};
use futures_lite::future::block_on;
use stasis_bus::{Dispatch, Forward, Handled, Publisher, Subscription, Timestamp, Topic};
use std::sync::Arc;
use std::thread::{self, Scope};
use std::time::Duration;

const SYNC_PATIENCE: Duration = Duration::from_secs(120);
/// Between two bursts, so that a machine of two processors has room for everybody else.
const BREATH: Duration = Duration::from_micros(50);

pub(crate) fn start<'s>(scope: &'s Scope<'s, '_>, yard: &Arc<Yard>) {
    let resident = Arc::new(Resident::new(yard));
    for publisher in 0..PUBLISHERS {
        let (yard, resident) = (yard.clone(), resident.clone());
        scope.spawn(move || Source::new(&yard, publisher, &resident).run());
    }
}

/// The subscription that publishers wait for: there from the begin to the end, and loses nothing.
struct Resident {
    yard: Arc<Yard>,
    seen: Arc<Seen>,
    handle: Subscription,
}

impl Resident {
    fn new(yard: &Arc<Yard>) -> Self {
        let terms = Terms {
            mode: Dispatch::Pool,
            policy: Policy::Block,
            capacity: 1_024,
            form: Form::Each,
            temper: Temper::Calm,
            is_fragile: false,
            stay: u64::MAX,
        };
        let seen = Arc::new(Seen::new(terms));
        let handle = crate::tenants::each(yard, &seen).expect("a subscription");
        Self { yard: yard.clone(), seen, handle }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.handle.unsubscribe();
        let patience = self.handle.join_timeout(SYNC_PATIENCE);
        self.yard.verdict.expect(patience.is_ok(), Kind::Hung, || "the resident does not end".to_owned());
        self.seen.check(&self.yard.verdict, &self.handle.stats());
        self.seen.count(&self.yard.counts, &self.handle.stats());
    }
}

/// One publisher: its own topic, from which several ways lead to the audience.
struct Source<'a> {
    yard: &'a Yard,
    resident: &'a Resident,
    dice: Dice,
    id: usize,
    number: u64,
    own: Topic,
    detour: Topic,
    publisher: Publisher,
    _ways: [Forward; 3],
}

impl<'a> Source<'a> {
    fn new(yard: &'a Yard, id: usize, resident: &'a Resident) -> Self {
        let [own, detour] =
            ["source", "detour"].map(|name| yard.bus.topic(&format!("{name}:{id}")).expect("a topic"));
        let forward = |from: &Topic, to: &Topic| from.forward_to(to).expect("a forward");
        let ways = [forward(&own, &yard.all), forward(&own, &detour), forward(&detour, &yard.all)];
        let publisher = own.publisher();
        let dice = Dice::new(yard.options.seed, "publisher", id);
        Self { yard, resident, dice, id, number: 0, own, detour, publisher, _ways: ways }
    }

    fn run(mut self) {
        while self.yard.goes_on() {
            match self.dice.below(16) {
                0 => self.batch(),
                1 => self.another_way(),
                2 => self.sync(),
                3 | 4 => self.times(Self::awaited),
                5..8 => self.times(Self::kept),
                8 => self.times(Self::lazy),
                9 => self.times(Self::dated),
                10..12 => self.ways(),
                _ => self.times(Self::plain),
            }
            thread::sleep(BREATH);
        }
    }

    fn times(&mut self, publish: fn(&mut Self)) {
        for _ in 0..=self.dice.below(128) {
            self.begin(1);
            publish(self);
            self.end();
        }
    }

    /// Each message by another way than the one before it: what one of them has kept is looked at while others go on.
    fn ways(&mut self) {
        let ways: [fn(&mut Self); 5] = [Self::plain, Self::kept, Self::lazy, Self::awaited, Self::kept_lazy];
        for _ in 0..=self.dice.below(64) {
            match self.dice.index(ways.len() + 2) {
                way if way < ways.len() => {
                    self.begin(1);
                    ways[way](self);
                    self.end();
                }
                way => {
                    let many = 1 + self.dice.below(4);
                    self.several(many, way == ways.len());
                }
            }
        }
    }

    fn begin(&mut self, more: u64) {
        self.number += more;
        self.yard.begin(self.id, self.number);
    }

    fn end(&self) {
        self.yard.returned(self.id, self.number);
    }

    fn message(&self) -> stasis_bus::Message {
        self.yard.kind.message(self.yard.stamp(self.id, self.number))
    }

    fn plain(&mut self) {
        self.yard.expect_taken(&self.own.publish(self.message()));
    }

    fn lazy(&mut self) {
        let value = || self.yard.stamp(self.id, self.number);
        self.yard.expect_taken(&self.own.publish_with(&self.yard.kind, value));
    }

    /// A source with a clock of its own, which jumps.
    fn dated(&mut self) {
        let time = Timestamp::from_nanos(self.dice.roll());
        let value = self.yard.stamp(self.id, self.number);
        self.yard.count(Count::Jumps);
        self.yard.expect_taken(&self.own.publish(self.yard.kind.message_at(value, time)));
    }

    fn kept(&mut self) {
        let message = self.message();
        self.yard.expect_taken(&self.publisher.publish(message));
    }

    fn kept_lazy(&mut self) {
        let value = || self.yard.stamp(self.id, self.number);
        let report = self.publisher.publish_with(&self.yard.kind, value);
        self.yard.expect_taken(&report);
    }

    fn awaited(&mut self) {
        self.yard.expect_taken(&block_on(self.own.publish_async(self.message())));
    }

    fn batch(&mut self) {
        let (many, is_kept) = (1 + self.dice.below(200), self.dice.one_in(2));
        self.several(many, is_kept);
    }

    fn several(&mut self, many: u64, is_kept: bool) {
        let first = self.number + 1;
        self.begin(many);
        let stamps = first..first + many;
        let messages =
            stamps.map(|number| self.yard.kind.message(self.yard.stamp(self.id, number))).collect();
        let report = match is_kept {
            true => self.publisher.publish_batch(messages),
            false => self.own.publish_batch(messages),
        };
        self.yard.verdict.equal(report.messages, many, Kind::Lost, "messages of a batch");
        self.end();
    }

    /// When it returns, the resident has handled it.
    fn sync(&mut self) {
        self.begin(1);
        let handled = self.resident.handle.publish_sync(self.message(), Some(SYNC_PATIENCE));
        self.end();
        self.yard.verdict.equal(handled, Ok(Handled::Yes), Kind::Hung, "publish_sync");
        let last = self.resident.seen.last_of(self.id);
        self.yard.verdict.equal(last, self.number, Kind::Stale, "handled when publish_sync returned");
        self.yard.count(Count::Synced);
    }

    /// Another way comes and goes.
    fn another_way(&mut self) {
        let target = self.dice.pick(&[&self.yard.all, &self.detour, &self.own]);
        drop(self.own.forward_to(target).expect("a forward"));
        self.yard.count(Count::Forwards);
    }
}
