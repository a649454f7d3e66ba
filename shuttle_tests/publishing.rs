//! Every way to publish at once: each thread goes from one to the next, so that what one of them keeps is looked at while others
//! have gone on.

use super::seen::{Listener, Publisher, Stage, Told, block_on, spawn};
use super::{Witness, explore};
use crate::{BatchReport, Dispatch, Grow, Message, Overflow, Topic};
use std::sync::Arc;

const MODES: [Dispatch; 5] =
    [Dispatch::Inline, Dispatch::Serial, Dispatch::Pool, Dispatch::Dedicated, Dispatch::Stream];
/// Messages of a batch.
const BATCH: usize = 2;

pub(super) fn told_of(report: &BatchReport) -> Told {
    let BatchReport { accepted, dropped, closed, unreached, refusal, .. } = *report;
    let [accepted, dropped, closed, alone] = [accepted, dropped, closed, unreached].map(|count| count as u32);
    Told { accepted, dropped, closed, alone, refused: refusal.map_or(0, |_| BATCH as u32) }
}

/// Publishes by every way in turn, beginning with the `first` one: each time what it is called with.
struct Ways {
    topic: Topic,
    kept: crate::Publisher,
    next: usize,
}

impl Ways {
    fn new(topic: &Topic, first: usize) -> Self {
        Self { topic: topic.clone(), kept: topic.publisher(), next: first }
    }

    /// By one that takes several as well, or one by one.
    fn publish(&mut self, messages: Vec<Message>) -> Told {
        self.next += 1;
        let (topic, kept) = (&self.topic, &mut self.kept);
        match self.next % 5 {
            0 => told_of(&topic.publish_batch(messages)),
            1 => told_of(&kept.publish_batch(messages)),
            2 => Self::each(messages, |message| Told::by(&topic.publish(message))),
            3 => Self::each(messages, |message| Told::by(&kept.publish(message))),
            _ => Self::each(messages, |message| Told::by(&block_on(topic.publish_async(message)))),
        }
    }

    fn each(messages: Vec<Message>, publish: impl FnMut(Message) -> Told) -> Told {
        Told::sum(messages.into_iter().map(publish))
    }
}

/// So many batches, by all ways in turn.
fn mixed(stage: &Stage, by: usize, batches: usize, topic: &Topic) -> Publisher {
    let (maker, topic) = (stage.maker(), topic.clone());
    Publisher::new(move |told| {
        let mut ways = Ways::new(&topic, by);
        for batch in 0..batches {
            let items = (0..BATCH).map(|at| maker.item(by, BATCH * batch + at)).collect();
            let report = ways.publish(items);
            told.lock().unwrap().push(report);
        }
    })
}

/// Who is there all the time has everything, in order; who passes has a part without a gap, whatever each message was published
/// by; and the topic has counted each.
#[test]
fn ways_to_publish_are_in_one_order() {
    explore(|| {
        let stage = Stage::new(1, 2);
        let (from, to) = (stage.topic("from"), stage.topic("to"));
        let _forward = from.forward_to(&to).unwrap();
        let stay: Vec<_> = MODES.into_iter().map(|mode| stage.listen(&to, mode)).collect();
        let publishers = [0, 1].map(|by| mixed(&stage, by, 5, &from));
        let passing = [(&to, Dispatch::Pool), (&from, Dispatch::Inline), (&to, Dispatch::Stream)]
            .map(|(of, mode)| stage.listen(of, mode).end());
        passing.iter().for_each(|seen| seen.check_no_gaps(2));
        let told = Told::of_all(publishers);
        let came: usize = passing.iter().map(|seen| seen.names().len()).sum();
        assert_eq!((told.accepted as usize, told.dropped, told.refused), (5 * 5 * 2 * BATCH + came, 0, 0));
        // With the begin and the end of who passes `from`, which the bus tells.
        assert_eq!((from.stats().published, to.stats().arrived), (20, 22), "published, and forwarded");
        stage.finish(stay).iter().for_each(|seen| seen.check_all(2, 5 * BATCH));
    });
}

