//! Handlers that block: the pool grows while they are stuck and work waits, shrinks afterwards, and asks again for
//! threads that the system refused. All with every processor busy with something else.

mod common;

use common::{Gate, Log, end, eventually, watched};
use stasis_bus::{Bus, Handled, MessageType, Subscription, Topic, WaitError};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Two threads that compute for as long as this lives.
struct Load(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Load {
    fn new() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..2).map(|_| {
            let over = over.clone();
            thread::spawn(move || while !over.load(Ordering::Relaxed) {})
        });
        Self(over.clone(), threads.collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn bus(workers: std::ops::RangeInclusive<usize>) -> (Bus, MessageType<u64>, Topic) {
    let bus = Bus::builder().workers(workers).idle_timeout(Some(Duration::from_millis(20))).build().unwrap();
    let kind = bus.message_type("number").unwrap();
    let topic = bus.topic("numbers").unwrap();
    (bus, kind, topic)
}

/// Subscriptions whose handlers count themselves in and then wait.
fn stuck(
    topic: &Topic,
    kind: &MessageType<u64>,
    count: usize,
) -> (Vec<Subscription>, Gate, Arc<AtomicUsize>) {
    let (gate, inside) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let start = |_| {
        let (gate, inside) = (gate.clone(), inside.clone());
        let handler = move |delivery: &stasis_bus::Delivery<'_>| {
            if !delivery.is_final() {
                inside.fetch_add(1, Ordering::SeqCst);
                gate.pass();
            }
        };
        topic.subscription("stuck").accept(kind).start(handler).unwrap()
    };
    ((0..count).map(start).collect(), gate, inside)
}

/// One publish, eight handlers, none of which returns before all eight have been called.
#[test]
fn g9_handlers_that_wait_for_each_other_all_get_a_worker() {
    let (_watched, _load) = (watched(), Load::new());
    let (bus, kind, topic) = bus(1..=8);
    let (all, met) = (Arc::new(Barrier::new(8)), Log::new());
    let subscriptions: Vec<_> = (0..8)
        .map(|_| {
            let (all, met) = (all.clone(), met.clone());
            topic.subscription("meets").accept(&kind).start(move |delivery| {
                if !delivery.is_final() {
                    all.wait();
                    met.push(());
                }
            })
        })
        .collect();
    for round in 1..=3 {
        topic.publish(kind.message(round));
        met.await_len(8 * round as usize);
        eventually(|| bus.stats().workers == 1);
    }
    drop(subscriptions);
    end(&bus);
}

/// A handler publishes to another and waits for it: nobody publishes any more, and no worker comes back.
#[test]
fn g9_growth_needs_no_further_publish() {
    let (_watched, _load) = (watched(), Load::new());
    let (bus, kind, topic) = bus(1..=2);
    let (other, gate, done) = (bus.topic("other").unwrap(), Gate::new(), Log::new());
    let (opened, closed, noted, made) = (gate.clone(), gate, done.clone(), kind.clone());
    let _opens = other.subscription("opens").accept(&kind).start(move |_| opened.open()).unwrap();
    let _waits = topic.subscription("waits").accept(&kind).start(move |delivery| {
        if !delivery.is_final() {
            other.publish(made.message(2));
            closed.pass();
            noted.push(());
        }
    });
    topic.publish(kind.message(1));
    done.await_len(1);
    end(&bus);
}

#[test]
fn g9_sixty_four_stuck_handlers_fill_the_pool_and_no_more() {
    let (_watched, _load) = (watched(), Load::new());
    let (bus, kind, topic) = bus(1..=64);
    let (subscriptions, gate, inside) = stuck(&topic, &kind, 64);
    topic.publish(kind.message(1));
    eventually(|| inside.load(Ordering::SeqCst) == 64);
    assert_eq!(bus.stats().workers, 64);
    let (handled, other) = (Log::new(), bus.topic("other").unwrap());
    let noted = handled.clone();
    let late = other.subscription("late").accept(&kind).start(move |_| noted.push(())).unwrap();
    other.publish(kind.message(2));
    thread::sleep(Duration::from_millis(50));
    assert_eq!((handled.len(), bus.stats().workers), (0, 64), "there is nobody left, and nobody more");
    gate.open();
    handled.await_len(1);
    eventually(|| bus.stats().workers == 1);
    drop((subscriptions, late));
    end(&bus);
}

/// Handlers that compute, more of them than processors, and every processor busy besides: slow, but it moves.
#[test]
fn g9_computing_handlers_do_not_grow_the_pool() {
    let (_watched, _load) = (watched(), Load::new());
    let bus = Bus::builder().workers(1..=8).grow_after(Duration::from_secs(1)).build().unwrap();
    let kind = bus.message_type::<u64>("number").unwrap();
    let topic = bus.topic("numbers").unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let subscriptions: Vec<_> = (0..8)
        .map(|_| {
            let handled = handled.clone();
            topic.subscription("computes").accept(&kind).start(move |_| {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(200) {}
                handled.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    // At least 1.6 s of work, on top of the load.
    (0..1_000).for_each(|number| {
        topic.publish(kind.message(number));
    });
    eventually(|| handled.load(Ordering::SeqCst) == 8_000);
    assert_eq!(bus.stats().workers, 1);
    drop(subscriptions);
    end(&bus);
}

/// Workers that wait for a stuck subscription have handed their seats over, up to 32 of them; the pool still grows for
/// others, and all of them come back.
#[test]
fn g9_seats_handed_over_while_stuck_leave_room_for_others() {
    let (_watched, _load) = (watched(), Load::new());
    let (bus, kind, topic) = bus(1..=2);
    let (mut target, gate, inside) = stuck(&topic, &kind, 1);
    let target = Arc::new(target.remove(0));
    let (asking, answers) = (bus.topic("asking").unwrap(), Log::new());
    let askers: Vec<_> = (0..40)
        .map(|_| {
            let (target, made, answers) = (target.clone(), kind.clone(), answers.clone());
            asking.subscription("asks").accept(&kind).start(move |delivery| {
                if !delivery.is_final() {
                    answers.push(target.publish_sync(made.message(2), None));
                }
            })
        })
        .collect();
    asking.publish(kind.message(1));
    eventually(|| inside.load(Ordering::SeqCst) == 1);
    // Those for whom no thread could take over are told at once.
    let refused = answers.await_len(8);
    assert_eq!(refused, [Err(WaitError::TooManyWaiting); 8]);
    let (handled, other) = (Log::new(), bus.topic("other").unwrap());
    let noted = handled.clone();
    let free = other.subscription("free").accept(&kind).start(move |_| noted.push(())).unwrap();
    other.publish(kind.message(3));
    handled.await_len(1);
    assert!(bus.stats().workers <= 2);
    gate.open();
    assert_eq!(answers.await_len(40).iter().filter(|answer| **answer == Ok(Handled::Yes)).count(), 32);
    drop((askers, free));
    target.unsubscribe();
    end(&bus);
}

/// In a process of its own: its memory is limited so that no thread's stack fits, and then not any more. Stacks are large
/// there, so that all else fits easily: also what an allocator or a sanitizer takes for itself with each thread.
#[cfg(target_os = "linux")]
mod refused {
    use super::*;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use stasis_bus::ThreadKind;
    use std::process::Command;

    const CHILD: &str = "STASIS_TEST_REFUSED";
    const STACK: u64 = 256 << 20;

    fn limit_memory(bytes: Option<u64>) {
        let maximum = getrlimit(Resource::As).maximum;
        setrlimit(Resource::As, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
    }

    /// As much as the process has now, and half a stack more.
    fn refuse_threads() {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
        limit_memory(Some(pages * 4096 + STACK / 2));
    }

    /// Watched there, so that what it says is heard also if it hangs.
    fn in_child(test: &str) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("refused::{test}"), "--nocapture"])
            .env(CHILD, "1")
            .env("RUST_MIN_STACK", STACK.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && text.contains("1 passed"), "{text}{child:?}");
    }

    #[test]
    fn g9_a_first_thread_that_is_refused_is_asked_for_again() {
        if std::env::var_os(CHILD).is_none() {
            return in_child("g9_a_first_thread_that_is_refused_is_asked_for_again");
        }
        let _watched = watched();
        let (bus, kind, topic) = bus(1..=2);
        let handled = Log::new();
        let noted = handled.clone();
        let all = topic.subscription("all").accept(&kind).start(move |delivery| {
            if !delivery.is_final() {
                noted.push(());
            }
        });
        refuse_threads();
        topic.publish(kind.message(1));
        let refused = bus.stats().threads_refused;
        limit_memory(None);
        assert!(refused > 0 && handled.len() == 0, "{refused} refused");
        // The next job finds threads missing.
        let other = bus.topic("other").unwrap();
        let wakes = other.subscription("wakes").accept(&kind).start(|_| {}).unwrap();
        eventually(|| {
            other.publish(kind.message(2));
            handled.len() == 1
        });
        let is_told = || bus.diagnose().to_string().contains("refused to start");
        assert_eq!([is_told(), is_told()], [true, false], "once, and not for ever");
        drop((all, wakes));
        end(&bus);
    }

    /// Nobody publishes any more, but the shutdown wants everything handled.
    #[test]
    fn g11_a_shutdown_asks_again_for_a_thread_that_was_refused() {
        if std::env::var_os(CHILD).is_none() {
            return in_child("g11_a_shutdown_asks_again_for_a_thread_that_was_refused");
        }
        let _watched = watched();
        let (bus, kind, topic) = bus(1..=1);
        let (handled, read) = (Log::new(), kind.clone());
        let noted = handled.clone();
        let handler =
            move |delivery: &stasis_bus::Delivery<'_>| noted.push(read.read(delivery.message()).copied());
        topic.subscription("all").accept(&kind).start(handler).unwrap().detach();
        refuse_threads();
        topic.publish(kind.message(1));
        topic.publish(kind.message(2));
        limit_memory(None);
        assert!(bus.stats().threads_refused > 0);
        end(&bus);
        assert_eq!(handled.all(), [Some(1), Some(2), None]);
    }

    #[test]
    fn g9_a_standby_that_is_refused_is_asked_for_again() {
        if std::env::var_os(CHILD).is_none() {
            return in_child("g9_a_standby_that_is_refused_is_asked_for_again");
        }
        let _watched = watched();
        // Held until the first worker has taken the first job: it would take that itself, were the worker slow to come.
        let held = Gate::new();
        let hold = held.clone();
        let builder = Bus::builder().workers(1..=4).on_thread_start(move |thread| {
            if thread.kind == ThreadKind::Standby {
                hold.pass();
            }
        });
        let bus = builder.idle_timeout(Some(Duration::from_millis(20))).build().unwrap();
        let (kind, topic) = (bus.message_type("number").unwrap(), bus.topic("numbers").unwrap());
        let (subscriptions, gate, inside) = stuck(&topic, &kind, 1);
        topic.publish(kind.message(1));
        eventually(|| inside.load(Ordering::SeqCst) == 1);
        held.open();
        // The standby of the start takes the second place; nobody takes the standby's.
        let (second, second_gate, second_inside) = stuck(&bus.topic("second").unwrap(), &kind, 1);
        refuse_threads();
        bus.topic("second").unwrap().publish(kind.message(2));
        eventually(|| second_inside.load(Ordering::SeqCst) == 1 && bus.stats().threads_refused > 0);
        limit_memory(None);
        thread::sleep(Duration::from_millis(5));
        let (third, third_gate, third_inside) = stuck(&bus.topic("third").unwrap(), &kind, 1);
        bus.topic("third").unwrap().publish(kind.message(3));
        eventually(|| third_inside.load(Ordering::SeqCst) == 1);
        // Its successor may have come to help before the third was taken, and leaves again.
        eventually(|| bus.stats().workers == 3);
        [gate, second_gate, third_gate].iter().for_each(Gate::open);
        drop((subscriptions, second, third));
        end(&bus);
    }
}
