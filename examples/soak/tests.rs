//! That the soak can fail: what must be complained of is complained of.

use crate::caches::{Store, Writer};
use crate::dice::Dice;
use crate::followers::Known;
use crate::health::{Sample, trend_of};
use crate::options::{Command, Options, parse};
use crate::seen::Seen;
use crate::temper::Temper;
use crate::tenants::Turns;
use crate::terms::{Form, Policy, Terms};
use crate::verdict::{Kind, Verdict, last_lines};
use crate::watchdog::Patience;
use crate::yard::Yard;
use stasis_bus::{Bus, Cache, Crossing, Dispatch, EndReason, Message, MessageType, SubscriptionStats};
use std::sync::Arc;
use std::time::Duration;

fn kinds(verdict: &Verdict) -> Vec<Kind> {
    verdict.all().into_iter().map(|wrong| wrong.kind).collect()
}

fn terms(policy: Policy) -> Terms {
    let (mode, form, temper) = (Dispatch::Pool, Form::Each, Temper::Calm);
    Terms { mode, policy, capacity: 4, form, temper, is_fragile: false, stay: 10 }
}

/// Deliveries of publisher 0: each with its number, and with how many were missed before it.
fn complaints(policy: Policy, deliveries: &[(u64, u64)]) -> Vec<Kind> {
    let (seen, verdict) = (Seen::new(terms(policy)), Verdict::default());
    for &(number, missed) in deliveries {
        seen.delivery(&verdict, missed);
        seen.stamp(&verdict, 0, number);
    }
    kinds(&verdict)
}

#[test]
fn what_is_lost_is_found() {
    assert_eq!(complaints(Policy::DropOldest, &[(1, 0), (4, 2), (5, 0)]), []);
    assert_eq!(complaints(Policy::DropOldest, &[(1, 0), (4, 1)]), [Kind::Lost]);
    assert_eq!(complaints(Policy::Block, &[(1, 0), (4, 2)]), [Kind::Lost], "it may lose nothing");
}

#[test]
fn what_comes_twice_or_late_is_found() {
    assert_eq!(complaints(Policy::Grow, &[(1, 0), (1, 0)]), [Kind::Duplicated]);
    assert_eq!(complaints(Policy::Grow, &[(1, 0), (2, 0), (1, 0)]), [Kind::Reordered]);
}

fn stats(change: impl FnOnce(&mut SubscriptionStats)) -> SubscriptionStats {
    let bus = Bus::builder().manual().build().unwrap();
    let idle = bus.topic("idle").unwrap().subscription("idle").stream().unwrap();
    let mut stats = idle.stats();
    stats.accepted = 0;
    change(&mut stats);
    stats
}

/// One that heard 1 to 3, and was there for what `ended` says.
fn checked(ended: u64, finals: usize, change: impl FnOnce(&mut SubscriptionStats)) -> Vec<Kind> {
    let (seen, verdict) = (Seen::new(terms(Policy::DropNewest)), Verdict::default());
    seen.stands([0; 4]);
    for number in 1..=3 {
        seen.delivery(&verdict, 0);
        seen.stamp(&verdict, 0, number);
    }
    seen.ends(|| [ended, 0, 0, 0]);
    (0..finals).for_each(|_| seen.end(&verdict, 0, EndReason::Unsubscribed));
    seen.check(&verdict, &stats(change));
    kinds(&verdict)
}

#[test]
fn what_is_not_accounted_for_is_found() {
    assert_eq!(checked(3, 1, |stats| stats.accepted = 3), []);
    assert_eq!(checked(3, 1, |stats| stats.accepted = 4), [Kind::Lost], "one was accepted and never came");
    assert_eq!(checked(4, 1, |stats| stats.accepted = 3), [Kind::Lost], "one had returned and never came");
    let missed =
        |stats: &mut SubscriptionStats| (stats.accepted, stats.missed, stats.lost.refused) = (3, 1, 1);
    assert_eq!(checked(3, 1, missed), [Kind::Lost], "one was missed and never told of");
}

#[test]
fn an_end_that_is_no_end_is_found() {
    assert_eq!(checked(3, 0, |stats| stats.accepted = 3), [Kind::Ending]);
    assert_eq!(checked(3, 2, |stats| stats.accepted = 3), [Kind::Ending]);
}

