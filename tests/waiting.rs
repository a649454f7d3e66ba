//! What a thread that waits for a subscription does meanwhile: nothing. How threads of the bus wait for work.

mod common;

use common::{Gate, Log, end, eventually, numbers, watched};
use stasis_bus::{Bus, Delivery, Dispatch, Handled, Overflow, SubscriptionBuilder, Topic, Wait};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn g10_a_waiting_thread_runs_no_pool_handler() {
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let number = bus.message_type::<u32>("number").unwrap();
    let topic = bus.topic("numbers").unwrap();
    // Its only worker is in a handler when the other subscription's message comes: that one stands in the run queue.
    let (go_on, wait) = mpsc::channel::<()>();
    let (inside, entered) = mpsc::channel();
    let stuck = topic.subscription("stuck").accept(&number).start(move |delivery| {
        if !delivery.is_final() {
            inside.send(()).unwrap();
            wait.recv().unwrap();
        }
    });
    let stuck = stuck.unwrap();
    topic.publish(number.message(1));
    entered.recv().unwrap();

    let other = bus.topic("other").unwrap();
    let (tell, ran_on) = mpsc::channel();
    let target = other.subscription("target").accept(&number).dispatch(Dispatch::Pool).start(move |_| {
        let _ = tell.send(thread::current().id());
    });
    let target = target.unwrap();
    let handled = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let handled = target.publish_sync(number.message(2), None).unwrap();
            (thread::current().id(), handled)
        });
        while target.stats().accepted == 0 {
            thread::yield_now();
        }
        // It either waits for the worker now, or (wrongly) runs the handler itself; let it.
        let early = ran_on.recv_timeout(std::time::Duration::from_millis(100));
        go_on.send(()).unwrap();
        let (waiter, handled) = waiting.join().unwrap();
        let runner = early.or_else(|_| ran_on.recv()).unwrap();
        assert_ne!(runner, waiter, "the handler ran on the stack of the thread that waits");
        handled
    });
    assert_eq!(handled, Handled::Yes);
    drop(stuck);
}

// ---- wait strategies of dedicated threads ------------------------------------------------------------------------

const STRATEGIES: [Wait; 3] = [Wait::Park, Wait::SpinThenPark(Duration::from_micros(50)), Wait::BusySpin];

fn dedicated<'a>(topic: &'a Topic, name: &str, wait: Wait) -> SubscriptionBuilder<'a> {
    topic.subscription(name).dispatch(Dispatch::Dedicated).wait(wait)
}

/// However its thread waits and whatever the policy: what was published is delivered or told as missed, in order, then the
/// final message, with pauses in between that let the thread come to rest.
#[test]
fn g7_every_wait_strategy_loses_nothing_uncounted() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let policies = [
        (Overflow::default(), 1),
        (Overflow::DropNewest, 3),
        (Overflow::DropOldest, 3),
        (Overflow::block_forever(), 2),
    ];
    for wait in STRATEGIES {
        for (at, (policy, capacity)) in policies.iter().enumerate() {
            let topic = bus.topic(&format!("{wait:?} {at}")).unwrap();
            let (seen, read) = (Log::new(), kind.clone());
            let noted = seen.clone();
            let subscription = dedicated(&topic, "waits", wait)
                .accept(&kind)
                .capacity(*capacity)
                .overflow(policy.clone())
                .start(move |delivery| noted.push((delivery.read(&read).copied(), delivery.missed())))
                .unwrap();
            for number in 0..300 {
                topic.publish(kind.message(number));
                if number % 50 == 0 {
                    thread::sleep(Duration::from_micros(200));
                }
            }
            subscription.unsubscribe_and_join().unwrap();
            let seen = seen.all();
            let numbers: Vec<u64> = seen.iter().filter_map(|(number, _)| *number).collect();
            let missed: u64 = seen.iter().map(|(_, missed)| missed).sum();
            assert!(numbers.is_sorted() && numbers.len() as u64 + missed == 300, "{wait:?} {at}");
            assert_eq!(seen.last().map(|(number, _)| *number), Some(None), "the final comes last");
        }
    }
    end(&bus);
}

#[test]
fn g10_publish_sync_and_join_reach_a_thread_that_never_sleeps() {
    let _watched = watched();
    let bus = Bus::builder().workers(1..=1).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("numbers").unwrap();
    let spinning = Arc::new(dedicated(&topic, "spins", Wait::BusySpin).accept(&kind).start(|_| {}).unwrap());
    assert_eq!(spinning.publish_sync(kind.message(1), None), Ok(Handled::Yes));
    // And from the only worker.
    let (target, made, other) = (spinning.clone(), kind.clone(), bus.topic("other").unwrap());
    let (tell, told) = mpsc::channel();
    let asks = other.subscription("asks").accept(&kind).start(move |delivery| {
        if !delivery.is_final() {
            tell.send(target.publish_sync(made.message(2), None)).unwrap();
        }
    });
    other.publish(kind.message(3));
    assert_eq!(told.recv().unwrap(), Ok(Handled::Yes));
    asks.unwrap().unsubscribe_and_join().unwrap();
    spinning.unsubscribe();
    spinning.join().unwrap();
    end(&bus);
}

