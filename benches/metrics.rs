//! What do metrics cost: the publisher beside whom somebody reads them, and who reads them, by what there is to read?
//!
//! The rows say how long one sample takes, given to a recorder that drops it (and, with the feature `prometheus`, one page).
//! The last table is one comparison: the same messages, in turns with nobody who asks and with a page (or a sample) taken
//! [`A_SECOND`] times a second, which is a hundred times more often than is usual.

mod common;

use common::Bench;
use stasis_bus::observe::Observer;
use stasis_bus::{Bus, Error, MessageType, Overflow, Subscription, Topic};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Topics and subscriptions.
const SIZES: [(usize, usize); 6] =
    [(1, 1), (1_000, 10), (1_000, 1_000), (100_000, 10), (100_000, 1_000), (100_000, 100_000)];
const A_SECOND: u32 = 10;
/// Pairs that are compared, and how long one side of a pair takes.
const PAIRS: usize = 61;
const SIDE: Duration = Duration::from_millis(100);

fn main() -> Result<(), Error> {
    common::run("metrics", |bench| {
        println!("  (of these rows, in us)");
        SIZES.iter().for_each(|(topics, subs)| time_sample(bench, *topics, *subs).expect("names are good"));
    });
    if std::env::args().any(|one| one == "--bench") {
        println!("{:<64}{:>10}{:>10}{:>10}  ns", "a message, published and handled", "off", "on", "on/off");
        compare("on one thread", &mut OneThread::new()?);
        compare("by a worker", &mut Worker::new()?);
    }
    Ok(())
}

fn ask(observer: &Observer) -> usize {
    #[cfg(feature = "prometheus")]
    return observer.render().len();
    #[cfg(not(feature = "prometheus"))]
    {
        observer.publish();
        0
    }
}

/// Half of the topics are of a pool, and every subscription has handled a few messages: it has its histograms.
fn time_sample(bench: &Bench, topics: usize, subs: usize) -> Result<(), Error> {
    let bus = Bus::builder().manual().build()?;
    let (topics, subs) = if bench.only_checks() { (topics.min(100), subs.min(100)) } else { (topics, subs) };
    let (kind, pool) = (bus.message_type::<u64>("number")?, bus.topic_pool("pool")?);
    let topic = |n: usize| match n % 2 {
        0 => bus.topic(&format!("class{}:{n}", n % 20)).map_err(Error::from),
        _ => pool.member(&n.to_string()).map_err(Error::from),
    };
    let all: Vec<Topic> = (0..topics).map(topic).collect::<Result<_, _>>()?;
    let start = |n: usize| all[n % topics].subscription(format!("sub{}", n % 20)).accept(&kind).start(|_| {});
    let _subs: Vec<Subscription> = (0..subs).map(start).collect::<Result<_, _>>()?;
    for round in 0..130 {
        all.iter().take(subs).for_each(|topic| _ = topic.publish(kind.message(round)));
    }
    bus.run_until_idle();
    let observer = Observer::new(&bus);
    let size = format!("{topics} topics, {subs} subscriptions");
    time_us(bench, &format!("a sample: {size}"), || observer.publish());
    #[cfg(feature = "prometheus")]
    time_us(bench, &format!("a page:   {size}"), || drop(observer.render()));
    Ok(())
}

/// Microseconds, as the rows are of things that take milliseconds.
fn time_us(bench: &Bench, row: &str, mut operation: impl FnMut()) {
    if bench.only_checks() {
        operation();
        return println!("  {row}");
    }
    let timed = |operation: &mut dyn FnMut()| {
        let start = Instant::now();
        operation();
        start.elapsed().as_secs_f64() * 1e6
    };
    let mut times = [(); 11].map(|()| timed(&mut operation));
    times.sort_by(f64::total_cmp);
    println!("  {row:<62}{:>10.1}{:>10.1}{:>10.1}", times[0], times[5], times[10]);
}

/// Passes messages on until told to stop. Returns how many.
trait Traffic {
    fn bus(&self) -> &Bus;
    fn pass_on(&mut self) -> u64;
}

fn compare(row: &str, traffic: &mut dyn Traffic) {
    let observer = Observer::new(traffic.bus());
    let (mut without, mut with) = (Vec::new(), Vec::new());
    // Each goes first every other time.
    for turn in 0..2 * PAIRS {
        match (turn + turn / 2) % 2 {
            0 => without.push(cost(traffic, None)),
            _ => with.push(cost(traffic, Some(&observer))),
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (off, on) = (median(without), median(with));
    println!("  {row:<62}{off:>10.1}{on:>10.1}{:>10.3}", on / off);
}

/// Nanoseconds for a message.
fn cost(traffic: &mut dyn Traffic, observer: Option<&Observer>) -> f64 {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                observer.map(ask);
                thread::park_timeout(Duration::from_secs(1) / A_SECOND);
            }
        });
        let (start, mut messages) = (Instant::now(), 0);
        while start.elapsed() < SIDE {
            messages += traffic.pass_on();
        }
        let took = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        asking.thread().unpark();
        took.as_secs_f64() * 1e9 / messages as f64
    })
}

struct OneThread {
    bus: Bus,
    topic: Topic,
    kind: MessageType<String>,
    _sub: Subscription,
}

impl OneThread {
    fn new() -> Result<Self, Error> {
        let bus = Bus::builder().manual().build()?;
        let (topic, kind) = (bus.topic("calls")?, bus.message_type("note")?);
        let sub = topic.subscription("reader").accept(&kind).start(|_| {})?;
        Ok(Self { bus, topic, kind, _sub: sub })
    }
}

impl Traffic for OneThread {
    fn bus(&self) -> &Bus {
        &self.bus
    }

    fn pass_on(&mut self) -> u64 {
        for _ in 0..512 {
            self.topic.publish(self.kind.message(String::from("ringing")));
        }
        self.bus.run_until_idle();
        512
    }
}

struct Worker {
    bus: Bus,
    topic: Topic,
    kind: MessageType<String>,
    due: Arc<AtomicU64>,
    done: mpsc::Receiver<()>,
    _sub: Subscription,
}

impl Worker {
    fn new() -> Result<Self, Error> {
        let bus = Bus::builder().workers(1..=1).build()?;
        let (topic, kind) = (bus.topic("calls")?, bus.message_type("note")?);
        let (due, (tell, done)) = (Arc::new(AtomicU64::new(0)), mpsc::channel());
        let (target, mut handled) = (due.clone(), 0);
        let whole = Overflow::Block(Duration::from_secs(60));
        let sub = topic.subscription("reader").accept(&kind).overflow(whole).start(move |_| {
            handled += 1;
            if handled == target.load(Ordering::Relaxed) {
                let _ = tell.send(());
            }
        })?;
        Ok(Self { bus, topic, kind, due, done, _sub: sub })
    }
}

impl Traffic for Worker {
    fn bus(&self) -> &Bus {
        &self.bus
    }

    fn pass_on(&mut self) -> u64 {
        const MESSAGES: u64 = 50_000;
        self.due.fetch_add(MESSAGES, Ordering::SeqCst);
        for _ in 0..MESSAGES {
            self.topic.publish(self.kind.message(String::from("ringing")));
        }
        self.done.recv().expect("the subscription stands");
        MESSAGES
    }
}
