//! Inline: the handler runs inside `publish`, on the publisher's thread. Calls may overlap, so it is `Fn + Sync`.
//!
//! Good for very short work that must have happened when `publish` returns. Every publisher pays for it.
//!
//! `cargo run --example inline`

use stasis_bus::{Bus, Error};
use std::sync::mpsc;
use std::thread;

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let rang = bus.message_type::<u32>("rang")?;
    let calls = bus.topic("calls")?;

    let (seen, what_was_seen) = mpsc::channel();
    let kind = rang.clone();
    let watch = calls.subscription("watch").accept(&rang).inline(move |delivery| {
        let call = delivery.read(&kind).copied();
        let _ = seen.send((thread::current().id(), call));
    })?;

    calls.publish(rang.message(1));
    let (whose, call) = what_was_seen.try_recv().expect("the handler has returned when publish has");
    assert_eq!((whose, call), (thread::current().id(), Some(1)));
    println!("call 1 was seen on the publisher's own thread, before publish returned");

    thread::scope(|scope| {
        for call in 2..=4 {
            let (calls, rang) = (&calls, &rang);
            scope.spawn(move || calls.publish(rang.message(call)));
        }
    });
    for (whose, call) in what_was_seen.try_iter() {
        println!("call {call:?} was seen on {whose:?}");
    }

    watch.unsubscribe_and_join()?;
    let (_, last) = what_was_seen.try_recv().expect("the final message");
    assert_eq!(last, None, "it is a SubscriptionChange, whatever the filter");
    println!("and the final message, on the unsubscribing thread");
    Ok(())
}
