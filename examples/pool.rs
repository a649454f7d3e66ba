//! Pool, the default: queued, and run by the workers of the bus. A handler that blocks holds up nobody but itself, and
//! one that panics goes on with the next message.
//!
//! `cargo run --example pool`

use stasis_bus::{Bus, Error, Handled};
use std::sync::mpsc;
use std::thread;

pub(crate) fn main() -> Result<(), Error> {
    let (told, panics) = mpsc::channel();
    let bus =
        Bus::builder().workers(1..=4).on_panic(move |report| drop(told.send(report.to_string()))).build()?;
    let job = bus.message_type::<u32>("job")?;
    let jobs = bus.topic("jobs")?;

    // Its handler waits until we let it go on: the only worker is stuck in it.
    let (go_on, wait) = mpsc::channel::<()>();
    let stuck = jobs.subscription("stuck").accept(&job).start(move |_| {
        let _ = wait.recv();
    })?;

    let kind = job.clone();
    let quick =
        jobs.subscription("quick").accept(&job).start(move |delivery| match delivery.read(&kind) {
            Some(3) => panic!("I do not like 3"),
            Some(number) => {
                println!("quick: job {number}, on {:?}", thread::current().name().unwrap_or_default())
            }
            None => {}
        })?;

    for number in 1..=4 {
        jobs.publish(job.message(number));
    }
    // Returns when `quick` has handled it, and with it everything that came before.
    assert_eq!(quick.publish_sync(job.message(5), None)?, Handled::Yes);
    println!(
        "quick is done, on {} workers; stuck has {} messages and is in its first",
        bus.stats().workers,
        stuck.stats().accepted
    );
    println!("the hook was told: {}", panics.recv().expect("one panic"));
    assert_eq!(quick.stats().panics, 1);

    println!("\n{}", bus.stats());
    drop(go_on);
    stuck.unsubscribe_and_join()?;
    quick.unsubscribe_and_join()?;
    Ok(())
}