#[test]
fn echoes_out_of_order_are_found() {
    let (seen, verdict) = (Seen::new(terms(Policy::Grow)), Verdict::default());
    [1, 2, 4].into_iter().for_each(|number| seen.echo(&verdict, number));
    assert_eq!(kinds(&verdict), []);
    seen.echo(&verdict, 3);
    assert_eq!(kinds(&verdict), [Kind::Reordered]);
}

/// A cache, and the updates of what was said of one object: it came to be, changed, was cleared.
fn updates() -> (Bus, MessageType<u8>, Vec<Message>) {
    let bus = Bus::builder().manual().build().unwrap();
    let (kind, topic) = (bus.message_type("state").unwrap(), bus.topic("states").unwrap());
    let cache = Cache::builder(&bus).id_of(&kind, |_: &u8| "one").build().unwrap();
    let _caching = topic.caching(&cache).unwrap();
    let mut told = cache.updates().subscription("told").accept(bus.cache_updates()).stream().unwrap();
    topic.publish(kind.message(1));
    topic.publish(kind.message(2));
    cache.clear(&kind, "one");
    let told = std::iter::from_fn(|| told.try_recv().ok());
    let updates: Vec<_> = told.map(|received| received.message().clone()).collect();
    assert_eq!(updates.len(), 3);
    (bus, kind, updates)
}

/// What is said of a follower that hears these, of a whole cache or of a part.
fn followed(is_whole: bool, heard: &[usize]) -> Vec<Kind> {
    let ((bus, _, updates), verdict) = (updates(), Verdict::default());
    let mut known = Known::default();
    for at in heard {
        known.link(&verdict, bus.cache_updates().read(&updates[*at]).unwrap(), is_whole);
    }
    kinds(&verdict)
}

#[test]
fn a_broken_chain_is_found() {
    assert_eq!(followed(true, &[0, 1, 2]), []);
    assert_eq!(followed(true, &[0, 2]), [Kind::Chain], "one is missing");
    assert_eq!(followed(true, &[0, 2, 1]), [Kind::Chain, Kind::Chain], "in another order");
    assert_eq!(followed(true, &[0, 1, 1]), [Kind::Chain], "twice");
    assert_eq!(followed(false, &[0, 2]), [], "the one between may have come another way");
    assert_eq!(followed(false, &[0, 1, 1]), [Kind::Duplicated]);
}

/// What is said of a follower of that part that heard these, while these stand; all of them came by the first topic.
fn compared(part: Option<usize>, heard: &[usize], stands: Option<usize>) -> Vec<Kind> {
    let ((bus, _, updates), verdict) = (updates(), Verdict::default());
    let update = |at: usize| bus.cache_updates().read(&updates[at]).unwrap();
    let mut known = Known::default();
    heard.iter().for_each(|at| known.link(&verdict, update(*at), false));
    let stands = stands.and_then(|at| update(at).new.clone());
    let stands = stands.map(|state| ((state.type_id(), "one".to_owned(), state.origin()), state));
    known.compare(&verdict, &stands.into_iter().collect(), |_| Some(0), part);
    kinds(&verdict)
}

#[test]
fn a_follower_that_knows_something_else_is_found() {
    for part in [None, Some(0)] {
        assert_eq!(compared(part, &[0, 1], Some(1)), []);
        assert_eq!(compared(part, &[0], Some(1)), [Kind::Stale], "an older one");
        assert_eq!(compared(part, &[], Some(1)), [Kind::Stale], "nothing");
        assert_eq!(compared(part, &[0, 1, 2], Some(1)), [Kind::Stale], "that it has gone");
    }
    assert_eq!(compared(None, &[0, 1], None), [Kind::Stale], "what has gone");
    assert_eq!(compared(Some(0), &[0, 1], None), [], "it may have gone by the other topic");
    assert_eq!(compared(Some(1), &[], Some(1)), [], "what came by the other topic");
    assert_eq!(compared(Some(1), &[0], None), [Kind::Stale], "what came by the other topic");
}

#[test]
fn a_read_that_is_old_is_found() {
    let options = Options { time: Duration::from_secs(1), seed: 1 };
    let yard = Arc::new(Yard::new(options).unwrap());
    let store = Store::new(&yard).unwrap();
    let mut writer = Writer::new(&yard, &store, 0);
    writer.write("one");
    writer.expect("one", Some(0));
    assert_eq!(kinds(&yard.verdict), []);
    store.cache.clear(&store.kind, "one");
    writer.expect("one", Some(0));
    assert_eq!(kinds(&yard.verdict), [Kind::Stale]);
}

