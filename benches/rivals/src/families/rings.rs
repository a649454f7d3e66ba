//! Rings: one word through a bounded queue, on one thread and between two.
//!
//! The bus's ring is private; as it depends on nothing but the door to atomics, it is built here from the same files.

use super::kit::{Sink, each};
use crate::bench::{Contestant, Effort, Outcome, Sample, Scenario, Tally};
use crate::pinning::{CONSUMER, PUBLISHER, pin};
use crate::queue::{GROUP, Group, Marks, Push, Ring, Shape, Taken, WhenFull};
use std::num::NonZeroUsize;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

const CAPACITY: usize = 1024;
const ITEMS: u64 = 2_000_000;
/// In the ring at once, on one thread.
const ROUND: u64 = 256;

pub fn all() -> Vec<Scenario> {
    let about = "ns for an item: put in and taken out by one thread, and between one and two producers and a consumer";
    let contestants = vec![
        row::<Own>("stasis", "stasis ring"),
        row::<crossbeam_queue::ArrayQueue<u64>>("arrayqueue", "crossbeam ArrayQueue"),
        row::<crossbeam_queue::SegQueue<u64>>("segqueue", "crossbeam SegQueue (unbounded)"),
        row::<TokioMpsc>("tokio-mpsc", "tokio mpsc"),
        row::<Thing>("thingbuf", "thingbuf"),
        Contestant::new("rtrb", "rtrb (one producer)", WAIT, run_rtrb),
    ];
    vec![Scenario::timed("rings", "rings", about, contestants)]
}

const WAIT: &str = "spins, yields";

/// A queue that several put into and one takes out of.
trait Queue: Send + Sync {
    fn new() -> Self;
    /// False: there is no room.
    fn put(&self, item: u64) -> bool;
    /// Takes what is there, or some of it. One thread calls it, one at a time.
    fn take(&self, each: impl FnMut(u64)) -> bool;
}

fn row<Q: Queue + 'static>(rival: &'static str, name: &str) -> Contestant {
    Contestant::new(rival, name, WAIT, run::<Q>)
}

fn run<Q: Queue>(effort: Effort) -> Outcome<Sample> {
    let items = effort.of(ITEMS).next_multiple_of(2 * ROUND);
    let (mut got, mut wanted) = (Tally::default(), Tally::default());
    let alone = time_alone(&Q::new(), items, &mut got);
    wanted.merge(numbers(items));
    let mut figures = vec![("one thread", alone)];
    for (name, producers) in [("1 producer racing", 1), ("2 producers racing", 2)] {
        figures.push((name, time_racing(&Q::new(), producers, items, &mut got)));
        (0..producers).for_each(|_| wanted.merge(numbers(items / producers)));
    }
    let sample = Sample::new(got, wanted);
    Ok(figures.into_iter().fold(sample, |sample, (name, value)| sample.with(name, "ns", value)))
}

/// From 1 on: 0 is no item.
fn numbers(items: u64) -> Tally {
    (1..=items).collect()
}

fn time_alone(queue: &impl Queue, items: u64, got: &mut Tally) -> f64 {
    let start = Instant::now();
    for first in (0..items).step_by(ROUND as usize) {
        (1..=ROUND).for_each(|item| assert!(queue.put(first + item), "there is room"));
        while queue.take(|item| got.add(item)) {}
    }
    each(start.elapsed(), items)
}

fn time_racing(queue: &impl Queue, producers: u64, items: u64, got: &mut Tally) -> f64 {
    let (gate, sink) = (&Barrier::new(producers as usize + 1), Sink::default());
    let start = thread::scope(|scope| {
        for _ in 0..producers {
            scope.spawn(|| {
                pin(PUBLISHER);
                gate.wait();
                (1..=items / producers).for_each(|item| put_waiting(|item| queue.put(item), item));
            });
        }
        let consumer = scope.spawn(|| {
            pin(CONSUMER);
            gate.wait();
            let start = Instant::now();
            while sink.count() < items {
                if !queue.take(|item| sink.take(item)) {
                    thread::yield_now();
                }
            }
            start.elapsed()
        });
        consumer.join().expect("a consumer that does not panic")
    });
    got.merge(sink.tally());
    each(start, items)
}

fn put_waiting(mut put: impl FnMut(u64) -> bool, item: u64) {
    while !put(item) {
        thread::yield_now();
    }
}

/// The ring under every mailbox.
struct Own(Ring);

