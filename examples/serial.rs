//! Serial: queued, and run by the publisher that finds it idle, at the end of its publish. One call at a time, so the
//! handler is `FnMut` and keeps its state without a lock.
//!
//! A publisher that finds it running leaves its message there and returns: one publisher may handle what others sent.
//!
//! `cargo run --example serial`

use stasis_bus::{Bus, Dispatch, Error};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

const PUBLISHERS: u64 = 4;
const EACH: u64 = 20_000;

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let paid = bus.message_type::<u64>("paid")?;
    let orders = bus.topic("orders")?;

    let (result, at_the_end) = mpsc::channel();
    let kind = paid.clone();
    let (mut total, mut calls) = (0, BTreeMap::<String, u32>::new());
    let sum = orders.subscription("sum").accept(&paid).dispatch(Dispatch::Serial).start(move |delivery| {
        if let Some(amount) = delivery.read(&kind) {
            total += amount;
            *calls.entry(thread::current().name().unwrap_or("?").to_owned()).or_default() += 1;
        }
        if delivery.is_final() {
            let _ = result.send((total, std::mem::take(&mut calls)));
        }
    })?;

    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (orders, paid) = (&orders, &paid);
            let work = move || {
                for amount in 0..EACH {
                    orders.publish(paid.message(amount));
                }
            };
            let named = thread::Builder::new().name(format!("publisher-{publisher}"));
            named.spawn_scoped(scope, work).expect("the system gives us a thread");
        }
    });
    sum.unsubscribe_and_join()?;

    let (total, calls) = at_the_end.recv().expect("the final message");
    assert_eq!(total, PUBLISHERS * (0..EACH).sum::<u64>());
    println!("total {total}, summed without a lock and without a thread of its own:");
    for (thread, count) in calls {
        println!("  {thread} handled {count} messages, and sent {EACH}");
    }
    Ok(())
}
