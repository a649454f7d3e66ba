//! Threads pinned to processors: the hook that runs first on every thread of the bus asks the system where it may run,
//! and narrows that down. Workers and dedicated threads each get a processor of their own, as far as there are some.
//! (Linux; elsewhere the threads stay where the system puts them.)
//!
//! `cargo run --example pinned`

use stasis_bus::{Bus, Dispatch, ThreadInfo, ThreadKind, Wait};
use std::time::Duration;

#[cfg(target_os = "linux")]
mod processors {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// Where the calling thread may run.
    pub(crate) fn allowed() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect()
    }

    /// From here on, the calling thread runs there alone.
    pub(crate) fn pin_to(processor: usize) -> std::io::Result<()> {
        let mut set = CpuSet::new();
        set.set(processor);
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod processors {
    pub(crate) fn allowed() -> Vec<usize> {
        vec![0]
    }

    pub(crate) fn pin_to(_: usize) -> std::io::Result<()> {
        Ok(())
    }
}

/// The audio thread gets the last processor; workers share the others, in turn.
fn processor_for(thread: &ThreadInfo) -> Option<usize> {
    let allowed = processors::allowed();
    let (last, others) = allowed.split_last()?;
    let others = if others.is_empty() { std::slice::from_ref(last) } else { others };
    match &thread.kind {
        ThreadKind::Dedicated(_) => Some(*last),
        ThreadKind::Worker(seat) => Some(others[seat % others.len()]),
        _ => None,
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::builder()
        .workers(1..=1)
        .on_thread_start(|thread| {
            if let Some(processor) = processor_for(thread) {
                match processors::pin_to(processor) {
                    Ok(()) => {
                        println!("{} ({:?}) is pinned to processor {processor}", thread.name, thread.kind)
                    }
                    Err(error) => eprintln!("{} stays where it is: {error}", thread.name),
                }
            }
        })
        .build()?;
    let frames = bus.message_type::<u32>("frame")?;
    let topic = bus.topic("audio")?;

    let audio = topic
        .subscription("audio")
        .accept(&frames)
        .dispatch(Dispatch::Dedicated)
        .thread_name("audio-out")
        .wait(Wait::SpinThenPark(Duration::from_micros(50)))
        .start(|_| assert_eq!(processors::allowed().len(), 1, "pinned before the first message"))?;
    let journal = topic.subscription("journal").accept(&frames).start({
        let frames = frames.clone();
        move |delivery| {
            if let Some(frame) = delivery.read(&frames) {
                println!("frame {frame} on one of {:?}", processors::allowed());
            }
        }
    })?;

    for frame in 0..3 {
        topic.publish(frames.message(frame));
    }
    journal.unsubscribe_and_join()?;
    audio.unsubscribe_and_join()?;
    println!("this thread is pinned to nothing: {:?}", processors::allowed());
    bus.shutdown(Duration::from_secs(5))?;
    Ok(())
}
