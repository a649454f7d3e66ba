//! Topics whose lists are of mailboxes alone that take everything, published on often: a message is handed out straight, from the
//! list on which its thread stands, while others come and go on that list.

use super::publishing::told_of;
use super::seen::{LONG, Listener, Publisher, Stage, Told, block_on, check_told, spawn};
use super::{Witness, explore};
use crate::sync::thread;
use crate::topic::TopicCore;
use crate::topic::subscribers::Subscribers;
use crate::{Dispatch, EndReason, Filter, Formatters, Topic};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// Takes everything. It has room for so many that it is full now and then.
fn open(stage: &Stage, topic: &Topic, mode: Dispatch) -> Listener {
    stage.listen_as(topic.subscription(mode.name()).capacity(8), mode, |_| {})
}

/// Publishes so many, four of six by a `Topic` and the others by all other ways in turn: each way meets what the others have left.
fn publisher(stage: &Stage, by: usize, count: usize, topic: &Topic) -> Publisher {
    let (maker, topic) = (stage.maker(), topic.clone());
    Publisher::new(move |told| {
        let (mut kept, mut number) = (topic.publisher(), 0);
        let mut next = || {
            number += 1;
            maker.item(by, number - 1)
        };
        for at in 0..count / 6 {
            for _ in 0..4 {
                told.lock().unwrap().push(Told::by(&topic.publish(next())));
            }
            let report = match (at + by) % 4 {
                0 => told_of(&topic.publish_batch(vec![next(), next()])),
                1 => Told::sum([kept.publish(next()), kept.publish(next())].iter().map(Told::by)),
                2 => Told::sum([(); 2].map(|()| Told::by(&block_on(topic.publish_async(next()))))),
                _ => told_of(&kept.publish_batch(vec![next(), next()])),
            };
            told.lock().unwrap().push(report);
        }
    })
}

/// Lists that topics had: they have to go when nobody stands on them, and not only with the bus.
#[derive(Default)]
struct Former(Vec<Weak<Subscribers>>);

impl Former {
    /// The list that is there now.
    fn note(&mut self, topic: &Topic) {
        self.0.push(Arc::downgrade(&*topic.core().subscribers.load()));
    }

    fn check_gone(self) {
        assert!(self.0.iter().all(|list| list.upgrade().is_none()), "a list is left that was replaced");
    }
}

/// Who is there all the time has everything, who passes has a part without a gap; figures are exact, and each list that was
/// replaced goes, whoever stood on it.
#[test]
fn lists_go_while_threads_stand_on_them() {
    static HEARD: Witness = Witness::new();
    explore(|| {
        const EACH: usize = 6;
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let mut former = Former::default();
        let stay: Vec<_> = [Dispatch::Pool, Dispatch::Stream].map(|mode| open(&stage, &topic, mode)).into();
        let publishers = [0, 1].map(|by| publisher(&stage, by, EACH, &topic));
        let mut came = 0;
        for mode in [Dispatch::Pool, Dispatch::Serial, Dispatch::Dedicated, Dispatch::Stream] {
            former.note(&topic);
            let passing = open(&stage, &topic, mode);
            former.note(&topic);
            let seen = passing.end();
            seen.check_no_gaps(2);
            came += seen.names().len();
            if (1..2 * EACH).contains(&seen.names().len()) {
                HEARD.see();
            }
        }
        let told = Told::of_all(publishers);
        assert_eq!((told.accepted as usize, told.dropped, told.refused), (4 * EACH + came, 0, 0));
        assert_eq!(topic.stats().published as usize, 2 * EACH);
        former.check_gone();
        stage.finish(stay).iter().for_each(|seen| seen.check_all(2, EACH));
    });
    assert!(HEARD.was_seen());
}

/// One thread goes from a stand to a kept list and back: who comes and goes in between has a part without a gap. Few threads and
/// steps: what one way knows and the other does not, stands for one step.
#[test]
fn stands_and_kept_lists_change_at_one_moment() {
    static HEARD: Witness = Witness::new();
    explore(|| {
        const MESSAGES: usize = 12;
        let stage = Stage::new(1, 1);
        let topic = stage.topic("topic");
        // Nobody reads it: no thread of its own.
        let stays = topic.subscription("stays").stream().unwrap();
        topic.core().heat();
        let (maker, from, mut kept) = (stage.maker(), topic.clone(), topic.publisher());
        let publishing = spawn(move || {
            from.core().heat();
            for number in 0..MESSAGES {
                let message = maker.item(0, number);
                let report = if number % 2 == 0 { kept.publish(message) } else { from.publish(message) };
                assert_eq!((report.dropped, report.refusal), (0, None));
            }
        });
        for _ in 0..3 {
            let passed = open(&stage, &topic, Dispatch::Serial).end();
            passed.check_no_gaps(1);
            if (1..MESSAGES).contains(&passed.names().len()) {
                HEARD.see();
            }
        }
        publishing.join();
        drop(stays);
        stage.finish(Vec::new());
    });
    assert!(HEARD.was_seen());
}