/// Who comes and goes between the messages of one thread that goes from one way to the other has all in between. Few threads and
/// steps: what one way knows and the other does not, stands for one step.
#[test]
fn nothing_is_missed_in_between() {
    static HEARD: Witness = Witness::new();
    explore(|| {
        const MESSAGES: usize = 6;
        let stage = Stage::new(1, 1);
        let topic = stage.topic("topic");
        let (maker, from, mut kept) = (stage.maker(), topic.clone(), topic.publisher());
        let publishing = spawn(move || {
            for number in 0..MESSAGES {
                let message = maker.item(0, number);
                let report = if number % 2 == 0 { from.publish(message) } else { kept.publish(message) };
                assert_eq!((report.dropped, report.refusal), (0, None));
            }
        });
        for mode in [Dispatch::Inline, Dispatch::Serial] {
            let passed = stage.listen(&topic, mode).end();
            passed.check_no_gaps(1);
            if (1..MESSAGES).contains(&passed.names().len()) {
                HEARD.see();
            }
        }
        publishing.join();
        stage.finish(Vec::new());
    });
    assert!(HEARD.was_seen());
}

/// What a publisher keeps is not used any more when a change has returned: a forward, and a subscription, come and go.
#[test]
fn what_is_kept_is_current() {
    explore(|| {
        let stage = Stage::new(1, 2);
        let (from, by, to) = (stage.topic("from"), stage.topic("by"), stage.topic("to"));
        let _stays = from.forward_to(&to).unwrap();
        let (stays, passes) = (stage.listen(&to, Dispatch::Pool), stage.listen(&by, Dispatch::Serial));
        let publishers = [0, 1].map(|one| mixed(&stage, one, 3, &from));
        let (maker, target, source) = (stage.maker(), by.clone(), from.clone());
        let changer = spawn(move || {
            let mut kept = source.publisher();
            for round in 0..2 {
                let forward = source.forward_to(&target).unwrap();
                assert_eq!(kept.publish(maker.item(2, 2 * round)).accepted, 2, "a forward is not seen");
                forward.cancel();
                assert_eq!(kept.publish(maker.item(2, 2 * round + 1)).accepted, 1, "an old forward is used");
            }
        });
        let told = Told::of_all(publishers);
        changer.join();
        let seen = stage.finish(vec![stays, passes]);
        (0..2).for_each(|by| assert_eq!(seen[0].numbers_of(by), (0..3 * BATCH).collect::<Vec<_>>()));
        assert_eq!((seen[0].numbers_of(2), seen[1].numbers_of(2)), (vec![0, 1, 2, 3], vec![0, 2]));
        seen[1].check_order(2);
        let came: usize = seen.iter().map(|seen| seen.names().len()).sum();
        assert_eq!(told.accepted as usize, came - 6);
    });
}

/// Three publish batches to mailboxes for three, each with another policy: what does not come is told.
#[test]
fn batches_meet_full_mailboxes() {
    const PUBLISHERS: usize = 3;
    const BATCHES: usize = 2;
    const ALL: u64 = (PUBLISHERS * BATCHES * BATCH) as u64;
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let listen = |mode: Dispatch, overflow: Overflow| {
            let builder = topic.subscription(mode.name()).accept(&stage.kind).capacity(3);
            stage.listen_as(builder.overflow(overflow), mode, |_| {})
        };
        let listeners: Vec<Listener> = vec![
            listen(Dispatch::Pool, Overflow::DropNewest),
            listen(Dispatch::Dedicated, Overflow::Grow(Grow::limit(1))),
            listen(Dispatch::Stream, Overflow::DropOldest),
            listen(Dispatch::Serial, Overflow::block_forever()),
        ];
        let handles: Vec<Arc<_>> = listeners.iter().map(|listener| listener.subscription.clone()).collect();
        let told = Told::of_all(
            (0..PUBLISHERS)
                .map(|by| {
                    // Batches alone, of either kind.
                    let (maker, topic) = (stage.maker(), topic.clone());
                    Publisher::new(move |told| {
                        let mut kept = topic.publisher();
                        for batch in 0..BATCHES {
                            let items = (0..BATCH).map(|at| maker.item(by, BATCH * batch + at)).collect();
                            let report = if batch % 2 == 0 {
                                kept.publish_batch(items)
                            } else {
                                topic.publish_batch(items)
                            };
                            told.lock().unwrap().push(told_of(&report));
                        }
                    })
                })
                .collect::<Vec<_>>(),
        );
        let seen = stage.finish(listeners);
        for (seen, handle) in seen.iter().zip(&handles) {
            seen.check_order(PUBLISHERS);
            assert_eq!(seen.names().len() as u64 + seen.missed(), ALL, "{:?}", handle.stats().lost);
        }
        assert_eq!(seen[3].missed(), 0, "who waits loses nothing");
        let lost = handles.iter().map(|handle| handle.stats().lost);
        assert_eq!(u64::from(told.dropped), lost.map(|lost| lost.refused).sum());
        assert_eq!(u64::from(told.accepted + told.dropped), 4 * ALL);
    });
}
