//! How a case ends.

use super::drive::check;
use super::reality::World;
use super::script::{Ending, Kind, Mode, Say};
use super::subscribing::{read, unsubscribe};
use super::watching;
use stasis_bus::Bus;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn end(world: &Arc<World>, how: Ending) {
    let bus = world.bus().expect("it stands");
    if !matches!(how, Ending::DropBus) {
        bus.run_until_idle();
        check(world, true);
    }
    world.close();
    end_the_leaving(world);
    match how {
        Ending::Unsubscribe => {
            let subs = world.model().subs.len();
            (0..subs).for_each(|id| unsubscribe(world, id));
            bus.run_until_idle();
        }
        Ending::Shutdown => {
            shut_down(world, &bus);
            watching::assert_over(world);
        }
        Ending::DropBus => {
            world.model().shut_down();
            world.real().bus = None;
            drop(bus);
            watching::assert_over(world);
            read_all(world);
            check(world, true);
            return drop(std::mem::take(&mut *world.real()));
        }
    }
    read_all(world);
    check(world, true);
    let real = std::mem::take(&mut *world.real());
    drop(real);
    assert_eq!(bus.topics().len(), 0, "topics that nobody holds are alive");
    assert_eq!(bus.stats().subscriptions.len(), 0, "subscriptions are alive");
}

/// Whom a policy has ended would be told of in the midst of the bus's own end.
fn end_the_leaving(world: &Arc<World>) {
    let leaving = {
        let model = world.model();
        let subs = model.subs.iter().enumerate();
        subs.filter(|(_, sub)| sub.is_leaving()).map(|(id, _)| id).collect::<Vec<_>>()
    };
    let more = !leaving.is_empty();
    leaving.into_iter().for_each(|id| unsubscribe(world, id));
    if more {
        // What they were told may have been too much for others.
        end_the_leaving(world);
    }
}

fn shut_down(world: &Arc<World>, bus: &Bus) {
    bus.run_until_idle();
    end_the_leaving(world);
    let (mut late, live) = {
        let model = world.model();
        let subs = model.subs.iter().enumerate();
        let late = subs.filter(|(_, sub)| !sub.finished && sub.waiting() > 0);
        let late: Vec<_> = late.map(|(id, sub)| (format!("s{id}"), sub.waiting() as u64)).collect();
        (late, model.subs.iter().filter(|sub| !sub.finished).count())
    };
    world.model().shut_down();
    let report = bus.shutdown(Duration::from_secs(5)).expect("outside every handler");
    let mut said: Vec<_> = report.stragglers.iter().map(|s| (s.name.clone(), s.queued)).collect();
    late.sort();
    said.sort();
    assert_eq!((report.ended, said), (live, late), "ended, and who had not finished");
    assert!(report.threads_left.is_empty());
    let say = Say { kind: Kind::Plain, object: 0, origin: 1 };
    let refused = world.topic(0).expect("topics can be named").publish(world.message(say).0);
    assert!(refused.is_closed(), "published after the end: {refused:?}");
}

fn read_all(world: &World) {
    let streams = world.real().subs.len();
    (0..streams).for_each(|id| read(world, id, usize::from(u16::MAX), id % 2 == 0));
    let model = world.model();
    let unfinished = model.subs.iter().position(|sub| sub.mode == Mode::Stream && !sub.finished);
    assert!(unfinished.is_none() || model.wrong.is_some(), "stream {unfinished:?} gave no final message");
}
