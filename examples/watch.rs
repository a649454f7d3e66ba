//! One object at hand: a volume control that follows what the cache says of its channel, without looking it up and without
//! hearing of every step. `cargo run --example watch`

use futures_lite::future::block_on;
use stasis_bus::{Bus, Cache, Error, MessageType, Watch};
use std::thread;
use std::time::Duration;

#[derive(Clone, Debug)]
struct Volume {
    channel: String,
    level: u32,
}

/// Follows the volume until the bus ends. Ran by any executor; here by a thread.
async fn follow(mut watch: Watch, kind: MessageType<Volume>) -> u32 {
    let mut steps = 0;
    while let Ok(changed) = watch.changed().await {
        steps += 1;
        match changed.as_ref().and_then(|message| kind.read(message)) {
            Some(volume) => {
                println!("{}: {:>3} {}", watch.id(), volume.level, "#".repeat(volume.level as usize / 5))
            }
            None => println!("{}: hung up", watch.id()),
        }
    }
    steps
}

pub(crate) fn main() -> Result<(), Error> {
    let bus = Bus::new()?;
    let volumes = bus.message_type::<Volume>("volume")?;
    let topic = bus.topic("volumes")?;
    let cache = Cache::builder(&bus).id_of(&volumes, |volume: &Volume| &volume.channel).build()?;
    let _cached = topic.caching(&cache)?;

    // Before there is anything to be seen.
    let watch = cache.watch(&volumes, "SIP/alice-1")?;
    let (follower, kind) = (watch.clone(), volumes.clone());
    let control = thread::spawn(move || block_on(follow(follower, kind)));

    for level in (10..=100).step_by(10) {
        topic.publish(volumes.message(Volume { channel: "SIP/alice-1".to_owned(), level }));
        thread::sleep(Duration::from_millis(2));
    }
    let now = watch.get().and_then(|message| volumes.read(&message).map(|volume| volume.level));
    assert_eq!(now, Some(100));
    cache.clear(&volumes, "SIP/alice-1");
    assert!(watch.get().is_none());

    // Who follows is told of the end, and comes back.
    bus.shutdown(Duration::from_secs(5))?;
    let steps = control.join().expect("it does not panic");
    println!("-- {steps} of 11 changes were seen one by one; the last always is");
    assert!((1..=11).contains(&steps));
    Ok(())
}