impl Queue for Own {
    fn new() -> Self {
        let no_marks = Marks { high: u64::MAX, low: 0 };
        Self(Ring::new(Shape { capacity: CAPACITY, evicting: false, marks: no_marks }))
    }

    #[inline]
    fn put(&self, item: u64) -> bool {
        let item = NonZeroUsize::new(item as usize).expect("items begin with 1");
        matches!(self.0.push(item, WhenFull::Refuse), Push::Accepted { .. })
    }

    #[inline]
    fn take(&self, mut each: impl FnMut(u64)) -> bool {
        let mut group = Group::default();
        // SAFETY: one thread at a time takes, as the trait says, and none gives the turn up.
        let taken = unsafe { self.0.take(&mut group, GROUP) };
        group.for_each(|item| each(item.get() as u64));
        matches!(taken, Taken::Some { .. })
    }
}

impl Queue for crossbeam_queue::ArrayQueue<u64> {
    fn new() -> Self {
        Self::new(CAPACITY)
    }

    #[inline]
    fn put(&self, item: u64) -> bool {
        self.push(item).is_ok()
    }

    #[inline]
    fn take(&self, each: impl FnMut(u64)) -> bool {
        self.pop().map(each).is_some()
    }
}

impl Queue for crossbeam_queue::SegQueue<u64> {
    fn new() -> Self {
        Self::new()
    }

    #[inline]
    fn put(&self, item: u64) -> bool {
        self.push(item);
        true
    }

    #[inline]
    fn take(&self, each: impl FnMut(u64)) -> bool {
        self.pop().map(each).is_some()
    }
}

struct TokioMpsc {
    sender: tokio::sync::mpsc::Sender<u64>,
    receiver: std::sync::Mutex<tokio::sync::mpsc::Receiver<u64>>,
}

impl Queue for TokioMpsc {
    fn new() -> Self {
        let (sender, receiver) = tokio::sync::mpsc::channel(CAPACITY);
        Self { sender, receiver: receiver.into() }
    }

    #[inline]
    fn put(&self, item: u64) -> bool {
        self.sender.try_send(item).is_ok()
    }

    /// All that is there, so that the lock, which is not its own, costs little.
    fn take(&self, mut each: impl FnMut(u64)) -> bool {
        let mut receiver = self.receiver.try_lock().expect("one thread takes");
        let mut taken = 0;
        while taken < CAPACITY && receiver.try_recv().map(&mut each).is_ok() {
            taken += 1;
        }
        taken > 0
    }
}

struct Thing(thingbuf::ThingBuf<u64>);

impl Queue for Thing {
    fn new() -> Self {
        Self(thingbuf::ThingBuf::new(CAPACITY))
    }

    #[inline]
    fn put(&self, item: u64) -> bool {
        self.0.push(item).is_ok()
    }

    #[inline]
    fn take(&self, each: impl FnMut(u64)) -> bool {
        self.0.pop().map(each).is_some()
    }
}

/// The floor: one producer, which needs no other to be asked.
fn run_rtrb(effort: Effort) -> Outcome<Sample> {
    let items = effort.of(ITEMS).next_multiple_of(2 * ROUND);
    let mut got = Tally::default();
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(CAPACITY);
    let start = Instant::now();
    for first in (0..items).step_by(ROUND as usize) {
        (1..=ROUND).for_each(|item| producer.push(first + item).expect("there is room"));
        while let Ok(item) = consumer.pop() {
            got.add(item);
        }
    }
    let alone = each(start.elapsed(), items);
    let (gate, sink) = (Arc::new(Barrier::new(2)), Sink::default());
    let time = thread::scope(|scope| {
        scope.spawn(|| {
            pin(PUBLISHER);
            gate.wait();
            (1..=items).for_each(|item| put_waiting(|item| producer.push(item).is_ok(), item));
        });
        let consumer = scope.spawn(|| {
            pin(CONSUMER);
            gate.wait();
            let start = Instant::now();
            while sink.count() < items {
                match consumer.pop() {
                    Ok(item) => sink.take(item),
                    Err(_) => thread::yield_now(),
                }
            }
            start.elapsed()
        });
        consumer.join().expect("a consumer that does not panic")
    });
    got.merge(sink.tally());
    let sample = Sample::new(got, numbers(items).times(2));
    Ok(sample.with("one thread", "ns", alone).with("1 producer racing", "ns", each(time, items)))
}
