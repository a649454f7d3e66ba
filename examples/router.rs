//! One consumer of several types of messages: call detail records, and a trace that is switched on for one call.
//!
//! `cargo run --example router`

use stasis_bus::{AmiEvent, Bus, Error, Formatters};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};

struct Answered {
    channel: &'static str,
    second: u64,
}

struct HungUp {
    channel: &'static str,
    second: u64,
}

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let hung_up = bus.define::<HungUp>("hung_up").ami(|end, _| {
        Some(AmiEvent::new("Hangup").header("Channel", end.channel).header("At", end.second.to_string()))
    });
    let (answered, hung_up) = (bus.message_type::<Answered>("answered")?, hung_up.declare()?);
    let digit = bus.message_type::<char>("digit")?;
    let calls = bus.topic("calls")?;

    // Two routes of one router: called one at a time, in the order of the messages. What one notes the other finds.
    let since = Arc::new(Mutex::new(HashMap::new()));
    let (begun, (send, records)) = (since.clone(), mpsc::channel());
    let cdr = calls
        .router("cdr")
        .route(&answered, move |call, _| {
            begun.lock().unwrap().insert(call.channel, call.second);
        })
        .route(&hung_up, move |end, _| {
            if let Some(began) = since.lock().unwrap().remove(end.channel) {
                let _ = send.send(format!("{} talked for {} s", end.channel, end.second - began));
            }
        })
        .start()?;

    // Everything that a manager client can read, whatever it is; and nothing else is delivered.
    let manager = calls
        .router("manager")
        .route_formatters(Formatters::AMI, |delivery| {
            delivery.message().to_ami().iter().for_each(|event| print!("{event}"));
        })
        .start()?;

    // Digits have no route: they are not even made.
    let press = |digit_pressed| calls.publish_with(&digit, || digit_pressed).reached();
    calls.publish(answered.message(Answered { channel: "alice", second: 3 }));
    assert!(!press('1'));

    // Somebody wants to know. From when this has returned, every digit is traced.
    let (trace, digits) = mpsc::channel();
    cdr.add(&digit, move |digit, _| trace.send(*digit).unwrap_or_default())?;
    assert!(press('2') && press('3'));

    // And no longer. No call of the route is under way after this, and what it held is gone.
    cdr.remove_and_wait(&digit)?;
    assert!(!press('4'));
    println!("traced: {}", digits.iter().collect::<String>());

    calls.publish(hung_up.message(HungUp { channel: "alice", second: 20 }));
    cdr.unsubscribe_and_join()?;
    manager.unsubscribe_and_join()?;
    assert_eq!(records.iter().collect::<Vec<_>>(), ["alice talked for 17 s"]);
    Ok(())
}
