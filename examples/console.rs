//! A page that shows a bus at work: calls of a switchboard, consumers that keep up with them, and some that do not.
//!
//! ```text
//! cargo run --release --features console --example console -- --listen 127.0.0.1:9464 --seconds 600 --faults slow,panics
//! ```
//!
//! Faults: `slow`, `losing`, `panics`, `stuck`, `blocked`, `unread`, `workers` (none of them free). `--topics 100000` for many
//! topics, `--also NAME` for one more topic and a subscription of that name, `--listeners 0` for a page without live events.

use stasis_bus::http::Server;
use stasis_bus::{Bus, Cache, Delivery, Dispatch, Error, MessageType, Overflow, Topic};
use std::any::Any;
use std::thread;
use std::time::{Duration, Instant};

/// A call at one moment.
struct Call {
    id: String,
    state: &'static str,
}

struct Options {
    listen: String,
    seconds: f64,
    topics: usize,
    faults: String,
    also: Option<String>,
    listeners: usize,
}

impl Options {
    fn read() -> Self {
        let mut options = Self {
            listen: "127.0.0.1:0".to_owned(),
            seconds: 2.0,
            topics: 100,
            faults: String::new(),
            also: None,
            listeners: 16,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "--listen" => options.listen = value,
                "--seconds" => options.seconds = value.parse().expect("--seconds is a number"),
                "--topics" => options.topics = value.parse().expect("--topics is a number"),
                "--faults" => options.faults = value,
                "--also" => options.also = Some(value),
                "--listeners" => options.listeners = value.parse().expect("--listeners is a number"),
                other => {
                    panic!(
                        "there is no {other}: --listen, --seconds, --topics, --faults, --also, --listeners"
                    )
                }
            }
        }
        options
    }

    fn has(&self, fault: &str) -> bool {
        self.faults.split(',').any(|one| one == fault)
    }
}

/// What lives as long as the bus is to be used.
type Kept = Vec<Box<dyn Any>>;

/// Consumers of calls that keep up.
fn consumers(calls: &Topic) -> Result<Kept, Error> {
    let cdr = calls.subscription("cdr").capacity(4_096).start(|_| {})?;
    let work = |_: &Delivery<'_>| thread::sleep(Duration::from_micros(80));
    let board = calls.subscription("board").dispatch(Dispatch::Dedicated).start(work)?;
    let billing = calls.subscription("billing").start(|_| {})?;
    Ok(vec![Box::new(cdr), Box::new(board), Box::new(billing)])
}

/// And those that do not.
fn troubled(calls: &Topic, options: &Options) -> Result<Kept, Error> {
    let mut kept: Kept = Vec::new();
    let slow = |_: &Delivery<'_>| thread::sleep(Duration::from_millis(4));
    let begin = |name: &str| calls.subscription(name).dispatch(Dispatch::Dedicated);
    if options.has("slow") {
        kept.push(Box::new(begin("recorder").capacity(20_000).start(slow)?));
    }
    if options.has("losing") {
        kept.push(Box::new(begin("feed").capacity(256).overflow(Overflow::DropOldest).start(slow)?));
    }
    if options.has("panics") {
        let mut count = 0_u64;
        kept.push(Box::new(begin("journal").start(move |_| {
            count += 1;
            assert!(!count.is_multiple_of(1_000), "the disk of the journal is full");
        })?));
    }
    if options.has("stuck") {
        let stuck = |_: &Delivery<'_>| thread::sleep(Duration::from_secs(3_600));
        kept.push(Box::new(calls.subscription("archive").start(stuck)?));
    }
    if options.has("unread") {
        let stream =
            calls.subscription("listener").capacity(4_096).overflow(Overflow::DropNewest).stream()?;
        kept.push(Box::new(stream));
    }
    if options.has("workers") {
        for name in ["mail", "fax", "printer"] {
            let slow = |_: &Delivery<'_>| thread::sleep(Duration::from_millis(60));
            let subscription = calls.subscription(name).capacity(64).overflow(Overflow::DropNewest);
            kept.push(Box::new(subscription.start(slow)?));
        }
    }
    Ok(kept)
}

/// A publisher that waits for a consumer that takes its time.
fn blocked(bus: &Bus, call: &MessageType<Call>) -> Result<Kept, Error> {
    let bills = bus.topic("bills")?;
    let overflow = Overflow::Block(Duration::from_secs(60));
    let slow = |_: &Delivery<'_>| thread::sleep(Duration::from_secs(2));
    let bank = bills
        .subscription("bank")
        .dispatch(Dispatch::Dedicated)
        .capacity(4)
        .overflow(overflow)
        .start(slow)?;
    let call = call.clone();
    thread::spawn(move || {
        while bills.publish(call.message(Call { id: "bill".to_owned(), state: "sent" })).reached() {}
    });
    Ok(vec![Box::new(bank)])
}

fn main() -> Result<(), Error> {
    let options = Options::read();
    let workers = if options.has("workers") { 1..=2 } else { 2..=8 };
    let bus = Bus::builder().workers(workers).build()?;
    std::panic::set_hook(Box::new(|_| {}));
    let call = bus.define::<Call>("call").declare()?;
    let calls = bus.topic_with("calls", "every call, at every moment")?;
    let cache = Cache::builder(&bus).id_of(&call, |call: &Call| &call.id).name("calls").build()?;
    let _cached = calls.caching(&cache)?;
    let _consumers = consumers(&calls)?;
    let _troubled = troubled(&calls, &options)?;
    let _blocked = if options.has("blocked") { blocked(&bus, &call)? } else { Kept::new() };
    let _also = match &options.also {
        Some(name) => Some((bus.topic(name)?.forward_to(&calls)?, calls.subscription(name).start(|_| {})?)),
        None => None,
    };
    let phones: Vec<Topic> =
        (0..options.topics).map(|n| bus.topic(&format!("phones/{n:06}"))).collect::<Result<_, _>>()?;
    let _forwards: Vec<_> = phones.iter().map(|phone| phone.forward_to(&calls)).collect::<Result<_, _>>()?;

    let server = Server::builder(&bus).listen(&*options.listen).listeners_max(options.listeners).start()?;
    println!("http://{}/", server.address());

    let (start, mut number) = (Instant::now(), 0_usize);
    while start.elapsed().as_secs_f64() < options.seconds {
        for state in ["ringing", "up", "down"] {
            let message = call.message(Call { id: format!("call-{}", number % 400), state });
            phones.get(number % phones.len().max(1)).unwrap_or(&calls).publish(message);
        }
        number += 1;
        // Traffic comes in waves.
        let wave = (start.elapsed().as_secs_f64() / 4.0).sin();
        thread::sleep(Duration::from_micros(2_000 - (wave * 1_200.0) as u64));
    }
    let up = cache.get(&call, "call-0").and_then(|message| call.read(&message).map(|call| call.state));
    println!("{number} calls, the first one is {}", up.unwrap_or("unknown"));
    server.stop();
    Ok(())
}
