//! The last known state of each of many things: who speaks of it and who listens hold it, and when nobody does it is gone.
//!
//! `cargo run --example state`

use stasis_bus::{Bus, Error, StateManager, StateObserver, StateView};
use std::ops::ControlFlow;

/// Fetches a mailbox's count only while somebody watches it.
struct Fetcher;

impl StateObserver for Fetcher {
    fn on_subscribe(&self, state: &StateView<'_>) {
        println!("fetcher: somebody watches {}", state.id());
    }

    fn on_unsubscribe(&self, state: &StateView<'_>) {
        println!("fetcher: nobody need fetch {} any more", state.id());
    }
}

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::builder().manual().build()?;
    let waiting = bus.message_type::<u32>("messages_waiting")?;
    let mailboxes = bus.state_manager("mwi")?;
    mailboxes.add_observer(Fetcher).detach();

    // A server that holds the mailbox, and another node, of which we only know what it said.
    let server = mailboxes.publisher("alice@office")?;
    server.publish(waiting.message(2));
    let remote = bus.origin("pbx-2")?;
    mailboxes.publish_by_origin("bob@home", remote, waiting.message(7))?;

    // The lamp of a telephone: on as soon as it is plugged in, without asking anybody.
    let kind = waiting.clone();
    let lamp = mailboxes
        .subscription("alice@office", "lamp")
        .with_state()
        .configure(|subscription| subscription.accept(&waiting))
        .start(move |delivery| match delivery.read(&kind) {
            Some(0) => println!("lamp: off"),
            Some(count) => println!("lamp: on, {count} messages"),
            None => println!("lamp: unplugged"),
        })?;
    bus.run_until_idle();
    print_all(&mailboxes, &waiting);

    // The server goes, and says so. The lamp still holds the state; bob's is gone with its node.
    server.finish(waiting.message(0));
    assert!(mailboxes.remove_origin("bob@home", remote, None).is_some());
    bus.run_until_idle();
    print_all(&mailboxes, &waiting);

    drop(lamp);
    bus.run_until_idle();
    println!("at the end: {mailboxes:?}");
    assert!(mailboxes.is_empty());
    Ok(())
}

fn print_all(mailboxes: &StateManager, waiting: &stasis_bus::MessageType<u32>) {
    let _ = mailboxes.for_each(|state| {
        let count = state.last().and_then(|last| waiting.read(&last).copied());
        println!("{}: {count:?}, watched: {}", state.id(), state.is_subscribed());
        ControlFlow::<()>::Continue(())
    });
}