/// Whatever changes is seen by the next publish of whoever made it, beside another thread that stands: a subscription, an inline
/// one and a forward, with which the list is not straight any more, and a filter.
#[test]
fn changes_are_seen_by_the_next_publish() {
    explore(|| {
        let stage = Stage::new(1, 2);
        let (topic, elsewhere) = (stage.topic("topic"), stage.topic("elsewhere"));
        let stays = open(&stage, &topic, Dispatch::Pool);
        let far = open(&stage, &elsewhere, Dispatch::Pool);
        let other = publisher(&stage, 0, 6, &topic);
        let (maker, mut number) = (stage.maker(), 0);
        let mut two = |due: u32| {
            for _ in 0..2 {
                assert_eq!(topic.publish(maker.item(1, number)).accepted, due, "message {number}");
                number += 1;
            }
        };
        two(1);
        let comes = open(&stage, &topic, Dispatch::Pool);
        two(2);
        let forward = topic.forward_to(&elsewhere).unwrap();
        two(3);
        forward.cancel();
        two(2);
        comes.subscription.set_filter(&Filter::all().accept(stage.bus.subscription_changes())).unwrap();
        two(1);
        let inline = stage.listen(&topic, Dispatch::Inline);
        two(2);
        let inline = inline.end();
        comes.subscription.set_filter(&Filter::all()).unwrap();
        two(2);
        let comes = comes.end();
        two(1);
        assert_eq!(Told::of_all([other]).refused, 0);
        assert_eq!(comes.numbers_of(1), [2, 3, 4, 5, 6, 7, 12, 13]);
        assert_eq!(inline.numbers_of(1), [10, 11]);
        let seen = stage.finish(vec![stays, far]);
        assert_eq!((seen[0].numbers_of(0), seen[0].numbers_of(1)), ((0..6).collect(), (0..16).collect()));
        assert_eq!(seen[1].numbers_of(1), [4, 5]);
    });
}

/// A handler that runs inside a publish changes the list that its own thread stands on, and publishes there.
#[test]
fn handlers_change_the_list_they_run_under() {
    explore(|| {
        const EACH: usize = 6;
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let stays = open(&stage, &topic, Dispatch::Pool);
        let (inner, maker) = (topic.clone(), stage.maker());
        let heard = Arc::new(AtomicUsize::new(0));
        let counted = heard.clone();
        let serial = topic.subscription("serial");
        let serial = stage.listen_as(serial, Dispatch::Serial, move |(by, number)| {
            if by < 2 && number % 2 == 1 {
                let (counted, kind) = (counted.clone(), maker.kind.clone());
                let passing = inner.subscription("passing").start(move |delivery| {
                    let name = delivery.read(&kind).map(|item| item.name);
                    counted.fetch_add(usize::from(name == Some((by + 2, number))), SeqCst);
                });
                assert_eq!(inner.publish(maker.item(by + 2, number)).accepted, 3, "it stands already");
                passing.unwrap().unsubscribe();
                assert_eq!(inner.publish(maker.item(by + 4, number)).accepted, 2, "it has gone");
            }
        });
        let mut former = Former::default();
        former.note(&topic);
        let publishers = [0, 1].map(|by| publisher(&stage, by, EACH, &topic));
        Told::of_all(publishers);
        // What the last publish has left to another thread is handled when the serial one has ended.
        let serial = serial.end();
        former.check_gone();
        let mut seen = stage.finish(vec![stays]);
        assert_eq!(heard.load(SeqCst), 2 * (EACH / 2));
        seen.push(serial);
        for seen in seen {
            for by in 0..6 {
                let due = (0..EACH).filter(|number| by < 2 || number % 2 == 1);
                assert!(seen.numbers_of(by).into_iter().eq(due), "of {by}: {:?}", seen.numbers_of(by));
            }
        }
    });
}

/// Threads that publish on two buses in turn have one stand: a list of neither is kept or let go wrongly.
#[test]
fn threads_go_from_bus_to_bus() {
    explore(|| {
        const EACH: usize = 6;
        let stages = [Stage::new(1, 1), Stage::new(1, 1)];
        let topics = stages.each_ref().map(|stage| stage.topic("topic"));
        let stay = [0, 1].map(|at| open(&stages[at], &topics[at], Dispatch::Pool));
        let publishing = [0, 1].map(|by| {
            let (topics, makers) = (topics.clone(), stages.each_ref().map(Stage::maker));
            spawn(move || {
                for number in 0..2 * EACH {
                    let at = number / 3 % 2;
                    let number = number / 6 * 3 + number % 3;
                    assert!(topics[at].publish(makers[at].item(by, number)).accepted > 0);
                }
            })
        });
        let mut former = Former::default();
        for (stage, topic) in stages.iter().zip(&topics) {
            former.note(topic);
            let passing = open(stage, topic, Dispatch::Stream);
            former.note(topic);
            passing.end().check_no_gaps(2);
        }
        publishing.into_iter().for_each(|thread| thread.join());
        former.check_gone();
        for (stage, stays) in stages.into_iter().zip(stay) {
            stage.finish(vec![stays])[0].check_all(2, EACH);
        }
    });
}