#[test]
fn marks_out_of_turn_are_found() {
    let marks = |passed: &[(u64, Crossing)]| {
        let (mut turns, verdict) = (Turns::default(), Verdict::default());
        passed.iter().for_each(|(number, crossing)| turns.next(&verdict, *number, *crossing));
        kinds(&verdict)
    };
    assert_eq!(marks(&[(1, Crossing::High), (2, Crossing::Low), (3, Crossing::High)]), []);
    assert_eq!(marks(&[(1, Crossing::High), (2, Crossing::High)]), [Kind::Other]);
    assert_eq!(marks(&[(1, Crossing::High), (3, Crossing::Low)]), [Kind::Other], "one was left out");
}

#[test]
fn who_gets_nowhere_is_found() {
    let mut patience = Patience::default();
    let mut looks = |published| (0..1_500).any(|_| patience.is_over(published));
    assert!(!looks(1), "not yet");
    assert!(!looks(2), "it has gone on");
    assert!(looks(2));
}

/// A run of 25 seconds, with what was allocated, and the threads, at each look.
fn judged(heap: fn(u64) -> u64, threads: fn(u64) -> u64) -> Vec<Kind> {
    let sample = |at| Sample { memory_kib: 50_000, heap_kib: heap(at), threads: threads(at), files: 9 };
    let verdict = Verdict::default();
    trend_of((0..100).map(sample).collect()).judge_growth(&verdict);
    kinds(&verdict)
}

#[test]
fn what_grows_is_found() {
    assert_eq!(judged(|at| 20_000 + at % 7 * 1_000, |_| 40), []);
    assert_eq!(judged(|at| 20_000 + at * 300, |_| 40), [Kind::Leaked]);
    assert_eq!(judged(|_| 20_000, |at| 40 + at), [Kind::Leaked]);
}

#[test]
fn what_is_left_without_actors_is_found() {
    let left = |kib: u64| {
        let (mut trend, verdict) = (trend_of(Vec::new()), Verdict::default());
        trend.idle = (2_000, 2_000 + kib);
        trend.judge_what_is_left(&verdict);
        kinds(&verdict)
    };
    assert_eq!(left(100), []);
    assert_eq!(left(10_000), [Kind::Leaked]);
}

#[test]
fn what_was_wrong_is_told_last() {
    let verdict = Verdict::default();
    (0..30).for_each(|at| verdict.complain(Kind::Lost, format_args!("number {at}")));
    let text = last_lines(&verdict.all(), "FAILED");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("WRONG Lost after 0.") && lines[0].ends_with(" s: number 0"), "{text}");
    assert_eq!(lines[20..], ["WRONG and 10 more", "FAILED"]);
    assert_eq!(last_lines(&[], "good"), "good\n");
}

#[test]
fn a_seed_repeats_every_choice_and_actors_differ() {
    let rolls = |seed, role, place| {
        let mut dice = Dice::new(seed, role, place);
        [(); 8].map(|()| format!("{:?}", Terms::draw(&mut dice)))
    };
    assert_eq!(rolls(7, "tenant", 3), rolls(7, "tenant", 3));
    for other in [rolls(8, "tenant", 3), rolls(7, "tenant", 4), rolls(7, "writer", 3)] {
        assert_ne!(rolls(7, "tenant", 3), other);
    }
}

#[test]
fn arguments_are_understood_or_refused_with_what_is_allowed() {
    let parsed = |line: &str| parse(line.split_whitespace().map(str::to_owned));
    let run = |seconds, seed| Ok(Command::Run(Options { time: Duration::from_secs(seconds), seed }));
    assert_eq!(parsed(""), run(60, 1));
    assert_eq!(parsed("--minutes 10 --seed 7"), run(600, 7));
    assert_eq!(parsed("--seed 0 --seconds 3"), run(3, 0));
    assert_eq!(parsed("--help"), Ok(Command::Help));
    for (line, why) in [
        ("--minutes", "needs a number"),
        ("--minutes 0", "--minutes is \"0\"; allowed is 1 to 10080"),
        ("--seconds 604801", "allowed is 1 to 604800"),
        ("--seconds 1 --minutes 1", "--minutes says again"),
        ("--seed x", "--seed is \"x\""),
        ("10", "\"10\" is not known"),
    ] {
        let error = parsed(line).expect_err(line);
        assert!(error.contains(why), "{line}: {error}");
    }
}
