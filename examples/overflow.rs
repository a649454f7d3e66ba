//! Overflow: a subscriber with room for 4 messages is stuck in its handler while 10 more are published. What each
//! policy lets it have, and what it is told of the rest.
//!
//! `cargo run --example overflow`

use stasis_bus::{Bus, Error, Grow, MessageType, Overflow};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const CAPACITY: usize = 4;
const MORE: u32 = 10;

pub(crate) fn main() -> Result<(), Error> {
    let policies = [
        ("Grow", Overflow::default()),
        ("Grow, at most 2", Overflow::Grow(Grow::limit(2))),
        ("DropNewest", Overflow::DropNewest),
        ("DropOldest", Overflow::DropOldest),
        ("Block for 5 ms", Overflow::Block(Duration::from_millis(5))),
        ("Disconnect", Overflow::Disconnect),
    ];
    println!("{:<16} {:<38} publishing took", "policy", "what the handler got and was told");
    for (name, policy) in policies {
        let Outcome { handled, missed, closed, story, took } = overflow(|_| policy)?;
        println!("{name:<16} {story:<38} {took:?}");
        assert_eq!(handled + missed + closed, 1 + u64::from(MORE), "handled, or told of, or after the end");
    }
    let Outcome { story, took, .. } = overflow(latest_of_three)?;
    println!("{:<16} {story:<38} {took:?}", "Conflate");
    Ok(())
}

/// Only the latest of each key waits; here the key is the number modulo three.
fn latest_of_three(number: &MessageType<u32>) -> Overflow {
    let number = number.clone();
    Overflow::conflate(move |message| number.read(message).map(|value| (value % 3).into()))
}

struct Outcome {
    handled: u64,
    missed: u64,
    closed: u64,
    story: String,
    took: Duration,
}

fn overflow(policy: impl FnOnce(&MessageType<u32>) -> Overflow) -> Result<Outcome, Error> {
    let bus = Bus::new()?;
    let number = bus.message_type::<u32>("number")?;
    let numbers = bus.topic("numbers")?;

    let (go_on, wait) = mpsc::channel::<()>();
    let (send, deliveries) = mpsc::channel();
    let kind = number.clone();
    let slow = numbers.subscription("slow").accept(&number).capacity(CAPACITY).overflow(policy(&number));
    let slow = slow.start(move |delivery| {
        let _ = send.send((delivery.read(&kind).copied(), delivery.missed()));
        // The first message takes until all are published.
        let _ = wait.recv();
    })?;

    numbers.publish(number.message(0));
    let mut got = vec![deliveries.recv().expect("the first message")];
    let began = Instant::now();
    let mut closed = 0;
    for value in 1..=MORE {
        closed += u64::from(numbers.publish(number.message(value)).closed);
    }
    let took = began.elapsed();
    drop(go_on);
    slow.unsubscribe_and_join()?;

    got.extend(deliveries.try_iter());
    Ok(Outcome {
        handled: got.iter().filter(|(value, _)| value.is_some()).count() as u64,
        missed: got.iter().map(|(_, missed)| missed).sum(),
        closed,
        story: got.iter().map(|&(value, missed)| word(value, missed)).collect(),
        took,
    })
}

/// One delivery: what was missed since the one before, then its value; the final message has none.
fn word(value: Option<u32>, missed: u64) -> String {
    let told = if missed > 0 { format!("({missed} missed) ") } else { String::new() };
    told + &value.map_or("end".to_owned(), |value| format!("{value} "))
}