/// A chain through threads that hold their turn while they wait: shutdown still finds out when nothing goes on any more.
#[test]
fn g11_shutdown_finds_threads_quiet_that_never_sleep() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topics: Vec<Topic> = (0..4).map(|at| bus.topic(&format!("stage {at}")).unwrap()).collect();
    let handled = Log::new();
    for (at, stage) in topics.iter().enumerate() {
        let (next, read, noted) = (topics.get(at + 1).cloned(), kind.clone(), handled.clone());
        let builder = match at % 2 {
            0 => dedicated(stage, "stage", STRATEGIES[2 - at / 2]),
            _ => stage.subscription("stage"),
        };
        let handler = move |delivery: &stasis_bus::Delivery<'_>| {
            let Some(&number) = read.read(delivery.message()) else { return };
            thread::sleep(Duration::from_millis(1));
            match &next {
                Some(next) => _ = next.publish(read.message(number)),
                None => noted.push(number),
            }
        };
        builder.accept(&kind).start(handler).unwrap().detach();
    }
    for number in 0..20 {
        topics[0].publish(kind.message(number));
    }
    drop(topics);
    end(&bus);
    assert_eq!(handled.all(), (0..20).collect::<Vec<_>>());
}

#[test]
fn g11_a_stuck_thread_that_never_sleeps_is_named() {
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("numbers").unwrap();
    let gate = Gate::new();
    let closed = gate.clone();
    let stuck =
        dedicated(&topic, "stuck", Wait::BusySpin).accept(&kind).start(move |_| closed.pass()).unwrap();
    for number in 0..3 {
        topic.publish(kind.message(number));
    }
    eventually(|| stuck.stats().depth < 3);
    let report = bus.shutdown(Duration::from_millis(50)).unwrap();
    assert_eq!((report.stragglers[0].name.as_str(), report.threads_left.len()), ("stuck", 1), "{report}");
    gate.open();
    stuck.join().unwrap();
}

/// How long it has been behind goes by when the second message came, not by when the thread began to spin.
#[test]
fn a_thread_that_spins_is_not_behind_for_the_time_in_which_nothing_came() {
    const IDLE: Duration = Duration::from_millis(400);
    /// Of the coarse clock.
    const STEP: Duration = Duration::from_millis(50);
    let _watched = watched();
    let (bus, kind) = numbers();
    let topic = bus.topic("numbers").unwrap();
    let gate = Gate::new();
    let closed = gate.clone();
    let read = kind.clone();
    let handler = move |delivery: &Delivery<'_>| {
        if delivery.read(&read).is_some_and(|number| *number > 0) {
            closed.pass();
        }
    };
    let spins = dedicated(&topic, "spins", Wait::BusySpin).accept(&kind).start(handler).unwrap();
    topic.publish(kind.message(0));
    eventually(|| spins.stats().handled == 1);
    thread::sleep(IDLE);
    let before = Instant::now();
    topic.publish(kind.message(1));
    // Taken, and its handler does not return: the next one stays.
    eventually(|| spins.stats().depth == 0);
    topic.publish(kind.message(2));
    assert_eq!(spins.stats().depth, 1);
    let (behind, since) = (spins.stats().behind.unwrap(), before.elapsed());
    assert!(behind <= since + STEP, "behind for {behind:?}, of which {since:?} there was something");
    gate.open();
    spins.unsubscribe_and_join().unwrap();
}

#[test]
fn a_wait_that_is_not_for_it_is_refused() {
    let (bus, _) = numbers();
    let topic = bus.topic("numbers").unwrap();
    for dispatch in [Dispatch::Pool, Dispatch::Serial] {
        let refused = topic.subscription("x").dispatch(dispatch).wait(Wait::Park).start(|_| {}).unwrap_err();
        assert!(refused.to_string().starts_with("wait is Park; it is for dispatch dedicated"));
    }
    assert!(topic.subscription("x").wait(Wait::BusySpin).inline(|_| {}).is_err());
    assert!(topic.subscription("x").wait(Wait::BusySpin).stream().is_err());
    let too_long = Wait::SpinThenPark(Duration::from_secs(2));
    let refused = dedicated(&topic, "x", too_long).start(|_| {}).unwrap_err().to_string();
    assert!(
        refused.contains("wait is SpinThenPark of 2000000 us") && refused.contains("1000000 us"),
        "{refused}"
    );
    assert!(bus.shutdown(Duration::from_secs(5)).unwrap().is_clean());
}