/// A topic that comes and goes, by several threads at once, each with a subscription: nothing of it stays, and whoever listens has
/// all that its own thread has published meanwhile.
#[test]
fn topics_come_and_go() {
    explore(|| {
        const EACH: usize = 5;
        let stage = Arc::new(Stage::new(1, 2));
        let topics: Arc<Mutex<Vec<Weak<TopicCore>>>> = Arc::default();
        let threads = [0, 1].map(|by| {
            let (stage, topics) = (stage.clone(), topics.clone());
            spawn(move || {
                for round in 0..2 {
                    let topic = stage.topic("passing");
                    topics.lock().unwrap().push(Arc::downgrade(topic.core()));
                    let passing = open(&stage, &topic, Dispatch::Pool);
                    for number in 0..EACH {
                        let report = topic.publish(stage.maker().item(by, EACH * round + number));
                        assert!((1..=2).contains(&report.accepted), "{report:?}");
                    }
                    let seen = passing.end();
                    assert!(seen.numbers_of(by).into_iter().eq(EACH * round..EACH * (round + 1)));
                    seen.check_no_gaps(2);
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join());
        // A worker may have a mailbox a moment longer than its end takes.
        while topics.lock().unwrap().iter().any(|topic| topic.upgrade().is_some()) {
            thread::sleep(Duration::from_millis(1));
        }
        Arc::into_inner(stage).expect("the threads have ended").finish(Vec::new());
    });
}

/// The end of the bus, while threads stand.
#[test]
fn shutdown_while_threads_stand() {
    static REFUSED: Witness = Witness::new();
    static DELIVERED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        // Those that are run elsewhere: to them everything goes straight.
        let listeners = [Dispatch::Pool, Dispatch::Stream].map(|mode| open(&stage, &topic, mode));
        let publishers = [0, 1].map(|by| stage.publisher(by, 5, &topic));
        // Goes or stays, and the list with it.
        let goes = listeners[0].subscription.clone();
        let ending = spawn(move || goes.unsubscribe());
        assert!(stage.bus.shutdown(LONG).unwrap().is_clean());
        let each: Vec<_> = publishers.into_iter().map(Publisher::join_each).collect();
        ending.join();
        let seen = stage.finish(listeners.into());
        seen.iter().for_each(|seen| seen.check_begins(2));
        check_told(&seen, &each);
        assert!(seen[1..].iter().all(|seen| seen.end_reason() == Some(EndReason::ShutDown)));
        let told = Told::sum(each.into_iter().flatten());
        if told.refused > 0 {
            REFUSED.see();
        }
        if told.accepted > 0 {
            DELIVERED.see();
        }
    });
    assert!(REFUSED.was_seen() && DELIVERED.was_seen());
}

/// A router that takes everything is the only one on its topic, and at times it does not: what its filter lets through comes to one
/// of its routes, and nothing else does.
#[test]
fn router_takes_everything_at_times() {
    static WANTED: Witness = Witness::new();
    static UNWANTED: Witness = Witness::new();
    explore(|| {
        let stage = Stage::new(1, 2);
        let topic = stage.topic("topic");
        let calls = Arc::new(AtomicUsize::new(0));
        let rest = || {
            let counted = calls.clone();
            let kind = stage.kind.clone();
            move |delivery: &crate::Delivery<'_>| {
                counted.fetch_add(usize::from(delivery.read(&kind).is_some()), SeqCst);
            }
        };
        let router = topic.router("router").route_default(rest()).start().unwrap();
        let publishers = [0, 1].map(|by| publisher(&stage, by, 6, &topic));
        for _ in 0..2 {
            router.set_formatters(Formatters::AMI, rest()).unwrap();
            router.set_default(rest()).unwrap();
        }
        let told = Told::of_all(publishers);
        assert_eq!((told.accepted + told.alone, told.refused), (12, 0));
        router.unsubscribe();
        router.join().unwrap();
        assert_eq!(calls.load(SeqCst) as u64 + router.stats().unrouted, u64::from(told.accepted));
        if told.accepted > 0 {
            WANTED.see();
        }
        if told.alone > 0 {
            UNWANTED.see();
        }
        drop(router);
        stage.finish(Vec::new());
    });
    assert!(WANTED.was_seen() && UNWANTED.was_seen());
}
